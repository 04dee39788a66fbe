//! Parameters: what is set, what is not, and why.

use super::device::{Device, Habit, Loss};
use super::world::{World, parameter, parameters, pattern, rule, secret};
use crate::{
    Drift, Obstacle, Plan, PlanView, Rule, Standing, ValueKind, Wanted, WantedParameter, Why,
    Window, Wish,
};
use jiff::SignedDuration;
use model::{CommandKind, ParameterValue};

const SSID: &str = "Device.WiFi.SSID.1.SSID";
const ENABLE: &str = "Device.WiFi.SSID.1.Enable";
const KEY: &str = "Device.WiFi.AccessPoint.1.Security.KeyPassphrase";
const NTP: &str = "Device.Time.NTPServer1";
const PORT: &str = "Device.SIP.Port";

fn device() -> Device {
    let mut device = Device::with(&[
        (SSID, "string", "factory"),
        (ENABLE, "boolean", "0"),
        ("Device.WiFi.SSID.3.SSID", "string", "factory 5"),
        ("Device.WiFi.SSID.3.Enable", "boolean", "0"),
        (KEY, "string", "12345678"),
        (NTP, "string", "ntp.example"),
        (PORT, "unsignedInt", "5060"),
    ]);
    device.at(KEY).is_hidden = true;
    device
}

fn world(all: Vec<WantedParameter>) -> World {
    World::new(device(), parameters(all))
}

fn obstacle(plan: &Plan) -> (&str, Obstacle) {
    let [blocked] = plan.blocked.as_slice() else { panic!("{:?}", plan.blocked) };
    (&blocked.path, blocked.obstacle)
}

#[test]
fn what_is_as_wanted_is_left_alone_in_any_spelling() {
    let mut world =
        world(vec![parameter(SSID, "factory"), parameter(ENABLE, "0"), parameter(PORT, "5060")]);
    world.device.at(ENABLE).value = "False".to_owned();
    world.device.at(PORT).value = "+05060".to_owned();
    world.known = world.device.discovered(world.now);
    assert_eq!(world.plan().steps, []);
    assert_eq!(world.session().calls, 0);
    assert_eq!(world.held.standing, Standing::Converged);
    assert_eq!(world.held.converged_at.map(|it| it <= world.now), Some(true));
}

#[test]
fn all_that_differs_is_one_call_with_the_devices_types() {
    let mut world = world(vec![
        parameter(SSID, "home"),
        parameter(ENABLE, "true"),
        WantedParameter { kind: ValueKind::Typed("string".into()), ..parameter(PORT, "05061") },
    ]);
    let plan = world.plan();
    let mut types = std::collections::BTreeMap::new();
    for step in plan.steps.iter().filter(|it| matches!(it.wish, Wish::Set(_))) {
        let CommandKind::SetParameters { values } = &step.kind else { panic!() };
        for (path, value) in values {
            let ParameterValue::Typed { value, xsd_type } = value else { panic!() };
            types.insert(path.as_str(), (value.expose().as_str().unwrap(), xsd_type.as_str()));
        }
    }
    assert_eq!(types[SSID], ("home", "xsd:string"));
    assert_eq!(types[ENABLE], ("1", "xsd:boolean"));
    assert_eq!(types[PORT], ("5061", "xsd:unsignedInt"));
    assert!(plan.changes().all(|it| it.why == Why::Differs));
    let session = world.session();
    assert_eq!(world.device.calls, ["set 3", "get 3"], "and read back");
    assert!(session.plan.is_empty());
    assert_eq!(world.device.value(SSID), "home");
    assert_eq!(world.held.standing, Standing::Converged);
    assert!(!world.call().is_due, "a second session asks nothing");
}

