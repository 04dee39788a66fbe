//! Objects: found, made, removed, and never made twice.

use super::device::{Device, Loss};
use super::world::{World, object, objects, parameter, secret};
use crate::{Obstacle, Presence, Standing, Wanted, WantedObject, Wish};
use jiff::SignedDuration;
use model::DataModel;

const TABLE: &str = "Device.NAT.PortMapping.";

fn device() -> Device {
    let mut device = Device::with(&[("Device.NAT.Enable", "boolean", "1")]);
    device.table(
        TABLE,
        &[
            ("Description", "string", ""),
            ("Enable", "boolean", "0"),
            ("Port", "unsignedInt", "0"),
            ("Password", "string", ""),
        ],
    );
    device
}

fn sip() -> WantedObject {
    object(TABLE, &[("Description", "sip")], &[("Enable", "1"), ("Port", "5060")])
}

fn gone() -> WantedObject {
    WantedObject { presence: Presence::Absent, parameters: Vec::new(), ..sip() }
}

#[test]
fn a_missing_object_is_made_after_its_table_was_listed() {
    let mut world = World::new(device(), objects(vec![sip()]));
    let session = world.session();
    assert_eq!(
        world.device.calls,
        ["list Device.NAT.PortMapping.", "add Device.NAT.PortMapping.", "set 3", "get 3"]
    );
    assert!(session.plan.is_empty() && session.plan.blocked.is_empty());
    let [made] = world.device.instances(TABLE).try_into().unwrap();
    assert_eq!((made["Description"], made["Enable"], made["Port"]), ("sip", "1", "5060"));
    assert_eq!(world.held.standing, Standing::Converged);
    assert_eq!(world.held.adding, []);
    assert!(!world.call().is_due);
}

#[test]
fn one_that_is_there_is_found_by_all_its_keys() {
    let mut device = device();
    device.make(TABLE, &[("Description", "other"), ("Port", "5060")]);
    device.make(TABLE, &[("Description", "sip"), ("Port", "1")]);
    device.make(TABLE, &[("Description", "sip"), ("Port", "2")]);
    let mut world = World::new(device, objects(vec![sip()]));
    let session = world.session();
    assert_eq!(world.device.calls, ["set 2", "get 2"]);
    let ports: Vec<_> =
        world.device.instances(TABLE).iter().map(|it| it["Port"].to_owned()).collect();
    assert_eq!(ports, ["5060", "5060", "2"], "the lowest that fits");
    let blocked = &session.plan.blocked[0];
    assert_eq!((blocked.obstacle, blocked.is_harmless), (Obstacle::Ambiguous, true));
}

#[test]
fn an_object_made_behind_our_back_is_found_and_not_made_again() {
    let mut world = World::new(device(), objects(vec![sip()]));
    world.device.make(TABLE, &[("Description", "sip")]);
    world.session();
    assert_eq!(world.device.instances(TABLE).len(), 1);
    assert!(!world.device.calls.iter().any(|it| it.starts_with("add")), "{:?}", world.device.calls);
}

#[test]
fn a_lost_answer_does_not_make_a_second_one() {
    // The second call makes the object, the third sets it.
    for (call, is_carried_out) in [(2, true), (2, false), (3, true), (3, false)] {
        let mut device = device();
        device.make(TABLE, &[("Description", "other")]);
        device.losses.push(Loss { call, is_carried_out });
        let mut world = World::new(device, objects(vec![sip()]));
        assert!(world.session().is_lost);
        assert_eq!(world.held.standing, Standing::Pending);
        for _ in 0..5 {
            world.wait(SignedDuration::from_hours(1));
            world.call();
        }
        assert_eq!(world.device.instances(TABLE).len(), 2, "{call} {is_carried_out}");
        assert_eq!(world.held.standing, Standing::Converged);
        assert_eq!(world.held.adding, []);
        assert_eq!(world.device.instances(TABLE)[1]["Port"], "5060");
    }
}

