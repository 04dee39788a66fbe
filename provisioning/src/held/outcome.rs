//! What became of a step, and what is remembered of it.

use super::backoff::Pause;
use super::{Held, Refusal, Told};
use crate::plan::{Change, Circumstances, Step, Why, Wish};
use model::CommandKind;
use serde_json::Value;

/// What became of a step.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StepOutcome {
    /// Whether all of it was done.
    pub is_done: bool,
    /// Parameters that were set, by their whole paths; of a step that is done, all of them are.
    pub applied: Vec<Box<str>>,
    /// Parameters that were refused by name, each with its own cause.
    pub refused: Vec<StepRefusal>,
    /// The fault of the call as a whole, with the device's code and its meaning.
    pub fault: Option<(u32, Box<str>)>,
    /// Parameters that were asked for and did not come.
    pub absent: Vec<Box<str>>,
    /// Parameters that came.
    pub told: Vec<Box<str>>,
    /// The object that was made, whatever became of its parameters.
    pub instance: Option<u32>,
}

/// A parameter that was refused by its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StepRefusal {
    /// Its whole path.
    pub path: Box<str>,
    /// The device's fault code.
    pub code: u32,
    /// What that means; holds no value.
    pub cause: Box<str>,
}

impl StepOutcome {
    /// Reads what a session says at the end of a piece of setting up: whether it is done, the paths
    /// that were applied nevertheless, and its result (`applied`, `refused`, `fault`, `absent`,
    /// `parameters`, `instance`). Anything else in it is passed over.
    #[must_use]
    pub fn read(is_done: bool, applied: &[Box<str>], result: Option<&Value>) -> Self {
        let result = result.unwrap_or(&Value::Null);
        let texts = |name: &str| -> Vec<Box<str>> {
            let texts = result[name].as_array().map_or(&[][..], Vec::as_slice);
            texts.iter().filter_map(|it| Some(it.as_str()?.into())).collect()
        };
        let fault = |it: &Value| {
            let code = it["code"].as_u64().and_then(|code| u32::try_from(code).ok())?;
            let cause = it["cause"].as_str().unwrap_or("refused");
            Some((code, Box::<str>::from(cause)))
        };
        let parts = |name: &str| result[name].as_object().into_iter().flatten();
        let refused = parts("refused").filter_map(|(path, it)| {
            let (code, cause) = fault(it)?;
            Some(StepRefusal { path: path.as_str().into(), code, cause })
        });
        let mut outcome = Self {
            is_done,
            applied: texts("applied"),
            refused: refused.collect(),
            fault: fault(&result["fault"]),
            absent: texts("absent"),
            told: parts("parameters").map(|(path, _)| path.as_str().into()).collect(),
            instance: result["instance"].as_u64().and_then(|it| u32::try_from(it).ok()),
        };
        if outcome.applied.is_empty() {
            outcome.applied = applied.to_vec();
        }
        outcome
    }
}

/// Most refusals that are remembered of one device: as many as one plan may set. A device that
/// refuses more is not asked for the rest again in each session, because its rounds are bounded.
const REFUSED_MAX: usize = 1_000;
/// Most parameters that are remembered to be set.
const TOLD_MAX: usize = 1_000;
/// Invalid parameter name (TR-069 A.5.1).
const NO_SUCH: u32 = 9005;

impl Held {
    /// Takes over what became of a step.
    pub fn outcome(&mut self, step: &Step, outcome: &StepOutcome, it: Circumstances<'_>) {
        match &step.wish {
            Wish::Learn { .. } => self.learned(&step.kind, outcome, it),
            Wish::Set(changes) => self.set("", changes, outcome, it),
            Wish::Add { object, table, changes, .. } => {
                self.made(object, table, changes, outcome, it);
            }
            Wish::Delete { path, .. } => self.one(path, false, outcome, it),
        }
    }

    /// The device took these, or told them.
    fn took(&mut self, path: &str, is_reading: bool) {
        if let Ok(place) = self.place_of_refusal(path, is_reading) {
            self.refused.remove(place);
        }
    }

    /// The device would not take or tell it: it is tried again when the pause is over.
    fn refuse(
        &mut self,
        (path, is_reading): (&str, bool),
        (code, cause): (u32, &str),
        pause: Pause,
        it: Circumstances<'_>,
    ) {
        let place = self.place_of_refusal(path, is_reading);
        let tries = match place {
            Ok(place) if self.refused[place].wanted == it.fingerprint => self.refused[place].tries,
            Ok(_) | Err(_) => 0,
        };
        let tries = tries.saturating_add(1);
        let retry_at = pause.until(it.now, tries, it.seed, path);
        let (path, cause, wanted) = (path.into(), cause.into(), it.fingerprint);
        let refusal = Refusal { path, is_reading, code, cause, tries, retry_at, wanted };
        match place {
            Ok(place) => self.refused[place] = refusal,
            Err(place) if self.refused.len() < REFUSED_MAX => self.refused.insert(place, refusal),
            Err(_) => {}
        }
    }

    fn silence(&mut self, path: &str, is_reading: bool, it: Circumstances<'_>) {
        self.refuse((path, is_reading), (0, SILENT), Pause::Silence, it);
    }

