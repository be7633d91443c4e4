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
    /// Comfort noise for the decoder of this speech, which is in between.
    Noise(Pt, Codec),
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
            let same = same.filter(|ours| may_follow(ours.codec, theirs.codec));
            let other_law = law(theirs.codec).and_then(|law| {
                let ours = send.iter().find(|ours| self::law(ours.codec) == Some(law.other()))?;
                Some(Route::Convert(*ours, law))
            });
            let keeps_ptime = theirs.codec.kind() == Kind::Opus || is_same_ptime;
            Some(match (theirs.codec.kind(), same) {
                // Digits go from key to key, not from packet to packet. Noise goes the way of the speech about it.
                (Kind::TelephoneEvent | Kind::Cn, _) => return None,
                (_, Some(ours)) if keeps_ptime => Route::Relay(*ours),
                _ => other_law.filter(|_| is_same_ptime).unwrap_or(Route::Transcode(theirs.codec)),
            })
        };
        let mut routes: Vec<_> = source.iter().filter_map(|theirs| Some((theirs.pt, route(theirs)?))).collect();
        for theirs in source.iter().filter(|theirs| theirs.codec.kind() == Kind::Cn) {
            if let Some(route) = noise_route(theirs, source, send, &routes) {
                routes.push((theirs.pt, route));
            }
        }
        Self(routes)
    }

    /// The way of one payload type.
    pub(super) fn find(&self, pt: Pt) -> Option<Route> {
        self.0.iter().find(|(known, _)| *known == pt).map(|(_, route)| *route)
    }

    /// Codecs that are decoded.
    pub(super) fn transcoded(&self) -> impl Iterator<Item = Codec> {
        self.0.iter().filter_map(|(_, route)| match route {
            Route::Transcode(codec) => Some(*codec),
            Route::Relay(_) | Route::Convert(..) | Route::Noise(..) => None,
        })
    }
}

/// The way of comfort noise: on to who takes it, if the speech that it interrupts goes on as well; else it is made into
/// noise, which who takes no such packets hears without end.
fn noise_route(theirs: &Format, source: &[Format], send: &[Format], routes: &[(Pt, Route)]) -> Option<Route> {
    let clock_rate_hz = theirs.codec.clock_rate_hz();
    let speech = source
        .iter()
        .find(|format| format.codec.kind().is_speech() && format.codec.clock_rate_hz() == clock_rate_hz)?;
    let ours = send.iter().find(|ours| is_same_codec(ours.codec, theirs.codec));
    let is_passed =
        routes.iter().any(|(pt, route)| *pt == speech.pt && matches!(route, Route::Relay(_) | Route::Convert(..)));
    Some(ours.filter(|_| is_passed).map_or(Route::Noise(speech.pt, speech.codec), |ours| Route::Relay(*ours)))
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

/// Whether all that is sent by the terms of `theirs` may go on under `ours`: who forbids descriptions of silence (G.729
/// Annex B) would hear nothing instead of them.
fn may_follow(ours: Codec, theirs: Codec) -> bool {
    ours.kind() != Kind::G729 || ours.g729().annex_b || !theirs.g729().annex_b
}
