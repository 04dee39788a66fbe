//! What a message is in a session, whichever of the many it is.

use crate::message::{
    Body, DuStateChange, Fault, Inform, Kicked, Message, Namespace, RequestDownload, Response,
    TransferComplete,
};

/// What the device said.
#[derive(Debug)]
pub(super) enum Heard {
    /// Who it is and why it calls.
    Inform(Box<Inform>),
    /// Nothing: it is our turn.
    Nothing,
    /// A call of its own.
    Notice(Notice),
    /// The answer to a call of ours.
    Answer(Box<Response>),
    /// Its refusal.
    Fault(Box<Fault>),
}

/// A call of the device's own (TR-069 A.3.1, A.3.3, A.4.2).
#[derive(Debug)]
pub(super) enum Notice {
    Methods,
    TransferComplete(Box<TransferComplete>),
    AutonomousTransferComplete(Box<TransferComplete>),
    Kicked(Box<Kicked>),
    RequestDownload(Box<RequestDownload>),
    SoftwareChanged(Box<DuStateChange>),
    SoftwareChangedItself(Box<DuStateChange>),
    /// What we do not know, or what only we may call.
    Unknown,
}

/// What an answer must repeat of the call that it answers.
#[derive(Debug)]
pub(super) struct Letter {
    id: Option<Box<str>>,
    pub(super) namespace: Namespace,
}

impl Letter {
    pub(super) fn open(message: Message) -> (Self, Heard) {
        let Message { id, namespace, body, oddities: _ } = message;
        let heard = match body {
            Body::Empty => Heard::Nothing,
            Body::Inform(inform) => Heard::Inform(inform),
            Body::Response(answer) => match answer.refusal() {
                Some(fault) => Heard::Fault(Box::new(fault)),
                None => Heard::Answer(answer),
            },
            Body::Fault(fault) => Heard::Fault(fault),
            Body::GetRpcMethods => Heard::Notice(Notice::Methods),
            Body::TransferComplete(it) => Heard::Notice(Notice::TransferComplete(it)),
            Body::AutonomousTransferComplete(it) => {
                Heard::Notice(Notice::AutonomousTransferComplete(it))
            }
            Body::Kicked(it) => Heard::Notice(Notice::Kicked(it)),
            Body::RequestDownload(it) => Heard::Notice(Notice::RequestDownload(it)),
            Body::DuStateChangeComplete(it) => Heard::Notice(Notice::SoftwareChanged(it)),
            Body::AutonomousDuStateChangeComplete(it) => {
                Heard::Notice(Notice::SoftwareChangedItself(it))
            }
            Body::Request(_) | Body::Unknown { .. } => Heard::Notice(Notice::Unknown),
        };
        (Self { id, namespace }, heard)
    }

    pub(super) fn answer(self, answer: Response) -> Message {
        Message::new(self.id, self.namespace, Body::Response(Box::new(answer)))
    }

    pub(super) fn refusal(self, code: u16) -> Message {
        Message::new(self.id, self.namespace, Body::Fault(Box::new(Fault::ours(code))))
    }
}
