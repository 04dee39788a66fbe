//! What is asked of whoever carries texts.

use crate::cause::Cause;
use crate::error::NoticeError;
use model::Redacted;
use std::fmt;

/// Who we are with a provider. Prints without its key.
#[derive(Clone, Debug)]
pub struct Account {
    /// Africa's Talking's user name, or Twilio's account SID.
    pub username: Box<str>,
    /// The API key, or Twilio's auth token.
    pub key: Redacted<String>,
    /// Whom texts come from; the provider's default where it is `None`.
    pub sender: Option<Box<str>>,
}

/// A request as it goes out, below the provider's base address. Prints without headers and body.
#[derive(Clone, Debug)]
pub struct Call {
    /// The path. Twilio's has the account's name in it.
    pub path: Redacted<String>,
    /// Its headers, `content-type` among them.
    pub headers: Vec<(&'static str, Redacted<String>)>,
    /// The body of the `POST`.
    pub body: Redacted<String>,
}

/// What an answer means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// What became of the text for each number, in their order.
    Each(Vec<Outcome>),
    /// Nothing was sent to anybody: the call may be made again.
    NotTaken(Cause),
}

/// What became of a text for one number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The provider has it; not that it arrived.
    Taken {
        /// What the provider calls it, where it says so.
        id: Option<Box<str>>,
    },
    /// It is not sent, and would not be the next time.
    Refused(Cause),
    /// It is not sent, and may be the next time.
    Later(Cause),
    /// It may have been sent or not.
    Unknown,
}

/// A provider's call of ours.
#[derive(Clone, Copy)]
pub struct Notified<'a> {
    /// The whole address that it called, as it knows it.
    pub url: &'a str,
    /// The header [`Provider::signature_header`] names.
    pub signature: Option<&'a str>,
    /// A form.
    pub body: &'a [u8],
}

/// Without anything: its address has a secret in it, its body numbers.
impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notified").finish_non_exhaustive()
    }
}

/// What a provider tells. Numbers are in E.164.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// What became of a text.
    Report(Report),
    /// Somebody wants no more texts.
    OptOut {
        /// Who.
        number: Redacted<Box<str>>,
    },
    /// Somebody wants them again.
    OptIn {
        /// Who.
        number: Redacted<Box<str>>,
    },
    /// Somebody wrote what is no such wish.
    Message,
}

/// What became of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// What the provider calls it.
    pub id: Box<str>,
    /// To whom, where it is said.
    pub number: Option<Redacted<Box<str>>>,
    /// What became of it.
    pub came_to: Reported,
}

/// What became of a text that was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reported {
    /// It is on its way.
    OnItsWay,
    /// It reached the phone.
    Delivered,
    /// It did not, and will not.
    Failed(Cause),
}

/// Carries texts.
pub trait Provider: fmt::Debug + Send + Sync {
    /// Its word in the configuration and in the address of its notices.
    fn name(&self) -> &'static str;

    /// Most numbers of one call.
    fn numbers_max(&self) -> usize;

    /// Sends one text to those numbers, at most [`Provider::numbers_max`], in E.164. Where the provider
    /// takes it with each call, `notices` is the address that it shall call about this one.
    fn call(&self, text: &str, numbers: &[&str], notices: Option<&str>) -> Call;

    /// Reads what was answered to the call with those numbers.
    fn read(&self, status: u16, body: &[u8], numbers: &[&str]) -> Answer;

    /// The header that a notice is signed in; `None` where the secret in the address has to do.
    fn signature_header(&self) -> Option<&'static str>;

    /// Reads what it tells.
    ///
    /// # Errors
    /// It is not the provider's, or cannot be used; nothing of it is.
    fn notice(&self, notified: &Notified<'_>) -> Result<Notice, NoticeError>;
}
