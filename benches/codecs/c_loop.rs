//! `g711.c`, compiled while the bench runs, as a compiler does it that is asked for nothing special.

#![expect(unsafe_code, reason = "C is called")]

use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::process::Command;

/// The loop's two functions.
pub(crate) struct TableLoop {
    expand: unsafe extern "C" fn(*const i16, *const u8, *mut i16, usize),
    compress: unsafe extern "C" fn(*const u8, *const i16, *mut u8, usize),
}

/// Finds a function and takes it for one of type `F`.
///
/// # Safety
/// `F` is the type of the function of that name.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    // SAFETY: the handle is open and the name ends in zero.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!address.is_null() && size_of::<F>() == size_of_val(&address), "g711.c lacks {name:?}");
    // SAFETY: a function pointer is as large as the address, and the caller vouches for its type.
    unsafe { std::mem::transmute_copy(&address) }
}

impl TableLoop {
    /// Needs a C compiler (`build-essential`).
    pub(crate) fn build() -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/codecs/g711.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("g711.so");
        let status = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
        assert!(status.is_ok_and(|status| status.success()), "cc fails: apt-get install build-essential");
        let path = CString::new(library.to_str().unwrap()).unwrap();
        // SAFETY: the path ends in zero; the library is ours and has no initializers. It is never closed.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null());
        // SAFETY: the types are those of `g711.c`.
        unsafe { Self { expand: symbol(handle, c"expand"), compress: symbol(handle, c"compress") } }
    }

    pub(crate) fn expand(&self, table: &[i16; 256], from: &[u8], to: &mut [i16]) {
        assert_eq!(from.len(), to.len());
        // SAFETY: a byte is an index of the table, and both buffers have so many places.
        unsafe { (self.expand)(table.as_ptr(), from.as_ptr(), to.as_mut_ptr(), from.len()) }
    }

    pub(crate) fn compress(&self, table: &[u8; 16_384], from: &[i16], to: &mut [u8]) {
        assert_eq!(from.len(), to.len());
        // SAFETY: 14 bits are an index of the table, and both buffers have so many places.
        unsafe { (self.compress)(table.as_ptr(), from.as_ptr(), to.as_mut_ptr(), from.len()) }
    }
}
