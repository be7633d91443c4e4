//! The loop of one worker thread: sleep, read the clock once, and the calendar where packets are stamped by it, collect
//! what has arrived, deal with it, let deadlines run, send.
//!
//! Holds nothing but the loop; who does what is in `board`. The only place of the media plane that reads the monotonic
//! clock.

#![expect(clippy::disallowed_methods, reason = "the worker's loop reads the clock, once a turn, for everybody")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use crate::io::{Readiness, ReceiveBatch, Wake};
use crate::outbox::SocketId;

use super::backlog::Backlog;
use super::board::{Board, describe};
use super::coalesce::Coalescer;
use super::command::Request;
use super::event::Event;
use super::sockets::{Ready, SHARED, Sockets};

/// Datagrams that are collected before they are looked at.
pub(super) const BATCH: usize = 256;

/// Datagrams taken from an endpoint's own socket in a turn. The kernel's buffer keeps the rest, and there is no pause
/// before the next turn: a far side that sends without measure waits for others, and they do not for it.
const SOCKET_SHARE: usize = 32;

/// The same for the socket that all browsers share.
const SHARED_SHARE: usize = 256;

/// Handshake datagrams that may wait: a flight of each of some hundred browsers.
const BACKLOG: usize = 512;

/// Commands carried out in a turn, before packets have theirs.
const COMMANDS_PER_TURN: usize = 16;

/// How soon a worker looks again whether the event queue has room.
const EVENT_RETRY: Duration = Duration::from_millis(5);

/// One worker, ready to run on its thread.
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) board: Board,
    pub(super) commands: Receiver<Request>,
    pub(super) wake: Arc<Wake>,
    pub(super) is_stopping: Arc<AtomicBool>,
    /// What a worker may sleep on although packets arrive.
    pub(super) longest_pause: Duration,
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
        let mut batch = ReceiveBatch::new(BATCH);
        let mut backlog = Backlog::new(BACKLOG);
        let mut coalescer = Coalescer::new(self.longest_pause);
        let mut pause = Duration::ZERO;
        let mut now = Instant::now();
        let mut has_commands = false;
        let mut is_blocked = false;
        loop {
            let has_work = has_commands && !is_blocked || !backlog.is_empty() || self.board.sockets().unfinished() > 0;
            let timeout = if has_work {
                pause = Duration::ZERO;
                Some(Duration::ZERO)
            } else {
                let deadline = self.board.poll_timeout().map(|deadline| deadline.saturating_duration_since(now));
                if is_blocked { Some(deadline.map_or(EVENT_RETRY, |wait| wait.min(EVENT_RETRY))) } else { deadline }
            };
            self.board.sockets().wait(&mut readiness, pause, timeout)?;
            now = Instant::now();
            let calendar = self.board.sockets().are_stamped().then(SystemTime::now);
            self.board.begin_round(now, calendar);
            let mut found = 0;
            for _ in 0..self.board.sockets().unfinished() {
                if let Some(socket) = self.board.sockets().next_unfinished() {
                    found += self.receive(now, socket, (&mut batch, &mut backlog));
                }
            }
            for index in 0..readiness.len() {
                match Sockets::ready(&readiness, index) {
                    Some(Ready::Socket(socket)) if !self.board.sockets().is_unfinished(socket) => {
                        found += self.receive(now, socket, (&mut batch, &mut backlog));
                    }
                    Some(Ready::Commands) => {
                        self.wake.drain();
                        has_commands = true;
                    }
                    // An unfinished one has had its share.
                    Some(Ready::Socket(_)) | None => {}
                }
            }
            self.board.handle_batch(now, &mut batch, &mut backlog);
            if !backlog.is_empty() {
                self.board.handle_backlog(now, &mut backlog);
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
            self.board.count_turn(pause, found);
            pause = coalescer.pause(now, found);
        }
    }

    /// Collects what has arrived at one socket, up to its share of a turn; if there may be more, it is put back. A batch
    /// that is full is dealt with first. Returns how many datagrams there were.
    fn receive(
        &mut self,
        now: Instant,
        socket: SocketId,
        (batch, backlog): (&mut ReceiveBatch, &mut Backlog),
    ) -> usize {
        let share = if socket == SHARED { SHARED_SHARE } else { SOCKET_SHARE };
        let mut taken = 0;
        while taken < share {
            if batch.room() == 0 {
                self.board.handle_batch(now, batch, backlog);
            }
            let (count, is_all) = self.board.sockets().receive(socket, share - taken, batch);
            taken += count;
            if is_all {
                return taken;
            }
        }
        self.board.sockets().put_back(socket);
        taken
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
