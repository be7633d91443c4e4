//! The way out of one leg: from its pipeline into its endpoint.

use std::time::Instant;

use crate::endpoint::Endpoint;
use crate::error::DropReason;
use crate::outbox::Outbox;
use crate::pipeline::Sink;
use crate::rtp::Header;

/// The way out of one leg.
pub(super) struct Out<'a> {
    pub(super) now: Instant,
    pub(super) endpoint: &'a mut Endpoint,
    pub(super) outbox: &'a mut Outbox,
    /// Why the last packet did not leave.
    pub(super) refused: Option<DropReason>,
}

impl Sink for Out<'_> {
    fn can_send(&self) -> bool {
        self.endpoint.can_send()
    }

    fn send(&mut self, header: &Header, clock_rate_hz: u32, payload: &[u8]) {
        self.refused = self.endpoint.send_rtp(self.now, header, clock_rate_hz, payload, self.outbox).err();
    }

    fn count_drop(&mut self, reason: DropReason) {
        self.endpoint.count_drop(reason);
    }
}
