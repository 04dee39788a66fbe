//! What becomes of a payment by a prompt on the payer's phone.
//!
//! [`step()`] is the machine: a payment, what happened, and when, become the payment as it is then, and
//! what is to be done. The caller keeps both in one transaction and only then does it. A step is made
//! from the payment as it stands: one that was changed meanwhile ([`Payment::version`]) is read again
//! and stepped again.
//!
//! - **The intent is kept before the bytes leave.** A push whose answer is lost is never sent again:
//!   the phone may show its prompt.
//! - **A callback is a claim.** It only brings the next check forward; money is credited when the
//!   provider says so to our own question, or the operator does.
//! - **Unknown is not failed.** No answer at all leads to [`State::Unresolved`], never to
//!   [`State::Declined`].
//! - **[`State::Paid`] is final**, and the only way there credits, so nothing is credited twice.
//! - **Whatever is open has a timer or is before the operator**: [`Payment::check`], a pending
//!   [`Output::PushAt`], or [`Payment::is_escalated`].
//!
//! Pure: no clock, no store. Prints no number.

mod claim;
mod step;
mod timing;

pub use claim::{Claim, only_adopter};
pub use step::step;
pub use timing::Timing;

use jiff::Timestamp;
use model::DeviceId;
use serde::{Deserialize, Serialize};

/// Where a payment stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Wanted; nothing of it has left us.
    Draft,
    /// A prompt is being asked for, or was, and we do not know with what end.
    Requesting,
    /// The provider has taken the prompt, under an id.
    Prompted,
    /// The money was taken, and credited.
    Paid,
    /// It was not taken, as far as anybody says. A later success still credits.
    Declined,
    /// Nobody knows. The provider is asked for a while, then it is before the operator.
    Unresolved,
}

impl State {
    /// All of them, in the order of a payment's life.
    pub const ALL: [Self; 6] = [
        Self::Draft,
        Self::Requesting,
        Self::Prompted,
        Self::Paid,
        Self::Declined,
        Self::Unresolved,
    ];

    /// The word used in labels, the API and the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Requesting => "requesting",
            Self::Prompted => "prompted",
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::Unresolved => "unresolved",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == word)
    }

    /// Whether a prompt of it may come or be open: a customer has one such payment at most.
    pub const fn is_in_flight(self) -> bool {
        match self {
            Self::Draft | Self::Requesting | Self::Prompted => true,
            Self::Paid | Self::Declined | Self::Unresolved => false,
        }
    }
}

/// The provider's name of a prompt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Checkout {
    /// By which it is asked for: `ws_CO_…`.
    pub id: Box<str>,
    /// Whether only a claim says that it is ours, because the push's answer was lost. Such a one may
    /// credit, when the provider confirms it; it never declines.
    pub is_adopted: bool,
}

/// The one timer that is set.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Check {
    /// Which one; it counts up, and an older one does nothing.
    pub number: u32,
    /// When it is due.
    pub at: Timestamp,
}