#[test]
fn a_value_that_is_none_of_its_type_is_never_sent() {
    for (wanted, expected) in [
        (parameter(ENABLE, "maybe"), Obstacle::Invalid),
        (parameter(PORT, "-1"), Obstacle::Invalid),
        (parameter(PORT, "4294967296"), Obstacle::Invalid),
        (
            WantedParameter { kind: ValueKind::Host, ..parameter(NTP, "not a host") },
            Obstacle::Invalid,
        ),
        (
            WantedParameter { kind: ValueKind::HostOrEmpty, ..parameter(NTP, "203.0.113.256") },
            Obstacle::Invalid,
        ),
    ] {
        let mut world = world(vec![wanted, parameter(SSID, "home")]);
        let session = world.session();
        assert_eq!(obstacle(&session.plan).1, expected);
        assert_eq!(world.device.value(SSID), "home", "the rest is applied");
        assert_eq!(world.held.standing, Standing::Partial);
        assert!(!world.held.cause.contains("maybe") && !world.held.cause.contains("not a host"));
    }
    let mut world =
        world(vec![WantedParameter { kind: ValueKind::HostOrEmpty, ..parameter(NTP, "") }]);
    world.session();
    assert_eq!(world.device.value(NTP), "", "cleared");
}

#[test]
fn what_the_device_lists_as_not_writable_is_not_sent_but_to_one_that_takes_it() {
    let mut world = world(vec![parameter(SSID, "home")]);
    world.device.at(SSID).is_writable = false;
    world.known = world.device.discovered(world.now);
    assert_eq!(obstacle(&world.session().plan), (SSID, Obstacle::ReadOnly));
    assert_eq!(world.device.calls, [""; 0]);
    let it = crate::Circumstances { writes_read_only: true, ..world.circumstances(world.now) };
    let plan = crate::decide(&world.wanted, &world.known, &world.held, it);
    assert_eq!(plan.changes().count(), 1);
}

#[test]
fn what_a_whole_tree_does_not_have_is_said_and_not_asked_for() {
    let no = "Device.WiFi.SSID.2.SSID";
    let mut world = world(vec![parameter(no, "x"), parameter("Device.WiFi.Radio.*.X", "1")]);
    let session = world.session();
    assert_eq!(session.calls, 0);
    assert!(session.plan.blocked.iter().all(|it| it.obstacle == Obstacle::Absent));
    assert_eq!(session.plan.blocked.len(), 2);
    assert_eq!(world.held.standing, Standing::Partial);
    let optional = WantedParameter { is_optional: true, ..parameter(no, "x") };
    world.want(parameters(vec![optional]));
    world.session();
    assert_eq!(world.held.standing, Standing::Converged, "harmless");
}

#[test]
fn what_is_not_known_is_asked_for_once_a_session_and_then_set() {
    let mut world = world(vec![parameter(SSID, "home"), parameter("Device.No.Such", "1")]);
    world.known = model::DataModel::new();
    let session = world.session();
    assert_eq!(world.device.calls, ["get 2", "set 1", "get 1"]);
    assert_eq!(world.device.value(SSID), "home");
    assert_eq!(obstacle(&session.plan), ("Device.No.Such", Obstacle::Refused));
    let retry_at = session.plan.blocked[0].retry_at.unwrap();
    assert_eq!(world.held.due_at, Some(retry_at));
    assert!(!world.call().is_due);
    world.now = retry_at;
    world.call();
    assert_eq!(world.device.calls.len(), 4, "asked once more, alone");
    let again = world.held.due_at.unwrap();
    assert!(again.duration_since(world.now) > SignedDuration::from_mins(15), "and later again");
}

#[test]
fn wildcards_stand_for_what_is_there_and_the_later_rule_goes_first() {
    let all = parameter("Device.WiFi.SSID.*.Enable", "1");
    let mut world = world(vec![all.clone(), parameter("Device.WiFi.SSID.3.Enable", "0")]);
    world.session();
    assert_eq!(world.device.calls, ["set 1", "get 1"]);
    assert_eq!(
        (world.device.value(ENABLE), world.device.value("Device.WiFi.SSID.3.Enable")),
        ("1", "0")
    );

    world.want(parameters(vec![parameter("Device.WiFi.SSID.[SSID=factory 5].SSID", "five")]));
    world.session();
    assert_eq!(world.device.value("Device.WiFi.SSID.3.SSID"), "five");
    assert_eq!(world.device.value(SSID), "factory");

    // Nothing known: the table first, then what is in it.
    world.device = device();
    world.known = model::DataModel::new();
    world.device.calls.clear();
    world.want(parameters(vec![all]));
    let session = world.session();
    assert_eq!(world.device.calls, ["list Device.WiFi.SSID.", "get 2", "set 2", "get 2"]);
    assert_eq!(session.plan.blocked, []);
}

