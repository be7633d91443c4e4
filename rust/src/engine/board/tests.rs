//! Panics and names, without threads.

use std::net::IpAddr;

use super::*;
use crate::endpoint::Direction;
use crate::engine::command::TransportKind;
use crate::engine::event;
use crate::io::{UdpSocket, Wake};
use std::time::Duration;

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
