//! An engine of its own for each test, and the peers that talk to it.

pub(crate) mod browser;
pub(crate) mod cores;
pub(crate) mod libbcg729;
pub(crate) mod libsrtp;
pub(crate) mod memory;
pub(crate) mod phone;
pub(crate) mod secure;
pub(crate) mod sound;
pub(crate) mod stalls;
pub(crate) mod talk;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trunkline_media::bridge::{CallId, Dtmf, Stats, StreamParameters};
use trunkline_media::codecs::{Codec, is_speex_available};
use trunkline_media::endpoint::{Direction, EndpointId, Remote, RtcpParameters};
use trunkline_media::engine::{
    Command, Engine, EngineConfig, Event, Local, PlaySource, Request, RequestId, TransportKind,
};
use trunkline_media::net::Pt;
use trunkline_media::pipeline::{Format, Source};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The clock of the tests that talk to a running engine.
#[expect(clippy::disallowed_methods, reason = "the engine under test runs in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sleeps until `at`: paces real-time media, never waits for a result.
#[expect(clippy::disallowed_methods, reason = "packets are sent in real time")]
pub(crate) fn sleep_until(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(now()));
}

/// Waits until something is so, or fails.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = now() + PATIENCE;
    while !is_so() {
        assert!(now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep_until(now() + Duration::from_millis(1));
    }
}

/// Receives until there are so many, or until the patience is at its end: the caller judges what has come.
pub(crate) fn catch_up<T>(received: &mut Vec<T>, wanted: usize, mut receive: impl FnMut() -> Vec<T>) {
    let deadline = now() + PATIENCE;
    received.extend(receive());
    while received.len() < wanted && now() < deadline {
        sleep_until(now() + Duration::from_millis(1));
        received.extend(receive());
    }
}

/// A loopback address that no other test uses, so that port ranges never meet.
pub(crate) fn own_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = u8::try_from(std::process::id() % 200).unwrap() + 20;
    Ipv4Addr::new(127, process, high, low + 1).into()
}

pub(crate) fn codec(name: &str, clock_rate_hz: u32, channels: u8) -> Codec {
    Codec::new(name, clock_rate_hz, channels, []).unwrap()
}

pub(crate) fn opus() -> Format {
    Format { pt: Pt(111), codec: codec("opus", 48_000, 2) }
}

pub(crate) fn pcmu() -> Format {
    Format { pt: Pt(0), codec: codec("PCMU", 8_000, 1) }
}

pub(crate) fn pcma() -> Format {
    Format { pt: Pt(8), codec: codec("PCMA", 8_000, 1) }
}

pub(crate) fn g722() -> Format {
    Format { pt: Pt(9), codec: codec("G722", 8_000, 1) }
}

pub(crate) fn g729() -> Format {
    Format { pt: Pt(18), codec: codec("G729", 8_000, 1) }
}

/// Narrow-band or wide-band Speex, by its clock rate.
pub(crate) fn speex(clock_rate_hz: u32) -> Format {
    Format { pt: Pt(if clock_rate_hz == 8_000 { 97 } else { 98 }), codec: codec("speex", clock_rate_hz, 1) }
}

/// L16 at this rate.
pub(crate) fn l16(clock_rate_hz: u32) -> Format {
    let pt = match clock_rate_hz {
        8_000 => 99,
        16_000 => 100,
        44_100 => 11,
        _ => 102,
    };
    Format { pt: Pt(pt), codec: codec("L16", clock_rate_hz, 1) }
}

/// A codec as the settings name it.
pub(crate) fn name(format: Format) -> String {
    format!("{}/{}", format.codec.kind().name(), format.codec.clock_rate_hz())
}

/// Comfort noise.
pub(crate) fn cn() -> Format {
    Format { pt: Pt(13), codec: codec("CN", 8_000, 1) }
}

/// A codec with parameters.
pub(crate) fn asked(format: Format, fmtp: &[(&str, &str)]) -> Format {
    let Format { pt, codec } = format;
    let parameters = fmtp.iter().copied();
    let codec = Codec::new(codec.kind().name(), codec.clock_rate_hz(), codec.channels(), parameters).unwrap();
    Format { pt, codec }
}

