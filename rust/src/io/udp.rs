//! UDP sockets with batched receive and send (`recvmmsg`, `sendmmsg`).
//!
//! IPv4 addresses that arrive on an IPv6 socket are handed up as IPv4 and mapped back on the way out, so that the
//! layers above see one form of each address.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use crate::net::DATAGRAM_BYTES;

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    inner: std::net::UdpSocket,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds to `address` (port 0: the kernel chooses) and asks for a kernel buffer of `buffer_bytes` each way.
    ///
    /// The kernel caps the buffers at its own limit without an error.
    pub fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_recv_buffer_size(buffer_bytes)?;
        socket.set_send_buffer_size(buffer_bytes)?;
        socket.bind(&address.into())?;
        let inner = std::net::UdpSocket::from(socket);
        let local = inner.local_addr()?;
        Ok(Self { inner, local })
    }

    /// The bound address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether this socket can reach `remote` at all: an IPv4 socket cannot send to IPv6.
    #[must_use]
    pub fn reaches(&self, remote: SocketAddr) -> bool {
        self.local.is_ipv6() || remote.is_ipv4()
    }

    /// Takes what has arrived, up to the size of `batch`, without waiting. Returns how many datagrams there are.
    pub fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        batch.fill(self.as_raw_fd())
    }

    fn destination(&self, remote: SocketAddr) -> SocketAddr {
        match remote {
            SocketAddr::V4(v4) if self.local.is_ipv6() => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            other => other,
        }
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

/// Buffers for one `recvmmsg`, made once.
pub struct ReceiveBatch {
    buffers: Box<[[u8; DATAGRAM_BYTES]]>,
    names: Box<[libc::sockaddr_storage]>,
    headers: Box<[libc::mmsghdr]>,
    // Pointed to by `headers`; never read from here.
    _vectors: Box<[libc::iovec]>,
    len: usize,
}

// SAFETY: the raw pointers in `headers` and `_vectors` point into this value's own boxes, which move with it and are
// never shared.
unsafe impl Send for ReceiveBatch {}

/// One received datagram.
pub struct Received<'a> {
    /// Who sent it; IPv4-mapped IPv6 is shown as IPv4.
    pub remote: SocketAddr,
    /// Its bytes, to be changed in place.
    pub data: &'a mut [u8],
    /// It was longer than the buffer, and the rest is lost.
    pub is_truncated: bool,
}

impl ReceiveBatch {
    /// Room for `capacity` datagrams of `DATAGRAM_BYTES` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let mut buffers = vec![[0_u8; DATAGRAM_BYTES]; capacity].into_boxed_slice();
        // SAFETY: all-zero bytes are a valid value of this plain C structure.
        let mut names = vec![unsafe { std::mem::zeroed::<libc::sockaddr_storage>() }; capacity].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .iter_mut()
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
            .collect();
        let headers = names
            .iter_mut()
            .zip(vectors.iter_mut())
            .map(|(name, vector)| {
                // SAFETY: as above; the fields that matter are set below.
                let mut header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_iov = ptr::from_mut(vector);
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { buffers, names, headers, _vectors: vectors, len: 0 }
    }

    /// How many datagrams one receive can take.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.headers.len()
    }

    /// The datagram at `index` of the last receive. `None` beyond its count, or if its sender has no IP address.
    pub fn datagram(&mut self, index: usize) -> Option<Received<'_>> {
        let header = self.headers.get(..self.len)?.get(index)?;
        let remote = to_address(self.names.get(index)?)?;
        let length = usize::try_from(header.msg_len).ok()?;
        let is_truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        let data = self.buffers.get_mut(index)?.get_mut(..length)?;
        Some(Received { remote, data, is_truncated })
    }

    fn fill(&mut self, fd: RawFd) -> io::Result<usize> {
        self.len = 0;
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen = NAME_CAPACITY;
        }
        let capacity = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        // SAFETY: every header points to a name and a vector of this value, the vectors to its buffers; all outlive
        // the call, and `capacity` is their number.
        let count =
            unsafe { libc::recvmmsg(fd, self.headers.as_mut_ptr(), capacity, libc::MSG_DONTWAIT, ptr::null_mut()) };
        match usize::try_from(count) {
            Ok(len) => {
                self.len = len;
                Ok(len)
            }
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
                error => Err(error),
            },
        }
    }
}

