//! The daemon as it would be, with all its waits, and the world around it.

use super::store::{Id, Refused, Store, Work};
use backend::payment::{
    Claim, Input, Output, Payment, Pushed, Queried, State, Timing, only_adopter, step,
};
use daraja::{Behaviour, Call, CallbackOut, Daraja, Merchant, Reply};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Redacted};
use mpesa::{Account, AccountFields, Callback, Number, Order, PushAnswer, QueryAnswer, Token};
use std::collections::BTreeMap;
use std::time::Duration;

const BEGIN: Timestamp = Timestamp::constant(1_795_206_600, 0);
/// How long a call may take before it is given up.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) index: usize,
    pub(crate) device: DeviceId,
    pub(crate) amount: u32,
}

/// Where a piece of work stands still, and may be cut off by a crash.
#[derive(Debug)]
enum Wait {
    /// The intent is kept, no byte has left.
    BeforePush { attempt: u8 },
    /// The bytes are under way, and the answer is.
    PushSent { attempt: u8, reply: Reply, is_second: bool },
    /// The answer is here, and not kept. The payment was read at that version.
    PushAnswered { attempt: u8, read: Payment, pushed: Pushed },
    /// The question is under way, and the answer is.
    QuerySent { number: u32, checkout: Box<str>, reply: Reply },
    /// The answer is here, and not kept.
    QueryAnswered { number: u32, checkout: Box<str>, read: Payment, answer: Queried },
    /// It is kept that it is done, but not that its task is.
    Kept { work: Work },
    /// A callback was read, and is not kept.
    CalledBack { out: u64, claim: Claim, read: Option<Payment> },
}

impl Wait {
    fn name(&self) -> &'static str {
        match self {
            Self::BeforePush { .. } => "before the push",
            Self::PushSent { .. } => "after it",
            Self::PushAnswered { .. } => "after its answer",
            Self::QuerySent { .. } => "in a query",
            Self::QueryAnswered { .. } => "after a query's answer",
            Self::Kept { .. } => "after the commit",
            Self::CalledBack { .. } => "before a callback is kept",
        }
    }
}

#[derive(Debug)]
struct Running {
    at: Timestamp,
    /// Which payment; a callback's may not be known.
    id: Option<Id>,
    wait: Wait,
}

