//! libsrtp 2, Debian's `libsrtp2-1`, loaded while a test or a bench runs.
//!
//! Where it is missing, that is said and nothing is done; where CI is set, it is a failure.

#![expect(unsafe_code, reason = "a C library is called")]

use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::ptr;
use std::sync::OnceLock;

use trunkline_media::srtp::Profile;

const INSTALL: &str = "sudo apt-get install --no-install-recommends libsrtp2-1";

/// `srtp_crypto_policy_t` of libsrtp 2.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CryptoPolicy {
    cipher: u32,
    cipher_key_len: c_int,
    auth: u32,
    auth_key_len: c_int,
    auth_tag_len: c_int,
    services: c_int,
}

/// `srtp_policy_t` of libsrtp 2.
#[repr(C)]
struct Policy {
    ssrc_kind: c_int,
    ssrc: u32,
    rtp: CryptoPolicy,
    rtcp: CryptoPolicy,
    key: *const u8,
    keys: *mut c_void,
    key_count: c_ulong,
    unused: *mut c_void,
    window_size: c_ulong,
    allow_repeat_tx: c_int,
    extension_ids: *mut c_int,
    extension_count: c_int,
    next: *mut c_void,
}

/// Which sources a session is for: `srtp_ssrc_type_t`.
#[derive(Clone, Copy)]
pub(crate) enum Sources {
    AnyInbound = 2,
    AnyOutbound = 3,
}

/// What is done to a packet.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    Protect,
    Unprotect,
    ProtectRtcp,
    UnprotectRtcp,
}

/// Room behind a packet that the library asks for: `SRTP_MAX_TRAILER_LEN`, and some.
pub(crate) const ROOM_BYTES: usize = 256;

type Transform = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int) -> c_int;
type SetPolicy = unsafe extern "C" fn(*mut CryptoPolicy);

/// The library's functions.
pub(crate) struct Library {
    create: unsafe extern "C" fn(*mut *mut c_void, *const Policy) -> c_int,
    dealloc: unsafe extern "C" fn(*mut c_void) -> c_int,
    /// In the order of `Operation`.
    transforms: [Transform; 4],
    set_policy: [SetPolicy; 6],
}

/// Finds a function and takes it for one of type `F`.
///
/// # Safety
/// `F` is the type of the function of that name.
unsafe fn symbol<F: Copy>(library: *mut c_void, name: &CStr) -> F {
    // SAFETY: the handle is open and the name ends in zero.
    let address = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!address.is_null() && size_of::<F>() == size_of_val(&address), "libsrtp lacks {name:?}");
    // SAFETY: a function pointer is as large as the address, and the caller vouches for its type.
    unsafe { std::mem::transmute_copy(&address) }
}

impl Library {
    /// The library, initialized once; None if it is not installed.
    #[expect(clippy::print_stderr, reason = "who looks for the output of a test that did nothing finds out why")]
    pub(crate) fn load() -> Option<&'static Self> {
        static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| {
            // SAFETY: the name ends in zero; the library's initializers may run at any time. It is never closed.
            let handle = unsafe { libc::dlopen(c"libsrtp2.so.1".as_ptr(), libc::RTLD_NOW) };
            // SAFETY: the types are those of the library's header `srtp.h`.
            (!handle.is_null()).then(|| unsafe {
                let init: unsafe extern "C" fn() -> c_int = symbol(handle, c"srtp_init");
                assert_eq!(init(), 0);
                Self {
                    create: symbol(handle, c"srtp_create"),
                    dealloc: symbol(handle, c"srtp_dealloc"),
                    transforms: [
                        symbol(handle, c"srtp_protect"),
                        symbol(handle, c"srtp_unprotect"),
                        symbol(handle, c"srtp_protect_rtcp"),
                        symbol(handle, c"srtp_unprotect_rtcp"),
                    ],
                    // In the order of `Profile`.
                    set_policy: [
                        symbol(handle, c"srtp_crypto_policy_set_rtp_default"),
                        symbol(handle, c"srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32"),
                        symbol(handle, c"srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80"),
                        symbol(handle, c"srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32"),
                        symbol(handle, c"srtp_crypto_policy_set_aes_gcm_128_16_auth"),
                        symbol(handle, c"srtp_crypto_policy_set_aes_gcm_256_16_auth"),
                    ],
                }
            })
        });
        if library.is_none() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs every test: {INSTALL}");
            eprintln!("skipped, since libsrtp is missing: {INSTALL}");
        }
        library.as_ref()
    }

    fn policy(&self, profile: Profile) -> CryptoPolicy {
        let mut policy = CryptoPolicy::default();
        let index = Profile::ALL.iter().position(|other| *other == profile).unwrap();
        // SAFETY: the library fills in the structure.
        unsafe { (self.set_policy[index])(&raw mut policy) };
        policy
    }
}

/// One direction of libsrtp's.
pub(crate) struct Theirs {
    library: &'static Library,
    session: *mut c_void,
}

impl Theirs {
    /// key: master key and salt behind each other.
    pub(crate) fn new(library: &'static Library, profile: Profile, key: &[u8], sources: Sources) -> Self {
        assert_eq!(key.len(), profile.key_bytes() + profile.salt_bytes());
        // A suite with tags of 32 bits keeps 80 on RTCP (RFC 4568 section 6.2.2), which libsrtp leaves to its user.
        let rtcp_profile = match profile {
            Profile::Aes128CmSha1_32 => Profile::Aes128CmSha1_80,
            Profile::Aes256CmSha1_32 => Profile::Aes256CmSha1_80,
            other => other,
        };
        let policy = Policy {
            ssrc_kind: sources as c_int,
            ssrc: 0,
            rtp: library.policy(profile),
            rtcp: library.policy(rtcp_profile),
            key: key.as_ptr(),
            keys: ptr::null_mut(),
            key_count: 0,
            unused: ptr::null_mut(),
            window_size: 0,
            allow_repeat_tx: 0,
            extension_ids: ptr::null_mut(),
            extension_count: 0,
            next: ptr::null_mut(),
        };
        let mut session = ptr::null_mut();
        // SAFETY: the policy and the key that it points to outlive the call, which copies them.
        let status = unsafe { (library.create)(&raw mut session, &raw const policy) };
        assert_eq!(status, 0, "{profile:?}");
        Self { library, session }
    }

    /// Changes the packet in `buf[..len]`, behind which there are `ROOM_BYTES`; its new length, or the library's error.
    pub(crate) fn run(&mut self, operation: Operation, buf: &mut [u8], len: usize) -> Result<usize, c_int> {
        assert!(len + ROOM_BYTES <= buf.len());
        let mut len = c_int::try_from(len).unwrap();
        let transform = self.library.transforms[operation as usize];
        // SAFETY: the session is alive, and the buffer has the room that the library asks for.
        let status = unsafe { transform(self.session, buf.as_mut_ptr().cast(), &raw mut len) };
        if status == 0 { Ok(usize::try_from(len).unwrap()) } else { Err(status) }
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // SAFETY: the session is alive and not used again.
        unsafe { (self.library.dealloc)(self.session) };
    }
}
