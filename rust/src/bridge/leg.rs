//! One leg of a bridge: an endpoint, the pipeline that feeds it, its keys, mutes and recording.

use std::time::Instant;

use crate::codecs::{EncoderSettings, Kind};
use crate::dtmf;
use crate::endpoint::{Endpoint, Media};
use crate::outbox::Outbox;
use crate::pipeline::{Channel, Copied, FirstNumbers, Format, Pipeline, Tap};
use crate::quality::Played;

use super::keys::Keys;
use super::out::Out;
use super::types::{LegIndex, Muted};

/// One endpoint of a call, and what feeds it.
pub(super) struct Leg {
    pub(super) endpoint: Endpoint,
    pub(super) pipeline: Pipeline,
    pub(super) receive: Vec<Format>,
    pub(super) send: Vec<Format>,
    pub(super) ptime_ms: u32,
    pub(super) heard: Option<Kind>,
    /// What its far side presses.
    pub(super) keys: Keys,
    /// How digits get to its far side.
    pub(super) sent_digits: dtmf::Kind,
    /// What other legs than the present peer heard of this one.
    pub(super) played: Played,
    /// What of the far side's voice does not get through.
    pub(super) said: Muted,
    /// What of our voice to the far side does not get through.
    pub(super) hearing: Muted,
    /// Who records it.
    pub(super) tap: Option<Tap>,
    /// Whom it is joined to.
    pub(super) peer: Option<LegIndex>,
}

impl Leg {
    /// An endpoint with nobody to hear and nothing to say.
    pub(super) fn new(endpoint: Endpoint, first: FirstNumbers, settings: EncoderSettings) -> Self {
        let pipeline = Pipeline::new(endpoint.ssrc(), first, settings);
        Self {
            endpoint,
            pipeline,
            receive: Vec::new(),
            send: Vec::new(),
            ptime_ms: 20,
            heard: None,
            keys: Keys::new(),
            sent_digits: dtmf::Kind::default(),
            played: Played::default(),
            said: Muted::default(),
            hearing: Muted::default(),
            tap: None,
            peer: None,
        }
    }

    /// Where its packets come from, and where they go.
    pub(super) fn way_out<'a>(&'a mut self, now: Instant, outbox: &'a mut Outbox) -> (&'a mut Pipeline, Out<'a>) {
        let is_digit = self.pipeline.is_dialling();
        let tap = self.tap.as_mut().map(|tap| (tap, self.send.as_slice()));
        (&mut self.pipeline, Out { now, endpoint: &mut self.endpoint, outbox, tap, is_digit, refused: None })
    }

    /// Copies what the far side sent to who records it. What is muted is not recorded either.
    pub(super) fn record(&mut self, now: Instant, media: &Media, payload: &[u8], is_digit: bool) {
        let header = &media.header;
        let Some(tap) = &mut self.tap else { return };
        let Some(format) = self.receive.iter().find(|format| format.pt == header.pt) else { return };
        if self.said == Muted::Nothing || !format.codec.kind().is_speech() {
            let packet = Copied {
                channel: Channel::Said,
                codec: &format.codec,
                seq: header.seq.0,
                timestamp: header.timestamp,
                is_restart: media.is_restart,
                is_digit,
                payload,
            };
            tap.write(now, &packet);
        }
    }
}
