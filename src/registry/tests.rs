//! The registry beside a model that is obviously right, and what a model cannot show.

mod oracle;

use super::*;
use crate::store::{DeviceRow, Kept, Operation};
use model::{Event, EventType, Json};
use oracle::Oracle;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn cpe(serial: &str) -> DeviceId {
    DeviceId::cwmp("00259E", "HG8245", serial).unwrap()
}

fn alias(kind: AliasKind, value: &str) -> Alias {
    Alias::new(kind, value).unwrap()
}

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

fn met(tenant: &Tenant, device: &DeviceId, facts: DeviceFacts) -> Event {
    Event {
        tenant: tenant.clone(),
        device: device.clone(),
        kind: EventType::DEVICE_DISCOVERED,
        time: at(0),
        data: Json::empty_object(),
        facts: Some(Box::new(facts)),
    }
}

fn named(aliases: &[Alias]) -> DeviceFacts {
    DeviceFacts { aliases: aliases.to_vec(), ..DeviceFacts::default() }
}

fn every_s(periodic_interval_s: u32) -> DeviceFacts {
    DeviceFacts { periodic_interval_s: Some(periodic_interval_s), ..DeviceFacts::default() }
}

fn row(tenant: &Tenant, id: DeviceId, heard_s: Option<i64>) -> DeviceRow {
    DeviceRow {
        group: None,
        tenant: tenant.clone(),
        id,
        facts: every_s(100),
        customer: None,
        tags: Vec::new(),
        created_at: at(0),
        last_seen_at: heard_s.map(at),
        address: None,
        connection_request: None,
        claimed: false,
        data_model: Kept::Nothing,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(oracle::step(), 1..60)) {
        let (registry, mut oracle) = (Registry::new(), Oracle::default());
        for step in &steps {
            step.check(&registry, &mut oracle);
        }
        oracle.check(&registry);
        oracle.check_rebuilt(&registry);
    }
}

#[test]
fn one_spelling_leads_to_another() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    let (router, board, phone) =
        (cpe("1"), DeviceId::mqtt("meter-7").unwrap(), DeviceId::msisdn("+254711000001").unwrap());
    let names = [
        alias(AliasKind::GponSerial, "ALCLF1234567"),
        alias(AliasKind::Mac, "00:1A:2B:3C:4D:5E"),
        alias(AliasKind::Serial, "Sn-1"),
    ];
    registry.apply(&met(&tenant, &router, named(&names)));
    registry.apply(&met(&tenant, &board, named(&[alias(AliasKind::Imei, "490154203237518")])));
    registry.apply(&met(&tenant, &phone, DeviceFacts::default()));

    for text in [
        router.as_str(),
        "414c434cf1234567",
        "alclF1234567",
        "001a.2b3c.4d5e",
        "sn-1",
        "serial:SN-1",
        "mac:00-1a-2b-3c-4d-5e",
    ] {
        assert_eq!(registry.resolve(&tenant, text), Some(router.clone()), "{text}");
    }
    // `imei:…` would be an identity too, but there is no such device.
    for text in ["imei:490154203237518", "490154203237518", "mqtt:meter%2D7"] {
        assert_eq!(registry.resolve(&tenant, text), Some(board.clone()), "{text}");
    }
    for text in ["+254711000001", "msisdn:+254711000001"] {
        assert_eq!(registry.resolve(&tenant, text), Some(phone.clone()), "{text}");
    }
    for text in ["", ":", "sn-2", "gpon_serial:sn-1", "cwmp:", "imsi:490154203237518"] {
        assert_eq!(registry.resolve(&tenant, text), None, "{text}");
    }
}

#[test]
fn a_name_stays_with_its_holder_until_it_is_freed() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    let (first, second) = (cpe("1"), cpe("2"));
    let name = alias(AliasKind::Serial, "x");
    registry.apply(&met(&tenant, &first, named(std::slice::from_ref(&name))));
    let said = named(std::slice::from_ref(&name));
    registry.apply(&met(&tenant, &second, said.clone()));
    assert_eq!(registry.by_alias(&tenant, &name), Some(first.clone()));
    assert_eq!(registry.alias_conflicts(), 1);
    assert_eq!(registry.facts(&tenant, &second), Some(DeviceFacts::default()));
    // Else every Inform of the second were an event that changes nothing.
    assert_eq!(registry.covers(&tenant, &second, &said), Some(true));

    registry.apply_operation(&Operation::RemoveAlias {
        tenant: tenant.clone(),
        device: first,
        alias: name.clone(),
    });
    assert_eq!(registry.by_alias(&tenant, &name), None);
    assert_eq!(registry.covers(&tenant, &second, &said), Some(false));
    registry.apply(&met(&tenant, &second, said));
    assert_eq!(registry.by_alias(&tenant, &name), Some(second));
}

