//! What is remembered: refusals and their pauses, silence, and how a device stands.

use super::device::{Device, Loss};
use super::world::{World, parameter, parameters};
use crate::{Held, Obstacle, Standing, StepOutcome, WantedParameter};
use jiff::SignedDuration;
use serde_json::json;

const A: &str = "Device.A.One";
const B: &str = "Device.A.Two";
const C: &str = "Device.C.Three";

fn world() -> World {
    let device = Device::with(&[(A, "string", "0"), (B, "string", "0"), (C, "string", "0")]);
    let all = [A, B, C].map(|path| parameter(path, "1"));
    World::new(device, parameters(all.to_vec()))
}

#[test]
fn a_refusal_marks_its_parameter_and_the_rest_is_applied() {
    for code in [9001, 9006, 9007, 9008] {
        let mut world = world();
        world.device.at(B).refuses = Some(code);
        let session = world.session();
        assert_eq!((world.device.value(A), world.device.value(C)), ("1", "1"), "{code}");
        let [blocked] = session.plan.blocked.as_slice() else { panic!("{:?}", session.plan) };
        assert_eq!((&*blocked.path, blocked.obstacle), (B, Obstacle::Refused));
        assert_eq!(world.held.standing, Standing::Partial);
        assert!(world.held.cause.starts_with(B), "{}", world.held.cause);
        let refusal = world.held.refused[0].clone();
        assert_eq!(
            (refusal.code, refusal.tries, refusal.retry_at),
            (code, 1, blocked.retry_at.unwrap())
        );
        let pause = refusal.retry_at.duration_since(world.now).as_secs();
        assert!((500..=680).contains(&pause), "{pause}");
        assert!(!world.call().is_due);
        world.now = refusal.retry_at;
        world.call();
        assert_eq!(world.held.refused[0].tries, 2);
        assert_eq!(world.device.sets[A], 1, "what was applied is not told again");
        // Another wish is tried at once.
        world.device.at(B).refuses = None;
        let wanted = world.wanted.clone();
        world.want(wanted);
        world.call();
        assert_eq!((world.held.standing, world.held.refused.len()), (Standing::Converged, 0));
    }
}

#[test]
fn a_path_that_the_device_does_not_know_after_all_is_given_up() {
    let mut world = world();
    world.device.parameters.remove(B);
    let session = world.session();
    assert_eq!(session.plan.blocked[0].obstacle, Obstacle::Absent);
    assert_eq!(session.plan.blocked[0].retry_at, None, "until all is learned anew");
    assert_eq!((world.device.value(A), world.device.value(C)), ("1", "1"));
    assert_eq!(world.held.standing, Standing::Partial);
}

/// Whether it has the path at all only a reading tells: a device may say 9005 of what it only reads.
#[test]
fn a_path_that_the_device_says_it_does_not_know_is_asked_for_until_it_answers() {
    let optional = parameters(vec![WantedParameter { is_optional: true, ..parameter(B, "1") }]);
    for (is_there, lost) in [(true, 2..3), (true, 2..5), (false, 2..3), (false, 2..5)] {
        let mut world = World::new(world().device, optional.clone());
        world.device.at(B).refuses = Some(9005);
        if !is_there {
            world.device.parameters.remove(B);
        }
        let loss = |call| Loss { call, is_carried_out: false };
        world.device.losses = lost.clone().map(loss).collect();
        for _ in lost {
            assert!(world.session().is_lost, "the answer to its reading");
            world.wait(SignedDuration::from_mins(10));
        }
        // Another wish forgets the refusals, and not that.
        let mut other = world.clone();
        other.want(optional.clone());
        for mut world in [world, other] {
            let calls = world.device.calls.len();
            let session = world.call();
            let first = world.device.calls.get(calls).map(String::as_str);
            assert_eq!(first, Some("get 1"), "{:?}", world.held);
            let [blocked] = session.plan.blocked.as_slice() else { panic!("{:?}", session.plan) };
            let expected = match is_there {
                true => (Obstacle::Refused, Standing::Partial),
                false => (Obstacle::Absent, Standing::Converged),
            };
            assert_eq!((blocked.obstacle, world.held.standing), expected);
            assert_eq!(blocked.retry_at.is_some(), is_there, "{blocked:?}");
            assert_eq!(world.held.doubted, [""; 0].map(Box::from), "settled");
        }
    }
}

#[test]
fn a_culprit_that_nobody_names_is_found() {
    let mut world = world();
    world.device.names_culprits = false;
    world.device.at(B).refuses = Some(9007);
    world.session();
    assert_eq!((world.device.value(A), world.device.value(C)), ("1", "1"));
    assert_eq!(world.held.refused.len(), 1, "{:?}", world.held.refused);
    assert_eq!(&*world.held.refused[0].path, B);
    assert_eq!(world.held.apart, [""; 0].map(Box::from), "forgotten once it is over");
}