/// A payment as it is kept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Payment {
    /// Counts the steps that changed it.
    pub version: u64,
    /// Where it stands.
    pub state: State,
    /// Whose phone is prompted.
    pub number: DeviceId,
    /// How much, in whole shillings; fixed when it is wanted.
    pub amount: u32,
    /// When it was wanted.
    pub wanted_at: Timestamp,
    /// How many pushes were begun.
    pub attempts: u8,
    /// When the last push was begun.
    pub pushed_at: Option<Timestamp>,
    /// Whether the last push may have had effect, and its answer is lost.
    pub is_lost: bool,
    /// The prompt, as soon as its name is known.
    pub checkout: Option<Checkout>,
    /// The success that is claimed and fits.
    pub claim: Option<Claim>,
    /// The number of the last failure that was claimed of our own prompt.
    #[serde(default)]
    pub claimed_code: Option<u32>,
    /// How many claims changed anything, at most [`Payment::CLAIMS_MAX`].
    #[serde(default)]
    pub claims: u8,
    /// To when a claim last brought a check forward.
    #[serde(default)]
    pub hastened_to: Option<Timestamp>,
    /// The number of the money's receipt. A query has none: it comes with the callback, or from the
    /// operator.
    pub receipt: Option<Box<str>>,
    /// The timer that is set.
    pub check: Option<Check>,
    /// How many timers there were.
    pub checks: u32,
    /// The last timer that came much sooner or later than it was due, by the calendar: the moments
    /// after it are counted as if it had come in time.
    #[serde(default)]
    pub off_check: u32,
    /// From when the moments of [`Timing`] are counted.
    pub counted_from: Option<Timestamp>,
    /// Until when the customer gets no second prompt although nothing is in flight.
    pub hold_until: Option<Timestamp>,
    /// The provider's number for why it was declined, where it gave one.
    pub code: Option<u32>,
    /// Whether the customer was told of an end other than paid, or that it is not confirmed. He is told
    /// of each once, and of nothing after an end.
    pub is_told: bool,
    /// Whether he was told that it is not confirmed, and is owed a word when it is known.
    #[serde(default)]
    pub is_word_owed: bool,
    /// Whether it was brought before the operator, which happens once.
    pub is_escalated: bool,
}

impl Payment {
    /// Claims that a payment heeds. Prompts have one end, which is told once or twice: who claims more
    /// often has found the address, and is kept for the operator.
    pub const CLAIMS_MAX: u8 = 32;

    /// A payment that is wanted now, of `amount` whole shillings: a draft, whose push is due shortly,
    /// when the dialogue that wanted it has left the phone.
    pub fn wanted(number: DeviceId, amount: u32, now: Timestamp, timing: &Timing) -> Step {
        let payment = Self {
            version: 1,
            state: State::Draft,
            number,
            amount,
            wanted_at: now,
            attempts: 0,
            pushed_at: None,
            is_lost: false,
            checkout: None,
            claim: None,
            claimed_code: None,
            claims: 0,
            hastened_to: None,
            receipt: None,
            check: None,
            checks: 0,
            off_check: 0,
            counted_from: None,
            hold_until: None,
            code: None,
            is_told: false,
            is_word_owed: false,
            is_escalated: false,
        };
        let at = timing::after(now, timing.push_delay);
        Step { payment, outputs: vec![Output::PushAt { attempt: 1, at }] }
    }

    /// What keeps it going: the push that is to come, or the timer that is set. Asking for it again is
    /// as good as having asked once.
    pub fn pending(&self, timing: &Timing) -> Option<Output> {
        if self.state == State::Draft {
            let attempt = self.attempts.saturating_add(1);
            return Some(Output::PushAt {
                attempt,
                at: timing::after(self.wanted_at, timing.push_delay),
            });
        }
        self.check.map(|Check { number, at }| Output::Timer { number, at })
    }

    /// Takes away a receipt that another payment has already: it was claimed wrongly, and must not
    /// keep the money from being credited.
    pub fn forget_receipt(&mut self) {
        self.receipt = None;
    }
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// The time of [`Output::PushAt`] has come.
    PushDue {
        /// The attempt that is due.
        attempt: u8,
    },
    /// The push came to an end.
    Pushed(Pushed),
    /// The time of [`Output::Timer`] has come.
    CheckDue {
        /// The timer's number.
        number: u32,
    },
    /// The provider was asked, as [`Output::Query`] wanted.
    Queried {
        /// The number of the timer that it was asked for.
        number: u32,
        /// The prompt that it was asked about.
        checkout: Box<str>,
        /// What it said.
        answer: Queried,
    },
    /// The provider says that the prompt was paid, and the receipt that was claimed with it is another
    /// payment's: one shilling is credited once.
    Elsewhere {
        /// The prompt that it was asked about.
        checkout: Box<str>,
    },
    /// A callback that names this payment's prompt, or that [`only_adopter`] gave to it.
    CalledBack(Claim),
    /// Nobody carries out a push any more: what it was to say is not known.
    PushGivenUp {
        /// Its attempt.
        attempt: u8,
    },
    /// Nobody asks for a timer's prompt any more.
    CheckGivenUp {
        /// The timer's number.
        number: u32,
    },
    /// The operator has looked.
    Settled {
        /// Whether the money was taken.
        paid: bool,
        /// The number of its receipt.
        receipt: Option<Box<str>>,
    },
}

