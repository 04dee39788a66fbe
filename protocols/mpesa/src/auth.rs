//! Tokens and passwords.

use crate::error::TokenFault;
use crate::frame::{Answered, bounded};
use crate::options::Account;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use model::Redacted;

/// What lets requests in for about an hour. Prints without its value.
#[derive(Clone, Debug)]
pub struct Token {
    value: Redacted<Box<str>>,
    made_at: Timestamp,
    refresh_at: Timestamp,
}

impl Token {
    /// Longest token taken for one, in bytes.
    pub const LEN_MAX: usize = 2048;
    /// Longest life believed, in seconds: a day.
    pub const LIFE_S_MAX: i64 = 86_400;

    /// Reads the answer to [`Account::token_call`], which came at `now`.
    ///
    /// `expires_in` is text in Daraja's documents, and a number elsewhere.
    ///
    /// # Errors
    /// [`TokenFault::Refused`] where the keys are wrong, else [`TokenFault::Unknown`].
    pub fn read(status: u16, body: &[u8], now: Timestamp) -> Result<Self, TokenFault> {
        let answered = bounded(body).and_then(|body| Answered::parse(body).ok());
        let Some(answered) = answered else {
            return Err(if status == 401 { TokenFault::Refused } else { TokenFault::Unknown });
        };
        let error = answered.error_code.as_ref().and_then(|it| it.text());
        if status == 401 || error.is_some_and(|it| it.starts_with("400.008.")) {
            return Err(TokenFault::Refused);
        }
        let value = answered.access_token.as_ref().and_then(|it| it.text());
        let is_token = |it: &&str| {
            (1..=Self::LEN_MAX).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_graphic())
        };
        let life_s = answered.expires_in.as_ref().and_then(|it| it.integer());
        let life_s = life_s.filter(|it| (1..=Self::LIFE_S_MAX).contains(it));
        let (200, Some(value), Some(life_s)) = (status, value.filter(is_token), life_s) else {
            return Err(TokenFault::Unknown);
        };
        let refresh_at = now
            .checked_add(SignedDuration::from_millis(life_s * 900))
            .map_err(|_| TokenFault::Unknown)?;
        Ok(Self { value: Redacted(value.into()), made_at: now, refresh_at })
    }

    /// Whether it may be used: until nine tenths of its life, and not where the clock went back.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        (self.made_at..self.refresh_at).contains(&now)
    }

    /// When a new one is due.
    pub fn refresh_at(&self) -> Timestamp {
        self.refresh_at
    }

    pub(crate) fn bearer(&self) -> Redacted<String> {
        Redacted(format!("Bearer {}", self.value.expose()))
    }
}

/// `Timestamp` of a request: `yyyyMMddHHmmss` in Nairobi.
pub(crate) fn stamp(account: &Account, now: Timestamp) -> String {
    now.to_zoned(account.zone.clone()).strftime("%Y%m%d%H%M%S").to_string()
}

/// `Password` of a request: short code, passkey and the very `Timestamp` beside it.
pub(crate) fn password(account: &Account, stamp: &str) -> String {
    STANDARD.encode(format!("{}{}{stamp}", account.short_code, account.passkey.expose()))
}

/// The sign-in of a request for a token.
pub(crate) fn basic(account: &Account) -> Redacted<String> {
    let both = format!("{}:{}", account.consumer_key.expose(), account.consumer_secret.expose());
    Redacted(format!("Basic {}", STANDARD.encode(both)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_576_740_075, 0);

    #[test]
    fn a_token_is_refreshed_at_nine_tenths_of_its_life() {
        for life in [r#""3599""#, "3599"] {
            let body = format!(
                r#"{{"access_token": "c9SQxWWhmdVRlyh0zh8gZDTkubVF", "expires_in": {life}}}"#
            );
            let token = Token::read(200, body.as_bytes(), NOW).unwrap();
            assert_eq!(token.bearer().expose(), "Bearer c9SQxWWhmdVRlyh0zh8gZDTkubVF");
            let last = NOW + SignedDuration::from_millis(3_239_100);
            assert_eq!(token.refresh_at(), last);
            assert!(token.is_fresh(NOW) && !token.is_fresh(last));
            assert!(!token.is_fresh(NOW - SignedDuration::from_secs(1)), "the clock went back");
            assert!(!format!("{token:?}").contains("c9SQ"));
        }
    }

    #[test]
    fn wrong_keys_are_told_from_a_bad_hour() {
        let refused = br#"{"requestId": "1", "errorCode": "400.008.01", "errorMessage": "Invalid Authentication passed"}"#;
        assert_eq!(Token::read(400, refused, NOW).unwrap_err(), TokenFault::Refused);
        assert_eq!(Token::read(401, b"", NOW).unwrap_err(), TokenFault::Refused);
        let ours = [
            (200, "<html></html>"),
            (503, "<html></html>"),
            (200, r#"{"access_token": "", "expires_in": "3599"}"#),
            (200, r#"{"access_token": "a b", "expires_in": "3599"}"#),
            (200, r#"{"access_token": "a"}"#),
            (200, r#"{"access_token": "a", "expires_in": "0"}"#),
            (200, r#"{"access_token": "a", "expires_in": "86401"}"#),
            (500, r#"{"access_token": "a", "expires_in": "3599"}"#),
            (500, r#"{"errorCode": "500.003.02", "errorMessage": "Spike arrest"}"#),
        ];
        for (status, body) in ours {
            let fault = Token::read(status, body.as_bytes(), NOW).unwrap_err();
            assert_eq!(fault, TokenFault::Unknown, "{status} {body}");
        }
    }
}
