//! What can be wrong with a callback. No text of these repeats what was sent.

use model::FormError;

/// Why bytes are no form, no JSON and no XML of an aggregator's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EncodingError {
    /// Longer than [`Form::LEN_MAX`](crate::Form::LEN_MAX).
    #[error("the body is too long")]
    TooLong,
    /// More fields than [`Form::FIELDS_MAX`](crate::Form::FIELDS_MAX), or as many elements.
    #[error("the body has too many fields")]
    TooManyFields,
    /// Objects or elements within each other, more than any aggregator sends.
    #[error("the body is too deep")]
    TooDeep,
    /// Not of its grammar, or text that is not in its character set.
    #[error("the body is malformed")]
    Malformed,
    /// A character set that no aggregator uses.
    #[error("the body is in an unknown character set")]
    Charset,
    /// An XML document that declares a type, or means an entity that XML does not have.
    #[error("the body declares entities")]
    Entities,
}

impl From<FormError> for EncodingError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::TooLong => Self::TooLong,
            FormError::TooManyFields => Self::TooManyFields,
            FormError::Malformed | FormError::Twice => Self::Malformed,
        }
    }
}

/// Why a callback cannot be read. Nothing is known of its dialogue: the answer is an HTTP status.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TurnError {
    /// Nothing of this aggregator's lies at that path.
    #[error("wrong path")]
    Path,
    /// Not the method this aggregator calls with.
    #[error("wrong method")]
    Method,
    /// Not the content type this aggregator sends.
    #[error("wrong content type")]
    ContentType,
    /// The body cannot be read.
    #[error("unreadable body")]
    Body(#[from] EncodingError),
    /// A field every callback must have is absent.
    #[error("callback has no `{0}`")]
    Missing(&'static str),
    /// A field stands there twice: which one counts is not for us to guess.
    #[error("callback has `{0}` twice")]
    Twice(&'static str),
    /// A field is too long, empty, or holds what it may not.
    #[error("callback has a wrong `{0}`")]
    Wrong(&'static str),
}

impl TurnError {
    /// The HTTP status to answer with. Africa's Talking ends the session on any 40x.
    pub const fn status(self) -> u16 {
        match self {
            Self::Path => 404,
            Self::Method => 405,
            Self::ContentType | Self::Body(EncodingError::Charset) => 415,
            Self::Body(EncodingError::TooLong) => 413,
            Self::Body(_) | Self::Missing(_) | Self::Twice(_) | Self::Wrong(_) => 400,
        }
    }

    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Method => "method",
            Self::ContentType => "content_type",
            Self::Body(EncodingError::TooLong) => "too_long",
            Self::Body(EncodingError::TooManyFields) => "too_many_fields",
            Self::Body(EncodingError::TooDeep) => "too_deep",
            Self::Body(EncodingError::Malformed) => "malformed",
            Self::Body(EncodingError::Charset) => "charset",
            Self::Body(EncodingError::Entities) => "entities",
            Self::Missing(_) => "missing_field",
            Self::Twice(_) => "repeated_field",
            Self::Wrong(_) => "wrong_field",
        }
    }
}

/// Why a turn that could be read was answered with END and moved no dialogue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The session id belongs to another number: the dialogue it names is left as it was.
    NumberChanged,
    /// Neither the next hop nor a repeated one: what it carries does not continue the dialogue, or
    /// the hop before it is still being worked on.
    OutOfTurn,
    /// The dialogue has ended.
    Ended,
    /// As many dialogues are held as may be.
    Full,
}

impl Refusal {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NumberChanged => "number_changed",
            Self::OutOfTurn => "out_of_turn",
            Self::Ended => "ended",
            Self::Full => "full",
        }
    }
}
