//! A full store and a store that hangs in the middle of a payment, of a PIN, of a collection and of a
//! callback: whoever calls is told what to expect, nothing is acknowledged that is not on disk, and
//! afterwards all goes on.

use crate::backend::Mood;
use crate::calls::Called;
use crate::daemon::until;
use crate::daraja;
use crate::full_store::{LONG, fill};
use crate::http::{self, Answer, PATIENCE};
use crate::phone::Call;
use crate::stalls::Hold;
use crate::water_point::{NICKNAME, WaterPoint, takes};
use lastmile_daraja::{Behaviour, Fate};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// Subscribed; in the middle of buying; prompted; about to type a PIN; about to register; and one whose
/// prompt is about to be asked for.
const SUBSCRIBER: &str = "+254711000201";
const BUYER: &str = "+254711000202";
const PAYER: &str = "+254711000203";
const GUESSER: &str = "+254711000204";
const STRANGER: &str = "+254711000205";
const HURRIED: &str = "+254711000206";
const MANAGER: &str = "+254711000207";
/// When an aggregator hangs up.
const GIVES_UP: Duration = Duration::from_secs(5);
/// How it is told to keep within that.
const IN_TIME: (&str, &str) = ("ussd", "ask_deadline = \"3s\"");
/// Nobody listens there.
const NOWHERE: u16 = 1;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("hard_times::a_full_store_promises_nothing", full),
        crate::trial("hard_times::a_store_that_hangs_is_not_waited_for", hangs),
        crate::trial("hard_times::what_was_not_kept_was_not_promised", killed_while_it_hangs),
    ]
}

/// People in the middle of something, each one key before the end.
struct Scene {
    point: WaterPoint,
    /// The subscriber's code.
    code: String,
    /// The payer's prompt, of which the callback has not come, and its receipt.
    prompt: (String, String),
}

/// Callbacks reach the daemon by hand alone, and nobody asks of a prompt before a callback came.
fn scene(more: &[(&str, &str)]) -> Scene {
    let by_hand = |settings: String| {
        settings
            .replace("[\"1s\", \"2s\", \"3s\", \"4s\"]", "[\"10m\"]")
            .replace("[\"6s\", \"9s\"]", "[\"20m\"]")
            .replace("push_delay = \"0s\"", "push_delay = \"1s\"")
    };
    let answers_within = (Duration::from_millis(20), Duration::from_millis(100));
    let behaviour = Behaviour { answers_within, ..Behaviour::kind() };
    let point = WaterPoint::start((3, behaviour), Called::start(takes), more, by_hand);
    point.provider.knows(NOWHERE);
    point.furnish(&[MANAGER]);
    let network = point.network();
    for number in [SUBSCRIBER, BUYER, PAYER, GUESSER, HURRIED] {
        let keys = ["1", "1", "Asha", "Njeri", "0042", NICKNAME];
        let shown = network.talk((&format!("r-{}", &number[1..]), number), &keys, true).unwrap();
        assert!(shown.contains("You are registered"), "{shown}");
        point.provider.decide(&number[1..], Fate::Pays { after: Duration::from_millis(100) });
    }
    buys(&point, SUBSCRIBER);
    let prompt = prompted(&point, SUBSCRIBER);
    assert_eq!(call_back(&point, &prompt, SUBSCRIBER).status, 200);
    let code = point.code_sent_to(SUBSCRIBER);
    buys(&point, PAYER);
    let prompt = prompted(&point, PAYER);
    for (session, number, typed, has) in [
        ("buys", BUYER, "0042*2", "Pay KES 100"),
        ("guesses", GUESSER, "", "Your PIN?"),
        ("logs-in", GUESSER, "", "Your PIN?"),
        ("registers", STRANGER, "1*1*Asha*Njeri*0042", "short name"),
        ("gives", MANAGER, &format!("1*{code}"), "30 jerrycans left"),
    ] {
        let shown = key(&point, session, number, typed);
        assert!(shown.starts_with("CON ") && shown.contains(has), "{session}: {shown}");
    }
    Scene { point, code, prompt }
}

/// What is shown after all of these keys.
fn key(point: &WaterPoint, session: &str, number: &str, typed: &str) -> String {
    let call = Call::begin(point.daemon.ports.public, &point.daemon.home(), session, number);
    call.unwrap().having_typed(typed).again().unwrap()
}

