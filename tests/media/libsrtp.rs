//! Our SRTP against libsrtp 2, packet by packet, in both directions.
//!
//! The library is Debian's `libsrtp2-1`, loaded while the test runs. Where it is missing the tests say so and do nothing,
//! but where CI is set they fail.

#![expect(unsafe_code, reason = "a C library is called")]

use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::ptr;
use std::sync::OnceLock;

use trunkline_media::error::DropReason;
use trunkline_media::mac::{self, Backend};
use trunkline_media::srtp::{Context, MAX_TRAILER_BYTES, Profile};

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

/// `srtp_ssrc_type_t`: a session receives or sends any source.
const ANY_INBOUND: c_int = 2;
const ANY_OUTBOUND: c_int = 3;

type Transform = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int) -> c_int;
type SetPolicy = unsafe extern "C" fn(*mut CryptoPolicy);

/// The library's functions.
struct Library {
    create: unsafe extern "C" fn(*mut *mut c_void, *const Policy) -> c_int,
    dealloc: unsafe extern "C" fn(*mut c_void) -> c_int,
    protect: Transform,
    unprotect: Transform,
    protect_rtcp: Transform,
    unprotect_rtcp: Transform,
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
    fn load() -> Option<&'static Self> {
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
                    protect: symbol(handle, c"srtp_protect"),
                    unprotect: symbol(handle, c"srtp_unprotect"),
                    protect_rtcp: symbol(handle, c"srtp_protect_rtcp"),
                    unprotect_rtcp: symbol(handle, c"srtp_unprotect_rtcp"),
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
struct Theirs {
    library: &'static Library,
    session: *mut c_void,
}

impl Theirs {
    fn new(library: &'static Library, profile: Profile, ssrc_kind: c_int) -> Self {
        // A suite with tags of 32 bits keeps 80 on RTCP (RFC 4568 section 6.2.2), which libsrtp leaves to its user.
        let rtcp_profile = match profile {
            Profile::Aes128CmSha1_32 => Profile::Aes128CmSha1_80,
            Profile::Aes256CmSha1_32 => Profile::Aes256CmSha1_80,
            other => other,
        };
        let material = material(profile);
        let policy = Policy {
            ssrc_kind,
            ssrc: 0,
            rtp: library.policy(profile),
            rtcp: library.policy(rtcp_profile),
            key: material.as_ptr(),
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

    /// The packet transformed, or the library's error.
    fn run(&self, transform: Transform, packet: &[u8]) -> Result<Vec<u8>, c_int> {
        let mut buf = packet.to_vec();
        // `SRTP_MAX_TRAILER_LEN`, and some.
        buf.resize(packet.len() + 256, 0);
        let mut len = c_int::try_from(packet.len()).unwrap();
        // SAFETY: the session is alive, and the buffer has the room that the library asks for.
        let status = unsafe { transform(self.session, buf.as_mut_ptr().cast(), &raw mut len) };
        buf.truncate(usize::try_from(len).unwrap());
        if status == 0 { Ok(buf) } else { Err(status) }
    }

    fn protect(&self, packet: &[u8]) -> Vec<u8> {
        self.run(self.library.protect, packet).unwrap()
    }

    fn unprotect(&self, packet: &[u8]) -> Result<Vec<u8>, c_int> {
        self.run(self.library.unprotect, packet)
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // SAFETY: the session is alive and not used again.
        unsafe { (self.library.dealloc)(self.session) };
    }
}

/// Master key and salt behind each other.
fn material(profile: Profile) -> Vec<u8> {
    (1..=u8::MAX).take(profile.key_bytes() + profile.salt_bytes()).collect()
}

fn ours(profile: Profile) -> Context {
    let material = material(profile);
    let (key, salt) = material.split_at(profile.key_bytes());
    Context::new(profile, key, salt).unwrap()
}

type Operation = fn(&mut Context, &mut [u8], usize) -> Result<usize, DropReason>;

fn protect_with(context: &mut Context, packet: &[u8], operation: Operation) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + MAX_TRAILER_BYTES, 0);
    let len = operation(context, &mut buf, packet.len()).unwrap();
    buf.truncate(len);
    buf
}

fn protect(context: &mut Context, packet: &[u8]) -> Vec<u8> {
    protect_with(context, packet, Context::protect_rtp)
}

fn unprotect(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut buf = packet.to_vec();
    let len = context.unprotect_rtp(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

/// RTP of two sources, of all lengths from none to 1,200 bytes of payload, with CSRCs and extensions, across a rollover.
fn stream() -> Vec<Vec<u8>> {
    let packet = |n: u16| {
        let csrcs = n % 3;
        let has_extension = n.is_multiple_of(5);
        let mut packet = vec![0x80 | u8::from(has_extension) << 4 | csrcs.to_be_bytes()[1], 0];
        packet.extend((65_300_u16.wrapping_add(n / 2)).to_be_bytes());
        packet.extend((u32::from(n) * 160).to_be_bytes());
        packet.extend((0xcafe_0000 + u32::from(n % 2)).to_be_bytes());
        packet.extend(vec![0xc5; 4 * usize::from(csrcs)]);
        if has_extension {
            packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        }
        packet.extend((0..n * 7 % 1_201).map(|at| (at ^ n).to_be_bytes()[1]));
        packet
    };
    (0..1_000).map(packet).collect()
}

/// Neighbours change places, and some packets are lost.
fn shuffled<T>(mut packets: Vec<T>) -> Vec<T> {
    packets.chunks_mut(7).for_each(<[_]>::reverse);
    packets.into_iter().enumerate().filter(|(number, _)| number % 11 != 3).map(|(_, packet)| packet).collect()
}

#[test]
fn every_packet_is_protected_as_libsrtp_does() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (theirs, mut ours) = (Theirs::new(library, profile, ANY_OUTBOUND), ours(profile));
        for packet in stream() {
            assert_eq!(protect(&mut ours, &packet), theirs.protect(&packet), "{profile:?}");
        }
    }
}

#[test]
fn libsrtp_takes_ours_once() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (mut ours, theirs) = (ours(profile), Theirs::new(library, profile, ANY_INBOUND));
        let sealed = stream().into_iter().map(|packet| (protect(&mut ours, &packet), packet)).collect();
        for (sealed, packet) in shuffled(sealed) {
            let mut forged = sealed.clone();
            *forged.last_mut().unwrap() ^= 1;
            assert!(theirs.unprotect(&forged).is_err(), "{profile:?}");
            assert_eq!(theirs.unprotect(&sealed), Ok(packet), "{profile:?}");
            assert!(theirs.unprotect(&sealed).is_err(), "{profile:?}: a replay");
        }
    }
}

