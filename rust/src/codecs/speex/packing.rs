//! What lies in a payload: frames one behind the other, messages between them, and a terminator.   RFC 5574 section 3.3.
//!
//! Bits are counted without decoding them, by the sizes that each mode has (Speex Codec Manual, tables 9.1 and 10.1).

/// Bits of a narrow-band frame by its mode, the five of its head among them. What is 0 does not exist.
const NARROW_BITS: [usize; 9] = [5, 43, 119, 160, 220, 300, 364, 492, 79];

/// Bits of a frame's wide-band layer by its mode, the four of its head among them.
const WIDE_BITS: [usize; 5] = [4, 36, 112, 192, 352];

/// Modes that are none: a message of the user's, one of the codec's, and the end.
const USER_MESSAGE: usize = 13;
const MESSAGE: usize = 14;
const TERMINATOR: usize = 15;

/// Bits behind the number of a message of the codec's.
const MESSAGE_BITS: [usize; 16] = [1, 1, 4, 4, 4, 4, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64];

/// Mode of a frame that describes noise, and of one that says that nothing comes.
const NOISE: usize = 1;
const NOTHING: usize = 0;

/// What a payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) frames: usize,
    /// Layers above narrow band that any frame has, at most; one more where they have no frame of their own. libspeex
    /// complains on the standard error output of some that its decoder does not want, so it must never see those.
    pub(super) layers: usize,
    /// The last frame is noise, or nothing.
    pub(super) is_silence: bool,
}

/// Reads a payload's structure. None if it is no packet of Speex: no frame, or one that is cut off.
pub(super) fn contents(payload: &[u8]) -> Option<Contents> {
    let mut bits = Bits { payload, at: 0 };
    let mut contents = Contents { frames: 0, layers: 0, is_silence: false };
    // Of the latest frame; one beyond what it may have, where there is none.
    let mut layers = 1;
    // A layer's head has four bits, a frame's five; behind the last of them may be up to a byte of anything.
    while bits.left() >= 4 {
        if bits.take(1)? == 1 {
            let size = *WIDE_BITS.get(bits.take(3)?)?;
            bits.skip(size - 4)?;
            layers += 1;
            contents.layers = contents.layers.max(layers);
            continue;
        }
        if bits.left() < 4 {
            break;
        }
        match bits.take(4)? {
            TERMINATOR => break,
            MESSAGE => {
                let size = MESSAGE_BITS[bits.take(4)? & 15];
                bits.skip(size)?;
                layers = layers.max(1);
            }
            USER_MESSAGE => {
                let size = bits.take(4)?;
                bits.skip(5 + 8 * size)?;
                layers = layers.max(1);
            }
            mode => {
                bits.skip(NARROW_BITS.get(mode)? - 5)?;
                layers = 0;
                contents.frames += 1;
                contents.is_silence = matches!(mode, NOISE | NOTHING);
            }
        }
    }
    (contents.frames > 0).then_some(contents)
}

/// Writes so many frames of nothing into the front of `payload`. Returns the length; None if they do not fit.
pub(super) fn write_silence(frames: usize, payload: &mut [u8]) -> Option<usize> {
    let silent_bits = frames * NARROW_BITS[NOTHING];
    let packet = payload.get_mut(..silent_bits.div_ceil(8))?;
    for (place, byte) in packet.iter_mut().enumerate() {
        // Zeros, and behind them a zero and ones up to the next byte.
        let silent = silent_bits.saturating_sub(place * 8);
        *byte = if silent + 1 >= 8 { 0 } else { 0xff >> (silent + 1) };
    }
    Some(packet.len())
}

struct Bits<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn left(&self) -> usize {
        (self.payload.len() * 8).saturating_sub(self.at)
    }

    fn take(&mut self, count: usize) -> Option<usize> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.payload.get(self.at / 8)?;
            value = value << 1 | usize::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= self.payload.len() * 8).then_some(())
    }
}
