//! A counter in the kernel that wakes whoever polls it (eventfd).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Wakes another thread's poller, or asyncio. Signals coalesce until drained.
#[derive(Debug)]
pub struct Wake {
    fd: OwnedFd,
    is_due: AtomicBool,
}

impl Wake {
    /// Makes an eventfd that neither blocks nor survives `exec`.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; a negative result is an error and is not used as a descriptor.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just returned by the kernel and belongs to nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(raw) }, is_due: AtomicBool::new(false) })
    }

    /// Makes the descriptor readable. A full counter is readable already, so that error means nothing.
    pub fn signal(&self) {
        let one = 1_u64;
        // SAFETY: the pointer and the length describe the local `one`.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Notes that a signal is due, and leaves it to `signal_if_due`: whoever has more to say signals once.
    pub fn put_off(&self) {
        self.is_due.store(true, Ordering::Release);
    }

    /// Signals if that was put off since the last time.
    pub fn signal_if_due(&self) {
        if self.is_due.swap(false, Ordering::AcqRel) {
            self.signal();
        }
    }

    /// Makes the descriptor unreadable until the next signal.
    pub fn drain(&self) {
        let mut count = 0_u64;
        // SAFETY: the pointer and the length describe the local `count`.
        unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }

    /// Waits until signalled or until `timeout` is over. Returns whether it was signalled; does not drain.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut entry = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one valid entry is passed, with a count of one.
        let ready = unsafe { libc::poll(&raw mut entry, 1, timeout_ms) };
        ready > 0
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_coalesce_until_drained() {
        let wake = Wake::new().unwrap();
        assert!(!wake.wait(Duration::ZERO));
        wake.signal();
        wake.signal();
        assert!(wake.wait(Duration::ZERO));
        wake.drain();
        assert!(!wake.wait(Duration::ZERO));
    }

    #[test]
    fn what_is_put_off_is_signalled_once() {
        let wake = Wake::new().unwrap();
        wake.put_off();
        wake.put_off();
        assert!(!wake.wait(Duration::ZERO));
        wake.signal_if_due();
        assert!(wake.wait(Duration::ZERO));
        wake.drain();
        wake.signal_if_due();
        assert!(!wake.wait(Duration::ZERO));
    }
}