#[test]
fn a_device_has_so_many_names_and_no_more() {
    let (registry, tenant, id) = (Registry::new(), Tenant::default(), cpe("1"));
    let names: Vec<_> =
        (0..=change::ALIASES_MAX).map(|n| alias(AliasKind::Serial, &n.to_string())).collect();
    registry.apply(&met(&tenant, &id, named(&names)));
    let kept = registry.facts(&tenant, &id).unwrap().aliases;
    assert_eq!(kept, names[..change::ALIASES_MAX]);
    assert_eq!(registry.by_alias(&tenant, &names[change::ALIASES_MAX]), None);
    assert_eq!(registry.covers(&tenant, &id, &named(&names)), Some(true), "no news, ever again");
}

#[test]
fn tenants_do_not_meet() {
    let registry = Registry::new();
    let (ours, theirs) = (tenant("ours"), tenant("theirs"));
    let name = alias(AliasKind::Mac, "001a2b3c4d5e");
    registry.apply(&met(&ours, &cpe("1"), named(std::slice::from_ref(&name))));
    assert!(!registry.knows(&theirs, &cpe("1")));
    assert_eq!(registry.by_alias(&theirs, &name), None);
    assert!(registry.list(&theirs, &Filter::default(), None, 10).is_empty());

    registry.apply(&met(&theirs, &cpe("1"), named(std::slice::from_ref(&name))));
    assert_eq!((registry.len(), registry.alias_conflicts()), (2, 0));
    registry.seen(&theirs, &cpe("1"), at(5), None);
    assert_eq!(registry.get(&ours, &cpe("1")).unwrap().last_seen_at, None);
    assert_eq!(registry.get(&theirs, &cpe("1")).unwrap().last_seen_at, Some(at(5)));
}

#[test]
fn silence_is_reported_once_and_again_after_a_sign_of_life() {
    let (registry, tenant, id) = (Registry::new(), Tenant::default(), cpe("1"));
    registry.apply(&met(&tenant, &id, every_s(100)));
    assert!(registry.newly_silent(at(10_000), 10).is_empty(), "never heard, never missed");
    registry.seen(&tenant, &id, at(10_000), None);
    assert!(registry.newly_silent(at(10_250), 10).is_empty());
    assert!(registry.get(&tenant, &id).unwrap().online);
    assert_eq!(registry.newly_silent(at(10_251), 10), [(tenant.clone(), id.clone())]);
    assert!(!registry.get(&tenant, &id).unwrap().online);
    registry.apply(&met(&tenant, &id, every_s(10)));
    assert!(registry.newly_silent(at(20_000), 10).is_empty());
    registry.seen(&tenant, &id, at(20_000), None);
    assert_eq!(registry.newly_silent(at(20_026), 10).len(), 1);
}

#[test]
fn silence_is_handed_out_in_parts() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    for n in 0..1_000 {
        registry.apply(&met(&tenant, &cpe(&n.to_string()), every_s(100)));
        registry.seen(&tenant, &cpe(&n.to_string()), at(n), None);
    }
    // Half of them are heard again, which moves nothing until they are looked at.
    for n in (0..1_000).step_by(2) {
        registry.seen(&tenant, &cpe(&n.to_string()), at(5_000), None);
    }
    let mut silent = Vec::new();
    loop {
        let some = registry.newly_silent(at(5_000), 7);
        assert!(some.len() <= 7);
        if some.is_empty() {
            break;
        }
        silent.extend(some.into_iter().map(|it| it.1));
    }
    let odd: Vec<_> = (1..1_000).step_by(2).map(|n| cpe(&n.to_string())).collect();
    assert_eq!(silent, odd);
}

#[test]
fn a_restart_is_no_silence() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    // The daemon stopped at 100,000 and is back at 200,000.
    let (lost, last) = (cpe("lost"), cpe("last"));
    registry.load([
        row(&tenant, lost, Some(50_000)),
        row(&tenant, last.clone(), Some(100_000)),
        row(&tenant, cpe("back"), Some(99_900)),
        row(&tenant, cpe("never"), None),
    ]);
    assert!(registry.newly_silent(at(200_000), 10).is_empty());
    assert!(!registry.get(&tenant, &last).unwrap().online, "not heard yet");
    registry.seen(&tenant, &cpe("back"), at(200_200), None);
    assert!(registry.newly_silent(at(200_250), 10).is_empty());
    assert_eq!(registry.newly_silent(at(200_251), 10), [(tenant.clone(), last)]);
    assert_eq!(registry.newly_silent(at(200_451), 10), [(tenant, cpe("back"))]);
}

