//! From what was assigned to the first call of it. Commands that stand together and ask the same
//! kind of thing become one call.

use super::attributes::Attribute;
use super::call::Call;
use super::object::{Add, Delete};
use super::origin::{Failure, Origin};
use super::read::Read;
use super::refresh::Refresh;
use super::transfer;
use super::write::{Part, Write};
use super::{Context, Job, Verdict};
use crate::message::{Request, Root};
use crate::session::awaited::What;
use crate::session::{Support, Work};
use model::{CommandId, CommandKind};
use std::collections::{HashSet, VecDeque};

/// Who asked, and what we know that helps.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) origin: Origin,
    pub(super) support: Support,
}

/// What became of work that was taken up.
#[derive(Debug, Default)]
pub(in crate::session) struct Begun {
    /// Commands in the first call: that they are sent must be durable before it is made.
    pub(in crate::session) sent: Vec<CommandId>,
    /// What cannot be begun goes from queued to failed at once.
    pub(in crate::session) verdicts: Vec<Verdict>,
    /// What to ask.
    pub(in crate::session) job: Option<Box<dyn Job>>,
}

/// Takes up the next work, and what can be asked with it.
pub(in crate::session) fn begin(work: &mut VecDeque<Work>, context: &Context<'_>) -> Option<Begun> {
    let (assigned, kind) = open(work.pop_front()?);
    let mut begun = Begun::default();
    if let CommandKind::GetParameters { names } = kind {
        begun.read(assigned, names, work, context);
    } else if let CommandKind::SetParameters { .. } = kind {
        begun.write(assigned, kind, work, context);
    } else {
        begun.one(assigned, kind, context);
    }
    Some(begun)
}

/// Looks again at what is below `path`, for ourselves.
pub(in crate::session) fn look_up(path: Box<str>) -> Box<dyn Job> {
    let assigned = Assigned { origin: Origin::Session, support: Support::default() };
    Box::new(Call::new(assigned, Request::GetParameterNames { path, next_level: true }, true))
}

fn open(work: Work) -> (Assigned, CommandKind) {
    match work {
        Work::Command { id, kind, support } => {
            (Assigned { origin: Origin::Command(id), support }, kind)
        }
        Work::Setup { name, kind } => {
            (Assigned { origin: Origin::Setup(name), support: Support::default() }, kind)
        }
    }
}

impl Begun {
    fn ask(&mut self, job: impl Job + 'static) {
        self.job = Some(Box::new(job));
    }

    fn read(
        &mut self,
        assigned: Assigned,
        names: Vec<String>,
        work: &mut VecDeque<Work>,
        context: &Context<'_>,
    ) {
        let batch_max = context.options.batch_names_max;
        let group = Group::of(&assigned.origin);
        let (mut parts, mut total) = (Vec::with_capacity(1), 0);
        let mut next = Some((assigned.origin, names));
        while let Some((origin, names)) = next.take() {
            if names.is_empty() {
                self.verdicts.push(origin.failed(Failure::new(NOTHING_NAMED)));
            } else {
                total += names.len();
                self.sent.extend(origin.id().cloned());
                parts.push((origin, names));
            }
            let fits = |kind: &CommandKind| {
                let CommandKind::GetParameters { names } = kind else { return false };
                total + names.len() <= batch_max
            };
            if let Some((assigned, CommandKind::GetParameters { names })) =
                next_of(work, &group, fits)
            {
                next = Some((assigned.origin, names));
            }
        }
        if !parts.is_empty() {
            self.ask(Read::new(parts, batch_max));
        }
    }

    fn write(
        &mut self,
        assigned: Assigned,
        kind: CommandKind,
        work: &mut VecDeque<Work>,
        context: &Context<'_>,
    ) {
        let batch_max = context.options.batch_names_max;
        let group = Group::of(&assigned.origin);
        let mut parts: Vec<Part> = Vec::with_capacity(1);
        let mut next = Some((assigned, kind));
        while let Some((assigned, CommandKind::SetParameters { values })) = next.take() {
            match Part::new(assigned, values, context.quirks) {
                Ok(part) => {
                    self.sent.extend(part.id().cloned());
                    parts.push(part);
                }
                Err(verdict) => self.verdicts.push(verdict),
            }
            let taken: HashSet<&str> = parts.iter().flat_map(Part::paths).collect();
            let fits = |kind: &CommandKind| {
                let CommandKind::SetParameters { values } = kind else { return false };
                taken.len() + values.len() <= batch_max
                    && !values.keys().any(|path| taken.contains(path.as_str()))
            };
            next = next_of(work, &group, fits);
        }
        if !parts.is_empty() {
            self.ask(Write::new(parts, context));
        }
    }

    /// What is asked alone.
    fn one(&mut self, assigned: Assigned, kind: CommandKind, context: &Context<'_>) {
        let id = assigned.origin.id().cloned();
        match job(assigned, kind, context) {
            Ok(job) => {
                self.job = Some(job);
                self.sent.extend(id);
            }
            Err(verdict) => self.verdicts.push(verdict),
        }
    }
}

/// What may be asked together.
#[derive(Debug, Eq, PartialEq)]
enum Group {
    Commands,
    /// Parts of one thing, by what its name begins with.
    Parts(Box<str>),
    /// Alone.
    None,
}

impl Group {
    fn of(origin: &Origin) -> Self {
        match origin {
            Origin::Command(_) => Self::Commands,
            Origin::Setup(name) => {
                name.split_once('/').map_or(Self::None, |(whole, _)| Self::Parts(whole.into()))
            }
            Origin::Session => Self::None,
        }
    }

