use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::ice::stun;

const CONSENT: Duration = Duration::from_secs(30);
const HIGH: u32 = 0x7eff_ffff;
const LOW: u32 = 0x6eff_ffff;

/// How a test's check differs from a plain one.
#[derive(Debug, Clone, Copy)]
struct Check {
    priority: u32,
    is_nominating: bool,
    is_controlled: bool,
}

const PLAIN: Check = Check { priority: HIGH, is_nominating: false, is_controlled: false };
const NOMINATION: Check = Check { is_nominating: true, ..PLAIN };

struct Scene {
    agent: Agent,
    key: IntegrityKey,
    now: Instant,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn new() -> Self {
        let local = Credentials::from_random(&[1; Credentials::RANDOM_BYTES]);
        let key = IntegrityKey::new(local.pwd()).unwrap();
        Self { agent: Agent::new(local, CONSENT), key, now: Instant::now() }
    }

    fn username(&self) -> String {
        format!("{}:browser", self.agent.local().ufrag())
    }

    fn request(&self, check: Check) -> Vec<u8> {
        self.build(|b| {
            let b = b.username(&self.username())?.priority(check.priority)?;
            let b = if check.is_nominating { b.use_candidate()? } else { b };
            if check.is_controlled { b.controlled(1) } else { b.controlling(1) }
        })
    }

    fn build(&self, attributes: impl FnOnce(Builder<'_>) -> Result<Builder<'_>, DropReason>) -> Vec<u8> {
        let mut out = [0; 512];
        let builder = Builder::new(&mut out, Class::Request, [7; 12]).and_then(attributes).unwrap();
        let len = builder.finish(&self.key).unwrap();
        out[..len].to_vec()
    }

    /// Deliver a datagram; the answer's bytes and the event, or the drop.
    fn deliver(&mut self, path: Path, data: &[u8]) -> Result<(Vec<u8>, Option<Event>), DropReason> {
        let mut out = [0; 128];
        let answer = self.agent.handle_datagram(self.now, path, data, &mut out)?;
        Ok((out[..answer.len].to_vec(), answer.event))
    }

    fn check(&mut self, path: Path, check: Check) -> Option<Event> {
        let request = self.request(check);
        let (answer, event) = self.deliver(path, &request).unwrap();
        let answer = Message::parse(&answer).unwrap();
        assert_eq!((answer.class(), answer.transaction()), (Class::Success, [7; 12]));
        event
    }

    fn wait(&mut self, seconds: u64) -> Option<Event> {
        self.now += Duration::from_secs(seconds);
        self.agent.handle_timeout(self.now)
    }
}

fn path(port: u16) -> Path {
    Path::new("192.0.2.10:5000".parse().unwrap(), SocketAddr::from(([198, 51, 100, 1], port)))
}

#[test]
fn answers_a_check_with_the_address_it_came_from() {
    for remote in ["198.51.100.1:4000", "[2001:db8::7]:4000"] {
        let mut scene = Scene::new();
        let path = Path::new("192.0.2.10:5000".parse().unwrap(), remote.parse().unwrap());
        let request = scene.request(PLAIN);
        let (answer, event) = scene.deliver(path, &request).unwrap();
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.mapped_address(), Some(path.remote));
        assert_eq!(message.verify(&scene.key), Ok(()));
        assert_eq!(event, None);
        assert!(answer.len() * 5 <= request.len() * 6, "no amplification");
    }
}

#[test]
fn path_is_valid_after_a_check_and_selected_after_a_nomination() {
    let mut scene = Scene::new();
    assert_eq!((scene.agent.route(), scene.agent.selected()), (None, None));
    assert_eq!(scene.check(path(1), PLAIN), None);
    assert!(scene.agent.is_valid(&path(1)) && !scene.agent.is_valid(&path(2)));
    assert_eq!((scene.agent.route(), scene.agent.selected()), (Some(path(1)), None));
    assert_eq!(scene.check(path(1), NOMINATION), Some(Event::Connected(path(1))));
    assert_eq!(scene.agent.selected(), Some(path(1)));
    assert_eq!(scene.check(path(1), NOMINATION), None, "said once");
}

#[test]
fn later_regular_nomination_moves_the_path_even_to_a_lower_priority() {
    let mut scene = Scene::new();
    scene.check(path(1), NOMINATION);
    scene.check(path(2), PLAIN);
    scene.wait(2);
    let lower = Check { priority: LOW, ..NOMINATION };
    assert_eq!(scene.check(path(2), lower), Some(Event::Moved(path(2))));
    assert_eq!(scene.check(path(1), PLAIN), None, "a check without nomination moves nothing");
    assert_eq!(scene.agent.selected(), Some(path(2)));
}

