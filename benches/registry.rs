//! A million devices with five aliases each: how much memory they take and what a look costs.
//!
//! `cargo bench --bench registry [-- <devices>]`; what must be reached stands in the design: 1 GB
//! in all, a restart in 10 s of which the registry may take 2. Times are those of the processor.
#![expect(clippy::disallowed_methods, reason = "a measurement reads /proc")]
#![expect(clippy::unwrap_used, reason = "a panic is how a measurement reports")]

use jiff::Timestamp;
use lastmile::registry::{Filter, Registry};
use lastmile::store::{CustomerRow, DeviceRow, Kept};
use model::{Alias, AliasKind, DeviceFacts, DeviceId, Protocol, Redacted, Tenant};
use std::hint::black_box;

/// As many as the store hands over at a time.
const PAGE: usize = 1_000;
/// Looks of each kind.
const LOOKS: usize = 1_000_000;
/// When every device was last heard.
const HEARD_S: i64 = 1_700_000_000;

fn main() {
    let devices = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(1_000_000);
    let tenant = Tenant::default();
    let registry = Registry::new();
    let empty = resident();
    println!("{devices} devices with 5 aliases each, one in two with a customer of its own");

    let mut loading = 0.0;
    for from in (0..devices).step_by(PAGE) {
        let page = from..devices.min(from + PAGE);
        let rows: Vec<_> = page.clone().map(|n| device(&tenant, n)).collect();
        let customers: Vec<_> = page.step_by(2).map(|n| customer(&tenant, n)).collect();
        loading += cpu_s(|| {
            registry.load_customers(customers);
            registry.load(rows);
        });
    }
    assert_eq!((registry.len(), registry.alias_conflicts()), (devices, 0));
    let full = resident();
    println!("load                    {:>9.2} s", loading);
    println!("memory, empty           {:>9.1} MB", megabytes(empty));
    println!("memory, full            {:>9.1} MB", megabytes(full));
    println!("memory of a device      {:>9.0} B", (full - empty) as f64 / devices as f64);

    let ids: Vec<_> = shuffled(devices).map(identity).collect();
    let at = Timestamp::from_second(HEARD_S + 60).unwrap();
    let address = "203.0.113.9".parse().ok();
    each("seen", &ids, |id| registry.seen(&tenant, id, at, address));
    each("knows", &ids, |id| assert!(registry.knows(&tenant, id)));
    let news = device(&tenant, 0).facts;
    let news = DeviceFacts { serial: None, connection_request_url: None, aliases: vec![], ..news };
    each("covers", &ids, |id| assert_eq!(registry.covers(&tenant, id, &news), Some(true)));
    each("facts", &ids, |id| assert!(registry.facts(&tenant, id).is_some()));
    each("get", &ids, |id| assert!(registry.get(&tenant, id).is_some()));
    let aliases: Vec<_> = shuffled(devices).map(|n| aliases(n).swap_remove(n % 5)).collect();
    each("by_alias", &aliases, |it| assert!(registry.by_alias(&tenant, it).is_some()));
    let texts: Vec<_> = shuffled(devices).map(|n| format!("ALCL{n:08x}")).collect();
    each("resolve (GPON serial)", &texts, |it| assert!(registry.resolve(&tenant, it).is_some()));

    let mut taken = 0;
    let taking = cpu_s(|| {
        while let Some(rows) = Some(registry.take_dirty(PAGE)).filter(|rows| !rows.is_empty()) {
            taken += rows.len();
        }
    });
    println!("take_dirty, {taken} in all  {taking:>7.2} s");
    let often = vec![(); 100];
    each("newly_silent, none due", &often, |()| assert!(registry.newly_silent(at, 1).is_empty()));
    let (late, mut silent) = (Timestamp::from_second(HEARD_S + 60 + 751).unwrap(), 0);
    let asking = cpu_s(|| {
        while let Some(some) = Some(registry.newly_silent(late, PAGE)).filter(|it| !it.is_empty()) {
            silent += some.len();
        }
    });
    println!("newly_silent, {silent} in all {asking:>6.2} s");

    list("list, 100 of all", &registry, &tenant, &Filter::default());
    let cwmp = Filter { protocol: Some(Protocol::Cwmp), ..Filter::default() };
    list("list, 100 of a protocol", &registry, &tenant, &cwmp);
    let none = Filter { q: Some("nobody".into()), ..Filter::default() };
    list("list, q that none has", &registry, &tenant, &none);
    println!("memory at the end       {:>9.1} MB", megabytes(resident()));
}