    fn holds(&self, work: &Work) -> bool {
        match (self, work) {
            (Self::Commands, Work::Command { .. }) => true,
            (Self::Parts(whole), Work::Setup { name, .. }) => {
                name.split_once('/').is_some_and(|(it, _)| *it == **whole)
            }
            (Self::Commands | Self::None, Work::Setup { .. })
            | (Self::Parts(_) | Self::None, Work::Command { .. }) => false,
        }
    }
}

/// The next work, where it may be asked together with what came before.
fn next_of(
    work: &mut VecDeque<Work>,
    group: &Group,
    fits: impl Fn(&CommandKind) -> bool,
) -> Option<(Assigned, CommandKind)> {
    let next = work.front().filter(|next| group.holds(next))?;
    match next {
        Work::Command { kind, .. } | Work::Setup { kind, .. } if fits(kind) => {
            work.pop_front().map(open)
        }
        Work::Command { .. } | Work::Setup { .. } => None,
    }
}

fn job(
    mut assigned: Assigned,
    kind: CommandKind,
    context: &Context<'_>,
) -> Result<Box<dyn Job>, Verdict> {
    let (is_idempotent, what) = (kind.is_idempotent(), What::of(&kind));
    Ok(match kind {
        CommandKind::SetParameterAttributes { attributes } => {
            Box::new(Attribute::new(assigned.origin, attributes)?)
        }
        CommandKind::AddObject { path, values } => Box::new(Add::new(assigned, path, values)?),
        CommandKind::DeleteObject { path } => Box::new(Delete::new(assigned.origin, path)),
        CommandKind::Refresh { path, depth } => {
            Box::new(Refresh::new(assigned.origin, path, depth, context)?)
        }
        CommandKind::CancelTransfer { command } => {
            let request = Request::CancelTransfer { command_key: command.as_str().into() };
            Box::new(Call::new(assigned, request, is_idempotent).cancelling(command))
        }
        kind @ (CommandKind::GetParameters { .. }
        | CommandKind::SetParameters { .. }
        | CommandKind::GetParameterNames { .. }
        | CommandKind::GetParameterAttributes { .. }
        | CommandKind::Reboot
        | CommandKind::FactoryReset
        | CommandKind::Download { .. }
        | CommandKind::ScheduleDownload { .. }
        | CommandKind::Upload { .. }
        | CommandKind::GetTransfers { .. }
        | CommandKind::ScheduleInform { .. }
        | CommandKind::ChangeDuState { .. }
        | CommandKind::GetRpcMethods
        | CommandKind::GetOptions { .. }
        | CommandKind::SetVouchers { .. }
        | CommandKind::Publish { .. }) => match request(&mut assigned, kind, context) {
            Ok(request) => Box::new(Call::new(assigned, request, is_idempotent).awaiting(what)),
            Err(failure) => return Err(assigned.origin.failed(failure)),
        },
    })
}

/// The one call of a command that is one call.
fn request(
    assigned: &mut Assigned,
    kind: CommandKind,
    context: &Context<'_>,
) -> Result<Request, Failure> {
    let key = assigned.origin.key();
    Ok(match kind {
        CommandKind::GetParameterNames { path, next_level } => {
            let root = || context.root.map_or("", Root::as_str).into();
            let path = if path.is_empty() { root() } else { path.into() };
            Request::GetParameterNames { path, next_level }
        }
        CommandKind::GetParameterAttributes { names } if names.is_empty() => {
            return Err(Failure::new(NOTHING_NAMED));
        }
        CommandKind::GetParameterAttributes { names } => {
            let names = names.into_iter().map(String::into_boxed_str).collect();
            Request::GetParameterAttributes { names }
        }
        CommandKind::Reboot => Request::Reboot { command_key: key },
        CommandKind::FactoryReset => Request::FactoryReset,
        CommandKind::Download { image: _, delay_s } => transfer::download(assigned, delay_s)?,
        CommandKind::ScheduleDownload { image: _, windows } => {
            transfer::schedule_download(assigned, windows)?
        }
        CommandKind::Upload { file_type, delay_s } => {
            transfer::upload(assigned, file_type, delay_s)?
        }
        CommandKind::ChangeDuState { operations } => {
            transfer::change_du_state(assigned, operations)?
        }
        CommandKind::GetTransfers { all: true } => Request::GetAllQueuedTransfers,
        CommandKind::GetTransfers { all: false } => Request::GetQueuedTransfers,
        CommandKind::ScheduleInform { delay_s } => {
            Request::ScheduleInform { delay_s, command_key: key }
        }
        CommandKind::GetRpcMethods => Request::GetRpcMethods,
        CommandKind::GetOptions { option } => Request::GetOptions { option: option.into() },
        CommandKind::SetVouchers { vouchers } => {
            let vouchers = vouchers.into_iter().map(|it| model::Redacted(it.0.into())).collect();
            Request::SetVouchers { vouchers }
        }
        // All but the last are carried out elsewhere.
        CommandKind::GetParameters { .. }
        | CommandKind::SetParameters { .. }
        | CommandKind::SetParameterAttributes { .. }
        | CommandKind::AddObject { .. }
        | CommandKind::DeleteObject { .. }
        | CommandKind::Refresh { .. }
        | CommandKind::CancelTransfer { .. }
        | CommandKind::Publish { .. } => return Err(Failure::new("not a command for a CPE")),
    })
}

const NOTHING_NAMED: &str = "no parameter is named";
