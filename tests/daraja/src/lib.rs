//! A Daraja of our own: prompts, people who answer them, and everything that goes wrong between.
//!
//! It is asked like the real one, in HTTP's terms ([`Call`]), and answers like it ([`Reply`]). Time is
//! an argument and only moves on when it is called; [`Daraja::next_at`] says when it has something to
//! do. Callbacks are handed out by [`Daraja::due`], and come again unless [`Daraja::answered`] says
//! 200. Who was really charged is in [`Daraja::taken`]. Everything is drawn from a seed; how often
//! what goes wrong is in [`Behaviour`], and [`Daraja::decide`] scripts a single phone.
//!
//! It judges requests by its own reading of the documents and shares no code with what writes them,
//! so that the two check each other. For tests only. No socket, no clock.

mod behaviour;
mod body;
mod chance;
mod judge;
mod prompt;

pub use behaviour::{Behaviour, Fate};

use chance::Chance;
use jiff::{SignedDuration, Timestamp};
use judge::{Fault, Query};
use prompt::{Outgoing, Prompt};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Whom Daraja knows, and by which keys.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// The key of his program.
    pub consumer_key: String,
    /// Its secret.
    pub consumer_secret: String,
    /// His number.
    pub short_code: String,
    /// What his passwords are made with.
    pub passkey: String,
    /// `CustomerPayBillOnline` or `CustomerBuyGoodsOnline`.
    pub transaction_type: String,
    /// Who is paid: the short code, or a till.
    pub party_b: String,
}

/// A request, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// Names in any case.
    pub headers: &'a [(&'a str, &'a str)],
    /// As it came.
    pub body: &'a [u8],
}

/// What the caller of [`Daraja::request`] gets.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An answer.
    Answer(Answer),
    /// The request had its effect, and the connection is cut.
    Cut {
        /// How long after the request.
        after: Duration,
    },
    /// Nobody listens: the request did not arrive.
    Refused,
}

/// An answer in HTTP's terms.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: &'static str,
    /// JSON, or a page.
    pub body: String,
    /// How long after the request.
    pub after: Duration,
}

/// A callback on its way.
#[derive(Clone, Debug)]
pub struct CallbackOut {
    /// For [`Daraja::answered`].
    pub id: u64,
    /// Where it goes.
    pub url: String,
    /// JSON.
    pub body: String,
    /// Whether somebody else sends it.
    pub is_forged: bool,
}

/// Money that left a customer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken {
    /// The prompt.
    pub checkout: String,
    /// `2547…`.
    pub number: String,
    /// Whole shillings.
    pub amount: u32,
    /// The receipt's number.
    pub receipt: String,
    /// When.
    pub at: Timestamp,
}

/// How often what was done to callers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Tokens given.
    pub tokens: u32,
    /// Prompts accepted.
    pub pushes: u32,
    /// Requests that were refused for what stood in them.
    pub faults: u32,
    /// Requests refused for their token.
    pub stale_tokens: u32,
    /// Connections cut after the effect, and pages in place of its answer.
    pub hidden: u32,
    /// Callbacks never sent.
    pub lost: u32,
    /// Callbacks sent before the answer to their push.
    pub early: u32,
}

/// The stand-in.
#[derive(Debug)]
pub struct Daraja {
    merchant: Merchant,
    behaviour: Behaviour,
    chance: Chance,
    tokens: Vec<(String, Timestamp)>,
    prompts: Vec<Prompt>,
    outbox: Vec<Outgoing>,
    sent: BTreeMap<u64, Outgoing>,
    fates: BTreeMap<String, VecDeque<Fate>>,
    engaged: BTreeMap<String, Timestamp>,
    taken: Vec<Taken>,
    seen: Seen,
    /// How far callers' calendars are off.
    calendar: SignedDuration,
    next_id: u64,
}

