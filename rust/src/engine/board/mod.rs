//! Everything one worker holds: bridges, endpoints by name, addresses of browsers, ports, deadlines and events.
//!
//! Owns who is where. Each datagram, deadline and command becomes one turn of one bridge. Code of a bridge runs nowhere
//! but in `turn`, `arm` and `drop_bridge`, where a panic ends that bridge and no other. Reads no clock: the worker's loop
//! passes the time of its turn.

mod commands;
mod create;
mod foresee;
mod news;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use crate::bridge::{Arrival, Bridge, CallId, Stats};
use crate::codecs::EncoderSettings;
use crate::dtls::Certificate;
use crate::endpoint::{Endpoint, EndpointId, Lane};
use crate::error::{DropReason, MediaError};
use crate::ice::stun;
use crate::io::{PortAllocator, ReceiveBatch};
use crate::net::DatagramKind;
use crate::outbox::{Outbox, SocketId};
use crate::pipeline::FirstNumbers;
use crate::rtcp::WallClock;

use super::arrivals::Arrivals;
use super::backlog::Backlog;
use super::command::RequestId;
use super::config::EngineConfig;
use super::counters::{WorkerCounters, add};
use super::event::{Event, EventOutput};
use super::sockets::{Place, REFUSED, SHARED, Sockets};
use super::timers::{Timers, Touched};
use super::worker::BATCH;

use foresee::Forecasts;
use news::tell;

/// Datagrams that wait for the end of a turn at most.
const OUTBOX_DATAGRAMS: usize = 256;

/// Packets that are made before they are sent: as many as have their tags computed side by side.
const MADE_AT_ONCE: usize = 8;

/// Steps of handshakes in a turn, as long as none of them is answered.
const HANDSHAKES_PER_TURN: usize = 64;

/// Datagrams that one turn of a bridge may cause: a DTLS flight, or a packet of each leg and its report.
const OUTBOX_HEADROOM: usize = 48;

/// Addresses remembered of one browser: it may have several networks, and a NAT may give it new ports.
const ADDRESSES_PER_BROWSER: usize = 8;

/// Where an endpoint is, and what must be undone when it ends.
struct Record {
    call: CallId,
    place: Place,
    kind: RecordKind,
}

enum RecordKind {
    WebRtc { ufrag: String, addresses: Vec<SocketAddr> },
    Rtp { rtp: SocketId, rtcp: Option<SocketId> },
}

/// What a worker is made with.
pub(super) struct BoardSetup {
    pub(super) config: Arc<EngineConfig>,
    pub(super) certificate: Certificate,
    pub(super) clock: WallClock,
    pub(super) sockets: Sockets,
    pub(super) ports: PortAllocator,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) events: EventOutput,
}

/// One worker's share of the media plane.
pub(super) struct Board {
    setup: BoardSetup,
    bridges: Vec<Option<Box<Bridge>>>,
    free: Vec<usize>,
    calls: HashMap<CallId, usize>,
    endpoints: HashMap<EndpointId, Record>,
    by_ufrag: HashMap<String, Place>,
    by_address: HashMap<SocketAddr, Place>,
    timers: Timers,
    /// Bridges that had a turn since their deadlines were armed.
    touched: Touched,
    outbox: Outbox,
    arrivals: Arrivals,
    forecasts: Forecasts,
    ended: Vec<(EndpointId, &'static str)>,
}

impl Board {
    pub(super) fn new(setup: BoardSetup) -> Self {
        Self {
            setup,
            bridges: Vec::new(),
            free: Vec::new(),
            calls: HashMap::new(),
            endpoints: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            timers: Timers::new(),
            touched: Touched::default(),
            outbox: Outbox::new(OUTBOX_DATAGRAMS),
            arrivals: Arrivals::default(),
            forecasts: Forecasts::new(BATCH),
            ended: Vec::new(),
        }
    }

    pub(super) fn sockets(&mut self) -> &mut Sockets {
        &mut self.setup.sockets
    }

    pub(super) fn events(&mut self) -> &mut EventOutput {
        &mut self.setup.events
    }

    /// When the next bridge wants a turn.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A round begins. calendar: the system's clock, where there are sockets that are stamped.
    pub(super) fn begin_round(&mut self, now: Instant, calendar: Option<SystemTime>) {
        self.arrivals.begin(now, calendar);
    }

