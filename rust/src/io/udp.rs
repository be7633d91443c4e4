//! UDP sockets: bound, non-blocking, with buffers asked for.
//!
//! IPv4 addresses that arrive on an IPv6 socket are handed up as IPv4 and mapped back on the way out, so that the
//! layers above see one form of each address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::io::{ReceiveBatch, SendBatch, SendOutcome};
    use crate::net::DATAGRAM_BYTES;
    use crate::outbox::SocketId;

    const ID: SocketId = SocketId(7);

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
        while batch.take(&b, ID, 1).unwrap() == 0 {}
        let received = batch.datagrams().next().unwrap();
        assert!(received.is_truncated);
        assert_eq!(received.data.len(), DATAGRAM_BYTES);
    }

    #[test]
    fn a_turn_takes_from_several_sockets_and_from_none_more_than_its_share() {
        let bind = || UdpSocket::bind("127.0.0.1:0".parse().unwrap(), 65536).unwrap();
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
}
