//! A batch: which events go together, and as which bytes.

use super::parked::ParkedDevices;
use super::{Message, cloud_event};
use crate::store::{Position, StoredEvent};
use bytes::Bytes;
use std::collections::{BTreeSet, HashSet, VecDeque};

/// Events that travel together, and what lies between them.
pub(super) struct Batch {
    /// What is sent. Never empty.
    pub(super) events: Vec<StoredEvent>,
    /// Events in between whose devices are parked: they become dead letters when the cursor passes.
    pub(super) behind: Vec<StoredEvent>,
    /// Everything up to here is done with once the batch is taken.
    pub(super) end: Position,
    /// The bytes.
    pub(super) message: Message,
}

/// Turns events into one message; what `write` refuses to add stays behind.
pub(super) struct MessageWriter {
    body: Vec<u8>,
    ends: Vec<usize>,
    bytes_max: usize,
}

impl MessageWriter {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self::with_capacity(bytes_max, 0)
    }

    /// One whose body will have about so many bytes.
    fn with_capacity(bytes_max: usize, bytes: usize) -> Self {
        let mut body = Vec::with_capacity(bytes);
        body.push(b'[');
        Self { body, ends: Vec::new(), bytes_max }
    }

    /// Adds an event; false, and nothing added, when it would go beyond the bound. The first always
    /// fits.
    pub(super) fn add(&mut self, source: &str, event: &StoredEvent) -> bool {
        let before = self.body.len();
        let first = before == 1;
        if !first {
            self.body.push(b',');
        }
        cloud_event::write(&mut self.body, source, event);
        if !first && self.body.len() >= self.bytes_max {
            self.body.truncate(before);
            return false;
        }
        self.ends.push(self.body.len());
        true
    }

    /// The message. Its id is made of the sink's name, where the batch begins and ends, and a
    /// checksum of the body: the same batch has the same id in every attempt and after a restart,
    /// and a batch that differs (the filter was changed meanwhile) never passes for another.
    pub(super) fn finish(mut self, sink: &str, events: &[StoredEvent]) -> Message {
        self.body.push(b']');
        let first = events.first().map_or_else(Position::default, |event| event.position);
        let last = events.last().map_or_else(Position::default, |event| event.position);
        let checksum = crc32fast::hash(&self.body);
        let id = format!("{sink}_{first}_{last}_{checksum:08x}").into_boxed_str();
        Message { id, body: Bytes::from(self.body), ends: self.ends.into() }
    }
}

/// The events that were read and have not been taken yet, oldest first.
#[derive(Default)]
pub(super) struct Window {
    events: VecDeque<StoredEvent>,
    bytes: usize,
    /// Bytes of the body that was taken last: the next will have as many.
    body_bytes: usize,
    /// Delivered out of turn as a probe: not to be sent again. Never stored.
    ahead: BTreeSet<Position>,
}

/// Bounds of one batch.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) rows_max: usize,
    pub(super) bytes_max: usize,
    /// Where the batch ends at the latest: it was stored before a restart.
    pub(super) end_max: Option<Position>,
}

/// What a walk over the window yields: a batch, or only what lies between batches.
pub(super) struct Taken {
    pub(super) batch: Option<Batch>,
    /// When there is no batch: events of parked devices that were walked over.
    pub(super) behind: Vec<StoredEvent>,
}

impl Window {
    pub(super) fn push(&mut self, event: StoredEvent) {
        self.bytes += event.data.as_str().len();
        self.events.push_back(event);
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Bytes of data held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next batch off. `read_to` is where reading has come to: what was filtered out at
    /// the end counts as walked over.
    pub(super) fn take(
        &mut self,
        (sink, source): (&str, &str),
        bounds: Bounds,
        parked: &ParkedDevices,
        read_to: Position,
    ) -> Taken {
        let mut writer = MessageWriter::with_capacity(bounds.bytes_max, self.body_bytes);
        let (mut events, mut behind, mut last) = (Vec::new(), Vec::new(), None);
        while let Some(event) = self.events.front() {
            let beyond = bounds.end_max.is_some_and(|end| event.position > end);
            if events.len() >= bounds.rows_max || beyond {
                break;
            }
            let ahead = self.ahead.contains(&event.position);
            let is_parked = parked.holds(&event.tenant, &event.device);
            if !ahead && !is_parked && !writer.add(source, event) {
                break;
            }
            let Some(event) = self.events.pop_front() else { break };
            self.bytes -= event.data.as_str().len();
            last = Some(event.position);
            match (ahead, is_parked) {
                (true, _) => {}
                (false, true) => behind.push(event),
                (false, false) => events.push(event),
            }
        }
        if events.is_empty() {
            return Taken { batch: None, behind };
        }
        // Nothing more up to the end that was asked for: what was filtered out after the last event
        // belongs to the batch too.
        let end_max = bounds.end_max.unwrap_or(read_to).min(read_to);
        let complete = self.events.front().is_none_or(|next| next.position > end_max);
        let end = if complete { end_max } else { last.unwrap_or(end_max) };
        let message = writer.finish(sink, &events);
        self.body_bytes = message.body.len() + message.body.len() / 16;
        Taken { batch: Some(Batch { events, behind, end, message }), behind: Vec::new() }
    }

    /// Puts a batch back where it was taken from.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let mut events = batch.events;
        events.extend(batch.behind);
        self.put_back_events(events);
    }

