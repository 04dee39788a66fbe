//! One message against the record of its board: what follows. Awaits nothing and reads nothing.

use super::happened::{Disagreement, Note, RefusedStatus};
use super::reading::Told;
use crate::store::{BoardRow, BoardStep};
use jiff::Timestamp;
use model::{DeviceId, Redacted};
use soracom::{Actor, Claim, FieldFault, Options, Status, Verdict, decide};

/// What followed.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) notes: Vec<Note>,
    pub(super) steps: Vec<BoardStep>,
    /// The SIM that the board was bound to and is no longer.
    pub(super) released: Option<Redacted<Box<str>>>,
    /// The SIM that it is bound to from now on, where the network said so.
    pub(super) bound: Option<Redacted<Box<str>>>,
    /// The other board that had it until then.
    pub(super) taken_from: Option<DeviceId>,
    /// Whether it is back from its customer.
    pub(super) is_returned: bool,
    /// Statuses that were refused.
    refused: Vec<RefusedStatus>,
    /// The version that it runs from now on.
    pub(super) sketch_ver: Option<Box<str>>,
}

/// Takes a message into its board's record.
pub(super) fn hear(row: &mut BoardRow, told: &Told, rules: &Options) -> Heard {
    let mut heard = Heard::default();
    let observed = told.observed();
    let is_bench = observed.is_some_and(|(imsi, _)| rules.is_inspection(imsi));
    move_on(row, told, is_bench, rules, &mut heard);
    tell_refused(row, told, &mut heard);
    if told.report.sketch_ver.is_some() && told.report.sketch_ver != row.sketch_ver {
        row.sketch_ver.clone_from(&told.report.sketch_ver);
        heard.sketch_ver.clone_from(&told.report.sketch_ver);
    }
    let mut found: Vec<_> = told.mismatches.iter().map(|it| of_message(it, told)).collect();
    if let Some((imsi, is_trusted)) = observed.filter(|_| !is_bench) {
        let by = if is_trusted { told.known_by } else { "payload" };
        let observed = Observed { imsi, is_trusted, by };
        found.extend(observed.disagreements(row, told));
        observed.bind(row, told, &mut heard);
    }
    // What was told of once is no news until it is otherwise.
    let says_who = observed.is_some() || told.report.imei.is_some();
    let memo = memo(&found);
    if says_who && memo != row.disagreement {
        row.disagreement = memo;
        heard.notes.extend(found.into_iter().map(Note::Disagreed));
    }
    heard
}

/// What the sketch reports, then what its being heard shows. Through a SIM of the bench, or from the
/// sketch of the inspection, nothing shows that it is on its way to a customer: that message may come
/// again when the contract is there already.
fn move_on(row: &mut BoardRow, told: &Told, is_bench: bool, rules: &Options, heard: &mut Heard) {
    for fault in told.report.faults.iter().filter(|it| is_of_status(it)) {
        refuse(heard, None, fault.code());
    }
    let before = row.status;
    if let Some(status) = told.report.status {
        let is_evidence = matches!(status, Status::ReadyToShip | Status::InUse);
        if !(is_bench && is_evidence) {
            let may_be_inspected = status == Status::InStock && may_be_at_bench(row, told, rules);
            let said = if may_be_inspected { Claim::Inspected } else { Claim::Reported(status) };
            claim(row, said, "report", told.at, rules, heard);
        }
    }
    let shows = !is_bench && told.report.status != Some(Status::InStock);
    if told.is_message && shows {
        claim(row, Claim::Message, "message", told.at, rules, heard);
    }
    // The message that made it ready to ship is not yet the customer's first.
    if told.is_data && shows && row.status == before {
        claim(row, Claim::Data, "data", told.at, rules, heard);
    }
}

fn is_of_status(fault: &FieldFault) -> bool {
    matches!(fault, FieldFault::Status | FieldFault::TwoStatuses)
}