fn each<T>(what: &str, items: &[T], look: impl Fn(&T)) {
    let all = cpu_s(|| items.iter().cycle().take(LOOKS).for_each(|item| look(black_box(item))));
    println!("{what:<23} {:>9.0} ns", all * 1e9 / LOOKS as f64);
}

fn list(what: &str, registry: &Registry, tenant: &Tenant, filter: &Filter) {
    let middle = identity(registry.len() / 2);
    let pages = if filter.q.is_some() { 1 } else { 1_000 };
    let all = cpu_s(|| {
        for _ in 0..pages {
            black_box(registry.list(tenant, filter, Some(&middle), 100));
        }
    });
    println!("{what:<23} {:>9.0} µs", all * 1e6 / f64::from(pages));
}

/// Every number below `devices` once, in no order.
fn shuffled(devices: usize) -> impl Iterator<Item = usize> {
    // A prime that divides no count of devices anyone asks for.
    (0..devices).map(move |n| n * 15_485_863 % devices)
}

fn identity(n: usize) -> DeviceId {
    DeviceId::cwmp("00259E", "HG8245", &format!("48575443{n:08X}")).unwrap()
}

fn aliases(n: usize) -> Vec<Alias> {
    let alias = |kind, value: String| Alias::new(kind, &value).unwrap();
    vec![
        alias(AliasKind::Serial, format!("48575443{n:08X}")),
        alias(AliasKind::GponSerial, format!("ALCL{n:08X}")),
        alias(AliasKind::Mac, format!("00:25:9e:{:06x}", n)),
        alias(AliasKind::Imsi, format!("63902{n:010}")),
        alias(AliasKind::Iccid, format!("8925402{n:012}")),
    ]
}

fn device(tenant: &Tenant, n: usize) -> DeviceRow {
    let text = |text: &str| Some(Box::from(text));
    let facts = DeviceFacts {
        manufacturer: text("Huawei Technologies Co., Ltd"),
        oui: text("00259E"),
        product_class: text("HG8245"),
        serial: text(&format!("48575443{n:08X}")),
        model: text("HG8245Q2"),
        hardware_version: text("10C7.A"),
        software_version: text("V3R017C10S125"),
        connection_request_url: text(&format!(
            "http://100.64.{}.{}:7547/{n:016x}",
            n >> 8 & 255,
            n & 255
        )),
        udp_connection_request_address: None,
        periodic_interval_s: Some(300),
        aliases: aliases(n),
    };
    DeviceRow {
        group: None,
        tenant: tenant.clone(),
        id: identity(n),
        facts,
        customer: Some(format!("customer-{:08}", n & !1).into()),
        tags: vec!["fibre".into()],
        created_at: Timestamp::from_second(1_600_000_000).unwrap(),
        last_seen_at: Timestamp::from_second(HEARD_S + n as i64 % 60).ok(),
        address: "203.0.113.7".parse().ok(),
        connection_request: Some(Redacted(vec![7; 96])),
        claimed: true,
        data_model: Kept::Nothing,
    }
}

fn customer(tenant: &Tenant, n: usize) -> CustomerRow {
    let name = Some(Redacted(format!("Household {n}").into()));
    let id = format!("customer-{n:08}").into();
    CustomerRow { tenant: tenant.clone(), id, name, created_at: Timestamp::UNIX_EPOCH }
}

/// What `work` takes of a processor's time; the machine may be busy with other things.
fn cpu_s(work: impl FnOnce()) -> f64 {
    let so_far = || {
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        spent.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).unwrap()
    };
    let before = so_far();
    work();
    (so_far() - before) as f64 / 1e9
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4_096
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