#[test]
fn a_higher_layer_goes_before_a_lower_whatever_their_patterns() {
    let of = |profile: &str, it: WantedParameter| WantedParameter {
        rule: Rule { profile: profile.into(), line: 1 },
        ..it
    };
    let wanted = Wanted {
        profiles: vec!["low".into(), "high".into()],
        parameters: vec![
            of("low", parameter(ENABLE, "0")),
            of("high", parameter("Device.WiFi.SSID.*.Enable", "1")),
        ],
        ..Wanted::default()
    };
    let mut world = World::new(device(), wanted);
    world.session();
    assert_eq!(world.device.value(ENABLE), "1");
}

#[test]
fn a_secret_waits_for_the_claim_and_goes_at_once_then() {
    let mut world = world(vec![secret(KEY, "correct horse"), parameter(SSID, "home")]);
    world.is_claimed = false;
    let session = world.session();
    assert_eq!(obstacle(&session.plan), (KEY, Obstacle::Unclaimed));
    assert_eq!(world.device.value(KEY), "12345678");
    assert_eq!(world.held.standing, Standing::Converged, "harmless");
    assert!(!world.call().is_due);
    world.is_claimed = true;
    assert!(world.call().is_due);
    assert_eq!(world.device.value(KEY), "correct horse");
    assert!(!world.call().is_due);
}

#[test]
fn a_password_that_reads_back_empty_is_set_once_for_each_wish() {
    let mut world = world(vec![secret(KEY, "correct horse")]);
    assert_eq!(world.plan().changes().next().unwrap().why, Why::Unreadable);
    world.session();
    assert_eq!(world.device.calls, ["set 1"], "and not read back");
    for _ in 0..48 {
        world.wait(SignedDuration::from_hours(1));
        world.call();
    }
    assert_eq!(world.device.calls, ["set 1", "get 1"], "read once in its time, and then believed");
    world.want(parameters(vec![secret(KEY, "battery staple")]));
    world.session();
    assert_eq!(world.device.value(KEY), "battery staple");
    let reset = device();
    world.reset(reset);
    world.session();
    assert_eq!(world.device.value(KEY), "battery staple", "after a factory reset again");
    assert_eq!(world.device.sets[KEY], 1);

    // One that tells stars tells nothing.
    world.device.at(KEY).is_hidden = false;
    world.device.at(KEY).value = "********".to_owned();
    world.known = world.device.discovered(world.now);
    assert!(world.plan().is_empty());
    // One that tells it is as any other.
    world.device.at(KEY).value = "other".to_owned();
    world.known = world.device.discovered(world.now);
    assert_eq!(world.plan().changes().next().unwrap().why, Why::Drifted);
}

#[test]
fn what_someone_changed_is_mended_or_reported() {
    for drift in [Drift::Mend, Drift::Report] {
        let mut world = world(vec![WantedParameter { drift, ..parameter(SSID, "home") }]);
        world.session();
        assert_eq!(world.drifted, [], "the first time it only differs");
        world.device.at(SSID).value = "mine".to_owned();
        world.wait(SignedDuration::from_hours(24));
        let calls = world.device.calls.len();
        let session = world.call();
        let [drifted] = world.drifted.as_slice() else { panic!("{:?}", world.drifted) };
        assert_eq!((&*drifted.path, drifted.why), (SSID, Why::Drifted));
        assert_eq!(world.held.standing, Standing::Converged);
        let calls = &world.device.calls[calls..];
        if drift == Drift::Mend {
            assert_eq!(calls, ["get 1", "set 1", "get 1"]);
            assert_eq!(world.device.value(SSID), "home");
        } else {
            assert_eq!(calls, ["get 1"]);
            assert_eq!(obstacle(&session.plan), (SSID, Obstacle::Reported));
            world.wait(SignedDuration::from_hours(24));
            world.call();
            assert_eq!(world.drifted.len(), 1, "not again");
            world.want(parameters(vec![WantedParameter { drift, ..parameter(SSID, "new") }]));
            world.session();
            assert_eq!(world.device.value(SSID), "new", "another wish is applied");
        }
    }
}

