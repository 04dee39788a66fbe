//! What can be wrong with what a device sent. No text of these repeats what it sent.

/// A body that is not a CWMP envelope. The driver answers 400 (413 for [`DecodeError::TooLong`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than [`crate::Options::body_bytes_max`].
    #[error("body is longer than allowed")]
    TooLong,
    /// Not well-formed XML.
    #[error("body is not well-formed XML")]
    Malformed,
    /// Ends before its envelope does.
    #[error("body ends before its envelope does")]
    Truncated,
    /// A document type declaration: never read, so that no entity is ever expanded.
    #[error("body declares a document type")]
    Dtd,
    /// XML, but not a SOAP envelope.
    #[error("body is not a SOAP envelope")]
    NotSoap,
    /// Nested deeper than [`crate::Options::depth_max`].
    #[error("body is nested deeper than allowed")]
    TooDeep,
    /// More elements, parameters or events than [`crate::Options`] allows.
    #[error("body has more elements than allowed")]
    TooMany,
}

impl DecodeError {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::Dtd => "dtd",
            Self::NotSoap => "not_soap",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
        }
    }
}

/// An Inform whose sender cannot be named. The driver answers 400 with the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdentityError {
    /// No serial number, or an empty one.
    #[error("the Inform has no serial number")]
    NoSerial,
    /// Manufacturer's identifier, product class and serial number are too long together.
    #[error("the Inform's device identity is too long")]
    TooLong,
}

impl IdentityError {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoSerial => "no_serial",
            Self::TooLong => "identity_too_long",
        }
    }
}
