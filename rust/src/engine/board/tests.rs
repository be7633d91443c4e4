//! Panics and names, without threads.

use std::net::IpAddr;

use super::*;
use crate::bridge::Fault;
use crate::endpoint::Direction;
use crate::engine::command::TransportKind;
use crate::engine::event;
use crate::ice::stun::{Builder, Class, IntegrityKey};
use crate::io::{UdpSocket, Wake};

fn board() -> (Board, event::EventReceiver) {
    let ip: IpAddr = [127, 0, 0, 3].into();
    let wake = Arc::new(Wake::new().unwrap());
    let (sender, receiver) = event::queue(64, Arc::clone(&wake));
    let shared = UdpSocket::bind(SocketAddr::new(ip, 0), 65_536).unwrap();
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
        let end = Event::EndpointClosed { call: CallId(1), endpoint, reason, request: None };
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
    board.handle_datagram(now(), SHARED, remote, &mut data[..len]);
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
