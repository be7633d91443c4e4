//! The media engine: worker threads, the commands they take and the events they give.
//!
//! Owns threads and queues. Workers share nothing but the event queue and counters: both endpoints of a call live on
//! one worker, chosen by the call's number, which [`Engine::new_call`] gives. The controller (Python, a test or a bench) submits commands, waits for the
//! engine's file descriptor and takes events in batches.

mod arrivals;
mod backlog;
mod board;
mod clips;
mod coalesce;
mod command;
mod config;
mod counters;
mod event;
mod loader;
mod random;
mod recorder;
mod sockets;
mod timers;
mod worker;

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::bridge::CallId;
use crate::dtls::Certificate;
use crate::error::MediaError;
use crate::io::{
    Granted, PortAllocator, SocketOptions, UdpSocket, Wake, local_addresses, pin_thread, raise_descriptor_limit,
};
use crate::rtcp::WallClock;

pub use command::{
    Command, PlaySource, RecordingFormat, RecordingOptions, Request, RequestId, TapTarget, TransportKind,
};
pub use config::EngineConfig;
pub use counters::{Totals, WorkerCounters};
pub use event::{Event, Local, TapReport};

use board::{Board, BoardSetup};
use event::{EventOutput, EventReceiver, EventSender};
use loader::WorkerInput;
use random::Random;
use recorder::{Recorder, RecorderCounters};
use sockets::Sockets;
use worker::Worker;

/// Kernel buffer to ask for on a worker's shared socket: bursts of all its browsers.
pub const SHARED_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Commands that may wait for the loader, and as many for the recorder.
const HELPER_QUEUE: usize = 1_024;

/// How long shutdown waits for a thread.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// The media plane of one process.
pub struct Engine {
    inputs: Vec<WorkerInput>,
    threads: Mutex<Vec<Running>>,
    loader: Mutex<Option<Helper>>,
    recorder: Mutex<Option<Helper>>,
    recordings: Arc<RecorderCounters>,
    counters: Vec<Arc<WorkerCounters>>,
    events: Mutex<EventReceiver>,
    wake: Arc<Wake>,
    is_stopping: Arc<AtomicBool>,
    web_rtc_addresses: Vec<SocketAddr>,
    shared_sockets: Vec<Granted>,
    next_call: AtomicU64,
}

struct Running {
    thread: JoinHandle<()>,
    exited: Receiver<()>,
}

/// A thread that does what a worker must not wait for.
struct Helper {
    jobs: SyncSender<Request>,
    running: Running,
}

impl Engine {
    /// Binds the browsers' sockets, makes the certificate and starts the workers.
    ///
    /// Fails with `InvalidParameter` for a configuration that cannot work, `Io` when a socket or thread cannot be had,
    /// `Crypto` when the certificate cannot be made.
    pub fn start(config: EngineConfig) -> Result<Self, MediaError> {
        config.check()?;
        let config = config.resolve(local_addresses)?;
        raise_descriptor_limit()?;
        let count = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let certificate = Certificate::generate().map_err(|error| MediaError::Crypto(error.to_string()))?;
        let wake = Arc::new(Wake::new()?);
        let (sender, receiver) = event::queue(config.event_queue, Arc::clone(&wake));
        let mut engine = Self {
            inputs: Vec::new(),
            threads: Mutex::new(Vec::new()),
            loader: Mutex::new(None),
            recorder: Mutex::new(None),
            recordings: Arc::new(RecorderCounters::default()),
            counters: Vec::new(),
            events: Mutex::new(receiver),
            wake,
            is_stopping: Arc::new(AtomicBool::new(false)),
            web_rtc_addresses: Vec::new(),
            shared_sockets: Vec::new(),
            next_call: AtomicU64::new(1),
        };
        let config = Arc::new(config);
        let clock = wall_clock();
        for number in 0..count {
            engine.spawn_worker(number, count, (&config, &certificate, clock, &sender))?;
        }
        engine.spawn_loader(sender.clone(), config.clip_memory_bytes)?;
        engine.spawn_recorder(sender, config.opus_complexity)?;
        Ok(engine)
    }