    /// Gives the datagrams of a batch to the bridges that they belong to, and empties it. Those of handshakes go to the
    /// backlog.
    pub(super) fn handle_batch(&mut self, now: Instant, batch: &mut ReceiveBatch, backlog: &mut Backlog) {
        add(&self.setup.counters.datagrams_received, batch.len());
        let mut forecasts = std::mem::replace(&mut self.forecasts, Forecasts::new(0));
        self.foresee(now, batch, &mut forecasts);
        for (received, forecast) in batch.datagrams().zip(forecasts.iter()) {
            if received.is_truncated {
                self.setup.counters.count_drops(DropReason::Oversize, 1);
            } else if DatagramKind::of(received.data) == Some(DatagramKind::Dtls)
                && self.owner(received.socket, received.remote, received.data).is_some()
            {
                if let Err(reason) = backlog.push(&received) {
                    self.setup.counters.count_drops(reason, 1);
                }
            } else {
                let arrival = Arrival { at: self.arrivals.at(now, received.stamp), forecast };
                self.handle_datagram(now, received.socket, received.remote, (received.data, arrival));
            }
        }
        self.forecasts = forecasts;
        batch.clear();
    }

    /// Takes steps of handshakes from the backlog: one that is answered, since those take long, or a few others.
    ///
    /// What has been queued before leaves first.
    pub(super) fn handle_backlog(&mut self, now: Instant, backlog: &mut Backlog) {
        self.flush();
        for _ in 0..HANDSHAKES_PER_TURN {
            let Some(received) = backlog.pop() else { return };
            let arrival = Arrival { at: now, forecast: None };
            self.handle_datagram(now, received.socket, received.remote, (received.data, arrival));
            if !self.outbox.is_empty() {
                return;
            }
        }
    }

    fn handle_datagram(
        &mut self,
        now: Instant,
        socket: SocketId,
        remote: SocketAddr,
        (data, arrival): (&mut [u8], Arrival<'_>),
    ) {
        let Some((place, lane)) = self.owner(socket, remote, data) else {
            let reason =
                if DatagramKind::of(data).is_none() { DropReason::Unclassified } else { DropReason::UnknownSource };
            self.setup.counters.count_drops(reason, 1);
            return;
        };
        let is_check = socket == SHARED && DatagramKind::of(data) == Some(DatagramKind::Stun);
        let result = self.turn(now, place.bridge, |bridge, outbox| {
            bridge.handle_arrival(now, (place.leg, lane, remote), (data, arrival), outbox)?;
            let checked = bridge.endpoint(place.leg).filter(|endpoint| is_check && endpoint.is_verified(remote));
            Ok(checked.map(Endpoint::id))
        });
        match result {
            Some(Ok(Some(browser))) => self.learn(browser, place, remote),
            Some(Err(reason)) => self.setup.counters.count_drops(reason, 1),
            Some(Ok(None)) | None => {}
        }
    }

    /// Counts a turn that came after a pause and found so many datagrams.
    ///
    /// What comes during a pause waits for half of it on average.
    pub(super) fn count_turn(&self, pause: Duration, found: usize) {
        let counters = &self.setup.counters;
        add(&counters.turns, 1);
        let pause_us = usize::try_from(pause.as_micros()).unwrap_or(usize::MAX);
        counters.pause_us.store(pause_us as u64, Relaxed);
        add(&counters.pause_delay_us, pause_us.saturating_mul(found) / 2);
    }

    /// Gives a turn to every bridge whose deadline has come.
    ///
    /// One that is due again at once has its next turn in the next round, after everybody's datagrams. To encode takes as
    /// long as to relay many packets, so what was made leaves before all is made.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.arm(now);
        while let Some(bridge) = self.timers.pop_expired(now) {
            self.turn(now, bridge, |bridge, outbox| bridge.handle_timeout(now, outbox));
            if self.outbox.len() >= MADE_AT_ONCE {
                self.flush();
            }
        }
    }

    /// Sends what the turns so far have queued.
    pub(super) fn flush(&mut self) {
        let outcome = self.setup.sockets.flush(&mut self.outbox);
        add(&self.setup.counters.datagrams_sent, outcome.sent);
        if outcome.refused > 0 {
            self.setup.counters.count_drops(REFUSED, outcome.refused);
        }
    }

    /// Ends the round: deadlines are armed, packets leave, events become visible.
    pub(super) fn finish_round(&mut self, now: Instant) {
        self.arm(now);
        self.flush();
        self.setup.events.signal();
        let lost = self.setup.events.take_lost();
        if lost > 0 {
            add(&self.setup.counters.events_lost, usize::try_from(lost).unwrap_or(usize::MAX));
        }
    }