/// Every codec that this machine can code, each rate of its own once. Where CI is set, that is all there is.
#[expect(clippy::print_stderr, reason = "says what is left out")]
pub(crate) fn speech() -> Vec<Format> {
    let mut formats = vec![opus(), pcmu(), pcma(), g722(), g729(), l16(8_000), l16(16_000), l16(44_100), l16(48_000)];
    if is_speex_available() {
        formats.extend([speex(8_000), speex(16_000)]);
    } else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs every test: install libspeex1");
        eprintln!("without Speex, since libspeex1 is not installed");
    }
    formats
}

pub(crate) fn events(pt: u8, clock_rate_hz: u32) -> Format {
    Format { pt: Pt(pt), codec: codec("telephone-event", clock_rate_hz, 1) }
}

pub(crate) fn stream(formats: &[Format]) -> StreamParameters {
    StreamParameters {
        receive: formats.to_vec(),
        send: formats.to_vec(),
        ptime_ms: 20,
        direction: Direction::SendRecv,
        dtmf: Dtmf::default(),
        rtcp: RtcpParameters::default(),
    }
}

/// A running engine with one worker, and the commands of a controller.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) ip: IpAddr,
    /// Of the gateway's certificate, once an RTP port told it.
    pub(crate) fingerprint: String,
    /// Where the latest RTP port is reached in the other address family.
    pub(crate) other_family: Option<(SocketAddr, SocketAddr)>,
    waiting: Vec<Event>,
}

/// A SIP-side endpoint of the engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RtpPort {
    pub(crate) id: EndpointId,
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: SocketAddr,
}

