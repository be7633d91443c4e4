//! One far side of one call: a socket, a stream out, a stream in.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use trunkline_media::error::DropReason;
use trunkline_media::net::{DATAGRAM_BYTES, DatagramKind, Pt, SeqNo, Ssrc};
use trunkline_media::rtp::Header;
use trunkline_media::srtp;

use crate::figures::{Figures, Part};
use crate::sound::Sound;
use crate::webrtc::Session;
use crate::wire::{Inbox, Stamp, Wire};

/// A browser refreshes its ICE consent with every so many packets: 5 s.
const PACKETS_PER_CHECK: usize = 250;
/// A socket is emptied with every so many packets.
const PACKETS_PER_CLEARANCE: usize = 8;
/// Where a stamp keeps the part of the run in which its packet was sent.
const PART_SHIFT: u32 = 62;

/// How a leg's media is secured.
pub(crate) enum Security {
    /// Plain RTP.
    None,
    /// Keys from SDP.
    Sdes(Box<Contexts>),
    /// ICE and DTLS.
    Browser(Box<Session>),
}

/// SRTP both ways.
pub(crate) struct Contexts {
    pub(crate) send: srtp::Context,
    pub(crate) receive: srtp::Context,
}

impl Security {
    /// Encrypts the packet in `buffer[..length]` in place; returns its new length.
    fn protect(&mut self, buffer: &mut [u8], length: usize) -> usize {
        match self {
            Self::None => length,
            Self::Sdes(contexts) => contexts.send.protect_rtp(buffer, length).unwrap(),
            Self::Browser(session) => session.protect(buffer, length),
        }
    }

    /// Authenticates and decrypts a packet in place; returns its new length.
    fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        match self {
            Self::None => Ok(packet.len()),
            Self::Sdes(contexts) => contexts.receive.unprotect_rtp(packet),
            Self::Browser(session) => session.unprotect(packet),
        }
    }
}

/// A socket with what is needed to be one side of a call.
pub(crate) struct Leg {
    wire: Wire,
    sound: Sound,
    security: Security,
    header: Header,
    packet: usize,
    mark_made: Option<(Stamp, Part)>,
    expected: Option<SeqNo>,
}

impl Leg {
    /// Binds a port of a local address. `index` makes the SSRC and the place in the sound to begin at.
    pub(crate) fn open(host: IpAddr, index: u32, sound: Sound) -> Self {
        let header = Header::new(Pt(sound.pt), SeqNo(1), 0, Ssrc(0x1000_0000 + index));
        Self {
            wire: Wire::open(host).unwrap(),
            sound,
            security: Security::None,
            header,
            packet: index as usize,
            mark_made: None,
            expected: None,
        }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.wire.local().unwrap()
    }

    pub(crate) fn set_target(&mut self, target: SocketAddr, security: Security) {
        self.wire.connect(target).unwrap();
        self.security = security;
    }

    /// When and where in the run the last mark was sent, if it was not asked for yet.
    pub(crate) const fn take_mark(&mut self) -> Option<(Stamp, Part)> {
        self.mark_made.take()
    }

    /// Whether media can flow.
    pub(crate) fn is_connected(&self) -> bool {
        !matches!(&self.security, Security::Browser(session) if !session.is_connected())
    }

    /// Does the next bit of ICE and DTLS: one datagram in, what follows from it out.
    pub(crate) fn connect(&mut self, inbox: &mut Inbox) {
        let Security::Browser(session) = &mut self.security else { return };
        let now = Instant::now();
        while let Some((datagram, _)) = self.wire.receive(inbox) {
            session.handle_datagram(now, datagram);
        }
        let mut buffer = [0; DATAGRAM_BYTES];
        while let Some(length) = session.poll_transmit(now, &mut buffer) {
            self.wire.send(&buffer[..length]);
        }
    }

