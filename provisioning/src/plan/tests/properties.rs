//! Any wish on any device: it ends, it ends right, and nothing happens twice.

use super::device::{Device, Habit, Loss, Parameter};
use super::world::{World, object, parameter};
use crate::{Presence, Standing, Wanted, WantedObject, WantedParameter};
use jiff::SignedDuration;
use model::DataModel;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use std::collections::BTreeMap;

const TABLE: &str = "Device.T.";
const NAMES: [&str; 3] = ["voip", "data", "tv"];
/// Parameters that a device may have, and some that it may not.
const PATHS: usize = 14;
/// Sessions an hour apart: three days, within which every pause of what may pass is over.
const SESSIONS: usize = 72;

/// A device, a wish, and what goes wrong.
#[derive(Clone, Debug)]
struct Scenario {
    device: Device,
    wanted: Wanted,
    is_whole: bool,
    /// In which session the equipment is claimed.
    claimed_in: usize,
}

fn path(number: usize) -> String {
    match number % 4 {
        0 => format!("Device.A.Password{number}"),
        1 => format!("Device.A.P{number}"),
        _ => format!("Device.B.{}.P{number}", number % 3 + 1),
    }
}

fn text(xsd_type: &str, seed: u8) -> String {
    match xsd_type {
        "boolean" => (seed % 2).to_string(),
        "unsignedInt" => seed.to_string(),
        "int" => (i32::from(seed) - 100).to_string(),
        "hexBinary" => format!("{seed:02X}AB"),
        _ => format!("v{seed}"),
    }
}

fn a_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["string", "boolean", "unsignedInt", "int", "hexBinary"])
}

fn a_habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        6 => Just(Habit::Keeps),
        3 => Just(Habit::Respells),
        1 => Just(Habit::Ignores),
        1 => Just(Habit::Rewrites),
    ]
}

fn a_refusal() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        8 => Just(None),
        1 => prop::sample::select(vec![9001_u32, 9002, 9003, 9004, 9005, 9006, 9007, 9008, 9800])
            .prop_map(Some),
    ]
}

fn a_parameter() -> impl Strategy<Value = Parameter> {
    let writable = prop::bool::weighted(0.9);
    (a_type(), any::<u8>(), writable, any::<bool>(), a_habit(), a_refusal()).prop_map(
        |(xsd_type, seed, is_writable, is_hidden, habit, refuses)| Parameter {
            value: text(xsd_type, seed),
            xsd_type,
            is_writable,
            is_hidden,
            habit,
            refuses,
        },
    )
}

fn a_device() -> impl Strategy<Value = Device> {
    let parameters = prop::collection::vec(prop::option::weighted(0.85, a_parameter()), PATHS);
    let instances = prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..4);
    let losses = prop::collection::vec((1_usize..30, any::<bool>()), 0..4);
    let table = (a_refusal(), a_habit(), a_refusal());
    (parameters, instances, losses, any::<bool>(), table).prop_map(
        |(parameters, instances, losses, names_culprits, (refuses, habit, key_refuses))| {
            let mut device = Device { names_culprits, ..Device::default() };
            for (number, mut it) in
                parameters.into_iter().enumerate().filter_map(|(n, it)| Some((n, it?)))
            {
                let path = path(number);
                it.is_hidden &= path.contains("Password");
                device.parameters.insert(path, it);
            }
            device.table(
                TABLE,
                &[
                    ("Name", "string", ""),
                    ("Enable", "boolean", "0"),
                    ("Port", "unsignedInt", "0"),
                    ("Password", "string", ""),
                ],
            );
            for name in instances {
                device.make(TABLE, &[("Name", name)]);
            }
            let table = device.tables.get_mut(TABLE).unwrap();
            table.refuses = refuses;
            for (name, it) in &mut table.template {
                it.is_hidden = *name == "Password";
                it.habit = if *name == "Port" { habit } else { Habit::Keeps };
                it.refuses = key_refuses.filter(|_| *name == "Name" || *name == "Port");
            }
            let loss = |(call, is_carried_out)| Loss { call, is_carried_out };
            device.losses = losses.into_iter().map(loss).collect();
            device
        },
    )
}

