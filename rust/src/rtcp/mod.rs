//! RTCP: sender and receiver reports, source descriptions and goodbyes (RFC 3550 section 6), extended reports (RFC 3611).
//!
//! Owns reading compound packets without copying and building ours into the caller's buffer. Must not encrypt, decide
//! when a report is due, or read a clock: wall-clock time comes from a [`WallClock`] that the caller anchors.

mod build;
mod report;
mod time;
mod xr;

pub use build::{Builder, SenderInfo};
pub use report::{Bye, Compound, Packet, ReportBlock, ReportBlocks, Sdes, SenderReport};
pub use time::{NtpTime, WallClock};
pub use xr::{Block, Dlrr, ExtendedReport, VoipMetrics};

#[cfg(test)]
mod tests;
