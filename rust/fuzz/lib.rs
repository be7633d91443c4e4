//! The fuzz bodies as functions of bytes alone: each target beside this file hands one of them to libFuzzer.

#[path = "bodies.rs"]
mod bodies;
#[path = "sound.rs"]
mod sound;

use std::sync::LazyLock;
use std::time::Instant;

use trunkline_media::dtls::Certificate;

pub fn rtp(data: &[u8]) {
    bodies::rtp(Instant::now(), data);
}

pub fn rtcp(data: &[u8]) {
    bodies::rtcp(data);
}

pub fn stun(data: &[u8]) {
    bodies::stun_message(Instant::now(), data);
}

pub fn dtls(data: &[u8]) {
    static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().expect("a certificate"));
    bodies::dtls(Instant::now(), &CERTIFICATE, data);
}

pub fn srtp(data: &[u8]) {
    bodies::srtp(data);
}

pub fn dtmf(data: &[u8]) {
    bodies::dtmf(Instant::now(), data);
}

pub fn sip(data: &[u8]) {
    bodies::sip_message(data);
}

pub fn decoder(data: &[u8]) {
    sound::decoder(data);
}

pub fn playout(data: &[u8]) {
    sound::playout(Instant::now(), data);
}

pub fn pipeline(data: &[u8]) {
    sound::pipeline(Instant::now(), data);
}