/// Whether a board may be at the inspection bench: it talks through a SIM of the bench, or nobody knows
/// of a SIM through which it would talk elsewhere.
fn may_be_at_bench(row: &BoardRow, told: &Told, rules: &Options) -> bool {
    let mut own = row.imsi.iter().chain(&row.expected_imsi);
    match told.observed() {
        Some((imsi, _)) if rules.is_inspection(imsi) => true,
        Some((imsi, _)) => rules.inspection_imsi.is_empty() && own.all(|it| **it.expose() != *imsi),
        None => own.next().is_none(),
    }
}

/// Tells of statuses that are refused: of the same once, until it says one that is not.
fn tell_refused(row: &mut BoardRow, told: &Told, heard: &mut Heard) {
    if told.report.status.is_none() && !told.report.faults.iter().any(is_of_status) {
        return;
    }
    let refused = std::mem::take(&mut heard.refused);
    let number = |it: Option<Status>| it.map_or('-', |it| char::from(b'0' + it.number()));
    let one =
        |it: &RefusedStatus| format!("{} {} {}", number(row.status), number(it.wanted), it.reason);
    let all: Vec<_> = refused.iter().map(one).collect();
    let memo = (!all.is_empty()).then(|| Box::from(all.join("; ")));
    let is_known = memo == row.refused;
    row.refused = memo;
    heard.notes.extend(
        refused
            .into_iter()
            .map(|it| if is_known { Note::RefusedAgain(it.reason) } else { Note::Refused(it) }),
    );
}

fn claim(
    row: &mut BoardRow,
    claim: Claim,
    evidence: &'static str,
    at: Timestamp,
    rules: &Options,
    heard: &mut Heard,
) {
    match decide(row.status, claim, rules) {
        Verdict::Moves(path, actor) => {
            for &new in path {
                let evidence = Some(evidence.into());
                let old = row.status;
                let step = BoardStep { id: 0, old, new, actor, by: None, evidence, at };
                advance(row, step, heard);
            }
        }
        Verdict::Holds => {}
        Verdict::Refused(refusal) => {
            let wanted = match claim {
                Claim::Reported(status) | Claim::Set(status) => Some(status),
                Claim::Inspected => Some(Status::InStock),
                Claim::Message | Claim::Data => None,
            };
            refuse(heard, wanted, refusal.code());
        }
    }
}

/// Moves a board one step on. One that is inspected again begins anew: its SIM was its customer's.
pub(super) fn advance(row: &mut BoardRow, step: BoardStep, heard: &mut Heard) {
    row.status = Some(step.new);
    row.since = Some(step.at);
    row.refused = None;
    if step.new == Status::InStock {
        heard.is_returned = step.old.is_some();
        heard.released = row.imsi.take();
        row.imsi_trusted = false;
        row.expected_imsi = None;
        row.sim_status = None;
        row.disagreement = None;
    }
    heard.notes.push(Note::Moved(step.clone()));
    heard.steps.push(step);
}

fn refuse(heard: &mut Heard, wanted: Option<Status>, reason: &'static str) {
    let refused = RefusedStatus { wanted, actor: Actor::Board, by: None, reason };
    heard.refused.push(refused);
}

/// The SIM that a message came through.
struct Observed<'a> {
    imsi: &'a str,
    is_trusted: bool,
    by: &'static str,
}