    /// Sends the stream's next packet.
    pub(crate) fn send(&mut self, figures: &mut Figures) {
        let mut buffer = [0; DATAGRAM_BYTES];
        if self.packet % PACKETS_PER_CHECK == PACKETS_PER_CHECK / 2
            && let Security::Browser(session) = &mut self.security
        {
            let length = session.write_check(&mut buffer);
            self.wire.send(&buffer[..length]);
        }
        let header_bytes = self.header.write(&mut buffer).unwrap();
        let payload = self.sound.payload(self.packet);
        let length = header_bytes + payload.len();
        buffer[header_bytes..length].copy_from_slice(payload);
        let now = Stamp::now();
        if self.sound.is_mark(self.packet) {
            self.mark_made = Some((now, figures.part));
            figures.now().marks += 1;
        } else if self.sound.is_stamped() {
            let stamp = now.0 | (figures.part as u64) << PART_SHIFT;
            buffer[header_bytes..header_bytes + 8].copy_from_slice(&stamp.to_be_bytes());
        }
        let length = self.security.protect(&mut buffer, length);
        self.wire.send(&buffer[..length]);
        figures.now().sent += 1;
        self.packet += 1;
        self.header.seq = self.header.seq.next();
        self.header.timestamp = self.header.timestamp.wrapping_add(self.sound.timestamp_step);
    }

    /// Takes in what has arrived. If a mark begins in it, returns when its first sample is heard.
    ///
    /// That is one datagram as a rule, since as many come as go. To look whether there is another one costs a system
    /// call, so that is done now and then.
    pub(crate) fn receive(&mut self, inbox: &mut Inbox, figures: &mut Figures) -> Option<Stamp> {
        let mut heard = None;
        let most = if self.packet.is_multiple_of(PACKETS_PER_CLEARANCE) { usize::MAX } else { 1 };
        for _ in 0..most {
            let Some((datagram, arrived)) = self.wire.receive(inbox) else { break };
            // A browser has STUN and RTCP on the same port, and a phone may.
            if DatagramKind::of(datagram) == Some(DatagramKind::Rtp) {
                heard = self.take(datagram, arrived, figures).or(heard);
            }
        }
        heard
    }

    fn take(&mut self, datagram: &mut [u8], arrived: Stamp, figures: &mut Figures) -> Option<Stamp> {
        // Nothing is good of what is not authentic, and it fails below.
        let length = self.security.unprotect(datagram).unwrap_or(0);
        let packet = &datagram[..length];
        let header = Header::parse(packet).ok().filter(|header| header.pt == self.header.pt);
        let counts = figures.now();
        let Some(header) = header else {
            counts.wrong += 1;
            return None;
        };
        counts.arrived += 1;
        let gap = self.expected.map_or(0, |expected| header.seq.distance(expected));
        counts.lost += u64::try_from(gap).unwrap_or(0);
        counts.reordered += u64::from(gap < 0);
        if gap >= 0 {
            self.expected = Some(header.seq.next());
        }
        let payload = header.payload_of(packet);
        if self.sound.is_stamped() {
            self.note_stamped(payload, arrived, figures);
            return None;
        }
        counts.received += 1;
        let sample = u32::try_from(self.sound.hear(payload)?).unwrap();
        Some(arrived.plus(Duration::from_micros(125) * sample))
    }

    fn note_stamped(&self, payload: &[u8], arrived: Stamp, figures: &mut Figures) {
        // What comes is what went, but for the stamp.
        let stamp = payload.split_first_chunk::<8>().filter(|(_, rest)| **rest == self.sound.payload(0)[8..]);
        let Some((stamp, _)) = stamp else {
            figures.now().wrong += 1;
            return;
        };
        let stamp = u64::from_be_bytes(*stamp);
        let part = Part::of(stamp >> PART_SHIFT);
        figures.of(part).received += 1;
        figures.note_delay(part, arrived.since(Stamp(stamp & !(3 << PART_SHIFT))));
    }
}
