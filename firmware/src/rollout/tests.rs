use super::*;
use crate::{ImageName, PAUSE_MAX};
use jiff::SignedDuration;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const POLICY: Policy = Policy {
    failures_max: 2,
    download_time: Duration::from_secs(3_600),
    apply_grace: Duration::from_secs(600),
};
const DAY_S: i64 = 86_400;

/// A counter that goes round.
struct Counter(u64);

impl Random for Counter {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn device(number: usize) -> DeviceId {
    DeviceId::parse(&format!("cwmp:00D09E-{number}")).unwrap()
}

fn order() -> Order {
    Order {
        image: ImageName::new("fw").unwrap(),
        sha256: "00".into(),
        version: "2".into(),
        target: Some(Target { model: Some("X".into()), ..Target::default() }),
        waves: vec![1, 10, 50, 100],
        success_threshold: 90,
        brake: Brake::Wave(10),
        wave_wait_s: 3_600,
        tries_max: 2,
        lives_s: Some(90 * 86_400),
        force: false,
        dynamic: false,
    }
}

fn rollout(devices: usize, order: Order) -> Rollout {
    Rollout::new("r1", order, (0..devices).map(device), [], at(0))
}

/// What the daemon does every second.
fn tick(rollout: &mut Rollout, max: usize, now: Timestamp, random: &mut dyn Random) {
    for device in rollout.late(max, now) {
        assert!(rollout.expire(&device, POLICY, now, random));
    }
    rollout.review(now);
}

fn of_wave(rollout: &Rollout, wave: u8) -> Vec<DeviceId> {
    let members = rollout.attempts().filter(|(_, it, _)| *it == wave);
    members.map(|(device, ..)| device.clone()).collect()
}

fn says(version: &str) -> Report<'_> {
    Report { version, is_booting: true }
}

fn confirm(rollout: &mut Rollout, device: &DeviceId, now: Timestamp) {
    assert!(rollout.offered(device, Some("1"), POLICY, now).is_some(), "{device}");
    assert!(rollout.fetching(device, now));
    assert!(rollout.applied(device, POLICY, now));
    assert!(rollout.reported(device, says("2"), POLICY, now, &mut Counter(1)));
}

fn fail(rollout: &mut Rollout, device: &DeviceId, now: Timestamp) {
    assert!(rollout.offered(device, Some("1"), POLICY, now).is_some(), "{device}");
    assert!(rollout.failed(device, "9010", POLICY, now, &mut Counter(1)));
}

#[test]
fn waves_are_by_hash_and_exact() {
    let rollout = rollout(1_000, order());
    let sizes: Vec<_> = (1..=4).map(|wave| of_wave(&rollout, wave).len()).collect();
    assert_eq!(sizes, [10, 90, 400, 500]);
    let first = of_wave(&rollout, 1);
    let neighbours = first.iter().filter(|it| it.as_str().len() < "cwmp:00D09E-100".len()).count();
    assert!(neighbours < 5, "not those that were made first: {first:?}");
    let other = Rollout::new("r2", order(), (0..1_000).map(device), [], at(0));
    assert_ne!(of_wave(&other, 1), first, "not always the same ones");
    let again = Rollout::new("r1", order(), (0..1_000).rev().map(device), [], at(0));
    let sorted = |mut it: Vec<DeviceId>| {
        it.sort_unstable();
        it
    };
    assert_eq!(sorted(of_wave(&again, 1)), sorted(first));
    for (devices, sizes) in [(1, [1, 0, 0, 0]), (3, [1, 0, 1, 1]), (0, [0, 0, 0, 0])] {
        let small = tests::rollout(devices, order());
        let found: Vec<_> = (1..=4).map(|wave| of_wave(&small, wave).len()).collect();
        assert_eq!(found, sizes, "{devices}");
    }
    assert_eq!(tests::rollout(0, order()).state(), RolloutState::Done);
}

#[test]
fn a_wave_begins_when_enough_of_the_one_before_is_confirmed() {
    let mut rollout = rollout(1_000, order());
    let (first, second) = (of_wave(&rollout, 1), of_wave(&rollout, 2));
    assert!(!rollout.may_offer(&second[0], at(0)), "its turn has not come");
    assert_eq!(rollout.due(100, at(0), &mut Counter(1)).len(), 10);
    for device in &first[..8] {
        confirm(&mut rollout, device, at(1));
    }
    assert_eq!(rollout.progress().wave, 1);
    confirm(&mut rollout, &first[8], at(2));
    assert_eq!((rollout.progress().wave, rollout.progress().wave_since), (2, at(2)));
    assert!(rollout.may_offer(&second[0], at(2)));
    assert!(rollout.may_offer(&first[9], at(2)), "who did not come has its turn all the same");
    assert_eq!(rollout.due(1_000, at(2), &mut Counter(1)).len(), 90);
}

