//! One far side of one call: a socket, a stream out, a stream in.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use trunkline_media::net::{DATAGRAM_BYTES, DatagramKind, Pt, SeqNo, Ssrc};
use trunkline_media::rtp::Header;

use crate::figures::Figures;
use crate::sound::Sound;
use crate::webrtc::Session;

/// A leg refreshes its ICE consent with every so many packets: 5 s.
const PACKETS_PER_CHECK: usize = 250;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Of a stamp: the packet was sent within the window.
const COUNTED: u64 = 1 << 63;

/// A socket with what is needed to be one side of a call.
pub(crate) struct Leg {
    socket: UdpSocket,
    target: Option<SocketAddr>,
    sound: Sound,
    session: Option<Session>,
    header: Header,
    packet: usize,
    mark_made: Option<Instant>,
    expected: Option<SeqNo>,
}

impl Leg {
    /// Binds a port of the loopback address. `index` makes the SSRC.
    pub(crate) fn open(index: u32, sound: Sound) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let header = Header::new(Pt(sound.pt), SeqNo(1), 0, Ssrc(0x1000_0000 + index));
        Self { socket, target: None, sound, session: None, header, packet: 0, mark_made: None, expected: None }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub(crate) const fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Says where to send. `session`: this side speaks DTLS-SRTP.
    pub(crate) fn set_target(&mut self, target: SocketAddr, session: Option<Session>) {
        self.target = Some(target);
        self.session = session;
    }

    /// When the last mark was sent, if it was not asked for yet.
    pub(crate) const fn take_mark(&mut self) -> Option<Instant> {
        self.mark_made.take()
    }

    /// Does ICE and DTLS, where the leg has them, to the end.
    pub(crate) fn connect(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        let mut buffer = [0; DATAGRAM_BYTES];
        let deadline = Instant::now() + CONNECT_LIMIT;
        while !session.is_connected() {
            let now = Instant::now();
            assert!(now < deadline, "{} does not connect", self.local());
            while let Some(length) = session.poll_transmit(now, &mut buffer) {
                self.transmit(&buffer[..length]);
            }
            match self.socket.recv(&mut buffer) {
                Ok(length) => session.handle_datagram(now, &buffer[..length]),
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
        // In DTLS 1.3 the client's last flight is still to go.
        while let Some(length) = session.poll_transmit(Instant::now(), &mut buffer) {
            self.transmit(&buffer[..length]);
        }
        self.session = Some(session);
    }

    /// Sends the stream's next packet.
    pub(crate) fn send(&mut self, figures: &mut Figures) {
        let mut buffer = [0; DATAGRAM_BYTES];
        if self.packet % PACKETS_PER_CHECK == PACKETS_PER_CHECK / 2
            && let Some(session) = &mut self.session
        {
            let length = session.write_check(&mut buffer);
            self.transmit(&buffer[..length]);
        }
        let header_bytes = self.header.write(&mut buffer).unwrap();
        let payload = self.sound.payload(self.packet);
        let mut length = header_bytes + payload.len();
        buffer[header_bytes..length].copy_from_slice(payload);
        if self.sound.is_mark(self.packet) {
            self.mark_made = Some(Instant::now());
        } else if self.sound.is_stamped() {
            let stamp = nanoseconds(figures.start.elapsed()) | if figures.is_counting { COUNTED } else { 0 };
            buffer[header_bytes..header_bytes + 8].copy_from_slice(&stamp.to_be_bytes());
        }
        if let Some(session) = &mut self.session {
            length = session.protect(&mut buffer, length);
        }
        self.transmit(&buffer[..length]);
        figures.sent += u64::from(figures.is_counting);
        self.packet += 1;
        self.header.seq = self.header.seq.next();
        self.header.timestamp = self.header.timestamp.wrapping_add(self.sound.timestamp_step);
    }

    /// Takes in one datagram. If a mark begins in it, returns when its first sample is heard.
    pub(crate) fn receive(&mut self, figures: &mut Figures) -> Option<Instant> {
        let mut buffer = [0; DATAGRAM_BYTES];
        let mut length = self.socket.recv(&mut buffer).ok()?;
        let now = Instant::now();
        // The browser side has STUN and RTCP on the same port.
        if DatagramKind::of(&buffer[..length]) != Some(DatagramKind::Rtp) {
            return None;
        }
        if let Some(session) = &mut self.session {
            // Nothing of the packet is good then, and it fails below.
            length = session.unprotect(&mut buffer[..length]).unwrap_or(0);
        }
        let Ok(header) = Header::parse(&buffer[..length]) else {
            figures.wrong += 1;
            return None;
        };
        figures.arrived += u64::from(figures.is_counting);
        let gap = self.expected.map_or(0, |expected| header.seq.distance(expected));
        figures.lost += u64::try_from(gap).unwrap_or(0);
        self.expected = Some(header.seq.next());
        let payload = header.payload_of(&buffer[..length]);
        if self.sound.is_stamped() {
            self.note_stamped(payload, now, figures);
            return None;
        }
        figures.received += u64::from(figures.is_counting);
        let sample = u32::try_from(self.sound.hear(payload)?).unwrap();
        Some(now + Duration::from_micros(125) * sample)
    }

    fn note_stamped(&self, payload: &[u8], now: Instant, figures: &mut Figures) {
        let Some((stamp, _)) = payload.split_first_chunk::<8>() else {
            figures.wrong += 1;
            return;
        };
        // What comes is what went, but for the stamp.
        figures.wrong += u64::from(payload[8..] != self.sound.payload(0)[8..]);
        let stamp = u64::from_be_bytes(*stamp);
        if stamp & COUNTED != 0 {
            figures.received += 1;
            let sent = figures.start + Duration::from_nanos(stamp & !COUNTED);
            figures.note_delay(now.saturating_duration_since(sent));
        }
    }

    /// A datagram that the kernel refuses is lost, and counted as such by who misses it.
    fn transmit(&self, datagram: &[u8]) {
        let _ = self.socket.send_to(datagram, self.target.unwrap());
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}
