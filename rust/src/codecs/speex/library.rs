//! libspeex, loaded while the gateway runs: its functions, and the buffer of bits that they read and write.
//!
//! The only unsafe code of `speex`. No crate brings the library's source without wanting libclang to build, and ours is not
//! the place for other people's sources, so it is looked for once: Debian's package is `libspeex1`. Where it is missing,
//! the codec is not offered. The layout of [`Bits`] and the numbers of the requests are those of the library's headers
//! `speex_bits.h` and `speex.h`, the same since its version 1.2.

#![expect(unsafe_code, reason = "a C library is called")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Requests of `speex_encoder_ctl` and `speex_decoder_ctl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Request {
    SetEnhancement = 0,
    SetQuality = 4,
    SetMode = 6,
    SetVbr = 12,
    SetComplexity = 16,
    ResetState = 26,
    SetVad = 30,
    SetDtx = 34,
}

/// `speex_lib_get_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Band {
    Narrow = 0,
    Wide = 1,
}

/// `SpeexBits`.
#[repr(C)]
struct RawBits {
    chars: *mut c_char,
    bits: c_int,
    char_at: c_int,
    bit_at: c_int,
    is_owner: c_int,
    has_overflown: c_int,
    buffer_bytes: c_int,
    reserved_number: c_int,
    reserved_pointer: *mut c_void,
}

type Mode = *const c_void;
type State = *mut c_void;

/// The library's functions.
pub(super) struct Library {
    modes: [Mode; 2],
    encoder_init: unsafe extern "C" fn(Mode) -> State,
    encoder_destroy: unsafe extern "C" fn(State),
    encoder_ctl: unsafe extern "C" fn(State, c_int, *mut c_void) -> c_int,
    encode: unsafe extern "C" fn(State, *mut i16, *mut RawBits) -> c_int,
    decoder_init: unsafe extern "C" fn(Mode) -> State,
    decoder_destroy: unsafe extern "C" fn(State),
    decoder_ctl: unsafe extern "C" fn(State, c_int, *mut c_void) -> c_int,
    decode: unsafe extern "C" fn(State, *mut RawBits, *mut i16) -> c_int,
    bits_init: unsafe extern "C" fn(*mut RawBits),
    bits_destroy: unsafe extern "C" fn(*mut RawBits),
    bits_reset: unsafe extern "C" fn(*mut RawBits),
    bits_read_from: unsafe extern "C" fn(*mut RawBits, *const c_char, c_int),
    bits_write: unsafe extern "C" fn(*mut RawBits, *mut c_char, c_int) -> c_int,
}

// SAFETY: the modes point to constants of the library, which is never unloaded; all else are functions without state.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

/// Finds a function and takes it for one of type `F`; None if there is none of that name.
///
/// # Safety
/// `F` is the type of the function of that name.
unsafe fn symbol<F: Copy>(library: NonNull<c_void>, name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the handle is open and the name ends in zero.
    let address = unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) };
    // SAFETY: a function pointer is as large as the address, and the caller vouches for its type.
    (!address.is_null()).then(|| unsafe { std::mem::transmute_copy(&address) })
}

impl Library {
    /// The library; None if it is not installed. Looks for it at the first call, which takes a while.
    pub(super) fn load() -> Option<&'static Self> {
        static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
        LIBRARY.get_or_init(Self::open).as_ref()
    }

    fn open() -> Option<Self> {
        type LibGetMode = unsafe extern "C" fn(c_int) -> Mode;
        // SAFETY: the name ends in zero; the library has no initializers of note. It is never closed.
        let handle = NonNull::new(unsafe { libc::dlopen(c"libspeex.so.1".as_ptr(), libc::RTLD_NOW) })?;
        // SAFETY: the types are those of the library's headers, and the modes asked for exist in every build of it.
        unsafe {
            let mode: LibGetMode = symbol(handle, c"speex_lib_get_mode")?;
            let modes = [Band::Narrow, Band::Wide].map(|band| mode(band as c_int));
            if modes.iter().any(|mode| mode.is_null()) {
                return None;
            }
            Some(Self {
                modes,
                encoder_init: symbol(handle, c"speex_encoder_init")?,
                encoder_destroy: symbol(handle, c"speex_encoder_destroy")?,
                encoder_ctl: symbol(handle, c"speex_encoder_ctl")?,
                encode: symbol(handle, c"speex_encode_int")?,
                decoder_init: symbol(handle, c"speex_decoder_init")?,
                decoder_destroy: symbol(handle, c"speex_decoder_destroy")?,
                decoder_ctl: symbol(handle, c"speex_decoder_ctl")?,
                decode: symbol(handle, c"speex_decode_int")?,
                bits_init: symbol(handle, c"speex_bits_init")?,
                bits_destroy: symbol(handle, c"speex_bits_destroy")?,
                bits_reset: symbol(handle, c"speex_bits_reset")?,
                bits_read_from: symbol(handle, c"speex_bits_read_from")?,
                bits_write: symbol(handle, c"speex_bits_write")?,
            })
        }
    }
}

/// A buffer of bits. The library allocates 2,000 bytes for it when it is made; no packet of ours is longer.
struct Bits {
    library: &'static Library,
    raw: Box<RawBits>,
}

impl Bits {
    fn new(library: &'static Library) -> Self {
        let mut raw = Box::new(RawBits {
            chars: std::ptr::null_mut(),
            bits: 0,
            char_at: 0,
            bit_at: 0,
            is_owner: 0,
            has_overflown: 0,
            buffer_bytes: 0,
            reserved_number: 0,
            reserved_pointer: std::ptr::null_mut(),
        });
        // SAFETY: the structure is the library's, and is given back to it exactly once.
        unsafe { (library.bits_init)(&raw mut *raw) };
        Self { library, raw }
    }
}

