//! Datagrams that leave one socket together (`sendmmsg`).

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr;

use super::UdpSocket;
use super::address::from_address;

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
