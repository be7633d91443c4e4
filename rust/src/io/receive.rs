//! Datagrams that have arrived, in buffers made once (`recvmmsg`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::ptr;

use super::address::{NAME_CAPACITY, to_address};
use crate::net::DATAGRAM_BYTES;

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

    pub(super) fn fill(&mut self, fd: RawFd) -> io::Result<usize> {
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
