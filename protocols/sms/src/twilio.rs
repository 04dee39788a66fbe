//! Twilio: its call, and its notices, which are signed.
//!
//! Spec: twilio.com, "Messages resource", "Error and warning dictionary", "Webhooks security".

mod signature;

use crate::cause::Cause;
use crate::error::NoticeError;
use crate::frame::{ANSWER_LEN_MAX, Form, has, id, needed, needed_id, needed_number, number, one};
use crate::keyword::{Wish, wish};
use crate::provider::{
    Account, Answer, Call, Notice, Notified, Outcome, Provider, Report, Reported,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Loose, Redacted, form};
use serde::Deserialize;

/// Twilio.
#[derive(Clone, Debug)]
pub struct Twilio {
    account: Account,
}

impl Twilio {
    /// With that account.
    pub fn new(account: Account) -> Self {
        Self { account }
    }

    /// What a notice of those fields, sent to that address, is signed with.
    #[must_use]
    pub fn signature(&self, url: &str, fields: &Form<'_>) -> String {
        signature::of(self.account.key.expose(), url, fields)
    }
}

#[derive(Deserialize)]
struct Answered {
    sid: Option<Loose>,
    status: Option<Loose>,
    error_code: Option<Loose>,
    code: Option<Loose>,
}

impl Answered {
    fn taken(&self) -> Outcome {
        let sid = self.sid.as_ref().and_then(Loose::text).and_then(id);
        let error = self.error_code.as_ref().and_then(Loose::code);
        match (self.status.as_ref().and_then(Loose::text), sid) {
            (Some("failed" | "undelivered" | "canceled"), _) => {
                Outcome::Refused(error.map_or(Cause::Other, cause))
            }
            (Some(_), Some(sid)) => Outcome::Taken { id: Some(sid) },
            _ => Outcome::Unknown,
        }
    }
}

/// What its error codes mean to us.
const fn cause(code: u32) -> Cause {
    match code {
        20_003 | 20_005 | 30_002 => Cause::Credentials,
        20_429 | 14_107 | 30_001 => Cause::Busy,
        21_211 | 21_217 | 21_265 => Cause::Number,
        21_614 | 21_635 | 30_006 => Cause::UnsupportedNumber,
        21_212 | 21_603 | 21_606 | 21_611 | 21_659 | 21_660 | 21_661 | 21_701..=21_705 => {
            Cause::Sender
        }
        21_214 | 21_215 | 21_408 | 21_612 => Cause::NoRoute,
        21_610 => Cause::OptedOut,
        21_602 | 21_604 | 21_605 | 21_609 | 21_617 | 21_619 | 21_620 => Cause::Request,
        30_003 => Cause::Absent,
        30_004 | 30_007 | 30_034..=30_039 => Cause::Blocked,
        30_005 => Cause::NotInUse,
        30_008 => Cause::Fault,
        _ => Cause::Other,
    }
}

impl Provider for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    fn numbers_max(&self) -> usize {
        1
    }

    fn call(&self, text: &str, numbers: &[&str], notices: Option<&str>) -> Call {
        let Account { username, key, sender } = &self.account;
        let mut path = "/2010-04-01/Accounts/".to_owned();
        form::escape(username, &mut path);
        path.push_str("/Messages.json");
        let mut fields = vec![("To", numbers.first().copied().unwrap_or_default()), ("Body", text)];
        if let Some(sender) = sender.as_deref() {
            // A pool of senders has an id of its own.
            let is_pool = sender.len() == 34 && sender.starts_with("MG");
            fields.push((if is_pool { "MessagingServiceSid" } else { "From" }, sender));
        }
        fields.extend(notices.map(|notices| ("StatusCallback", notices)));
        let signed_in = STANDARD.encode(format!("{username}:{}", key.expose()));
        Call {
            path: Redacted(path),
            headers: vec![
                ("authorization", Redacted(format!("Basic {signed_in}"))),
                ("accept", Redacted("application/json".to_owned())),
                ("content-type", Redacted("application/x-www-form-urlencoded".to_owned())),
            ],
            body: Redacted(form::write(&fields)),
        }
    }

    fn read(&self, status: u16, body: &[u8], numbers: &[&str]) -> Answer {
        let all = |outcome: Outcome| Answer::Each(vec![outcome; numbers.len()]);
        let answered = (body.len() <= ANSWER_LEN_MAX)
            .then(|| serde_json::from_slice::<Answered>(body).ok())
            .flatten();
        let code = answered.as_ref().and_then(|it| it.code.as_ref()).and_then(Loose::code);
        match (status, answered) {
            (200..=299, Some(answered)) => all(answered.taken()),
            (401 | 403, _) if code.is_none_or(|code| cause(code) == Cause::Credentials) => {
                Answer::NotTaken(Cause::Credentials)
            }
            (404 | 405, _) => Answer::NotTaken(Cause::Request),
            (429, _) => Answer::NotTaken(Cause::Busy),
            (400..=499, Some(_)) if code.is_some() => {
                let cause = code.map_or(Cause::Other, cause);
                let is_for_all = matches!(cause, Cause::Busy | Cause::Credentials);
                if is_for_all { Answer::NotTaken(cause) } else { all(Outcome::Refused(cause)) }
            }
            (400, _) => all(Outcome::Refused(Cause::Request)),
            _ => all(Outcome::Unknown),
        }
    }

    fn signature_header(&self) -> Option<&'static str> {
        Some("x-twilio-signature")
    }

    fn notice(&self, notified: &Notified<'_>) -> Result<Notice, NoticeError> {
        let form = Form::parse(notified.body)?;
        let signature = notified.signature.ok_or(NoticeError::Unsigned)?;
        if !signature::holds(self.account.key.expose(), notified.url, &form, signature) {
            return Err(NoticeError::Unsigned);
        }
        if has(&form, "MessageStatus") {
            return report(&form).map(Notice::Report);
        }
        if !has(&form, "Body") || !has(&form, "From") {
            return Err(NoticeError::Unfamiliar);
        }
        let number = needed_number(&form, "From")?;
        let said = match one(&form, "OptOutType")? {
            Some("STOP") => Some(Wish::Stop),
            Some("START") => Some(Wish::Start),
            Some(_) => None,
            None => one(&form, "Body")?.and_then(wish),
        };
        Ok(match said {
            Some(Wish::Stop) => Notice::OptOut { number },
            Some(Wish::Start) => Notice::OptIn { number },
            None => Notice::Message,
        })
    }
}

fn report(form: &Form<'_>) -> Result<Report, NoticeError> {
    let error = one(form, "ErrorCode")?.and_then(|code| code.parse().ok());
    let came_to = match needed(form, "MessageStatus")? {
        "accepted" | "scheduled" | "queued" | "sending" | "sent" => Reported::OnItsWay,
        "delivered" | "read" => Reported::Delivered,
        "failed" | "undelivered" | "canceled" => {
            Reported::Failed(error.map_or(Cause::Other, cause))
        }
        _ => return Err(NoticeError::WrongField("MessageStatus")),
    };
    let number = one(form, "To")?.and_then(number);
    Ok(Report { id: needed_id(form, "MessageSid")?, number, came_to })
}