/// How a push ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pushed {
    /// The prompt is on its way.
    Accepted {
        /// Its id.
        checkout: Box<str>,
    },
    /// There will be no prompt.
    Refused {
        /// The provider's number for why.
        code: u32,
    },
    /// Nothing of the request had effect: no byte has left, there was no token, or it was not taken.
    NotSent,
    /// It may have had effect.
    Unknown,
}

impl Pushed {
    /// A stable word for metrics, tasks and steps.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
            Self::NotSent => "not_sent",
            Self::Unknown => "no_answer",
        }
    }
}

/// What the provider says of a prompt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Queried {
    /// The money was taken.
    Paid,
    /// It was not.
    Declined {
        /// The provider's number for why.
        code: u32,
    },
    /// Not decided yet.
    Pending,
    /// Nothing that can be read.
    Unknown,
}

impl Queried {
    /// A stable word for metrics, tasks and steps.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Declined { .. } => "declined",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
        }
    }
}

/// The payment after a step, and what follows from it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a step that is not kept has not happened"]
pub struct Step {
    /// As it is to be kept; its version is one more than before if anything changed.
    pub payment: Payment,
    /// What is to be done, in this order.
    pub outputs: Vec<Output>,
}

/// What is to be done. All but the first two belong in the transaction that keeps the payment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Ask for the prompt, once the payment is kept; then [`Input::Pushed`].
    Push,
    /// Ask what became of the prompt; then [`Input::Queried`]. It changes nothing here, so a crash in
    /// between needs the timer again: it is done when the answer is kept.
    Query,
    /// Give [`Input::PushDue`] at that time.
    PushAt {
        /// Which attempt.
        attempt: u8,
        /// When.
        at: Timestamp,
    },
    /// Give [`Input::CheckDue`] at that time. Every earlier timer is past with this.
    Timer {
        /// Which one.
        number: u32,
        /// When; now or earlier means at once.
        at: Timestamp,
    },
    /// Give the customer what he paid for.
    Credit {
        /// Whether he was told otherwise, or may have been.
        late: bool,
    },
    /// Tell the customer.
    Notice(Notice),
    /// It is before the operator now: no timer will move it.
    Unresolved,
    /// A claim that fits nothing, to be kept for the operator.
    Stray(Claim),
}

/// What a customer is told where he is not told that he paid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Notice {
    /// It was not paid.
    Declined(Why),
    /// It is not confirmed yet.
    Unconfirmed,
}

/// Why a payment was declined, as far as a customer can make use of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// He said no.
    Cancelled,
    /// A wrong PIN.
    WrongPin,
    /// Not enough money.
    Balance,
    /// The prompt was not answered, or did not reach the phone.
    NoAnswer,
    /// Another payment or dialogue was open, or the provider was busy: it may work in some minutes.
    Busy,
    /// Anything else.
    Other,
}

impl Why {
    /// The reason behind M-Pesa's number.
    pub const fn of(code: u32) -> Self {
        match code {
            1 => Self::Balance,
            1032 => Self::Cancelled,
            2001 => Self::WrongPin,
            1019 | 1025 | 1037 | 9999 => Self::NoAnswer,
            17 | 26 | 1001 => Self::Busy,
            _ => Self::Other,
        }
    }

    /// Whether M-Pesa's number is known to be the end of a prompt, so that nothing can come after it.
    /// Any other may be a word of something in between, and the money taken all the same.
    pub const fn is_end(code: u32) -> bool {
        matches!(code, 1 | 2 | 3 | 4 | 8 | 1032 | 2001 | 2028 | 8006)
    }

    /// A stable word for events and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::WrongPin => "wrong_pin",
            Self::Balance => "balance",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests;
