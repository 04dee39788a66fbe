//! Learning a data model anew: first its names (TR-069 A.3.2.3), then its values (A.3.2.2).
//!
//! From the root one level is asked, then each object of it whole; what a device will not tell at
//! once is asked level by level. Values are asked by whole subtrees, as many together as fit into one
//! answer. Names go straight on to the data model: of thousands only those that must be asked for
//! one by one are kept.

mod plan;

use super::call::names;
use super::origin::{Failure, Origin};
use super::value::reading;
use super::words::{INVALID_NAME, misfit, passes, words};
use super::{Context, Job, Notes, Step, Then, Verdict, Why};
use crate::message::{Fault, Parameter, ParameterInfo, Request, Response, Root};
use crate::translate::fault_json;
use model::Observation;
use plan::Plan;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;

/// Most times that a refused list of values is halved: beyond, the device refuses whatever it is
/// asked, and the rest of the list is left.
const HALVINGS_MAX: u32 = 64;

/// After so many subtrees that a device would not tell at once, it is asked for levels only.
const WHOLE_REFUSALS_MAX: u32 = 3;

/// Most faults in the result.
const FAULTS_MAX: usize = 256;

/// Names that are still to be asked.
#[derive(Debug)]
struct Question {
    path: Box<str>,
    next_level: bool,
    below: Below,
}

/// What to do with the objects that an answer names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Below {
    /// Nothing: they came whole, or lie too deep.
    Nothing,
    /// Ask each whole.
    Whole,
    /// Ask each for its levels, that many.
    Levels(u8),
    /// Their names are known: ask for the values of each.
    Values,
}

/// Learning in progress.
#[derive(Debug)]
pub(super) struct Refresh {
    origin: Origin,
    /// The first is ready or on its way.
    questions: VecDeque<Question>,
    /// Then the first of these.
    plan: Plan,
    whole_refusals: u32,
    halvings: u32,
    parameters: usize,
    objects: usize,
    /// Whether a value was asked for by its own name: then no name is counted.
    is_parameter: bool,
    first_fault: Option<Fault>,
    faults: Map<String, Value>,
}

impl Refresh {
    pub(super) fn new(
        origin: Origin,
        path: String,
        depth: Option<u8>,
        context: &Context<'_>,
    ) -> Result<Self, Verdict> {
        let mut refresh = Self {
            origin,
            questions: VecDeque::new(),
            plan: Plan::new(context.options.batch_names_max),
            whole_refusals: 0,
            halvings: 0,
            parameters: 0,
            objects: 0,
            is_parameter: !path.is_empty() && !path.ends_with('.'),
            first_fault: None,
            faults: Map::new(),
        };
        if refresh.is_parameter {
            refresh.plan.push(path.into(), 1);
            return Ok(refresh);
        }
        refresh.questions = first_questions(path, depth, context);
        if refresh.questions.is_empty() {
            return Err(refresh.origin.failed(Failure::new(NOWHERE)));
        }
        Ok(refresh)
    }

    fn go_on(self: Box<Self>) -> Step {
        if self.questions.is_empty() && self.plan.is_empty() {
            return Step { verdicts: vec![self.conclude()], then: Then::Work };
        }
        Step::ask_boxed(self)
    }

    fn result(&mut self) -> Value {
        let faults = Value::Object(std::mem::take(&mut self.faults));
        json!({ "parameters": self.parameters, "objects": self.objects, "faults": faults })
    }

    fn conclude(mut self: Box<Self>) -> Verdict {
        let result = self.result();
        match self.first_fault {
            Some(fault) if self.parameters == 0 && self.objects == 0 => {
                let failure = Failure::new(words(&fault)).passing(passes(fault.code));
                self.origin.failed(failure.with(result))
            }
            Some(_) | None => self.origin.done(Some(result)),
        }
    }

    fn fault(&mut self, path: &str, fault: &Fault, notes: &mut Notes) {
        if fault.code == INVALID_NAME {
            notes.lose(path);
        }
        if self.faults.len() < FAULTS_MAX {
            self.faults.insert(path.to_owned(), fault_json(fault));
        }
        self.first_fault.get_or_insert_with(|| fault.clone());
    }

    fn named(&mut self, question: Question, entries: Vec<ParameterInfo>, notes: &mut Notes) {
        let Question { path, next_level, below } = question;
        let is_deep = next_level && below == Below::Whole && plan::is_deep(&path, &entries);
        if below != Below::Values {
            let (parameters, objects) = plan::count(&path, &entries, next_level && !is_deep);
            self.parameters += parameters;
            self.objects += objects;
        }
        if next_level && !is_deep {
            for object in self.plan.level(&path, &entries) {
                self.below(object, below);
            }
        } else {
            self.plan.whole(&path, &entries);
        }
        notes.learned.push(names(path, next_level, entries));
    }

    fn below(&mut self, object: &str, below: Below) {
        let path = object.into();
        let question = match below {
            Below::Nothing | Below::Levels(0) => return,
            Below::Values => return self.plan.push_alone(path),
            Below::Whole if self.whole_refusals < WHOLE_REFUSALS_MAX => {
                Question { path, next_level: false, below: Below::Nothing }
            }
            Below::Whole => Question { path, next_level: true, below },
            Below::Levels(levels) => {
                Question { path, next_level: true, below: Below::Levels(levels - 1) }
            }
        };
        self.questions.push_back(question);
    }