#[test]
fn silence_is_tried_again_at_the_next_session_and_then_more_and_more_seldom() {
    let mut world = world();
    world.device.losses = vec![Loss { call: 1, is_carried_out: false }];
    assert!(world.session().is_lost);
    assert_eq!(world.held.standing, Standing::Pending);
    world.call();
    assert_eq!(world.held.standing, Standing::Converged, "the next session goes on");

    // A device that restarts over one parameter: the others are applied, and it is left alone.
    let mut world = self::world();
    world.device.breaks_on = Some(B.to_owned());
    let mut lost = 0;
    for session in 0..300 {
        lost += usize::from(world.call().is_lost);
        world.wait(SignedDuration::from_mins(10));
        let is_applied = world.device.value(A) == "1" && world.device.value(C) == "1";
        assert!(is_applied || session < 4, "each is tried by itself: {:?}", world.held);
    }
    assert!((5..=20).contains(&lost), "{lost} restarts in 50 hours");
    assert_eq!(world.held.refused.iter().map(|it| &*it.path).collect::<Vec<_>>(), [B]);
    world.device.breaks_on = None;
    world.wait(SignedDuration::from_hours(7));
    world.call();
    assert_eq!(world.held.standing, Standing::Converged);
}

#[test]
fn a_session_that_runs_out_of_rounds_does_not_go_on_for_ever() {
    // A device that gives every value back after a moment.
    let mut world = world();
    let mut sets = 0;
    for _ in 0..200 {
        world.device.at(A).value = "0".to_owned();
        world.known = world.device.discovered(world.now);
        world.session();
        sets = world.device.sets[A];
    }
    // Each was read back as wanted, so that it is drift: mended each time, told each time.
    assert_eq!(sets, 200);
    assert_eq!(world.drifted.len(), 199);
}

#[test]
fn a_bootstrap_forgets_what_was_applied_and_refused() {
    let mut world = world();
    world.device.at(B).refuses = Some(9007);
    world.session();
    let fresh = self::world().device;
    world.reset(fresh);
    let plan = world.plan();
    assert_eq!(plan.changes().count(), 3, "a plan without a session sees it too");
    world.session();
    assert_eq!(world.held.standing, Standing::Converged);
    assert_eq!(world.device.calls[world.device.calls.len() - 2..], ["set 3", "get 3"]);
}

#[test]
fn going_back_to_what_was_wanted_before_tells_what_cannot_be_read() {
    let key = "Device.A.Password";
    let mut device = Device::with(&[(key, "string", ""), (A, "string", "0")]);
    device.at(key).is_hidden = true;
    let one = parameters(vec![parameter(key, "first"), parameter(A, "1")]);
    let two = parameters(vec![parameter(key, "second"), parameter(A, "1")]);
    let mut world = World::new(device, one.clone());
    world.session();
    assert_eq!(world.device.value(key), "first");
    // The second wish is carried out, and its answer is lost.
    world.want(two);
    world.device.losses = vec![Loss { call: world.device.calls.len() + 1, is_carried_out: true }];
    assert!(world.session().is_lost);
    assert_eq!(world.device.value(key), "second");
    world.wanted = one;
    world.fingerprint = 1;
    world.call();
    assert_eq!(world.device.value(key), "first");
}

#[test]
fn what_a_session_says_is_read() {
    let result = json!({
        "applied": ["A.B"],
        "status": 0,
        "refused": { "A.C": { "code": 9007, "cause": "invalid parameter value", "text": "x" } },
        "fault": { "code": 9003, "cause": "invalid arguments", "text": "" },
        "absent": ["A.D"],
        "parameters": { "A.E": { "value": "secret", "type": "xsd:string" } },
        "instance": 4,
        "path": "A.4.",
        "anything": [1, 2],
    });
    let outcome = StepOutcome::read(false, &[], Some(&result));
    assert_eq!(outcome.applied, ["A.B".into()]);
    assert_eq!((&*outcome.refused[0].path, outcome.refused[0].code), ("A.C", 9007));
    assert_eq!(outcome.fault, Some((9003, "invalid arguments".into())));
    assert_eq!((&*outcome.absent[0], &*outcome.told[0], outcome.instance), ("A.D", "A.E", Some(4)));
    assert!(!format!("{outcome:?}").contains("secret"));
    assert_eq!(StepOutcome::read(false, &[], None), StepOutcome::default());
    let applied = StepOutcome::read(false, &["A.B".into()], None);
    assert_eq!(applied.applied, ["A.B".into()]);
    for odd in [json!(null), json!([]), json!({"refused": [1], "fault": 7, "applied": {"a": 1}})] {
        assert_eq!(StepOutcome::read(false, &[], Some(&odd)), StepOutcome::default());
    }
}

#[test]
fn what_is_remembered_holds_no_value_and_goes_through_the_store() {
    let mut world = world();
    world.device.at(B).refuses = Some(9007);
    world.wanted.parameters[1].value.0 = "hunter2".into();
    world.session();
    let text = serde_json::to_string(&world.held).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let again: Held = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
    assert_eq!(serde_json::from_str::<Held>("{}").unwrap(), Held::default());
}
