//! `[[cwmp.quirk]]`: what single models of CPEs get wrong.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::section::{section, words};

words! {
    /// One thing that a model gets wrong, and that is done differently for it.
    QuirkFlag {
        /// Asking it for the names at its root is left out.
        SkipRootNames = "skip_root_names",
        /// Booleans are `true` and `false`.
        BooleanLiteral = "boolean_literal",
        /// Times have milliseconds.
        DateTimeMilliseconds = "date_time_milliseconds",
        /// A digest answer may come again.
        DigestReplay = "digest_replay",
        /// A download that is not heard of has succeeded.
        DownloadSuccessOnTimeout = "download_success_on_timeout",
        /// What is said to be read-only is written nevertheless.
        WriteReadonly = "write_readonly",
    }
}

section! {
    /// What a model of CPEs gets wrong. A CPE that fits all that is given here is met with these
    /// flags; where several fit, with all of theirs. At least one of `oui`, `product_class`, `model`
    /// and `software` is needed.
    Quirk "[[cwmp.quirk]]" "cwmp.quirk." {
        /// The maker's identifier, as its Inform says: 6 hexadecimal digits, in either case.
        restart oui: Option<Said> = none,
        /// The product class, as its Inform says.
        restart product_class: Option<Said> = none,
        /// The ModelName of its data model, else its product class.
        restart model: Option<Said> = none,
        /// What its SoftwareVersion begins with.
        restart software: Option<Said> = none,
        /// What is done differently. `skip_root_names`: discovery begins below the root, for one that
        /// breaks when asked for the names there. `boolean_literal`: booleans are written `true` and
        /// `false`, not `1` and `0`. `date_time_milliseconds`: times are written with milliseconds.
        /// `digest_replay`: it may repeat one digest answer for ever, which lets anyone who overheard
        /// it do so too. `download_success_on_timeout`: it never says how a download ended; one that
        /// it came back from without a word has succeeded. `write_readonly`: it says of parameters
        /// that they cannot be written and takes them nevertheless.
        restart flags: Vec<QuirkFlag> = required,
    }
}

/// What a device says of itself: 1 to 256 bytes without control characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said(String);

impl Said {
    /// Longest text, in bytes: TR-181's bound of the longest of these fields.
    pub const LEN_MAX: usize = 256;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Said {
    fn describe() -> String {
        format!("text, 1 to {} bytes", Self::LEN_MAX)
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a text")?;
        if !(1..=Self::LEN_MAX).contains(&text.len()) || text.contains(char::is_control) {
            let max = Self::LEN_MAX;
            let message = format!("must be 1 to {max} bytes without control characters");
            return reader.refuse(node, Cause::Value, message);
        }
        Some(Self(text.to_owned()))
    }
}
