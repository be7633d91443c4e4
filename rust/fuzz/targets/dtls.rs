#![no_main]

#[allow(dead_code)]
#[path = "../bodies.rs"]
mod bodies;

static CERTIFICATE: std::sync::LazyLock<trunkline_media::dtls::Certificate> =
    std::sync::LazyLock::new(|| trunkline_media::dtls::Certificate::generate().unwrap());

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::dtls(std::time::Instant::now(), &CERTIFICATE, data));
