//! One worker's sockets by number, and who each of them belongs to.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::bridge::LegIndex;
use crate::endpoint::Lane;
use crate::error::DropReason;
use crate::io::{Poller, Readiness, ReceiveBatch, SendBatch, SendOutcome, UdpSocket};
use crate::outbox::{Outbox, SocketId};

/// The shared socket of all browsers.
pub(super) const SHARED: SocketId = SocketId(0);

/// Token of the eventfd that announces commands.
const WAKE_TOKEN: u64 = u64::MAX;

/// Datagrams of one `sendmmsg`.
const SEND_BATCH: usize = 64;

/// A leg of a bridge of this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bridge: usize,
    pub(super) leg: LegIndex,
}

struct Entry {
    socket: UdpSocket,
    owner: Option<(Place, Lane)>,
    /// It waits among the unfinished.
    is_unfinished: bool,
}

impl Entry {
    fn new(socket: UdpSocket) -> Self {
        Self { socket, owner: None, is_unfinished: false }
    }
}

/// The sockets, their poller and the way out.
pub(super) struct Sockets {
    poller: Poller,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Those that had more than their share of a turn: the poller says nothing of them until something new arrives.
    unfinished: VecDeque<SocketId>,
    /// Some are or were stamped.
    are_stamped: bool,
    sending: SendBatch,
}

/// What a readable descriptor is.
pub(super) enum Ready {
    Commands,
    Socket(SocketId),
}

