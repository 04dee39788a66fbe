//! Callers, through Africa's Talking's form over a connection that is kept open.
//!
//! A dialogue has two facts: that it began, which the first screen acknowledges, and that it ended,
//! which an END acknowledges unless its text says that nothing is promised.

use crate::http::{Answer, Client, HttpError};
use crate::meter::Kind;
use crate::world::World;
use bytes::Bytes;
use hyper::StatusCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};
use ussd::aggregator::AfricasTalking;
use ussd::{Handset as _, Keyed};

/// When a caller presses the next key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At once.
    Flat,
    /// Some time after the screen.
    Think(Duration),
    /// By the clock, whatever the server does; late keys count as waiting.
    Every(Duration),
}

/// What one caller is and does.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Its first place in the ledger; each number has one.
    pub(crate) stream: u32,
    /// Numbers that it calls from in turn.
    pub(crate) numbers: Vec<String>,
    /// Keys of its dialogues, in turn; each ends at an END.
    pub(crate) scripts: Vec<Vec<&'static str>>,
    /// When it presses them.
    pub(crate) pace: Pace,
    /// When it begins.
    pub(crate) offset: Duration,
    /// Which service's code it dials.
    pub(crate) service: String,
    /// Any 200 will do: the server is a bare one.
    pub(crate) bare: bool,
}

/// Beginnings of last screens that promise nothing: the disk was late or full, or the daemon was.
const NO_PROMISE: [&str; 4] = [
    "END We cannot serve you right now",
    "END Hatuwezi kukuhudumia sasa",
    "END This takes longer",
    "END Inachukua muda",
];

/// How a hop is sent.
pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Most tries for one hop; an aggregator gives up about then.
const TRIES_MAX: u32 = 20;

/// Wait between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Calls until the load ends.
pub(crate) async fn run(world: Arc<World>, spec: Spec) {
    let due = Instant::now() + spec.offset;
    let path = world.secrets.ussd_path(&spec.service);
    let mut caller = Caller { world: &world, spec: &spec, path, client: None, due };
    sleep(spec.offset).await;
    world.is_ready();
    for turn in 0_usize.. {
        if world.stop.is_cancelled() {
            return;
        }
        caller.dialogue(turn).await;
    }
}

struct Caller<'a> {
    world: &'a World,
    spec: &'a Spec,
    path: String,
    client: Option<Client>,
    due: Instant,
}

/// What a hop came to.
enum Hop {
    Continue,
    End { promised: bool },
    Failed,
}

impl Caller<'_> {
    async fn dialogue(&mut self, turn: usize) {
        let at = turn % self.spec.numbers.len();
        let stream = self.spec.stream + u32::try_from(at).unwrap_or(0);
        let ledger = &self.world.ledger;
        let (started, ended) = (ledger.offer(stream), ledger.offer(stream));
        let session = format!("ATUid_{}", ledger.tag(stream, started / 2));
        let script = &self.spec.scripts[turn % self.spec.scripts.len()];
        let mut text = String::new();
        for hop in 0..=script.len() {
            if let Some(key) = hop.checked_sub(1).and_then(|at| script.get(at)) {
                if !text.is_empty() {
                    text.push('*');
                }
                text.push_str(key);
            }
            self.wait().await;
            let form = form(&session, &self.spec.numbers[at], &text);
            if hop > 0 && !self.is_connected() {
                // Behind a new connection may be a new daemon, which begins the dialogue anew.
                self.again(stream, [started, ended]);
            }
            match self.hop(&form, stream, [started, ended]).await {
                Hop::Continue if hop == 0 => ledger.acknowledge(stream, started),
                Hop::Continue => {}
                Hop::End { promised } => {
                    if promised && hop > 0 {
                        ledger.acknowledge(stream, ended);
                    } else {
                        self.world.meter.error(Kind::UssdHop, "END without a promise");
                        self.abandon(stream, [started, ended]);
                    }
                    return;
                }
                Hop::Failed => return self.abandon(stream, [started, ended]),
            }
        }
        if !self.spec.bare {
            self.world.meter.error(Kind::UssdHop, "the menu went on after the last key");
        }
        self.abandon(stream, [started, ended]);
    }

    fn abandon(&self, stream: u32, facts: [u32; 2]) {
        for fact in facts {
            self.world.ledger.abandon(stream, fact);
        }
    }

    fn again(&self, stream: u32, facts: [u32; 2]) {
        for fact in facts {
            self.world.ledger.offer_again(stream, fact);
        }
    }

    /// Waits until the next key is due.
    async fn wait(&mut self) {
        match self.spec.pace {
            Pace::Flat => self.due = Instant::now(),
            Pace::Think(think) => {
                sleep(think).await;
                self.due = Instant::now();
            }
            Pace::Every(every) => {
                sleep_until(self.due.into()).await;
                self.due += every;
            }
        }
    }

    /// One hop, repeated word for word while the server is away, as aggregators do.
    async fn hop(&mut self, form: &str, stream: u32, facts: [u32; 2]) -> Hop {
        let due = match self.spec.pace {
            Pace::Every(every) => self.due.checked_sub(every).unwrap_or(self.due),
            Pace::Flat | Pace::Think(_) => self.due,
        };
        for _ in 0..TRIES_MAX {
            let was_open = self.client.is_some();
            match self.post(form).await {
                Ok(answer) => {
                    self.world.meter.record(Kind::UssdHop, stream, due.elapsed());
                    return self.read(&answer);
                }
                Err(error) => {
                    self.client = None;
                    self.world.meter.error(Kind::UssdHop, error.to_string());
                }
            }
            // The daemon may have taken the hop and died, or may begin the dialogue anew.
            self.again(stream, facts);
            if self.world.stop.is_cancelled() {
                break;
            }
            if !was_open {
                sleep(TRY_AGAIN_AFTER).await;
            }
        }
        Hop::Failed
    }

    async fn post(&mut self, form: &str) -> Result<Answer, HttpError> {
        if !self.is_connected() {
            self.client = Some(Client::connect(self.world.targets.ussd, None, None).await?);
        }
        let client = self.client.as_mut().ok_or(HttpError::Lost)?;
        let answer =
            client.post(&self.path, &[FORM], Bytes::copy_from_slice(form.as_bytes())).await?;
        if answer.closes() {
            self.client = None;
        }
        Ok(answer)
    }

    fn is_connected(&self) -> bool {
        self.client.as_ref().is_some_and(Client::is_open)
    }

    fn read(&self, answer: &Answer) -> Hop {
        if self.spec.bare {
            return Hop::Continue;
        }
        if answer.status != StatusCode::OK {
            self.world.meter.error(Kind::UssdHop, answer.status.as_str());
            return Hop::Failed;
        }
        let text = String::from_utf8_lossy(&answer.body);
        if text.starts_with("CON ") {
            Hop::Continue
        } else if text.starts_with("END ") {
            Hop::End { promised: !NO_PROMISE.iter().any(|it| text.starts_with(it)) }
        } else {
            self.world.meter.error(Kind::UssdHop, "neither CON nor END");
            Hop::Failed
        }
    }
}

/// Africa's Talking's form.
pub(crate) fn form(session: &str, number: &str, text: &str) -> String {
    let (service_code, network, typed) = ("*384#", "99999", &[text]);
    let keyed = Keyed { session, number, service_code, network, typed, hop: 0 };
    AfricasTalking::default().call(&keyed).body
}
