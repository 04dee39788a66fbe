//! What the console, or the business backend, says of a board.

use super::happened::{Note, RefusedStatus};
use super::hear::{self, Heard};
use super::{Boards, Changed};
use crate::store::{BoardRow, BoardStep, Operation, ReadError, WriteError};
use model::{DeviceId, Event, Redacted, Tenant};
use soracom::{Actor, Claim, Refusal, SimStatus, Status, Verdict, decide};

/// How often a change is computed anew when another came before it. Each time one of them is through.
pub(crate) const TRIES_MAX: usize = 16;

/// What the console may set beside the status. `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct BoardSettings {
    /// The SIM that was ordered for it; `Some(None)` takes it back.
    pub expected_imsi: Option<Option<Redacted<Box<str>>>>,
    /// How its SIM stands at SORACOM; `Some(None)` takes it back.
    pub sim_status: Option<Option<SimStatus>>,
    /// Whether it ever had trouble.
    pub trouble: Option<bool>,
}

/// Why a board is not changed.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// It may not become so.
    #[error("the board's status does not permit it")]
    Refused(Refusal),
    /// The SIM is one of the inspection bench.
    #[error("the SIM is one of the inspection bench")]
    InspectionSim,
    /// The store refuses.
    #[error("the board cannot be kept")]
    Write(#[from] WriteError),
    /// The store cannot be read.
    #[error("the board cannot be read")]
    Read(#[from] ReadError),
}

impl Boards {
    /// Moves a board for the token `by`, with `audit`, the line that it leaves; what holds already is no
    /// change. A refusal is an event.
    pub async fn set_status(
        &self,
        (tenant, device): (&Tenant, &DeviceId),
        wanted: Status,
        by: &str,
        audit: &Operation,
    ) -> Result<BoardRow, BoardError> {
        let at = self.parts.clock.now().wall;
        let change = |row: &mut BoardRow| {
            let mut heard = Heard::default();
            match decide(row.status, Claim::Set(wanted), &self.options.rules) {
                Verdict::Moves(path, actor) => {
                    for &new in path {
                        let (old, by) = (row.status, Some(by.into()));
                        let step = BoardStep { id: 0, old, new, actor, by, evidence: None, at };
                        hear::advance(row, step, &mut heard);
                    }
                    Ok(heard)
                }
                Verdict::Holds => Ok(heard),
                Verdict::Refused(refusal) => Err(refusal),
            }
        };
        match self.change(tenant, device, change, audit).await {
            Err(BoardError::Refused(refusal)) => {
                let by = Some(by.into());
                let (wanted, actor, reason) = (Some(wanted), Actor::Console, refusal.code());
                let note = Note::Refused(RefusedStatus { wanted, actor, by, reason });
                let row = self.row_or_new(tenant, device).await?;
                let events = note.event(&row, at).into_iter().collect();
                self.parts.writer.append(events, Vec::new()).await?;
                self.parts.metrics.count(&note);
                Err(BoardError::Refused(refusal))
            }
            outcome => outcome,
        }
    }

    /// Sets what the console knows of a board, with `audit`, the line that it leaves.
    pub async fn put(
        &self,
        (tenant, device): (&Tenant, &DeviceId),
        settings: &BoardSettings,
        audit: &Operation,
    ) -> Result<BoardRow, BoardError> {
        let expected = settings.expected_imsi.as_ref().and_then(Option::as_ref);
        if expected.is_some_and(|it| self.is_of_bench(it.expose())) {
            return Err(BoardError::InspectionSim);
        }
        let change = |row: &mut BoardRow| {
            if let Some(expected) = &settings.expected_imsi {
                row.expected_imsi.clone_from(expected);
            }
            row.sim_status = settings.sim_status.unwrap_or(row.sim_status);
            row.trouble = settings.trouble.unwrap_or(row.trouble);
            let mut heard = Heard::default();
            if settings.expected_imsi.is_some() {
                hear::ordered(row, &mut heard);
            }
            Ok(heard)
        };
        self.change(tenant, device, change, audit).await
    }

    /// Changes a row until nobody comes before it.
    async fn change(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        change: impl Fn(&mut BoardRow) -> Result<Heard, Refusal>,
        audit: &Operation,
    ) -> Result<BoardRow, BoardError> {
        let mut tries_left = TRIES_MAX;
        loop {
            let mut changed = Changed::of(self.row_or_new(tenant, device).await?);
            let heard = change(&mut changed.row).map_err(BoardError::Refused)?;
            changed.steps = heard.steps;
            let at = self.parts.clock.now().wall;
            let event = |note: &Note| note.event(&changed.row, at);
            let events: Vec<Event> = heard.notes.iter().filter_map(event).collect();
            let mut row = changed.row.clone();
            let Some(operation) = changed.operation() else { return Ok(row) };
            row.version += 1;
            let operations = vec![operation.clone(), audit.clone()];
            tries_left -= 1;
            match self.parts.writer.append(events, operations).await {
                Ok(()) => {
                    crate::api::Mirror::committed(self, &operation);
                    heard.notes.iter().for_each(|note| self.parts.metrics.count(note));
                    return Ok(row);
                }
                Err(WriteError::Refused(_)) if tries_left > 0 => self.parts.metrics.conflict(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether a SIM is one of the inspection bench.
    pub fn is_of_bench(&self, imsi: &str) -> bool {
        self.options.rules.is_inspection(imsi)
    }

    /// Another write of a board came before one that was tried.
    pub fn count_conflict(&self) {
        self.parts.metrics.conflict();
    }

    async fn row_or_new(&self, tenant: &Tenant, device: &DeviceId) -> Result<BoardRow, ReadError> {
        let row = self.parts.store.board(tenant, device).await?;
        Ok(row.unwrap_or_else(|| BoardRow::new(tenant.clone(), device.clone())))
    }
}
