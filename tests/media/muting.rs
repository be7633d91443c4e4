//! Silence in place of a voice, in a stream that goes on.

use trunkline_media::bridge::{Muted, Voice};
use trunkline_media::endpoint::EndpointId;
use trunkline_media::engine::Command;
use trunkline_media::pipeline::Format;

use crate::calls::{Scene, assert_unbroken, decode};
use crate::support::phone::Packet;
use crate::support::stalls::in_real_time;
use crate::support::{opus, pcma, pcmu};

const WEB_HZ: f64 = 440.0;
const PHONE_HZ: f64 = 1_000.0;

fn mute(scene: &mut Scene, endpoint: EndpointId, voice: Voice, muted: Muted) {
    scene.rig.tell(scene.call, Command::Mute { endpoint, voice, muted });
}

/// What the phone and the browser hear before, while and after one voice is muted.
fn phases(
    web: Format,
    phone: Format,
    endpoint: fn(&Scene) -> EndpointId,
    voice: Voice,
) -> [(Vec<Packet>, Vec<Packet>); 3] {
    let mut scene = Scene::new(&[web], &[phone]);
    let endpoint = endpoint(&scene);
    let talk = |scene: &mut Scene, frames| {
        let (at_browser, at_phone) = scene.talk(frames, (web, WEB_HZ), (phone, PHONE_HZ));
        (at_phone, at_browser)
    };
    let before = talk(&mut scene, 30);
    mute(&mut scene, endpoint, voice, Muted::Audio);
    let while_muted = talk(&mut scene, 30);
    let stats = scene.rig.stats(scene.call, endpoint);
    assert_eq!(stats.is_said_muted, voice == Voice::Says);
    assert_eq!(stats.is_heard_muted, voice == Voice::Hears);
    mute(&mut scene, endpoint, voice, Muted::Nothing);
    let after = talk(&mut scene, 40);
    let stats = scene.rig.stats(scene.call, endpoint);
    assert!(!stats.is_said_muted && !stats.is_heard_muted);
    [before, while_muted, after]
}

/// Fails unless the voice at `frequency_hz` was muted and nothing else, in a stream without a gap.
#[track_caller]
fn assert_muted([before, while_muted, after]: &[Vec<Packet>; 3], format: Format, frequency_hz: f64) {
    let all: Vec<Packet> = [before, while_muted, after].into_iter().flatten().cloned().collect();
    assert_unbroken(&all, format.codec.clock_rate_hz() / 50);
    assert!(while_muted.len() >= 28, "{} packets while muted", while_muted.len());
    // One frame may be under way, one fades, and a decoder of Opus fades over another.
    let quiet = decode(while_muted, format).heard.after_ms(80);
    assert!(quiet.samples.iter().all(|sample| sample.abs() <= 8), "the voice is heard: {} dBm0", quiet.level_dbm0());
    decode(after, format).heard.after_ms(300).assert_tone(frequency_hz, -10.0, 0.4);
}

#[test]
fn a_side_that_is_muted_is_not_heard_in_any_kind_of_pipeline_and_hears_on() {
    in_real_time(|| {
        for (web, phone) in [(pcmu(), pcmu()), (opus(), opus()), (opus(), pcmu()), (pcma(), pcmu())] {
            let [before, muted, after] = phases(web, phone, |scene| scene.web.id, Voice::Says);
            assert_muted(&[before.0, muted.0, after.0], phone, WEB_HZ);
            decode(&muted.1, web).heard.after_ms(200).assert_tone(PHONE_HZ, -10.0, 0.3);
        }
    });
}

#[test]
fn a_side_that_is_deafened_hears_nothing_and_is_heard() {
    in_real_time(|| {
        let [before, muted, after] = phases(opus(), pcmu(), |scene| scene.web.id, Voice::Hears);
        assert_muted(&[before.1, muted.1, after.1], opus(), PHONE_HZ);
        decode(&muted.0, pcmu()).heard.after_ms(200).assert_tone(WEB_HZ, -10.0, 0.3);
    });
}

#[test]
fn a_mute_stays_when_the_side_is_joined_anew() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        let (web, port) = (scene.web.id, scene.port.id);
        mute(&mut scene, web, Voice::Says, Muted::Audio);
        scene.rig.tell(scene.call, Command::Unbridge { endpoint: web });
        scene.rig.join(scene.call, web, port);
        let (_, at_phone) = scene.talk(20, (pcmu(), WEB_HZ), (pcmu(), PHONE_HZ));
        assert!(at_phone.len() >= 18);
        assert!(at_phone.iter().all(|packet| packet.payload == [0xff; 160]), "silence of mu-law");
    });
}