fn buys(point: &WaterPoint, number: &str) {
    let keys = ["0042", "2", "1"];
    let shown =
        point.network().talk((&format!("b-{}", &number[1..]), number), &keys, true).unwrap();
    assert!(shown.contains("ask for your PIN"), "{shown}");
}

/// The prompt of a number, once it is paid, and its receipt.
fn prompted(point: &WaterPoint, number: &str) -> (String, String) {
    let found = || {
        let taken = point.provider.taken().into_iter().find(|it| it.number == number[1..]);
        let is_known = payments_of(point, number).iter().any(|it| it["state"] == "prompted");
        taken.filter(|_| is_known).map(|it| (it.checkout, it.receipt))
    };
    // The stand-in's customers decide when somebody looks.
    assert!(until(PATIENCE, || found().is_some()), "{:?}", payments_of(point, number));
    found().unwrap()
}

fn payments_of(point: &WaterPoint, number: &str) -> Vec<Value> {
    let number = format!("msisdn:{number}");
    point.payments().into_iter().filter(|it| it["device"] == number.as_str()).collect()
}

/// The callback that says that a prompt was paid.
fn call_back(point: &WaterPoint, (checkout, receipt): &(String, String), number: &str) -> Answer {
    let item = |name: &str, value: Value| json!({ "Name": name, "Value": value });
    let number: u64 = number[1..].parse().unwrap();
    let body = json!({ "Body": { "stkCallback": {
        "MerchantRequestID": "1", "CheckoutRequestID": checkout, "ResultCode": 0,
        "ResultDesc": "The service request is processed successfully.",
        "CallbackMetadata": { "Item": [
            item("Amount", json!(100.0)), item("MpesaReceiptNumber", json!(receipt)),
            item("TransactionDate", json!(20_261_122_010_203_u64)),
            item("PhoneNumber", json!(number)),
        ]},
    }}});
    let path = format!("/payments/mpesa/{}", daraja::secret(&point.daemon.data()));
    let headers = [("Content-Type", "application/json")];
    let public = point.daemon.ports.public;
    http::once(public, "POST", &path, &headers, body.to_string().as_bytes()).unwrap()
}

/// All goes on: the payer has his code by the callback that comes again, the buyer buys, water is given.
fn goes_on(scene: &Scene) {
    let Scene { point, code, prompt } = scene;
    assert_eq!(call_back(point, prompt, PAYER).status, 200);
    point.code_sent_to(PAYER);
    if payments_of(point, BUYER).is_empty() {
        buys(point, BUYER);
    }
    let bought = prompted(point, BUYER);
    assert_eq!(call_back(point, &bought, BUYER).status, 200);
    point.code_sent_to(BUYER);
    for number in [PAYER, BUYER, SUBSCRIBER] {
        assert_eq!(point.provider.pushes(&number[1..]), 1, "{number}");
        assert_eq!(payments_of(point, number).len(), 1, "{number}");
    }
    let left = point.customer(SUBSCRIBER)["jerrycans_allowed"].as_u64().unwrap() - 1;
    let shown = point.network().talk(("g-2", MANAGER), &["1", code, "1"], true).unwrap();
    assert!(shown.contains(&format!("{left} are left")), "{shown}");
    point.provider.assert_no_faults();
}