/// What became of the datagrams of one send.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SendOutcome {
    /// Accepted by the kernel.
    pub sent: usize,
    /// Refused: no route, a full socket buffer, or a forbidden address. Real-time audio is not sent twice.
    pub refused: usize,
}

/// Headers for one `sendmmsg`, made once; refers to the caller's buffers only during a send.
pub struct SendBatch {
    names: Box<[libc::sockaddr_storage]>,
    vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

// SAFETY: the raw pointers point into this value's own boxes, or to buffers of a send that has returned.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Sends up to `capacity` datagrams with one system call.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        // SAFETY: all-zero bytes are a valid value of these plain C structures.
        let (name, header) = unsafe { (std::mem::zeroed::<libc::sockaddr_storage>(), std::mem::zeroed()) };
        Self {
            names: vec![name; capacity].into_boxed_slice(),
            vectors: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; capacity].into_boxed_slice(),
            headers: vec![header; capacity].into_boxed_slice(),
        }
    }

    /// Sends `datagrams` out of `socket` without waiting.
    pub fn send<'a>(
        &mut self,
        socket: &UdpSocket,
        datagrams: impl IntoIterator<Item = (SocketAddr, &'a [u8])>,
    ) -> SendOutcome {
        let mut outcome = SendOutcome::default();
        let mut filled = 0;
        for (remote, data) in datagrams {
            if filled == self.headers.len() {
                self.flush(socket, filled, &mut outcome);
                filled = 0;
            }
            self.place(filled, socket.destination(remote), data);
            filled += 1;
        }
        self.flush(socket, filled, &mut outcome);
        outcome
    }

    fn place(&mut self, index: usize, remote: SocketAddr, data: &[u8]) {
        let (Some(name), Some(vector), Some(header)) =
            (self.names.get_mut(index), self.vectors.get_mut(index), self.headers.get_mut(index))
        else {
            return;
        };
        *vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        header.msg_hdr.msg_namelen = from_address(remote, name);
        header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        header.msg_hdr.msg_iov = ptr::from_mut(vector);
        header.msg_hdr.msg_iovlen = 1;
    }

    fn flush(&mut self, socket: &UdpSocket, filled: usize, outcome: &mut SendOutcome) {
        let mut start = 0;
        while start < filled {
            let Some(headers) = self.headers.get_mut(start..filled) else { return };
            let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
            // SAFETY: `place` pointed every header of the range to a name, a vector and a buffer that the caller
            // still borrows to us; the kernel only reads them.
            let sent = unsafe {
                libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            };
            if let Ok(sent @ 1..) = usize::try_from(sent) {
                outcome.sent += sent;
                start += sent;
                continue;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    outcome.refused += filled - start;
                    return;
                }
                _ => {
                    outcome.refused += 1;
                    start += 1;
                }
            }
        }
    }
}

const NAME_CAPACITY: libc::socklen_t = size_of_u32::<libc::sockaddr_storage>();

const fn size_of_u32<T>() -> u32 {
    assert!(size_of::<T>() <= 256);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above, at compile time")]
    let size = size_of::<T>() as u32;
    size
}

fn to_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is large and aligned enough, holds a sockaddr_in.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage, which is large and aligned enough, holds a sockaddr_in6.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(match ip.to_ipv4_mapped() {
                Some(mapped) => SocketAddr::V4(SocketAddrV4::new(mapped, port)),
                // The flow label is the sender's business; the scope is needed to answer a link-local address.
                None => SocketAddr::V6(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)),
            })
        }
        _ => None,
    }
}

