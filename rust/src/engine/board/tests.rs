//! Panics and names, without threads.

use std::net::IpAddr;

use super::*;
use crate::bridge::{Dtmf, Fault, StreamParameters};
use crate::codecs::Codec;
use crate::dtls::{Fingerprint, Handshake, Role};
use crate::endpoint::{Direction, Remote, Security};
use crate::engine::command::{Command, Request, TransportKind};
use crate::engine::counters::Totals;
use crate::engine::event;
use crate::ice::stun::{Builder, Class, IntegrityKey};
use crate::io::{SocketOptions, UdpSocket, Wake};
use crate::net::{Pt, SeqNo, SrtpKeys, SrtpProfile, Ssrc};
use crate::pipeline::Format;
use crate::rtp::Header;
use crate::srtp::Context;

fn board() -> (Board, event::EventReceiver) {
    let ip: IpAddr = [127, 0, 0, 3].into();
    let wake = Arc::new(Wake::new().unwrap());
    let (sender, receiver) = event::queue(64, Arc::clone(&wake));
    let shared = UdpSocket::bind(SocketAddr::new(ip, 0), SocketOptions { buffer_bytes: 65_536, dscp: 0 }).unwrap();
    let setup = BoardSetup {
        config: Arc::new(EngineConfig::default()),
        certificate: Certificate::generate().unwrap(),
        clock: WallClock::new(now(), Duration::ZERO),
        sockets: Sockets::new(shared, &*wake).unwrap(),
        ports: PortAllocator::new(ip, (27_000, 27_007), (0, 1), Duration::ZERO),
        counters: Arc::new(WorkerCounters::default()),
        events: EventOutput::new(sender),
    };
    (Board::new(setup), receiver)
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant")]
    Instant::now()
}

fn create(board: &mut Board, call: u64, endpoint: u64, transport: TransportKind) {
    let command = Command::CreateEndpoint { endpoint: EndpointId(endpoint), transport };
    board.handle_command(now(), Request { id: RequestId(endpoint), call: CallId(call), command });
}

#[test]
fn a_panic_ends_its_own_bridge_and_gives_everything_back() {
    let (mut board, events) = board();
    create(&mut board, 1, 10, TransportKind::Rtp { is_muxed: false });
    create(&mut board, 1, 11, TransportKind::WebRtc);
    create(&mut board, 2, 20, TransportKind::Rtp { is_muxed: false });
    while events.try_next().is_some() {}
    let broken = board.calls[&CallId(1)];

    let result: Option<()> = board.turn(now(), broken, |_, _| panic!("a bug of ours"));
    assert_eq!(result, None);
    let told: Vec<Event> = std::iter::from_fn(|| events.try_next()).collect();
    for endpoint in [EndpointId(10), EndpointId(11)] {
        let reason = "bridge_failed";
        let end = Event::EndpointClosed { call: CallId(1), endpoint, reason, request: None, stats: None };
        assert!(told.contains(&end), "{told:?}");
    }
    assert_eq!(told.last(), Some(&Event::BridgeFailed { call: CallId(1), reason: "a bug of ours".into() }));
    assert!(board.by_ufrag.is_empty());
    assert_eq!((board.setup.ports.in_use(), board.endpoints.len()), (1, 1));

    let direction = Direction::SendOnly;
    let command = Command::UpdateEndpoint { endpoint: EndpointId(20), direction };
    board.handle_command(now(), Request { id: RequestId(99), call: CallId(2), command });
    assert_eq!(events.try_next(), Some(Event::CommandDone { request: RequestId(99) }), "the other call lives");
}

#[test]
fn a_panic_while_a_bridge_tells_arms_or_ends_is_its_own_end_only() {
    for fault in [Fault::Event, Fault::Timeout, Fault::Drop] {
        let (mut board, events) = board();
        create(&mut board, 1, 10, TransportKind::Rtp { is_muxed: false });
        create(&mut board, 2, 20, TransportKind::Rtp { is_muxed: false });
        board.finish_round(now());
        while events.try_next().is_some() {}
        let broken = board.calls[&CallId(1)];
        board.bridges[broken].as_mut().unwrap().fault = Some(fault);

        let command = Command::Close { endpoint: EndpointId(10) };
        let command = if fault == Fault::Drop { command } else { Command::Unbridge { endpoint: EndpointId(10) } };
        board.handle_command(now(), Request { id: RequestId(5), call: CallId(1), command });
        board.finish_round(now());
        let told: Vec<Event> = std::iter::from_fn(|| events.try_next()).collect();
        let is_end = |event: &Event| matches!(event, Event::EndpointClosed { endpoint: EndpointId(10), .. });
        assert_eq!(told.iter().filter(|event| is_end(event)).count(), 1, "{fault:?}: {told:?}");
        let failure = Event::BridgeFailed { call: CallId(1), reason: "a bug of ours".into() };
        assert_eq!(told.iter().filter(|event| **event == failure).count(), 1, "{fault:?}: {told:?}");
        assert_eq!((board.calls.len(), board.endpoints.len(), board.setup.ports.in_use()), (1, 1, 1), "{fault:?}");

        let command = Command::GetStats { endpoint: EndpointId(20) };
        board.handle_command(now(), Request { id: RequestId(6), call: CallId(2), command });
        assert!(matches!(events.try_next(), Some(Event::Stats { .. })), "{fault:?}: the other call lives");
    }
}