/// Chance of the world's own, apart from the stand-in's.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) daraja: Daraja,
    pub(crate) timing: Timing,
    pub(crate) now: Timestamp,
    /// How often what was cut off by a crash.
    pub(crate) cut_off: BTreeMap<&'static str, u32>,
    pub(crate) conflicts: u32,
    pub(crate) unreadable: u32,
    /// The receipts of callbacks that were answered with 200.
    pub(crate) heard: Vec<Box<str>>,
    dice: Dice,
    account: Account,
    token: Option<Token>,
    running: Vec<Running>,
    /// Who wants to pay, and when.
    wishes: Vec<(Timestamp, Customer)>,
    crashes: Vec<Timestamp>,
    down_until: Timestamp,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9) + 1);
        let behaviour =
            if seed.is_multiple_of(10) { Behaviour::kind() } else { Behaviour::hostile() };
        let mut wishes = Vec::new();
        for index in 0..1 + usize::try_from(dice.roll(3)).unwrap() {
            let device = DeviceId::msisdn(&format!("+25471234567{index}")).unwrap();
            let amount = [100, 100, 250][usize::try_from(dice.roll(3)).unwrap()];
            for _ in 0..1 + dice.roll(4) {
                let customer = Customer { index, device: device.clone(), amount };
                wishes.push((later(BEGIN, dice.roll(1_800_000)), customer));
            }
        }
        wishes.sort_by_key(|it| std::cmp::Reverse(it.0));
        let mut crashes: Vec<_> =
            (0..dice.roll(40)).map(|_| later(BEGIN, dice.roll(2_400_000))).collect();
        crashes.sort_by_key(|it| std::cmp::Reverse(*it));
        Self {
            store: Store::default(),
            daraja: Daraja::new(seed, behaviour, merchant()),
            timing: Timing::default(),
            now: BEGIN,
            cut_off: BTreeMap::new(),
            conflicts: 0,
            unreadable: 0,
            heard: Vec::new(),
            dice,
            account: account(),
            token: None,
            running: Vec::new(),
            wishes,
            crashes,
            down_until: BEGIN,
        }
    }

    /// Until nothing is due any more.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            let Some(next) = self.next_at() else { return };
            self.now = self.now.max(next);
            self.turn();
        }
        panic!("it does not come to an end");
    }

    fn next_at(&self) -> Option<Timestamp> {
        let tasks = self.store.tasks.values().filter(|it| !it.is_done && !it.is_leased);
        let ours = tasks.map(|it| it.at.max(self.down_until));
        let running = self.running.iter().map(|it| it.at);
        let wishes = self.wishes.last().map(|it| it.0.max(self.down_until));
        let crashes = self.crashes.last().copied();
        ours.chain(running).chain(wishes).chain(crashes).chain(self.daraja.next_at()).min()
    }

    /// One thing that is due; which of several is chance.
    fn turn(&mut self) {
        // Also by how much is under way, and not only by how long it takes.
        let is_struck = !self.running.is_empty() && self.dice.roll(25) == 0;
        if self.crashes.pop_if(|it| *it <= self.now).is_some() || is_struck {
            self.crash();
            return;
        }
        let first = self.dice.roll(4);
        let done = (0..4).any(|it| match (first + it) % 4 {
            0 => self.call_backs(),
            1 => self.go_on(),
            2 => self.begin(),
            _ => self.want(),
        });
        assert!(done, "nothing is due at {}", self.now);
    }

    fn is_up(&self) -> bool {
        self.down_until <= self.now
    }

    /// All that is not kept is gone, for up to five minutes.
    fn crash(&mut self) {
        for running in self.running.drain(..) {
            *self.cut_off.entry(running.wait.name()).or_default() += 1;
            if let Wait::CalledBack { out, .. } = running.wait {
                self.daraja.answered(out, None, self.now);
            }
        }
        self.store.forget_leases();
        self.token = None;
        let down_ms = [0, 1_000, 300_000][usize::try_from(self.dice.roll(3)).unwrap()];
        self.down_until = later(self.now, self.dice.roll(down_ms + 1));
    }

    fn want(&mut self) -> bool {
        if !self.is_up() {
            return false;
        }
        let Some((_, customer)) = self.wishes.pop_if(|it| it.0 <= self.now) else { return false };
        let is_free = self
            .store
            .rows
            .iter()
            .all(|row| row.customer.index != customer.index || !row.payment.blocks(self.now));
        if is_free {
            let device = customer.device.clone();
            let step = Payment::wanted(device, customer.amount, self.now, &self.timing);
            self.store.put(customer, step);
        }
        true
    }

    // Tasks.

    fn begin(&mut self) -> bool {
        let (now, is_up) = (self.now, self.is_up());
        // Now and then a lease is over although its holder lives.
        let is_over = self.dice.roll(50) == 0;
        let mut due = self.store.tasks.iter_mut().filter(|(_, task)| {
            is_up && task.at <= now && !task.is_done && (!task.is_leased || is_over)
        });
        let Some((&(id, work), task)) = due.next() else { return false };
        task.is_leased = true;
        match work {
            Work::Push(attempt) => {
                let outputs = self.keep(id, Input::PushDue { attempt });
                if outputs.contains(&Output::Push) {
                    self.wait(1_000, id, Wait::BeforePush { attempt });
                } else {
                    self.wait(20, id, Wait::Kept { work });
                }
            }
            Work::Check(number) => {
                let outputs = self.keep(id, Input::CheckDue { number });
                let checkout = self.store.rows[id].payment.checkout.as_ref();
                match checkout.map(|it| it.id.clone()) {
                    Some(checkout) if outputs.contains(&Output::Query) => {
                        let reply = self.ask(&checkout);
                        let after = answered_after(&reply);
                        let wait = Wait::QuerySent { number, checkout, reply };
                        self.running.push(Running { at: later(now, after), id: Some(id), wait });
                    }
                    Some(_) | None => self.wait(20, id, Wait::Kept { work }),
                }
            }
        }
        true
    }

    fn wait(&mut self, ms_max: u64, id: Id, wait: Wait) {
        let at = later(self.now, self.dice.roll(ms_max));
        self.running.push(Running { at, id: Some(id), wait });
    }

    /// What waited goes on.
    fn go_on(&mut self) -> bool {
        let due = self.running.iter().position(|it| it.at <= self.now);
        let Some(Running { id, wait, .. }) = due.map(|it| self.running.swap_remove(it)) else {
            return false;
        };
        match (id, wait) {
            (Some(id), Wait::BeforePush { attempt }) => self.push(id, attempt, false),
            (Some(id), Wait::PushSent { attempt, reply, is_second }) => {
                self.pushed(id, attempt, &reply, is_second);
            }
            (Some(id), Wait::PushAnswered { attempt, read, pushed }) => {
                let is_accepted = matches!(pushed, Pushed::Accepted { .. });
                let _ = self.keep_read(id, read, Input::Pushed(pushed));
                let is_named = self.store.rows[id].payment.checkout.is_some();
                assert!(!is_accepted || is_named);
                self.wait(20, id, Wait::Kept { work: Work::Push(attempt) });
            }
            (Some(id), Wait::QuerySent { number, checkout, reply }) => {
                let answer = self.queried(&checkout, &reply);
                let read = self.store.rows[id].payment.clone();
                self.wait(50, id, Wait::QueryAnswered { number, checkout, read, answer });
            }
            (Some(id), Wait::QueryAnswered { number, checkout, read, answer }) => {
                let _ = self.keep_read(id, read, Input::Queried { number, checkout, answer });
                self.wait(20, id, Wait::Kept { work: Work::Check(number) });
            }
            (Some(id), Wait::Kept { work }) => {
                self.store.tasks.get_mut(&(id, work)).unwrap().is_done = true;
            }
            (id, Wait::CalledBack { out, claim, read }) => {
                self.heard.extend(claim.receipt.clone());
                match (id, read) {
                    (Some(id), Some(read)) => {
                        let _ = self.keep_read(id, read, Input::CalledBack(claim));
                    }
                    _ => self.store.strays.push(claim),
                }
                self.daraja.answered(out, Some(200), self.now);
            }
            (None, wait) => panic!("{wait:?} without a payment"),
        }
        true
    }

    // The push.

    fn push(&mut self, id: Id, attempt: u8, is_second: bool) {
        let Some(token) = self.token() else {
            self.push_answered(id, attempt, Pushed::NotSent);
            return;
        };
        let row = &self.store.rows[id];
        let number = Number::of(&row.customer.device).unwrap();
        let order = Order::new(number, row.payment.amount, "LOD1", "Water").unwrap();
        let call = self.account.push_call(&token, &order, self.now);
        let reply = self.call(&call);
        let at = later(self.now, answered_after(&reply));
        let wait = Wait::PushSent { attempt, reply, is_second };
        self.running.push(Running { at, id: Some(id), wait });
    }

    fn pushed(&mut self, id: Id, attempt: u8, reply: &Reply, is_second: bool) {
        let pushed = match reply {
            Reply::Refused => Pushed::NotSent,
            Reply::Cut { .. } => Pushed::Unknown,
            Reply::Answer(answer) => {
                match PushAnswer::read(answer.status, answer.body.as_bytes()) {
                    PushAnswer::Accepted { checkout, merchant } => {
                        Pushed::Accepted { checkout, merchant }
                    }
                    PushAnswer::Refused { code } => Pushed::Refused { code },
                    PushAnswer::TokenRefused if is_second => Pushed::NotSent,
                    PushAnswer::TokenRefused => {
                        self.token = None;
                        self.push(id, attempt, true);
                        return;
                    }
                    PushAnswer::Unknown => Pushed::Unknown,
                }
            }
        };
        self.push_answered(id, attempt, pushed);
    }

    fn push_answered(&mut self, id: Id, attempt: u8, pushed: Pushed) {
        let read = self.store.rows[id].payment.clone();
        self.wait(50, id, Wait::PushAnswered { attempt, read, pushed });
    }

    // The query.

    fn ask(&mut self, checkout: &str) -> Reply {
        let Some(token) = self.token() else { return Reply::Refused };
        let call = self.account.query_call(&token, checkout, self.now);
        self.call(&call)
    }

    fn queried(&mut self, checkout: &str, reply: &Reply) -> Queried {
        let Reply::Answer(answer) = reply else { return Queried::Unknown };
        match QueryAnswer::read(checkout, answer.status, answer.body.as_bytes()) {
            QueryAnswer::Paid => Queried::Paid,
            QueryAnswer::Declined { code } => Queried::Declined { code },
            QueryAnswer::Pending => Queried::Pending,
            QueryAnswer::TokenRefused => {
                self.token = None;
                Queried::Unknown
            }
            QueryAnswer::Unknown => Queried::Unknown,
        }
    }

    fn token(&mut self) -> Option<Token> {
        if self.token.as_ref().is_none_or(|it| !it.is_fresh(self.now)) {
            self.token = match self.call(&self.account.token_call()) {
                Reply::Answer(it) => Token::read(it.status, it.body.as_bytes(), self.now).ok(),
                Reply::Cut { .. } | Reply::Refused => None,
            };
        }
        self.token.clone()
    }

    fn call(&mut self, call: &mpesa::Call) -> Reply {
        let headers: Vec<_> =
            call.headers.iter().map(|(name, value)| (*name, value.expose().as_str())).collect();
        let body = call.body.expose().as_bytes();
        let call = Call { method: call.method, path: call.path, headers: &headers, body };
        self.daraja.request(&call, self.now)
    }

    // The callbacks.

    fn call_backs(&mut self) -> bool {
        // Also where a customer decides, and nothing leaves.
        let is_due = self.daraja.next_at().is_some_and(|it| it <= self.now);
        for out in self.daraja.due(self.now) {
            self.call_back(&out);
        }
        is_due
    }

    fn call_back(&mut self, out: &CallbackOut) {
        if !self.is_up() {
            self.daraja.answered(out.id, None, self.now);
            return;
        }
        let Ok(callback) = Callback::parse(out.body.as_bytes()) else {
            self.unreadable += 1;
            return;
        };
        let claim = Claim {
            checkout: callback.checkout,
            code: Some(callback.code),
            amount_cents: callback.amount_cents,
            number: callback.number.and_then(|it| it.device()),
            receipt: callback.receipt,
        };
        let id = self.addressee(&claim);
        let read = id.map(|id| self.store.rows[id].payment.clone());
        let at = later(self.now, self.dice.roll(50));
        let wait = Wait::CalledBack { out: out.id, claim, read };
        self.running.push(Running { at, id, wait });
    }

    fn addressee(&self, claim: &Claim) -> Option<Id> {
        let open = || self.store.rows.iter().enumerate().map(|(id, row)| (id, &row.payment));
        self.store.by_checkout(&claim.checkout).or_else(|| only_adopter(claim, open()))
    }

    // The store.

    fn keep(&mut self, id: Id, input: Input) -> Vec<Output> {
        let read = self.store.rows[id].payment.clone();
        self.keep_read(id, read, input)
    }

    /// Steps from what was read; where that is not true any more, from what is.
    fn keep_read(&mut self, id: Id, mut read: Payment, input: Input) -> Vec<Output> {
        let mut is_receipt_taken = false;
        loop {
            let mut made = step(&read, input.clone(), self.now, &self.timing);
            if is_receipt_taken {
                made.payment.forget_receipt();
            }
            match self.store.keep(id, read.version, &made) {
                Ok(()) => return made.outputs,
                Err(Refused::Changed) => {
                    self.conflicts += 1;
                    read = self.store.rows[id].payment.clone();
                    // Another may have become its addressee meanwhile.
                    if let Input::CalledBack(claim) = &input
                        && self.addressee(claim) != Some(id)
                    {
                        self.store.strays.push(claim.clone());
                        return Vec::new();
                    }
                }
                Err(Refused::Receipt) => is_receipt_taken = true,
                Err(Refused::Checkout) => {
                    self.store.strays.push(stray_of(&input));
                    return Vec::new();
                }
            }
        }
    }

    /// The operator has looked at the provider's statement.
    pub(crate) fn settle(&mut self, id: Id, receipt: Option<&str>) {
        let input = Input::Settled { paid: receipt.is_some(), receipt: receipt.map(Into::into) };
        let _: Vec<Output> = self.keep(id, input);
    }

    pub(crate) fn states(&self, state: State) -> usize {
        self.store.rows.iter().filter(|it| it.payment.state == state).count()
    }
}

