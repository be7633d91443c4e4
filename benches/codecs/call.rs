//! One call in memory, and what its far sides say.

use std::hint::black_box;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use trunkline_media::bridge::{Bridge, CallId, Dtmf, LegIndex, StreamParameters};
use trunkline_media::codecs::{Codec, Encoded, EncoderSettings};
use trunkline_media::dtls::Certificate;
use trunkline_media::endpoint::{
    Direction, Endpoint, EndpointId, Identity, Lane, Limits, Remote, RtcpParameters, Security, SocketIds,
};
use trunkline_media::net::{Pt, SeqNo, SrtpKeys, SrtpProfile, Ssrc};
use trunkline_media::outbox::{Outbox, SocketId};
use trunkline_media::pipeline::{FirstNumbers, Format};
use trunkline_media::rtcp::WallClock;
use trunkline_media::rtp::Header;
use trunkline_media::srtp::Context;

use crate::sound::speech;

const FRAME: Duration = Duration::from_millis(20);
const PROFILE: SrtpProfile = SrtpProfile::Aes128CmSha1_80;

/// A codec as it is negotiated.
pub(crate) struct CodecRow {
    pub(crate) label: &'static str,
    name: &'static str,
    clock_rate_hz: u32,
    channels: u8,
    pt: u8,
    parameters: &'static [(&'static str, &'static str)],
}

const fn row(label: &'static str, name: &'static str, clock_rate_hz: u32, pt: u8) -> CodecRow {
    CodecRow { label, name, clock_rate_hz, channels: 1, pt, parameters: &[] }
}

/// Every codec, once.
pub(crate) const CODECS: &[CodecRow] = &[
    CodecRow { channels: 2, parameters: &[("useinbandfec", "1")], ..row("Opus", "opus", 48_000, 111) },
    row("PCMU", "PCMU", 8_000, 0),
    row("PCMA", "PCMA", 8_000, 8),
    row("G.722", "G722", 8_000, 9),
    CodecRow { parameters: &[("annexb", "no")], ..row("G.729", "G729", 8_000, 18) },
    row("Speex NB", "speex", 8_000, 97),
    row("Speex WB", "speex", 16_000, 98),
    row("L16", "L16", 16_000, 99),
];

