//! What can be wrong with an account, an order, a token's answer, a callback. No text of these
//! repeats what was sent.

/// Why an account cannot be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AccountError {
    /// The short code is no number of 5 to 7 digits.
    #[error("the short code is no number of 5 to 7 digits")]
    ShortCode,
    /// The till is no number of 5 to 7 digits.
    #[error("the till is no number of 5 to 7 digits")]
    Till,
    /// Goods are bought at a till, and none is named.
    #[error("buying goods needs a till")]
    NoTill,
    /// A key, a secret or the passkey is empty or holds what is not printing ASCII.
    #[error("wrong `{0}`")]
    Key(&'static str),
    /// The address for callbacks is no `http://` or `https://` address of at most 512 characters.
    #[error("wrong address for callbacks")]
    CallbackUrl,
}

/// Why a prompt cannot be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OrderError {
    /// No whole shilling.
    #[error("the amount is nothing")]
    Amount,
    /// Not 1 to 12 letters, digits, blanks or `-`.
    #[error("wrong account reference")]
    Reference,
    /// Not 1 to 13 letters, digits, blanks or `-`.
    #[error("wrong description")]
    Description,
}

/// Why there is no token. Whatever the token was for has not been sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenFault {
    /// Consumer key or secret are wrong (400.008.01, 401): an operator has to look.
    #[error("the consumer key or its secret is refused")]
    Refused,
    /// No answer that can be read: it may be better later.
    #[error("no token")]
    Unknown,
}

impl TokenFault {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// Why bytes are no callback. Nothing of them is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// More than [`BODY_LEN_MAX`](crate::BODY_LEN_MAX) bytes.
    #[error("too long")]
    TooLong,
    /// No JSON, another shape, or a name that stands there twice.
    #[error("no callback of a prompt")]
    Malformed,
    /// A field that is needed is missing or not what it must be.
    #[error("wrong `{0}`")]
    WrongField(&'static str),
    /// An item of the metadata stands there twice: which one counts is not for us to guess.
    #[error("`{0}` stands there twice")]
    RepeatedItem(&'static str),
}

impl Unreadable {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::WrongField(_) => "wrong_field",
            Self::RepeatedItem(_) => "repeated_item",
        }
    }
}
