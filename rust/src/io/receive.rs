//! The datagrams of one turn, from many sockets, in buffers made once (`recvfrom`, `recvmsg`, `recvmmsg`).
//!
//! They are all collected before the first is looked at, so that work on several of them can be done together. Those of
//! sockets that ask for it have the kernel's time of their arrival with them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::UdpSocket;
use super::address::{NAME_CAPACITY, to_address};
use crate::net::DATAGRAM_BYTES;
use crate::outbox::SocketId;

/// Datagrams of a socket that are taken one by one. Nearly always there is one: to take that by itself, and then to hear
/// that there is no other, costs less than to prepare a batch.
const SINGLY: usize = 2;

/// Where a datagram came in, from whom, and how much of it. `remote` is None if the sender has no IP address.
#[derive(Clone, Copy)]
struct Label {
    socket: SocketId,
    remote: Option<SocketAddr>,
    len: usize,
    is_truncated: bool,
    stamp: Option<SystemTime>,
}

/// Room for what the kernel says beside a datagram: a header of two words, and a `timespec`.
type Control = [u64; 4];

/// Buffers for the datagrams of a turn.
pub struct ReceiveBatch {
    buffers: Box<[[u8; DATAGRAM_BYTES]]>,
    labels: Box<[Label]>,
    names: Box<[libc::sockaddr_storage]>,
    controls: Box<[Control]>,
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
    /// Which of our sockets took it.
    pub socket: SocketId,
    /// Who sent it; IPv4-mapped IPv6 is shown as IPv4.
    pub remote: SocketAddr,
    /// Its bytes, to be changed in place.
    pub data: &'a mut [u8],
    /// It was longer than the buffer, and the rest is lost.
    pub is_truncated: bool,
    /// When the kernel took it, by the system's clock; None unless its socket is stamped.
    pub stamp: Option<SystemTime>,
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
        let mut controls = vec![Control::default(); capacity].into_boxed_slice();
        let headers = names
            .iter_mut()
            .zip(vectors.iter_mut())
            .zip(controls.iter_mut())
            .map(|((name, vector), control)| {
                // SAFETY: as above; the fields that matter are set below.
                let mut header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_iov = ptr::from_mut(vector);
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = ptr::from_mut(control).cast();
                header
            })
            .collect();
        let empty = Label { socket: SocketId(0), remote: None, len: 0, is_truncated: false, stamp: None };
        let labels = vec![empty; capacity].into_boxed_slice();
        Self { buffers, labels, names, controls, headers, _vectors: vectors, len: 0 }
    }

    /// How many datagrams there are, of whatever kind.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many datagrams still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.headers.len() - self.len
    }

    /// Forgets every datagram.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The datagrams in the order in which they were taken, but for those whose sender has no IP address.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Received<'_>> {
        self.labels.iter().zip(&mut self.buffers).take(self.len).filter_map(|(label, buffer)| {
            let Label { socket, remote, len, is_truncated, stamp } = *label;
            Some(Received { socket, remote: remote?, data: buffer.get_mut(..len)?, is_truncated, stamp })
        })
    }

    /// Adds what has arrived at `socket`, known as `id`: up to `limit` datagrams, as far as there is room. Does not
    /// wait. Returns how many they are. An error behind a datagram is passed over.
    pub fn take(&mut self, socket: &UdpSocket, id: SocketId, limit: usize) -> io::Result<usize> {
        let before = self.len;
        for taken in 0..limit.min(SINGLY) {
            let result = if socket.is_stamped() { self.take_stamped(socket, id) } else { self.take_one(socket, id) };
            match result {
                Ok(0) => return Ok(taken),
                Err(error) if taken == 0 => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        // What has been taken counts, whatever comes behind it.
        let _ = self.take_many(socket, id, limit.saturating_sub(SINGLY));
        Ok(self.len - before)
    }

    fn take_one(&mut self, socket: &UdpSocket, id: SocketId) -> io::Result<usize> {
        let place = self.buffers.get_mut(self.len).zip(self.names.get_mut(self.len)).zip(self.labels.get_mut(self.len));
        let Some(((buffer, name), label)) = place else { return Ok(0) };
        let mut name_bytes = NAME_CAPACITY;
        // SAFETY: the pointers are to a buffer and a name of this value and to a local, with the sizes that they have.
        let len = unsafe {
            libc::recvfrom(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
                ptr::from_mut(name).cast(),
                &raw mut name_bytes,
            )
        };
        let Ok(len) = usize::try_from(len) else { return nothing_or_error() };
        let is_truncated = len > buffer.len();
        let len = len.min(buffer.len());
        *label = Label { socket: id, remote: to_address(name), len, is_truncated, stamp: None };
        self.len += 1;
        Ok(1)
    }

    /// Does as [`take_one`](Self::take_one) with a socket that is stamped.
    fn take_stamped(&mut self, socket: &UdpSocket, id: SocketId) -> io::Result<usize> {
        let Some(header) = self.headers.get_mut(self.len) else { return Ok(0) };
        ask(&mut header.msg_hdr, true);
        // SAFETY: the header points to a name, a vector and a control buffer of this value, the vector to a buffer of it,
        // each with its size; all outlive the call.
        let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header.msg_hdr, libc::MSG_DONTWAIT) };
        let Ok(len) = u32::try_from(len) else { return nothing_or_error() };
        header.msg_len = len;
        self.label(id, 1);
        Ok(1)
    }

    fn take_many(&mut self, socket: &UdpSocket, id: SocketId, limit: usize) -> io::Result<usize> {
        let end = self.headers.len().min(self.len.saturating_add(limit));
        let Some(headers) = self.headers.get_mut(self.len..end).filter(|headers| !headers.is_empty()) else {
            return Ok(0);
        };
        for header in &mut *headers {
            ask(&mut header.msg_hdr, socket.is_stamped());
        }
        let capacity = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        // SAFETY: every header points to a name, a vector and a control buffer of this value, the vectors to its buffers;
        // all outlive the call, and `capacity` is their number.
        let taken = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), capacity, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        let Ok(taken) = usize::try_from(taken) else { return nothing_or_error() };
        self.label(id, taken);
        Ok(taken)
    }

    /// Notes what the next `taken` headers say, which the kernel has filled.
    fn label(&mut self, id: SocketId, taken: usize) {
        let places = self.labels.iter_mut().zip(&self.names).zip(&self.headers).zip(&self.controls);
        for (((label, name), header), control) in places.skip(self.len).take(taken) {
            *label = Label {
                socket: id,
                remote: to_address(name),
                len: usize::try_from(header.msg_len).unwrap_or(0),
                is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                stamp: stamp(&header.msg_hdr, control),
            };
        }
        self.len += taken;
    }
}