fn full() {
    let mut scene = scene(&[("store", "quota = \"16 MiB\"")]);
    let Scene { point, code, prompt } = &scene;
    point.business.be(Mood::Refuses(503));
    let _ledger = fill(&point.daemon);
    for (session, number, typed) in [
        ("new", SUBSCRIBER, ""),
        ("buys", BUYER, "0042*2*1"),
        ("guesses", GUESSER, "0043"),
        ("registers", STRANGER, &format!("1*1*Asha*Njeri*0042*{NICKNAME}")),
        ("gives", MANAGER, &format!("1*{code}*1")),
    ] {
        let began = Instant::now();
        let shown = key(point, session, number, typed);
        let took = began.elapsed();
        let again = shown.to_lowercase().contains("dial again");
        assert!(shown.starts_with("END ") && again, "{session}: {shown}");
        assert!(took < GIVES_UP, "{session}: {took:?}");
    }
    assert_eq!(payments_of(point, BUYER), Vec::<Value>::new());
    assert_eq!(point.provider.pushes(&BUYER[1..]), 0);
    assert_eq!(point.customer(SUBSCRIBER)["jerrycans_allowed"], 30);
    // What says that money was taken has room: it is on disk by the time it is acknowledged.
    assert_eq!(call_back(point, prompt, PAYER).status, 200);
    scene.point.daemon.kill();
    scene.point.business.be(Mood::Accepts);
    scene.point.daemon.start_again();
    let point = &scene.point;
    let paid = &payments_of(point, PAYER)[0];
    let receipt = [&paid["receipt"], &paid["claimed_receipt"]];
    assert!(receipt.contains(&&json!(scene.prompt.1)), "{paid}");
    let network = point.network();
    let mut sessions = 0..;
    let is_open = || {
        let session = format!("open-{}", sessions.next().unwrap());
        network.talk((&session, STRANGER), &[], true).unwrap().starts_with("CON ")
    };
    assert!(until(LONG, is_open), "{}", point.daemon.log());
    point.code_sent_to(PAYER);
    goes_on(&scene);
}

/// Keys that need the store, each at its own phone, while the store hangs: each is told to try again, in
/// the time that an aggregator has.
fn told_while_it_hangs(scene: &Scene) {
    let Scene { point, code, .. } = scene;
    let last = [
        ("buys", BUYER, "0042*2*1".to_owned()),
        ("guesses", GUESSER, "0043".to_owned()),
        ("registers", STRANGER, format!("1*1*Asha*Njeri*0042*{NICKNAME}")),
        ("gives", MANAGER, format!("1*{code}*1")),
    ];
    thread::scope(|scope| {
        for (session, number, typed) in &last {
            scope.spawn(move || {
                let began = Instant::now();
                let shown = key(point, session, number, typed);
                let took = began.elapsed();
                let again = shown.to_lowercase().contains("dial again");
                assert!(shown.starts_with("END ") && again, "{session}: {shown}");
                assert!(took < GIVES_UP, "{session}: {took:?}");
            });
        }
    });
}

fn hangs() {
    let scene = scene(&[IN_TIME]);
    let Scene { point, prompt, .. } = &scene;
    buys(point, HURRIED);
    let hold = Hold::of(&point.daemon);
    thread::scope(|scope| {
        let callback = scope.spawn(|| call_back(point, prompt, PAYER));
        told_while_it_hangs(&scene);
        assert!(!callback.is_finished(), "it is acknowledged, and not on disk");
        let asked = point.provider.pushes(&HURRIED[1..]);
        assert_eq!(asked, 0, "a prompt whose intent is not on disk");
        drop(hold);
        assert_eq!(callback.join().unwrap().status, 200);
    });
    point.code_sent_to(PAYER);
    let prompt = prompted(point, HURRIED);
    assert_eq!(call_back(point, &prompt, HURRIED).status, 200);
    point.code_sent_to(HURRIED);
    assert_eq!(point.provider.pushes(&HURRIED[1..]), 1);
    // A wrong PIN is a try all the same. Who was told to dial again has had nothing.
    let counted = || {
        let id = point.customer(GUESSER)["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/water/customers/{id}");
        point.daemon.call("GET", &path, &Value::Null)["pin_tries"] == 1
    };
    assert!(until(PATIENCE, counted), "a wrong PIN is not counted");
    nothing_was_had(point);
    goes_on(&scene);
}

/// Neither a payment nor water nor an account.
fn nothing_was_had(point: &WaterPoint) {
    assert_eq!(payments_of(point, BUYER), Vec::<Value>::new());
    assert_eq!(point.provider.pushes(&BUYER[1..]), 0);
    assert_eq!(point.customer(SUBSCRIBER)["jerrycans_allowed"], 30);
    let shown = point.network().talk(("stranger", STRANGER), &[], true).unwrap();
    assert!(shown.contains("Choose a language"), "{shown}");
}

/// The same, and then it dies: nobody was told that it has what is lost.
fn killed_while_it_hangs() {
    let mut scene = scene(&[IN_TIME]);
    let hold = Hold::of(&scene.point.daemon);
    told_while_it_hangs(&scene);
    scene.point.daemon.kill();
    drop(hold);
    scene.point.daemon.start_again();
    nothing_was_had(&scene.point);
    goes_on(&scene);
}
