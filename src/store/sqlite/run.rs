//! Runs: neighbouring events packed into one row, as a group commits them.
//!
//! ```text
//! ends    u32 × events     where each event ends, counted from the first
//! crc32   u32              of the ends and the first sequence
//! event   crc32 u32, time i64, three lengths u16, tenant, subject, type, data
//! ```
//!
//! All little-endian. The ends stand apart under a checksum of their own: one damaged event takes no
//! other with it. Where it saves much, the events stand in the file as one LZ4 block: neighbours say much
//! the same, and the disk gets each byte twice, in the log and at the checkpoint. Damage takes the
//! run's other events with it then, [`BYTES_MAX`] of them at most.

use super::column::{from_nanos, nanos, undecodable};
use crate::store::{Position, StoredEvent};
use model::{DeviceId, Event, Json, Tenant};
use std::borrow::Cow;
use std::ops::Range;

/// Most events of a run: a reader that wants one reads the whole run.
const EVENTS_MAX: usize = 1_024;
/// A run takes no further event beyond so many bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Events of fewer bytes have too little to repeat.
const LZ4_MIN: usize = 4 * 1024;
/// What LZ4 saves at least of the events' bytes, or they are written as they are: a fourth.
const SAVING: usize = 4;
/// The least that LZ4 makes of so many times its bytes: more is no block of ours.
const LZ4_RATIO_MAX: usize = 255;
/// Bytes of an event before its texts.
const HEAD_LEN: usize = 4 + 8 + 3 * 2;

/// Neighbouring events, ready to be written.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Nanoseconds since 1970 of the newest.
    pub(super) newest: i64,
    /// Bytes of their data.
    pub(super) bytes: u64,
    pub(super) body: Vec<u8>,
}

/// How the events of a run stand in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum Packing {
    Plain = 0,
    Lz4 = 1,
}

impl Packing {
    /// Of the column's number.
    pub(super) fn of(number: i64) -> Option<Self> {
        [Self::Plain, Self::Lz4].into_iter().find(|packing| *packing as i64 == number)
    }
}

impl Run {
    /// Its body as it is to stand in the file.
    pub(super) fn stored(&self) -> (Packing, Cow<'_, [u8]>) {
        let (head, events) = self.body.split_at(head_len(self.first, self.last));
        if events.len() >= LZ4_MIN {
            let block = lz4_flex::block::compress(events);
            if block.len() <= events.len() - events.len() / SAVING {
                return (Packing::Lz4, Cow::Owned([head, &block].concat()));
            }
        }
        (Packing::Plain, Cow::Borrowed(&self.body))
    }
}

/// Bytes before the events.
fn head_len(first: u64, last: u64) -> usize {
    let events = usize::try_from(last - first + 1).expect("a run has some thousand events at most");
    4 * events + 4
}

/// An event as it is written: what its checksum covers beside its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written<'a> {
    pub(super) tenant: &'a str,
    pub(super) subject: &'a str,
    pub(super) kind: &'a str,
    pub(super) time: i64,
    pub(super) data: &'a str,
}

impl<'a> From<&'a Event> for Written<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            tenant: event.tenant.as_str(),
            subject: event.device.as_str(),
            kind: event.kind.as_str(),
            time: nanos(event.time),
            data: event.data.as_str(),
        }
    }
}

impl<'a> From<&'a StoredEvent> for Written<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        Self {
            tenant: event.tenant.as_str(),
            subject: event.device.as_str(),
            kind: &event.kind,
            time: nanos(event.time),
            data: event.data.as_str(),
        }
    }
}

impl Written<'_> {
    /// Over everything a reader is told; lengths keep neighbours apart.
    pub(super) fn checksum(&self, position: Position) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&position.shard.to_le_bytes());
        hasher.update(&position.sequence.to_le_bytes());
        hasher.update(&self.time.to_le_bytes());
        for text in [self.tenant, self.subject, self.kind, self.data] {
            hasher.update(&text.len().to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.finalize()
    }

    fn len(&self) -> usize {
        let texts = [self.tenant, self.subject, self.kind, self.data];
        HEAD_LEN + texts.iter().map(|text| text.len()).sum::<usize>()
    }

    fn write(&self, position: Position, body: &mut Vec<u8>) {
        body.extend(self.checksum(position).to_le_bytes());
        body.extend(self.time.to_le_bytes());
        for text in [self.tenant, self.subject, self.kind] {
            let len = u16::try_from(text.len()).expect("names have some hundred bytes");
            body.extend(len.to_le_bytes());
        }
        for text in [self.tenant, self.subject, self.kind, self.data] {
            body.extend(text.as_bytes());
        }
    }
}