impl Drop for Bits {
    fn drop(&mut self) {
        // SAFETY: initialized by the library, and not used again.
        unsafe { (self.library.bits_destroy)(&raw mut *self.raw) };
    }
}

/// A length as the library takes it.
fn length(bytes: usize) -> c_int {
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

/// An encoder's state and bits.
pub(super) struct RawEncoder {
    bits: Bits,
    state: NonNull<c_void>,
    frame_samples: usize,
}

// SAFETY: plain memory that only this value points to; libspeex keeps no global state.
unsafe impl Send for RawEncoder {}

impl RawEncoder {
    /// None if the library has no memory. `frame_samples`: of the band's frames.
    pub(super) fn new(library: &'static Library, band: Band, frame_samples: usize) -> Option<Self> {
        // SAFETY: the mode is one of the library's.
        let state = NonNull::new(unsafe { (library.encoder_init)(library.modes[band as usize]) })?;
        Some(Self { bits: Bits::new(library), state, frame_samples })
    }

    /// Changes a setting that is an integer.
    pub(super) fn set(&mut self, request: Request, mut value: c_int) {
        // SAFETY: the state is live, and each of the requests reads one `spx_int32_t` or nothing.
        unsafe { (self.bits.library.encoder_ctl)(self.state.as_ptr(), request as c_int, (&raw mut value).cast()) };
    }

    /// Begins a packet.
    pub(super) fn begin(&mut self) {
        // SAFETY: the bits are initialized.
        unsafe { (self.bits.library.bits_reset)(&raw mut *self.bits.raw) };
    }

    /// Adds a frame, which the library may change in place. Returns whether it has to be sent.
    /// Does nothing, and says so, to a frame of another length.
    pub(super) fn add(&mut self, frame: &mut [i16]) -> bool {
        if frame.len() != self.frame_samples {
            return false;
        }
        // SAFETY: state and bits are live; the library reads and writes one frame of samples, as long as was checked.
        unsafe { (self.bits.library.encode)(self.state.as_ptr(), frame.as_mut_ptr(), &raw mut *self.bits.raw) != 0 }
    }

    /// Writes the packet with its terminator, which fills the last byte (RFC 5574 section 3.3). Returns its length; None
    /// if it does not fit.
    pub(super) fn finish(&mut self, payload: &mut [u8]) -> Option<usize> {
        let bytes = usize::try_from(self.bits.raw.bits).unwrap_or(0).div_ceil(8);
        if bytes > payload.len() {
            return None;
        }
        // SAFETY: the bits are live; the library writes at most `payload.len()` bytes.
        let written = unsafe {
            let into = payload.as_mut_ptr().cast();
            (self.bits.library.bits_write)(&raw mut *self.bits.raw, into, length(payload.len()))
        };
        usize::try_from(written).ok()
    }
}

impl Drop for RawEncoder {
    fn drop(&mut self) {
        // SAFETY: made by the library, and not used again.
        unsafe { (self.bits.library.encoder_destroy)(self.state.as_ptr()) };
    }
}

/// A decoder's state and bits.
pub(super) struct RawDecoder {
    bits: Bits,
    state: NonNull<c_void>,
    frame_samples: usize,
}

// SAFETY: as for `RawEncoder`.
unsafe impl Send for RawDecoder {}

impl RawDecoder {
    /// None if the library has no memory. `frame_samples`: of the band's frames.
    pub(super) fn new(library: &'static Library, band: Band, frame_samples: usize) -> Option<Self> {
        // SAFETY: the mode is one of the library's.
        let state = NonNull::new(unsafe { (library.decoder_init)(library.modes[band as usize]) })?;
        Some(Self { bits: Bits::new(library), state, frame_samples })
    }

    /// Changes a setting that is an integer.
    pub(super) fn set(&mut self, request: Request, mut value: c_int) {
        // SAFETY: the state is live, and each of the requests reads one `spx_int32_t` or nothing.
        unsafe { (self.bits.library.decoder_ctl)(self.state.as_ptr(), request as c_int, (&raw mut value).cast()) };
    }

    /// Takes a packet.
    pub(super) fn begin(&mut self, payload: &[u8]) {
        // SAFETY: the bits are live; the library copies the payload.
        unsafe {
            let from = payload.as_ptr().cast();
            (self.bits.library.bits_read_from)(&raw mut *self.bits.raw, from, length(payload.len()));
        }
    }

    /// Decodes the packet's next frame into `frame`, or makes one up. Returns false, and leaves it alone, if there is none.
    pub(super) fn next(&mut self, frame: &mut [i16], is_lost: bool) -> bool {
        if frame.len() != self.frame_samples {
            return false;
        }
        let bits = if is_lost { std::ptr::null_mut() } else { &raw mut *self.bits.raw };
        // SAFETY: the state is live, the bits are live or null, which means a loss; the library checks what it reads, and
        // writes one frame, as long as was checked.
        unsafe { (self.bits.library.decode)(self.state.as_ptr(), bits, frame.as_mut_ptr()) == 0 }
    }
}

impl Drop for RawDecoder {
    fn drop(&mut self) {
        // SAFETY: made by the library, and not used again.
        unsafe { (self.bits.library.decoder_destroy)(self.state.as_ptr()) };
    }
}
