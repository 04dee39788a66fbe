//! What became of a step, and what is remembered of it.

use super::Held;
use crate::plan::{Circumstances, Step};
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
    /// The device did not answer: the session may be over.
    #[must_use]
    pub fn unanswered() -> Self {
        Self::default()
    }

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

impl Held {
    /// Takes over what became of a step.
    pub fn outcome(&mut self, step: &Step, outcome: &StepOutcome, it: Circumstances<'_>) {
        let _ = (step, outcome, it);
    }
}