impl Daraja {
    /// One that knows one merchant.
    pub fn new(seed: u64, behaviour: Behaviour, merchant: Merchant) -> Self {
        Self {
            merchant,
            behaviour,
            chance: Chance::new(seed),
            tokens: Vec::new(),
            prompts: Vec::new(),
            outbox: Vec::new(),
            sent: BTreeMap::new(),
            fates: BTreeMap::new(),
            engaged: BTreeMap::new(),
            taken: Vec::new(),
            seen: Seen::default(),
            calendar: SignedDuration::ZERO,
            next_id: 1,
        }
    }

    /// What becomes of the next prompt on that phone (`2547…`); several are taken in turn.
    pub fn decide(&mut self, number: &str, fate: Fate) {
        self.fates.entry(number.to_owned()).or_default().push_back(fate);
    }

    /// That phone has a dialogue open until then, and can show no prompt.
    pub fn engage(&mut self, number: &str, until: Timestamp) {
        self.engaged.insert(number.to_owned(), until);
    }

    /// Takes back every token.
    pub fn revoke_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Changes how it behaves from now on.
    pub fn behave(&mut self, behaviour: Behaviour) {
        self.behaviour = behaviour;
    }

    /// Callers' calendars are off by that from now on, and it takes their `Timestamp`s all the same.
    pub fn follow(&mut self, off: SignedDuration) {
        self.calendar = off;
    }

    /// All money that was ever taken, in order.
    pub fn taken(&self) -> &[Taken] {
        &self.taken
    }

    /// How often what was done.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Carries out a request that arrives at `now`.
    pub fn request(&mut self, call: &Call<'_>, now: Timestamp) -> Reply {
        self.advance(now);
        if self.chance.happens(self.behaviour.refuses_connection) {
            return Reply::Refused;
        }
        let (soonest, latest) = self.behaviour.answers_within;
        let after = self.chance.between(soonest, latest);
        if self.chance.happens(self.behaviour.spikes) {
            return Reply::Answer(body::spike(self.chance.happens(500), after));
        }
        let is_page = self.chance.happens(self.behaviour.pages);
        if is_page && self.chance.happens(500) {
            return Reply::Answer(body::page(self.chance.happens(500), after));
        }
        let pushes = self.seen.pushes;
        let answer = self.route(call, now, after);
        let is_cut = self.chance.happens(self.behaviour.cuts);
        if is_page || is_cut {
            self.seen.hidden += u32::from(self.seen.pushes > pushes);
            let page = || body::page(true, after);
            return if is_cut { Reply::Cut { after } } else { Reply::Answer(page()) };
        }
        Reply::Answer(answer)
    }

    /// The callbacks that leave until `now`.
    pub fn due(&mut self, now: Timestamp) -> Vec<CallbackOut> {
        self.advance(now);
        let is_due = |it: &mut Outgoing| it.at <= now;
        let mut due: Vec<_> = self.outbox.extract_if(.., is_due).collect();
        due.sort_by_key(|it| (it.at, it.id));
        let out = |it: &Outgoing| CallbackOut {
            id: it.id,
            url: it.url.clone(),
            body: it.body.clone(),
            is_forged: it.is_forged,
        };
        let outs = due.iter().map(out).collect();
        self.sent.extend(due.into_iter().map(|it| (it.id, it)));
        outs
    }

    /// How a callback was answered at `now`; `None` where nobody did. Anything but 200 brings it again,
    /// three times in all.
    pub fn answered(&mut self, id: u64, status: Option<u16>, now: Timestamp) {
        let Some(mut outgoing) = self.sent.remove(&id) else { return };
        let is_done = status == Some(200) || outgoing.is_forged;
        if is_done || outgoing.tries_left == 0 && !outgoing.is_certain {
            return;
        }
        outgoing.tries_left = outgoing.tries_left.saturating_sub(1);
        outgoing.at = later(now, self.chance.between(secs(5), secs(60)));
        self.outbox.push(outgoing);
    }

