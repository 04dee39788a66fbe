//! The whole life of a subscription through the daemon: registered, paid for, credited, told, used; once,
//! and for many at once while the daemon is killed again and again.

use crate::backend::Received;
use crate::calls::{Called, Does};
use crate::daemon::until;
use crate::http;
use crate::ledger;
use crate::water_point::{
    Chance, FEE, JERRYCANS, NICKNAME, Network, WaterPoint, code_of, takes, texts_to,
};
use lastmile_daraja::{Behaviour, Fate};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const ASHA: &str = "+254711000101";
const MANAGER: &str = "+254711000107";
/// Longest wait for what a credit leads to.
const PATIENCE: Duration = Duration::from_secs(60);
/// The customers at once, and how often the daemon is killed around them at most.
const CUSTOMERS: u64 = 30;
const KILLS: u64 = 20;
/// How long one tries to get his water.
const TRIES_FOR: Duration = Duration::from_secs(30);
const MANAGERS: [&str; 3] = ["+254712000001", "+254712000002", "+254712000003"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("subscription::lives_from_a_callback", || whole_life(0)),
        crate::trial("subscription::lives_without_a_callback", || whole_life(1_000)),
        crate::trial("subscription::many_live_over_kills", many_over_kills),
    ]
}

#[track_caller]
fn shows(screen: &str, begins: &str, has: &str) {
    assert!(screen.starts_with(begins) && screen.contains(has), "{screen}");
}

fn quick() -> Behaviour {
    let answers_within = (Duration::from_millis(20), Duration::from_millis(250));
    Behaviour { answers_within, ..Behaviour::kind() }
}

/// The keys of who registers.
const REGISTERS: [&str; 6] = ["1", "1", "Asha", "Njeri", "0042", NICKNAME];

fn whole_life(loses_callbacks: u16) {
    let behaviour = Behaviour { loses_callbacks, ..quick() };
    let mut point = WaterPoint::start((1, behaviour), Called::start(takes), &[], |it| it);
    point.furnish(&[MANAGER]);
    point.provider.decide(&ASHA[1..], Fate::Pays { after: Duration::from_millis(800) });
    let network = point.network();
    let talk = |session: &str, number: &str, keys: &[&str]| {
        network.talk((session, number), keys, true).unwrap()
    };
    shows(&talk("s-1", ASHA, &REGISTERS), "END ", "You are registered");
    shows(&talk("s-2", ASHA, &["0042", "1"]), "END ", "You have no subscription");
    shows(&talk("s-3", ASHA, &["0042", "2", "1"]), "END ", "wait for M-Pesa to ask for your PIN");
    let code = point.code_sent_to(ASHA);
    let texts = point.texts_to(ASHA);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(texts[0].contains("Asha") && texts[0].contains("Open from six."), "{texts:?}");
    shows(&talk("s-4", ASHA, &["0042", "1"]), "END ", &format!("Your code is {code}."));
    shows(&talk("s-5", ASHA, &["0042", "2"]), "END ", "You need not pay now");
    shows(&talk("s-6", MANAGER, &["1", &code, "1"]), "END ", "is given. 29 are left.");
    shows(&talk("s-7", ASHA, &["0042", "3"]), "END ", "29 jerrycans left");
    delivered(&point);

    assert_eq!((point.provider.pushes(&ASHA[1..]), point.provider.taken().len()), (1, 1));
    point.provider.assert_no_faults();
    let payments = point.payments();
    assert_eq!((payments.len(), &payments[0]["state"]), (1, &json!("paid")));
    assert_eq!(payments[0]["checkout"], point.provider.taken()[0].checkout.as_str());
    if loses_callbacks == 0 {
        assert!(until(PATIENCE, || point.provider.answers().contains(&Some(200))));
    } else {
        assert_eq!(point.provider.answers(), []);
    }
    // A second life of the daemon adds nothing to it.
    point.daemon.kill();
    point.daemon.start_again();
    shows(&talk("s-8", ASHA, &["0042", "3"]), "END ", "29 jerrycans left");
    told_once(&point, payments[0]["id"].as_str().unwrap());
    assert_eq!(point.texts_to(ASHA).len(), 1);
    assert_eq!(point.provider.pushes(&ASHA[1..]), 1);
    let done: Vec<_> = point
        .items("/api/v1/water/transactions")
        .iter()
        .map(|it| (it["action"].as_str().unwrap().to_owned(), it["status"] == "success"))
        .collect();
    let did = |what: &str| (what.to_owned(), true);
    assert_eq!(done, [did("visit"), did("subscription_message"), did("subscription")]);
}