#[test]
fn burst_of_aggressive_nominations_ends_on_the_best_path() {
    let lower = Check { priority: LOW, ..NOMINATION };
    let mut best_first = Scene::new();
    assert_eq!(best_first.check(path(1), NOMINATION), Some(Event::Connected(path(1))));
    assert_eq!(best_first.check(path(2), lower), None);
    let mut best_last = Scene::new();
    assert_eq!(best_last.check(path(2), lower), Some(Event::Connected(path(2))));
    assert_eq!(best_last.check(path(1), NOMINATION), Some(Event::Moved(path(1))));
}

#[test]
fn consent_expires_without_checks_and_comes_back() {
    let mut scene = Scene::new();
    scene.check(path(1), NOMINATION);
    for _ in 0..10 {
        assert_eq!(scene.wait(5), None);
        scene.check(path(1), PLAIN);
    }
    assert_eq!(scene.agent.poll_timeout(), Some(scene.now + CONSENT));
    assert_eq!(scene.wait(29), None);
    assert_eq!(scene.wait(1), Some(Event::Disconnected));
    assert_eq!((scene.agent.selected(), scene.agent.route(), scene.agent.poll_timeout()), (None, None, None));
    assert!(!scene.agent.is_valid(&path(1)));
    assert_eq!(scene.wait(1), None, "said once");
    assert_eq!(scene.check(path(3), NOMINATION), Some(Event::Connected(path(3))));
}

#[test]
fn checks_elsewhere_do_not_renew_the_consent_of_the_selected_path() {
    let mut scene = Scene::new();
    scene.check(path(1), NOMINATION);
    scene.wait(20);
    scene.check(path(2), PLAIN);
    assert_eq!(scene.wait(10), Some(Event::Disconnected));
    assert!(scene.agent.is_valid(&path(2)));
}

#[test]
fn unauthenticated_requests_get_no_answer_and_change_nothing() {
    let mut scene = Scene::new();
    let sound = scene.request(NOMINATION);
    let mut no_fingerprint = sound[..sound.len() - 8].to_vec();
    no_fingerprint[3] -= 8;
    assert!(scene.deliver(path(1), &no_fingerprint).is_ok(), "a fingerprint is checked only if it is there");

    let mut scene = Scene::new();
    let mut tampered = no_fingerprint.clone();
    tampered[10] ^= 1;
    assert_eq!(scene.deliver(path(1), &tampered), Err(DropReason::StunIntegrity));
    let mut unsigned = no_fingerprint[..no_fingerprint.len() - 24].to_vec();
    unsigned[3] -= 24;
    assert_eq!(scene.deliver(path(1), &unsigned), Err(DropReason::StunIntegrity));
    let other_user = scene.build(|b| b.username("somebody:browser"));
    assert_eq!(scene.deliver(path(1), &other_user), Err(DropReason::StunUsername));
    let longer = format!("{}x:browser", scene.agent.local().ufrag());
    let longer = scene.build(|b| b.username(&longer));
    assert_eq!(scene.deliver(path(1), &longer), Err(DropReason::StunUsername));
    let nobody = scene.build(|b| b.priority(1));
    assert_eq!(scene.deliver(path(1), &nobody), Err(DropReason::StunUsername));
    assert!(!scene.agent.is_valid(&path(1)));
}

#[test]
fn role_conflict_is_told_and_does_not_validate() {
    let mut scene = Scene::new();
    let request = scene.request(Check { is_controlled: true, ..NOMINATION });
    let (answer, event) = scene.deliver(path(1), &request).unwrap();
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.error(), Some(ErrorCode::ROLE_CONFLICT));
    assert_eq!(answer.verify(&scene.key), Ok(()));
    assert_eq!((event, scene.agent.is_valid(&path(1))), (None, false));
}

