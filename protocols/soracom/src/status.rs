//! The life of a board: who may set which status, and what is evidence.
//!
//! 0 is the board's own to say (inspection), 1 and 4 are the console's, 2 and 3 follow from evidence.
//! Input comes at least once, so what holds already is never an error.

use crate::options::{InUseOn, Options, ReadyOn};

/// Where a board stands between the bench and its return.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Status {
    /// It passed its inspection.
    InStock = 0,
    /// A contract is registered for it.
    Contracted = 1,
    /// Board and SIM are together and were heard.
    ReadyToShip = 2,
    /// The customer uses it.
    InUse = 3,
    /// The contract ended. Stays until the board is returned and inspected again.
    Cancelled = 4,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] =
        [Self::InStock, Self::Contracted, Self::ReadyToShip, Self::InUse, Self::Cancelled];

    /// The status of that number.
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| u64::from(status.number()) == number)
    }

    /// Its number, as boards, the API and the store say it.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// What says that a board should have a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Claim {
    /// The board's own sketch reports it.
    Reported(Status),
    /// It reports 0, and nothing speaks against its being at the inspection bench.
    Inspected,
    /// The console, or the business backend, sets it.
    Set(Status),
    /// The board was heard on the boards' topic, through a SIM that is not of the inspection bench.
    Message,
    /// The board sent data, likewise.
    Data,
}

/// Who moved a board.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Actor {
    /// The board, by its inspection.
    Board,
    /// Somebody at the console, or the business backend.
    Console,
    /// The gateway, on evidence.
    Gateway,
}

impl Actor {
    /// The word used in events and in the history.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Console => "console",
            Self::Gateway => "gateway",
        }
    }

    /// The actor of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Board, Self::Console, Self::Gateway].into_iter().find(|it| it.as_str() == word)
    }
}

/// What follows from a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It becomes so, one status after the other, by that actor.
    Moves(&'static [Status], Actor),
    /// It is so already, or it is evidence that moves nothing here.
    Holds,
    /// It may not become so.
    Refused(Refusal),
}

/// Why a claim is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Nothing was ever inspected under this identity.
    NotInspected,
    /// The board is in stock: there is no contract to end.
    NotContracted,
    /// The board is under way or with a customer: it is inspected again after its contract ended.
    NotReturned,
    /// A contract is registered once.
    AlreadyContracted,
    /// The contract ended: the board must be inspected again first.
    Cancelled,
    /// Only the console says that a contract begins or ends.
    OnlyTheConsole,
    /// The console does not say what only the board and its traffic show.
    NotTheConsole,
}

impl Refusal {
    /// A stable word for events, the API and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotInspected => "not_inspected",
            Self::NotContracted => "not_contracted",
            Self::NotReturned => "not_returned",
            Self::AlreadyContracted => "already_contracted",
            Self::Cancelled => "cancelled",
            Self::OnlyTheConsole => "only_the_console",
            Self::NotTheConsole => "not_the_console",
        }
    }
}

/// What follows from `claim` for a board at `current`; `None` is one that was never inspected.
///
/// Moves go 0 → 1 → 2 → 3 → 4, from 1 and 2 also to 4, and from 4 back to 0 by a new inspection: a 0
/// that a board in the field repeats is none.
pub fn decide(current: Option<Status>, claim: Claim, options: &Options) -> Verdict {
    use Status::{Cancelled, Contracted, InStock, InUse, ReadyToShip};
    match (current, claim) {
        (Some(current), Claim::Reported(status) | Claim::Set(status)) if current == status => {
            Verdict::Holds
        }

        // Inspection. A board that was with a customer is back only where the bench shows.
        (None, Claim::Reported(InStock)) | (None | Some(Cancelled), Claim::Inspected) => {
            Verdict::Moves(&[InStock], Actor::Board)
        }
        (Some(InStock), Claim::Inspected) => Verdict::Holds,
        (Some(_), Claim::Reported(InStock) | Claim::Inspected) => {
            Verdict::Refused(Refusal::NotReturned)
        }
        (_, Claim::Reported(Contracted | Cancelled)) => Verdict::Refused(Refusal::OnlyTheConsole),

        // Evidence. A sketch that is in use was ready to ship before; what is past stays past.
        (Some(Contracted), Claim::Reported(ReadyToShip)) => {
            Verdict::Moves(&[ReadyToShip], Actor::Gateway)
        }
        (Some(Contracted), Claim::Reported(InUse)) => {
            Verdict::Moves(&[ReadyToShip, InUse], Actor::Gateway)
        }
        (Some(ReadyToShip), Claim::Reported(InUse)) => Verdict::Moves(&[InUse], Actor::Gateway),
        (_, Claim::Reported(ReadyToShip | InUse)) => Verdict::Holds,
        (Some(Contracted), Claim::Message) if options.ready_on != ReadyOn::Report => {
            Verdict::Moves(&[ReadyToShip], Actor::Gateway)
        }
        (Some(Contracted), Claim::Data) if options.ready_on == ReadyOn::Traffic => {
            Verdict::Moves(&[ReadyToShip], Actor::Gateway)
        }
        (Some(ReadyToShip), Claim::Data) if options.in_use_on == InUseOn::Data => {
            Verdict::Moves(&[InUse], Actor::Gateway)
        }
        (_, Claim::Message | Claim::Data) => Verdict::Holds,

        // The console.
        (_, Claim::Set(InStock | ReadyToShip | InUse)) => Verdict::Refused(Refusal::NotTheConsole),
        (None, Claim::Set(Contracted | Cancelled)) => Verdict::Refused(Refusal::NotInspected),
        (Some(InStock), Claim::Set(Contracted)) => Verdict::Moves(&[Contracted], Actor::Console),
        (Some(Cancelled), Claim::Set(Contracted)) => Verdict::Refused(Refusal::Cancelled),
        (Some(_), Claim::Set(Contracted)) => Verdict::Refused(Refusal::AlreadyContracted),
        (Some(InStock), Claim::Set(Cancelled)) => Verdict::Refused(Refusal::NotContracted),
        (Some(_), Claim::Set(Cancelled)) => Verdict::Moves(&[Cancelled], Actor::Console),
    }
}

/// The status of a SIM. SORACOM is its master; here it is kept and spelled right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SimStatus {
    /// Delivered, never used.
    Ready,
    /// In use.
    Active,
    /// Out of use, its contract kept.
    Inactive,
    /// Not yet paid for.
    Standby,
    /// Stopped by its owner.
    Suspended,
    /// Ended for good.
    Terminated,
}

impl SimStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Ready,
        Self::Active,
        Self::Inactive,
        Self::Standby,
        Self::Suspended,
        Self::Terminated,
    ];

    /// SORACOM's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Standby => "standby",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
        }
    }

    /// The status of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }
}

#[cfg(test)]
mod tests;