#[test]
fn one_of_which_the_key_is_refused_is_ours_all_the_same() {
    let mut device = device();
    device.tables.get_mut(TABLE).unwrap().template[0].1.refuses = Some(9007);
    let mut world = World::new(device, objects(vec![sip()]));
    for _ in 0..60 {
        world.call();
        world.wait(SignedDuration::from_hours(1));
    }
    let [made] = world.device.instances(TABLE).try_into().unwrap();
    assert_eq!((made["Description"], made["Port"]), ("", "5060"));
    assert_eq!(world.held.standing, Standing::Partial);
    assert!(world.held.cause.contains("PortMapping.1.Description"), "{}", world.held.cause);
    world.device.at("Device.NAT.PortMapping.1.Description").refuses = None;
    world.held.release();
    world.call();
    assert_eq!(world.held.standing, Standing::Converged);
    assert_eq!(world.held.adding, []);
}

#[test]
fn a_refused_object_is_tried_again_later() {
    let mut device = device();
    device.tables.get_mut(TABLE).unwrap().refuses = Some(9004);
    let mut world = World::new(device, objects(vec![sip()]));
    let session = world.session();
    let [blocked] = session.plan.blocked.as_slice() else { panic!() };
    assert_eq!(&*blocked.path, "Device.NAT.PortMapping.[Description]");
    assert_eq!(world.held.standing, Standing::Partial);
    let retry_at = blocked.retry_at.unwrap();
    assert!(retry_at.duration_since(world.now) < SignedDuration::from_mins(2), "it may pass");
    assert!(!world.call().is_due);
    world.device.tables.get_mut(TABLE).unwrap().refuses = None;
    world.now = retry_at;
    world.call();
    assert_eq!(world.held.standing, Standing::Converged);
}

#[test]
fn an_object_that_does_not_last_is_not_made_for_ever() {
    let mut world = World::new(device(), objects(vec![sip()]));
    for _ in 0..200 {
        world.call();
        // Gone before anything of it was read back.
        world.device.losses =
            vec![Loss { call: world.device.calls.len() + 3, is_carried_out: true }];
        world.device.parameters.retain(|path, _| !path.starts_with(TABLE));
        world.wait(SignedDuration::from_hours(1));
    }
    let made = world.device.calls.iter().filter(|it| it.starts_with("add")).count();
    assert!(made <= 12, "{made}");
}

#[test]
fn what_is_not_wanted_is_removed_the_highest_first() {
    let mut device = device();
    for description in ["sip", "other", "sip"] {
        device.make(TABLE, &[("Description", description)]);
    }
    let mut world = World::new(device, objects(vec![gone()]));
    let session = world.session();
    assert_eq!(
        world.device.calls,
        [
            "list Device.NAT.PortMapping.",
            "get 3",
            "delete Device.NAT.PortMapping.3.",
            "delete Device.NAT.PortMapping.1."
        ]
    );
    assert!(session.plan.is_empty());
    assert_eq!(world.device.instances(TABLE).len(), 1);
    assert!(!world.call().is_due);
    // One that comes back is seen when its keys are due.
    world.device.at("Device.NAT.PortMapping.2.Description").value = "sip".to_owned();
    world.wait(SignedDuration::from_hours(24));
    world.call();
    assert_eq!(world.device.instances(TABLE).len(), 0);
}

#[test]
fn what_one_rule_wants_no_other_removes() {
    let mut device = device();
    device.make(TABLE, &[("Description", "sip"), ("Port", "5060"), ("Enable", "1")]);
    let by_port = WantedObject {
        presence: Presence::Absent,
        parameters: Vec::new(),
        ..object(TABLE, &[("Port", "5060")], &[])
    };
    let mut world = World::new(device, objects(vec![by_port, sip()]));
    for _ in 0..5 {
        world.session();
    }
    assert_eq!(world.device.instances(TABLE).len(), 1);
}

