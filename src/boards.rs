//! The life of boards: what is made of their messages, and where each of them stands.
//!
//! An event of a board on the boards' topic is brought to the one form that all ways in have, and what
//! follows from it (a move, a refusal, an identity that does not agree) goes to disk in the same
//! transaction, on condition that nobody wrote the board's row meanwhile. The rules themselves are in
//! `protocols/soracom`.
//!
//! In memory is only whom the next data may move: those that are ready to ship. All others are at rest,
//! and a message of one of them costs a look there and no more. A row is read where a message on the
//! boards' topic needs it, which a board sends some times in its life.

mod console;
mod handover;
mod happened;
mod hear;
mod metrics;
mod names;
mod question;
mod reading;

#[cfg(test)]
mod tests;

pub(crate) use console::TRIES_MAX;
pub use console::{BoardError, BoardSettings};
pub use metrics::Metrics;
pub(crate) use names::board_called;
pub use question::Question;
pub(crate) use question::{awaits_answer, data_of_http};

use crate::api::Mirror;
use crate::clock::Clock;
use crate::registry::Registry;
use crate::store::{BoardChange, BoardRow, BoardStep, Operation, ReadError, Store, Writer};
use config::Boards as Config;
use dashmap::DashMap;
use happened::Note;
use hear::Heard;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{Alias, AliasKind, DeviceFacts, DeviceId, Event, EventType, Redacted, Tenant};
use reading::Told;
use soracom::{Claim, InUseOn, Net, Options, ReadyOn, Status, Verdict};
use std::collections::HashSet;
use std::sync::Arc;

/// How boards are read and what moves them; `[boards]` of the configuration.
#[derive(Clone, Debug)]
pub struct BoardOptions {
    /// Where boards and programs tell of it.
    pub topic: Box<str>,
    /// What counts, and how times are written.
    pub rules: Options,
    /// Most devices in the registry: a program that speaks for boards makes no more either.
    pub devices_max: usize,
}

impl BoardOptions {
    /// What the configuration says.
    ///
    /// # Errors
    ///
    /// In plain words, when it names a time zone that there is not.
    pub fn new(config: &Config, devices_max: usize) -> Result<Self, String> {
        let zone = TimeZone::get(config.timezone.as_str());
        let zone = zone.map_err(|_| "boards.timezone: there is no such time zone".to_owned())?;
        let inspection_imsi = config.inspection_imsi.iter().map(|it| it.as_str().into());
        let rules = Options {
            zone,
            inspection_imsi: inspection_imsi.collect(),
            ready_on: ReadyOn::parse(config.ready_on.as_str()).unwrap_or_default(),
            in_use_on: InUseOn::parse(config.in_use_on.as_str()).unwrap_or_default(),
        };
        Ok(Self { topic: config.topic.as_str().into(), rules, devices_max })
    }
}

/// What boards stand on.
pub struct Parts {
    /// Where their rows are.
    pub store: Arc<dyn Store>,
    /// For what the console changes.
    pub writer: Writer,
    /// Whose names are whose.
    pub registry: Arc<Registry>,
    /// For the times of moves.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
}

/// The life of boards. Shared as `Arc<Boards>`.
pub struct Boards {
    parts: Parts,
    options: BoardOptions,
    /// How the data of an event on the boards' topic begins.
    opening: Box<str>,
    /// Whom data may move, by device; of which tenants.
    moving: DashMap<DeviceId, Vec<Tenant>>,
}

impl std::fmt::Debug for Boards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Boards({} may be moved)", self.moving.len())
    }
}

/// A message that did not come over a board's own connection: through Beam.
#[derive(Clone, Debug)]
pub struct Received {
    /// Whose.
    pub tenant: Tenant,
    /// Which board: [`Boards::device_of`] tells.
    pub device: DeviceId,
    /// The topic that its event has.
    pub topic: Box<str>,
    /// What the board sent.
    pub payload: Vec<u8>,
    /// Who sent it, as was proven.
    pub sender: Sender,
}

/// Who sent a message, as was proven.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Modem and SIM.
    pub net: Net,
    /// When the network had it, in milliseconds since 1970.
    pub device_ms: Option<i64>,
}

