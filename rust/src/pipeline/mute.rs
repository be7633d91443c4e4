//! Mute: the other leg's PCM fades into silence and back within one frame, so that nothing clicks.

/// Whether a direction is muted, and whether its last frame was.
#[derive(Debug, Default)]
pub(super) struct Mute {
    is_on: bool,
    was_on: bool,
}

impl Mute {
    pub(super) fn set(&mut self, is_on: bool) {
        self.is_on = is_on;
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Mutes one frame if it is to be: the first one fades out, and the first afterwards fades in.
    pub(super) fn apply(&mut self, pcm: &mut [i16]) {
        let was_on = std::mem::replace(&mut self.was_on, self.is_on);
        match (was_on, self.is_on) {
            (false, false) => {}
            (true, true) => pcm.fill(0),
            (false, true) => fade(pcm.iter_mut().rev()),
            (true, false) => fade(pcm.iter_mut()),
        }
    }
}

/// From silence to the full level, over all samples in their order.
fn fade<'a>(pcm: impl ExactSizeIterator<Item = &'a mut i16>) {
    let steps = i32::try_from(pcm.len()).unwrap_or(i32::MAX).max(1);
    for (step, sample) in (0..).zip(pcm) {
        // No product of a sample and a frame's length overflows; the quotient is no louder than the sample.
        *sample = i16::try_from(i32::from(*sample) * step / steps).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fades_within_one_frame_each_way() {
        let mut mute = Mute::default();
        let mut frame = |is_on| {
            mute.set(is_on);
            let mut pcm = [1_000; 4];
            mute.apply(&mut pcm);
            pcm
        };
        assert_eq!(frame(false), [1_000; 4]);
        assert_eq!(frame(true), [750, 500, 250, 0]);
        assert_eq!(frame(true), [0; 4]);
        assert_eq!(frame(false), [0, 250, 500, 750]);
        assert_eq!(frame(false), [1_000; 4]);
    }
}
