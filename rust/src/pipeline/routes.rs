//! What becomes of a packet, by its payload type.

use crate::codecs::{Codec, Kind, Law};
use crate::net::Pt;

use super::Format;

/// The way of a payload type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Route {
    /// Goes on under our number of the same codec.
    Relay(Format),
    /// Goes on under our number of G.711's other law, each byte converted from this one.
    Convert(Format, Law),
    /// Is decoded and encoded anew.
    Transcode(Codec),
    /// Comfort noise for the decoder.
    Noise,
}

/// The ways of all payload types of a source.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<(Pt, Route)>);

impl Routes {
    /// Chooses a way for each format of the source.
    ///
    /// send: what we may send, best first. `is_same_ptime`: the source's packets are as long as ours should be.
    pub(super) fn choose(source: &[Format], send: &[Format], is_same_ptime: bool) -> Self {
        let route = |theirs: &Format| {
            let same = send.iter().find(|ours| is_same_codec(ours.codec, theirs.codec));
            let other_law = law(theirs.codec).and_then(|law| {
                let ours = send.iter().find(|ours| self::law(ours.codec) == Some(law.other()))?;
                Some(Route::Convert(*ours, law))
            });
            let keeps_ptime = theirs.codec.kind() == Kind::Opus || is_same_ptime;
            Some(match (theirs.codec.kind(), same) {
                // Digits go from key to key, not from packet to packet.
                (Kind::TelephoneEvent, _) => return None,
                (Kind::Cn, Some(ours)) => Route::Relay(*ours),
                (Kind::Cn, None) => Route::Noise,
                (_, Some(ours)) if keeps_ptime => Route::Relay(*ours),
                _ => other_law.filter(|_| is_same_ptime).unwrap_or(Route::Transcode(theirs.codec)),
            })
        };
        Self(source.iter().filter_map(|theirs| Some((theirs.pt, route(theirs)?))).collect())
    }

    /// The way of one payload type.
    pub(super) fn find(&self, pt: Pt) -> Option<Route> {
        self.0.iter().find(|(known, _)| *known == pt).map(|(_, route)| *route)
    }

    /// Codecs that are decoded.
    pub(super) fn transcoded(&self) -> impl Iterator<Item = Codec> {
        self.0.iter().filter_map(|(_, route)| match route {
            Route::Transcode(codec) => Some(*codec),
            Route::Relay(_) | Route::Convert(..) | Route::Noise => None,
        })
    }
}

/// The law of a G.711 codec.
fn law(codec: Codec) -> Option<Law> {
    match codec.kind() {
        Kind::Pcmu => Some(Law::Ulaw),
        Kind::Pcma => Some(Law::Alaw),
        _ => None,
    }
}

/// Whether a payload of the one may go on as a payload of the other.
fn is_same_codec(one: Codec, other: Codec) -> bool {
    one.kind() == other.kind() && one.clock_rate_hz() == other.clock_rate_hz()
}