fn a_wish() -> impl Strategy<Value = Wanted> {
    let one = (0..PATHS, any::<u8>(), any::<bool>(), any::<bool>());
    let parameters = prop::collection::vec(one, 0..PATHS);
    let everywhere = prop::option::of(any::<bool>());
    let one = (0..NAMES.len(), prop::bool::weighted(0.7), any::<u8>());
    (parameters, everywhere, prop::collection::vec(one, 0..3)).prop_map(
        |(parameters, everywhere, objects)| {
            let mut all: BTreeMap<usize, WantedParameter> = BTreeMap::new();
            for (number, seed, is_secret, is_optional) in parameters {
                // Not knowing the type, some are none of it.
                let value = text(["boolean", "unsignedInt", "string"][usize::from(seed % 3)], seed);
                let it =
                    WantedParameter { is_secret, is_optional, ..parameter(&path(number), &value) };
                all.insert(number, it);
            }
            let everywhere =
                everywhere.map(|it| parameter("Device.T.*.Enable", if it { "1" } else { "0" }));
            let mut named: BTreeMap<usize, WantedObject> = BTreeMap::new();
            for (name, is_present, seed) in objects {
                let presence = if is_present { Presence::Present } else { Presence::Absent };
                let mut it =
                    object(TABLE, &[("Name", NAMES[name])], &[("Port", &seed.to_string())]);
                it.parameters.push(WantedParameter {
                    is_secret: true,
                    ..parameter("Password", &format!("p{seed}"))
                });
                named.insert(name, WantedObject { presence, ..it });
            }
            Wanted {
                profiles: vec!["test".into()],
                parameters: everywhere.into_iter().chain(all.into_values()).collect(),
                objects: named.into_values().collect(),
                ..Wanted::default()
            }
        },
    )
}

fn a_scenario() -> impl Strategy<Value = Scenario> {
    (a_device(), a_wish(), prop::bool::weighted(0.7), 0_usize..4).prop_map(
        |(device, wanted, is_whole, claimed_in)| Scenario { device, wanted, is_whole, claimed_in },
    )
}

/// The world that ends, and how often in it something was told after all was done.
fn live(scenario: &Scenario) -> World {
    let mut world = World::new(scenario.device.clone(), scenario.wanted.clone());
    if !scenario.is_whole {
        world.known = DataModel::new();
    }
    let before = count_by_name(&world.device);
    for session in 0..SESSIONS {
        world.is_claimed = session >= scenario.claimed_in;
        let calls = world.device.calls.len();
        world.call();
        assert!(world.device.calls.len() - calls <= 60, "{:?}", &world.device.calls[calls..]);
        for it in secrets(&world) {
            assert!(world.is_claimed || !world.device.sets.contains_key(&it), "{it} unclaimed");
        }
        for (name, count) in count_by_name(&world.device) {
            let was = before.get(&name).copied().unwrap_or(0);
            let is_wanted = world.wanted.objects.iter().any(|it| **it.keys[0].1.expose() == *name);
            assert!(count <= was.max(1) || !is_wanted, "{count} objects {name}");
        }
        let (now, then) = (world.device.instances(TABLE).len(), before.values().sum::<usize>());
        let wanted = world.wanted.objects.iter().filter(|it| it.presence == Presence::Present);
        assert!(now <= then + wanted.count(), "{now} objects, {then} before");
        world.wait(SignedDuration::from_hours(1));
    }
    world
}

/// Paths that may be told a secret only after the claim.
fn secrets(world: &World) -> Vec<String> {
    let own = world.wanted.parameters.iter().filter(|it| it.is_secret);
    let own = own.map(|it| it.path.as_str().to_owned());
    let in_table = world.device.parameters.keys();
    own.chain(in_table.filter(|it| it.starts_with(TABLE) && it.ends_with(".Password")).cloned())
        .collect()
}

fn count_by_name(device: &Device) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for instance in device.instances(TABLE) {
        if !instance["Name"].is_empty() {
            *counts.entry(instance["Name"].to_owned()).or_default() += 1;
        }
    }
    counts
}

/// What a parameter of the device should be in the end: what the last rule says that it takes.
fn is_as_wanted(it: &Parameter, wanted: &str) -> bool {
    let is_good = match it.xsd_type {
        "boolean" => matches!(wanted, "0" | "1"),
        "unsignedInt" => wanted.parse::<u32>().is_ok(),
        "int" => wanted.parse::<i32>().is_ok(),
        "hexBinary" => {
            wanted.len().is_multiple_of(2) && wanted.bytes().all(|it| it.is_ascii_hexdigit())
        }
        _ => true,
    };
    let may_differ = !it.is_writable
        || it.refuses.is_some()
        || !is_good
        || matches!(it.habit, Habit::Ignores | Habit::Rewrites);
    may_differ || super::super::value::is_same(it.xsd_type, &it.value, wanted)
}

