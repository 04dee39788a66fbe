//! What a device told of its data model, on the way to the one that is kept of it.

use crate::Redacted;
use std::borrow::Cow;

/// One answer of a device about its data model (TR-106), or what follows from one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Observation {
    /// Names below a path. What is kept there and was not named is gone: everything below `path`,
    /// or only its next level and what is below that.
    Names {
        /// Where the question began; ends in a dot, or empty for the root.
        path: Box<str>,
        /// Whether only one level was asked for.
        next_level: bool,
        /// What is there.
        entries: Vec<NameEntry>,
    },
    /// Values. What was asked for by its whole path and did not come is stale.
    Values {
        /// What was asked for; a path that ends in a dot is a subtree. Empty where nobody asked,
        /// as in an Inform.
        asked: Vec<Box<str>>,
        /// What came.
        values: Vec<Reading>,
    },
    /// Attributes.
    Attributes(Vec<AttributeEntry>),
    /// The device took these values.
    Written(Vec<Reading>),
    /// An object was made; nothing is known of what is below it.
    Added {
        /// The instance; ends in a dot.
        path: Box<str>,
    },
    /// An object was removed with all below it.
    Deleted {
        /// The instance; ends in a dot.
        path: Box<str>,
    },
    /// The device does not know this path (9005): what was believed of it is forgotten.
    Forgotten {
        /// A parameter, or an object that ends in a dot.
        path: Box<str>,
    },
}

impl Observation {
    /// How much it holds: its entries, and one for itself.
    #[must_use]
    pub fn weight(&self) -> usize {
        let held = match self {
            Self::Names { entries, .. } => entries.len(),
            Self::Values { asked, values } => asked.len() + values.len(),
            Self::Attributes(attributes) => attributes.len(),
            Self::Written(values) => values.len(),
            Self::Added { .. } | Self::Deleted { .. } | Self::Forgotten { .. } => 0,
        };
        held + 1
    }
}

/// A name and whether it may be written, or objects added below it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameEntry {
    /// The whole path; an object's ends in a dot.
    pub path: Box<str>,
    /// Whether it may be written.
    pub writable: bool,
}

/// A parameter's value. It never prints.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reading {
    /// The whole path.
    pub path: Box<str>,
    /// As text.
    pub value: Redacted<Box<str>>,
    /// Its XML Schema type without a prefix: `string`, `unsignedInt`, …
    pub xsd_type: Cow<'static, str>,
}

/// How a parameter is notified and who may write it (TR-069 A.3.2.5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttributeEntry {
    /// The whole path.
    pub path: Box<str>,
    /// 0 off, 1 passive, 2 active; 3 to 6 the lightweight ones.
    pub notification: u8,
    /// Who may write beside us.
    pub access_list: Vec<Box<str>>,
}
