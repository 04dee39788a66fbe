//! Texts with holes in them: compiled when a profile is read, filled for one device.
//!
//! The language is Jinja's without what has no bound: no macro, no include, no loader, nothing that
//! makes a text grow in a loop. Its variables and functions are ours; what it does with them costs
//! fuel. An error of it never says a value.

mod check;
mod filters;

pub(super) use check::{Asks, NO_PARAMETER, parameter};
pub(super) use filters::too_long;
#[cfg(test)]
pub(super) use filters::{FILTERS, TESTS};

use super::scope::Scope;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind as Kind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, machinery};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Longest template, in bytes.
pub(super) const TEMPLATE_BYTES_MAX: usize = 4 * 1024;
/// Longest text that a template makes or is given by a variable, in bytes. The longest parameters
/// that people configure are digit maps, and stay below 1 KiB.
pub(super) const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Instructions of one filling: a hundred times what the shipped templates need.
const FUEL: u64 = 5_000;
/// How deep templates nest: `if` within `for` and the like.
const DEPTH_MAX: usize = 32;

/// The language, with nothing compiled in it. A copy shares its filters.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::empty();
    language.set_undefined_behavior(UndefinedBehavior::Strict);
    language.set_fuel(Some(FUEL));
    language.set_recursion_limit(DEPTH_MAX);
    language.set_formatter(|out, _, value| match value.kind() {
        Kind::Undefined | Kind::None => Err(ErrorKind::UndefinedError.into()),
        Kind::Bool => out.write_char(if value.is_true() { '1' } else { '0' }).map_err(Error::from),
        Kind::Number => write!(out, "{value}").map_err(Error::from),
        Kind::String => match value.as_str() {
            Some(text) if text.len() <= TEXT_BYTES_MAX => out.write_str(text).map_err(Error::from),
            Some(_) | None => Err(filters::fault(filters::TOO_LONG)),
        },
        _ => Err(filters::fault(filters::NO_TEXT)),
    });
    filters::add(&mut language);
    language
});

/// The templates of one profile, compiled.
pub(super) struct Templates {
    compiled: Environment<'static>,
    count: usize,
}

/// One template of a profile.
#[derive(Debug)]
pub(super) struct Template {
    name: Box<str>,
    /// What it asks for.
    pub(super) asks: Asks,
}

/// Why a template made no text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unfilled {
    /// It asks for a value that is not there.
    Undefined,
    /// It failed.
    Failed(&'static str),
}

/// A fault of a template's text.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct TemplateFault {
    /// The line within it, counted from 0.
    pub(super) line: u32,
    /// What is wrong.
    pub(super) message: String,
}

impl Default for Templates {
    fn default() -> Self {
        Self { compiled: LANGUAGE.clone(), count: 0 }
    }
}

impl Templates {
    /// Compiles one.
    pub(super) fn compile(&mut self, source: &str) -> Result<Template, Vec<TemplateFault>> {
        let whole = |message: String| vec![TemplateFault { line: 0, message }];
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(whole(format!("is longer than {TEMPLATE_BYTES_MAX} bytes")));
        }
        let tree = machinery::parse(source, "template", SyntaxConfig::default());
        let asks = check::check(&tree.map_err(|error| vec![told(&error)])?)?;
        let name = self.count.to_string();
        self.compiled
            .add_template_owned(name.clone(), source.to_owned())
            .map_err(|error| vec![told(&error)])?;
        self.count += 1;
        Ok(Template { name: name.into(), asks })
    }

    /// Fills one in.
    pub(super) fn fill(&self, template: &Template, scope: &Scope) -> Result<String, Unfilled> {
        let filled = self
            .compiled
            .get_template(&template.name)
            .and_then(|compiled| compiled.render(scope.root().clone()));
        match filled {
            Ok(text) if text.len() <= TEXT_BYTES_MAX => Ok(text),
            Ok(_) => Err(Unfilled::Failed(filters::TOO_LONG)),
            Err(error) => Err(unfilled(&error)),
        }
    }
}

/// What the compiler says of a text; nothing of a value is known yet.
fn told(error: &Error) -> TemplateFault {
    let line = error.line().and_then(|line| u32::try_from(line).ok()).unwrap_or(1);
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    TemplateFault { line: line.saturating_sub(1), message: super::spelling::shown_line(&message) }
}

/// What may be said of a failure: our own words alone, for the engine's may hold a value.
fn unfilled(error: &Error) -> Unfilled {
    match error.kind() {
        ErrorKind::UndefinedError => Unfilled::Undefined,
        ErrorKind::OutOfFuel => Unfilled::Failed("the template takes too long"),
        _ => Unfilled::Failed(filters::words(error)),
    }
}

#[cfg(test)]
mod tests;
