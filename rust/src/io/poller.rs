//! Readiness of many sockets at once (epoll, edge-triggered).
//!
//! An edge is told once: who is told reads until nothing is left, or remembers that there is more. The kernel looks at a
//! descriptor once for each edge, and not again at the next wait to find that it has been emptied.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Readable descriptors reported by one wait; more come with the next. Deadlines run in between, so it is enough for all
/// calls that a worker can transcode: what was due while it was away must not be played before what has arrived is seen.
const EVENTS_PER_WAIT: usize = 2_048;

/// One epoll instance. Each registered descriptor carries a token that comes back when it has become readable.
#[derive(Debug)]
pub struct Poller {
    fd: OwnedFd,
}

/// The tokens that the last wait found readable; a buffer that is reused.
pub struct Readiness {
    events: Vec<libc::epoll_event>,
    len: usize,
}

impl Readiness {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self { events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT], len: 0 }
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the wait ended by its timeout.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The token at `index`, if there is one.
    #[must_use]
    pub fn token(&self, index: usize) -> Option<u64> {
        self.events.get(..self.len)?.get(index).map(|event| event.u64)
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Poller {
    /// Makes an epoll instance.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; a negative result is an error and is not used as a descriptor.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just returned by the kernel and belongs to nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// Reports `source` under `token` whenever something new is to be read. Closing the descriptor removes it.
    pub fn add(&self, source: &impl AsRawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(), u64: token };
        // SAFETY: `event` outlives the call, and the kernel copies it.
        let result =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, source.as_raw_fd(), &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sleeps until a descriptor is readable or `timeout` is over (`None` waits for ever), and fills `readiness`.
    ///
    /// pause: sleeps so long first, whatever becomes readable, so that more is found at a time. A timeout is rounded up
    /// to whole milliseconds, so that the worker never spins towards a deadline. An interrupted wait reports nothing.
    pub fn wait(&self, readiness: &mut Readiness, pause: Duration, timeout: Option<Duration>) -> io::Result<()> {
        if !pause.is_zero() {
            #[expect(clippy::disallowed_methods, reason = "io is where the worker waits")]
            std::thread::sleep(pause);
        }
        let timeout_ms = timeout
            .map(|limit| limit.saturating_sub(pause))
            .map_or(-1, |limit| i32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        let capacity = i32::try_from(readiness.events.len()).unwrap_or(i32::MAX);
        readiness.len = 0;
        // SAFETY: the pointer and the capacity describe the buffer, which outlives the call.
        let count =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), readiness.events.as_mut_ptr(), capacity, timeout_ms) };
        match usize::try_from(count) {
            Ok(len) => {
                readiness.len = len;
                Ok(())
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Wake;

    #[test]
    fn reports_the_token_of_a_readable_descriptor_and_nothing_after_a_timeout() {
        let poller = Poller::new().unwrap();
        let wake = Wake::new().unwrap();
        let mut readiness = Readiness::new();
        poller.add(&wake, 77).unwrap();

        poller.wait(&mut readiness, Duration::ZERO, Some(Duration::ZERO)).unwrap();
        assert!(readiness.is_empty());

        wake.signal();
        poller.wait(&mut readiness, Duration::ZERO, Some(Duration::from_secs(1))).unwrap();
        assert_eq!((readiness.len(), readiness.token(0), readiness.token(1)), (1, Some(77), None));
    }
}
