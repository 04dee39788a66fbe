//! What can be wrong with a message. No text of these repeats what was sent.

/// Why bytes are no message of a board. Nothing of them is used; the event keeps them as they came.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// No JSON, or JSON that not every consumer can read: broken Unicode, a number out of range.
    #[error("no JSON")]
    Malformed,
    /// JSON, but no object.
    #[error("no JSON object")]
    NotAnObject,
    /// More fields than [`Object::FIELDS_MAX`](crate::Object::FIELDS_MAX).
    #[error("too many fields")]
    TooManyFields,
    /// Nested deeper than [`Object::DEPTH_MAX`](crate::Object::DEPTH_MAX).
    #[error("nested too deep")]
    TooDeep,
    /// A name stands there twice: which one counts is not for us to guess.
    #[error("a field stands there twice")]
    RepeatedField,
    /// A field of the envelope is not what it must be.
    #[error("wrong `{0}`")]
    WrongField(&'static str),
}

impl Unreadable {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAnObject => "not_an_object",
            Self::TooManyFields => "too_many_fields",
            Self::TooDeep => "too_deep",
            Self::RepeatedField => "repeated_field",
            Self::WrongField(_) => "wrong_field",
        }
    }
}

/// A field of a payload that does not count, because it is not what its name says. The others do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FieldFault {
    /// `imei` is no number of a modem: 14 to 16 digits.
    #[error("wrong `imei`")]
    Imei,
    /// `imsi` is no number of a subscriber: 14 or 15 digits.
    #[error("wrong `imsi`")]
    Imsi,
    /// The status is no whole number from 0 to 4.
    #[error("unknown status")]
    Status,
    /// `STATUS` and `board_status` contradict each other.
    #[error("two statuses")]
    TwoStatuses,
    /// `sketch_ver` is no text of 1 to [`Report::VERSION_LEN_MAX`](crate::Report::VERSION_LEN_MAX)
    /// printing characters.
    #[error("wrong `sketch_ver`")]
    SketchVersion,
}

impl FieldFault {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Imei => "wrong_imei",
            Self::Imsi => "wrong_imsi",
            Self::Status => "unknown_status",
            Self::TwoStatuses => "two_statuses",
            Self::SketchVersion => "wrong_sketch_ver",
        }
    }
}