/// Packs events that follow each other from `first` on.
pub(super) fn pack(first: u64, events: &[&Event]) -> Vec<Run> {
    let (mut runs, mut rest, mut first) = (Vec::new(), events, first);
    while !rest.is_empty() {
        let (run, left) = rest.split_at(fitting(rest));
        runs.push(packed(first, run));
        first += run.len() as u64;
        rest = left;
    }
    runs
}

/// How many of the first events are one run.
fn fitting(events: &[&Event]) -> usize {
    let mut bytes = 0;
    let fits = |event: &&&Event| {
        let has_room = bytes < BYTES_MAX;
        bytes += Written::from(**event).len();
        has_room
    };
    events.iter().take(EVENTS_MAX).take_while(fits).count()
}

fn packed(first: u64, events: &[&Event]) -> Run {
    let written: Vec<_> = events.iter().map(|event| Written::from(*event)).collect();
    let texts: usize = written.iter().map(Written::len).sum();
    let mut body = Vec::with_capacity(texts + 4 * (events.len() + 1));
    let mut end = 0_u32;
    for event in &written {
        end += u32::try_from(event.len()).expect("an event is far below 4 GiB");
        body.extend(end.to_le_bytes());
    }
    let crc32 = checksum_of_ends(first, &body);
    body.extend(crc32.to_le_bytes());
    for (sequence, event) in (first..).zip(&written) {
        event.write(Position { shard: 0, sequence }, &mut body);
    }
    Run {
        first,
        last: first + events.len() as u64 - 1,
        newest: written.iter().map(|event| event.time).max().unwrap_or(i64::MIN),
        bytes: written.iter().map(|event| event.data.len() as u64).sum(),
        body,
    }
}

fn checksum_of_ends(first: u64, ends: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&first.to_le_bytes());
    hasher.update(ends);
    hasher.finalize()
}

/// A run that was read, and whose ends are whole.
pub(super) struct Packed<'a> {
    pub(super) first: u64,
    pub(super) last: u64,
    ends: &'a [u8],
    events: Cow<'a, [u8]>,
    /// Whether it comes from memory, where nothing is damaged.
    is_trusted: bool,
}

impl<'a> Packed<'a> {
    /// Nothing when the ends are damaged: then all of its events are.
    pub(super) fn new(first: u64, last: u64, packing: Packing, body: &'a [u8]) -> Option<Self> {
        let (packed, crc32) = Self::split(first, last, body)?;
        let is_whole = checksum_of_ends(first, packed.ends) == crc32;
        let packed = Some(packed).filter(|_| is_whole)?;
        match packing {
            Packing::Plain => Some(packed),
            Packing::Lz4 => packed.unpacked(),
        }
    }

    /// With the events of its block. Those of a block that is damaged are missing.
    fn unpacked(self) -> Option<Self> {
        let len = usize::try_from(u32::from_le_bytes(*self.ends.last_chunk()?)).ok()?;
        let is_sane = len / LZ4_RATIO_MAX <= self.events.len();
        let events = is_sane.then(|| lz4_flex::block::decompress(&self.events, len).ok()).flatten();
        Some(Self { events: events.unwrap_or_default().into(), ..self })
    }

    /// One that was packed in this process: its checksums need not be computed again.
    pub(super) fn trusted(run: &'a Run) -> Option<Self> {
        let (packed, _) = Self::split(run.first, run.last, &run.body)?;
        Some(Self { is_trusted: true, ..packed })
    }

    /// With the checksum of its ends.
    fn split(first: u64, last: u64, body: &'a [u8]) -> Option<(Self, u32)> {
        let count = last.checked_sub(first)?.checked_add(1)?;
        let ends_len = usize::try_from(count).ok()?.checked_mul(4)?;
        let (ends, rest) = body.split_at_checked(ends_len)?;
        let (crc32, events) = rest.split_first_chunk()?;
        let packed = Self { first, last, ends, events: events.into(), is_trusted: false };
        Some((packed, u32::from_le_bytes(*crc32)))
    }

    /// The event of that sequence; nothing where it is damaged or elsewhere.
    pub(super) fn event(&self, sequence: u64) -> Option<StoredEvent> {
        self.event_beside(sequence, None)
    }

