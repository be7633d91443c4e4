//! The tags of a batch's SRTP packets, computed several at a time before the packets have their turns.
//!
//! One packet's HMAC leaves most of the processor idle (see `mac`); the packets of a batch come from many calls. What is
//! foreseen here changes nothing: a packet whose forecast is missing, or does not hold any more when its turn comes, is
//! authenticated by itself.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::endpoint::Lane;
use crate::io::ReceiveBatch;
use crate::mac::{self, Backend};
use crate::net::DatagramKind;
use crate::outbox::SocketId;
use crate::srtp::Forecast;

use super::Board;

/// Forecasts of the datagrams of one batch, in the batch's order; reused for the next.
pub(super) struct Forecasts {
    list: Vec<Option<Forecast>>,
    backend: Backend,
}

impl Forecasts {
    /// For batches of up to `capacity` datagrams.
    pub(super) fn new(capacity: usize) -> Self {
        Self { list: Vec::with_capacity(capacity), backend: Backend::detect() }
    }

    /// The forecast of each datagram, and none for those behind the last.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&Forecast>> {
        self.list.iter().map(Option::as_ref).chain(std::iter::repeat(None))
    }
}

impl Board {
    /// Computes what can be foreseen of a batch. One packet alone gains nothing.
    pub(super) fn foresee(&self, now: Instant, batch: &mut ReceiveBatch, forecasts: &mut Forecasts) {
        forecasts.list.clear();
        if batch.len() < 2 {
            return;
        }
        let foreseen = batch.datagrams().map(|received| {
            let data = (!received.is_truncated).then_some(&*received.data)?;
            self.foresee_one(now, received.socket, received.remote, data)
        });
        forecasts.list.extend(foreseen);
        let messages = batch.datagrams().zip(&mut forecasts.list);
        mac::sign(
            forecasts.backend,
            messages.filter_map(|(received, forecast)| forecast.as_mut()?.message(received.data)),
        );
    }

    fn foresee_one(&self, now: Instant, socket: SocketId, remote: SocketAddr, data: &[u8]) -> Option<Forecast> {
        if DatagramKind::of(data) != Some(DatagramKind::Rtp) {
            return None;
        }
        let owner = self.setup.sockets.owner(socket);
        let (place, lane) = owner.or_else(|| self.by_address.get(&remote).map(|place| (*place, Lane::Rtp)))?;
        let bridge = self.bridges.get(place.bridge)?.as_deref()?;
        // A bridge that panics here will do so again in its turn, which is where it ends.
        catch_unwind(AssertUnwindSafe(|| bridge.foresee(now, (place.leg, lane, remote), data))).ok()?
    }
}
