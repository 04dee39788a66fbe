//! What the answers to a prompt's request and to a query allow to conclude.
//!
//! Only what can be read and is known counts. A page of HTML, an error of Daraja's own, too many
//! requests, or a cut connection say nothing of whether a prompt is on its way.

use crate::frame::{Answered, bounded, id};
use model::Loose;

/// What the answer to [`Account::push_call`](crate::Account::push_call) says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PushAnswer {
    /// A prompt is on its way. Nothing is paid.
    Accepted {
        /// Its id, by which it is asked for: `ws_CO_…`.
        checkout: Box<str>,
    },
    /// There is no prompt and there will be none.
    Refused {
        /// Daraja's own number where it gave one (`ResponseCode`; 1001 for a subscriber who cannot
        /// be locked), else the status of the answer: 400 for a wrong field, 500 for an unknown
        /// merchant or wrong credentials.
        code: u32,
    },
    /// The token was not taken, and so nothing had effect: once anew with another token.
    TokenRefused,
    /// It may have had effect.
    Unknown,
}

/// What the answer to [`Account::query_call`](crate::Account::query_call) says. It holds neither the
/// amount nor the receipt's number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueryAnswer {
    /// The money was taken.
    Paid,
    /// It was not, and will not be.
    Declined {
        /// Daraja's `ResultCode`.
        code: u32,
    },
    /// The prompt is still open, or its end is.
    Pending,
    /// The token was not taken: once anew with another token.
    TokenRefused,
    /// Nothing can be said.
    Unknown,
}

/// Daraja's code for an error with several meanings.
const SEVERAL: &str = "500.001.1001";
/// `ResultCode` of a query before there is a result, beside the error that says the same.
const PROCESSING: u32 = 4999;
/// `ResultCode` of a subscriber who has a prompt or a dialogue open.
const LOCKED: u32 = 1001;

impl PushAnswer {
    /// Reads the answer's status and body.
    pub fn read(status: u16, body: &[u8]) -> Self {
        let answered = answered(body);
        if is_token_refused(status, answered.as_ref()) {
            return Self::TokenRefused;
        }
        match (status, answered) {
            (200..=299, Some(answered)) => Self::of_success(&answered),
            (400 | 403..=405 | 500, Some(answered)) => Self::of_error(status, &answered),
            (_, Some(_) | None) => Self::Unknown,
        }
    }

    fn of_success(answered: &Answered) -> Self {
        match answered.response_code.as_ref().and_then(Loose::code) {
            // Accepted under a name we cannot read: there is a prompt, and no way to ask for it.
            Some(0) => id(answered.checkout.as_ref())
                .map_or(Self::Unknown, |checkout| Self::Accepted { checkout }),
            Some(code) => Self::Refused { code },
            None => Self::Unknown,
        }
    }

    fn of_error(status: u16, answered: &Answered) -> Self {
        let (code, text) = error(answered);
        if code == SEVERAL {
            return match text {
                it if it.contains("lock subscriber") => Self::Refused { code: LOCKED },
                it if it.contains("merchant") || it.contains("credential") => {
                    Self::Refused { code: status.into() }
                }
                _ => Self::Unknown,
            };
        }
        // The code repeats the status: where they disagree somebody in between spoke.
        let is_ours = code.split('.').next() == Some(status.to_string().as_str());
        if is_ours && status < 500 { Self::Refused { code: status.into() } } else { Self::Unknown }
    }
}

impl QueryAnswer {
    /// Reads the answer's status and body. One for another prompt than `checkout` says nothing.
    pub fn read(checkout: &str, status: u16, body: &[u8]) -> Self {
        let answered = answered(body);
        if is_token_refused(status, answered.as_ref()) {
            return Self::TokenRefused;
        }
        match (status, answered) {
            (200..=299, Some(answered)) => Self::of_success(checkout, &answered),
            (500, Some(answered)) => {
                let (code, text) = error(&answered);
                let is_open = code == SEVERAL && is_processing(&text);
                if is_open { Self::Pending } else { Self::Unknown }
            }
            (_, Some(_) | None) => Self::Unknown,
        }
    }

    fn of_success(checkout: &str, answered: &Answered) -> Self {
        let response = answered.response_code.as_ref().and_then(Loose::code);
        let is_asked = id(answered.checkout.as_ref()).is_some_and(|it| *it == *checkout);
        if response != Some(0) || !is_asked {
            return Self::Unknown;
        }
        let text = lower(answered.result_text.as_ref());
        match answered.result_code.as_ref().and_then(Loose::code) {
            Some(PROCESSING) => Self::Pending,
            Some(_) if is_processing(&text) => Self::Pending,
            Some(0) => Self::Paid,
            Some(code) => Self::Declined { code },
            None => Self::Unknown,
        }
    }
}

fn answered(body: &[u8]) -> Option<Answered> {
    Answered::parse(bounded(body)?).ok()
}

/// Code and text of an error, the text in lower case.
fn error(answered: &Answered) -> (&str, String) {
    let code = answered.error_code.as_ref().and_then(Loose::text).unwrap_or_default();
    (code, lower(answered.error_text.as_ref()))
}

fn lower(text: Option<&Loose>) -> String {
    text.and_then(Loose::text).unwrap_or_default().to_ascii_lowercase()
}

fn is_processing(text: &str) -> bool {
    text.contains("being processed") || text.contains("under processing")
}

/// 401, and Daraja's codes for a token or a sign-in that it does not take: nothing had effect.
fn is_token_refused(status: u16, answered: Option<&Answered>) -> bool {
    let code = answered.map(|it| error(it).0).unwrap_or_default();
    let is_named = matches!(code, "404.001.03" | "404.001.04" | "400.003.01");
    status == 401 || (is_named || code.starts_with("401.")) && (400..=404).contains(&status)
}

#[cfg(test)]
mod tests;