/// Says anew how much room there is, which the kernel has overwritten with what it used.
fn ask(header: &mut libc::msghdr, is_stamped: bool) {
    header.msg_namelen = NAME_CAPACITY;
    header.msg_controllen = if is_stamped { size_of::<Control>() } else { 0 };
}

/// The time of arrival beside a datagram, if that is what the kernel wrote.
fn stamp(header: &libc::msghdr, control: &Control) -> Option<SystemTime> {
    let whole = size_of::<libc::cmsghdr>() + size_of::<libc::timespec>();
    if header.msg_controllen < whole || whole > size_of::<Control>() {
        return None;
    }
    let message: *const libc::cmsghdr = ptr::from_ref(control).cast();
    // SAFETY: `control` is as aligned as a header of words, longer than header and `timespec` together, and all of it is
    // written; both are plain numbers, of which any bits are valid.
    let (message, time) = unsafe { (message.read(), message.add(1).cast::<libc::timespec>().read()) };
    let is_time = message.cmsg_level == libc::SOL_SOCKET && message.cmsg_type == libc::SCM_TIMESTAMPNS;
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    (is_time && nanoseconds < 1_000_000_000).then(|| UNIX_EPOCH + Duration::new(seconds, nanoseconds))
}

/// What a system call that failed has taken: nothing, if that is because nothing was there.
fn nothing_or_error() -> io::Result<usize> {
    let error = io::Error::last_os_error();
    let is_nothing = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
    if is_nothing { Ok(0) } else { Err(error) }
}
