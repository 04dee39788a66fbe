//! What the business is told of: readings and names.

use crate::{Scale, Wanted};
use jiff::Timestamp;
use model::data_model::DataModelEntry;
use model::{Alias, DataModel, Redacted};
use serde_json::Value;

/// Most names that one device's profiles may find.
const ALIASES_MAX: usize = 32;
/// Most readings of one device that are told.
const MEASURED_MAX: usize = 256;

/// A reading under the name that is the same for every model.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its name, such as `optical_rx_dbm`.
    pub name: Box<str>,
    /// Where it was read.
    pub path: Box<str>,
    /// A number where the measure has a scale or the text is one, else text. It never prints.
    pub value: Redacted<Value>,
    /// When.
    pub read_at: Timestamp,
}

/// What is known of everything that the profiles measure: at most 256 readings, in the order of the
/// profiles. What the device no longer tells is left out, and what is no number where one is needed.
#[must_use]
pub fn measured(wanted: &Wanted, known: &DataModel) -> Vec<Measured> {
    let mut all = Vec::new();
    for refresh in &wanted.refreshes {
        let Some(measure) = refresh.measure.as_ref().filter(|_| !refresh.path.is_object()) else {
            continue;
        };
        for path in refresh.path.expand(known).paths {
            let entry = known.get(&path).filter(|it| !it.stale);
            let reading = entry.and_then(|it| {
                let value = scaled(measure.scale, it.value?.expose())?;
                let (name, path) = (measure.name.clone(), path.clone());
                Some(Measured { name, path, value: Redacted(value), read_at: it.read_at? })
            });
            all.extend(reading.filter(|_| all.len() < MEASURED_MAX));
        }
    }
    all
}

/// A device's text as a number of a known unit. Power of nothing is no level: `None`.
fn scaled(scale: Scale, text: &str) -> Option<Value> {
    let number = || text.trim().parse::<f64>().ok().filter(|it| it.is_finite());
    let (value, steps) = match scale {
        Scale::Plain => {
            let whole = text.trim().parse::<i64>().ok().map(Value::from);
            let value = whole.or_else(|| number().map(Value::from));
            return Some(value.unwrap_or_else(|| Value::String(text.to_owned())));
        }
        // What the multiplication adds at its end is not shown.
        Scale::Times(factor) => (number()? * factor, 1e6),
        Scale::Decibel(milliwatts) => {
            let power = Some(number()? * milliwatts).filter(|it| *it > 0.0)?;
            // A hundredth of a dB is finer than any optic measures.
            (10.0 * power.log10(), 1e2)
        }
    };
    let rounded = (value * steps).round() / steps;
    rounded.is_finite().then(|| Value::from(rounded))
}

/// The names that the device says in the parameters that its profiles name: each once, at most 32.
/// What is no name of its kind is left out.
#[must_use]
pub fn aliases(wanted: &Wanted, known: &DataModel) -> Vec<Alias> {
    let mut all: Vec<Alias> = Vec::new();
    for alias in &wanted.aliases {
        for path in alias.path.expand(known).paths {
            let entry: Option<DataModelEntry<'_>> = known.get(&path);
            let name = entry.and_then(|it| Alias::new(alias.kind, it.value?.expose()).ok());
            all.extend(name.filter(|name| !all.contains(name) && all.len() < ALIASES_MAX));
        }
    }
    all
}
