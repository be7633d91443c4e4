//! What a bridge knows of how its legs sound.

use crate::codecs::Kind;
use crate::net::SrtpProfile;
use crate::quality::{Heard, emodel};

use super::{Bridge, LegIndex, Muted, Stats};

impl Bridge {
    /// What is known of an endpoint.
    #[must_use]
    pub fn stats(&mut self, index: LegIndex) -> Option<Stats> {
        self.note_heard(index);
        let leg = self.leg(index)?;
        let codec_sent = leg.pipeline.codec_sent();
        Some(Stats {
            received: leg.endpoint.received(),
            sent: leg.endpoint.sent(codec_sent.and_then(impairment)),
            round_trip: leg.endpoint.round_trip(),
            codec_received: leg.heard,
            codec_sent,
            srtp_profile: leg.endpoint.srtp_profile().map(SrtpProfile::name),
            local: None,
            remote: leg.endpoint.remote(),
            is_said_muted: leg.said != Muted::Nothing,
            is_heard_muted: leg.hearing != Muted::Nothing,
            drops: leg.endpoint.drops().clone(),
        })
    }

    /// Tells an endpoint how it was heard, for its reports and figures.
    pub(super) fn note_heard(&mut self, index: LegIndex) {
        let Some(leg) = self.leg(index) else { return };
        let peer = leg.peer.and_then(|peer| self.leg(peer));
        let played = peer.map_or(leg.played, |peer| leg.played.then(peer.pipeline.played()));
        let heard = Heard::new(leg.heard.and_then(impairment), leg.ptime_ms, played);
        if let Ok(leg) = self.leg_mut(index) {
            leg.endpoint.set_heard(heard);
        }
    }
}

/// What the E-model says of a codec; None if it carries no speech.
fn impairment(codec: Kind) -> Option<emodel::Impairment> {
    match codec {
        Kind::Pcmu | Kind::Pcma => Some(emodel::G711),
        Kind::G722 => Some(emodel::G722),
        Kind::G729 => Some(emodel::G729A),
        Kind::Speex => Some(emodel::SPEEX),
        Kind::Opus => Some(emodel::OPUS),
        Kind::L16 => Some(emodel::L16),
        Kind::Cn | Kind::TelephoneEvent => None,
    }
}
