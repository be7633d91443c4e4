//! UDP sockets: bound, non-blocking, with buffers asked for.
//!
//! IPv4 addresses that arrive on an IPv6 socket are handed up as IPv4 and mapped back on the way out, so that the
//! layers above see one form of each address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use super::SendOutcome;
use super::address::size_of_u32;

/// What a socket is bound with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// Kernel buffer to ask for, each way. The kernel caps it at its own limit without an error.
    pub buffer_bytes: usize,
    /// Class of what is sent, 0 to 63 (RFC 2474); 46 is expedited forwarding.
    pub dscp: u8,
}

/// What a socket really has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Kernel buffer for what arrives, as asked for: the kernel reserves and reports twice as much for its own needs.
    pub receive_bytes: usize,
    /// The same for what leaves.
    pub send_bytes: usize,
    /// Class of what is sent over IPv4, or over IPv6 if the socket is bound to such an address.
    pub dscp: u8,
}

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    inner: std::net::UdpSocket,
    local: SocketAddr,
    is_stamped: bool,
}

impl UdpSocket {
    /// Binds to `address` (port 0: the kernel chooses).
    ///
    /// Fails as the kernel does, when it refuses the address or the class.
    pub fn bind(address: SocketAddr, options: SocketOptions) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_recv_buffer_size(options.buffer_bytes)?;
        socket.set_send_buffer_size(options.buffer_bytes)?;
        let class = libc::c_int::from(options.dscp) << DSCP_SHIFT;
        // An IPv6 socket sends to mapped IPv4 addresses, too.
        set_option(&socket, (libc::IPPROTO_IP, libc::IP_TOS), class)?;
        if address.is_ipv6() {
            set_option(&socket, (libc::IPPROTO_IPV6, libc::IPV6_TCLASS), class)?;
        }
        socket.bind(&address.into())?;
        let inner = std::net::UdpSocket::from(socket);
        let local = inner.local_addr()?;
        Ok(Self { inner, local, is_stamped: false })
    }

    /// The bound address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// What the kernel granted of the options.
    pub fn granted(&self) -> io::Result<Granted> {
        let bytes =
            |name| Ok::<_, io::Error>(usize::try_from(option(self, (libc::SOL_SOCKET, name))?).unwrap_or(0) / 2);
        let class = if self.local.is_ipv6() {
            option(self, (libc::IPPROTO_IPV6, libc::IPV6_TCLASS))?
        } else {
            option(self, (libc::IPPROTO_IP, libc::IP_TOS))?
        };
        let dscp = u8::try_from(class >> DSCP_SHIFT).unwrap_or(0);
        Ok(Granted { receive_bytes: bytes(libc::SO_RCVBUF)?, send_bytes: bytes(libc::SO_SNDBUF)?, dscp })
    }

    /// Has the kernel note when each datagram comes that comes from now on (`SO_TIMESTAMPNS`).
    pub fn stamp_arrivals(&mut self) -> io::Result<()> {
        set_option(self, (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS), 1)?;
        self.is_stamped = true;
        Ok(())
    }

    /// Whether the kernel notes when datagrams come.
    #[must_use]
    pub fn is_stamped(&self) -> bool {
        self.is_stamped
    }

    /// Whether this socket can reach `remote` at all: an IPv4 socket cannot send to IPv6.
    #[must_use]
    pub fn reaches(&self, remote: SocketAddr) -> bool {
        self.local.is_ipv6() || remote.is_ipv4()
    }

    /// Sends one datagram without waiting: cheaper than a batch of one.
    #[must_use]
    pub fn send(&self, remote: SocketAddr, data: &[u8]) -> SendOutcome {
        match self.inner.send_to(data, self.destination(remote)) {
            Ok(_) => SendOutcome { sent: 1, refused: 0 },
            Err(_) => SendOutcome { sent: 0, refused: 1 },
        }
    }

    pub(super) fn destination(&self, remote: SocketAddr) -> SocketAddr {
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

/// The class is the upper six bits of its byte; the others are for congestion (RFC 3168).
const DSCP_SHIFT: u32 = 2;

fn set_option(socket: &impl AsRawFd, (level, name): (libc::c_int, libc::c_int), value: libc::c_int) -> io::Result<()> {
    let size = size_of_u32::<libc::c_int>();
    // SAFETY: the pointer and the size describe the local `value`, which the kernel reads.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn option(socket: &impl AsRawFd, (level, name): (libc::c_int, libc::c_int)) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut size = size_of_u32::<libc::c_int>();
    // SAFETY: the pointers are to locals, and `size` is what the kernel may write.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::SystemTime;

    use super::*;
    use crate::io::{ReceiveBatch, SendBatch, SendOutcome};
    use crate::net::DATAGRAM_BYTES;
    use crate::outbox::SocketId;

    const ID: SocketId = SocketId(7);
    const OPTIONS: SocketOptions = SocketOptions { buffer_bytes: 65_536, dscp: 46 };

    fn receive_all(socket: &UdpSocket, batch: &mut ReceiveBatch, wanted: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut datagrams = Vec::new();
        for _ in 0..1000 {
            batch.clear();
            batch.take(socket, ID, usize::MAX).unwrap();
            datagrams.extend(batch.datagrams().map(|received| (received.remote, received.data.to_vec())));
            if datagrams.len() >= wanted {
                break;
            }
            std::thread::yield_now();
        }
        datagrams
    }

    fn exchange(bind_a: &str, bind_b: &str) {
        let a = UdpSocket::bind(bind_a.parse().unwrap(), OPTIONS).unwrap();
        let b = UdpSocket::bind(bind_b.parse().unwrap(), OPTIONS).unwrap();
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
        let wild = UdpSocket::bind("[::]:0".parse().unwrap(), OPTIONS).unwrap();
        let v4 = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
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
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
        let unreachable: SocketAddr = "[::1]:9".parse().unwrap();
        let outcome = SendBatch::new(8).send(&a, [(unreachable, b"x".as_slice()), (b.local(), b"y".as_slice())]);
        assert_eq!(outcome, SendOutcome { sent: 1, refused: 1 });
        assert_eq!(receive_all(&b, &mut ReceiveBatch::new(2), 1), [(a.local(), b"y".to_vec())]);
    }

    #[test]
    fn marks_datagrams_longer_than_the_buffer_taken_singly_or_together() {
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
        let lengths = [DATAGRAM_BYTES + 1, DATAGRAM_BYTES, DATAGRAM_BYTES + 1, DATAGRAM_BYTES, 1];
        SendBatch::new(5).send(&a, lengths.map(|len| (b.local(), &[7; DATAGRAM_BYTES + 1][..len])));
        let mut batch = ReceiveBatch::new(8);
        assert_eq!(batch.take(&b, ID, 8).unwrap(), 5);
        let received: Vec<_> = batch.datagrams().map(|received| (received.data.len(), received.is_truncated)).collect();
        assert_eq!(received, lengths.map(|len| (len.min(DATAGRAM_BYTES), len > DATAGRAM_BYTES)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "stamps are compared with the system's clock")]
    fn the_kernel_notes_when_datagrams_come_to_a_socket_that_asks_for_it() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let bind = || UdpSocket::bind(address.parse().unwrap(), OPTIONS).unwrap();
            let (sender, mut stamped, plain) = (bind(), bind(), bind());
            stamped.stamp_arrivals().unwrap();
            let before = SystemTime::now();
            let lengths = [1, DATAGRAM_BYTES + 1, 2, 3, DATAGRAM_BYTES];
            for receiver in [&stamped, &plain] {
                let data = lengths.map(|len| (receiver.local(), &[7; DATAGRAM_BYTES + 1][..len]));
                assert_eq!(SendBatch::new(5).send(&sender, data).sent, 5);
            }
            let mut batch = ReceiveBatch::new(10);
            assert_eq!(batch.take(&stamped, ID, 5).unwrap(), 5, "singly and together");
            assert_eq!(batch.take(&plain, ID, 5).unwrap(), 5);
            let after = SystemTime::now();

            let taken: Vec<_> = batch.datagrams().map(|one| (one.remote, one.data.len(), one.is_truncated)).collect();
            let expected = lengths.map(|len| (sender.local(), len.min(DATAGRAM_BYTES), len > DATAGRAM_BYTES));
            assert_eq!(taken, [expected, expected].concat());
            let stamps: Vec<_> = batch.datagrams().map(|received| received.stamp).collect();
            assert_eq!(stamps[5..], [None; 5]);
            let told: Vec<SystemTime> = stamps[..5].iter().copied().flatten().collect();
            assert!(told.len() == 5 && told.is_sorted(), "{stamps:?}");
            assert!(before <= told[0] && told[4] <= after, "{before:?} {told:?} {after:?}");
        }
    }

    #[test]
    fn a_turn_takes_from_several_sockets_and_from_none_more_than_its_share() {
        let bind = || UdpSocket::bind("127.0.0.1:0".parse().unwrap(), OPTIONS).unwrap();
        let (sender, loud, quiet) = (bind(), bind(), bind());
        let mut sending = SendBatch::new(8);
        sending.send(&sender, [b"1", b"2", b"3", b"4"].map(|data| (loud.local(), data.as_slice())));
        sending.send(&sender, [(quiet.local(), b"q".as_slice())]);

        let mut batch = ReceiveBatch::new(4);
        let [first, second] = [SocketId(1), SocketId(2)];
        assert_eq!(batch.take(&loud, first, 2).unwrap(), 2);
        assert_eq!(batch.take(&quiet, second, 2).unwrap(), 1);
        assert_eq!(batch.take(&loud, first, 2).unwrap(), 1, "the batch is full");
        assert_eq!((batch.len(), batch.room(), batch.take(&loud, first, 2).unwrap()), (4, 0, 0));
        let taken: Vec<_> = batch.datagrams().map(|received| (received.socket, received.data.to_vec())).collect();
        let expected = [(first, "1"), (first, "2"), (second, "q"), (first, "3")];
        assert_eq!(taken, expected.map(|(socket, data)| (socket, data.as_bytes().to_vec())));
        batch.clear();
        assert_eq!(batch.datagrams().count(), 0);
        assert_eq!(batch.take(&loud, first, 2).unwrap(), 1);
        assert_eq!(batch.datagrams().next().unwrap().data, b"4");
    }

    #[test]
    fn says_what_the_kernel_granted_which_may_be_less_than_asked_for() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let granted = UdpSocket::bind(address.parse().unwrap(), OPTIONS).unwrap().granted().unwrap();
            assert_eq!(granted, Granted { receive_bytes: 65_536, send_bytes: 65_536, dscp: 46 }, "{address}");
            let greedy = SocketOptions { buffer_bytes: 1 << 30, dscp: 0 };
            let granted = UdpSocket::bind(address.parse().unwrap(), greedy).unwrap().granted().unwrap();
            assert!((65_536..1 << 30).contains(&granted.receive_bytes), "{granted:?}");
            assert_eq!(granted.dscp, 0);
        }
    }

    /// The class byte of the next datagram that `socket` takes, as the kernel passes it on beside the data.
    fn class_on_the_wire(socket: &UdpSocket) -> Option<u8> {
        let (mut data, mut control) = ([0_u8; 64], [0_u64; 8]);
        let mut vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        // SAFETY: all-zero bytes are a valid value of this plain C structure.
        let mut header = unsafe { std::mem::zeroed::<libc::msghdr>() };
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        // SAFETY: the header points to locals that outlive the call.
        while unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) } < 0 {
            std::thread::yield_now();
        }
        // SAFETY: the kernel filled header and control data; the first message is within them if it is there at all.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const header).as_ref() }?;
        // SAFETY: as above; a class is at least one byte.
        let class = unsafe { *libc::CMSG_DATA(first) };
        matches!(first.cmsg_type, libc::IP_TOS | libc::IPV6_TCLASS).then_some(class)
    }

    #[test]
    fn audio_is_marked_on_the_wire() {
        let receive_class = [
            ("127.0.0.1:0", (libc::IPPROTO_IP, libc::IP_RECVTOS)),
            ("[::1]:0", (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS)),
        ];
        for (address, wanted) in receive_class {
            for dscp in [46, 0] {
                let address = address.parse().unwrap();
                let receiver = UdpSocket::bind(address, OPTIONS).unwrap();
                set_option(&receiver, wanted, 1).unwrap();
                let sender = UdpSocket::bind(address, SocketOptions { dscp, ..OPTIONS }).unwrap();
                SendBatch::new(1).send(&sender, [(receiver.local(), b"x".as_slice())]);
                assert_eq!(class_on_the_wire(&receiver), Some(dscp << 2), "{address}");
            }
        }
    }
}
