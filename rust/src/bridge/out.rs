//! The way out of one leg: from its pipeline into its endpoint.

use std::time::Instant;

use crate::endpoint::Endpoint;
use crate::error::DropReason;
use crate::outbox::Outbox;
use crate::pipeline::{Channel, Copied, Format, Sink, Tap};
use crate::rtp::Header;

/// The way out of one leg.
pub(super) struct Out<'a> {
    pub(super) now: Instant,
    pub(super) endpoint: &'a mut Endpoint,
    pub(super) outbox: &'a mut Outbox,
    /// Who records what leaves, and what its payload types mean.
    pub(super) tap: Option<(&'a mut Tap, &'a [Format])>,
    /// What leaves is a digit's.
    pub(super) is_digit: bool,
    /// Why the last packet did not leave.
    pub(super) refused: Option<DropReason>,
}

impl Sink for Out<'_> {
    fn can_send(&self) -> bool {
        self.endpoint.can_send()
    }

    fn send(&mut self, header: &Header, clock_rate_hz: u32, payload: &[u8]) {
        self.refused = self.endpoint.send_rtp(self.now, header, clock_rate_hz, payload, self.outbox).err();
        if let (None, Some((tap, formats))) = (self.refused, &mut self.tap)
            && let Some(format) = formats.iter().find(|format| format.pt == header.pt)
        {
            let packet = Copied {
                channel: Channel::Heard,
                codec: &format.codec,
                seq: header.seq.0,
                timestamp: header.timestamp,
                is_restart: false,
                is_digit: self.is_digit,
                payload,
            };
            tap.write(self.now, &packet);
        }
    }

    fn count_drop(&mut self, reason: DropReason) {
        self.endpoint.count_drop(reason);
    }
}