    /// When something happens here next: a customer decides, or a callback leaves.
    pub fn next_at(&self) -> Option<Timestamp> {
        let decides = self.prompts.iter().filter_map(Prompt::due_at);
        decides.chain(self.outbox.iter().map(|it| it.at)).min()
    }

    fn route(&mut self, call: &Call<'_>, now: Timestamp, after: Duration) -> Answer {
        let (path, query) = call.path.split_once('?').unwrap_or((call.path, ""));
        let answered = match path {
            "/oauth/v1/generate" => self.give_token(call, query, now),
            "/mpesa/stkpush/v1/processrequest" => self.push(call, now, after),
            "/mpesa/stkpushquery/v1/query" => self.query(call, now),
            _ => Err(Fault::new(404, "404.001.01", "Resource not found")),
        };
        answered.map_or_else(
            |fault| {
                self.seen.stale_tokens += u32::from(fault.code == "404.001.03");
                self.seen.faults += u32::from(fault.is_wrong);
                body::fault(&fault, &self.chance.id(), after)
            },
            |body| body::json(200, &body, after),
        )
    }

    fn give_token(
        &mut self,
        call: &Call<'_>,
        query: &str,
        now: Timestamp,
    ) -> Result<serde_json::Value, Fault> {
        judge::sign_in(&self.merchant, call, query)?;
        let token = self.chance.token();
        self.tokens.push((token.clone(), later(now, self.behaviour.token_lifetime)));
        self.seen.tokens += 1;
        Ok(body::token(&token, self.behaviour.token_lifetime))
    }

    /// Whether it names a token that is still good; now and then none is.
    fn admit(&mut self, call: &Call<'_>, now: Timestamp) -> Result<(), Fault> {
        if self.chance.happens(self.behaviour.revokes_tokens) {
            self.tokens.clear();
        }
        self.tokens.retain(|(_, until)| now < *until);
        judge::bearer(call, |token| self.tokens.iter().any(|it| it.0 == token))
    }

    fn push(
        &mut self,
        call: &Call<'_>,
        now: Timestamp,
        after: Duration,
    ) -> Result<serde_json::Value, Fault> {
        self.admit(call, now)?;
        let push = judge::push(&self.merchant, call, now + self.calendar)?;
        let is_locked = self.engaged.get(&push.number).is_some_and(|until| now < *until)
            || self.prompts.iter().any(|it| it.is_open(&push.number, now));
        if is_locked && self.chance.happens(500) {
            return Err(Fault::locked());
        }
        let id = self.id();
        let fate = self.fate(&push.number, is_locked);
        let is_early =
            matches!(fate, Fate::Pays { .. }) && self.chance.happens(self.behaviour.early);
        let mut prompt = Prompt::new(id, push, now, fate);
        if is_early {
            prompt.hurry(later(now, after / 3));
            self.seen.early += 1;
        }
        self.seen.pushes += 1;
        self.forge(&prompt, now);
        let answer = body::accepted(&prompt);
        self.prompts.push(prompt);
        Ok(answer)
    }

    fn fate(&mut self, number: &str, is_locked: bool) -> Fate {
        if is_locked {
            return Fate::Fails { code: 1001, after: secs(1) };
        }
        let scripted = self.fates.get_mut(number).and_then(VecDeque::pop_front);
        scripted.unwrap_or_else(|| self.behaviour.draw(&mut self.chance))
    }

    fn query(&mut self, call: &Call<'_>, now: Timestamp) -> Result<serde_json::Value, Fault> {
        self.admit(call, now)?;
        let Query { checkout } = judge::query(&self.merchant, call, now + self.calendar)?;
        let found = self.prompts.iter().find(|it| it.checkout == checkout);
        let prompt = found.ok_or_else(Fault::unknown_prompt)?;
        let is_text = !self.chance.happens(self.behaviour.numbers_as_text);
        match prompt.result {
            Some(code) => Ok(body::result(prompt, code, is_text)),
            None if self.chance.happens(self.behaviour.pending_as_200) => {
                Ok(body::still_processing(prompt))
            }
            None => Err(Fault::processing()),
        }
    }