impl Sockets {
    /// shared: the socket of all browsers; wake: announces commands.
    pub(super) fn new(shared: UdpSocket, wake: &impl AsRawFd) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(wake, WAKE_TOKEN)?;
        poller.add(&shared, u64::from(SHARED.0))?;
        let entries = vec![Some(Entry::new(shared))];
        let (free, unfinished) = (Vec::new(), VecDeque::with_capacity(1));
        Ok(Self { poller, entries, free, unfinished, are_stamped: false, sending: SendBatch::new(SEND_BATCH) })
    }

    /// Takes a socket in, to be reported when readable.
    pub(super) fn add(&mut self, socket: UdpSocket) -> io::Result<SocketId> {
        let index = self.free.pop().unwrap_or(self.entries.len());
        let id = u32::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        if index == self.entries.len() {
            self.entries.push(None);
        }
        if let Err(error) = self.poller.add(&socket, u64::from(id)) {
            self.free.push(index);
            return Err(error);
        }
        self.entries[index] = Some(Entry::new(socket));
        // So that no packet makes it grow.
        self.unfinished.reserve(self.entries.len());
        Ok(SocketId(id))
    }

    /// Says whose datagrams come through a socket.
    pub(super) fn assign(&mut self, id: SocketId, place: Place, lane: Lane) {
        if let Some(entry) = self.entry_mut(id) {
            entry.owner = Some((place, lane));
        }
    }

    /// Has datagrams that come through a socket stamped from now on.
    ///
    /// A kernel that would refuse leaves it as it was: its datagrams count as come when they are read.
    pub(super) fn stamp(&mut self, id: SocketId) {
        let unstamped = self.entry_mut(id).filter(|entry| !entry.socket.is_stamped());
        let is_done = unstamped.is_some_and(|entry| entry.socket.stamp_arrivals().is_ok());
        self.are_stamped |= is_done;
    }

    /// Whether any datagram may have a stamp.
    pub(super) fn are_stamped(&self) -> bool {
        self.are_stamped
    }

    /// Gives a socket back to whoever closes it.
    pub(super) fn take(&mut self, id: SocketId) -> Option<UdpSocket> {
        let index = usize::try_from(id.0).ok()?;
        let entry = self.entries.get_mut(index)?.take()?;
        self.free.push(index);
        Some(entry.socket)
    }

    /// Whose datagrams come through a socket; None for the shared one.
    pub(super) fn owner(&self, id: SocketId) -> Option<(Place, Lane)> {
        self.entry(id)?.owner
    }

    /// The socket's own address.
    pub(super) fn local(&self, id: SocketId) -> Option<SocketAddr> {
        Some(self.entry(id)?.socket.local())
    }

    /// Whether a socket can send to this address family.
    pub(super) fn reaches(&self, id: SocketId, remote: SocketAddr) -> bool {
        self.entry(id).is_some_and(|entry| entry.socket.reaches(remote))
    }

    /// Sleeps for `pause`, then until a descriptor is readable or `timeout`, which includes the pause, is over.
    pub(super) fn wait(&self, readiness: &mut Readiness, pause: Duration, timeout: Option<Duration>) -> io::Result<()> {
        self.poller.wait(readiness, pause, timeout)
    }

    /// What the readable descriptor at `index` is.
    pub(super) fn ready(readiness: &Readiness, index: usize) -> Option<Ready> {
        match readiness.token(index)? {
            WAKE_TOKEN => Some(Ready::Commands),
            token => u32::try_from(token).ok().map(|id| Ready::Socket(SocketId(id))),
        }
    }

    /// Adds to `batch` what has arrived at a socket, as far as there is room. Returns how many there are, and whether
    /// that is all.
    ///
    /// limit: of datagrams. A socket that is gone, or that reports an error of an earlier send, has nothing.
    pub(super) fn receive(&self, id: SocketId, limit: usize, batch: &mut ReceiveBatch) -> (usize, bool) {
        let Some(entry) = self.entry(id) else { return (0, true) };
        let wanted = limit.min(batch.room());
        batch.take(&entry.socket, id, wanted).map_or((0, true), |count| (count, count < wanted))
    }

    /// How many sockets are known to have more.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished.len()
    }

    /// The socket that has waited longest with what it has.
    pub(super) fn next_unfinished(&mut self) -> Option<SocketId> {
        let id = self.unfinished.pop_front()?;
        if let Some(entry) = self.entry_mut(id) {
            entry.is_unfinished = false;
        }
        Some(id)
    }

    /// Whether a socket waits for its next share.
    pub(super) fn is_unfinished(&self, id: SocketId) -> bool {
        self.entry(id).is_some_and(|entry| entry.is_unfinished)
    }

    /// Lets a socket wait for its next share.
    pub(super) fn put_back(&mut self, id: SocketId) {
        if let Some(entry) = self.entry_mut(id)
            && !entry.is_unfinished
        {
            entry.is_unfinished = true;
            self.unfinished.push_back(id);
        }
    }

    /// Sends and forgets everything in `outbox`: the shared socket's datagrams in batches, the others one by one.
    pub(super) fn flush(&mut self, outbox: &mut Outbox) -> SendOutcome {
        let mut total = SendOutcome::default();
        if outbox.is_empty() {
            return total;
        }
        let Self { entries, sending, .. } = self;
        let mut add = |outcome: SendOutcome| {
            total.sent += outcome.sent;
            total.refused += outcome.refused;
        };
        if let Some(Some(entry)) = entries.first() {
            let shared = outbox.iter().filter(|transmit| transmit.destination.socket == SHARED);
            add(sending.send(&entry.socket, shared.map(|transmit| (transmit.destination.remote, transmit.data))));
        }
        for transmit in outbox.iter().filter(|transmit| transmit.destination.socket != SHARED) {
            let entry = usize::try_from(transmit.destination.socket.0).ok().and_then(|index| entries.get(index));
            if let Some(Some(entry)) = entry {
                add(entry.socket.send(transmit.destination.remote, transmit.data));
            }
        }
        outbox.clear();
        total
    }

    fn entry(&self, id: SocketId) -> Option<&Entry> {
        self.entries.get(usize::try_from(id.0).ok()?)?.as_ref()
    }

    fn entry_mut(&mut self, id: SocketId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(id.0).ok()?)?.as_mut()
    }
}

/// What a refused datagram is counted as.
pub(super) const REFUSED: DropReason = DropReason::SendFailed;