    /// Puts events back where they were taken from.
    pub(super) fn put_back_events(&mut self, mut events: Vec<StoredEvent>) {
        events.sort_unstable_by_key(|event| std::cmp::Reverse(event.position));
        for event in events {
            self.bytes += event.data.as_str().len();
            self.events.push_front(event);
        }
    }

    /// Finds an event that may be sent before its turn: the first of its device, of another device
    /// than `culprit`'s. `turn` chooses among several, so that each call may try another device.
    pub(super) fn probe(
        &self,
        culprit: &StoredEvent,
        parked: &ParkedDevices,
        turn: usize,
    ) -> Option<StoredEvent> {
        let mut seen = HashSet::from([(&culprit.tenant, &culprit.device)]);
        let waiting = self.events.iter().filter(|event| !self.ahead.contains(&event.position));
        let firsts: Vec<&StoredEvent> = waiting
            .filter(|event| !parked.holds(&event.tenant, &event.device))
            .filter(|event| seen.insert((&event.tenant, &event.device)))
            .take(PROBES_MAX)
            .collect();
        let turn = turn.checked_rem(firsts.len())?;
        firsts.get(turn).map(|event| (*event).clone())
    }

    /// Remembers that an event was delivered before its turn.
    pub(super) fn delivered_ahead(&mut self, position: Position) {
        self.ahead.insert(position);
    }

    /// Whether an event was delivered before its turn.
    pub(super) fn is_ahead(&self, position: Position) -> bool {
        self.ahead.contains(&position)
    }

    /// Forgets what was delivered ahead up to `done`.
    pub(super) fn forget_ahead(&mut self, done: Position) {
        if !self.ahead.is_empty() {
            self.ahead.retain(|position| *position > done);
        }
    }
}

/// Among how many devices a probe is chosen.
const PROBES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceId, Json, Tenant};

    fn event(sequence: u64, device: &str) -> StoredEvent {
        StoredEvent {
            position: Position { shard: 0, sequence },
            tenant: Tenant::default(),
            device: DeviceId::mqtt(device).unwrap(),
            kind: "x".into(),
            time: jiff::Timestamp::UNIX_EPOCH,
            data: Json::empty_object(),
        }
    }

    #[test]
    fn a_message_knows_its_events() {
        let mut writer = MessageWriter::new(1 << 20);
        let events = [event(1, "a"), event(2, "b"), event(3, "c")];
        assert!(events.iter().all(|event| writer.add("s", event)));
        let message = writer.finish("hub", &events);
        let parts: Vec<_> = message.events().collect();
        for (part, event) in parts.iter().zip(&events) {
            assert_eq!(*part, cloud_event::to_text("s", event));
        }
        let whole: Vec<serde_json::Value> = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((parts.len(), whole.len()), (3, 3));
    }

    #[test]
    fn a_probe_is_the_first_of_its_device_and_another_each_time() {
        let mut window = Window::default();
        let devices = ["a", "b", "b", "c", "a", "b", "p", "d"];
        (2..).zip(devices).for_each(|(sequence, device)| window.push(event(sequence, device)));
        let (culprit, mut parked) = (event(1, "a"), ParkedDevices::default());
        parked.add(&Tenant::default(), &DeviceId::mqtt("p").unwrap());
        let probes = |window: &Window| -> Vec<_> {
            let probe = |turn| window.probe(&culprit, &parked, turn).unwrap().position.sequence;
            (0..4).map(probe).collect()
        };
        assert_eq!(probes(&window), [3, 5, 9, 3]);
        window.delivered_ahead(Position { shard: 0, sequence: 3 });
        assert_eq!(probes(&window), [4, 5, 9, 4]);
        let mut alone = Window::default();
        alone.push(event(2, "a"));
        assert!(alone.probe(&culprit, &parked, 0).is_none());
    }
}
