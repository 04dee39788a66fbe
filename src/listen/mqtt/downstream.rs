//! What a client is sent: commands, what it has subscribed to, and what is retained.

use super::{Client, Driver};
use crate::commands::answer_topic;
use crate::exchange::is_retained;
use ::mqtt::{CloseReason, Delivery, NewSubscription, Undeliverable};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::{Command, CommandChange, CommandKind, CommandState, Payload};
use std::mem;
use tracing::warn;

/// Messages of a board that are fetched at once: as many as its window, as it is by default.
const TAKE: usize = 20;

impl Driver {
    /// Offers the client all that waits for it.
    pub(super) async fn offer(&mut self) {
        match self.client.as_deref() {
            Some(Client { program: Some(program), .. }) => {
                if !program.follows() {
                    // Resumed: it goes on where it was.
                    Box::pin(self.follow(&[])).await;
                }
                self.offer_events();
                self.offer_retained().await;
            }
            Some(_) => {
                self.offer_commands().await;
                self.offer_messages().await;
            }
            None => {}
        }
    }

    /// Offers the board every command that waits for it.
    async fn offer_commands(&mut self) {
        let Some(client) = &self.client else { return };
        let desk = &self.listener.parts.desk;
        for command in desk.queued(&client.tenant, &client.device) {
            let Some(delivery) = delivery(&command) else { continue };
            let id = delivery.command.clone();
            match self.session.deliver(delivery) {
                Ok(()) => self.count_down(),
                Err(Undeliverable::WindowFull | Undeliverable::NotConnected) => return,
                // Another subscription may bring it.
                Err(Undeliverable::NotSubscribed) => {}
                Err(
                    error @ (Undeliverable::NotAllowed
                    | Undeliverable::NotAnswerable
                    | Undeliverable::TooLong
                    | Undeliverable::Expired),
                ) => {
                    let cause = Some(error.to_string().into());
                    let change =
                        CommandChange { cause, ..CommandChange::new(id, CommandState::Failed) };
                    if self.listener.parts.pipeline.change(change).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Offers the program what is retained of what it newly subscribed to, while there is room.
    async fn offer_retained(&mut self) {
        while self.send_held() {
            let parts = &self.listener.parts;
            let Some(client) = self.client.as_deref_mut() else { return };
            if client.remembered.is_empty() && !parts.exchange.has_any(&client.seat) {
                return;
            }
            let taken = Box::pin(parts.exchange.take(&client.seat, TAKE)).await;
            let taken = taken.unwrap_or_default();
            if taken.is_empty() {
                return self.forget_remembered();
            }
            if let Some(program) = client.program.as_deref_mut() {
                taken.into_iter().for_each(|queued| program.hold(queued));
            }
        }
    }

    /// Offers the board what others published, while there is room.
    async fn offer_messages(&mut self) {
        loop {
            let parts = &self.listener.parts;
            let Some(client) = self.client.as_deref_mut() else { return };
            if client.waiting.is_empty() {
                if client.remembered.is_empty() && !parts.exchange.has_any(&client.seat) {
                    return;
                }
                match Box::pin(parts.exchange.take(&client.seat, TAKE)).await {
                    Ok(taken) => client.waiting.extend(taken),
                    Err(error) => {
                        // It comes back, and finds all as it was.
                        warn!(%error, "a board's messages could not be read");
                        let now = parts.clock.now();
                        return self.session.close(CloseReason::StoreFull, now);
                    }
                }
                if client.waiting.is_empty() {
                    return self.forget_remembered();
                }
            }
            if !self.send_waiting() {
                return;
            }
        }
    }

    /// Sends what was fetched; false when there is no more room.
    fn send_waiting(&mut self) -> bool {
        let now = self.listener.parts.clock.now();
        while let Some(client) = self.client.as_deref_mut() {
            let Some(queued) = client.waiting.front() else {
                client.waiting = Default::default();
                return true;
            };
            match self.session.send(&queued.message, queued.key, queued.through(), now) {
                Err(Undeliverable::WindowFull | Undeliverable::NotConnected) => return false,
                Err(never) => {
                    self.session.forget(queued.key);
                    let (exchange, key) = (&self.listener.parts.exchange, queued.key);
                    if is_retained(key) && never == Undeliverable::NotAllowed {
                        // Its filter names more than it may read.
                        exchange.acknowledged(&client.seat, &[key]);
                    } else {
                        exchange.give_up(&client.seat, key, never.code());
                    }
                }
                Ok(()) => {
                    self.listener.parts.metrics.mqtt_messages.with_label_values(&["down"]).inc()
                }
            }
            client.waiting.pop_front();
        }
        true
    }

    /// All that waited was handed in: what an earlier connection had beyond is needed no more.
    fn forget_remembered(&mut self) {
        let Some(client) = self.client.as_deref_mut() else { return };
        for key in mem::take(&mut client.remembered) {
            self.session.forget(key);
        }
    }

    /// What is retained is sent where a new subscription asks for it, as there is room: the exchange
    /// knows of it, where that was not kept with the answer.
    pub(super) fn send_retained(&self, filters: &[NewSubscription]) {
        let Some(client) = self.client.as_deref() else { return };
        if self.session.is_kept() {
            return;
        }
        for new in filters.iter().filter(|new| new.wants_retained) {
            self.listener.parts.exchange.send_retained(&client.seat, &new.filter);
        }
    }

    /// These messages are needed no more.
    pub(super) fn acknowledge(&mut self, keys: &[u64]) {
        let parts = &self.listener.parts;
        let Some(client) = self.client.as_deref_mut() else { return };
        match client.program.as_deref_mut() {
            Some(program) => program.acknowledged(parts, &client.seat, keys),
            None => parts.exchange.acknowledged(&client.seat, keys),
        }
    }

    pub(super) fn count_down(&self) {
        self.listener.parts.metrics.mqtt_messages.with_label_values(&["down"]).inc();
    }
}

/// The message that a command is.
fn delivery(command: &Command) -> Option<Delivery<'_>> {
    let CommandKind::Publish { topic, payload, qos, answer, correlation_data_base64 } =
        &command.kind
    else {
        return None;
    };
    let payload = match payload {
        Payload::Json(value) => match value.expose() {
            serde_json::Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
            other => other.to_string().into(),
        },
        // Checked when the command was taken, as the correlation data was.
        Payload::Base64(text) => STANDARD.decode(text.expose()).ok()?.into(),
    };
    let correlation = correlation_data_base64.as_deref().map(|base64| STANDARD.decode(base64));
    // What is sent again because it was not answered was acknowledged: it is another message.
    let duplicate = command.updated_at > command.created_at && command.retry_at.is_none();
    Some(Delivery {
        command: command.id.clone(),
        topic,
        payload,
        qos: *qos,
        duplicate,
        answer_topic: answer.then(|| answer_topic(topic, command.id.as_str())).flatten(),
        correlation: correlation.transpose().ok()?.map(Bytes::from),
    })
}