#[test]
fn we_take_libsrtps_once() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (theirs, mut ours) = (Theirs::new(library, profile, ANY_OUTBOUND), ours(profile));
        let sealed = stream().into_iter().map(|packet| (theirs.protect(&packet), packet)).collect();
        for (sealed, packet) in shuffled(sealed) {
            let mut forged = sealed.clone();
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(unprotect(&mut ours, &forged), Err(DropReason::SrtpAuthentication), "{profile:?}");
            assert_eq!(unprotect(&mut ours, &sealed), Ok(packet), "{profile:?}");
            assert_eq!(unprotect(&mut ours, &sealed), Err(DropReason::SrtpReplay), "{profile:?}");
        }
    }
}

#[test]
fn we_take_libsrtps_by_turns() {
    let Some(library) = Library::load() else { return };
    for (profile, backend) in Profile::ALL.into_iter().flat_map(|profile| Backend::all().map(move |b| (profile, b))) {
        let (theirs, mut ours) = (Theirs::new(library, profile, ANY_OUTBOUND), ours(profile));
        let sealed: Vec<_> = stream().into_iter().map(|packet| (theirs.protect(&packet), packet)).collect();
        for turn in shuffled(sealed).chunks_mut(13) {
            let mut forecasts: Vec<_> = turn.iter().map(|(sealed, _)| ours.foresee_rtp(sealed)).collect();
            let messages = forecasts.iter_mut().zip(&*turn);
            let messages = messages.filter_map(|(forecast, (sealed, _))| forecast.as_mut()?.message(sealed));
            mac::sign(backend, messages);
            for ((sealed, packet), forecast) in turn.iter_mut().zip(forecasts) {
                let len = ours.unprotect_rtp_foreseen(sealed, forecast.as_ref()).unwrap();
                assert_eq!(sealed[..len], packet[..], "{profile:?} {backend:?}");
            }
        }
    }
}

#[test]
fn reports_go_both_ways_once() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (inbound, outbound) =
            (Theirs::new(library, profile, ANY_INBOUND), Theirs::new(library, profile, ANY_OUTBOUND));
        let (mut sender, mut receiver) = (ours(profile), ours(profile));
        for count in 0..300_u16 {
            // A receiver report, and a name of changing length.
            let mut report = vec![0x80, 201, 0, 1, 0xca, 0xfe, 0xba, 0xbe, 0x81, 202, 0, count.to_be_bytes()[1]];
            report.resize(12 + 4 * usize::from(count), 0x61);

            let sealed = protect_with(&mut sender, &report, Context::protect_rtcp);
            assert_eq!(inbound.run(library.unprotect_rtcp, &sealed).as_ref(), Ok(&report), "{profile:?}");
            assert!(inbound.run(library.unprotect_rtcp, &sealed).is_err(), "{profile:?}: a replay");

            let mut sealed = outbound.run(library.protect_rtcp, &report).unwrap();
            let mut replayed = sealed.clone();
            let len = receiver.unprotect_rtcp(&mut sealed).unwrap();
            assert_eq!(sealed[..len], report, "{profile:?}");
            assert_eq!(receiver.unprotect_rtcp(&mut replayed), Err(DropReason::SrtpReplay), "{profile:?}");
        }
    }
}