    /// As [`Packed::event`]; a tenant that is `neighbour`'s is not made again.
    pub(super) fn event_beside(
        &self,
        sequence: u64,
        neighbour: Option<&StoredEvent>,
    ) -> Option<StoredEvent> {
        let bytes = self.events.get(self.place(sequence)?)?;
        let position = Position { shard: 0, sequence };
        let (crc32, rest) = bytes.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (tenant_len, rest) = rest.split_first_chunk()?;
        let (subject_len, rest) = rest.split_first_chunk()?;
        let (kind_len, rest) = rest.split_first_chunk()?;
        let (tenant, rest) = text(rest, u16::from_le_bytes(*tenant_len))?;
        let (subject, rest) = text(rest, u16::from_le_bytes(*subject_len))?;
        let (kind, rest) = text(rest, u16::from_le_bytes(*kind_len))?;
        let data = std::str::from_utf8(rest).ok()?;
        let written = Written { tenant, subject, kind, time: i64::from_le_bytes(*time), data };
        let is_whole = self.is_trusted || written.checksum(position) == u32::from_le_bytes(*crc32);
        let known = neighbour.map(|event| &event.tenant);
        is_whole.then(|| stored(position, written, known).ok()).flatten()
    }

    /// Bytes of data of its events after `after` and up to `to`; of damaged ones, none.
    pub(super) fn bytes_between(&self, after: u64, to: u64) -> u64 {
        let wanted = self.first.max(after.saturating_add(1))..=self.last.min(to);
        wanted
            .filter_map(|sequence| self.event(sequence))
            .map(|it| it.data.as_str().len() as u64)
            .sum()
    }

    fn place(&self, sequence: u64) -> Option<Range<usize>> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        let end = |index: usize| {
            let bytes = self.ends.get(index * 4..)?.first_chunk()?;
            usize::try_from(u32::from_le_bytes(*bytes)).ok()
        };
        let begin = index.checked_sub(1).map_or(Some(0), end)?;
        Some(begin..end(index)?)
    }
}

