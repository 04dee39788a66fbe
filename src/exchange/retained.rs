//! The last message of each topic that was published to stay.

use super::index::UNLIMITED;
use super::{ExchangeOptions, Metrics, len};
use crate::store::{MqttChange, MqttRetainedRow, Operation};
use ::mqtt::{Filter, Message, Topic};
use jiff::Timestamp;
use model::Tenant;
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// Retained messages of all tenants.
#[derive(Debug)]
pub(super) struct Retained {
    held: RwLock<Held>,
    messages_max: usize,
    bytes_max: u64,
    message_bytes_max: u64,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Held {
    tenants: HashMap<Tenant, BTreeMap<Box<str>, Kept>>,
    count: usize,
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    key: u64,
    message: Arc<Message>,
}

/// A change that is in memory once it is on disk.
#[derive(Debug)]
pub(super) enum Step {
    Put(MqttRetainedRow),
    Remove { tenant: Tenant, topic: Box<str>, key: u64 },
}

impl Step {
    pub(super) fn operation(&self) -> Operation {
        Operation::Mqtt(match self {
            Self::Put(row) => MqttChange::PutRetained(row.clone()),
            Self::Remove { tenant, topic, key } => MqttChange::RemoveRetained {
                tenant: tenant.clone(),
                topic: topic.clone(),
                key: *key,
            },
        })
    }
}

impl Retained {
    pub(super) fn new(options: &ExchangeOptions, metrics: Metrics) -> Self {
        Self {
            held: RwLock::default(),
            messages_max: options.retained_messages_max,
            bytes_max: options.retained_bytes_max,
            message_bytes_max: options.retained_message_max,
            metrics,
        }
    }

    /// What becomes of a message that is to stay; `None` when there is nothing to do or no room.
    pub(super) fn step(&self, tenant: &Tenant, key: u64, message: &Arc<Message>) -> Option<Step> {
        let held = self.held.read();
        let before = held.tenants.get(tenant).and_then(|topics| topics.get(&message.topic));
        let tenant = tenant.clone();
        if message.payload.is_empty() {
            let topic = message.topic.clone();
            return before.is_some().then_some(Step::Remove { tenant, topic, key });
        }
        let (freed, is_new) = before.map_or((0, true), |kept| (len(&kept.message), false));
        let refused = if len(message) > self.message_bytes_max {
            Some("message")
        } else if is_new && held.count >= self.messages_max {
            Some("messages")
        } else if held.bytes - freed + len(message) > self.bytes_max {
            Some("bytes")
        } else {
            None
        };
        if let Some(reason) = refused {
            self.metrics.retained_refused.with_label_values(&[reason]).inc();
            return None;
        }
        Some(Step::Put(MqttRetainedRow { tenant, key, message: Arc::clone(message) }))
    }

    /// A change is on disk.
    pub(super) fn apply(&self, step: Step) {
        let mut held = self.held.write();
        match step {
            Step::Put(row) => held.put(row),
            Step::Remove { tenant, topic, key } => held.remove(&tenant, &topic, key),
        }
        self.show(&held);
    }

    /// Takes in what is on disk.
    pub(super) fn load(&self, rows: Vec<MqttRetainedRow>) {
        let mut held = self.held.write();
        rows.into_iter().for_each(|row| held.put(row));
        self.show(&held);
    }

    /// What is retained of the topics that a filter names, in the order of the topics.
    pub(super) fn matching(
        &self,
        tenant: &Tenant,
        filter: &str,
        now: Timestamp,
    ) -> Vec<Arc<Message>> {
        let Ok(parsed) = Filter::parse(filter, UNLIMITED) else { return Vec::new() };
        let held = self.held.read();
        let Some(topics) = held.tenants.get(tenant) else { return Vec::new() };
        let is_fresh = |kept: &&Kept| !kept.is_expired(now);
        let Some(wildcard) = filter.find(['+', '#']) else {
            let found = topics.get(filter).filter(is_fresh);
            return found.map(|kept| Arc::clone(&kept.message)).into_iter().collect();
        };
        // `sport/#` takes `sport`, too.
        let before = filter[..wildcard].trim_end_matches('/');
        let from = (Bound::Included(before), Bound::Unbounded);
        let below = topics.range::<str, _>(from).take_while(|(topic, _)| topic.starts_with(before));
        let matching = below.filter(|(topic, _)| {
            Topic::parse(topic, UNLIMITED).is_ok_and(|topic| parsed.matches(topic))
        });
        let fresh = matching.map(|(_, kept)| kept).filter(is_fresh);
        fresh.map(|kept| Arc::clone(&kept.message)).collect()
    }

    /// The changes that take away what has expired, at most so many.
    pub(super) fn expired(&self, now: Timestamp, max: usize) -> Vec<Step> {
        let held = self.held.read();
        let all = held.tenants.iter().flat_map(|(tenant, topics)| {
            topics.iter().map(move |(topic, kept)| (tenant, topic, kept))
        });
        let expired = all.filter(|(_, _, kept)| kept.is_expired(now)).take(max);
        expired
            .map(|(tenant, topic, kept)| Step::Remove {
                tenant: tenant.clone(),
                topic: topic.clone(),
                key: kept.key,
            })
            .collect()
    }

    fn show(&self, held: &Held) {
        self.metrics.retained.set(i64::try_from(held.count).unwrap_or(i64::MAX));
        self.metrics.retained_bytes.set(i64::try_from(held.bytes).unwrap_or(i64::MAX));
    }
}

impl Kept {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.message.expires_at.is_some_and(|at| at <= now)
    }
}

impl Held {
    fn put(&mut self, row: MqttRetainedRow) {
        let topics = self.tenants.entry(row.tenant).or_default();
        if topics.get(&row.message.topic).is_some_and(|kept| kept.key > row.key) {
            return;
        }
        self.bytes += len(&row.message);
        let topic = row.message.topic.clone();
        match topics.insert(topic, Kept { key: row.key, message: row.message }) {
            Some(before) => self.bytes -= len(&before.message),
            None => self.count += 1,
        }
    }

    fn remove(&mut self, tenant: &Tenant, topic: &str, key: u64) {
        let Some(topics) = self.tenants.get_mut(tenant) else { return };
        if topics.get(topic).is_none_or(|kept| kept.key > key) {
            return;
        }
        if let Some(kept) = topics.remove(topic) {
            self.count -= 1;
            self.bytes -= len(&kept.message);
        }
    }
}