#[test]
fn a_table_that_the_device_does_not_have_is_said() {
    let other = "Device.DHCPv4.Server.Pool.";
    let there = object(other, &[("Alias", "a")], &[]);
    let absent = WantedObject { presence: Presence::Absent, ..there.clone() };
    let mut world = World::new(device(), objects(vec![there.clone()]));
    let session = world.session();
    assert_eq!(session.plan.blocked[0].obstacle, Obstacle::Absent);
    assert_eq!((session.calls, world.held.standing), (0, Standing::Partial));
    world.want(objects(vec![absent]));
    world.session();
    assert_eq!(world.held.standing, Standing::Converged, "that it is not there is what is wanted");
    // Not known to be absent: the device is asked, and says so.
    world.known = DataModel::new();
    world.want(objects(vec![there]));
    let session = world.session();
    assert_eq!(session.calls, 1);
    assert_eq!(session.plan.blocked[0].obstacle, Obstacle::Refused);
}

#[test]
fn secrets_of_a_new_object_wait_for_the_claim() {
    let mut wanted = sip();
    wanted.parameters.push(secret("Password", "hunter2"));
    let mut world = World::new(device(), objects(vec![wanted]));
    world.is_claimed = false;
    world.session();
    let password = "Device.NAT.PortMapping.1.Password";
    world.device.at(password).is_hidden = true;
    assert_eq!(world.device.value(password), "");
    assert_eq!(world.held.standing, Standing::Converged);
    world.is_claimed = true;
    world.call();
    assert_eq!(world.device.value(password), "hunter2");
    assert_eq!(world.device.sets[password], 1);
}

#[test]
fn several_in_one_table_and_tables_in_every_instance() {
    let mut device =
        Device::with(&[("Device.A.1.Name", "string", "x"), ("Device.A.2.Name", "string", "y")]);
    for table in ["Device.A.1.B.", "Device.A.2.B."] {
        device.table(table, &[("Name", "string", ""), ("On", "boolean", "0")]);
    }
    let one = |name| object("Device.A.*.B.", &[("Name", name)], &[("On", "1")]);
    let mut world = World::new(device, objects(vec![one("p"), one("q")]));
    let session = world.session();
    assert!(session.plan.is_empty() && session.plan.blocked.is_empty(), "{:?}", session.plan);
    for table in ["Device.A.1.B.", "Device.A.2.B."] {
        let names: Vec<_> =
            world.device.instances(table).iter().map(|it| it["Name"].to_owned()).collect();
        assert_eq!(names, ["p", "q"]);
    }
    assert_eq!(world.device.calls.iter().filter(|it| it.starts_with("add")).count(), 4);
}

#[test]
fn wildcards_reach_new_objects_in_the_same_session() {
    let wanted = Wanted {
        parameters: vec![parameter("Device.NAT.PortMapping.*.Enable", "1")],
        ..objects(vec![object(TABLE, &[("Description", "sip")], &[])])
    };
    let mut world = World::new(device(), wanted);
    world.session();
    assert_eq!(world.device.instances(TABLE)[0]["Enable"], "1");
    assert_eq!(world.held.standing, Standing::Converged);
}

#[test]
fn a_plan_makes_so_many_objects_and_no_more() {
    let many = (0..100).map(|n| object(TABLE, &[("Description", &format!("d{n}"))], &[])).collect();
    let mut world = World::new(device(), objects(many));
    let list = world.plan();
    assert!(!list.writes());
    let it = crate::Circumstances { is_discovered: true, ..world.circumstances(world.now) };
    let mut held = world.held.clone();
    held.begin(it);
    let plan = crate::decide(&world.wanted, &world.known, &held, it);
    let adds = plan.steps.iter().filter(|it| matches!(it.wish, Wish::Add { .. })).count();
    assert_eq!(adds, 64);
    world.session();
    assert_eq!(world.device.instances(TABLE).len(), 100);
}
