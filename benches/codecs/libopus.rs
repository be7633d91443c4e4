//! The calls of libopus that an Opus <-> PCMU call contains, and nothing else.
#![expect(unsafe_code, reason = "libopus is a C library, called here as bare as can be")]

use std::ffi::c_int;
use std::hint::black_box;

use opusic_sys as ffi;
use trunkline_media::codecs::{Codec, EncoderSettings};

const RATE_HZ: c_int = 8_000;
const FRAME: usize = 160;

/// Decoder and encoder of one call.
pub(crate) struct Bare {
    decoder: *mut ffi::OpusDecoder,
    encoder: *mut ffi::OpusEncoder,
}

/// One packet time: what the one side sent, and what the other one said.
pub(crate) type Frame = (Vec<u8>, [i16; FRAME]);

impl Bare {
    /// With the settings that the pipeline gives them.
    pub(crate) fn new(settings: EncoderSettings) -> Self {
        let mut error = 0;
        // SAFETY: any arguments are allowed; `error` outlives the calls, and each request takes one integer.
        let (decoder, encoder) = unsafe {
            let decoder = ffi::opus_decoder_create(RATE_HZ, 1, &raw mut error);
            let encoder = ffi::opus_encoder_create(RATE_HZ, 1, ffi::OPUS_APPLICATION_RESTRICTED_SILK, &raw mut error);
            for (request, value) in [
                (ffi::OPUS_SET_SIGNAL_REQUEST, ffi::OPUS_SIGNAL_VOICE),
                (ffi::OPUS_SET_COMPLEXITY_REQUEST, c_int::from(settings.complexity.unwrap())),
                (ffi::OPUS_SET_BITRATE_REQUEST, c_int::try_from(settings.bitrate_bps).unwrap()),
                (ffi::OPUS_SET_INBAND_FEC_REQUEST, 1),
                (ffi::OPUS_SET_PACKET_LOSS_PERC_REQUEST, c_int::from(settings.expected_loss_percent)),
            ] {
                assert_eq!(ffi::opus_encoder_ctl(encoder, request, value), ffi::OPUS_OK);
            }
            (decoder, encoder)
        };
        assert!(!decoder.is_null() && !encoder.is_null());
        Self { decoder, encoder }
    }

    /// The work of these packet times, laid out. pcmu: to be decoded, which is not measured.
    #[expect(clippy::unused_self, reason = "the lengths are this codec's")]
    pub(crate) fn frames(&self, opus: &[Vec<u8>], pcmu: &[Vec<u8>]) -> Vec<Frame> {
        let mut decoder = Codec::new("PCMU", 8_000, 1, []).unwrap().decoder(8_000).unwrap();
        let frame = |(opus, pcmu): (&Vec<u8>, &Vec<u8>)| {
            let mut pcm = [0; FRAME];
            decoder.decode(pcmu, &mut pcm).unwrap();
            (opus.clone(), pcm)
        };
        opus.iter().zip(pcmu).map(frame).collect()
    }

    pub(crate) fn run(&mut self, frames: &[Frame]) {
        let frame = c_int::try_from(FRAME).unwrap();
        for (payload, pcm) in frames {
            let (mut heard, mut packet) = ([0; FRAME], [0; 1_400]);
            let len = c_int::try_from(payload.len()).unwrap();
            // SAFETY: both states are live and mono, and every length is that of its buffer.
            let answers = unsafe {
                (
                    ffi::opus_decode(self.decoder, payload.as_ptr(), len, heard.as_mut_ptr(), frame, 0),
                    ffi::opus_encode(self.encoder, pcm.as_ptr(), frame, packet.as_mut_ptr(), 1_400),
                )
            };
            assert!(answers.0 == frame && answers.1 > 0, "{answers:?}");
            black_box((&heard, &packet));
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: made by the library, and never handed out.
        unsafe {
            ffi::opus_decoder_destroy(self.decoder);
            ffi::opus_encoder_destroy(self.encoder);
        }
    }
}
