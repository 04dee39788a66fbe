//! What is read: again and again, after events, and for the business.

use super::device::Device;
use super::world::{World, parameter, parameters, pattern, refresh, rule};
use crate::{Measure, Scale, Standing, Wanted, WantedAlias, WantedRefresh, aliases, measured};
use jiff::SignedDuration;
use model::{AliasKind, DataModel};
use serde_json::json;
use std::time::Duration;

const RX: &str = "Device.Optical.Interface.1.RXPower";
const UP: &str = "Device.DeviceInfo.UpTime";

fn device() -> Device {
    Device::with(&[
        (RX, "int", "55"),
        ("Device.Optical.Interface.2.RXPower", "int", "0"),
        (UP, "unsignedInt", "7"),
        ("Device.Ethernet.Interface.1.MACAddress", "string", "00:11:22:33:44:55"),
        ("Device.Ethernet.Interface.2.MACAddress", "string", "none"),
        ("Device.Hosts.HostNumberOfEntries", "unsignedInt", "3"),
        ("Device.Hosts.Host.1.HostName", "string", "tv"),
    ])
}

fn reading(refreshes: Vec<WantedRefresh>) -> Wanted {
    Wanted { refreshes, ..Wanted::default() }
}

#[test]
fn what_is_due_is_read_together_and_not_before() {
    let all = reading(vec![
        refresh("Device.Optical.Interface.*.RXPower", 3_600),
        refresh(UP, 3_600),
        refresh("Device.Hosts.", 7_200),
        refresh("Device.No.Such", 3_600),
    ]);
    let mut world = World::new(device(), all);
    let began = world.now;
    world.session();
    assert_eq!(world.device.calls, [""; 0], "all was just read");
    assert_eq!(
        world.held.standing,
        Standing::Converged,
        "what is not there is not read, and no harm"
    );
    let due = world.held.due_at.unwrap();
    let minutes = due.duration_since(began).as_mins();
    assert!((50..=60).contains(&minutes), "a little early, as devices call each hour: {minutes}");
    assert!(!world.call().is_due);
    world.now = began + SignedDuration::from_hours(1);
    world.call();
    assert_eq!(world.device.calls, ["get 3"]);
    world.now = began + SignedDuration::from_hours(2);
    world.call();
    assert_eq!(world.device.calls[1..], ["get 4"], "the hosts too");
    assert!(!world.call().is_due);
}

#[test]
fn what_the_device_does_not_answer_is_not_asked_at_every_session() {
    let mut world = World::new(device(), reading(vec![refresh(UP, 3_600)]));
    world.device.parameters.remove(UP);
    for _ in 0..24 {
        world.wait(SignedDuration::from_mins(10));
        world.call();
    }
    assert!(world.device.calls.len() <= 5, "{:?}", world.device.calls);
}

#[test]
fn readings_do_not_hold_up_what_is_set() {
    let mut wanted = reading(vec![refresh(UP, 60)]);
    wanted.parameters = parameters(vec![parameter(RX, "1")]).parameters;
    let mut world = World::new(device(), wanted);
    world.wait(SignedDuration::from_mins(5));
    world.session();
    assert_eq!(world.device.calls, ["set 1", "get 2"], "read with what is read back");
}

#[test]
fn events_have_all_read_again() {
    let mut wanted = parameters(vec![parameter(RX, "55")]);
    wanted.verify_on = vec!["1 BOOT".into()];
    wanted.refreshes = vec![WantedRefresh {
        on_events: vec!["8 DIAGNOSTICS COMPLETE".into()],
        ..refresh(UP, 86_400)
    }];
    let mut world = World::new(device(), wanted);
    world.session();
    assert_eq!(world.device.calls, [""; 0]);
    world.events = vec!["1 BOOT".into(), "4 VALUE CHANGE".into()];
    world.device.at(RX).value = "7".to_owned();
    world.call();
    assert_eq!(world.device.calls, ["get 1", "set 1", "get 1"]);
    world.events = vec!["8 DIAGNOSTICS COMPLETE".into()];
    world.call();
    assert_eq!(world.device.calls[3..], ["get 1"]);
    assert!(!world.call().is_due);
}

#[test]
fn old_readings_are_made_again_before_they_are_believed() {
    let mut one = parameter(RX, "55");
    one.verify_every = Duration::from_secs(3_600);
    let mut world = World::new(device(), parameters(vec![one, parameter(UP, "7")]));
    world.session();
    world.wait(SignedDuration::from_hours(2));
    world.call();
    assert_eq!(world.device.calls, ["get 1"], "only what is due");
    assert!(!world.call().is_due);
    world.wait(SignedDuration::from_hours(24));
    world.call();
    assert_eq!(world.device.calls[1..], ["get 2"]);
}

#[test]
fn optical_power_is_told_in_dbm() {
    let of = |path: &str, name: &str, scale| WantedRefresh {
        measure: Some(Measure { name: name.into(), scale }),
        ..refresh(path, 60)
    };
    let wanted = reading(vec![
        of("Device.Optical.Interface.*.RXPower", "optical_rx_dbm", Scale::Decibel(0.0001)),
        of(UP, "uptime_s", Scale::Plain),
        of(UP, "uptime_min", Scale::Times(0.1)),
        of("Device.Hosts.Host.1.HostName", "hosts", Scale::Plain),
        of("Device.Hosts.Host.1.HostName", "hosts", Scale::Times(2.0)),
        of("Device.Hosts.", "hosts", Scale::Plain),
        refresh(RX, 60),
    ]);
    let world = World::new(device(), wanted);
    let all = measured(&world.wanted, &world.known);
    let told: Vec<_> = all.iter().map(|it| (&*it.name, it.value.expose().clone())).collect();
    assert_eq!(
        told,
        [
            ("optical_rx_dbm", json!(-22.6)),
            ("uptime_s", json!(7)),
            ("uptime_min", json!(0.7)),
            ("hosts", json!("tv")),
        ],
        "no power is no level"
    );
    assert!(all.iter().all(|it| it.read_at < world.now));
    assert!(!format!("{all:?}").contains("22.6"));
}

#[test]
fn names_of_the_device_are_read_once() {
    let alias = |kind, path: &str| WantedAlias { kind, path: pattern(path), rule: rule(1) };
    let wanted = Wanted {
        aliases: vec![
            alias(AliasKind::Mac, "Device.Ethernet.Interface.*.MACAddress"),
            alias(AliasKind::Serial, "Device.Hosts.Host.1.HostName"),
            alias(AliasKind::GponSerial, "Device.No.Such"),
        ],
        ..Wanted::default()
    };
    let mut world = World::new(device(), wanted);
    world.known = DataModel::new();
    world.session();
    assert_eq!(world.device.calls, ["list Device.Ethernet.Interface.", "get 2", "get 2"]);
    let found = aliases(&world.wanted, &world.known);
    let found: Vec<_> = found.iter().map(|it| (it.kind(), it.value())).collect();
    assert_eq!(found, [(AliasKind::Mac, "001122334455"), (AliasKind::Serial, "TV")]);
    world.wait(SignedDuration::from_hours(48));
    world.known.set_whole();
    world.session();
    assert_eq!(world.device.calls.len(), 3);
}