    /// Names a call, so that a worker that lives will have it.
    ///
    /// The share of a worker that died goes to the others; a call that exists stays where it is. With no worker left
    /// any name will do: the call's commands are refused.
    #[must_use]
    pub fn new_call(&self) -> CallId {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let lives = |call: CallId| {
            let running = worker_of(call, threads.len()).and_then(|index| threads.get(index));
            running.is_some_and(|running| !running.thread.is_finished())
        };
        let next = || CallId(self.next_call.fetch_add(1, Ordering::Relaxed));
        let first = next();
        if lives(first) {
            return first;
        }
        (1..threads.len()).map(|_| next()).find(|call| lives(*call)).unwrap_or(first)
    }

    /// Hands a command to its call's worker without waiting, and wakes it.
    ///
    /// Fails as `queue` does.
    pub fn submit(&self, request: Request) -> Result<(), MediaError> {
        self.queue(request)?;
        self.wake_workers();
        Ok(())
    }

    /// Hands a command to its call's worker, which need not look before `wake_workers`: who has several to give wakes
    /// it once.
    ///
    /// Fails with `Capacity` when that worker has too many waiting, `Closed` when it is gone.
    pub fn queue(&self, request: Request) -> Result<(), MediaError> {
        let refused = |error: TrySendError<Request>| match error {
            TrySendError::Full(_) => MediaError::Capacity("commands in the queue"),
            TrySendError::Disconnected(_) => MediaError::Closed,
        };
        if self.is_stopping.load(Ordering::Acquire) {
            return Err(MediaError::Closed);
        }
        if matches!(request.command, Command::Play { source: PlaySource::File { .. }, .. }) {
            let loader = self.loader.lock().unwrap_or_else(PoisonError::into_inner);
            return loader.as_ref().ok_or(MediaError::Closed)?.jobs.try_send(request).map_err(refused);
        }
        if matches!(request.command, Command::StartTap { target: TapTarget::File(_), .. }) {
            let recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
            return recorder.as_ref().ok_or(MediaError::Closed)?.jobs.try_send(request).map_err(refused);
        }
        let index = worker_of(request.call, self.inputs.len()).ok_or(MediaError::Closed)?;
        let input = self.inputs.get(index).ok_or(MediaError::Closed)?;
        input.commands.try_send(request).map_err(refused)?;
        input.wake.put_off();
        Ok(())
    }

    /// Wakes the workers that have been given commands since the last time.
    pub fn wake_workers(&self) {
        for input in &self.inputs {
            input.wake.signal_if_due();
        }
    }

    /// Moves up to `max` events to the end of `events`. If more wait, the descriptor stays readable.
    pub fn poll_events(&self, events: &mut Vec<Event>, max: usize) {
        let receiver = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        self.wake.drain();
        events.extend(std::iter::from_fn(|| receiver.try_next()).take(max));
        if receiver.has_more() {
            self.wake.signal();
        }
    }