#[test]
fn devices_that_do_not_come_hold_nobody_up_for_long() {
    let mut rollout = rollout(1_000, order());
    let first = of_wave(&rollout, 1);
    tick(&mut rollout, 100, at(4_000), &mut Counter(1));
    assert_eq!(rollout.progress().wave, 1, "nobody has shown that it goes well");
    confirm(&mut rollout, &first[0], at(4_001));
    assert_eq!(rollout.progress().wave, 2);
    assert!(rollout.may_offer(&first[1], at(80 * DAY_S)), "as long as it lives");
    tick(&mut rollout, 100, at(90 * DAY_S), &mut Counter(1));
    assert_eq!(rollout.state(), RolloutState::Done);
    assert_eq!(rollout.total().of(Stage::Waiting), 999);
    assert!(!rollout.may_offer(&first[1], at(90 * DAY_S)));
}

#[test]
fn too_many_failures_pause_and_a_resume_counts_new_ones() {
    let mut rollout = rollout(1_000, order());
    for device in of_wave(&rollout, 1) {
        confirm(&mut rollout, &device, at(1));
    }
    let second = of_wave(&rollout, 2);
    for device in &second[..8] {
        fail(&mut rollout, device, at(2));
    }
    assert_eq!(rollout.state(), RolloutState::Running, "8 of 90 are below a tenth");
    fail(&mut rollout, &second[8], at(3));
    assert_eq!(rollout.state(), RolloutState::Paused);
    let reason = rollout.progress().reason.clone().unwrap();
    assert_eq!(&*reason, "9 of 90 devices of wave 2 failed: 10 % or more");
    assert!(!rollout.may_offer(&second[9], at(4)));
    assert!(rollout.due(10, at(4), &mut Counter(1)).is_empty());
    rollout.resume(at(5)).unwrap();
    assert_eq!(rollout.resume(at(5)), Err(OrderRefused::NotPaused));
    assert_eq!(rollout.total().of(Stage::Failed), 9, "totals go on");
    for device in &second[9..17] {
        fail(&mut rollout, device, at(6));
    }
    assert_eq!(rollout.state(), RolloutState::Running, "8 new ones");
    fail(&mut rollout, &second[17], at(7));
    assert_eq!(rollout.state(), RolloutState::Paused);
    assert_eq!(rollout.tallies()[2].new_failures(), 9);
}

#[test]
fn a_failure_counts_until_the_device_is_confirmed() {
    let mut rollout = rollout(10, Order { waves: vec![100], brake: Brake::Wave(20), ..order() });
    let all = of_wave(&rollout, 1);
    fail(&mut rollout, &all[0], at(1));
    assert!(!rollout.may_offer(&all[0], at(2)), "its pause");
    let later = at(1_000);
    assert!(rollout.offered(&all[0], Some("1"), POLICY, later).is_some());
    assert_eq!(rollout.total().new_failures(), 1, "being tried again is no success");
    assert!(rollout.reported(&all[0], says("2"), POLICY, later, &mut Counter(1)));
    assert_eq!(rollout.total().new_failures(), 0);
    fail(&mut rollout, &all[1], later);
    assert_eq!(rollout.state(), RolloutState::Running);
    fail(&mut rollout, &all[2], later);
    assert_eq!(rollout.state(), RolloutState::Paused);
}

#[test]
fn after_an_abort_nothing_begins_and_what_is_under_way_is_heard_out() {
    let mut rollout = rollout(10, Order { waves: vec![50, 100], ..order() });
    let first = of_wave(&rollout, 1);
    rollout.offered(&first[0], Some("1"), POLICY, at(1)).unwrap();
    rollout.fetching(&first[0], at(1));
    rollout.abort("by op").unwrap();
    assert_eq!(rollout.abort("by op"), Err(OrderRefused::AtItsEnd));
    assert_eq!(rollout.resume(at(2)), Err(OrderRefused::AtItsEnd));
    assert_eq!(rollout.offered(&first[1], Some("1"), POLICY, at(2)), None);
    assert!(!rollout.is_over());
    rollout.applied(&first[0], POLICY, at(3));
    rollout.reported(&first[0], says("2"), POLICY, at(4), &mut Counter(1));
    assert_eq!(rollout.total().of(Stage::Confirmed), 1);
    assert!(rollout.is_over());
    assert_eq!(rollout.state(), RolloutState::Aborted);
}

#[test]
fn the_next_wave_may_be_begun_by_hand() {
    let mut rollout = rollout(10, Order { waves: vec![50, 100], ..order() });
    let second = of_wave(&rollout, 2);
    rollout.next(at(1)).unwrap();
    assert!(rollout.may_offer(&second[0], at(1)));
    assert_eq!(rollout.next(at(1)), Err(OrderRefused::LastWave));
    for device in &second {
        confirm(&mut rollout, device, at(1));
    }
    assert_eq!(rollout.state(), RolloutState::Running, "the first five are waited for");
    rollout.pause("by op").unwrap();
    assert_eq!(rollout.next(at(1)), Err(OrderRefused::NotRunning));
}