    /// Ends every endpoint for `reason`.
    pub(super) fn close_all(&mut self, now: Instant, reason: &'static str) {
        let ids: Vec<EndpointId> = self.endpoints.keys().copied().collect();
        for id in ids {
            self.close(now, id, reason, None);
        }
        self.publish_load(now);
    }

    /// Says that every endpoint is gone, without touching what may be broken.
    pub(super) fn abandon(&mut self, reason: &'static str) {
        for (endpoint, record) in self.endpoints.drain() {
            let event = Event::EndpointClosed { call: record.call, endpoint, reason, request: None, stats: None };
            self.setup.events.push(event);
        }
    }

    /// Puts an endpoint into its call's bridge, which is made if it is the first.
    fn admit(
        &mut self,
        now: Instant,
        call: CallId,
        endpoint: Endpoint,
        first: FirstNumbers,
    ) -> Result<Place, MediaError> {
        let bridge = self.calls.get(&call).copied().unwrap_or_else(|| self.open_bridge(call));
        let encoder = EncoderSettings {
            complexity: self.setup.config.opus_complexity,
            bitrate_bps: self.setup.config.opus_bitrate_bps,
            leaves_silence_out: self.setup.config.leaves_silence_out,
            ..EncoderSettings::default()
        };
        let added = self.turn(now, bridge, |bridge, _| bridge.add(endpoint, first, encoder));
        let leg = added.unwrap_or(Err(MediaError::Closed))?;
        Ok(Place { bridge, leg })
    }

    /// Ends one endpoint: goodbye to the far side, ports into quarantine, and the event.
    fn close(&mut self, now: Instant, id: EndpointId, reason: &'static str, request: Option<RequestId>) {
        let Some(record) = self.endpoints.remove(&id) else { return };
        let place = record.place;
        let (stats, is_last) = self
            .turn(now, place.bridge, |bridge, outbox| {
                let stats = bridge.stats(place.leg);
                bridge.remove(now, place.leg, outbox);
                (stats, bridge.is_empty())
            })
            .unwrap_or((None, false));
        let stats = stats.map(|stats| self.located(&record, stats));
        // The goodbye must leave before its socket closes.
        self.flush();
        self.forget(now, &record);
        let dropped = if is_last { self.drop_bridge(place.bridge) } else { Ok(()) };
        self.setup.events.push(Event::EndpointClosed { call: record.call, endpoint: id, reason, request, stats });
        if let Err(reason) = dropped {
            self.report_failure(record.call, reason);
        }
    }

    /// An endpoint's figures with the address that its socket has.
    fn located(&self, record: &Record, stats: Stats) -> Box<Stats> {
        let socket = match record.kind {
            RecordKind::WebRtc { .. } => SHARED,
            RecordKind::Rtp { rtp, .. } => rtp,
        };
        Box::new(Stats { local: self.setup.sockets.local(socket), ..stats })
    }

    fn open_bridge(&mut self, call: CallId) -> usize {
        let index = self.free.pop().unwrap_or(self.bridges.len());
        if index == self.bridges.len() {
            self.bridges.push(None);
        }
        self.bridges[index] = Some(Box::new(Bridge::new(call)));
        self.calls.insert(call, index);
        index
    }

    /// Gives a bridge's place back and drops it. Fails with the words of the panic in which that ended.
    fn drop_bridge(&mut self, index: usize) -> Result<(), String> {
        let Some(bridge) = self.bridges.get_mut(index).and_then(Option::take) else { return Ok(()) };
        self.calls.remove(&bridge.call());
        self.timers.set(index, None);
        self.free.push(index);
        catch_unwind(AssertUnwindSafe(|| drop(bridge))).map_err(|panic| describe(&*panic))
    }