    /// What stands or falls as one: a list, a removal.
    fn one(&mut self, path: &str, is_reading: bool, outcome: &StepOutcome, it: Circumstances<'_>) {
        match &outcome.fault {
            _ if outcome.is_done => self.took(path, is_reading),
            Some((code, cause)) => {
                self.refuse((path, is_reading), (*code, cause), Pause::of(*code), it);
            }
            None => self.silence(path, is_reading, it),
        }
    }

    fn learned(&mut self, kind: &CommandKind, outcome: &StepOutcome, it: Circumstances<'_>) {
        if let CommandKind::GetParameterNames { path, .. } = kind {
            return self.one(path, true, outcome, it);
        }
        let CommandKind::GetParameters { names } = kind else { return };
        let came: std::collections::HashSet<&str> = outcome.told.iter().map(|it| &**it).collect();
        for name in names {
            let refusal = outcome.refused.iter().find(|it| *it.path == **name);
            let own = refusal.map(|it| (it.code, &*it.cause));
            let whole = outcome.fault.as_ref().filter(|_| names.len() == 1);
            if let Some((code, cause)) =
                own.or_else(|| whole.map(|(code, cause)| (*code, &**cause)))
            {
                self.refuse((name, true), (code, cause), Pause::of(code), it);
                if code == NO_SUCH {
                    self.doubts_no_more(name);
                }
            } else if came.contains(name.as_str()) {
                self.took(name, true);
                self.read_back(name);
            } else if outcome.absent.iter().any(|path| **path == **name) {
                self.refuse((name, true), (0, UNTOLD), Pause::Lasting, it);
                self.doubts_no_more(name);
            } else if outcome.is_done {
                // A subtree: what it is was told under other names.
                self.took(name, true);
            } else {
                self.silence(name, true, it);
            }
        }
    }

    fn read_back(&mut self, path: &str) {
        self.doubts_no_more(path);
        if let Ok(place) = self.told.binary_search_by(|it| (*it.path).cmp(path)) {
            self.told[place].is_read = true;
        }
    }

    /// Parameters were set, or refused; their paths are below `place`.
    fn set(
        &mut self,
        place: &str,
        changes: &[Change],
        outcome: &StepOutcome,
        it: Circumstances<'_>,
    ) {
        for change in changes {
            let path: Box<str> = format!("{place}{}", change.path).into();
            let refusal = outcome.refused.iter().find(|it| it.path == path);
            if outcome.is_done || outcome.applied.contains(&path) {
                self.applied(path, change.why);
            } else if let Some(StepRefusal { code, cause, .. }) = refusal {
                self.would_not_take(path, (*code, cause), it);
            } else {
                match &outcome.fault {
                    Some(_) if changes.len() > 1 => {
                        if let Err(place) = self.apart.binary_search(&path) {
                            self.apart.insert(place, path);
                        }
                    }
                    Some((code, cause)) => self.would_not_take(path, (*code, cause), it),
                    None => {
                        self.silence(&path, false, it);
                        self.doubt(path);
                    }
                }
            }
        }
    }

    /// It was refused to be set. A device may say of what it only reads that there is no such path:
    /// whether there is one only a reading tells.
    fn would_not_take(&mut self, path: Box<str>, fault: (u32, &str), it: Circumstances<'_>) {
        self.refuse((&path, false), fault, Pause::of(fault.0), it);
        if fault.0 == NO_SUCH {
            self.doubt(path);
        }
    }

    /// What is known of it may not be so: it may have been set, or be there, and it may not.
    fn doubt(&mut self, path: Box<str>) {
        if let Err(place) = self.doubted.binary_search(&path)
            && self.doubted.len() < TOLD_MAX
        {
            self.doubted.insert(place, path);
        }
    }

    fn doubts_no_more(&mut self, path: &str) {
        if let Ok(place) = self.doubted.binary_search_by(|it| (**it).cmp(path)) {
            self.doubted.remove(place);
        }
    }

    fn applied(&mut self, path: Box<str>, why: Why) {
        self.took(&path, false);
        self.doubts_no_more(&path);
        // It may be asked for once more, to see what became of it.
        self.session.read.remove(&path);
        let is_read = why == Why::Unreadable;
        match self.told.binary_search_by(|it| it.path.cmp(&path)) {
            Ok(place) => {
                let told = &mut self.told[place];
                told.times = told.times.saturating_add(1);
                told.is_read = is_read;
            }
            Err(place) if self.told.len() < TOLD_MAX => {
                self.told.insert(place, Told { path, times: 1, is_read });
            }
            Err(_) => {}
        }
    }

    fn made(
        &mut self,
        object: &str,
        table: &str,
        changes: &[Change],
        outcome: &StepOutcome,
        it: Circumstances<'_>,
    ) {
        let place = self.adding.iter().position(|it| *it.object == *object);
        match (outcome.instance, &outcome.fault) {
            (Some(instance), _) => {
                if let Some(place) = place {
                    self.adding[place].instance = Some(instance);
                }
                self.took(object, false);
                self.forget_hashes_below(&format!("{table}{instance}."));
                self.set(&format!("{table}{instance}."), changes, outcome, it);
            }
            (None, Some((code, cause))) => {
                if let Some(place) = place {
                    self.adding.remove(place);
                }
                self.refuse((object, false), (*code, cause), Pause::of(*code), it);
            }
            // It may have been made: the table will tell.
            (None, None) => self.silence(object, false, it),
        }
    }
}

const SILENT: &str = "the device did not answer";
const UNTOLD: &str = "the device was asked for it and did not tell it";
