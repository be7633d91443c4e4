//! What each command does to the board.

use std::time::Instant;

use crate::bridge::{Bridge, CallId, LegIndex};
use crate::endpoint::{EndpointId, Remote};
use crate::error::MediaError;
use crate::outbox::Outbox;

use super::{Board, Record, RecordKind};
use crate::engine::command::{Command, PlaySource, Request, RequestId, TapTarget};
use crate::engine::event::Event;
use crate::engine::sockets::{Place, SHARED};

impl Board {
    /// Carries out one command and answers it.
    pub(in crate::engine) fn handle_command(&mut self, now: Instant, request: Request) {
        let Request { id, call, command } = request;
        let answer = match self.execute(now, id, call, command) {
            Ok(answer) => answer,
            Err(error) => Some(Event::CommandFailed { request: id, kind: error.kind(), message: error.to_string() }),
        };
        if let Some(answer) = answer {
            self.setup.events.push(answer);
        }
        self.publish_load(now);
    }

    fn execute(
        &mut self,
        now: Instant,
        request: RequestId,
        call: CallId,
        command: Command,
    ) -> Result<Option<Event>, MediaError> {
        let done = Ok(Some(Event::CommandDone { request }));
        match command {
            Command::CreateEndpoint { endpoint, transport } => {
                let local = self.create(now, call, endpoint, transport)?;
                Ok(Some(Event::EndpointReady { request, endpoint, local }))
            }
            Command::SetRemote { endpoint, remote, audio } => {
                self.check_family(call, endpoint, &remote)?;
                self.with_leg(now, call, endpoint, |bridge, leg, outbox| {
                    bridge.set_remote(now, leg, remote, &audio, outbox)
                })?;
                self.stamp(now, call);
                done
            }
            Command::UpdateEndpoint { endpoint, direction } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| bridge.set_direction(now, leg, direction))?;
                done
            }
            Command::ExpectMedia { endpoint } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| bridge.expect_media(now, leg))?;
                done
            }
            Command::Bridge { a, b } => {
                let b = self.find(call, b)?;
                self.with_leg(now, call, a, |bridge, a, _| bridge.join(a, b.leg))?;
                self.stamp(now, call);
                done
            }
            Command::Unbridge { endpoint } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| {
                    bridge.part(leg);
                    Ok(())
                })?;
                done
            }
            Command::Play { endpoint, source: PlaySource::Ready(source) } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| bridge.play(now, leg, source))?;
                done
            }
            Command::Play { source: PlaySource::File { .. }, .. } => {
                Err(MediaError::UnplayableSource("a file reaches no worker before it is read".into()))
            }
            Command::StopPlay { endpoint } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| bridge.stop_play(leg))?;
                done
            }
            Command::Mute { endpoint, voice, muted } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| bridge.mute(leg, voice, muted))?;
                done
            }
            Command::StartTap { endpoint, target: TapTarget::Ready(tap) } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| bridge.start_tap(now, leg, tap))?;
                done
            }
            Command::StartTap { target: TapTarget::File(_), .. } => {
                Err(MediaError::UnwritablePath("a file reaches no worker before it is opened".into()))
            }
            Command::StopTap { endpoint } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| bridge.stop_tap(now, leg))?;
                done
            }
            Command::SendDtmf { endpoint, digits, duration_ms, gap_ms } => {
                self.with_leg(now, call, endpoint, |bridge, leg, _| {
                    bridge.dial(now, leg, &digits, (duration_ms, gap_ms))
                })?;
                done
            }
            Command::GetStats { endpoint } => {
                let place = self.find(call, endpoint)?;
                let stats = self.turn(now, place.bridge, |bridge, _| bridge.stats(place.leg)).flatten();
                let record = self.endpoints.get(&endpoint).ok_or(MediaError::Closed)?;
                let stats = self.located(record, stats.ok_or(MediaError::Closed)?);
                Ok(Some(Event::Stats { request, endpoint, stats }))
            }
            Command::Close { endpoint } => {
                self.find(call, endpoint)?;
                self.close(now, endpoint, "closed", Some(request));
                Ok(None)
            }
        }
    }

    /// Has the arrivals of what is decoded stamped: a jitter buffer judges by them. What was decoded once stays stamped,
    /// which costs a little and changes nothing.
    fn stamp(&mut self, now: Instant, call: CallId) {
        let Some(index) = self.calls.get(&call).copied() else { return };
        let decoded: Option<Vec<EndpointId>> = self.turn(now, index, |bridge, _| bridge.decoded().collect());
        for record in decoded.into_iter().flatten().filter_map(|id| self.endpoints.get(&id)) {
            let socket = match record.kind {
                RecordKind::WebRtc { .. } => SHARED,
                RecordKind::Rtp { rtp, .. } => rtp,
            };
            self.setup.sockets.stamp(socket);
        }
    }

    fn find(&self, call: CallId, id: EndpointId) -> Result<Place, MediaError> {
        match self.endpoints.get(&id) {
            Some(record) if record.call == call => Ok(record.place),
            _ => Err(MediaError::UnknownEndpoint(id.0)),
        }
    }

    fn with_leg<R>(
        &mut self,
        now: Instant,
        call: CallId,
        id: EndpointId,
        work: impl FnOnce(&mut Bridge, LegIndex, &mut Outbox) -> Result<R, MediaError>,
    ) -> Result<R, MediaError> {
        let place = self.find(call, id)?;
        let result = self.turn(now, place.bridge, |bridge, outbox| work(bridge, place.leg, outbox));
        result.unwrap_or(Err(MediaError::Closed))
    }

    /// An IPv4 socket cannot reach an IPv6 far side.
    fn check_family(&self, call: CallId, id: EndpointId, remote: &Remote) -> Result<(), MediaError> {
        self.find(call, id)?;
        let Some(Record { kind: RecordKind::Rtp { rtp, .. }, .. }) = self.endpoints.get(&id) else { return Ok(()) };
        let Remote::Rtp { rtp: far, rtcp: far_rtcp, .. } = remote else { return Ok(()) };
        if [far, far_rtcp].iter().all(|address| self.setup.sockets.reaches(*rtp, **address)) {
            Ok(())
        } else {
            Err(MediaError::InvalidParameter("the far side's address family is not ours".into()))
        }
    }
}