/// The carrier tells that the text is on the phone.
fn delivered(point: &WaterPoint) {
    let secret = point.daemon.data().join("public/sms.africas_talking.secret");
    let secret = std::fs::read_to_string(secret).unwrap();
    let path = format!("/sms/africas_talking/{}", secret.trim());
    let report = format!("id=ATXid_{}&status=Success&phoneNumber=%2B{}", &ASHA[1..], &ASHA[1..]);
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let public = point.daemon.ports.public;
    let told = http::once(public, "POST", &path, &headers, report.as_bytes()).unwrap();
    assert_eq!(told.status, 200);
}

/// The business has heard of everything that was Asha's, of each once.
fn told_once(point: &WaterPoint, payment: &str) {
    let (asha, last) = (format!("msisdn:{ASHA}"), "s-8");
    let is_last = |it: &Received| it.kind == "lastmile.ussd.ended" && it.data["session"] == last;
    let all = point.business.wait("the last end", PATIENCE, |all| all.iter().any(is_last));
    point.business.assert_no_faults();
    ledger::assert_in_order(&all);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for event in all.iter().filter(|it| it.subject == asha) {
        *counts.entry(event.kind.as_str()).or_default() += 1;
        for id in ["payment", "id"] {
            let is_payment = event.kind.contains("payment") || id == "payment";
            if is_payment && let Some(named) = event.data[id].as_str() {
                assert_eq!(named, payment, "{event:?}");
            }
        }
    }
    let expected = [
        ("lastmile.collection.recorded", 1),
        ("lastmile.payment.credited", 1),
        ("lastmile.payment.requested", 1),
        ("lastmile.sms.delivered", 1),
        ("lastmile.sms.sent", 1),
        ("lastmile.subscription.started", 1),
        ("lastmile.ussd.ended", 7),
        ("lastmile.ussd.requested", 2),
        ("lastmile.ussd.started", 7),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
}

/// What became of one of the many.
#[derive(Debug)]
struct Life {
    number: String,
    /// Ends that said that a jerrycan was given, and dialogues that were cut off there.
    given: u64,
    cut: u64,
}

/// `LASTMILE_TEST_SEED`, to have one run again.
fn seed() -> u64 {
    let seed = std::env::var("LASTMILE_TEST_SEED");
    seed.map_or(20_260_622, |it| it.parse().expect("LASTMILE_TEST_SEED is a number"))
}

/// Whatever moment the daemon dies at: every shilling that was taken is credited once, or stands before
/// the operator; nobody is written to twice; and as much water is given as managers were told.
fn many_over_kills() {
    let seed = seed();
    println!("LASTMILE_TEST_SEED={seed}");
    let behaviour = Behaviour {
        cuts: 60,
        pages: 30,
        spikes: 60,
        loses_callbacks: 300,
        repeats_callbacks: 300,
        early: 100,
        forges: 100,
        numbers_as_text: 300,
        pending_as_200: 400,
        ..quick()
    };
    let sent = AtomicU32::new(0);
    let carrier = Called::start(move |heard| match sent.fetch_add(1, Ordering::Relaxed) % 9 {
        8 => Does::Cuts,
        _ => takes(heard),
    });
    let mut point = WaterPoint::start((seed, behaviour), carrier, &[], |it| it);
    point.furnish(&MANAGERS);
    let mut chance = Chance(seed);
    let starts: Vec<_> = (0..CUSTOMERS)
        .map(|place| {
            let number = format!("+25471{place:07}");
            for _ in 0..3 {
                point.provider.decide(&number[1..], fate(&mut chance));
            }
            (number, chance.millis(0, 9_000), Chance(chance.below(u64::MAX)))
        })
        .collect();
    let (network, carrier) = (point.network(), point.carrier.clone());
    let lives = thread::scope(|scope| {
        let (network, carrier) = (&network, &carrier);
        let living: Vec<_> = starts
            .into_iter()
            .map(|(number, after, chance)| {
                scope.spawn(move || {
                    thread::sleep(after);
                    live((network, carrier), number, chance)
                })
            })
            .collect();
        for _ in 0..KILLS {
            if living.iter().all(|it| it.is_finished()) {
                break;
            }
            thread::sleep(chance.millis(100, 1_500));
            end(&mut point, &mut chance);
            thread::sleep(chance.millis(0, 200));
            point.daemon.start_again();
        }
        living.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
    });
    let paid = assert_money(&point);
    assert_water(&point, &lives);
    assert_told(&point, &paid);
    assert_texts(&point, &paid);
}

/// It dies; now and then it is stopped in good order instead.
fn end(point: &mut WaterPoint, chance: &mut Chance) {
    if chance.below(4) > 0 {
        return point.daemon.kill();
    }
    point.daemon.signal("TERM");
    let status = point.daemon.wait_within(PATIENCE).expect("it stops");
    assert_eq!(status.code(), Some(0), "{}", point.daemon.log());
}

/// Most pay, soon or late.
fn fate(chance: &mut Chance) -> Fate {
    let after = chance.millis(100, 3_000);
    match chance.below(10) {
        0 => Fate::Fails { code: 1032, after },
        1 => Fate::Fails { code: 1037, after },
        2 => Fate::Turns { code: 1037, after, pays_after: chance.millis(500, 3_000) },
        _ => Fate::Pays { after },
    }
}

/// One registers, pays until he has his code, and is given water.
fn live((network, carrier): (&Network, &Called), number: String, mut chance: Chance) -> Life {
    let mut sessions = 0..;
    let mut session = || format!("{}-{}", &number[1..], sessions.next().unwrap());
    let mut life = Life { number: number.clone(), given: 0, cut: 0 };
    let began = Instant::now();
    let talk = |session: &str, keys: &[&str]| network.talk((session, &number), keys, true).unwrap();
    // What he was told may be that nobody knows: he dials again, and is greeted if he is known.
    while !talk(&session(), &[]).contains("Hello Asha") {
        let shown = talk(&session(), &REGISTERS);
        assert!(shown.starts_with("END "), "{shown}");
        assert!(began.elapsed() < TRIES_FOR, "{number} is not registered: {shown}");
    }
    let code = loop {
        if began.elapsed() > TRIES_FOR {
            return life;
        }
        let shown = talk(&session(), &["0042", "2", "1"]);
        let waits = shown.contains("ask for your PIN") || shown.contains("not settled yet");
        assert!(!shown.contains("wrong PIN") && !shown.contains("cannot take"), "{shown}");
        if waits {
            thread::sleep(chance.millis(500, 1_500));
        }
        let texts = texts_to(carrier, &number);
        if let Some(code) = texts.iter().find_map(|text| code_of(text)) {
            break code;
        }
        // The text may be lost: then he asks.
        if let Some(code) = code_of(&talk(&session(), &["0042", "1"])) {
            break code;
        }
    };
    for _ in 0..4 + chance.below(9) {
        let manager = MANAGERS[usize::try_from(chance.below(3)).unwrap()];
        let (session, insists) = (session(), chance.below(2) == 0);
        match network.talk((&session, manager), &["1", &code, "1"], insists) {
            Some(shown) if shown.contains("One jerrycan is given") => life.given += 1,
            Some(shown) if shown.contains("longer than usual") => life.cut += 1,
            Some(shown) => assert!(shown.starts_with("END "), "{shown}"),
            None => life.cut += 1,
        }
        thread::sleep(chance.millis(0, 300));
    }
    life
}

/// Every shilling that was taken is credited once, or unresolved; nothing else is credited. The payments
/// that are paid, with their numbers.
fn assert_money(point: &WaterPoint) -> BTreeMap<String, String> {
    let is_settled = |it: &Value| {
        ["paid", "declined", "unresolved"].contains(&it["state"].as_str().unwrap_or_default())
    };
    let settled = || point.payments().iter().all(is_settled);
    assert!(until(PATIENCE, settled), "{:#?}", point.payments());
    let (taken, payments) = (point.provider.taken(), point.payments());
    let paid: Vec<_> = payments.iter().filter(|it| it["state"] == "paid").collect();
    let mut unresolved = 0;
    for money in &taken {
        let is_its = |it: &&&Value| it["checkout"] == money.checkout.as_str();
        let credited = paid.iter().filter(is_its).count();
        let number = format!("msisdn:+{}", money.number);
        let stands = payments.iter().any(|it| {
            it["state"] == "unresolved"
                && it["device"] == number.as_str()
                && (it["checkout"].is_null() || it["checkout"] == money.checkout.as_str())
        });
        unresolved += usize::from(credited == 0);
        assert!(credited == 1 || credited == 0 && stands, "{money:?}: {payments:#?}");
    }
    for payment in &paid {
        let is_its = |it: &&lastmile_daraja::Taken| payment["checkout"] == it.checkout.as_str();
        assert_eq!(taken.iter().filter(is_its).count(), 1, "{payment}: not taken");
        assert_eq!(payment["amount"], FEE);
    }
    for payment in &payments {
        let number = payment["device"].as_str().unwrap().trim_start_matches("msisdn:+");
        let of_his = payments.iter().filter(|it| it["device"] == payment["device"]).count();
        let pushes = usize::try_from(point.provider.pushes(number)).unwrap();
        assert!(pushes <= of_his, "{number}: {pushes} prompts of {of_his} payments");
    }
    let (all, count) = (taken.len(), payments.len());
    println!("{count} payments, {all} taken, {} credited, {unresolved} unresolved", paid.len());
    let wanted = usize::try_from(CUSTOMERS / 3).unwrap();
    assert!(paid.len() > wanted, "of {count} payments {} are paid", paid.len());
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    paid.iter().map(|it| (text(&it["id"]), text(&it["device"]))).collect()
}

/// As much is left to each as the ends say that his managers read.
fn assert_water(point: &WaterPoint, lives: &[Life]) {
    let (mut given, mut cut) = (0, 0);
    for life in lives {
        let customer = point.customer(&life.number);
        if customer["valid_subscription"] != true {
            assert_eq!((life.given, life.cut), (0, 0), "{life:?}: {customer}");
            continue;
        }
        let left = customer["jerrycans_allowed"].as_u64().unwrap();
        let gone = JERRYCANS * credits(point, &life.number) - left;
        let told = life.given..=life.given + life.cut;
        assert!(told.contains(&gone), "{gone} are gone: {life:?}");
        (given, cut) = (given + life.given, cut + life.cut);
    }
    println!("{given} jerrycans are given, {cut} dialogues were cut off there");
    assert!(given > CUSTOMERS / 2);
}

/// How often it was written down that he was credited.
fn credits(point: &WaterPoint, number: &str) -> u64 {
    let number = number.replace('+', "%2B");
    let path = format!("/api/v1/water/transactions?action=subscription&phone_number={number}");
    u64::try_from(point.items(&path).len()).unwrap()
}

/// The business has heard of each once.
fn assert_told(point: &WaterPoint, paid: &BTreeMap<String, String>) {
    let started = |all: &[Received]| {
        let kind = "lastmile.subscription.started";
        let of = |it: &Received| it.data["payment"].as_str().unwrap().to_owned();
        all.iter().filter(|it| it.kind == kind).map(of).collect::<Vec<_>>()
    };
    let all = point.business.wait("every credit", PATIENCE, |all| started(all).len() >= paid.len());
    point.business.assert_no_faults();
    ledger::assert_in_order(&all);
    let told: BTreeSet<_> = started(&all).into_iter().collect();
    assert_eq!(started(&all).len(), paid.len(), "a credit is told twice, or was none");
    assert!(paid.keys().all(|it| told.contains(it)));
    for (kind, id) in [
        ("lastmile.payment.requested", "id"),
        ("lastmile.payment.credited", "id"),
        ("lastmile.sms.sent", "id"),
        ("lastmile.sms.failed", "id"),
    ] {
        let mut ids = BTreeSet::new();
        for event in all.iter().filter(|it| it.kind == kind) {
            assert!(ids.insert(event.data[id].as_str().unwrap()), "told twice: {event:?}");
        }
    }
    for (payment, number) in paid {
        let number = number.trim_start_matches("msisdn:");
        let of_his = paid.values().filter(|it| it.trim_start_matches("msisdn:") == number).count();
        assert_eq!(credits(point, number), of_his as u64, "{payment}");
    }
}

/// What is known of each text agrees with what the carrier heard, and nothing was sent twice.
fn assert_texts(point: &WaterPoint, paid: &BTreeMap<String, String>) {
    let is_done = || states(point).values().all(|it| it.moving == 0);
    assert!(until(PATIENCE, is_done), "{:?}", states(point));
    let mut all = 0;
    for (number, known) in states(point) {
        let heard = point.texts_to(number.trim_start_matches("msisdn:"));
        let (at_least, at_most) = (known.sent, known.sent + known.unknown);
        assert!((at_least..=at_most).contains(&heard.len()), "{number}: {known:?}, {heard:#?}");
        let codes = heard.iter().filter(|it| code_of(it).is_some()).count();
        let of_his = paid.values().filter(|it| **it == number).count();
        assert!(codes <= of_his, "{number}: {codes} codes for {of_his} payments");
        all += heard.len();
    }
    println!("{all} texts");
    assert!(all >= paid.len() / 2, "{all} texts of {} credits", paid.len());
}

/// How many texts of one stand how.
#[derive(Debug, Default)]
struct Known {
    sent: usize,
    unknown: usize,
    moving: usize,
}

/// What the store knows of texts, by their numbers.
fn states(point: &WaterPoint) -> HashMap<String, Known> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows: Vec<(String, String)> = runtime.block_on(async {
        let file = point.daemon.data().join("store.db");
        let options = SqliteConnectOptions::new().filename(file).read_only(true);
        let mut connection = options.connect().await.unwrap();
        let rows = sqlx::query_as("SELECT number, state FROM sms").fetch_all(&mut connection);
        let rows = rows.await.unwrap();
        connection.close().await.unwrap();
        rows
    });
    let mut states = HashMap::<String, Known>::new();
    for (number, state) in rows {
        let known = states.entry(number).or_default();
        match state.as_str() {
            "sent" | "delivered" => known.sent += 1,
            "unknown" => known.unknown += 1,
            "failed" => {}
            _ => known.moving += 1,
        }
    }
    states
}
