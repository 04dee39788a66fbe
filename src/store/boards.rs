//! What is kept of boards: rows, their history, and the one change there is.

use jiff::Timestamp;
use model::{DeviceId, Redacted, Tenant};
use soracom::{Actor, SimStatus, Status};

/// What is kept of one board.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BoardRow {
    /// Whose.
    pub tenant: Tenant,
    /// Which device.
    pub device: DeviceId,
    /// How often it was written; 0 is not yet.
    pub version: u64,
    /// Where it stands; `None` before its inspection.
    pub status: Option<Status>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The SIM that it is bound to.
    pub imsi: Option<Redacted<Box<str>>>,
    /// Whether the network said so, and not only the board.
    pub imsi_trusted: bool,
    /// The SIM that was ordered for it.
    pub expected_imsi: Option<Redacted<Box<str>>>,
    /// The version of its sketch, as it says it.
    pub sketch_ver: Option<Box<str>>,
    /// Whether it ever had trouble.
    pub trouble: bool,
    /// How its SIM stands at SORACOM.
    pub sim_status: Option<SimStatus>,
    /// What disagreed last and was told of.
    pub disagreement: Option<Redacted<Box<str>>>,
    /// Which status was refused last and was told of.
    pub refused: Option<Box<str>>,
}

impl BoardRow {
    /// A board of which nothing is known.
    pub fn new(tenant: Tenant, device: DeviceId) -> Self {
        Self {
            tenant,
            device,
            version: 0,
            status: None,
            since: None,
            imsi: None,
            imsi_trusted: false,
            expected_imsi: None,
            sketch_ver: None,
            trouble: false,
            sim_status: None,
            disagreement: None,
            refused: None,
        }
    }
}

/// One move of a board.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BoardStep {
    /// Its number, growing; given by the store.
    pub id: u64,
    /// Where it stood; `None` before its first inspection.
    pub old: Option<Status>,
    /// Where it stands from then on.
    pub new: Status,
    /// Who moved it.
    pub actor: Actor,
    /// The name of the token, where the console did.
    pub by: Option<Box<str>>,
    /// What it was moved on.
    pub evidence: Option<Box<str>>,
    /// When.
    pub at: Timestamp,
}

/// Writes a board's row and its moves. The device must be there. Refused as a conflict where the row is
/// not of the version before: somebody else wrote it meanwhile.
#[derive(Clone, Debug)]
pub struct BoardChange {
    /// The row as it is to be.
    pub row: BoardRow,
    /// The moves that it made, oldest first.
    pub steps: Vec<BoardStep>,
}
