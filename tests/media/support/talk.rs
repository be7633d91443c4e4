//! Far sides that speak a codec in packets of any length, and what was made of it at the other end.

use std::time::Duration;

use trunkline_media::bridge::{LegIndex, StreamParameters};
use trunkline_media::codecs::{Decoder, Encoded, Encoder, EncoderSettings};
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::endpoint::SocketIds;
use trunkline_media::net::{SeqNo, Ssrc};
use trunkline_media::outbox::SocketId;
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use super::memory::Lab;
use super::sound::Heard;
use super::stream;

pub(crate) const A: SocketIds = SocketIds { rtp: SocketId(1), rtcp: SocketId(2) };
pub(crate) const B: SocketIds = SocketIds { rtp: SocketId(3), rtcp: SocketId(4) };

/// What a leg negotiates: packets of this length are to be sent to it.
pub(crate) fn with_ptime(formats: &[Format], ptime_ms: u32) -> StreamParameters {
    StreamParameters { ptime_ms, ..stream(formats) }
}

/// Two plain legs that are joined.
pub(crate) fn joined(a: &StreamParameters, b: &StreamParameters) -> (Lab, LegIndex, LegIndex) {
    let mut lab = Lab::new();
    let (a, b) = (lab.rtp_leg_on(A, a), lab.rtp_leg_on(B, b));
    lab.bridge.join(a, b).unwrap();
    (lab, a, b)
}

/// One stream under one SSRC, whose codec and packet length may change.
pub(crate) struct Talker {
    format: Format,
    encoder: Box<dyn Encoder>,
    frequency_hz: f64,
    oscillator: Oscillator,
    seq: u16,
    timestamp: u32,
}

impl Talker {
    /// A tone at -10 dBm0.
    pub(crate) fn new(format: Format, frequency_hz: f64) -> Self {
        let oscillator = tone(format, frequency_hz);
        Self { format, encoder: encoder_of(format), frequency_hz, oscillator, seq: 65_500, timestamp: u32::MAX - 9_000 }
    }

    /// Goes on in another codec of the same clock.
    pub(crate) fn switch(&mut self, format: Format) {
        assert_eq!(format.codec.clock_rate_hz(), self.format.codec.clock_rate_hz());
        if format.codec.native_sample_rate_hz() != self.format.codec.native_sample_rate_hz() {
            self.oscillator = tone(format, self.frequency_hz);
        }
        (self.format, self.encoder) = (format, encoder_of(format));
    }

    /// The next packet; None while the codec sends nothing. `is_silent`: in place of the tone.
    pub(crate) fn packet(&mut self, ptime_ms: u32, is_silent: bool) -> Option<Vec<u8>> {
        let rate_hz = self.format.codec.native_sample_rate_hz();
        let mut pcm = vec![0; usize::try_from(rate_hz * ptime_ms / 1_000).unwrap()];
        if !is_silent {
            self.oscillator.fill(&mut pcm);
        }
        let mut payload = vec![0; 1_920];
        let len = match self.encoder.encode(&pcm, &mut payload).unwrap() {
            Encoded::Payload(len) => len,
            Encoded::Silence => 0,
        };
        let packet = (len > 0).then(|| self.wrap(&payload[..len]));
        self.timestamp = self.timestamp.wrapping_add(self.format.codec.clock_rate_hz() * ptime_ms / 1_000);
        packet
    }

    /// A packet with this payload at the present time.
    pub(crate) fn wrap(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut data = vec![0; 12];
        Header::new(self.format.pt, SeqNo(self.seq), self.timestamp, Ssrc(77)).write(&mut data).unwrap();
        data.extend(payload);
        self.seq = self.seq.wrapping_add(1);
        data
    }

    /// Loses the packet that would come now.
    pub(crate) fn lose(&mut self) {
        self.seq = self.seq.wrapping_add(1);
    }
}

fn tone(format: Format, frequency_hz: f64) -> Oscillator {
    Oscillator::new(&[frequency_hz], -10.0, format.codec.native_sample_rate_hz())
}

fn encoder_of(format: Format) -> Box<dyn Encoder> {
    let sample_rate_hz = format.codec.native_sample_rate_hz();
    format.codec.encoder(&EncoderSettings { sample_rate_hz, ..EncoderSettings::default() }).unwrap()
}

/// What one leg was sent.
pub(crate) struct Ear {
    socket: SocketId,
    format: Format,
    decoder: Box<dyn Decoder>,
    pub(crate) heard: Heard,
    /// Milliseconds of audio in each packet.
    pub(crate) lengths_ms: Vec<u32>,
    /// Timestamp and length of the packet before, in units of the clock.
    before: Option<(u32, u32)>,
    /// Units of time that no packet covers.
    pub(crate) gap_units: u32,
}

impl Ear {
    pub(crate) fn new(socket: SocketId, format: Format) -> Self {
        let rate_hz = format.codec.native_sample_rate_hz();
        let heard = Heard { samples: Vec::new(), rate_hz };
        let decoder = format.codec.decoder(rate_hz).unwrap();
        Self { socket, format, decoder, heard, lengths_ms: Vec::new(), before: None, gap_units: 0 }
    }

    /// Takes what was sent; returns how many packets that were.
    pub(crate) fn listen(&mut self, lab: &mut Lab) -> usize {
        let sent = lab.sent_through(self.socket);
        for data in &sent {
            let header = Header::parse(data).unwrap();
            assert_eq!(header.pt, self.format.pt, "what this leg has negotiated");
            let mut pcm = [0; 5_760];
            let samples = self.decoder.decode(header.payload_of(data), &mut pcm).unwrap();
            self.heard.samples.extend(&pcm[..samples]);
            let ms = u32::try_from(samples).unwrap() * 1_000 / self.heard.rate_hz;
            let units = ms * self.format.codec.clock_rate_hz() / 1_000;
            if let Some((timestamp, units)) = self.before {
                self.gap_units += header.timestamp.wrapping_sub(timestamp.wrapping_add(units));
            }
            self.before = Some((header.timestamp, units));
            self.lengths_ms.push(ms);
        }
        sent.len()
    }

    /// The level of the loudest 20 ms, in dBm0.
    pub(crate) fn loudest_dbm0(&self) -> f64 {
        let frame = usize::try_from(self.heard.rate_hz / 50).unwrap();
        let level = |samples: &[i16]| Heard { samples: samples.to_vec(), ..self.heard }.level_dbm0();
        self.heard.samples.chunks(frame).map(level).fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Lets a packet time go by: the packet arrives, if there is one, and what leaves is heard.
pub(crate) fn pass(lab: &mut Lab, (leg, packet): (LegIndex, Option<Vec<u8>>), ear: &mut Ear, ms: u32) -> usize {
    if let Some(mut data) = packet {
        let _ = lab.rtp_datagram(leg, &mut data);
    }
    lab.advance(Duration::from_millis(ms.into()));
    lab.events();
    ear.listen(lab)
}