    /// Lets customers decide until `now`.
    fn advance(&mut self, now: Timestamp) {
        loop {
            let due = self.prompts.iter().enumerate();
            let due = due.filter_map(|(index, it)| Some((it.due_at()?, index))).min();
            let Some((at, index)) = due.filter(|it| it.0 <= now) else { return };
            self.resolve(index, at);
        }
    }

    fn resolve(&mut self, index: usize, at: Timestamp) {
        let prompt = &self.prompts[index];
        let is_turn = prompt.result.is_some();
        let is_repeat = self.taken.iter().any(|it| {
            it.number == prompt.number
                && it.amount == prompt.amount
                && at.duration_since(it.at) < SignedDuration::from_secs(120)
        });
        let code = match prompt.code_at(at) {
            0 if is_repeat => 17,
            code => code,
        };
        let prompt = &mut self.prompts[index];
        prompt.resolved(code, at);
        if code == 0 {
            let receipt = self.chance.receipt(self.taken.len());
            self.taken.push(Taken {
                checkout: prompt.checkout.clone(),
                number: prompt.number.clone(),
                amount: prompt.amount,
                receipt,
                at,
            });
        } else if is_turn {
            return;
        }
        self.call_back(index, code, at);
    }

    /// What is sent of an end: nothing, one callback, or two; soon or late.
    fn call_back(&mut self, index: usize, code: u32, at: Timestamp) {
        let is_certain = self.prompts[index].is_hurried;
        if !is_certain && self.chance.happens(self.behaviour.loses_callbacks) {
            self.seen.lost += 1;
            return;
        }
        let copies = if self.chance.happens(self.behaviour.repeats_callbacks) { 2 } else { 1 };
        for _ in 0..copies {
            let is_late = !is_certain && self.chance.happens(self.behaviour.delays_callbacks);
            let delay = match (is_certain, is_late) {
                (true, _) => Duration::ZERO,
                (false, true) => self.chance.between(secs(60), secs(300)),
                (false, false) => self.chance.between(Duration::ZERO, secs(3)),
            };
            let taken = self.taken.last().filter(|_| code == 0);
            let as_text = self.chance.happens(self.behaviour.numbers_as_text);
            let bare = self.chance.happens(self.behaviour.bare_balances);
            let body = body::callback(&self.prompts[index], code, taken, as_text, bare);
            let id = self.id();
            let url = self.prompts[index].callback_url.clone();
            let at = later(at, delay);
            self.outbox.push(Outgoing {
                id,
                at,
                url,
                body,
                tries_left: 2,
                is_certain,
                is_forged: false,
            });
        }
    }

    /// Somebody who knows the address, and what is being paid.
    fn forge(&mut self, prompt: &Prompt, now: Timestamp) {
        if !self.chance.happens(self.behaviour.forges) {
            return;
        }
        let mut forged = prompt.clone();
        let kind = self.chance.below(3);
        match kind {
            0 => forged.amount += 1,
            1 => forged.checkout = format!("ws_CO_forged{}", self.chance.id()),
            _ => {}
        }
        let taken = Taken {
            checkout: forged.checkout.clone(),
            number: forged.number.clone(),
            amount: forged.amount,
            receipt: format!("F{}", self.chance.receipt(0)),
            at: now,
        };
        let body = body::callback(&forged, 0, Some(&taken), false, false);
        let at = later(now, self.chance.between(Duration::ZERO, secs(150)));
        let (id, url) = (self.id(), forged.callback_url);
        self.outbox.push(Outgoing {
            id,
            at,
            url,
            body,
            tries_left: 0,
            is_certain: false,
            is_forged: true,
        });
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn later(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}