/// The owner's own network stays his, and no passphrase is sent again, when the business wants
/// something else elsewhere.
#[test]
fn an_unrelated_change_sends_itself_alone() {
    let reported = |ssid: &str| WantedParameter { drift: Drift::Report, ..parameter(SSID, ssid) };
    let wish = |ssid: &str, key: &str, ntp: &str| {
        parameters(vec![reported(ssid), secret(KEY, key), parameter(NTP, ntp)])
    };
    let mut world = World::new(device(), wish("home", "correct horse", "a.example"));
    world.session();
    let text = serde_json::to_string(&world.held).unwrap();
    assert!(!text.contains("correct horse") && !text.contains("home"), "{text}");
    world.device.at(SSID).value = "MyOwn".to_owned();
    world.wait(SignedDuration::from_hours(24));
    world.call();
    assert_eq!(world.drifted.len(), 1, "{:?}", world.drifted);

    let sets = world.device.sets.clone();
    world.want(wish("home", "correct horse", "b.example"));
    let session = world.session();
    assert_eq!(obstacle(&session.plan), (SSID, Obstacle::Reported));
    assert_eq!(world.device.value(SSID), "MyOwn");
    assert_eq!(world.device.value(NTP), "b.example");
    assert_eq!((world.device.sets[KEY], world.device.sets[SSID]), (sets[KEY], sets[SSID]));
    assert_eq!(world.device.sets[NTP], sets[NTP] + 1);
    assert_eq!(world.drifted.len(), 1, "told once");
    assert_eq!(world.held.standing, Standing::Converged);

    // Also when the first answer is lost: that one alone is in doubt.
    world.want(wish("home", "correct horse", "c.example"));
    world.device.losses = vec![Loss { call: world.device.calls.len() + 1, is_carried_out: false }];
    assert!(world.session().is_lost);
    world.call();
    assert_eq!(world.device.value(NTP), "c.example");
    assert_eq!((world.device.sets[KEY], world.device.sets[SSID]), (sets[KEY], sets[SSID]));

    // Also when it is read in that session that the passphrase is not told.
    world.want(wish("home", "battery staple", "c.example"));
    world.session();
    world.wait(SignedDuration::from_hours(24));
    world.want(wish("home", "battery staple", "d.example"));
    world.session();
    assert_eq!((world.device.sets[KEY], world.device.sets[SSID]), (sets[KEY] + 1, sets[SSID]));

    // What is wanted otherwise is applied, and a factory reset brings all of it.
    world.want(wish("new", "battery staple", "d.example"));
    world.session();
    assert_eq!((world.device.value(SSID), world.device.value(KEY)), ("new", "battery staple"));
    let reset = device();
    world.reset(reset);
    world.session();
    assert_eq!((world.device.value(SSID), world.device.value(KEY)), ("new", "battery staple"));
}

/// A rule that goes and comes again is a new one: in between anything may have been set.
#[test]
fn what_was_not_held_meanwhile_is_set_again() {
    let mut world = world(vec![secret(KEY, "correct horse"), parameter(NTP, "a.example")]);
    world.session();
    world.wait(SignedDuration::from_hours(24));
    world.call();
    assert_eq!(world.held.hashes.len(), 1);
    world.want(parameters(vec![parameter(NTP, "a.example")]));
    world.session();
    assert_eq!(world.held.hashes, []);
    world.want(parameters(vec![secret(KEY, "correct horse"), parameter(NTP, "a.example")]));
    world.session();
    assert_eq!(world.device.sets[KEY], 2);
}

/// The business does not know it for a while: what it said is not replaced by anything.
#[test]
fn without_values_what_they_made_is_left() {
    let all = parameters(vec![
        WantedParameter { drift: Drift::Report, ..parameter(SSID, "home") },
        secret(KEY, "correct horse"),
        parameter(NTP, "a.example"),
    ]);
    let without = |profile: &str| Wanted {
        profiles: vec![profile.into()],
        lacks_values: true,
        ..parameters(vec![parameter(NTP, "b.example")])
    };
    let mut world = World::new(device(), all.clone());
    world.session();
    world.device.at(SSID).value = "MyOwn".to_owned();
    world.wait(SignedDuration::from_hours(24));
    world.call();
    assert_eq!(world.drifted.len(), 1);
    let calls = world.device.calls.len();
    // Its equipment named a profile that is not among these.
    world.want(without("other"));
    for _ in 0..3 {
        world.session();
        assert!(world.plan().is_empty());
    }
    world.want(all);
    world.session();
    assert_eq!(world.device.calls.len(), calls, "{:?}", world.device.calls);
    assert_eq!((world.device.value(SSID), world.drifted.len()), ("MyOwn", 1));

    // What the same profiles say for every household holds on.
    world.want(without("test"));
    world.session();
    assert_eq!(world.device.value(NTP), "b.example");
    // A device that the business never knew is given it, too.
    let mut world = World::new(device(), without("other"));
    world.session();
    assert_eq!(world.device.value(NTP), "b.example");
    world.want(without("third"));
    world.wanted.parameters[0].value.0 = "c.example".into();
    world.session();
    assert_eq!(world.device.value(NTP), "c.example");
}

