//! What one device should be: profiles and values together, with nothing left to compute.

use super::{Pattern, Revision, Window};
use firmware::Sha256;
use model::{AliasKind, Redacted};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What one device should be. Made by [`super::Layers::render`], read by [`super::decide`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The profiles that it is made of, in their order; the last goes before the others.
    pub profiles: Vec<Box<str>>,
    /// Names these profiles as they stand.
    pub revision: Revision,
    /// Whether the business has not said its values: what depends on them is not here, and may be
    /// wanted all the same.
    pub lacks_values: bool,
    /// Parameters to hold: each pattern once. Low layers stand first, and in each layer wildcards
    /// before literals: where two stand for one path of a device, the later goes.
    pub parameters: Vec<WantedParameter>,
    /// Objects that must be there, or must not.
    pub objects: Vec<WantedObject>,
    /// What is read again and again.
    pub refreshes: Vec<WantedRefresh>,
    /// Parameters that say another name of the device.
    pub aliases: Vec<WantedAlias>,
    /// Events of an Inform (`1 BOOT`, `4 VALUE CHANGE`) after which everything that is held is read
    /// again. Never the two that every session has, `2 PERIODIC` and `6 CONNECTION REQUEST`.
    pub verify_on: Vec<Box<str>>,
    /// The firmware that it should run.
    pub firmware: Option<WantedFirmware>,
    /// Rules whose paths are not verified, as their profiles say; in order.
    pub guesses: Vec<Rule>,
    /// Values that could not be made (a template that failed, a value that is none of its kind), and
    /// why, in words that hold no value. They are not sent; the rest is.
    pub faults: Vec<(Pattern, Rule, Box<str>)>,
}

/// Where in which profile something is asked for: what an operator is shown.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Rule {
    /// The profile's name.
    pub profile: Box<str>,
    /// The line of its file, counted from 1.
    pub line: u32,
}

/// A parameter to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedParameter {
    /// Which, or which ones.
    pub path: Pattern,
    /// As text, as the device would say it. It never prints.
    pub value: Redacted<Box<str>>,
    /// What it must be, checked before it is sent.
    pub kind: ValueKind,
    /// Whether it is a customer's secret: not sent before the equipment is claimed, never shown.
    pub is_secret: bool,
    /// What happens when someone else changes it.
    pub drift: Drift,
    /// Whether its absence from the device is no fault.
    pub is_optional: bool,
    /// How long a reading is believed before it is read again.
    pub verify_every: Duration,
    /// Outside it the parameter is not set: setting it interrupts the customer. `None`: at any time.
    pub window: Option<Window>,
    /// Who asks for it.
    pub rule: Rule,
}

/// What a value is, beyond the type that the device's data model gives it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ValueKind {
    /// What the device's data model says; where that is not known, a string.
    #[default]
    AsTheDevice,
    /// This XML Schema type: `string`, `boolean`, `int`, `unsignedInt`, `dateTime`, …
    Typed(Box<str>),
    /// A host: a name of RFC 1123 or an address. Sent as a string.
    Host,
    /// A host, a comma list of them not allowed, empty allowed to clear a place: NTPServer1 to 5.
    HostOrEmpty,
}

/// What happens when someone else changes what a profile holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// It is set back, and told.
    #[default]
    Mend,
    /// It is only told; a change of what is wanted is still applied.
    Report,
}

/// An object of a table, found by some of its parameters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedObject {
    /// The table; ends in a dot.
    pub table: Pattern,
    /// Names below an instance with the values that make it the one.
    pub keys: Vec<(Box<str>, Redacted<Box<str>>)>,
    /// Whether it must be there.
    pub presence: Presence,
    /// What else it holds: `path` is below the instance, such as `Enable`.
    pub parameters: Vec<WantedParameter>,
    /// Who asks for it.
    pub rule: Rule,
}

/// Whether an object is there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is made when absent.
    #[default]
    Present,
    /// It is removed when there.
    Absent,
}

/// What is read again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedRefresh {
    /// Which parameters; one that ends in a dot is a subtree.
    pub path: Pattern,
    /// How old a reading may be.
    pub every: Duration,
    /// Events of an Inform after which it is read at once.
    pub on_events: Vec<Box<str>>,
    /// What it is called in `lastmile.device.measured` and by the technician's checks
    /// (`optical_rx_dbm`); nothing where it is only read.
    pub measure: Option<Measure>,
    /// Who asks for it.
    pub rule: Rule,
}

/// A reading that the business is told of, under a name that is the same for every model.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name, such as `optical_rx_dbm`.
    pub name: Box<str>,
    /// How the device's number becomes it.
    pub scale: Scale,
}

/// How a device's number becomes one of a known unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    /// As it is.
    #[default]
    Plain,
    /// Times this.
    Times(f64),
    /// Power in units of this many mW: dBm = 10 · log10(v · this).
    Decibel(f64),
}

/// A parameter that says another name of the device: a MAC address, a GPON serial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WantedAlias {
    /// What sort of name.
    pub kind: AliasKind,
    /// Where it is read.
    pub path: Pattern,
    /// Who asks for it.
    pub rule: Rule,
}

/// The firmware that a device should run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct WantedFirmware {
    /// The version, as the device reports it.
    pub version: Box<str>,
    /// The image of the catalogue; found by model and version when absent.
    pub image: Option<Box<str>>,
    /// What the image must hash to; any content where nobody said.
    pub sha256: Option<Sha256>,
    /// Its length in bytes; any where nobody said.
    pub size: Option<u64>,
    /// When it may begin; `None`: at any time. The end of the current window or, outside one, the
    /// beginning of the next, is for who schedules it to ask.
    pub window: Option<Window>,
    /// Who asks for it.
    pub rule: Rule,
}

impl Wanted {
    /// Whether a parameter of the device may be one that is held.
    pub(crate) fn speaks_of(&self, path: &str) -> bool {
        let is_in = |table: &Pattern| {
            let names = table.segments().count();
            let above =
                path.match_indices('.').nth(names.saturating_sub(1)).map(|(dot, _)| &path[..=dot]);
            above.is_some_and(|above| table.matches(above))
        };
        self.parameters.iter().any(|it| it.path.matches(path))
            || self.objects.iter().any(|it| is_in(&it.table))
    }

    /// Whether the paths of a rule are not verified.
    #[must_use]
    pub fn is_guess(&self, rule: &Rule) -> bool {
        self.guesses.binary_search(rule).is_ok()
    }
}