/// What a far side says: payloads of 20 ms.
pub(crate) struct Recording {
    pub(crate) codec: &'static CodecRow,
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl Recording {
    pub(crate) fn new(codec: &'static CodecRow, packets: usize) -> Self {
        let format = format(codec);
        let sample_rate_hz = format.codec.native_sample_rate_hz();
        let settings = EncoderSettings { sample_rate_hz, ..EncoderSettings::default() };
        let mut encoder = format.codec.encoder(&settings).unwrap();
        let frame = usize::try_from(sample_rate_hz / 50).unwrap();
        let sound = speech(sample_rate_hz, packets.div_ceil(50));
        let payload = |pcm: &[i16]| {
            let mut payload = vec![0; 1_400];
            match encoder.encode(pcm, &mut payload).unwrap() {
                Encoded::Payload(len) => payload.truncate(len),
                Encoded::Silence => payload.clear(),
            }
            payload
        };
        Self { codec, payloads: sound.chunks_exact(frame).take(packets).map(payload).collect() }
    }
}

impl CodecRow {
    pub(crate) fn codec(&self) -> Codec {
        Codec::new(self.name, self.clock_rate_hz, self.channels, self.parameters.iter().copied()).unwrap()
    }
}

fn format(row: &CodecRow) -> Format {
    Format { pt: Pt(row.pt), codec: row.codec() }
}

/// Datagrams of one packet time: from the leg under SRTP, from the plain one.
pub(crate) type Step = (Vec<u8>, Vec<u8>);

/// A call between two far sides: the first one speaks SRTP.
pub(crate) struct Call<'a> {
    bridge: Bridge,
    outbox: Outbox,
    now: Instant,
    legs: [LegIndex; 2],
    far: [SocketAddr; 2],
    said: [&'a Recording; 2],
    formats: [Format; 2],
    protection: Context,
    sent: usize,
    steps: usize,
}

impl<'a> Call<'a> {
    pub(crate) fn new(one: &'a Recording, other: &'a Recording, settings: EncoderSettings) -> Self {
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let limits = Limits {
            setup: minute,
            consent: minute,
            first_packet: minute,
            inactivity: minute,
            inactivity_held: minute,
        };
        let keys = SrtpKeys {
            profile: PROFILE,
            local_key: vec![1; PROFILE.key_bytes()],
            local_salt: vec![2; PROFILE.salt_bytes()],
            remote_key: vec![3; PROFILE.key_bytes()],
            remote_salt: vec![4; PROFILE.salt_bytes()],
        };
        let protection = Context::new(PROFILE, &keys.remote_key, &keys.remote_salt).unwrap();
        let certificate = Certificate::generate().unwrap();
        let clock = WallClock::new(now, Duration::from_secs(1_700_000_000));
        let mut outbox = Outbox::new(64);
        let mut bridge = Bridge::new(CallId(1));
        let far = [SocketAddr::from(([192, 0, 2, 1], 4_000)), SocketAddr::from(([192, 0, 2, 2], 4_000))];
        let formats = [format(one.codec), format(other.codec)];
        let mut add = |place: u32, security: Security| {
            let identity = Identity {
                id: EndpointId(u64::from(place)),
                ssrc: Ssrc(place),
                cname: "us".into(),
                seed: u64::from(place),
            };
            let sockets = SocketIds { rtp: SocketId(2 * place), rtcp: SocketId(2 * place + 1) };
            let endpoint = Endpoint::rtp(identity, sockets, certificate.clone(), limits, clock);
            let first = FirstNumbers { seq: SeqNo(1), timestamp: 1 };
            let leg = bridge.add(endpoint, first, settings).unwrap();
            let (rtp, format) = if place == 0 { (far[0], formats[0]) } else { (far[1], formats[1]) };
            let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
            let stream = StreamParameters {
                receive: vec![format],
                send: vec![format],
                ptime_ms: 20,
                direction: Direction::SendRecv,
                dtmf: Dtmf::default(),
                rtcp: RtcpParameters::default(),
            };
            let remote = Remote::Rtp { rtp, rtcp, is_muxed: false, security };
            bridge.set_remote(now, leg, remote, &stream, &mut outbox).unwrap();
            leg
        };
        let legs = [add(0, Security::Sdes(keys)), add(1, Security::Clear)];
        bridge.join(legs[0], legs[1]).unwrap();
        let said = [one, other];
        Self { bridge, outbox, now, legs, far, said, formats, protection, sent: 0, steps: 0 }
    }

    /// What the far sides send in these packet times, ready to arrive.
    pub(crate) fn packets(&mut self, steps: Range<usize>) -> Vec<Step> {
        steps
            .map(|step| {
                let mut protected = self.packet(0, step);
                let len = protected.len();
                protected.resize(len + 32, 0);
                let len = self.protection.protect_rtp(&mut protected, len).unwrap();
                protected.truncate(len);
                (protected, self.packet(1, step))
            })
            .collect()
    }

    fn packet(&self, side: usize, step: usize) -> Vec<u8> {
        let number = u32::try_from(step).unwrap();
        let format = self.formats[side];
        let timestamp = number * (format.codec.clock_rate_hz() / 50);
        let mut data = vec![0; 12];
        let seq = SeqNo(u16::try_from(number % 65_536).unwrap());
        Header::new(format.pt, seq, timestamp, Ssrc(70)).write(&mut data).unwrap();
        data.extend(&self.said[side].payloads[step]);
        data
    }

    /// Lives for as long as these packets take.
    pub(crate) fn run(&mut self, packets: &mut [Step]) {
        for (one, other) in packets {
            for (side, data) in [one, other].into_iter().enumerate() {
                let from = (self.legs[side], Lane::Rtp);
                let _ = self.bridge.handle_datagram(self.now, from, self.far[side], data, &mut self.outbox);
            }
            let end = self.now + FRAME;
            while let Some(due) = self.bridge.poll_timeout().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                self.bridge.handle_timeout(self.now, &mut self.outbox);
            }
            self.now = end;
            for transmit in self.outbox.iter() {
                black_box(transmit.data);
                self.sent += 1;
            }
            self.outbox.clear();
            while self.bridge.poll_event().is_some() {}
            self.steps += 1;
        }
    }

    /// Fails unless nearly every packet came out on the other side.
    pub(crate) fn assert_spoken(&self) {
        assert!(self.sent * 10 > self.steps * 19, "{} packets out of {} steps", self.sent, self.steps);
    }
}
