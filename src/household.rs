//! What menus may ask: each operation is answered by one part of the daemon, and what none of them
//! answers by the business backend, where there is one.

mod router;

pub use self::router::Routers;

use crate::clock::Clock;
use crate::effects::Effects;
use crate::outcall::{Base, CallFault, Lost, OutRequest, Outcall};
use async_trait::async_trait;
use model::{DeviceId, Redacted, Tenant};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;
use ussd::{Answer, Ask, AskMode};

/// What each part of the daemon answers, known before any of them runs: menus are checked by it.
const OPERATIONS: &[&[&str]] = &[router::OPERATIONS, crate::water::OPERATIONS];
/// Largest answer of a backend, in bytes: a screen holds 182 characters.
const ANSWER_LEN_MAX: usize = 16 * 1024;

/// What a backend that did not answer, or not in our words, is taken to have said.
const TROUBLE: [&str; 2] = ["unanswered", "unreadable"];

/// Whether the daemon itself answers `operation`.
pub fn answers(operation: &str) -> bool {
    OPERATIONS.iter().any(|part| part.contains(&operation))
}

/// A part of the daemon that answers some operations of menus.
#[async_trait]
pub trait Answers: Debug + Send + Sync + 'static {
    /// What it answers; of two parts that name the same operation the first one does.
    fn operations(&self) -> &'static [&'static str];

    /// Answers one question or has one effect; what was answered before ([`AskMode::Recall`]) is not
    /// asked of it. What goes wrong is a word that no menu maps, so that the dialogue goes its way for
    /// trouble.
    ///
    /// An effect ([`AskMode::Effect`]) happens at most once for each [`Ask::key`]: the same key is
    /// answered as it was the first time, for which [`Effects::keep`] is committed with it. Nobody waits
    /// beyond [`Ask::deadline`], but what was begun is ended.
    async fn answer(&self, ask: &Ask) -> Answer;
}

/// A business backend that answers menus.
#[derive(Debug)]
pub struct Backend {
    /// What calls it.
    pub outcall: Outcall,
    /// Where it is, and what it knows us by.
    pub base: Base,
}

/// Answers the questions of menus.
#[derive(Debug)]
pub struct Household {
    /// The parts of the daemon that do.
    pub parts: Vec<Arc<dyn Answers>>,
    /// What effects were answered.
    pub effects: Arc<Effects>,
    /// The time.
    pub clock: Clock,
    /// For what no part answers.
    pub backend: Option<Backend>,
}

impl Household {
    /// Answers one question ([`Answers::answer`]).
    pub async fn answer(&self, ask: &Ask) -> Answer {
        if ask.mode == AskMode::Recall {
            return self.effects.recalled(ask).await;
        }
        let is_its = |part: &&Arc<dyn Answers>| part.operations().contains(&&*ask.operation);
        if let Some(part) = self.parts.iter().find(is_its) {
            return part.answer(ask).await;
        }
        match &self.backend {
            Some(backend) => {
                let answer = backend.ask(ask, self.clock).await;
                if ask.mode == AskMode::Effect && !TROUBLE.contains(&&*answer.outcome) {
                    self.effects.keep_alone(ask, &answer).await;
                }
                answer
            }
            None => Answer::word("unanswered"),
        }
    }
}

/// What a backend is asked: `POST <url>/ussd/<operation>`.
#[derive(Serialize)]
struct Question<'a> {
    tenant: &'a Tenant,
    service: &'a str,
    caller: &'a DeviceId,
    language: &'a str,
    arguments: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
}

/// What it answers with 200.
#[derive(Deserialize)]
struct Answered {
    outcome: String,
    #[serde(default)]
    values: BTreeMap<String, Redacted<String>>,
}

impl Backend {
    async fn ask(&self, ask: &Ask, clock: Clock) -> Answer {
        let left = ask.deadline.since(clock.now().monotonic);
        let [unanswered, unreadable] = TROUBLE;
        let word = match self.outcall.call(self.request(ask, left)).await {
            Ok(answer) if answer.status < 400 => {
                let answered: Option<Answered> = serde_json::from_slice(answer.body.expose()).ok();
                if let Some(Answered { outcome, values }) = answered {
                    let values = values.into_iter().map(|(k, v)| (Cow::Owned(k), v)).collect();
                    return Answer { outcome: Cow::Owned(outcome), values };
                }
                unreadable
            }
            Ok(answer) => {
                let (operation, status) = (&*ask.operation, answer.status);
                warn!(operation, status, "the backend refused a question");
                unanswered
            }
            Err(CallFault::Unknown(Lost::TooLong)) => unreadable,
            Err(error) => {
                warn!(operation = &*ask.operation, %error, "the backend did not answer");
                unanswered
            }
        };
        Answer::word(word)
    }

    fn request(&self, ask: &Ask, within: Duration) -> OutRequest {
        let arguments =
            ask.arguments.iter().map(|(name, value)| (&**name, value.expose().as_str()));
        let question = Question {
            tenant: &ask.tenant,
            service: &ask.service,
            caller: &ask.device,
            language: &ask.language,
            arguments: arguments.collect(),
            idempotency_key: (ask.mode == AskMode::Effect).then_some(&*ask.key),
        };
        let body = serde_json::to_vec(&question).expect("texts are always JSON");
        let request = self.base.request(Method::POST, ["ussd", &*ask.operation], &[]);
        let request = request.with_json(Redacted(body));
        OutRequest { within: Some(within), body_max: ANSWER_LEN_MAX, ..request }
    }
}

#[cfg(test)]
mod tests;
