//! libbcg729, Debian's `libbcg729-0`, loaded while a test or a bench runs: another G.729, known by its header alone.
//!
//! Where it is missing, that is said and nothing is done; where CI is set, it is a failure.

#![expect(unsafe_code, reason = "a C library is called")]

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

const INSTALL: &str = "sudo apt-get install --no-install-recommends libbcg729-0";

/// The library's functions.
pub(crate) struct Library {
    init_encoder: unsafe extern "C" fn(u8) -> *mut c_void,
    encode: unsafe extern "C" fn(*mut c_void, *const i16, *mut u8, *mut u8),
    close_encoder: unsafe extern "C" fn(*mut c_void),
    init_decoder: unsafe extern "C" fn() -> *mut c_void,
    decode: unsafe extern "C" fn(*mut c_void, *const u8, u8, u8, u8, u8, *mut i16),
    close_decoder: unsafe extern "C" fn(*mut c_void),
}

/// Finds a function and takes it for one of type `F`.
///
/// # Safety
/// `F` is the type of the function of that name.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    // SAFETY: the handle is open and the name ends in zero.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!address.is_null() && size_of::<F>() == size_of_val(&address), "libbcg729 lacks {name:?}");
    // SAFETY: a function pointer is as large as the address, and the caller vouches for its type.
    unsafe { std::mem::transmute_copy(&address) }
}

impl Library {
    /// The library; None if it is not installed.
    #[expect(clippy::print_stderr, reason = "who looks for the output of a test that did nothing finds out why")]
    pub(crate) fn load() -> Option<&'static Self> {
        static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| {
            // SAFETY: the name ends in zero; the library has no initializers of note. It is never closed.
            let handle = unsafe { libc::dlopen(c"libbcg729.so.0".as_ptr(), libc::RTLD_NOW) };
            // SAFETY: the types are those of the library's headers `encoder.h` and `decoder.h`.
            (!handle.is_null()).then(|| unsafe {
                Self {
                    init_encoder: symbol(handle, c"initBcg729EncoderChannel"),
                    encode: symbol(handle, c"bcg729Encoder"),
                    close_encoder: symbol(handle, c"closeBcg729EncoderChannel"),
                    init_decoder: symbol(handle, c"initBcg729DecoderChannel"),
                    decode: symbol(handle, c"bcg729Decoder"),
                    close_decoder: symbol(handle, c"closeBcg729DecoderChannel"),
                }
            })
        });
        if library.is_none() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs every test: {INSTALL}");
            eprintln!("skipped, since libbcg729 is missing: {INSTALL}");
        }
        library.as_ref()
    }
}

/// Its encoder, without silence suppression.
pub(crate) struct Encoder {
    library: &'static Library,
    channel: *mut c_void,
}

impl Encoder {
    pub(crate) fn new(library: &'static Library) -> Self {
        // SAFETY: the argument is a flag.
        let channel = unsafe { (library.init_encoder)(0) };
        assert!(!channel.is_null());
        Self { library, channel }
    }

    pub(crate) fn encode(&mut self, pcm: &[i16; 80]) -> [u8; 10] {
        let (mut frame, mut len) = ([0; 10], 0);
        // SAFETY: the channel is open; the library reads 80 samples and writes at most 10 bytes and the length.
        unsafe { (self.library.encode)(self.channel, pcm.as_ptr(), frame.as_mut_ptr(), &raw mut len) };
        assert_eq!(len, 10);
        frame
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the channel is open, and not used again.
        unsafe { (self.library.close_encoder)(self.channel) };
    }
}

/// Its decoder.
pub(crate) struct Decoder {
    library: &'static Library,
    channel: *mut c_void,
}

impl Decoder {
    pub(crate) fn new(library: &'static Library) -> Self {
        // SAFETY: there are no arguments.
        let channel = unsafe { (library.init_decoder)() };
        assert!(!channel.is_null());
        Self { library, channel }
    }

    /// `frame`: 10 bytes of speech, 2 that describe noise, or none where nothing came.
    pub(crate) fn decode(&mut self, frame: &[u8]) -> [i16; 80] {
        let mut pcm = [0; 80];
        let (is_missing, is_noise) = (u8::from(frame.is_empty()), u8::from(frame.len() == 2));
        let mut bytes = [0; 10];
        bytes[..frame.len()].copy_from_slice(frame);
        let length = u8::try_from(frame.len()).unwrap_or(0);
        // SAFETY: the channel is open; the library reads at most the 10 bytes and writes 80 samples.
        unsafe {
            (self.library.decode)(self.channel, bytes.as_ptr(), length, is_missing, is_noise, 0, pcm.as_mut_ptr());
        }
        pcm
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the channel is open, and not used again.
        unsafe { (self.library.close_decoder)(self.channel) };
    }
}