#[test]
fn unknown_attributes_are_told_if_they_must_be_understood() {
    let mut scene = Scene::new();
    let username = scene.username();
    let mut out = [0; 256];
    let builder = Builder::new(&mut out, Class::Request, [7; 12]).unwrap().username(&username).unwrap();
    let strange = builder.unknown_attributes(&[]).unwrap().finish(&scene.key).unwrap();
    let mut request = out[..strange].to_vec();
    let at = request.windows(4).position(|window| window == [0, 0x0a, 0, 0]).unwrap();
    // An optional attribute in that place is ignored, a required one is refused.
    for (kind, refusal) in [([0x80, 0x99], None), ([0x00, 0x99], Some(ErrorCode::UNKNOWN_ATTRIBUTE))] {
        request[at..at + 2].copy_from_slice(&kind);
        let signed = resign(&scene, &request[..at + 4]);
        let (answer, _) = scene.deliver(path(1), &signed).unwrap();
        assert_eq!(Message::parse(&answer).unwrap().error(), refusal);
        if refusal.is_some() {
            assert!(answer.windows(6).any(|window| window == [0, 0x0a, 0, 2, 0, 0x99]), "names the attribute");
        }
    }
}

/// The same header and attributes with fresh integrity, and no fingerprint.
fn resign(scene: &Scene, before: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mut data = before.to_vec();
    data[2..4].copy_from_slice(&u16::try_from(before.len() - 20 + 24).unwrap().to_be_bytes());
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(scene.agent.local().pwd().as_bytes()).unwrap();
    mac.update(&data);
    data.extend([0, 8, 0, 20]);
    data.extend(mac.finalize().into_bytes());
    data
}

#[test]
fn indications_are_silent_and_responses_are_not_expected() {
    let mut scene = Scene::new();
    let mut out = [0; 128];
    let len = Builder::new(&mut out, Class::Indication, [7; 12]).unwrap().finish(&scene.key).unwrap();
    assert_eq!(scene.deliver(path(1), &out[..len]), Ok((vec![], None)));
    assert!(!scene.agent.is_valid(&path(1)));
    let len = Builder::new(&mut out, Class::Success, [7; 12]).unwrap().finish(&scene.key).unwrap();
    assert_eq!(scene.deliver(path(1), &out[..len]), Err(DropReason::StunUnexpected));
}

#[test]
fn remembered_paths_are_bounded_and_the_selected_one_stays() {
    let mut scene = Scene::new();
    scene.check(path(1), NOMINATION);
    for port in 2..200 {
        scene.now += Duration::from_millis(1);
        scene.check(path(port), PLAIN);
    }
    assert!(scene.agent.is_valid(&path(1)), "selected");
    assert!(scene.agent.is_valid(&path(199)), "newest");
    assert!(!scene.agent.is_valid(&path(2)), "oldest");
    let valid = (1..200).filter(|port| scene.agent.is_valid(&path(*port))).count();
    assert_eq!(valid, MAX_PATHS);
}

#[test]
fn local_ufrag_leads_to_the_agent() {
    let scene = Scene::new();
    assert_eq!(stun::local_ufrag(&scene.request(PLAIN)), Some(scene.agent.local().ufrag()));
    assert_eq!(stun::local_ufrag(&scene.build(|b| b.username("no-colon"))), None);
    assert_eq!(stun::local_ufrag(b"\x00\x01garbage"), None);
}

proptest! {
    #[test]
    fn no_answer_is_longer_than_its_buffer_and_no_garbage_gets_one(
        data in prop::collection::vec(any::<u8>(), 0..200), size in 0_usize..128
    ) {
        let mut scene = Scene::new();
        let mut out = vec![0; size];
        let answered = scene.agent.handle_datagram(scene.now, path(1), &data, &mut out);
        let silent = Answer { len: 0, event: None };
        prop_assert!(answered.is_err() || answered == Ok(silent));
        let request = scene.request(NOMINATION);
        match scene.agent.handle_datagram(scene.now, path(1), &request, &mut out) {
            Ok(answer) => prop_assert!(answer.len <= size),
            Err(reason) => prop_assert_eq!(reason, DropReason::BufferTooSmall),
        }
    }

    #[test]
    fn any_order_of_checks_keeps_the_selected_path_valid(
        steps in prop::collection::vec((1_u16..20, any::<bool>(), 0_u32..4, 0_u64..20), 1..60)
    ) {
        let mut scene = Scene::new();
        for (port, is_nominating, priority, seconds) in steps {
            scene.wait(seconds);
            scene.check(path(port), Check { priority, is_nominating, is_controlled: false });
            if let Some(selected) = scene.agent.selected() {
                prop_assert!(scene.agent.is_valid(&selected));
                prop_assert_eq!(scene.agent.route(), Some(selected));
            }
            prop_assert!(scene.agent.poll_timeout().is_some());
        }
    }
}
