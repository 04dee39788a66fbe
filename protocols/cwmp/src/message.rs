//! What the two sides say: the envelope, its one call, answer or fault, read and written.
//!
//! One vocabulary for both directions: what the device says to us and what a simulator must read.

mod decode;
mod encode;
mod fault;
mod inform;
mod notice;
mod parameter;
mod request;
mod response;

pub use decode::decode;
pub use fault::{Fault, ParameterFault, fault_words};
pub use inform::{DeviceIdStruct, EventStruct, Inform};
pub use notice::{DuResult, DuStateChange, FileTypeArg, Kicked, RequestDownload, TransferComplete};
pub use parameter::{Parameter, ParameterInfo, Root, XsdType};
pub use request::{
    Download, DuOperation, FileAddress, Request, ScheduleDownload, SetAttributes, Upload,
};
pub use response::{Attributes, OptionStruct, QueuedTransfer, Response};

use std::borrow::Cow;
use std::fmt;

/// One HTTP body: an envelope, or nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// `cwmp:ID` of the SOAP header (TR-069 3.5.2); absent is absent, not empty.
    pub id: Option<Box<str>>,
    /// Which CWMP is spoken.
    pub namespace: Namespace,
    /// What is said.
    pub body: Body,
    /// What was passed over to understand it.
    pub oddities: Oddities,
}

impl Message {
    /// An envelope with that body.
    #[must_use]
    pub fn new(id: Option<Box<str>>, namespace: Namespace, body: Body) -> Self {
        Self { id, namespace, body, oddities: Oddities::default() }
    }

    /// The empty POST, or our empty answer.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(None, Namespace::default(), Body::Empty)
    }

    /// The Inform, if it is one: the driver checks its identity and starts a new session with it.
    #[must_use]
    pub fn inform(&self) -> Option<&Inform> {
        if let Body::Inform(inform) = &self.body { Some(inform) } else { None }
    }
}

/// What an envelope holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// Nothing: "your turn", or "that is all".
    Empty,
    /// The device introduces itself (A.3.3.1).
    Inform(Box<Inform>),
    /// A transfer that we asked for has ended (A.3.3.2).
    TransferComplete(Box<TransferComplete>),
    /// A transfer that someone else asked for has ended (A.3.3.3).
    AutonomousTransferComplete(Box<TransferComplete>),
    /// Someone was sent on to us by the device's own web page (A.4.2.1).
    Kicked(Box<Kicked>),
    /// The device asks to be offered a file (A.4.2.2).
    RequestDownload(Box<RequestDownload>),
    /// A change of software modules that we asked for has ended (A.4.2.3).
    DuStateChangeComplete(Box<DuStateChange>),
    /// A change of software modules that someone else asked for has ended (A.4.2.4).
    AutonomousDuStateChangeComplete(Box<DuStateChange>),
    /// What can you do? Either side may ask (A.3.1.1), in the same words: what is read is always
    /// this; [`Request::GetRpcMethods`] is how a session of ours asks.
    GetRpcMethods,
    /// A call that we make of a device.
    Request(Box<Request>),
    /// The answer to a call, of either side.
    Response(Box<Response>),
    /// A refusal (3.5.4).
    Fault(Box<Fault>),
    /// A call that we do not know.
    Unknown {
        /// Its name, at most 64 bytes.
        name: Box<str>,
    },
}

impl Body {
    /// The call's name: a bounded word for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Inform(_) => "Inform",
            Self::TransferComplete(_) => "TransferComplete",
            Self::AutonomousTransferComplete(_) => "AutonomousTransferComplete",
            Self::Kicked(_) => "Kicked",
            Self::RequestDownload(_) => "RequestDownload",
            Self::DuStateChangeComplete(_) => "DUStateChangeComplete",
            Self::AutonomousDuStateChangeComplete(_) => "AutonomousDUStateChangeComplete",
            Self::GetRpcMethods => "GetRPCMethods",
            Self::Request(request) => request.name(),
            Self::Response(response) => response.name(),
            Self::Fault(_) => "Fault",
            Self::Unknown { .. } => "Unknown",
        }
    }
}

/// How much of a message was passed over. For counters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Oddities {
    /// Parameters whose name cannot be one.
    pub parameters_dropped: u32,
    /// SOAP header blocks that we do not know, whatever their `mustUnderstand`.
    pub headers_ignored: u32,
}

/// The XML namespace of a CWMP version, as the device spells it: an unknown minor is answered in
/// its own words.
#[derive(Clone, Eq, PartialEq)]
pub struct Namespace(Cow<'static, str>);

impl Namespace {
    const PREFIX: &str = "urn:dslforum-org:cwmp-";
    const KNOWN: [&str; 5] = [
        "urn:dslforum-org:cwmp-1-0",
        "urn:dslforum-org:cwmp-1-1",
        "urn:dslforum-org:cwmp-1-2",
        "urn:dslforum-org:cwmp-1-3",
        "urn:dslforum-org:cwmp-1-4",
    ];
    /// Longest spelling that is echoed, in bytes.
    const LEN_MAX: usize = 40;

    /// Takes a namespace of CWMP in any version; `None` is a namespace of something else.
    #[must_use]
    pub fn new(spelled: &str) -> Option<Self> {
        if let Some(known) = Self::KNOWN.into_iter().find(|known| *known == spelled) {
            return Some(Self(Cow::Borrowed(known)));
        }
        let version = spelled.strip_prefix(Self::PREFIX)?;
        let plain =
            version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let fits = spelled.len() <= Self::LEN_MAX && !version.is_empty();
        (plain && fits).then(|| Self(Cow::Owned(spelled.to_owned())))
    }

    /// As the device spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// CWMP 1.0: what every device understands.
impl Default for Namespace {
    fn default() -> Self {
        Self(Cow::Borrowed(Self::KNOWN[0]))
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.strip_prefix("urn:dslforum-org:").unwrap_or(&self.0))
    }
}
