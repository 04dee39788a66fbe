//! Why what a provider tells is not used. No text of these repeats what was sent.

use model::FormError;

/// Why a notice is not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoticeError {
    /// More than [`Form::LEN_MAX`](crate::Form::LEN_MAX) bytes.
    #[error("too long")]
    TooLong,
    /// More than [`Form::FIELDS_MAX`](crate::Form::FIELDS_MAX) fields.
    #[error("too many fields")]
    TooManyFields,
    /// An escape that escapes nothing, or text that is not UTF-8.
    #[error("not a form")]
    Malformed,
    /// It is not signed by the provider, or another signed it.
    #[error("not signed by the provider")]
    Unsigned,
    /// A field that is needed is missing, stands there twice or is not what it must be.
    #[error("wrong `{0}`")]
    WrongField(&'static str),
    /// The fields are those of no notice that we know.
    #[error("no notice that is known")]
    Unfamiliar,
}

impl From<FormError> for NoticeError {
    fn from(error: FormError) -> Self {
        match error {
            FormError::TooLong => Self::TooLong,
            FormError::TooManyFields => Self::TooManyFields,
            FormError::Malformed | FormError::Twice => Self::Malformed,
        }
    }
}

impl NoticeError {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::TooManyFields => "too_many_fields",
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::WrongField(_) => "wrong_field",
            Self::Unfamiliar => "unfamiliar",
        }
    }
}