#[test]
fn a_value_that_is_not_kept_is_set_three_times_and_left_alone() {
    for habit in [Habit::Ignores, Habit::Rewrites] {
        let mut world = world(vec![parameter(SSID, "home"), parameter(NTP, "other.example")]);
        world.device.at(SSID).habit = habit;
        // A reading in the same session before it is set is no reason not to read it back.
        world.wait(SignedDuration::from_hours(48));
        world.session();
        assert_eq!(world.held.standing, Standing::Stuck);
        assert_eq!(
            &*world.held.cause,
            "Device.WiFi.SSID.1.SSID: set to what is wanted 3 times and reads back otherwise"
        );
        assert_eq!(world.device.sets[SSID], 3);
        assert_eq!(world.device.value(NTP), "other.example");
        for _ in 0..100 {
            world.wait(SignedDuration::from_hours(1));
            world.call();
        }
        assert_eq!(world.device.sets[SSID], 3, "left alone");
        // One that only took its time is as wanted once it reads so.
        let mut late = world.clone();
        late.device.at(SSID).value = "home".to_owned();
        late.wait(SignedDuration::from_hours(24));
        late.call();
        assert_eq!((late.held.standing, late.device.sets[SSID]), (Standing::Converged, 3));
        // An operator's order is another try.
        world.held.release();
        world.device.at(SSID).habit = Habit::Keeps;
        world.call();
        assert_eq!(world.held.standing, Standing::Converged);
    }
}

#[test]
fn a_closed_window_is_waited_for() {
    let window = Window::new(&["mon"], "02:00", "05:00", "UTC").unwrap();
    let mut world = world(vec![WantedParameter { window: Some(window), ..parameter(SSID, "x") }]);
    let session = world.session();
    assert_eq!(obstacle(&session.plan), (SSID, Obstacle::Window));
    assert_eq!(world.held.standing, Standing::Pending);
    let opens = session.plan.blocked[0].retry_at.unwrap();
    assert!(opens > world.now);
    assert!(world.held.due_at.unwrap() <= opens);
    world.now = opens;
    world.call();
    assert_eq!(world.device.value(SSID), "x");
    assert_eq!(world.drifted, [], "it never was as wanted");
}

#[test]
fn faults_of_the_profile_are_told() {
    let mut wanted = parameters(vec![parameter(SSID, "home")]);
    wanted.faults.push((pattern(NTP), rule(3), "no such value".into()));
    let mut world = World::new(device(), wanted);
    let session = world.session();
    assert_eq!(obstacle(&session.plan), (NTP, Obstacle::Fault));
    assert_eq!(world.held.standing, Standing::Partial);
}

#[test]
fn people_see_everything_but_secrets() {
    let mut world = world(vec![
        secret(KEY, "correct horse"),
        parameter(SSID, "home"),
        parameter("Device.No", "1"),
    ]);
    world.device.at(KEY).is_hidden = false;
    world.known = world.device.discovered(world.now);
    let plan = world.plan();
    let view = PlanView::from(&plan);
    let text = serde_json::to_string(&view).unwrap();
    assert!(text.contains(r#""path":"Device.WiFi.SSID.1.SSID","old":"factory","new":"home","type":"string","why":"differs""#), "{text}");
    for hidden in ["correct horse", "12345678"] {
        assert!(!text.contains(hidden) && !format!("{plan:?}").contains(hidden), "{text}");
    }
    assert!(!format!("{plan:?}").contains("home"), "nor does a plan print any value");
    assert_eq!(serde_json::from_str::<PlanView>(&text).unwrap(), view);
    assert_eq!(view.blocked[0].obstacle, Obstacle::Absent);
}
