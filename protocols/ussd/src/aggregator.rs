//! The seam between our dialogues and each aggregator's way of carrying them.
//!
//! One file per aggregator in `aggregator/`, one line in [`make`], a folder of transcripts. Secrets
//! of URLs, rates and source networks are the driver's; menus are the dialogue's.

mod africas_talking;
mod beem;
mod begin_flag;
pub(crate) mod code;
mod con_end;
pub(crate) mod field;
mod flares;
mod hubtel;
mod infobip;
mod madapi;
mod restcomm;
mod truroute;

pub use africas_talking::AfricasTalking;
pub use code::ServiceCode;
pub use con_end::{ConEnd, ConEndFields};

use self::begin_flag::BeginFlag;
use crate::error::TurnError;
use crate::handset::Handset;
use crate::message::{EndReport, Inbound, Reply, Request, Screen, Turn};
use crate::text::Limits;
use std::sync::Arc;
use std::time::Duration;

/// One aggregator's dialect, with its far side. Decode and encode only: no menus, no sockets, no state.
pub trait Aggregator: Handset {
    /// Its name in configuration, logs and metrics.
    fn name(&self) -> &'static str;

    /// What its way of carrying dialogues allows.
    fn capabilities(&self) -> Capabilities;

    /// The headers it must see in [`Request::headers`], in lower case.
    fn headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Reads one callback: in most cases the [`Turn`] that all menus understand.
    ///
    /// # Errors
    ///
    /// What is wrong with it; [`Aggregator::encode_error`] answers it.
    fn decode(&self, request: &Request<'_>) -> Result<Inbound, TurnError>;

    /// Reads the notification that a dialogue is over, which comes to the path `end`.
    ///
    /// # Errors
    ///
    /// As [`Aggregator::decode`]; [`TurnError::Path`] where the aggregator sends none.
    fn decode_end(&self, _request: &Request<'_>) -> Result<EndReport, TurnError> {
        Err(TurnError::Path)
    }

    /// Writes a screen as this aggregator wants it. `turn` is the one that this very request carried,
    /// a repeated one's own too.
    fn encode(&self, screen: &Screen, turn: &Turn) -> Reply;

    /// Answers word that a dialogue is over.
    fn encode_end(&self, _report: &EndReport, _request: &Request<'_>) -> Reply {
        Reply::text(200, String::new())
    }

    /// Answers a callback that cannot be read.
    fn encode_error(&self, error: TurnError) -> Reply {
        Reply::text(error.status(), String::new())
    }
}

/// What an aggregator's way of carrying dialogues allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// Every callback repeats all input since the dial, so that a missed hop shows.
    pub cumulative: bool,
    /// It tells when a dialogue is over ([`Aggregator::decode_end`]).
    pub end_report: bool,
    /// How long a screen may be. A caller's network may allow less.
    pub limits: Limits,
    /// After how long it gives up on an answer.
    pub reply_deadline: Duration,
}

impl Capabilities {
    /// Of an aggregator that sends the last keys alone and says nothing of all this.
    const LATEST: Self = Self {
        cumulative: false,
        end_report: false,
        limits: Limits::GSM,
        // Five seconds are the least that any aggregator gives.
        reply_deadline: Duration::from_secs(5),
    };
}

/// The aggregators there are, by the names that [`make`] takes.
pub const NAMES: &[&str] = &[
    "africas_talking",
    "con_end",
    "hubtel",
    "nalo",
    "arkesel",
    "beem",
    "infobip",
    "truroute",
    "flares",
    "mtn_madapi",
    "restcomm",
];

/// The aggregator of that name; `fields` are for `con_end`, which there is not without. Where the
/// service is dialled by `code`, what callers dial behind it counts as keys.
pub fn make(
    name: &str,
    fields: Option<&ConEndFields>,
    code: Option<&ServiceCode>,
) -> Option<Arc<dyn Aggregator>> {
    let code = code.cloned();
    Some(match name {
        "africas_talking" => Arc::new(AfricasTalking::new(code)),
        "con_end" => Arc::new(ConEnd::new(fields?.clone(), code)),
        "hubtel" => Arc::new(hubtel::Hubtel { code }),
        "nalo" => Arc::new(BeginFlag { names: &begin_flag::NALO, code }),
        "arkesel" => Arc::new(BeginFlag { names: &begin_flag::ARKESEL, code }),
        "beem" => Arc::new(beem::Beem { code }),
        "infobip" => Arc::new(infobip::Infobip { code }),
        "truroute" => Arc::new(truroute::TruRoute { code }),
        "flares" => Arc::new(flares::Flares { code }),
        "mtn_madapi" => Arc::new(madapi::Madapi { code }),
        "restcomm" => Arc::new(restcomm::RestComm { code }),
        _ => return None,
    })
}
