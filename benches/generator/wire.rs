//! A connected socket of one far side, whose datagrams carry the kernel's time of their arrival.
//!
//! So the generator may look at a socket when it suits it: a delay ends when the relay's system call has put the packet
//! into our socket, not when we get round to reading it.

#![expect(unsafe_code, reason = "the standard library has neither recvmmsg nor ancillary data")]

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, SystemTime};

use trunkline_media::net::DATAGRAM_BYTES;

/// Datagrams of one read. A far side gets one every 20 ms and is looked at as often.
const BATCH: u8 = 8;
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

    /// Takes what has arrived, up to a batch, without waiting; returns how many datagrams there are.
    pub(crate) fn receive(&self, batch: &mut Batch) -> usize {
        for header in &mut batch.headers {
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
        }
        // SAFETY: every header points to a vector and a control buffer of the batch, and the vectors to its buffers;
        // all live in boxes that outlive the call, and BATCH is their number.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                batch.headers.as_mut_ptr(),
                BATCH.into(),
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        // Nothing there, or word that nobody listened at the far end.
        usize::try_from(count).unwrap_or(0)
    }
}

#[repr(C, align(16))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

/// Buffers for one read, made once.
pub(crate) struct Batch {
    buffers: Box<[[u8; DATAGRAM_BYTES]]>,
    headers: Box<[libc::mmsghdr]>,
    // Pointed to by `headers`, and not read from here.
    _controls: Box<[Control]>,
    _vectors: Box<[libc::iovec]>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let mut buffers = vec![[0; DATAGRAM_BYTES]; BATCH.into()].into_boxed_slice();
        let mut controls = vec![Control([0; CONTROL_BYTES]); BATCH.into()].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .iter_mut()
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
            .collect();
        let headers = vectors
            .iter_mut()
            .zip(controls.iter_mut())
            .map(|(vector, control)| {
                // SAFETY: all-zero bytes are a valid value of this plain C structure.
                let mut header = unsafe { mem::zeroed::<libc::mmsghdr>() };
                header.msg_hdr.msg_iov = ptr::from_mut(vector);
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = ptr::from_mut(control).cast();
                header
            })
            .collect();
        Self { buffers, headers, _controls: controls, _vectors: vectors }
    }

    /// The datagram at `index` of the last read and when it arrived.
    pub(crate) fn datagram(&mut self, index: usize) -> (&mut [u8], Stamp) {
        let header = &self.headers[index];
        let arrived = arrival(&header.msg_hdr).unwrap_or_else(Stamp::now);
        (&mut self.buffers[index][..header.msg_len as usize], arrived)
    }
}

/// The kernel's timestamp among a message's ancillary data.
fn arrival(header: &libc::msghdr) -> Option<Stamp> {
    // SAFETY: the header is one that recvmmsg has filled in: its control pointer and length describe a buffer that
    // lives as long as the batch. The macros stay within it, and null means that there is nothing more.
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
