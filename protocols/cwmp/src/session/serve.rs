//! What the device tells and asks of its own accord.

use super::awaited::{Awaited, What};
use super::heard::{Letter, Notice};
use super::job::{Told, software_end, transfer_end, type_name};
use super::{Next, Output, Session, State};
use crate::message::{DuStateChange, Inform, Message, Response, TransferComplete};
use crate::translate;
use model::{CommandChange, Fact, Now, Observation, Reading};
use std::mem;

/// What a device may call (TR-069 A.3.1, A.3.3, A.4.2).
const METHODS: [&str; 8] = [
    "Inform",
    "GetRPCMethods",
    "TransferComplete",
    "AutonomousTransferComplete",
    "Kicked",
    "RequestDownload",
    "DUStateChangeComplete",
    "AutonomousDUStateChangeComplete",
];

/// Method not supported (A.5.2).
const FAULT_NOT_SUPPORTED: u16 = 8000;

impl Session {
    pub(super) fn informed(&mut self, inform: Inform, letter: Letter, now: Now) -> State {
        self.namespace = letter.namespace.clone();
        self.root = inform.root();
        let every = self.options.event_per_inform;
        let event = translate::news(&inform, &mut self.known, every, now);
        let is_news = event.is_some();
        if let Some(event) = event {
            self.emit(Fact::Event(event));
        }
        self.end_shown(&inform, now);
        self.learn_told(inform, is_news);
        self.wait_or(Next::Reply(letter.answer(Response::Inform)), now)
    }

    /// Ends the commands whose end the Inform shows.
    fn end_shown(&mut self, inform: &Inform, now: Now) {
        if self.awaited.is_empty() {
            return;
        }
        let (quirks, options) = (self.known.quirks, self.options.clone());
        let mut ended = Vec::new();
        self.awaited.retain(|it| match it.shown(inform, quirks, &options, now.wall) {
            Some(change) => {
                ended.push(change);
                false
            }
            None => true,
        });
        for change in ended {
            self.emit(Fact::Command(change));
        }
    }

    /// Keeps the types; the values go on where they are news. A steady Inform copies nothing.
    fn learn_told(&mut self, mut inform: Inform, is_news: bool) {
        if is_news && !inform.parameters.is_empty() {
            let reading = |it: &mut crate::Parameter| Reading {
                path: it.name.clone(),
                value: mem::take(&mut it.value),
                xsd_type: type_name(it.xsd_type.clone()),
            };
            let values = inform.parameters.iter_mut().map(reading).collect();
            let told = Observation::Values { asked: Vec::new(), values };
            self.outputs.push_back(Output::Learned(vec![told]));
        }
        self.told = inform.parameters.into_iter().map(Told::from).collect();
    }

    /// Answers a call of the device's own.
    pub(super) fn serve(&mut self, notice: Notice, letter: Letter, now: Now) -> State {
        let reply = self.reply_to(notice, letter, now);
        self.wait_or(Next::Reply(reply), now)
    }

    fn reply_to(&mut self, notice: Notice, letter: Letter, now: Now) -> Message {
        let known = &self.known;
        let (event, answer) = match notice {
            Notice::Methods => {
                let methods = METHODS.map(Box::from).to_vec();
                return letter.answer(Response::GetRpcMethods { methods });
            }
            Notice::Unknown => return letter.refusal(FAULT_NOT_SUPPORTED),
            Notice::TransferComplete(transfer) => {
                let event = translate::transfer_event(&transfer, false, known, now);
                self.end_transfer(&transfer);
                (event, Response::TransferComplete)
            }
            Notice::AutonomousTransferComplete(transfer) => (
                translate::transfer_event(&transfer, true, known, now),
                Response::AutonomousTransferComplete,
            ),
            Notice::Kicked(kicked) => (
                translate::kicked_event(&kicked, known, now),
                Response::Kicked { next_url: kicked.next },
            ),
            Notice::RequestDownload(request) => {
                (translate::request_download_event(&request, known, now), Response::RequestDownload)
            }
            Notice::SoftwareChanged(change) => {
                let event = translate::software_event(&change, false, known, now);
                self.end_software(&change);
                (event, Response::DuStateChangeComplete)
            }
            Notice::SoftwareChangedItself(change) => (
                translate::software_event(&change, true, known, now),
                Response::AutonomousDuStateChangeComplete,
            ),
        };
        self.emit(Fact::Event(event));
        letter.answer(answer)
    }

    fn end_transfer(&mut self, transfer: &TransferComplete) {
        let end = |it: &Awaited| match &it.what {
            What::Transfer { words, .. } => Some(transfer_end(it, words, transfer)),
            What::Restart
            | What::Reset
            | What::Software(_)
            | What::Inform
            | What::Object { .. } => None,
        };
        self.end_keyed(&transfer.command_key, end);
    }

    fn end_software(&mut self, change: &DuStateChange) {
        let end = |it: &Awaited| match &it.what {
            What::Software(_) => Some(software_end(it, change)),
            What::Restart
            | What::Reset
            | What::Transfer { .. }
            | What::Inform
            | What::Object { .. } => None,
        };
        self.end_keyed(&change.command_key, end);
    }

    /// Ends the command of that key; where a device forgets the key, the only one that it can mean.
    fn end_keyed(&mut self, key: &str, end: impl Fn(&Awaited) -> Option<CommandChange>) {
        let ends =
            self.awaited.iter().enumerate().filter_map(|(place, it)| Some((place, end(it)?)));
        let mut ends: Vec<(usize, CommandChange)> = ends.collect();
        if key.is_empty() && ends.len() != 1 {
            return;
        }
        ends.retain(|(_, change)| key.is_empty() || change.id.as_str() == key);
        if let Some((place, change)) = ends.pop() {
            self.awaited.remove(place);
            self.emit(Fact::Command(change));
        }
    }
}