/// Whether all that the device tells is as wanted, as of one that converged it should be.
fn is_true(world: &World) -> bool {
    let is_same = |it: &Parameter, wanted: &WantedParameter| {
        let wanted = wanted.value.expose();
        it.is_hidden || super::super::value::is_same(it.xsd_type, &it.value, wanted)
    };
    let parameters = &world.device.parameters;
    let are_parameters = world.wanted.parameters.iter().all(|wanted| {
        let mut those = parameters.iter().filter(|(path, _)| wanted.path.matches(path)).peekable();
        let is_there = wanted.is_optional || !wanted.path.is_literal() || those.peek().is_some();
        is_there && those.all(|(_, it)| is_same(it, wanted))
    });
    are_parameters
        && world.wanted.objects.iter().all(|object| {
            let name = &**object.keys[0].1.expose();
            let is_it =
                |path: &&String| path.ends_with(".Name") && parameters[*path].value == *name;
            let first = parameters.keys().filter(|it| it.starts_with(TABLE)).find(is_it);
            match (object.presence, first) {
                (Presence::Absent, first) => first.is_none(),
                (Presence::Present, None) => false,
                (Presence::Present, Some(path)) => {
                    let place = path.trim_end_matches("Name");
                    object
                        .parameters
                        .iter()
                        .all(|it| is_same(&parameters[&format!("{place}{}", it.path)], it))
                }
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 400,
        ..ProptestConfig::default()
    })]

    /// Whatever a device refuses, rewrites or loses: in the end it is as wanted where it takes it,
    /// and nothing is asked of it any more but what it refused.
    #[test]
    fn every_wish_ends(scenario in a_scenario()) {
        let mut world = live(&scenario);
        for wanted in &world.wanted.parameters {
            if let Some(it) = world.device.parameters.get(wanted.path.as_str()) {
                prop_assert!(
                    is_as_wanted(it, wanted.value.expose()),
                    "{}: {} rather than {}; {:?}\n{:?}",
                    wanted.path, it.value, wanted.value.expose(), world.held, world.plan()
                );
            }
        }
        let table_refuses = world.device.tables[TABLE].refuses.is_some();
        let refuses = world.device.tables[TABLE].template.iter().any(|(_, it)| it.refuses.is_some());
        let counts = count_by_name(&world.device);
        for object in &world.wanted.objects {
            let count = counts.get(object.keys[0].1.expose().as_ref()).copied().unwrap_or(0);
            match object.presence {
                Presence::Absent => prop_assert_eq!(count, 0, "{:?}", world.held),
                Presence::Present if table_refuses || refuses => {}
                Presence::Present => {
                    prop_assert!(count >= 1, "{:?}\n{:?}", world.held, world.plan());
                }
            }
        }
        if world.held.standing == Standing::Converged {
            prop_assert!(is_true(&world), "{:?}", world.held);
        }
        // Hereafter only what was refused is tried, and more and more seldom.
        let calls = world.device.calls.len();
        let sets = world.device.sets.values().sum::<usize>();
        for _ in 0..24 {
            world.call();
            world.wait(SignedDuration::from_hours(1));
        }
        prop_assert_eq!(world.device.sets.values().sum::<usize>(), sets, "all is set");
        prop_assert!(world.device.calls.len() - calls < 200, "{:?}", &world.device.calls[calls..]);
    }

    /// What is said of a device after its first session is so.
    #[test]
    fn converged_means_as_wanted(mut scenario in a_scenario()) {
        scenario.device.losses.clear();
        let mut world = World::new(scenario.device, scenario.wanted);
        world.wait(SignedDuration::from_hours(48));
        world.session();
        if world.held.standing == Standing::Converged {
            prop_assert!(is_true(&world), "{:?}\n{:?}", world.held, world.plan());
        } else {
            prop_assert!(!world.held.cause.is_empty());
        }
    }

    /// Nothing is set twice: but for a call that was lost, and what the device did not keep.
    #[test]
    fn nothing_is_set_twice(scenario in a_scenario()) {
        let world = live(&scenario);
        for (path, times) in &world.device.sets {
            let Some(it) = world.device.parameters.get(path) else { continue };
            let is_fickle = matches!(it.habit, Habit::Ignores | Habit::Rewrites) && !it.is_hidden;
            let max = if is_fickle { 3 } else { 1 };
            let lost = scenario.device.losses.len();
            prop_assert!(*times <= max + lost, "{path} {times} times: {:?}", world.device.calls);
        }
    }

    /// A device that takes what it is told has it after one session, and a second asks nothing.
    #[test]
    fn an_honest_device_takes_one_session(mut scenario in a_scenario()) {
        scenario.claimed_in = 0;
        scenario.is_whole = true;
        scenario.device.losses.clear();
        for it in scenario.device.parameters.values_mut() {
            it.refuses = None;
            it.is_writable = true;
            it.habit = if it.habit == Habit::Respells { Habit::Respells } else { Habit::Keeps };
        }
        let table = scenario.device.tables.get_mut(TABLE).unwrap();
        table.refuses = None;
        for (_, it) in &mut table.template {
            it.refuses = None;
            it.habit = Habit::Keeps;
        }
        let mut world = World::new(scenario.device, scenario.wanted);
        let session = world.session();
        prop_assert!(session.plan.is_empty(), "{:?}", session.plan);
        prop_assert!(world.plan().is_empty());
        let second = world.call();
        prop_assert!(!second.is_due, "{:?}", world.held);
        let third = world.session();
        prop_assert_eq!(third.calls, 0, "{:?}", world.device.calls);
        for times in world.device.sets.values() {
            prop_assert_eq!(*times, 1);
        }
    }

    /// Of two wishes that an honest device is given one after the other only what differs is told.
    #[test]
    fn only_what_changed_is_told(mut scenario in a_scenario(), which in any::<prop::sample::Index>()) {
        scenario.claimed_in = 0;
        scenario.is_whole = true;
        scenario.device.losses.clear();
        for it in scenario.device.parameters.values_mut() {
            it.refuses = None;
            it.is_writable = true;
            it.habit = Habit::Keeps;
        }
        scenario.wanted.objects.clear();
        scenario.wanted.parameters.retain(|it| it.path.is_literal());
        let mut world = World::new(scenario.device, scenario.wanted);
        world.session();
        // By now it is known of what it does not tell that it does not.
        world.wait(SignedDuration::from_hours(24));
        world.call();
        let before = world.device.sets.clone();
        let mut wanted = world.wanted.clone();
        let mut changed = None;
        if !wanted.parameters.is_empty() {
            let it = which.get(&wanted.parameters).path.clone();
            let at = wanted.parameters.iter().position(|one| one.path == it).unwrap();
            wanted.parameters[at].value.0 = "1".into();
            changed = Some(it.as_str().to_owned());
        }
        world.want(wanted);
        world.session();
        for (path, times) in &world.device.sets {
            let is_changed = changed.as_deref() == Some(path);
            prop_assert!(
                before.get(path) == Some(times) || is_changed,
                "{path}: {:?}", world.device.calls
            );
        }
        prop_assert!(world.plan().is_empty());
    }

    /// A factory reset brings all of it back.
    #[test]
    fn a_reset_brings_it_back(scenario in a_scenario()) {
        let mut world = live(&scenario);
        world.device.losses.clear();
        world.reset(scenario.device);
        world.device.losses.clear();
        for _ in 0..SESSIONS {
            world.call();
            world.wait(SignedDuration::from_hours(1));
        }
        for wanted in &world.wanted.parameters {
            if let Some(it) = world.device.parameters.get(wanted.path.as_str()) {
                prop_assert!(is_as_wanted(it, wanted.value.expose()), "{}: {:?}", wanted.path, it);
            }
        }
    }
}

#[test]
fn the_scenarios_hold_what_they_are_to_try() {
    // A generator that made only easy devices would prove nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut refusals, mut losses, mut adds, mut hidden) = (0, 0, 0, 0);
    for _ in 0..200 {
        let scenario = a_scenario().new_tree(&mut runner).unwrap().current();
        let world = live(&scenario);
        refusals += usize::from(!world.held.refused.is_empty());
        losses += usize::from(
            scenario.device.losses.iter().any(|it| it.call <= world.device.calls.len()),
        );
        adds += usize::from(world.device.calls.iter().any(|it| it.starts_with("add")));
        hidden += usize::from(
            world
                .device
                .sets
                .keys()
                .any(|it| world.device.parameters.get(it).is_some_and(|it| it.is_hidden)),
        );
    }
    assert!(
        refusals > 20 && losses > 30 && adds > 30 && hidden > 30,
        "{refusals} {losses} {adds} {hidden}"
    );
}
