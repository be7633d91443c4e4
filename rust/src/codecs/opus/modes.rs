//! Whether packets are of one stream: an encoder seldom changes its mode, and random bytes do with every packet.
//!
//! Owns what raises doubts: two changes close to each other. RFC 6716 section 3.1 (the byte that names the mode).

/// Packets in which a second change of the mode raises doubts.
const CLOSE_PACKETS: u32 = 5;

#[derive(Debug)]
pub(super) struct Modes {
    /// What the last packet said of its mode and channels.
    last: Option<u8>,
    /// Packets since the last change.
    unchanged: u32,
}

impl Modes {
    pub(super) fn new() -> Self {
        Self { last: None, unchanged: CLOSE_PACKETS }
    }

    /// Takes a packet, and says whether it raises doubts.
    pub(super) fn are_changing(&mut self, payload: &[u8]) -> bool {
        // Without the number of frames, which may follow the packet time.
        let mode = payload.first().map(|toc| toc >> 2);
        let is_change = self.last.is_some() && mode != self.last;
        self.last = mode;
        let is_close = is_change && self.unchanged < CLOSE_PACKETS;
        self.unchanged = if is_change { 0 } else { self.unchanged.saturating_add(1) };
        is_close
    }
}