impl Received {
    /// The event of it, not yet in its final form.
    pub(crate) fn event(&self, time: Timestamp) -> Event {
        let (tenant, device) = (self.tenant.clone(), self.device.clone());
        let data = model::Json::from_stored(reading::beam_data(&self.topic, &self.payload));
        Event { tenant, device, kind: EventType::TELEMETRY_RECEIVED, time, data, facts: None }
    }
}

/// What is to be kept of events, all of it or nothing.
#[derive(Debug, Default)]
pub struct Followed {
    /// The events in their final form, and those that follow from them.
    pub events: Vec<Event>,
    /// What must be true with them.
    pub operations: Vec<Operation>,
    /// Boards of which others spoke: a program, or Beam.
    pub spoken_of: Vec<(Tenant, DeviceId)>,
    notes: Vec<Note>,
}

impl Boards {
    /// Nothing is known yet.
    pub fn new(parts: Parts, options: BoardOptions) -> Self {
        let topic = serde_json::to_string(&*options.topic);
        let topic = topic.expect("a string is representable in JSON");
        let opening = format!(r#"{{"topic":{topic},"#).into();
        Self { parts, options, opening, moving: DashMap::new() }
    }

    /// Takes over from the store whom a message may move.
    pub async fn load(&self) -> Result<(), ReadError> {
        for (tenant, device, status) in self.parts.store.moving_boards().await? {
            self.keep_moving(&tenant, &device, Some(status));
        }
        Ok(())
    }

    /// Whether something may follow from an event. For data of a board at rest it costs one look.
    pub fn concerns(&self, event: &Event) -> bool {
        reading::is_of(event, &self.opening, &self.options.topic)
            || question::is_one(event)
            || self.is_moving(event)
    }

    /// The board of which the network says this: by its modem, else by its SIM. Known or not, a modem
    /// names a board.
    pub fn device_of(&self, tenant: &Tenant, net: &Net) -> Option<DeviceId> {
        let alias = |kind, value: &str| Alias::new(kind, value).ok();
        let by_imei = net.imei.as_deref().and_then(soracom::whole_imei).and_then(|imei| {
            let named = alias(AliasKind::Imei, &imei);
            let named = named.and_then(|it| self.parts.registry.by_alias(tenant, &it));
            named.or_else(|| DeviceId::imei(&imei).ok())
        });
        by_imei.or_else(|| {
            let alias = alias(AliasKind::Imsi, net.imsi.as_deref()?)?;
            self.parts.registry.by_alias(tenant, &alias)
        })
    }

    /// What is to be kept of events, some of which [concern](Boards::concerns) boards. Where another
    /// writes one of these boards meanwhile the store refuses all of it, and this is asked again.
    pub async fn follow(
        &self,
        events: Vec<Event>,
        sender: Option<&Sender>,
    ) -> Result<Followed, ReadError> {
        let mut followed = Followed::default();
        let mut rows: Vec<Changed> = Vec::new();
        let mut made = HashSet::new();
        for mut event in events {
            let read = self.read(&event, sender);
            let (mut told, told_by) = match read.told {
                None => {
                    followed.notes.extend(read.notes);
                    followed.events.push(event);
                    continue;
                }
                Some(told) => (told, read.data),
            };
            followed.notes.extend(read.notes);
            told.holder = self.holder(&followed.operations, &told);
            if sender.is_some() || told.device != event.device {
                followed.spoken_of.push((told.tenant.clone(), told.device.clone()));
            }
            if told.device != event.device {
                // A program's: what it published stays its own, and the board has an event of its own.
                followed.events.push(event.clone());
                if !self.may_make(&told, &mut made) {
                    followed.notes.push(Note::Unreadable("devices_max"));
                    continue;
                }
                event = reading::own(&event, &told.device);
            }
            if let Some(data) = told_by {
                event.data = model::Json::from_stored(data);
            }
            let changed = self.row(&mut rows, &told.tenant, &told.device).await?;
            let heard = hear::hear(&mut changed.row, &told, &self.options.rules);
            if let Some(facts) = facts(&heard) {
                event.facts.get_or_insert_default().merge(&facts);
            }
            self.left_behind(&changed.row, &heard, told.at, &mut followed.operations);
            followed.events.push(event);
            followed.take(&changed.row, heard.notes, told.at);
            changed.steps.extend(heard.steps);
            if let Some(moved) = heard.bound.zip(heard.taken_from) {
                self.take_sim(&mut rows, &mut followed, &told, moved).await?;
            }
        }
        followed.operations.extend(rows.into_iter().filter_map(Changed::operation));
        Ok(followed)
    }

    /// Whether the board for which a program speaks is known, or one more may be beside those that
    /// are `made` already.
    fn may_make(&self, told: &Told, made: &mut HashSet<(Tenant, DeviceId)>) -> bool {
        let board = (told.tenant.clone(), told.device.clone());
        if self.parts.registry.knows(&board.0, &board.1) || made.contains(&board) {
            return true;
        }
        let has_room = self.parts.registry.len() + made.len() < self.options.devices_max;
        has_room && made.insert(board)
    }

    /// Takes over what was kept: the moves are known, and counted.
    pub fn kept(&self, followed: &Followed) {
        followed.operations.iter().for_each(|operation| self.committed(operation));
        followed.notes.iter().for_each(|note| self.parts.metrics.count(note));
    }

    /// What is kept of a board.
    pub async fn get(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<BoardRow>, ReadError> {
        self.parts.store.board(tenant, device).await
    }
}

/// A row that is being changed, and as it was.
struct Changed {
    before: BoardRow,
    row: BoardRow,
    steps: Vec<BoardStep>,
}

impl Changed {
    fn of(row: BoardRow) -> Self {
        Self { before: row.clone(), row, steps: Vec::new() }
    }

    /// What writes it, where it changed.
    fn operation(mut self) -> Option<Operation> {
        if self.row == self.before {
            return None;
        }
        self.row.version = self.before.version + 1;
        Some(Operation::PutBoard(Box::new(BoardChange { row: self.row, steps: self.steps })))
    }
}

impl Followed {
    fn take(&mut self, row: &BoardRow, notes: Vec<Note>, at: Timestamp) {
        self.events.extend(notes.iter().filter_map(|note| note.event(row, at)));
        self.notes.extend(notes);
    }
}

/// What the rest is made of.
impl Boards {
    async fn row<'a>(
        &self,
        rows: &'a mut Vec<Changed>,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<&'a mut Changed, ReadError> {
        let is_it = |it: &Changed| it.row.tenant == *tenant && it.row.device == *device;
        let place = match rows.iter().position(is_it) {
            Some(place) => place,
            None => {
                let row = self.parts.store.board(tenant, device).await?;
                let new = || BoardRow::new(tenant.clone(), device.clone());
                rows.push(Changed::of(row.unwrap_or_else(new)));
                rows.len() - 1
            }
        };
        Ok(&mut rows[place])
    }

    fn is_moving(&self, event: &Event) -> bool {
        reading::is_data(event)
            && self.moving.get(&event.device).is_some_and(|it| it.contains(&event.tenant))
    }

    /// Remembers whether data may move a board.
    fn keep_moving(&self, tenant: &Tenant, device: &DeviceId, status: Option<Status>) {
        let verdict = soracom::decide(status, Claim::Data, &self.options.rules);
        if let Verdict::Moves(..) = verdict {
            let mut tenants = self.moving.entry(device.clone()).or_default();
            if !tenants.contains(tenant) {
                tenants.push(tenant.clone());
            }
        } else {
            self.moving.remove_if_mut(device, |_, tenants| {
                tenants.retain(|it| it != tenant);
                tenants.is_empty()
            });
        }
    }
}

/// What the registry takes over: the version that the board runs, and the name of its SIM where the
/// network said it. A name that only the board says would let it pass for another.
fn facts(heard: &Heard) -> Option<DeviceFacts> {
    let alias = |imsi: &Redacted<Box<str>>| Alias::new(AliasKind::Imsi, imsi.expose()).ok();
    // One that another board has is taken from it first.
    let bound = heard.bound.as_ref().filter(|_| heard.taken_from.is_none());
    let facts = DeviceFacts {
        software_version: heard.sketch_ver.clone(),
        aliases: bound.and_then(alias).into_iter().collect(),
        ..DeviceFacts::default()
    };
    (!facts.is_empty()).then_some(facts)
}

impl Mirror for Boards {
    fn committed(&self, operation: &Operation) {
        if let Operation::PutBoard(change) = operation {
            let row = &change.row;
            self.keep_moving(&row.tenant, &row.device, row.status);
        }
    }
}