    fn names_refused(&mut self, question: Question, fault: &Fault, notes: &mut Notes) {
        if question.next_level || fault.code == INVALID_NAME {
            return self.fault(&question.path, fault, notes);
        }
        // Too much at once, as like as not.
        self.whole_refusals += 1;
        let below = Below::Whole;
        self.questions.push_front(Question { path: question.path, next_level: true, below });
    }

    fn values_refused(&mut self, fault: &Fault, notes: &mut Notes) {
        let Some(asking) = self.plan.take() else { return };
        match asking.names.as_slice() {
            [only] if only.ends_with('.') && fault.code != INVALID_NAME => {
                let path = only.clone();
                let below = Below::Values;
                self.questions.push_back(Question { path, next_level: true, below });
            }
            [only] => self.fault(only, fault, notes),
            _several if self.halvings < HALVINGS_MAX => {
                self.halvings += 1;
                self.plan.halve(asking);
            }
            several => {
                // Of several that nobody told apart, none is known to be the one that is not there.
                let code = if fault.code == INVALID_NAME { 9003 } else { fault.code };
                let fault = Fault { code, text: fault.text.clone(), parameters: Vec::new() };
                for name in several {
                    self.fault(name, &fault, notes);
                }
            }
        }
    }

    fn read(&mut self, parameters: Vec<Parameter>, notes: &mut Notes) {
        let Some(asking) = self.plan.take() else { return };
        if self.is_parameter {
            self.parameters += parameters.len();
        }
        let values = parameters.into_iter().map(reading).collect();
        notes.learned.push(Observation::Values { asked: asking.names, values });
    }
}

impl Job for Refresh {
    fn request(&self) -> Request {
        match (self.questions.front(), self.plan.front()) {
            (Some(Question { path, next_level, .. }), _) => {
                Request::GetParameterNames { path: path.clone(), next_level: *next_level }
            }
            (None, asking) => Request::GetParameterValues {
                names: asking.map_or_else(Vec::new, |it| it.names.clone()),
            },
        }
    }

    fn answered(mut self: Box<Self>, response: Response, context: &mut Context<'_>) -> Step {
        match (self.questions.pop_front(), response) {
            (Some(question), Response::GetParameterNames { parameters }) => {
                self.named(question, parameters, context.notes);
            }
            (None, Response::GetParameterValues { parameters }) => {
                self.read(parameters, context.notes);
            }
            (_, other_answer) => return Step::end(self.origin.failed(misfit(&other_answer))),
        }
        self.go_on()
    }

    fn refused(mut self: Box<Self>, fault: Fault, context: &mut Context<'_>) -> Step {
        match self.questions.pop_front() {
            Some(question) => self.names_refused(question, &fault, context.notes),
            None => self.values_refused(&fault, context.notes),
        }
        self.go_on()
    }

    fn given_up(mut self: Box<Self>, why: Why, _notes: &mut Notes) -> Vec<Verdict> {
        let result = self.result();
        let failure = Failure::new(why.words()).passing(true).with(result);
        vec![self.origin.failed(failure)]
    }
}

/// From where to ask, and how far: all below the root is asked object by object.
fn first_questions(path: String, depth: Option<u8>, context: &Context<'_>) -> VecDeque<Question> {
    let is_root = path.is_empty() || Root::of(&path).is_some_and(|it| it.as_str() == path);
    let levels = depth.map(|levels| levels.saturating_sub(1));
    let question = |path, next_level, below| Question { path, next_level, below };
    let from = |path| match levels {
        Some(levels) => question(path, true, Below::Levels(levels)),
        None if is_root => question(path, true, Below::Whole),
        None => question(path, false, Below::Nothing),
    };
    if is_root && context.quirks.skip_root_names {
        let from = |path| match levels {
            Some(levels) => question(path, true, Below::Levels(levels.saturating_sub(1))),
            None => question(path, false, Below::Nothing),
        };
        return shown_objects(context).into_iter().map(from).collect();
    }
    match (path.is_empty(), context.root) {
        (false, _) => [from(path.into())].into(),
        (true, Some(root)) => [from(root.as_str().into())].into(),
        // The Inform showed neither: one of them is refused and forgotten.
        (true, None) => [Root::Device, Root::InternetGatewayDevice]
            .map(|root| from(root.as_str().into()))
            .into(),
    }
}

/// The objects right below the root that the Inform showed.
fn shown_objects(context: &Context<'_>) -> Vec<Box<str>> {
    let mut objects: Vec<Box<str>> = Vec::new();
    for told in context.told {
        let second = told.name.match_indices('.').nth(1).map(|(dot, _)| &told.name[..=dot]);
        if let Some(object) = second.filter(|it| !objects.iter().any(|have| **have == **it)) {
            objects.push(object.into());
        }
    }
    objects
}

const NOWHERE: &str = "the Inform shows no object to begin at";
