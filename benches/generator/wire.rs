//! A connected socket of one far side, whose datagrams carry the kernel's time of their arrival.
//!
//! So the generator may look at a socket when it suits it: a delay ends when the relay's system call has put the packet
//! into our socket, not when we get round to reading it.

#![expect(unsafe_code, reason = "the standard library does not give ancillary data")]

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, SystemTime};

use trunkline_media::net::DATAGRAM_BYTES;

/// Bytes of ancillary data for one timestamp, with room to spare.
const CONTROL_BYTES: usize = 64;

/// Nanoseconds of the system's clock (1970), which is the one that the kernel stamps with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(pub(crate) u64);

impl Stamp {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Nanoseconds from an earlier stamp on, at most 4.2 s.
    pub(crate) fn since(self, earlier: Self) -> u32 {
        u32::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(u32::MAX)
    }

    pub(crate) fn plus(self, later: Duration) -> Self {
        Self(self.0 + u64::try_from(later.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// One socket.
pub(crate) struct Wire {
    socket: UdpSocket,
}

impl Wire {
    /// Binds any port of a local address.
    pub(crate) fn open(host: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((host, 0))?;
        socket.set_nonblocking(true)?;
        let on: libc::c_int = 1;
        // SAFETY: the pointer and the length describe `on`, which outlives the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                ptr::from_ref(&on).cast(),
                length_of::<libc::c_int>(),
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { socket }) }
    }

    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// From now on sends to and hears this address only.
    pub(crate) fn connect(&self, target: SocketAddr) -> io::Result<()> {
        self.socket.connect(target)
    }

    /// A datagram that the kernel refuses is lost, and counted as such by who misses it.
    pub(crate) fn send(&self, datagram: &[u8]) {
        let _ = self.socket.send(datagram);
    }

    /// Takes one datagram, if there is one, and says when it arrived.
    pub(crate) fn receive<'a>(&self, inbox: &'a mut Inbox) -> Option<(&'a mut [u8], Stamp)> {
        let mut vector = libc::iovec { iov_base: inbox.buffer.as_mut_ptr().cast(), iov_len: inbox.buffer.len() };
        // SAFETY: all-zero bytes are a valid value of this plain C structure.
        let mut header = unsafe { mem::zeroed::<libc::msghdr>() };
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = inbox.control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES;
        // SAFETY: the header points to the vector and the control buffer, and the vector to the buffer, each with its
        // length; all outlive the call.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
        // An error is that nothing is there, or word that nobody listened at the far end.
        let length = usize::try_from(length).ok()?;
        Some((&mut inbox.buffer[..length], arrival(&header).unwrap_or_else(Stamp::now)))
    }
}

#[repr(C, align(16))]
struct Control([u8; CONTROL_BYTES]);

/// Room for one datagram and what the kernel says about it, made once.
pub(crate) struct Inbox {
    buffer: [u8; DATAGRAM_BYTES],
    control: Control,
}

impl Inbox {
    pub(crate) const fn new() -> Self {
        Self { buffer: [0; DATAGRAM_BYTES], control: Control([0; CONTROL_BYTES]) }
    }
}

/// The kernel's timestamp among a message's ancillary data.
fn arrival(header: &libc::msghdr) -> Option<Stamp> {
    // SAFETY: the header is one that recvmsg has just filled in: its control pointer and length describe a buffer that
    // is still there. The macros stay within it, and null means that there is nothing more.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            if (*control).cmsg_level == libc::SOL_SOCKET && (*control).cmsg_type == libc::SCM_TIMESTAMPNS {
                let time = ptr::read_unaligned(libc::CMSG_DATA(control).cast::<libc::timespec>());
                let seconds = u64::try_from(time.tv_sec).ok()?;
                return Some(Stamp(seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).ok()?));
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

const fn length_of<T>() -> libc::socklen_t {
    assert!(size_of::<T>() <= 256);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above, at compile time")]
    let length = size_of::<T>() as libc::socklen_t;
    length
}
