//! Reads audio files for `Play`, on a thread of its own so that no worker ever waits for a disk.
//!
//! Owns the order of the jobs: one at a time, so that a file that many want is read once, and a slow disk delays those
//! who wait for a file and nobody else.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::error::MediaError;
use crate::io::Wake;
use crate::pipeline::Source;

use super::clips::Clips;
use super::command::{Command, PlaySource, Request};
use super::event::{Event, EventSender};

/// The way to one worker.
#[derive(Clone)]
pub(super) struct WorkerInput {
    pub(super) commands: SyncSender<Request>,
    pub(super) wake: Arc<Wake>,
}

impl WorkerInput {
    /// Waits until the worker has room. Returns false if it is gone.
    pub(super) fn pass_on(&self, request: Request) -> bool {
        let is_taken = self.commands.send(request).is_ok();
        self.wake.signal();
        is_taken
    }
}

/// Turns each `Play` of a file into a `Play` of its audio, until the engine lets go of the queue.
pub(super) fn run(jobs: &Receiver<Request>, workers: &[WorkerInput], events: &EventSender, memory_bytes: usize) {
    let mut clips = Clips::new(memory_bytes);
    while let Ok(request) = jobs.recv() {
        let id = request.id;
        let failed =
            |error: &MediaError| Event::CommandFailed { request: id, kind: error.kind(), message: error.to_string() };
        match load_source(request, &mut clips) {
            Ok(request) => {
                let input = super::worker_of(request.call, workers.len()).and_then(|index| workers.get(index));
                if !input.is_some_and(|input| input.pass_on(request)) {
                    events.send(failed(&MediaError::Closed));
                }
            }
            Err(error) => events.send(failed(&error)),
        }
    }
}

fn load_source(request: Request, clips: &mut Clips) -> Result<Request, MediaError> {
    let Request { id, call, command } = request;
    let command = match command {
        Command::Play { endpoint, source: PlaySource::File { path, is_looped } } => {
            let clip = clips.fetch(&path, is_looped)?;
            Command::Play { endpoint, source: PlaySource::Ready(Source::Clip { clip, is_looped }) }
        }
        other => other,
    };
    Ok(Request { id, call, command })
}