#[test]
fn later_devices_join_where_that_is_wanted() {
    let mut dynamic = rollout(1, Order { dynamic: true, ..order() });
    confirm(&mut dynamic, &device(0), at(1));
    assert_eq!((dynamic.state(), dynamic.progress().wave), (RolloutState::Running, 4));
    assert!(dynamic.join(&device(7), None, at(2)));
    assert!(!dynamic.join(&device(7), None, at(2)), "once");
    assert!(dynamic.may_offer(&device(7), at(2)));
    assert!(dynamic.join(&device(8), Some("wrong model"), at(2)));
    assert!(!dynamic.may_offer(&device(8), at(2)));
    assert!(dynamic.reconsider(&device(8), at(3)), "it is refused no more");
    assert!(dynamic.reconsider(&device(0), at(3)), "it ran the image, and does no more");
    let waves: std::collections::BTreeSet<_> = (100..400)
        .map(|number| {
            dynamic.join(&device(number), None, at(3));
            dynamic.attempt(&device(number)).unwrap().0
        })
        .collect();
    assert!(waves.len() >= 3, "they are spread: {waves:?}");
}

#[test]
fn one_that_stands_is_stopped_by_count() {
    let brake = Brake::Count { failures_min: 3, failures_share: 50 };
    let standing =
        Order { waves: vec![100], brake, lives_s: None, dynamic: true, target: None, ..order() };
    let mut rollout = rollout(10, standing);
    let all = of_wave(&rollout, 1);
    for device in &all[..2] {
        fail(&mut rollout, device, at(1));
    }
    for device in &all[2..5] {
        confirm(&mut rollout, device, at(2));
    }
    fail(&mut rollout, &all[5], at(3));
    assert_eq!(rollout.state(), RolloutState::Paused, "3 of 6");
    rollout.resume(at(4)).unwrap();
    for device in &all[6..] {
        confirm(&mut rollout, device, at(5));
    }
    assert_eq!(rollout.state(), RolloutState::Running, "it stands until it is taken away");
}

/// What a device does with what it is given.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Good,
    Wrong,
    Refuses,
    Silent,
    Dead,
}

#[derive(Clone, Debug)]
enum Happens {
    Calls(usize),
    Hours(u8),
    Wakes,
    Pause,
    Resume,
    Next,
    Crash,
    Joins(usize),
    Abort,
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let one = prop_oneof![
        12 => (0_usize..24).prop_map(Happens::Calls),
        3 => (0_u8..30).prop_map(Happens::Hours),
        2 => Just(Happens::Wakes),
        1 => Just(Happens::Pause),
        2 => Just(Happens::Resume),
        1 => Just(Happens::Next),
        2 => Just(Happens::Crash),
        1 => (20_usize..24).prop_map(Happens::Joins),
        1 => Just(Happens::Abort).boxed(),
    ];
    prop::collection::vec(one, 0..200)
}

/// The world around a rollout: what devices run, and what was kept on disk.
struct World {
    rollout: Rollout,
    now: Timestamp,
    runs: BTreeMap<DeviceId, String>,
    /// Downloads that devices were told of and have not ended.
    under_way: BTreeMap<DeviceId, u16>,
    offers: usize,
    chance: Counter,
}

impl World {
    fn calls(&mut self, device: &DeviceId, behaviour: Behaviour) {
        if matches!(behaviour, Behaviour::Dead) {
            return;
        }
        let now = self.now;
        let runs = self.runs.entry(device.clone()).or_insert_with(|| "1".into()).clone();
        self.rollout.reported(device, says(&runs), POLICY, now, &mut self.chance);
        if !self.rollout.may_offer(device, now) {
            return;
        }
        assert_eq!(self.rollout.state(), RolloutState::Running);
        let (wave, before) = self.rollout.attempt(device).unwrap();
        assert!(wave <= self.rollout.progress().wave);
        let tries = before.tries;
        // What is under way here was given up by the clock, or has ended.
        self.under_way.remove(device);
        let number = self.rollout.offered(device, Some(&runs), POLICY, now).unwrap();
        assert_eq!(number, tries + 1, "each try has a name of its own");
        assert!(self.rollout.offered(device, Some(&runs), POLICY, now).is_none());
        self.offers += 1;
        self.under_way.insert(device.clone(), number);
        self.rollout.fetching(device, now);
        match behaviour {
            Behaviour::Refuses => {
                self.rollout.failed(device, "9016", POLICY, now, &mut self.chance);
            }
            Behaviour::Good | Behaviour::Wrong => {
                self.rollout.applied(device, POLICY, now);
                let version = if matches!(behaviour, Behaviour::Good) { "2" } else { "1.5" };
                self.runs.insert(device.clone(), version.into());
            }
            Behaviour::Silent | Behaviour::Dead => {}
        }
    }

