//! What the hub is told until it has it.

use super::super::backend::Change;
use super::wire::{self, Spelled};
use super::{Call, WaterHub, outcome};
use crate::store::{Operation, TaskRow};
use crate::tasks::{self, Handler, Outcome, Policy};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::Timestamp;
use model::{Json, Tenant};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The kind of the tasks that call the hub.
pub const CALLING: &str = "water.call";
/// How they are tried: records, reminders and ends, for a day; then it is the operator's.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(900);
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Calls at once: a hub that is dead must not hold up payments and texts.
const CALLS_MAX: usize = 4;
/// What a try needs beside its call.
const MARGIN: Duration = Duration::from_secs(15);

/// A task's body. Operators see it: names, numbers and codes are sealed.
#[derive(Deserialize, Serialize)]
struct Body {
    call: Box<str>,
    method: Box<str>,
    path: Vec<String>,
    sealed: Box<str>,
}

impl WaterHub {
    /// What has the hub told of that later, once for each key.
    pub(super) fn later(
        &self,
        tenant: &Tenant,
        key: &str,
        change: &Change,
        now: Timestamp,
    ) -> Operation {
        let Spelled { name, method, path, body } = wire::spelled(change);
        let sealed = self.parts.vault.seal(body.expose().as_bytes());
        let body = Json::of(&Body {
            call: name.into(),
            method: method.as_str().into(),
            path,
            sealed: STANDARD_NO_PAD.encode(sealed.expose()).into(),
        });
        Operation::PutTask(tasks::task(tenant, CALLING, key, None, body, now))
    }

    fn opened(&self, task: &TaskRow) -> Option<Spelled> {
        let body: Body = serde_json::from_str(task.body.as_str()).ok()?;
        let sealed = STANDARD_NO_PAD.decode(&*body.sealed).ok()?;
        let text = self.parts.vault.open_text(&sealed)?;
        let name = ["create_customer", "update_customer", "record"];
        Some(Spelled {
            name: name.into_iter().find(|it| **it == *body.call)?,
            method: Method::from_bytes(body.method.as_bytes()).ok()?,
            path: body.path,
            body: text,
        })
    }
}

/// Makes the calls that are made later.
#[derive(Debug)]
pub struct Later {
    /// The hub.
    pub hub: Arc<WaterHub>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

impl Later {
    /// How its tasks are tried.
    pub fn policy(&self) -> Policy {
        Policy {
            retry_min: RETRY_MIN,
            retry_max: RETRY_MAX,
            age_max: AGE_MAX,
            lease: self.timeout + MARGIN,
        }
    }
}

#[async_trait]
impl Handler for Later {
    async fn carry_out(&self, task: &TaskRow) -> Outcome {
        let hub = &self.hub;
        let Some(Spelled { name, method, path, body }) = hub.opened(task) else {
            return Outcome::Hopeless { cause: "it cannot be read".into() };
        };
        let call = Call {
            tenant: &task.tenant,
            name,
            method,
            path,
            query: Vec::new(),
            key: Some(&task.key),
            body: Some(body),
        };
        let answer = hub.parts.outcall.call(hub.request(call)).await;
        let word = match &answer {
            Ok(answer) => outcome(answer.status),
            Err(fault) => fault.code(),
        };
        hub.parts.metrics.called(name, word);
        let Ok(answer) = answer else {
            return Outcome::Failed { cause: "the hub did not answer".into(), retry_after: None };
        };
        let (status, retry_after) = (answer.status, answer.retry_after);
        match status {
            200..=299 => Outcome::Done { answer: status.to_string().into() },
            // It knows the record or the change, or he has changed since: he was told of it before.
            409 if name == "record" => Outcome::Done { answer: "known".into() },
            409 => match wire::conflict(answer.body.expose()).as_deref() {
                Some("changed" | "known") => Outcome::Done { answer: "known".into() },
                Some(word) => Outcome::Hopeless { cause: format!("refused: {word}").into() },
                // An earlier call under the key may be under way.
                None => Outcome::Failed { cause: "answered 409".into(), retry_after },
            },
            400 | 404 | 405 | 410 | 413 | 422 => {
                Outcome::Hopeless { cause: format!("refused with {status}").into() }
            }
            _ => Outcome::Failed { cause: format!("answered {status}").into(), retry_after },
        }
    }

    fn at_once(&self) -> usize {
        CALLS_MAX
    }
}
