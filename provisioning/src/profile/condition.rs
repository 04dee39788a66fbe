//! Conditions: expressions of CEL, judged when a profile is read, evaluated for one device.
//!
//! They see what templates see, but for passphrases and passwords: what a condition tells is not kept
//! secret. One that asks for a value that is not there does not hold.

mod check;
mod facts;

pub(super) use facts::Facts;

use super::spelling::{meant, shown_line};
use super::template::Asks;
use cel::common::ast::IdedExpr;
use cel::common::types::{CelBool, CelString, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, Value};
use std::sync::{Arc, LazyLock};

/// Longest condition, in bytes.
pub(super) const CONDITION_BYTES_MAX: usize = 1024;
/// Our own function: whether a version is another or a later one.
const AT_LEAST: &str = "at_least";

/// The language: CEL's own functions and ours.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut language = Env::stdlib();
    let strings = vec![STRING_TYPE, STRING_TYPE];
    let added = language.add_overload(AT_LEAST, "at_least_string_string", strings, at_least);
    debug_assert!(added.is_ok(), "CEL has no function of that name");
    Arc::new(language)
});

/// A condition, ready to be evaluated.
#[derive(Debug)]
pub(super) struct Condition {
    expression: IdedExpr,
    /// What it asks for.
    pub(super) asks: Asks,
}

/// The condition cannot be evaluated: its operations do not fit the values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unfit;

impl Condition {
    /// What is said where it is [`Unfit`].
    pub(super) const UNFIT: &str =
        "`when` cannot be evaluated: an operation does not fit its values";

    /// Reads one, and says everything that is wrong with it: the line within it, counted from 0.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<(u32, String)>> {
        if text.len() > CONDITION_BYTES_MAX {
            return Err(vec![(0, format!("is longer than {CONDITION_BYTES_MAX} bytes"))]);
        }
        let program = LANGUAGE.compile(text).map_err(|errors| {
            let told = errors.errors.iter().take(1).map(|it| {
                let line = u32::try_from(it.pos.0).unwrap_or(1).saturating_sub(1);
                (line, shown_line(&it.msg))
            });
            told.collect::<Vec<_>>()
        })?;
        let mut expression = program.expression().clone();
        let asks = check::check(&mut expression, program.source_info())?;
        Ok(Self { expression, asks })
    }

    /// Whether it holds.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, Unfit> {
        let facts = facts.asked(&self.asks.known);
        let mut context = Context::with_env(Arc::clone(&LANGUAGE));
        context.set_variable_resolver(&facts);
        match Value::resolve_val(&self.expression, &context) {
            Ok(value) => value.downcast_ref::<CelBool>().map(|it| *it.inner()).ok_or(Unfit),
            // What is not there is not as it is asked for.
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => Ok(false),
            // The error holds values.
            Err(_) => Err(Unfit),
        }
    }
}

/// `at_least(version, bound)`: numbers are compared as numbers.
fn at_least<'b, 'v>(all: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |at: usize| all.get(at).and_then(|it| it.downcast_ref::<CelString<'_>>());
    let (Some(version), Some(bound)) = (text(0), text(1)) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let order = super::matching::compare(version.inner(), bound.inner());
    Ok(CowVal::owned(CelBool::from(order.is_ge())))
}

#[cfg(test)]
mod tests;
