//! Texts with `{placeholders}`: data, never code. `{{` and `}}` are the brackets themselves.

use super::ValueId;
use crate::text::{Alphabet, Limits, alphabet, septet_width, septets, units};
use model::Redacted;
use std::sync::Arc;

/// A text whose placeholders are known values.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
    /// The whole, where there is no placeholder: such a screen costs no allocation.
    fixed: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    Value(ValueId),
}

impl Template {
    /// Reads `source`; `resolve` knows the values. The error says what is wrong with it.
    pub(super) fn parse(
        source: &str,
        resolve: &mut dyn FnMut(&str) -> Option<ValueId>,
    ) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let bracket = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(bracket) {
                literal.push_str(bracket);
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.split_once('}').filter(|_| bracket == "{") else {
                return Err("has a bracket without its partner (`{{` and `}}` show one)".to_owned());
            };
            let value = resolve(name).ok_or_else(|| {
                format!("shows `{{{name}}}`, which no `values` and no `save` declares")
            })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Value(value));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Self::of(parts))
    }

    fn of(parts: Vec<Part>) -> Self {
        let mut fixed = String::new();
        let mut whole = true;
        for part in &parts {
            match part {
                Part::Literal(text) => fixed.push_str(text),
                Part::Value(_) => whole = false,
            }
        }
        Self { parts, fixed: whole.then(|| fixed.into()) }
    }

    /// The two with `between` between them.
    pub(super) fn joined(&self, between: &str, other: &Self) -> Self {
        let mut parts = self.parts.clone();
        parts.push(Part::Literal(between.into()));
        parts.extend(other.parts.iter().cloned());
        Self::of(parts)
    }

    /// How far the longest text it can become goes over `limits`; `declared_max` knows each value's
    /// most characters. Values outside GSM-7 are made to fit when they are shown.
    pub(super) fn excess(&self, limits: Limits, declared_max: impl Fn(ValueId) -> usize) -> usize {
        let (mut plain, mut low, mut wide) = (true, 0, 0);
        for part in &self.parts {
            match part {
                Part::Literal(text) => {
                    plain &= alphabet(text) == Alphabet::Gsm7;
                    low += septets(text);
                    wide += units(text);
                }
                Part::Value(value) => {
                    low += declared_max(*value);
                    wide += declared_max(*value);
                }
            }
        }
        if plain { low.saturating_sub(limits.septets) } else { wide.saturating_sub(limits.units) }
    }

    /// The text with its values; always within `limits`. A value that is not known shows as `-`.
    pub(crate) fn render(&self, values: &Values, limits: Limits) -> Arc<str> {
        if let Some(fixed) = &self.fixed {
            // The lint has measured it.
            return Arc::clone(fixed);
        }
        let text = self.fill(values, &|value, out| out.push_str(value));
        if limits.excess(&text) == 0 {
            return text.into();
        }
        // One letter outside GSM-7 halves the room: better that letter lost than the text's end.
        let text = self.fill(values, &|value, out| {
            out.extend(value.chars().map(|it| if septet_width(it) == 1 { it } else { '?' }));
        });
        limits.clip(&text).into()
    }

    /// The values it shows.
    pub(super) fn values(&self) -> impl Iterator<Item = ValueId> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(value) => Some(*value),
            Part::Literal(_) => None,
        })
    }

    /// The text with its values, however long: for what is not shown as it is.
    pub(crate) fn fill_in(&self, values: &Values) -> String {
        self.fill(values, &|value, out| out.push_str(value))
    }

    fn fill(&self, values: &Values, write: &dyn Fn(&str, &mut String)) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Value(value) => write(values.value(*value).unwrap_or("-"), &mut text),
            }
        }
        text
    }
}

/// What a dialogue knows: answers of backends and saved inputs. Prints no value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Vec<(ValueId, Redacted<Box<str>>)>);

impl Values {
    fn value(&self, id: ValueId) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == id).map(|(_, value)| value.expose().as_ref())
    }

    /// Keeps at most `characters_max` characters of `text`; a line break or the like becomes a blank.
    pub(crate) fn set(&mut self, id: ValueId, text: &str, characters_max: usize) {
        let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
        let value: String = text.trim().chars().map(clean).take(characters_max).collect();
        let value = Redacted(value.into_boxed_str());
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, old)) => *old = value,
            None => self.0.push((id, value)),
        }
    }

    /// Keeps those that `is_kept` says.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(ValueId) -> bool) {
        self.0.retain(|(id, _)| is_kept(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<Template, String> {
        Template::parse(source, &mut |name| (name == "since").then_some(ValueId(0)))
    }

    fn shown(source: &str, since: &str) -> String {
        let mut values = Values::default();
        values.set(ValueId(0), since, 20);
        template(source).unwrap().render(&values, Limits::GSM).to_string()
    }

    #[test]
    fn placeholders_are_filled_and_never_read_again() {
        assert_eq!(shown("Off since {since}.", "09:30"), "Off since 09:30.");
        assert_eq!(shown("{since}", "{since}{{"), "{since}{{");
        assert_eq!(shown("a {{b}} {{since}}", "x"), "a {b} {since}");
        assert_eq!(shown("{since}{since}", "a\nb"), "a ba b");
        assert_eq!(
            template("{since}").unwrap().render(&Values::default(), Limits::GSM).as_ref(),
            "-"
        );
        for bad in ["{", "}", "{since", "since}", "{other}", "{}", "{since}}"] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_in_another_alphabet_still_fits() {
        assert_eq!(shown("Hi {since}", "ç"), "Hi ç", "short enough as UCS-2");
        let long = "a".repeat(100);
        assert_eq!(shown(&format!("{long}{{since}}"), "açb"), format!("{long}a?b"));
        let longest = "a".repeat(181);
        assert_eq!(shown(&format!("{longest}{{since}}"), "bc"), format!("{longest}b"));
    }

    #[test]
    fn the_longest_text_is_foreseen() {
        let excess = |source: &str| template(source).unwrap().excess(Limits::GSM, |_| 20);
        assert_eq!(excess(&format!("{}{{since}}", "a".repeat(162))), 0);
        assert_eq!(excess(&format!("{}{{since}}", "a".repeat(163))), 1);
        assert_eq!(excess(&format!("{}{{since}}", "ç".repeat(61))), 1);
    }
}
