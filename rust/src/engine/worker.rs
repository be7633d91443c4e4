//! The loop of one worker thread: sleep, read the clock once, receive, let deadlines run, send.
//!
//! Holds nothing but the loop; who does what is in `board`. The only place of the media plane that reads the monotonic
//! clock.

#![expect(clippy::disallowed_methods, reason = "the worker's loop reads the clock, once a turn, for everybody")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use crate::io::{Readiness, ReceiveBatch, Wake};
use crate::outbox::SocketId;

use super::board::{Board, describe};
use super::command::Request;
use super::event::Event;
use super::sockets::{Ready, Sockets};

/// Datagrams of one `recvmmsg`.
const RECEIVE_BATCH: usize = 64;

/// Full batches taken from one socket in a turn, before the others have theirs.
const BATCHES_PER_TURN: usize = 4;

/// Commands carried out in a turn, before packets have theirs.
const COMMANDS_PER_TURN: usize = 64;

/// How soon a worker looks again whether the event queue has room.
const EVENT_RETRY: Duration = Duration::from_millis(5);

/// One worker, ready to run on its thread.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) board: Board,
    pub(super) commands: Receiver<Request>,
    pub(super) wake: Arc<Wake>,
    pub(super) is_stopping: Arc<AtomicBool>,
    /// Told once, when the loop has ended.
    pub(super) exited: SyncSender<()>,
}

impl Worker {
    /// Runs until told to stop, or until something breaks outside any bridge; then says so for every endpoint.
    pub(super) fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(describe(&*panic)),
        };
        if let Some(reason) = failure {
            self.board.abandon("worker_died");
            self.board.events().push(Event::WorkerDied { worker: self.number, reason });
        }
        self.board.events().drain();
        self.board.events().signal();
        // Nobody waits for a worker that is not being stopped.
        let _ = self.exited.try_send(());
    }

    fn serve(&mut self) -> std::io::Result<()> {
        let mut readiness = Readiness::new();
        let mut batch = ReceiveBatch::new(RECEIVE_BATCH);
        let mut now = Instant::now();
        let mut has_commands = false;
        let mut is_blocked = false;
        loop {
            let timeout = if has_commands && !is_blocked {
                Some(Duration::ZERO)
            } else {
                let deadline = self.board.poll_timeout().map(|deadline| deadline.saturating_duration_since(now));
                if is_blocked { Some(deadline.map_or(EVENT_RETRY, |wait| wait.min(EVENT_RETRY))) } else { deadline }
            };
            self.board.sockets().wait(&mut readiness, timeout)?;
            now = Instant::now();
            for index in 0..readiness.len() {
                match Sockets::ready(&readiness, index) {
                    Some(Ready::Socket(socket)) => self.receive(now, socket, &mut batch),
                    Some(Ready::Commands) => {
                        self.wake.drain();
                        has_commands = true;
                    }
                    None => {}
                }
            }
            if self.is_stopping.load(Ordering::Acquire) {
                self.board.close_all(now, "shutdown");
                self.board.finish_round(now);
                return Ok(());
            }
            is_blocked = !self.board.events().drain();
            if has_commands && !is_blocked {
                has_commands = self.obey(now);
            }
            self.board.handle_timeout(now);
            self.board.finish_round(now);
        }
    }

    fn receive(&mut self, now: Instant, socket: SocketId, batch: &mut ReceiveBatch) {
        for _ in 0..BATCHES_PER_TURN {
            let count = self.board.sockets().receive(socket, batch);
            self.board.count_received(count);
            for index in 0..count {
                match batch.datagram(index) {
                    Some(received) if received.is_truncated => self.board.count_oversize(),
                    Some(received) => self.board.handle_datagram(now, socket, received.remote, received.data),
                    None => {}
                }
            }
            if count < batch.capacity() {
                return;
            }
        }
    }

    /// Carries out what waits, up to a turn's worth. Returns whether there may be more.
    fn obey(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.try_recv() {
                Ok(request) => self.board.handle_command(now, request),
                Err(_) => return false,
            }
            if !self.board.events().drain() {
                return true;
            }
        }
        true
    }
}