/// A browser-side endpoint of the engine.
#[derive(Debug, Clone)]
pub(crate) struct WebPort {
    pub(crate) id: EndpointId,
    pub(crate) address: SocketAddr,
    pub(crate) ufrag: String,
    pub(crate) pwd: String,
    pub(crate) fingerprint: String,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self::on(own_address(), change)
    }

    pub(crate) fn on(ip: IpAddr, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mut config = EngineConfig {
            workers: 1,
            webrtc_bind: SocketAddr::new(ip, 0),
            rtp_bind: ip,
            rtp_ports: (20_000, 20_999),
            ..EngineConfig::default()
        };
        change(&mut config);
        Self {
            engine: Engine::start(config).unwrap(),
            ip,
            fingerprint: String::new(),
            other_family: None,
            waiting: Vec::new(),
        }
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn ask(&mut self, call: CallId, command: Command) -> Event {
        let id = self.submit(call, command);
        self.expect(|event| (request_of(event) == Some(id)).then(|| event.clone()))
    }

    /// Gives a command that must succeed.
    pub(crate) fn tell(&mut self, call: CallId, command: Command) {
        let answer = self.ask(call, command);
        assert!(matches!(answer, Event::CommandDone { .. }), "{answer:?}");
    }

    /// Gives a command that must be refused; for which reason.
    pub(crate) fn refusal(&mut self, call: CallId, command: Command) -> &'static str {
        match self.ask(call, command) {
            Event::CommandFailed { kind, .. } => kind,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub(crate) fn submit(&mut self, call: CallId, command: Command) -> RequestId {
        let id = RequestId(number());
        self.engine.submit(Request { id, call, command }).unwrap();
        id
    }

    /// Waits for the first event that `pick` takes; others are kept for later calls.
    pub(crate) fn expect<T>(&mut self, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(found) = self.take(&mut pick) {
                return found;
            }
            assert!(self.engine.wait(deadline.saturating_duration_since(now())), "no such event in {:?}", self.waiting);
            self.engine.poll_events(&mut self.waiting, 64);
        }
    }

    /// Waits until the engine has agreed on keys for `endpoint`.
    pub(crate) fn expect_keys(&mut self, endpoint: EndpointId) {
        self.expect(|event| match event {
            Event::DtlsStateChanged { endpoint: of, result: Ok(_), .. } => (*of == endpoint).then_some(()),
            _ => None,
        });
    }

    /// Everything that has been told and not been taken.
    pub(crate) fn told(&mut self) -> Vec<Event> {
        self.engine.poll_events(&mut self.waiting, usize::MAX);
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn rtp_port(&mut self, call: CallId) -> RtpPort {
        self.try_rtp_port(call).unwrap()
    }

    /// The refusal's kind if there is no port.
    pub(crate) fn try_rtp_port(&mut self, call: CallId) -> Result<RtpPort, &'static str> {
        let endpoint = EndpointId(number());
        let transport = TransportKind::Rtp { is_muxed: false };
        match self.ask(call, Command::CreateEndpoint { endpoint, transport }) {
            Event::EndpointReady { endpoint: id, local: Local::Rtp { addresses, fingerprint, .. }, .. } => {
                self.fingerprint = fingerprint;
                let (rtp, rtcp) = addresses[0];
                self.other_family = addresses.get(1).copied();
                Ok(RtpPort { id, rtp, rtcp })
            }
            Event::CommandFailed { kind, .. } => Err(kind),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn web_port(&mut self, call: CallId) -> WebPort {
        let endpoint = EndpointId(number());
        match self.ask(call, Command::CreateEndpoint { endpoint, transport: TransportKind::WebRtc }) {
            Event::EndpointReady {
                endpoint: id,
                local: Local::WebRtc { candidates, ice_ufrag, ice_pwd, fingerprint, .. },
                ..
            } => WebPort { id, address: candidates[0], ufrag: ice_ufrag, pwd: ice_pwd, fingerprint },
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn set_remote(&mut self, call: CallId, endpoint: EndpointId, remote: Remote, audio: StreamParameters) {
        self.tell(call, Command::SetRemote { endpoint, remote, audio });
    }

    pub(crate) fn join(&mut self, call: CallId, a: EndpointId, b: EndpointId) {
        self.tell(call, Command::Bridge { a, b });
    }

    pub(crate) fn play(&mut self, call: CallId, endpoint: EndpointId, source: Source) {
        self.tell(call, Command::Play { endpoint, source: PlaySource::Ready(source) });
    }

    pub(crate) fn stats(&mut self, call: CallId, endpoint: EndpointId) -> Stats {
        match self.ask(call, Command::GetStats { endpoint }) {
            Event::Stats { stats, .. } => *stats,
            other => panic!("{other:?}"),
        }
    }

    /// Ends an endpoint and waits until it is gone.
    pub(crate) fn close(&mut self, call: CallId, endpoint: EndpointId) {
        let answer = self.ask(call, Command::Close { endpoint });
        assert!(matches!(answer, Event::EndpointClosed { reason: "closed", .. }), "{answer:?}");
    }

    /// Waits until the endpoint ends by itself; why.
    pub(crate) fn end_of(&mut self, wanted: EndpointId) -> &'static str {
        self.expect(|event| match event {
            Event::EndpointClosed { endpoint, reason, .. } if *endpoint == wanted => Some(*reason),
            _ => None,
        })
    }

    /// Datagrams dropped for this reason so far.
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        self.engine.totals().drops.iter().find(|(name, _)| *name == reason).unwrap().1
    }

    /// Datagrams that the workers have taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.engine.totals().datagrams_received
    }

    /// Waits until the workers have taken so many datagrams.
    #[track_caller]
    pub(crate) fn await_taken(&self, taken: u64) {
        eventually("the workers take what was sent", || self.taken() >= taken);
    }

    /// Waits until the worker of this call has taken so many datagrams and sent all that it makes of them at once, and of
    /// the commands so far. What has not arrived then does not come.
    #[track_caller]
    pub(crate) fn settle(&mut self, call: CallId, taken: u64) {
        self.await_taken(taken);
        // A command is obeyed behind the packets of its turn, and what the turn made is sent at its end.
        let turns = self.engine.totals().turns;
        self.ask(call, Command::GetStats { endpoint: EndpointId(u64::MAX) });
        eventually("the worker's turn ends", || self.engine.totals().turns > turns);
    }

    /// Sends a burst by `send`, which says how many datagrams it sent, and waits until the worker has taken that many:
    /// what does not fit into a socket's buffer beside it would be lost unseen.
    #[track_caller]
    pub(crate) fn after_burst(&self, send: impl FnOnce() -> u64) {
        let before = self.taken();
        let sent = send();
        self.await_taken(before + sent);
    }

    fn take<T>(&mut self, pick: &mut impl FnMut(&Event) -> Option<T>) -> Option<T> {
        let (place, found) = self.waiting.iter().enumerate().find_map(|(place, event)| Some((place, pick(event)?)))?;
        self.waiting.remove(place);
        Some(found)
    }
}

/// A number that nothing else in this process has: of a call, an endpoint or a request.
pub(crate) fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn new_call() -> CallId {
    CallId(number())
}

fn request_of(event: &Event) -> Option<RequestId> {
    match event {
        Event::CommandDone { request }
        | Event::CommandFailed { request, .. }
        | Event::EndpointReady { request, .. }
        | Event::Stats { request, .. } => Some(*request),
        Event::EndpointClosed { request, .. } => *request,
        _ => None,
    }
}
