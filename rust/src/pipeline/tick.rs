//! What is made on the packet's beat: digits, tones, what a player gives or the other leg said, encoded and numbered.

use std::time::Instant;

use super::digits::Digits;
use super::pace::{Beat, Pace};
use super::{Pipeline, Sink, hush};

impl Pipeline {
    /// Makes the packets that are due.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut impl Sink) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.tick(now, sink);
        }
    }

    /// When the next packet is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pace.as_ref().map(Pace::next_at)
    }

    /// Makes packets from `first_at` on, which may be past, unless some are made already.
    pub(super) fn start_pace(&mut self, now: Instant, first_at: Instant) {
        if self.pace.is_none() {
            let base = self.output.timestamp_at(now, self.clock_rate_hz());
            self.pace = Some(Pace::new(first_at, base));
        }
    }

    fn tick(&mut self, now: Instant, sink: &mut impl Sink) {
        let is_heard = self.ear.is_active(now);
        if !is_heard && self.player.is_none() && !self.is_dialling() {
            self.ear.rest();
            self.pace = None;
            return;
        }
        let frame_ms = self.ptime_ms;
        let Some(pace) = &mut self.pace else { return };
        let beat = pace.advance(now, frame_ms);
        if !sink.can_send() {
            return;
        }
        let moment = beat.timestamp(self.clock_rate_hz());
        match &mut self.digits {
            Some(Digits::Events { sender, format }) if sender.is_active() => {
                if let Some(voice) = &mut self.voice {
                    // What is said meanwhile is not heard, but its time goes by.
                    self.ear.pull(beat.at, voice.pcm());
                }
                let event_rate_hz = format.codec.clock_rate_hz();
                let Some(outgoing) = sender.poll(beat.timestamp(event_rate_hz)) else { return };
                let stamp = (outgoing.timestamp, outgoing.marker);
                let header = self.output.next(now, moment, format.pt, stamp);
                sink.send(&header, event_rate_hz, &outgoing.event.to_bytes());
            }
            _ => self.speak(now, beat, sink),
        }
    }

    /// One frame of tones, player or the other leg, encoded.
    ///
    /// It is what was to be heard when it was due: a worker that comes late has made nobody wait longer for packets.
    fn speak(&mut self, now: Instant, beat: Beat, sink: &mut impl Sink) {
        let moment = beat.timestamp(self.clock_rate_hz());
        let Some(voice) = &mut self.voice else { return };
        let format = voice.format();
        let mut is_noise = false;
        match (&mut self.digits, &mut self.player) {
            (Some(Digits::Tones(keypad)), _) if keypad.is_active() => {
                self.ear.pull(beat.at, voice.pcm());
                keypad.fill(voice.pcm());
            }
            (_, Some(player)) => {
                if !player.fill(voice.pcm()) {
                    self.player = None;
                    self.is_play_done = true;
                }
            }
            _ => {
                is_noise = self.ear.pull(beat.at, voice.pcm()) && !self.mute.is_on();
                self.mute.apply(voice.pcm());
                is_noise |= self.hush.as_mut().is_some_and(|hush| hush.hears_silence(voice.pcm()));
            }
        }
        let mut is_first = beat.is_first;
        if let Some(hush) = &mut self.hush {
            let format = hush.format();
            match if is_noise { hush.describe(voice.pcm(), self.ptime_ms) } else { hush::Outcome::Speech } {
                hush::Outcome::Packet(payload) => {
                    let header = self.output.next(now, moment, format.pt, (moment, false));
                    return sink.send(&header, format.codec.clock_rate_hz(), payload);
                }
                hush::Outcome::Nothing => return,
                // The first packet after silence is marked, so that the far side may set its delay anew (RFC 3551 4.1).
                hush::Outcome::Speech => is_first |= !is_noise && hush.end(),
            }
        }
        match voice.encode() {
            Ok(Some(payload)) => {
                let header = self.output.next(now, moment, format.pt, (moment, is_first));
                self.spoken = Some(format.codec.kind());
                sink.send(&header, format.codec.clock_rate_hz(), payload);
            }
            Ok(None) => {}
            Err(reason) => sink.count_drop(reason),
        }
    }
}
