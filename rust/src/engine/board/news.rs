//! What a bridge tells, in the words of the controller.

use crate::bridge::{Bridge, CallId, Event as BridgeEvent};
use crate::endpoint::{EndpointId, Event as EndpointEvent};
use crate::engine::event::{Event, EventOutput};

/// Passes a bridge's events on; endpoints that ended go to `ended`, to be closed.
pub(super) fn tell(bridge: &mut Bridge, events: &mut EventOutput, ended: &mut Vec<(EndpointId, &'static str)>) {
    while let Some(event) = bridge.poll_event() {
        if let BridgeEvent::Endpoint(id, EndpointEvent::Closed(reason)) = event {
            ended.push((id, reason.name()));
        } else if let Some(event) = translate(bridge.call(), event) {
            events.push(event);
        }
    }
}

/// The controller's view of a bridge's event; None for what ends an endpoint, which is reported when it has ended.
fn translate(call: CallId, event: BridgeEvent) -> Option<Event> {
    let (endpoint, event) = match event {
        BridgeEvent::Endpoint(endpoint, event) => (endpoint, event),
        BridgeEvent::Digit { endpoint, digit, duration_ms, kind: by } => {
            return Some(Event::DtmfReceived { call, endpoint, digit: digit.as_char(), duration_ms, by });
        }
        BridgeEvent::PlayDone(endpoint) => return Some(Event::PlayDone { call, endpoint }),
    };
    Some(match event {
        EndpointEvent::IceConnected(remote) => Event::IceStateChanged { call, endpoint, remote: Some(remote) },
        EndpointEvent::IceDisconnected => Event::IceStateChanged { call, endpoint, remote: None },
        EndpointEvent::DtlsConnected(profile) => Event::DtlsStateChanged { call, endpoint, result: Ok(profile) },
        EndpointEvent::DtlsFailed(reason) => Event::DtlsStateChanged { call, endpoint, result: Err(reason) },
        EndpointEvent::FirstPacket => Event::FirstPacket { call, endpoint },
        EndpointEvent::FirstPacketMissing(waited) => Event::FirstPacketMissing { call, endpoint, waited },
        EndpointEvent::MediaInactive(idle) => Event::MediaInactive { call, endpoint, idle },
        EndpointEvent::Closed(_) => return None,
    })
}