    /// The process dies; the next one knows what was kept, and nothing else.
    fn crash(&mut self) {
        let kept: Vec<_> = self
            .rollout
            .attempts()
            .map(|(device, wave, it)| (device.clone(), wave, it.clone()))
            .collect();
        let before = self.rollout.clone();
        let (order, progress) = (before.order().clone(), before.progress().clone());
        self.rollout = Rollout::restore("r1", order, progress, kept, self.now);
        assert_eq!(self.rollout.tallies(), before.tallies(), "the counts come from the devices");
    }

    fn check(&self, devices: usize) {
        let mut counted = vec![Tally::default(); self.rollout.tallies().len()];
        for (_, wave, attempt) in self.rollout.attempts() {
            counted[usize::from(wave)].count(attempt, self.rollout.is_new_failure(attempt), true);
        }
        assert_eq!(counted, self.rollout.tallies());
        assert!(self.rollout.total().total() as usize >= devices, "nobody is lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever devices and operators do, and wherever the process dies: one try at a time for each
    /// device, none after an abort, counts that add up; and once devices behave it comes to its end.
    #[test]
    fn it_holds_in_every_history(
        behaviours in prop::collection::vec(
            prop_oneof![
                6 => Just(Behaviour::Good),
                1 => Just(Behaviour::Wrong),
                1 => Just(Behaviour::Refuses),
                1 => Just(Behaviour::Silent),
                1 => Just(Behaviour::Dead),
            ],
            24,
        ),
        happenings in happenings(),
        percent in 1_u8..=100,
        dynamic in any::<bool>(),
    ) {
        let order = Order { brake: Brake::Wave(percent), dynamic, ..order() };
        let mut world = World {
            rollout: rollout(20, order),
            now: at(0),
            runs: BTreeMap::new(),
            under_way: BTreeMap::new(),
            offers: 0,
            chance: Counter(u64::from(percent)),
        };
        let mut aborted_at = None;
        for happens in happenings {
            match happens {
                Happens::Calls(number) => world.calls(&device(number), behaviours[number]),
                Happens::Hours(hours) => {
                    world.now += SignedDuration::from_hours(i64::from(hours));
                    tick(&mut world.rollout, 3, world.now, &mut world.chance);
                }
                Happens::Wakes => {
                    let due = world.rollout.due(5, world.now, &mut world.chance);
                    prop_assert!(due.len() <= 5);
                    for device in &due {
                        prop_assert!(world.rollout.may_offer(device, world.now));
                        let due_at = world.rollout.attempt(device).unwrap().1.due_at.unwrap();
                        let pause = due_at.duration_since(world.now);
                        let most = SignedDuration::try_from(PAUSE_MAX * 5 / 4).unwrap();
                        prop_assert!(pause.as_secs() >= 450 && pause <= most);
                    }
                }
                Happens::Pause => {
                    let _ = world.rollout.pause("by op");
                }
                Happens::Resume => {
                    let _ = world.rollout.resume(world.now);
                }
                Happens::Next => {
                    let _ = world.rollout.next(world.now);
                }
                Happens::Crash => world.crash(),
                Happens::Joins(number) => {
                    world.rollout.join(&device(number), None, world.now);
                }
                Happens::Abort => {
                    if world.rollout.abort("by op").is_ok() {
                        aborted_at = Some(world.offers);
                    }
                }
            }
            world.check(20);
        }
        if let Some(offers) = aborted_at {
            prop_assert_eq!(world.offers, offers, "nothing begins after an abort");
            prop_assert_eq!(world.rollout.state(), RolloutState::Aborted);
        }
        // From now on all devices call every hour and an operator resumes whenever it stops.
        for _ in 0..(90 * 24) {
            if world.rollout.is_over() {
                break;
            }
            let _ = world.rollout.resume(world.now);
            world.now += SignedDuration::from_hours(1);
            tick(&mut world.rollout, usize::MAX, world.now, &mut world.chance);
            for (number, behaviour) in behaviours.iter().enumerate() {
                world.calls(&device(number), *behaviour);
            }
        }
        world.check(20);
        prop_assert!(!world.rollout.state().is_open(), "{:?}", world.rollout.progress());
        let total = world.rollout.total();
        // Its time may have been over before all had their turn.
        if world.rollout.state() == RolloutState::Done && world.rollout.progress().reason.is_none() {
            prop_assert_eq!(total.open(), 0);
            let good = behaviours[..20].iter().filter(|it| matches!(it, Behaviour::Good)).count();
            prop_assert!(total.of(Stage::Confirmed) as usize >= good, "{:?}", total);
        }
    }
}
