//! Africa's Talking: both of its calls, and its three kinds of notices.
//!
//! Spec: africastalking.com, "Send SMS", "Send Bulk SMS", "SMS Notifications".

use crate::cause::Cause;
use crate::error::NoticeError;
use crate::frame::{ANSWER_LEN_MAX, Form, has, id, needed, needed_id, needed_number, number, one};
use crate::keyword::{Wish, wish};
use crate::provider::{
    Account, Answer, Call, Notice, Notified, Outcome, Provider, Report, Reported,
};
use model::{Loose, Redacted, form};
use serde::{Deserialize, Serialize};

/// Which of its calls is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Api {
    /// `/version1/messaging`: a form.
    Classic,
    /// `/version1/messaging/bulk`: JSON. Its sandbox lacks it.
    Bulk,
}

/// Africa's Talking.
#[derive(Clone, Debug)]
pub struct AfricasTalking {
    account: Account,
    api: Api,
}

impl AfricasTalking {
    /// With that account, by that call.
    pub fn new(account: Account, api: Api) -> Self {
        Self { account, api }
    }

    fn body(&self, text: &str, numbers: &[&str]) -> String {
        match self.api {
            Api::Classic => {
                let to = numbers.join(",");
                let mut fields = vec![
                    ("username", &*self.account.username),
                    ("to", &to),
                    ("message", text),
                    ("bulkSMSMode", "1"),
                    ("enqueue", "1"),
                ];
                fields.extend(self.account.sender.as_deref().map(|sender| ("from", sender)));
                form::write(&fields)
            }
            Api::Bulk => {
                let body = BulkBody {
                    username: &self.account.username,
                    message: text,
                    sender: self.account.sender.as_deref(),
                    numbers,
                    enqueue: 1,
                };
                serde_json::to_string(&body).expect("texts and numbers are always JSON")
            }
        }
    }
}

#[derive(Serialize)]
struct BulkBody<'a> {
    username: &'a str,
    message: &'a str,
    #[serde(rename = "senderId", skip_serializing_if = "Option::is_none")]
    sender: Option<&'a str>,
    #[serde(rename = "phoneNumbers")]
    numbers: &'a [&'a str],
    enqueue: u8,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(rename = "SMSMessageData")]
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "Message")]
    message: Option<Loose>,
    #[serde(rename = "Recipients", default)]
    recipients: Vec<Recipient>,
}

#[derive(Deserialize)]
struct Recipient {
    #[serde(rename = "statusCode")]
    code: Option<Loose>,
    number: Option<Loose>,
    #[serde(rename = "messageId")]
    id: Option<Loose>,
}

impl Recipient {
    fn outcome(&self) -> Outcome {
        match self.code.as_ref().and_then(Loose::code) {
            Some(100..=102) => Outcome::Taken { id: text(self.id.as_ref()).and_then(id) },
            Some(405) => Outcome::Later(Cause::NoBalance),
            Some(code) => refused(code).map_or(Outcome::Unknown, Outcome::Refused),
            None => Outcome::Unknown,
        }
    }

    fn number(&self) -> Option<Box<str>> {
        text(self.number.as_ref()).and_then(number).map(|number| number.0)
    }
}

fn text(value: Option<&Loose>) -> Option<&str> {
    value.and_then(Loose::text)
}

/// The codes that say that a text was not sent. What is not in the list says nothing.
const fn refused(code: u32) -> Option<Cause> {
    Some(match code {
        401 => Cause::Blocked,
        402 => Cause::Sender,
        403 => Cause::Number,
        404 => Cause::UnsupportedNumber,
        406 | 409 => Cause::OptedOut,
        407 => Cause::NoRoute,
        500 | 501 => Cause::Fault,
        502 => Cause::Rejected,
        _ => return None,
    })
}

/// The words that stand for an answer without receivers: nobody was written to.
fn refused_whole(message: &str) -> Option<Cause> {
    let cause = match message {
        "InvalidSenderId" => Cause::Sender,
        "InvalidPhoneNumber" | "InvalidPhoneNumbers" => Cause::Number,
        "UnsupportedNumberType" => Cause::UnsupportedNumber,
        "InsufficientBalance" => Cause::NoBalance,
        "UserInBlacklist" => Cause::OptedOut,
        "CouldNotRoute" => Cause::NoRoute,
        _ if message.starts_with("Sent to 0/") => Cause::Other,
        _ => return None,
    };
    Some(cause)
}

