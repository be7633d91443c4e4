//! Records calls, on a thread of its own: what the taps copied is decoded, put in its place and written.
//!
//! Owns the recordings of all workers and their files. A worker never waits for this thread: if it is too slow, or its
//! disk is, the taps leave out what they have no room for, and the recording says how much. One slow disk slows every
//! recording of the node, and no call.

#![expect(clippy::disallowed_methods, reason = "the recorder reads the clock for all its recordings, once a round")]

mod file;
mod track;
mod voice;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::bridge::CallId;
use crate::endpoint::EndpointId;
use crate::error::MediaError;
use crate::pipeline::{Channel, Ending, Record, TapReader, tap};

use super::command::{Command, RecordingOptions, Request, TapTarget};
use super::event::{Event, EventSender, TapReport};
use super::loader::WorkerInput;
use super::random::Random;

use file::{Fault, Place, Recording};
use track::Track;

/// How often the taps are emptied. They hold three seconds.
const ROUND: Duration = Duration::from_millis(100);

/// How far the file is behind the call: packets find their order meanwhile.
const BEHIND: Duration = Duration::from_millis(600);

/// Packets without audio that may come before the first one with it.
const MAX_WAITING: usize = 256;

/// Recordings at a time.
const MAX_RECORDINGS: usize = 4_096;

const NARROW_HZ: u32 = 8_000;
const WIDE_HZ: u32 = 16_000;
const FRAMES_PER_SECOND: u32 = 50;

/// Totals of all recordings since start. The recorder writes, anyone reads.
#[derive(Debug, Default)]
pub(super) struct RecorderCounters {
    pub(super) running: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) dropped_ms: AtomicU64,
}

/// What the recorder's thread is made with.
pub(super) struct Recorder {
    pub(super) jobs: Receiver<Request>,
    pub(super) workers: Vec<WorkerInput>,
    pub(super) events: EventSender,
    pub(super) counters: Arc<RecorderCounters>,
    pub(super) random: Random,
    pub(super) opus_complexity: Option<u8>,
}

/// One tap and its file.
struct Session {
    call: CallId,
    endpoint: EndpointId,
    reader: TapReader,
    options: RecordingOptions,
    state: State,
}

enum State {
    /// Nothing has come that says how wide the file should be; the first packets wait here.
    Waiting { place: Place, packets: Vec<(Record, Vec<u8>)> },
    /// Both channels and the file.
    Running(Box<Running>),
    /// The file could not be begun.
    Over,
}

struct Running {
    file: Recording,
    said: Track,
    heard: Track,
    frame: [Vec<i16>; 2],
    /// Samples written.
    written: i64,
}

/// How a recording ended.
struct Outcome {
    reason: &'static str,
    detail: String,
    seconds: f64,
    bytes: u64,
}

