//! What effects of menus were answered: the same key has no second effect, and a caller whose answer
//! was lost in a crash hears it again.
//!
//! Whoever answers an effect commits [`Effects::keep`] in the transaction that is the effect.

use crate::clock::Clock;
use crate::secrets::Vault;
use crate::store::{DialogueOperation, DialogueStore, EffectRow, Operation, ReadError, Writer};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Redacted, Tenant};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{debug, warn};
use ussd::{Answer, Ask};

/// How long an answer is kept: many times as long as a dialogue lasts.
pub const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Keeps and recalls the answers to effects.
#[derive(Debug)]
pub struct Effects {
    store: Arc<dyn DialogueStore>,
    writer: Writer,
    vault: Vault,
    clock: Clock,
}

/// An answer as it is kept.
#[derive(Deserialize, Serialize)]
struct Kept<'a> {
    outcome: Cow<'a, str>,
    values: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl Effects {
    /// Those that `store` keeps.
    pub fn new(
        store: Arc<dyn DialogueStore>,
        writer: Writer,
        vault: Vault,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self { store, writer, vault, clock })
    }

    /// What the effect of [`Ask::key`] was answered, if it was had. A key that another number had is
    /// answered `other_caller`, a word for trouble.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn recall(&self, ask: &Ask) -> Result<Option<Answer>, ReadError> {
        let Some(row) = self.store.effect(&ask.tenant, &ask.key).await? else { return Ok(None) };
        if row.device != ask.device {
            return Ok(Some(Answer::word("other_caller")));
        }
        let opened = self.vault.open(row.answer.expose());
        let answer = opened.and_then(|plain| {
            let kept: Kept<'_> = serde_json::from_slice(plain.expose()).ok()?;
            let value = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
                (Cow::Owned(name.into_owned()), Redacted(value.into_owned()))
            };
            let values = kept.values.into_iter().map(value).collect();
            Some(Answer { outcome: Cow::Owned(kept.outcome.into_owned()), values })
        });
        // Sealed under a key we no longer have: it was had all the same.
        Ok(Some(answer.unwrap_or_else(|| Answer::word("unreadable"))))
    }

    /// What must be committed in the transaction of the effect. It is refused as a conflict of
    /// [`EFFECT_KEPT`](crate::store::EFFECT_KEPT) where the key had its effect: answer what
    /// [`Effects::recall`] gives.
    pub fn keep(&self, ask: &Ask, answer: &Answer, now: Timestamp) -> Operation {
        self.keep_for((&ask.tenant, &ask.device), &ask.key, answer, now)
    }

    /// The same for an effect whose caller waits no longer.
    pub fn keep_for(
        &self,
        (tenant, device): (&Tenant, &DeviceId),
        key: &str,
        answer: &Answer,
        now: Timestamp,
    ) -> Operation {
        let values = answer.values.iter();
        let kept = Kept {
            outcome: Cow::Borrowed(&answer.outcome),
            values: values
                .map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value.expose())))
                .collect(),
        };
        let plain = Redacted(serde_json::to_vec(&kept).unwrap_or_default());
        Operation::Dialogue(DialogueOperation::KeepEffect(EffectRow {
            tenant: tenant.clone(),
            key: key.into(),
            device: device.clone(),
            answer: self.vault.seal(plain.expose()),
            made_at: now,
        }))
    }

    /// Keeps an answer by itself, for an effect that is known again by its key wherever it happens.
    /// What cannot be kept is asked for again after a crash, under the same key.
    pub async fn keep_alone(&self, ask: &Ask, answer: &Answer) {
        let operation = self.keep(ask, answer, self.clock.now().wall);
        if let Err(error) = self.writer.transact(vec![operation]).await {
            debug!(operation = &*ask.operation, %error, "an effect's answer is not kept");
        }
    }

    /// Answers [`AskMode::Recall`](ussd::AskMode::Recall). What cannot be read counts as not done:
    /// the caller confirms once more, and the same key is the same effect.
    pub async fn recalled(&self, ask: &Ask) -> Answer {
        let kept = self.recall(ask).await.unwrap_or_else(|error| {
            warn!(operation = &*ask.operation, %error, "an effect's answer cannot be read");
            None
        });
        kept.unwrap_or_else(|| Answer::word(Ask::NOT_DONE))
    }
}

#[cfg(test)]
mod tests;