    /// Lets `work` change one bridge, passes its events on, then deals with what came of it.
    ///
    /// None if there is no such bridge, or if it panicked, which ends it and is reported.
    fn turn<R>(&mut self, now: Instant, index: usize, work: impl FnOnce(&mut Bridge, &mut Outbox) -> R) -> Option<R> {
        if self.outbox.room() < OUTBOX_HEADROOM {
            self.flush();
        }
        let bridge = self.bridges.get_mut(index)?.as_deref_mut()?;
        let (outbox, events, ended) = (&mut self.outbox, &mut self.setup.events, &mut self.ended);
        // A bridge that panicked is thrown away, and outbox and events take whole things only: nothing is seen broken.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let result = work(bridge, outbox);
            tell(bridge, events, ended);
            result
        }));
        match outcome {
            Ok(result) => {
                self.touched.insert(index);
                while let Some((id, reason)) = self.ended.pop() {
                    self.close(now, id, reason, None);
                    self.publish_load(now);
                }
                Some(result)
            }
            Err(panic) => {
                // Whatever had ended was of this bridge.
                self.ended.clear();
                self.fail(now, index, describe(&*panic));
                None
            }
        }
    }

    /// Arms the deadlines of the bridges that had a turn, once for each, however many datagrams it had.
    fn arm(&mut self, now: Instant) {
        while let Some(index) = self.touched.pop() {
            let Some(bridge) = self.bridges.get(index).and_then(Option::as_deref) else { continue };
            match catch_unwind(AssertUnwindSafe(|| bridge.poll_timeout())) {
                Ok(deadline) => self.timers.set(index, deadline),
                Err(panic) => self.fail(now, index, describe(&*panic)),
            }
        }
    }

    /// Ends a bridge that panicked. What it holds is dropped without a goodbye, since it may be half done.
    fn fail(&mut self, now: Instant, index: usize, reason: String) {
        let Some(bridge) = self.bridges.get(index).and_then(Option::as_deref) else { return };
        let call = bridge.call();
        let is_ours = |record: &Record| record.place.bridge == index;
        let ids: Vec<EndpointId> =
            self.endpoints.iter().filter(|(_, record)| is_ours(record)).map(|(id, _)| *id).collect();
        // It is reported as failed already, so that another panic adds nothing.
        let _ = self.drop_bridge(index);
        for endpoint in ids {
            if let Some(record) = self.endpoints.remove(&endpoint) {
                self.forget(now, &record);
                self.setup.events.push(Event::EndpointClosed {
                    call,
                    endpoint,
                    reason: "bridge_failed",
                    request: None,
                    stats: None,
                });
            }
        }
        self.report_failure(call, reason);
        self.publish_load(now);
    }

    fn report_failure(&mut self, call: CallId, reason: String) {
        add(&self.setup.counters.bridges_failed, 1);
        self.setup.events.push(Event::BridgeFailed { call, reason });
    }

    /// Whose a datagram is; None for a stranger's.
    fn owner(&self, socket: SocketId, remote: SocketAddr, data: &[u8]) -> Option<(Place, Lane)> {
        match self.setup.sockets.owner(socket) {
            None if socket == SHARED => self.browser(remote, data).map(|place| (place, Lane::Rtp)),
            owner => owner,
        }
    }

    /// The browser behind a datagram on the shared port: by the user name that we gave it, else by the address that it
    /// proved.
    fn browser(&self, remote: SocketAddr, data: &[u8]) -> Option<Place> {
        if DatagramKind::of(data) == Some(DatagramKind::Stun)
            && let Some(ufrag) = stun::local_ufrag(data)
        {
            return self.by_ufrag.get(ufrag).copied();
        }
        self.by_address.get(&remote).copied()
    }

    /// Remembers the address that a browser proved by an authenticated check.
    fn learn(&mut self, browser: EndpointId, place: Place, remote: SocketAddr) {
        if self.by_address.get(&remote) == Some(&place) {
            return;
        }
        let Some(record) = self.endpoints.get_mut(&browser) else { return };
        if let RecordKind::WebRtc { addresses, .. } = &mut record.kind {
            addresses.retain(|known| *known != remote);
            if addresses.len() >= ADDRESSES_PER_BROWSER {
                let oldest = addresses.remove(0);
                // A NAT may have given it to another browser since.
                if self.by_address.get(&oldest) == Some(&place) {
                    self.by_address.remove(&oldest);
                }
            }
            addresses.push(remote);
            self.by_address.insert(remote, place);
        }
    }

    fn publish_load(&mut self, now: Instant) {
        let counters = &self.setup.counters;
        counters.endpoints.store(self.endpoints.len() as u64, Relaxed);
        counters.ports_free.store(self.setup.ports.available(now) as u64, Relaxed);
        counters.ports_resting.store(self.setup.ports.resting() as u64, Relaxed);
    }
}

/// The words of a panic.
pub(super) fn describe(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic").to_owned()
}

#[cfg(test)]
mod tests;