/// What is left for the operator of an input that names a prompt another payment has.
fn stray_of(input: &Input) -> Claim {
    match input {
        Input::CalledBack(claim) => claim.clone(),
        Input::Pushed(Pushed::Accepted { checkout, .. }) => Claim {
            checkout: checkout.clone(),
            code: None,
            amount_cents: None,
            number: None,
            receipt: None,
        },
        other => panic!("{other:?} names no prompt"),
    }
}

/// When the caller knows: an answer that takes too long is none, but it is one here.
fn answered_after(reply: &Reply) -> u64 {
    let after = match reply {
        Reply::Answer(answer) => answer.after,
        Reply::Cut { after } => *after,
        Reply::Refused => Duration::from_millis(1),
    };
    assert!(after < TIMEOUT);
    u64::try_from(after.as_millis()).unwrap()
}

fn later(at: Timestamp, ms: u64) -> Timestamp {
    at + SignedDuration::from_millis(i64::try_from(ms).unwrap())
}

fn merchant() -> Merchant {
    Merchant {
        consumer_key: "key".into(),
        consumer_secret: "secret".into(),
        short_code: "600100".into(),
        passkey: "passkey".into(),
        transaction_type: "CustomerBuyGoodsOnline".into(),
        party_b: "600123".into(),
    }
}

fn account() -> Account {
    Account::new(&AccountFields {
        consumer_key: "key",
        consumer_secret: Redacted("secret"),
        passkey: Redacted("passkey"),
        short_code: "600100",
        till: Some("600123"),
        transaction_type: mpesa::TransactionType::BuyGoods,
        callback_url: Redacted("https://gateway.example/payments/mpesa/s"),
    })
    .unwrap()
}