#[test]
fn the_name_of_an_ended_endpoint_is_free_and_its_bridge_gone() {
    let (mut board, events) = board();
    create(&mut board, 1, 10, TransportKind::WebRtc);
    create(&mut board, 1, 10, TransportKind::WebRtc);
    board.close(now(), EndpointId(10), "closed", None);
    create(&mut board, 1, 10, TransportKind::WebRtc);
    let told: Vec<Event> = std::iter::from_fn(|| events.try_next()).collect();
    let kinds: Vec<&str> = told
        .iter()
        .map(|event| match event {
            Event::EndpointReady { .. } => "ready",
            Event::CommandFailed { kind, .. } => kind,
            Event::EndpointClosed { reason, .. } => reason,
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["ready", "endpoint_exists", "closed", "ready"]);
    assert_eq!((board.calls.len(), board.by_ufrag.len()), (1, 1));
}

/// The credentials of a browser-side endpoint, as its answer tells them.
fn credentials(board: &mut Board, events: &event::EventReceiver, call: u64, endpoint: u64) -> (String, IntegrityKey) {
    create(board, call, endpoint, TransportKind::WebRtc);
    match std::iter::from_fn(|| events.try_next()).last() {
        Some(Event::EndpointReady { local: event::Local::WebRtc { ice_ufrag, ice_pwd, .. }, .. }) => {
            (ice_ufrag, IntegrityKey::new(&ice_pwd).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

/// An authenticated check of the browser that has these credentials, from `remote`.
fn check(board: &mut Board, (ufrag, key): &(String, IntegrityKey), remote: SocketAddr) {
    let mut data = [0; 256];
    let len = Builder::new(&mut data, Class::Request, [1; 12])
        .and_then(|message| message.username(&format!("{ufrag}:them")))
        .and_then(|message| message.priority(1))
        .and_then(|message| message.controlling(1))
        .and_then(|message| message.finish(key))
        .unwrap();
    board.handle_datagram(now(), SHARED, remote, (&mut data[..len], Arrival { at: now(), forecast: None }));
}

#[test]
fn an_address_that_passed_to_another_browser_stays_with_it_when_the_first_forgets_it() {
    let (mut board, events) = board();
    let first = credentials(&mut board, &events, 1, 10);
    let second = credentials(&mut board, &events, 2, 20);
    let address = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
    let owner = board.endpoints[&EndpointId(20)].place;

    check(&mut board, &first, address(1));
    check(&mut board, &second, address(1));
    assert_eq!(board.by_address.get(&address(1)), Some(&owner), "the newest proof counts");
    for port in 2..20 {
        check(&mut board, &first, address(port));
    }
    assert_eq!(board.by_address.get(&address(1)), Some(&owner));
    assert_eq!(board.by_address.len(), ADDRESSES_PER_BROWSER + 1);
    board.close(now(), EndpointId(10), "closed", None);
    assert_eq!(board.by_address.get(&address(1)), Some(&owner));
    board.close(now(), EndpointId(20), "closed", None);
    assert!(board.by_address.is_empty());
}

/// Mu-law, both ways.
fn audio() -> StreamParameters {
    audio_in(Format { pt: Pt(0), codec: Codec::new("PCMU", 8_000, 1, []).unwrap() })
}

fn audio_in(format: Format) -> StreamParameters {
    StreamParameters {
        receive: vec![format],
        send: vec![format],
        ptime_ms: 20,
        direction: Direction::SendRecv,
        dtmf: Dtmf::default(),
        rtcp: crate::endpoint::RtcpParameters::default(),
    }
}

/// Carries out a command about the first call.
fn obey(board: &mut Board, events: &event::EventReceiver, command: Command) {
    board.handle_command(now(), Request { id: RequestId(77), call: CallId(1), command });
    assert_eq!(events.try_next(), Some(Event::CommandDone { request: RequestId(77) }));
}

/// A phone with a socket, whose media is in the clear or under keys that both directions share.
struct Phone {
    socket: std::net::UdpSocket,
    gateway: SocketAddr,
    keys: Option<Context>,
}

const PROFILE: SrtpProfile = SrtpProfile::Aes128CmSha1_80;

fn context() -> Context {
    Context::new(PROFILE, &[3; 16], &[4; 14]).unwrap()
}

impl Phone {
    fn new(board: &mut Board, events: &event::EventReceiver, endpoint: u64, is_secure: bool) -> Self {
        create(board, 1, endpoint, TransportKind::Rtp { is_muxed: true });
        let gateway = match std::iter::from_fn(|| events.try_next()).last() {
            Some(Event::EndpointReady { local: event::Local::Rtp { addresses, .. }, .. }) => addresses[0].0,
            other => panic!("{other:?}"),
        };
        #[expect(clippy::disallowed_methods, reason = "a phone has a socket")]
        let socket = std::net::UdpSocket::bind((gateway.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let address = socket.local_addr().unwrap();
        let (key, salt) = (vec![3; 16], vec![4; 14]);
        let security = if is_secure {
            Security::Sdes(SrtpKeys {
                profile: PROFILE,
                local_key: key.clone(),
                local_salt: salt.clone(),
                remote_key: key,
                remote_salt: salt,
            })
        } else {
            Security::Clear
        };
        let remote = Remote::Rtp { rtp: address, rtcp: address, is_muxed: true, security };
        obey(board, events, Command::SetRemote { endpoint: EndpointId(endpoint), remote, audio: audio() });
        Self { socket, gateway, keys: is_secure.then(context) }
    }

    /// Sends one packet whose payload is its number, spoilt behind the header if wanted.
    fn say(&mut self, number: u8, is_spoilt: bool) {
        let mut data = vec![0; 200];
        Header::new(Pt(0), SeqNo(number.into()), u32::from(number) * 160, Ssrc(7)).write(&mut data).unwrap();
        data[12..172].fill(number);
        let len = self.keys.as_mut().map_or(172, |keys| keys.protect_rtp(&mut data, 172).unwrap());
        data[20] ^= u8::from(is_spoilt);
        self.socket.send_to(&data[..len], self.gateway).unwrap();
    }

    /// Numbers of the packets that come, `count` of them.
    fn hear(&self, keys: Option<&mut Context>, count: usize) -> Vec<u8> {
        let mut keys = keys;
        let mut data = [0; 2_048];
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let len = self.socket.recv(&mut data).unwrap();
            if DatagramKind::of(&data) == Some(DatagramKind::Rtp) {
                let len = keys.as_mut().map_or(len, |keys| keys.unprotect_rtp(&mut data[..len]).unwrap());
                assert!(len == 172 && data[12..len].iter().all(|byte| *byte == data[12]));
                numbers.push(data[12]);
            }
        }
        numbers
    }
}

#[test]
fn arrivals_of_what_is_decoded_are_stamped_and_those_of_what_is_relayed_are_not() {
    let (mut board, events) = board();
    let mut phones = [10, 11].map(|endpoint| Phone::new(&mut board, &events, endpoint, false));
    obey(&mut board, &events, Command::Bridge { a: EndpointId(10), b: EndpointId(11) });
    assert_eq!(stamped(&mut board, &mut phones), [false, false]);
    assert!(!board.sockets().are_stamped());

    let rtp = phones[1].socket.local_addr().unwrap();
    let remote = Remote::Rtp { rtp, rtcp: rtp, is_muxed: true, security: Security::Clear };
    let g729 = Format { pt: Pt(18), codec: Codec::new("G729", 8_000, 1, []).unwrap() };
    obey(&mut board, &events, Command::SetRemote { endpoint: EndpointId(11), remote, audio: audio_in(g729) });
    assert_eq!(stamped(&mut board, &mut phones), [true, true]);
    assert!(board.sockets().are_stamped());
}

/// Whether the kernel tells when a packet of each phone came.
fn stamped(board: &mut Board, phones: &mut [Phone; 2]) -> [bool; 2] {
    for phone in phones {
        phone.say(1, false);
    }
    let mut batch = ReceiveBatch::new(BATCH);
    while batch.len() < 2 {
        for socket in [SocketId(1), SocketId(2)] {
            board.sockets().receive(socket, BATCH, &mut batch);
        }
    }
    let mut stamps: Vec<_> = batch.datagrams().map(|received| (received.socket, received.stamp.is_some())).collect();
    stamps.sort_unstable();
    [stamps[0].1, stamps[1].1]
}

/// Takes all that arrives, in one batch, until there are `count` datagrams.
fn take(board: &mut Board, count: usize, backlog: &mut Backlog) {
    let mut batch = ReceiveBatch::new(BATCH);
    while batch.len() < count {
        for socket in 0..4 {
            board.sockets().receive(SocketId(socket), BATCH, &mut batch);
        }
    }
    assert_eq!(batch.len(), count);
    board.handle_batch(now(), &mut batch, backlog);
    board.finish_round(now());
}

#[test]
fn a_batch_of_srtp_and_rtp_goes_each_packet_its_own_way() {
    let (mut board, events) = board();
    let mut secure = Phone::new(&mut board, &events, 10, true);
    let mut plain = Phone::new(&mut board, &events, 11, false);
    let command = Command::Bridge { a: EndpointId(10), b: EndpointId(11) };
    board.handle_command(now(), Request { id: RequestId(1), call: CallId(1), command });

    for number in 0..15 {
        secure.say(number, number % 5 == 4);
        plain.say(number, false);
    }
    take(&mut board, 30, &mut Backlog::new(1));
    let authentic: Vec<u8> = (0..15).filter(|number| number % 5 != 4).collect();
    assert_eq!(plain.hear(None, 12), authentic, "forged ones are gone, the others are whole and in order");
    assert_eq!(secure.hear(Some(&mut context()), 15), (0..15).collect::<Vec<u8>>());
    let totals = Totals::sum(std::iter::once(&*board.setup.counters));
    assert!(totals.drops.contains(&(DropReason::SrtpAuthentication.name(), 3)), "{:?}", totals.drops);
}

/// A browser with a socket, whose address is proven and whose handshake may begin.
fn browser(board: &mut Board, events: &event::EventReceiver, endpoint: u64) -> (std::net::UdpSocket, Handshake) {
    let credentials = credentials(board, events, endpoint, endpoint);
    let certificate = Certificate::generate().unwrap();
    let fingerprints = vec![Fingerprint::parse("sha-256", certificate.fingerprint()).unwrap()];
    let remote = Remote::WebRtc { fingerprints, is_dtls_client: true };
    let command = Command::SetRemote { endpoint: EndpointId(endpoint), remote, audio: audio() };
    board.handle_command(now(), Request { id: RequestId(endpoint), call: CallId(endpoint), command });
    #[expect(clippy::disallowed_methods, reason = "a browser has a socket")]
    let socket = std::net::UdpSocket::bind((board.sockets().local(SHARED).unwrap().ip(), 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    check(board, &credentials, socket.local_addr().unwrap());
    board.finish_round(now());
    (socket, Handshake::new(now(), &certificate, Role::Client, Duration::from_secs(5)))
}

#[test]
fn media_goes_before_handshakes_of_which_one_is_answered_a_turn() {
    let (mut board, events) = board();
    let mut speaker = Phone::new(&mut board, &events, 10, false);
    let listener = Phone::new(&mut board, &events, 11, false);
    let command = Command::Bridge { a: EndpointId(10), b: EndpointId(11) };
    board.handle_command(now(), Request { id: RequestId(1), call: CallId(1), command });
    let mut browsers = [20, 21, 22].map(|endpoint| browser(&mut board, &events, endpoint));
    let gateway = board.sockets().local(SHARED).unwrap();
    let mut hello = [0; 2_048];
    for (socket, handshake) in &mut browsers {
        let len = handshake.poll_transmit(&mut hello).unwrap();
        socket.send_to(&hello[..len], gateway).unwrap();
    }
    for number in 0..3 {
        speaker.say(number, false);
    }

    let mut backlog = Backlog::new(8);
    take(&mut board, 6, &mut backlog);
    assert_eq!(listener.hear(None, 2).len(), 2, "all but the first, which is on probation");
    let answered = || {
        let mut data = [0; 2_048];
        let mut is_dtls = |socket: &std::net::UdpSocket| {
            std::iter::from_fn(|| socket.recv(&mut data).ok().map(|_| data[0])).any(|first| first == 22)
        };
        browsers.iter().filter(|(socket, _)| is_dtls(socket)).count()
    };
    assert_eq!(answered(), 0, "the media went before");
    for _ in 0..3 {
        board.handle_backlog(now(), &mut backlog);
        board.finish_round(now());
        assert_eq!(answered(), 1);
    }
    assert!(backlog.is_empty());
}