impl Recorder {
    /// Serves until the engine lets go of the queue and the last recording has ended.
    pub(super) fn run(mut self) {
        let mut sessions: Vec<Session> = Vec::new();
        let mut is_open = true;
        let mut payload = Vec::new();
        while is_open || !sessions.is_empty() {
            let timeout = if sessions.is_empty() { Duration::MAX } else { ROUND };
            match self.jobs.recv_timeout(timeout) {
                Ok(request) => {
                    let has_room = sessions.len() < MAX_RECORDINGS;
                    sessions.extend(self.open(request, has_room));
                    // More may wait, and none of them for a round.
                    while let Ok(request) = self.jobs.try_recv() {
                        let has_room = sessions.len() < MAX_RECORDINGS;
                        sessions.extend(self.open(request, has_room));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if std::mem::replace(&mut is_open, false) {
                        continue;
                    }
                    std::thread::sleep(ROUND);
                }
            }
            let now = Instant::now();
            sessions = sessions.into_iter().filter_map(|session| self.attend(now, session, &mut payload)).collect();
            self.counters.running.store(sessions.len() as u64, Ordering::Relaxed);
        }
    }

    /// Takes the file's place, and passes the tap on to its worker.
    fn open(&mut self, request: Request, has_room: bool) -> Option<Session> {
        let Request { id, call, command } = request;
        let Command::StartTap { endpoint, target: TapTarget::File(options) } = command else { return None };
        let refuse = |error: &MediaError| {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            self.events.send(Event::CommandFailed { request: id, kind: error.kind(), message: error.to_string() });
        };
        let place = if has_room { Place::take(&options.path) } else { Err(MediaError::Capacity("recordings")) };
        let place = match place {
            Ok(place) => place,
            Err(error) => {
                refuse(&error);
                return None;
            }
        };
        let (tap, reader) = tap();
        let command = Command::StartTap { endpoint, target: TapTarget::Ready(tap) };
        let input = super::worker_of(call, self.workers.len()).and_then(|index| self.workers.get(index));
        if !input.is_some_and(|input| input.pass_on(Request { id, call, command })) {
            place.abandon();
            refuse(&MediaError::Closed);
            return None;
        }
        Some(Session { call, endpoint, reader, options, state: State::Waiting { place, packets: Vec::new() } })
    }

    /// Brings one recording up to date. None if it has ended.
    fn attend(&mut self, now: Instant, mut session: Session, payload: &mut Vec<u8>) -> Option<Session> {
        // Looked at first: what was written before the end is there.
        let ending = session.reader.ending();
        let Some(started) = session.reader.started() else {
            if ending.is_none() {
                return Some(session);
            }
            // The worker refused it, and has said so.
            if let State::Waiting { place, .. } = session.state {
                place.abandon();
            }
            return None;
        };
        let passed = now.saturating_duration_since(started);
        let result = self.take(&mut session, payload, ending.is_some()).and_then(|()| match &mut session.state {
            State::Running(running) => running.write_until(passed.saturating_sub(BEHIND)),
            State::Waiting { .. } | State::Over => Ok(()),
        });
        match (result, ending) {
            (Ok(()), None) => return Some(session),
            (Ok(()), Some((ending, ended))) => self.finish(session, ending, ended),
            (Err(fault), _) => self.fail(&session, &fault),
        }
        None
    }

    /// Empties the tap; begins the file when it is known how wide it should be.
    fn take(&mut self, session: &mut Session, payload: &mut Vec<u8>, is_last: bool) -> Result<(), Fault> {
        while let Some(record) = session.reader.read(payload) {
            match &mut session.state {
                State::Waiting { packets, .. } if packets.len() < MAX_WAITING => {
                    packets.push((record, payload.clone()));
                }
                State::Running(running) => running.insert(record, payload),
                State::Waiting { .. } | State::Over => {}
            }
        }
        let State::Waiting { packets, .. } = &session.state else { return Ok(()) };
        let has_audio = packets.iter().any(|(record, _)| record.kind.is_speech());
        if !has_audio && !is_last {
            return Ok(());
        }
        let codecs = packets.iter().filter_map(|(record, _)| record.codec());
        let is_wide = codecs.map(|codec| codec.native_sample_rate_hz()).any(|native_hz| native_hz > NARROW_HZ);
        let rate_hz = if is_wide { WIDE_HZ } else { NARROW_HZ };
        self.begin(session, rate_hz)
    }

    fn begin(&mut self, session: &mut Session, rate_hz: u32) -> Result<(), Fault> {
        let State::Waiting { place, packets } = std::mem::replace(&mut session.state, State::Over) else {
            return Ok(());
        };
        let format = (session.options.format, rate_hz);
        let serial = self.random.next_u32();
        let file = Recording::begin(place, format, self.opus_complexity, serial)?;
        let track = || Track::new(rate_hz, session.options.plays_digits);
        let samples = usize::try_from(rate_hz / FRAMES_PER_SECOND).unwrap_or(0);
        let frame = [vec![0; samples], vec![0; samples]];
        let mut running = Box::new(Running { file, said: track(), heard: track(), frame, written: 0 });
        for (record, payload) in packets {
            running.insert(record, &payload);
        }
        session.state = State::Running(running);
        Ok(())
    }

    fn finish(&self, mut session: Session, ending: Ending, ended: Duration) {
        let State::Running(running) = &mut session.state else { return };
        let reason = match ending {
            Ending::Stopped => "stopped",
            Ending::Closed => "closed",
        };
        match running.finish(ended) {
            Ok(()) => {
                let outcome = Outcome {
                    reason,
                    detail: String::new(),
                    seconds: running.file.seconds(),
                    bytes: running.file.bytes(),
                };
                self.report(&session, outcome);
            }
            Err(fault) => self.fail(&session, &fault),
        }
    }

    /// What could be written stays, under its name with `.part`.
    fn fail(&self, session: &Session, fault: &Fault) {
        session.reader.refuse();
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        let (seconds, bytes) = match &session.state {
            State::Running(running) => (running.file.seconds(), running.file.bytes()),
            State::Waiting { .. } | State::Over => (0.0, 0),
        };
        let detail = format!("{}: {fault}", session.options.path.display());
        self.report(session, Outcome { reason: fault.reason(), detail, seconds, bytes });
    }

    fn report(&self, session: &Session, outcome: Outcome) {
        let Outcome { reason, detail, seconds, bytes } = outcome;
        let dropped = session.reader.dropped();
        let dropped_ms = u64::try_from(dropped.as_millis()).unwrap_or(u64::MAX);
        self.counters.dropped_ms.fetch_add(dropped_ms, Ordering::Relaxed);
        self.events.send(Event::TapDone(Box::new(TapReport {
            call: session.call,
            endpoint: session.endpoint,
            reason,
            detail,
            path: session.options.path.clone(),
            seconds,
            bytes,
            dropped_ms,
        })));
    }
}

impl Running {
    fn insert(&mut self, record: Record, payload: &[u8]) {
        match record.channel {
            Channel::Said => self.said.insert(record, payload),
            Channel::Heard => self.heard.insert(record, payload),
        }
    }

    /// Writes whole frames up to a time of the recording.
    fn write_until(&mut self, until: Duration) -> Result<(), Fault> {
        let now_us = i64::try_from((until + BEHIND).as_micros()).unwrap_or(i64::MAX);
        self.said.decode(now_us);
        self.heard.decode(now_us);
        let end = self.samples(until);
        while self.written + self.frame_samples() <= end {
            self.write_frame()?;
        }
        Ok(())
    }

    /// Writes the rest, and ends the file at `ended`; at the last packet's end if that is not known.
    fn finish(&mut self, ended: Duration) -> Result<(), Fault> {
        self.said.decode(i64::MAX);
        self.heard.decode(i64::MAX);
        let known = self.said.end().max(self.heard.end()).max(self.written);
        let end = if ended.is_zero() { known } else { self.samples(ended) };
        while self.written < end {
            self.write_frame()?;
        }
        self.file.finish(u64::try_from(end).unwrap_or(0))
    }

    fn write_frame(&mut self) -> Result<(), Fault> {
        let [left, right] = &mut self.frame;
        self.said.take(left);
        self.heard.take(right);
        self.written += i64::try_from(left.len()).unwrap_or(0);
        self.file.write(left, right)
    }

    fn frame_samples(&self) -> i64 {
        i64::try_from(self.frame[0].len()).unwrap_or(i64::MAX)
    }

    fn samples(&self, time: Duration) -> i64 {
        i64::try_from(time.as_micros() * u128::from(self.file.rate_hz()) / 1_000_000).unwrap_or(i64::MAX)
    }
}