#[test]
fn what_was_seen_is_written_behind_once() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    let ids: Vec<_> = (0..500).map(|n| cpe(&format!("{n:03}"))).collect();
    for id in &ids {
        registry.apply(&met(&tenant, id, DeviceFacts::default()));
    }
    assert!(registry.take_dirty(1_000).is_empty(), "met is not heard");
    for second in 1..4 {
        ids.iter().for_each(|id| registry.seen(&tenant, id, at(second), None));
    }
    registry.seen(&tenant, &cpe("stranger"), at(1), None);
    let mut taken = Vec::new();
    loop {
        let some = registry.take_dirty(64);
        assert!(some.len() <= 64);
        if some.is_empty() {
            break;
        }
        assert!(some.iter().all(|seen| seen.at == at(3)));
        taken.extend(some.into_iter().map(|seen| seen.device));
    }
    taken.sort();
    assert_eq!(taken, ids);
    registry.seen(&tenant, &ids[7], at(9), None);
    assert_eq!(registry.take_dirty(1_000).len(), 1);
}

#[test]
fn boards_are_online_while_connected() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    let id = DeviceId::mqtt("board").unwrap();
    registry.apply(&met(&tenant, &id, DeviceFacts::default()));
    registry.set_connected(&tenant, &id, true, at(5));
    let board = registry.get(&tenant, &id).unwrap();
    assert!(board.online && board.connected && board.last_seen_at == Some(at(5)));
    registry.set_connected(&tenant, &id, false, at(9));
    let board = registry.get(&tenant, &id).unwrap();
    assert!(!board.online && !board.connected && board.last_seen_at == Some(at(5)));
    assert!(registry.newly_silent(at(1_000_000), 10).is_empty());
}

#[test]
fn a_wake_up_that_was_answered_shows_for_a_minute() {
    let (registry, tenant, id) = (Registry::new(), Tenant::default(), cpe("1"));
    registry.apply(&met(&tenant, &id, every_s(100)));
    registry.set_awake(&tenant, &id, at(1_000));
    registry.newly_silent(at(1_060), 10);
    assert!(registry.get(&tenant, &id).unwrap().online);
    registry.newly_silent(at(1_061), 10);
    assert!(!registry.get(&tenant, &id).unwrap().online);
}

#[test]
fn pages_are_whole_and_ordered_while_devices_arrive() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    let id = |n: u32| cpe(&format!("{n:05}"));
    (0..6_000).step_by(2).for_each(|n| registry.apply(&met(&tenant, &id(n), every_s(1))));
    std::thread::scope(|scope| {
        let arriving = scope.spawn(|| {
            // 1,877 and 3,000 have no common divisor: each odd number once, in no order.
            for n in (0..3_000).map(|n| n * 1_877 % 3_000 * 2 + 1) {
                registry.apply(&met(&tenant, &id(n), every_s(1)));
            }
        });
        let mut after = None;
        let mut listed = Vec::new();
        loop {
            let page = registry.list(&tenant, &Filter::default(), after.as_ref(), 100);
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            listed.extend(page.into_iter().map(|device| device.id));
        }
        assert!(listed.is_sorted_by(|one, next| one < next));
        let known = (0..6_000).step_by(2).map(id);
        assert!(known.into_iter().all(|id| listed.binary_search(&id).is_ok()));
        arriving.join().unwrap();
    });
    assert_eq!(registry.list(&tenant, &Filter::default(), None, usize::MAX).len(), 6_000);
}

#[test]
fn a_search_for_little_goes_on_where_it_left_off() {
    let (registry, tenant) = (Registry::new(), Tenant::default());
    for n in 0..2_000 {
        registry.apply(&met(&tenant, &cpe(&format!("{n:04}")), every_s(1)));
    }
    let filter = Filter { q: Some("1999".into()), ..Filter::default() };
    let (mut after, mut parts, mut found) = (None, 0, Vec::new());
    loop {
        let part = registry.part(&tenant, &filter, after.as_ref(), 10, 300);
        parts += 1;
        found.extend(part.devices.into_iter().map(|device| device.id));
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [cpe("1999")]);
    assert!((3..8).contains(&parts), "{parts}");
    assert_eq!(registry.list(&tenant, &filter, None, 10).len(), 1);
    let mac = alias(AliasKind::Mac, "001a2b3c4d5e");
    registry.apply(&met(&tenant, &cpe("mac"), named(&[mac])));
    let filter = Filter { q: Some("1A:2B-3".into()), ..Filter::default() };
    assert_eq!(registry.list(&tenant, &filter, None, 10).len(), 1);
    assert!(registry.list(&tenant, &filter, None, 0).is_empty());
}
