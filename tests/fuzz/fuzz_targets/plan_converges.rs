//! Any wish on any device. The device and the gateway around it are those of the unit tests.

#![no_main]

#[path = "../../../provisioning/src/plan/tests/device.rs"]
#[allow(dead_code, reason = "the unit tests use the rest")]
mod device;
#[path = "../../../provisioning/src/plan/tests/world.rs"]
#[allow(dead_code, reason = "the unit tests use the rest")]
mod world;

use device::{Device, Habit, Loss, Parameter};
use jiff::SignedDuration;
use libfuzzer_sys::fuzz_target;
use model::DataModel;
// The modules above name these as their own crate's.
use provisioning::{
    Change, Circumstances, Drift, Held, Pattern, Plan, Presence, Rule, Step, StepOutcome,
    StepRefusal, ValueKind, Wanted, WantedObject, WantedParameter, WantedRefresh, Wish, decide,
};
use world::{World, object, parameter};

const TABLE: &str = "Device.T.";
const TYPES: [&str; 5] = ["string", "boolean", "unsignedInt", "int", "hexBinary"];
const CODES: [u32; 6] = [9001, 9002, 9003, 9005, 9007, 9008];
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Sessions an hour apart.
const SESSIONS: usize = 48;

/// Bytes that are used up; then zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn parameter(&mut self) -> Parameter {
        let mut it = Parameter::new(TYPES[self.next() % TYPES.len()], "1");
        let byte = self.next();
        it.is_writable = byte & 7 != 7;
        it.is_hidden = byte & 8 != 0;
        it.habit =
            [Habit::Keeps, Habit::Respells, Habit::Ignores, Habit::Rewrites][(byte >> 4) % 4];
        it.refuses = (byte & 0xc0 == 0xc0).then(|| CODES[self.next() % CODES.len()]);
        it
    }
}

fn path(number: usize) -> String {
    match number % 3 {
        0 => format!("Device.A.Password{}", number % 5),
        1 => format!("Device.A.P{}", number % 5),
        _ => format!("Device.B.{}.P", number % 4 + 1),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &mut Bytes(bytes);
    let mut device = Device { names_culprits: bytes.next() % 2 == 0, ..Device::default() };
    for number in 0..bytes.next() % 12 {
        device.parameters.insert(path(number), bytes.parameter());
    }
    device.table(TABLE, &[("Name", "string", ""), ("Port", "unsignedInt", "0")]);
    for _ in 0..bytes.next() % 4 {
        device.make(TABLE, &[("Name", NAMES[bytes.next() % 3])]);
    }
    if let Some(table) = device.tables.get_mut(TABLE) {
        table.template[1].1 = Parameter { is_writable: true, ..bytes.parameter() };
        table.template[1].1.xsd_type = "unsignedInt";
    }
    for _ in 0..bytes.next() % 4 {
        device.losses.push(Loss { call: bytes.next() % 24 + 1, is_carried_out: bytes.next() % 2 == 0 });
    }
    let mut wanted = Wanted { profiles: vec!["test".into()], ..Wanted::default() };
    for _ in 0..bytes.next() % 12 {
        let (number, value, flags) = (bytes.next(), bytes.next(), bytes.next());
        let it = parameter(&path(number), &(value % 3).to_string());
        let it = WantedParameter { is_secret: flags & 1 != 0, is_optional: flags & 2 != 0, ..it };
        if wanted.parameters.iter().all(|other| other.path != it.path) {
            wanted.parameters.push(it);
        }
    }
    for name in NAMES {
        let flags = bytes.next();
        if flags & 1 != 0 {
            let mut it = object(TABLE, &[("Name", name)], &[("Port", "7")]);
            if flags & 2 != 0 {
                it.presence = Presence::Absent;
            }
            wanted.objects.push(it);
        }
    }
    if bytes.next() % 3 == 0 {
        wanted.parameters.push(parameter("Device.B.*.P", "2"));
    }
    live(World::new(device, wanted), bytes.next() % 2 == 0);
});

fn live(mut world: World, is_whole: bool) {
    if !is_whole {
        world.known = DataModel::new();
    }
    let before = world.device.instances(TABLE).len();
    let present = world.wanted.objects.iter().filter(|it| it.presence == Presence::Present).count();
    for session in 0..SESSIONS {
        world.is_claimed = session > 2;
        let calls = world.device.calls.len();
        world.call();
        assert!(world.device.calls.len() - calls <= 80);
        let secrets = world.wanted.parameters.iter().filter(|it| it.is_secret);
        for it in secrets.filter(|_| !world.is_claimed) {
            assert!(!world.device.sets.contains_key(it.path.as_str()), "before the claim");
        }
        assert!(world.device.instances(TABLE).len() <= before + present, "made twice");
        world.wait(SignedDuration::from_hours(1));
    }
    let sets: usize = world.device.sets.values().sum();
    for _ in 0..SESSIONS {
        world.call();
        world.wait(SignedDuration::from_hours(1));
    }
    assert_eq!(world.device.sets.values().sum::<usize>(), sets, "it does not end");
}
