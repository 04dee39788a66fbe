//! Why a text did not go where it should.

/// Why, whoever carries it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cause {
    /// The provider does not take our key.
    Credentials,
    /// It has no money of ours left.
    NoBalance,
    /// It was asked too often.
    Busy,
    /// It does not know whom the text is to come from, or not for this receiver.
    Sender,
    /// What was asked is not as it takes it.
    Request,
    /// It holds the text back for review, or does not carry such texts.
    Blocked,
    /// The number is none.
    Number,
    /// No text can be sent to such a number.
    UnsupportedNumber,
    /// There is no way to the receiver's network.
    NoRoute,
    /// The receiver wants no texts of ours.
    OptedOut,
    /// The number is not in use.
    NotInUse,
    /// The phone was not to be reached in time.
    Absent,
    /// The network would not take it.
    Rejected,
    /// Something failed at the provider or the network.
    Fault,
    /// A reason that we do not know.
    Other,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 15] = [
        Self::Credentials,
        Self::NoBalance,
        Self::Busy,
        Self::Sender,
        Self::Request,
        Self::Blocked,
        Self::Number,
        Self::UnsupportedNumber,
        Self::NoRoute,
        Self::OptedOut,
        Self::NotInUse,
        Self::Absent,
        Self::Rejected,
        Self::Fault,
        Self::Other,
    ];

    /// The word in the API, in events and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::NoBalance => "no_balance",
            Self::Busy => "busy",
            Self::Sender => "sender",
            Self::Request => "request",
            Self::Blocked => "blocked",
            Self::Number => "number",
            Self::UnsupportedNumber => "unsupported_number",
            Self::NoRoute => "no_route",
            Self::OptedOut => "opted_out_there",
            Self::NotInUse => "not_in_use",
            Self::Absent => "absent",
            Self::Rejected => "rejected",
            Self::Fault => "fault",
            Self::Other => "other",
        }
    }
}
