//! Which worker a new call goes to.

use super::*;
use crate::endpoint::EndpointId;

fn engine(workers: usize) -> Engine {
    let ip = [127, 0, 0, 4].into();
    let config = EngineConfig { workers, webrtc_bind: SocketAddr::new(ip, 0), rtp_bind: ip, ..EngineConfig::default() };
    Engine::start(config).unwrap()
}

/// Ends one worker as a bug outside of any bridge would: its thread returns, and its queue goes with it.
fn kill(engine: &mut Engine, number: usize) {
    let (commands, _) = sync_channel(1);
    engine.inputs[number].commands = commands;
    let (exited, exit) = sync_channel(1);
    let thread = Builder::new().spawn(|| {}).unwrap();
    while !thread.is_finished() {
        std::thread::yield_now();
    }
    exited.try_send(()).unwrap();
    engine.threads.get_mut().unwrap()[number] = Running { thread, exited: exit };
}

fn create(engine: &Engine, call: CallId) -> Result<(), MediaError> {
    let command = Command::CreateEndpoint { endpoint: EndpointId(call.0), transport: TransportKind::WebRtc };
    engine.submit(Request { id: RequestId(call.0), call, command })
}

#[test]
fn new_calls_go_around_all_workers_and_pass_over_a_dead_one() {
    let mut engine = engine(3);
    let mut shares = [0; 3];
    for _ in 0..6 {
        shares[worker_of(engine.new_call(), 3).unwrap()] += 1;
    }
    assert_eq!(shares, [2, 2, 2]);

    kill(&mut engine, 1);
    let mut shares = [0; 3];
    for _ in 0..6 {
        let call = engine.new_call();
        create(&engine, call).unwrap();
        shares[worker_of(call, 3).unwrap()] += 1;
    }
    assert_eq!(shares, [3, 0, 3]);
}

#[test]
fn with_no_worker_left_a_call_is_named_and_its_commands_are_refused() {
    let mut engine = engine(2);
    kill(&mut engine, 0);
    kill(&mut engine, 1);
    let (one, other) = (engine.new_call(), engine.new_call());
    assert_ne!(one, other);
    assert_eq!(create(&engine, one).unwrap_err().kind(), "closed");
}