fn text(bytes: &[u8], len: u16) -> Option<(&str, &[u8])> {
    let (text, rest) = bytes.split_at_checked(len.into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// An event of what was written of it; `known` is perhaps its tenant.
fn stored(
    position: Position,
    written: Written<'_>,
    known: Option<&Tenant>,
) -> Result<StoredEvent, sqlx::Error> {
    let tenant = match known.filter(|known| known.as_str() == written.tenant) {
        Some(known) => known.clone(),
        None => Tenant::new(written.tenant).map_err(|_| undecodable("a tenant"))?,
    };
    Ok(StoredEvent {
        position,
        tenant,
        device: DeviceId::parse_subject(written.subject).map_err(|_| undecodable("a subject"))?,
        kind: written.kind.into(),
        time: from_nanos(written.time)?,
        data: Json::from_stored(written.data.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use model::EventType;
    use proptest::prelude::*;

    fn event(n: usize, data: &str) -> Event {
        Event {
            tenant: Tenant::default(),
            device: DeviceId::mqtt(&format!("b{n}")).unwrap(),
            kind: EventType::TELEMETRY_RECEIVED,
            time: Timestamp::from_second(1_000 + n as i64).unwrap(),
            data: Json::from_stored(data.to_owned()),
            facts: None,
        }
    }

    fn packed_of(run: &Run) -> Packed<'_> {
        Packed::new(run.first, run.last, Packing::Plain, &run.body).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(lens in prop::collection::vec(0_usize..9_000, 1..60), first in 1_u64..1 << 40) {
            let events: Vec<_> =
                lens.iter().enumerate().map(|(n, len)| event(n, &"x".repeat(*len))).collect();
            let runs = pack(first, &events.iter().collect::<Vec<_>>());
            let mut next = first;
            for run in &runs {
                prop_assert_eq!(run.first, next);
                let (packing, stored) = run.stored();
                let packed = Packed::new(run.first, run.last, packing, &stored).unwrap();
                prop_assert_eq!(packed.bytes_between(0, u64::MAX), run.bytes);
                for sequence in run.first..=run.last {
                    let n = usize::try_from(sequence - first).unwrap();
                    let read = packed.event(sequence).unwrap();
                    prop_assert_eq!(read.data.as_str(), events[n].data.as_str());
                    prop_assert_eq!(&read.device, &events[n].device);
                    prop_assert_eq!(read.time, events[n].time);
                }
                next = run.last + 1;
            }
            prop_assert_eq!(next, first + events.len() as u64);
        }

        #[test]
        fn a_flipped_bit_is_seen(bit in 0_usize..8 * 400, sequence in 7_u64..10) {
            let events: Vec<_> = (0..3).map(|n| event(n, &"y".repeat(70))).collect();
            let mut run = pack(7, &events.iter().collect::<Vec<_>>()).remove(0);
            let whole = run.body.clone();
            let byte = bit / 8 % run.body.len();
            run.body[byte] ^= 1 << (bit % 8);
            let packed = |body| Packed::new(run.first, run.last, Packing::Plain, body);
            let read = packed(&run.body).and_then(|it| it.event(sequence));
            let was = packed(&whole).unwrap().event(sequence).unwrap();
            if let Some(read) = read {
                prop_assert_eq!(read.data.as_str(), was.data.as_str());
                prop_assert_eq!(&read.device, &was.device);
            }
        }
    }

    fn alike() -> Run {
        let events: Vec<_> = (0..100).map(|n| event(n, &format!("{{\"n\":{n}}}"))).collect();
        pack(7, &events.iter().collect::<Vec<_>>()).remove(0)
    }

    #[test]
    fn what_is_alike_takes_less_room() {
        let run = alike();
        let (packing, stored) = run.stored();
        assert_eq!(packing, Packing::Lz4);
        assert!(stored.len() < run.body.len() / 2, "{} of {}", stored.len(), run.body.len());
        let one = pack(7, &[&event(0, "1")]).remove(0);
        assert_eq!(one.stored().0, Packing::Plain);
    }

    #[test]
    fn a_damaged_block_is_never_taken_for_events() {
        let run = alike();
        let (_, stored) = run.stored();
        for place in 0..stored.len() {
            let mut stored = stored.to_vec();
            stored[place] ^= 1 << (place % 8);
            let packed = Packed::new(run.first, run.last, Packing::Lz4, &stored);
            for sequence in run.first..=run.last {
                let read = packed.as_ref().and_then(|it| it.event(sequence));
                let was = packed_of(&run).event(sequence).unwrap();
                let is_as_it_was = read.is_none_or(|it| Written::from(&it) == Written::from(&was));
                assert!(is_as_it_was, "byte {place} in event {sequence}");
            }
        }
    }

    #[test]
    fn a_block_cannot_claim_any_length() {
        let run = alike();
        let (_, stored) = run.stored();
        let mut ends = stored[..head_len(run.first, run.last) - 4].to_vec();
        let last = ends.len() - 4;
        ends[last..].copy_from_slice(&u32::MAX.to_le_bytes());
        let crc32 = checksum_of_ends(run.first, &ends).to_le_bytes();
        let body = [&*ends, &crc32, &stored[ends.len() + 4..]].concat();
        let packed = Packed::new(run.first, run.last, Packing::Lz4, &body).unwrap();
        assert!(packed.event(run.first).is_none());
    }

    #[test]
    fn one_damaged_event_takes_no_other_with_it() {
        let events: Vec<_> = (0..3).map(|n| event(n, "abc")).collect();
        let mut run = pack(1, &events.iter().collect::<Vec<_>>()).remove(0);
        let place = packed_of(&run).place(2).unwrap();
        let begin = run.body.len() - packed_of(&run).events.len();
        run.body[begin + place.end - 1] ^= 1;
        assert!(packed_of(&run).event(1).is_some());
        assert!(packed_of(&run).event(2).is_none());
        assert!(packed_of(&run).event(3).is_some());
    }

    #[test]
    fn runs_are_bounded() {
        let small: Vec<_> = (0..EVENTS_MAX + 1).map(|n| event(n, "1")).collect();
        let runs = pack(1, &small.iter().collect::<Vec<_>>());
        assert!(runs.iter().all(|run| run.body.len() < BYTES_MAX + 4_096 + 200));
        assert!(runs.len() > 1);
        let large = [event(0, &"z".repeat(3 * BYTES_MAX)), event(1, "1")];
        let runs = pack(1, &large.iter().collect::<Vec<_>>());
        assert_eq!(
            runs.iter().map(|run| (run.first, run.last)).collect::<Vec<_>>(),
            [(1, 1), (2, 2)]
        );
    }
}
