//! The resampler of libspeexdsp, Debian's `libspeexdsp1`, loaded while a bench runs: another one, known by its header alone.

#![expect(unsafe_code, reason = "a C library is called")]

use std::ffi::{CStr, c_int, c_void};

const INSTALL: &str = "sudo apt-get install --no-install-recommends libspeexdsp1";

/// A converter of one channel.
pub(crate) struct Resampler {
    state: *mut c_void,
    process: unsafe extern "C" fn(*mut c_void, u32, *const i16, *mut u32, *mut i16, *mut u32) -> c_int,
    destroy: unsafe extern "C" fn(*mut c_void),
}

/// Finds a function and takes it for one of type `F`.
///
/// # Safety
/// `F` is the type of the function of that name.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    // SAFETY: the handle is open and the name ends in zero.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!address.is_null() && size_of::<F>() == size_of_val(&address), "libspeexdsp lacks {name:?}");
    // SAFETY: a function pointer is as large as the address, and the caller vouches for its type.
    unsafe { std::mem::transmute_copy(&address) }
}

impl Resampler {
    /// A converter of this quality, 0 to 10; None, with a word about it, if the library is not installed.
    #[expect(clippy::print_stderr, reason = "who runs the bench wants to know what it lacks")]
    pub(crate) fn new((from_hz, to_hz): (u32, u32), quality: c_int) -> Option<Self> {
        type Init = unsafe extern "C" fn(u32, u32, u32, c_int, *mut c_int) -> *mut c_void;
        // SAFETY: the name ends in zero; the library has no initializers of note. It is never closed.
        let library = unsafe { libc::dlopen(c"libspeexdsp.so.1".as_ptr(), libc::RTLD_NOW) };
        if library.is_null() {
            eprintln!("libspeexdsp is missing: {INSTALL}");
            return None;
        }
        let mut error = 0;
        // SAFETY: the types are those of the header `speex_resampler.h`; one channel is asked for.
        unsafe {
            let init: Init = symbol(library, c"speex_resampler_init");
            let state = init(1, from_hz, to_hz, quality, &raw mut error);
            assert!(!state.is_null() && error == 0);
            Some(Self {
                state,
                process: symbol(library, c"speex_resampler_process_int"),
                destroy: symbol(library, c"speex_resampler_destroy"),
            })
        }
    }

    /// Converts all of `input`.
    pub(crate) fn process(&mut self, input: &[i16], output: &mut [i16]) {
        let (mut taken, mut given) =
            (u32::try_from(input.len()).unwrap_or(0), u32::try_from(output.len()).unwrap_or(0));
        // SAFETY: the state is open; the library reads and writes at most as many samples as it is told.
        unsafe {
            (self.process)(self.state, 0, input.as_ptr(), &raw mut taken, output.as_mut_ptr(), &raw mut given);
        }
        assert_eq!(usize::try_from(taken), Ok(input.len()));
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        // SAFETY: the state is open, and not used again.
        unsafe { (self.destroy)(self.state) };
    }
}