    /// Waits until there are events or `timeout` is over. For callers without a poller of their own.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.wake.wait(timeout)
    }

    /// Where browsers reach each worker.
    #[must_use]
    pub fn web_rtc_addresses(&self) -> &[SocketAddr] {
        &self.web_rtc_addresses
    }

    /// What the kernel granted to the browsers' socket of each worker.
    #[must_use]
    pub fn shared_sockets(&self) -> &[Granted] {
        &self.shared_sockets
    }

    /// Counters of all workers together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            recordings: self.recordings.running.load(Ordering::Relaxed),
            recordings_failed: self.recordings.failed.load(Ordering::Relaxed),
            recording_dropped_ms: self.recordings.dropped_ms.load(Ordering::Relaxed),
            ..Totals::sum(self.counters.iter().map(Arc::as_ref))
        }
    }

    /// Ends every endpoint and every thread. Events of the end can still be polled. Again: nothing.
    ///
    /// Waits for each thread, at most two seconds; returns whether all of them ended.
    pub fn shutdown(&self) -> bool {
        self.is_stopping.store(true, Ordering::Release);
        for input in &self.inputs {
            input.wake.signal();
        }
        let loader = self.loader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Without its queue, the loader ends; the recorder does when the workers have let go of their taps.
        threads.extend([loader, recorder].into_iter().flatten().map(|helper| helper.running));
        threads.into_iter().map(Running::join).fold(true, |all, ended| all & ended)
    }

    fn spawn_worker(
        &mut self,
        number: usize,
        count: usize,
        (config, certificate, clock, events): (&Arc<EngineConfig>, &Certificate, WallClock, &EventSender),
    ) -> Result<(), MediaError> {
        let options = SocketOptions { buffer_bytes: SHARED_BUFFER_BYTES, dscp: config.dscp };
        let shared = UdpSocket::bind(worker_address(config.webrtc_bind, number), options)?;
        self.shared_sockets.push(shared.granted()?);
        self.web_rtc_addresses.push(shared.local());
        let wake = Arc::new(Wake::new()?);
        let counters = Arc::new(WorkerCounters::default());
        let ports = PortAllocator::new(config.rtp_bind, config.rtp_ports, (number, count), config.port_quarantine)
            .with_dscp(config.dscp);
        let board = Board::new(BoardSetup {
            config: Arc::clone(config),
            certificate: certificate.clone(),
            clock,
            sockets: Sockets::new(shared, &*wake)?,
            ports,
            counters: Arc::clone(&counters),
            events: EventOutput::new(events.clone()),
        });
        let (commands, receiver) = sync_channel(config.command_queue);
        let (exited, exit) = sync_channel(1);
        let is_stopping = Arc::clone(&self.is_stopping);
        let worker = Worker {
            number,
            board,
            commands: receiver,
            wake: Arc::clone(&wake),
            is_stopping,
            longest_pause: config.longest_pause,
            exited,
        };
        let is_pinned = config.is_pinned;
        let (pinned, pinning) = sync_channel(1);
        let thread = Builder::new().name(format!("media-{number}")).spawn(move || {
            // `start` waits for this answer.
            let _ = pinned.send(if is_pinned { pin_thread(number).map(Some) } else { Ok(None) });
            worker.run();
        })?;
        pinning.recv().map_err(|_| MediaError::Closed)??;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(Running { thread, exited: exit });
        self.inputs.push(WorkerInput { commands, wake });
        self.counters.push(counters);
        Ok(())
    }

    fn spawn_loader(&mut self, events: EventSender, memory_bytes: usize) -> Result<(), MediaError> {
        let (jobs, receiver) = sync_channel(HELPER_QUEUE);
        let (exited, exit) = sync_channel(1);
        let workers = self.inputs.clone();
        let thread = Builder::new().name("media-loader".into()).spawn(move || {
            loader::run(&receiver, &workers, &events, memory_bytes);
            // Nobody waits for a loader that is not being stopped.
            let _ = exited.try_send(());
        })?;
        let running = Running { thread, exited: exit };
        *self.loader.lock().unwrap_or_else(PoisonError::into_inner) = Some(Helper { jobs, running });
        Ok(())
    }

    fn spawn_recorder(&mut self, events: EventSender, opus_complexity: Option<u8>) -> Result<(), MediaError> {
        let (jobs, receiver) = sync_channel(HELPER_QUEUE);
        let (exited, exit) = sync_channel(1);
        let recorder = Recorder {
            jobs: receiver,
            workers: self.inputs.clone(),
            events,
            counters: Arc::clone(&self.recordings),
            random: Random::new()?,
            opus_complexity,
        };
        let thread = Builder::new().name("media-recorder".into()).spawn(move || {
            recorder.run();
            // Nobody waits for a recorder that is not being stopped.
            let _ = exited.try_send(());
        })?;
        let running = Running { thread, exited: exit };
        *self.recorder.lock().unwrap_or_else(PoisonError::into_inner) = Some(Helper { jobs, running });
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl AsRawFd for Engine {
    /// Readable while events wait.
    fn as_raw_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }
}

impl Running {
    /// Waits for the thread to end, up to the limit. A thread that does not is left behind.
    fn join(self) -> bool {
        match self.exited.recv_timeout(SHUTDOWN_LIMIT) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => self.thread.join().is_ok(),
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

/// The worker of a call; None if there are none.
fn worker_of(call: CallId, workers: usize) -> Option<usize> {
    let workers = u64::try_from(workers).ok().filter(|count| *count > 0)?;
    usize::try_from(call.0 % workers).ok()
}

/// Each worker has a port of its own, in a row. The configuration's check leaves room for all.
fn worker_address(first: SocketAddr, number: usize) -> SocketAddr {
    let offset = u16::try_from(number).unwrap_or(0);
    let port = if first.port() == 0 { 0 } else { first.port().saturating_add(offset) };
    SocketAddr::new(first.ip(), port)
}

#[expect(clippy::disallowed_methods, reason = "the one anchor between the monotonic clock and the calendar")]
fn wall_clock() -> WallClock {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    WallClock::new(std::time::Instant::now(), since_epoch.unwrap_or_default())
}

#[cfg(test)]
mod tests;