/// Finds each number's own outcome; an outcome is used once, and a number without one is unknown.
fn outcomes(recipients: &[Recipient], numbers: &[&str]) -> Vec<Outcome> {
    let mut named: Vec<_> = recipients.iter().map(|it| (it.number(), it.outcome())).collect();
    let mut of = |wanted: &str| {
        let place = named.iter().position(|(number, _)| number.as_deref() == Some(wanted));
        place.map_or(Outcome::Unknown, |place| named.swap_remove(place).1)
    };
    numbers.iter().map(|number| of(number)).collect()
}

impl Provider for AfricasTalking {
    fn name(&self) -> &'static str {
        "africas_talking"
    }

    fn numbers_max(&self) -> usize {
        1_000
    }

    fn call(&self, text: &str, numbers: &[&str], _: Option<&str>) -> Call {
        let (path, kind) = match self.api {
            Api::Classic => ("/version1/messaging", "application/x-www-form-urlencoded"),
            Api::Bulk => ("/version1/messaging/bulk", "application/json"),
        };
        Call {
            path: Redacted(path.to_owned()),
            headers: vec![
                ("apikey", self.account.key.clone()),
                ("accept", Redacted("application/json".to_owned())),
                ("content-type", Redacted(kind.to_owned())),
            ],
            body: Redacted(self.body(text, numbers)),
        }
    }

    fn read(&self, status: u16, body: &[u8], numbers: &[&str]) -> Answer {
        let all = |outcome: Outcome| Answer::Each(vec![outcome; numbers.len()]);
        match status {
            200..=299 => {}
            400 | 413 | 422 => return all(Outcome::Refused(Cause::Request)),
            401 | 403 => return Answer::NotTaken(Cause::Credentials),
            404 | 405 => return Answer::NotTaken(Cause::Request),
            429 => return Answer::NotTaken(Cause::Busy),
            _ => return all(Outcome::Unknown),
        }
        if body.len() > ANSWER_LEN_MAX {
            return all(Outcome::Unknown);
        }
        let Ok(Answered { data }) = serde_json::from_slice(body) else {
            return all(Outcome::Unknown);
        };
        if !data.recipients.is_empty() {
            return Answer::Each(outcomes(&data.recipients, numbers));
        }
        match text(data.message.as_ref()).map(str::trim).and_then(refused_whole) {
            Some(Cause::NoBalance) => Answer::NotTaken(Cause::NoBalance),
            Some(cause) => all(Outcome::Refused(cause)),
            None => all(Outcome::Unknown),
        }
    }

    fn signature_header(&self) -> Option<&'static str> {
        None
    }

    fn notice(&self, notified: &Notified<'_>) -> Result<Notice, NoticeError> {
        let form = Form::parse(notified.body)?;
        if has(&form, "status") {
            return report(&form).map(Notice::Report);
        }
        if has(&form, "text") && has(&form, "from") {
            let number = needed_number(&form, "from")?;
            return Ok(match one(&form, "text")?.and_then(wish) {
                Some(Wish::Stop) => Notice::OptOut { number },
                Some(Wish::Start) => Notice::OptIn { number },
                None => Notice::Message,
            });
        }
        if has(&form, "senderId") {
            return Ok(Notice::OptOut { number: needed_number(&form, "phoneNumber")? });
        }
        Err(NoticeError::Unfamiliar)
    }
}

fn report(form: &Form<'_>) -> Result<Report, NoticeError> {
    let reason = one(form, "failureReason")?;
    let came_to = match needed(form, "status")? {
        "Sent" | "Submitted" | "Buffered" => Reported::OnItsWay,
        "Success" => Reported::Delivered,
        "Rejected" => Reported::Failed(reason.map_or(Cause::Rejected, failure)),
        "Failed" => Reported::Failed(reason.map_or(Cause::Other, failure)),
        "AbsentSubscriber" | "Expired" => Reported::Failed(Cause::Absent),
        _ => return Err(NoticeError::WrongField("status")),
    };
    let number = one(form, "phoneNumber")?.and_then(number);
    Ok(Report { id: needed_id(form, "id")?, number, came_to })
}

fn failure(reason: &str) -> Cause {
    match reason {
        "InsufficientCredit" => Cause::NoBalance,
        "UserIsInactive" | "UserAccountSuspended" | "UserDoesNotExist" => Cause::NotInUse,
        "UserInBlackList" | "UserInBlacklist" | "UserNotSubscribedToProduct" => Cause::OptedOut,
        // Spelt so by the provider.
        "NotNetworkSubcriber" | "NotNetworkSubscriber" => Cause::NoRoute,
        "InvalidLinkId" => Cause::Request,
        _ => Cause::Other,
    }
}