impl Observed<'_> {
    fn disagreements(&self, row: &BoardRow, told: &Told) -> Vec<Disagreement> {
        let is_other = |it: &&Redacted<Box<str>>| **it.expose() != *self.imsi;
        let expected = row.expected_imsi.as_ref().filter(is_other);
        let bound = row.imsi.as_ref().filter(is_other).filter(|_| !self.replaces(row));
        let known = |it: &Redacted<Box<str>>, by| self.disagrees(it.expose(), by);
        let mut found: Vec<_> = expected.map(|it| known(it, "order")).into_iter().collect();
        found.extend(bound.map(|it| known(it, "record")));
        let holder = told.holder.as_ref().filter(|_| !self.is_moved(row));
        found.extend(holder.map(|it| self.disagrees(it.as_str(), "another_board")));
        found
    }

    fn disagrees(&self, known: &str, known_by: &'static str) -> Disagreement {
        Disagreement {
            name: "imsi",
            said: Redacted(self.imsi.into()),
            by: self.by,
            known: Redacted(known.into()),
            known_by,
        }
    }

    fn is_ordered(&self, row: &BoardRow) -> bool {
        row.expected_imsi.as_ref().is_some_and(|it| **it.expose() == *self.imsi)
    }

    /// Whether it is this board's from now on, though another has it: it was ordered for this one, and
    /// the network says that it is in it.
    fn is_moved(&self, row: &BoardRow) -> bool {
        self.is_trusted && self.is_ordered(row)
    }

    /// Whether it may take the place of the one that the board is bound to: the network's word goes
    /// before the board's, and a SIM that was ordered before one that was not.
    fn replaces(&self, row: &BoardRow) -> bool {
        let outranks = self.is_trusted && !row.imsi_trusted;
        outranks || (self.is_ordered(row) && self.is_trusted >= row.imsi_trusted)
    }

    /// Binds a board that is on its way to a customer, or with one, to its SIM; to another board's only
    /// where it was ordered for this one.
    fn bind(&self, row: &mut BoardRow, told: &Told, heard: &mut Heard) {
        if !matches!(row.status, Some(Status::ReadyToShip | Status::InUse)) {
            return;
        }
        if told.holder.is_some() && !self.is_moved(row) {
            return;
        }
        let is_same = row.imsi.as_ref().is_some_and(|it| **it.expose() == *self.imsi);
        let is_news = if is_same {
            self.is_trusted && !row.imsi_trusted
        } else {
            row.imsi.is_none() || self.replaces(row)
        };
        if !is_news && told.holder.is_none() {
            return;
        }
        let imsi = Redacted(Box::from(self.imsi));
        if !is_same {
            let before = row.imsi.replace(imsi.clone());
            heard.released = before.or_else(|| heard.released.take());
        }
        row.imsi_trusted = self.is_trusted;
        heard.bound = self.is_trusted.then_some(imsi);
        heard.taken_from.clone_from(&told.holder);
    }
}

/// The SIM that a board was observed with, where it is not the one that is ordered for it now. What was
/// told of once is no news.
pub(super) fn ordered(row: &mut BoardRow, heard: &mut Heard) {
    let (Some(imsi), Some(expected)) = (&row.imsi, &row.expected_imsi) else { return };
    if imsi == expected {
        return;
    }
    let by = if row.imsi_trusted { "network" } else { "payload" };
    let observed = Observed { imsi: imsi.expose(), is_trusted: row.imsi_trusted, by };
    let found = observed.disagrees(expected.expose(), "order");
    let memo = memo(std::slice::from_ref(&found));
    if memo != row.disagreement {
        row.disagreement = memo;
        heard.notes.push(Note::Disagreed(found));
    }
}

fn of_message(it: &soracom::Mismatch, told: &Told) -> Disagreement {
    Disagreement {
        name: it.name,
        said: Redacted(it.said.clone()),
        by: it.by,
        known: Redacted(it.trusted.clone()),
        known_by: told.known_by,
    }
}

/// What is remembered of disagreements, so that the same are told of once.
fn memo(found: &[Disagreement]) -> Option<Redacted<Box<str>>> {
    let one = |it: &Disagreement| {
        let Disagreement { name, said, by, known, known_by } = it;
        format!("{name} {by} {} {known_by} {}", said.expose(), known.expose())
    };
    let all: Vec<_> = found.iter().map(one).collect();
    (!all.is_empty()).then(|| Redacted(all.join("; ").into()))
}