fn from_address(address: SocketAddr, name: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is large and aligned enough for a sockaddr_in.
            let raw = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in>() };
            raw.sin_family = AF_INET;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
            size_of_u32::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: the storage is large and aligned enough for a sockaddr_in6.
            let raw = unsafe { &mut *ptr::from_mut(name).cast::<libc::sockaddr_in6>() };
            raw.sin6_family = AF_INET6;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            size_of_u32::<libc::sockaddr_in6>()
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the constant is 2")]
const AF_INET: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "the constant is 10")]
const AF_INET6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;

#[cfg(test)]
mod tests {
    use super::*;

    fn receive_all(socket: &UdpSocket, batch: &mut ReceiveBatch, wanted: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut datagrams = Vec::new();
        for _ in 0..1000 {
            let count = socket.receive(batch).unwrap();
            for index in 0..count {
                let received = batch.datagram(index).unwrap();
                datagrams.push((received.remote, received.data.to_vec()));
            }
            if datagrams.len() >= wanted {
                break;
            }
            std::thread::yield_now();
        }
        datagrams
    }

    fn exchange(bind_a: &str, bind_b: &str) {
        let a = UdpSocket::bind(bind_a.parse().unwrap(), 65536).unwrap();
        let b = UdpSocket::bind(bind_b.parse().unwrap(), 65536).unwrap();
        let target = b.local();
        let payloads: Vec<Vec<u8>> = (0..10_u8).map(|number| vec![number; usize::from(number) + 1]).collect();

        let outcome = SendBatch::new(4).send(&a, payloads.iter().map(|payload| (target, payload.as_slice())));
        assert_eq!(outcome, SendOutcome { sent: 10, refused: 0 });

        let received = receive_all(&b, &mut ReceiveBatch::new(4), 10);
        assert_eq!(received.iter().map(|(_, data)| data.clone()).collect::<Vec<_>>(), payloads);
        assert!(received.iter().all(|(remote, _)| *remote == a.local()));
    }

    #[test]
    fn carries_more_datagrams_than_a_batch_holds_in_order() {
        exchange("127.0.0.1:0", "127.0.0.1:0");
    }

    #[test]
    fn carries_ipv6() {
        exchange("[::1]:0", "[::1]:0");
    }

    #[test]
    fn shows_mapped_addresses_as_ipv4_and_maps_them_back() {
        let wild = UdpSocket::bind("[::]:0".parse().unwrap(), 65536).unwrap();
        let v4 = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), 65536).unwrap();
        let wild_as_v4 = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), wild.local().port());

        SendBatch::new(1).send(&v4, [(wild_as_v4, b"to".as_slice())]);
        let received = receive_all(&wild, &mut ReceiveBatch::new(1), 1);
        assert_eq!(received, [(v4.local(), b"to".to_vec())]);

        SendBatch::new(1).send(&wild, [(v4.local(), b"fro".as_slice())]);
        let received = receive_all(&v4, &mut ReceiveBatch::new(1), 1);
        assert_eq!(received, [(wild_as_v4, b"fro".to_vec())]);
    }

    #[test]
    fn a_refused_datagram_does_not_hold_up_those_behind_it() {
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), 65536).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), 65536).unwrap();
        let unreachable: SocketAddr = "[::1]:9".parse().unwrap();
        let outcome = SendBatch::new(8).send(&a, [(unreachable, b"x".as_slice()), (b.local(), b"y".as_slice())]);
        assert_eq!(outcome, SendOutcome { sent: 1, refused: 1 });
        assert_eq!(receive_all(&b, &mut ReceiveBatch::new(2), 1), [(a.local(), b"y".to_vec())]);
    }

    #[test]
    fn marks_a_datagram_longer_than_the_buffer() {
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), 65536).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), 65536).unwrap();
        SendBatch::new(1).send(&a, [(b.local(), vec![7; DATAGRAM_BYTES + 1].as_slice())]);
        let mut batch = ReceiveBatch::new(1);
        while b.receive(&mut batch).unwrap() == 0 {}
        let received = batch.datagram(0).unwrap();
        assert!(received.is_truncated);
        assert_eq!(received.data.len(), DATAGRAM_BYTES);
    }
}
