//! How messages are read and what counts as evidence.

use jiff::tz::TimeZone;

/// How messages are read and what counts as evidence.
#[derive(Clone, Debug)]
pub struct Options {
    /// The zone of the normalised `timestamp`. The service that this rule comes from is in Japan.
    pub zone: TimeZone,
    /// The SIMs of the inspection bench. A board that talks through one is neither bound to it nor
    /// on its way to a customer.
    pub inspection_imsi: Box<[Box<str>]>,
    /// What moves a contracted board to "ready to ship".
    pub ready_on: ReadyOn,
    /// What moves a board that is ready to ship to "in use".
    pub in_use_on: InUseOn,
}

impl Options {
    /// Whether that SIM is one of the inspection bench.
    pub fn is_inspection(&self, imsi: &str) -> bool {
        self.inspection_imsi.iter().any(|it| **it == *imsi)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            zone: TimeZone::get("Asia/Tokyo").unwrap_or(TimeZone::UTC),
            inspection_imsi: Box::default(),
            ready_on: ReadyOn::default(),
            in_use_on: InUseOn::default(),
        }
    }
}

/// The evidence that board and SIM are together. A STATUS 2 of the sketch always is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReadyOn {
    /// The first message on the boards' topic.
    #[default]
    Message,
    /// That, or any data.
    Traffic,
    /// Only what the sketch reports.
    Report,
}

impl ReadyOn {
    /// The words the configuration uses, in the order of [`ReadyOn::parse`].
    pub const WORDS: [&'static str; 3] = ["message", "traffic", "report"];

    /// The setting of that word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "message" => Some(Self::Message),
            "traffic" => Some(Self::Traffic),
            "report" => Some(Self::Report),
            _ => None,
        }
    }
}

/// The evidence that the customer uses a board. A STATUS 3 of the sketch always is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum InUseOn {
    /// The first data.
    #[default]
    Data,
    /// Only what the sketch reports: its first-communication test.
    Report,
}

impl InUseOn {
    /// The words the configuration uses, in the order of [`InUseOn::parse`].
    pub const WORDS: [&'static str; 2] = ["data", "report"];

    /// The setting of that word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "data" => Some(Self::Data),
            "report" => Some(Self::Report),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_service_s() {
        let options = Options::default();
        assert_eq!(options.zone.iana_name(), Some("Asia/Tokyo"));
        assert!(!options.is_inspection("440525060010923"));
    }

    #[test]
    fn every_word_is_read() {
        assert!(ReadyOn::WORDS.iter().all(|word| ReadyOn::parse(word).is_some()));
        assert!(InUseOn::WORDS.iter().all(|word| InUseOn::parse(word).is_some()));
        assert_eq!((ReadyOn::parse("Data"), InUseOn::parse("message")), (None, None));
    }
}
