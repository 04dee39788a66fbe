//! Errors as RFC 9457 problem details: one shape for every refusal, with a word that stays.
//!
//! The detail says what is wrong in plain words and never repeats a value: it may be a secret.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use provisioning::ProfileFault;
use serde::Serialize;
use std::borrow::Cow;
use utoipa::ToSchema;

/// What programs may rely on: each word is the end of a problem's `type`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Code {
    /// No token, or one that is not known.
    Unauthorised,
    /// The token's role lacks a permission.
    Forbidden,
    /// Too many tries with unknown tokens from one address.
    TooManyTries,
    /// No such path.
    NoSuchRoute,
    /// The path exists, not with this method.
    MethodNotAllowed,
    /// The device is not known.
    NoSuchDevice,
    /// The command is not known.
    NoSuchCommand,
    /// The customer is not known.
    NoSuchCustomer,
    /// The device does not have that alias.
    NoSuchAlias,
    /// The device does not have that tag.
    NoSuchTag,
    /// The device has no credential of its own.
    NoSuchCredential,
    /// The device is not traced.
    NoSuchTrace,
    /// No token has that name.
    NoSuchToken,
    /// No reader has that name.
    NoSuchSink,
    /// No dead letter has that number.
    NoSuchDeadLetter,
    /// No image has that name.
    NoSuchImage,
    /// No upload has that name.
    NoSuchUpload,
    /// No profile has that name.
    NoSuchProfile,
    /// No hold has that name.
    NoSuchHold,
    /// Nothing of that name waits for someone to agree.
    NoSuchApproval,
    /// Nothing is kept for equipment of that name.
    NoSuchEquipment,
    /// No task has that name.
    NoSuchTask,
    /// No payment has that name.
    NoSuchPayment,
    /// No water point has that id.
    NoSuchSite,
    /// No manager of water points has that id.
    NoSuchManager,
    /// There is no such phrase or language, or it is not changed.
    NoSuchPhrase,
    /// The number wants texts.
    NoSuchOptOut,
    /// Another run of the job is under way.
    JobUnderWay,
    /// The daemon's clock is further ahead than can be believed.
    ClockAhead,
    /// The payment is credited.
    PaymentSettled,
    /// The receipt is another payment's.
    ReceiptTaken,
    /// The customer has a payment that is under way, or that nobody has settled.
    PaymentOpen,
    /// The broadcast has come to its end.
    BroadcastEnded,
    /// Another water point has this nickname.
    NicknameTaken,
    /// Another customer or manager has this number.
    NumberTaken,
    /// Another subscriber has this code.
    CodeTaken,
    /// There are customers or managers at the water point.
    SiteInUse,
    /// Somebody else has changed it meanwhile.
    Changed,
    /// The business's hub keeps it, and not we.
    KeptByHub,
    /// The business's hub lacks this.
    UnsupportedByHub,
    /// What is changed is not what the caller saw.
    PreconditionFailed,
    /// The device does not belong to that customer.
    NotTheOwner,
    /// The board may not take on that status.
    BoardStatusRefused,
    /// What is asked stands against what is.
    Conflict,
    /// No profiles are on trial.
    NoTrial,
    /// Who made a change cannot agree to it.
    SamePerson,
    /// The sink is still in the configuration.
    SinkConfigured,
    /// A command or rollout that has not ended names the image.
    ImageInUse,
    /// Nobody whose signature is demanded has signed the image.
    NotSigned,
    /// The image is given to nobody, or not without force.
    ImageRefused,
    /// The rollout is not known.
    NoSuchRollout,
    /// The broadcast is not known.
    NoSuchBroadcast,
    /// The rollout does not stand so that this could be done.
    RolloutState,
    /// As many rollouts are open as may be.
    TooManyRollouts,
    /// Nothing is wanted of the group.
    NoSuchWish,
    /// The command is under way or at its end.
    CommandUnderWay,
    /// A device of this protocol does not take this.
    WrongProtocol,
    /// The device has as many open commands as it may.
    TooManyCommands,
    /// As many devices wait to be woken as may.
    TooManyWakes,
    /// As many event streams are open as may be.
    TooManyStreams,
    /// As many devices are traced as may be.
    TooManyTraces,
    /// Another plan of the fleet is being made.
    TooManyPlans,
    /// There are as many holds as may be.
    TooManyHolds,
    /// The query is not what the call takes.
    InvalidQuery,
    /// A part of the path is not what the call takes.
    InvalidPath,
    /// The body is not JSON.
    MalformedJson,
    /// The body is JSON, but not what the call takes.
    InvalidBody,
    /// A menu would be faulty with these phrases: `faults` says where.
    FaultyPhrases,
    /// A profile is faulty: `faults` says where.
    FaultyProfiles,
    /// The body is larger than `operator.body_max`, or than `firmware.image_max`.
    BodyTooLarge,
    /// The body is not declared as JSON.
    UnsupportedMediaType,
    /// The body did not arrive in time, or the answer was not ready in time.
    TimedOut,
    /// There is no room for a file, by quota or on the disk.
    NoSpace,
    /// The store has no room.
    StoreFull,
    /// The daemon is stopping.
    Stopping,
    /// Our own fault.
    Internal,
}

impl Code {
    /// Every word.
    pub const ALL: [Self; 76] = [
        Self::Unauthorised,
        Self::Forbidden,
        Self::TooManyTries,
        Self::NoSuchRoute,
        Self::MethodNotAllowed,
        Self::NoSuchDevice,
        Self::NoSuchCommand,
        Self::NoSuchCustomer,
        Self::NoSuchAlias,
        Self::NoSuchTag,
        Self::NoSuchCredential,
        Self::NoSuchTrace,
        Self::NoSuchToken,
        Self::NoSuchSink,
        Self::NoSuchDeadLetter,
        Self::NoSuchImage,
        Self::NoSuchUpload,
        Self::KeptByHub,
        Self::UnsupportedByHub,
        Self::NoSuchApproval,
        Self::NoSuchEquipment,
        Self::NoSuchHold,
        Self::NoSuchProfile,
        Self::NoSuchTask,
        Self::NoSuchPayment,
        Self::NoSuchSite,
        Self::NoSuchManager,
        Self::NoSuchPhrase,
        Self::FaultyPhrases,
        Self::NoSuchOptOut,
        Self::JobUnderWay,
        Self::ClockAhead,
        Self::PaymentSettled,
        Self::ReceiptTaken,
        Self::PaymentOpen,
        Self::BroadcastEnded,
        Self::NicknameTaken,
        Self::NumberTaken,
        Self::CodeTaken,
        Self::SiteInUse,
        Self::Changed,
        Self::PreconditionFailed,
        Self::NotTheOwner,
        Self::BoardStatusRefused,
        Self::Conflict,
        Self::NoTrial,
        Self::SamePerson,
        Self::SinkConfigured,
        Self::ImageInUse,
        Self::NotSigned,
        Self::ImageRefused,
        Self::NoSuchRollout,
        Self::NoSuchBroadcast,
        Self::RolloutState,
        Self::TooManyRollouts,
        Self::NoSuchWish,
        Self::CommandUnderWay,
        Self::WrongProtocol,
        Self::TooManyCommands,
        Self::TooManyWakes,
        Self::TooManyStreams,
        Self::TooManyTraces,
        Self::TooManyPlans,
        Self::TooManyHolds,
        Self::InvalidQuery,
        Self::InvalidPath,
        Self::MalformedJson,
        Self::InvalidBody,
        Self::FaultyProfiles,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::TimedOut,
        Self::NoSpace,
        Self::StoreFull,
        Self::Stopping,
        Self::Internal,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        self.entry().1
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> StatusCode {
        self.entry().0
    }

    const fn title(self) -> &'static str {
        self.entry().2
    }

    #[expect(clippy::too_many_lines, reason = "a table: one entry for each word")]
    const fn entry(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Unauthorised => (S::UNAUTHORIZED, "unauthorised", "A valid token is needed"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "The token does not permit this"),
            Self::TooManyTries => {
                (S::TOO_MANY_REQUESTS, "too_many_tries", "Too many failed sign-ins")
            }
            Self::NoSuchRoute => (S::NOT_FOUND, "no_such_route", "There is no such call"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Not with this method")
            }
            Self::NoSuchDevice => (S::NOT_FOUND, "no_such_device", "There is no such device"),
            Self::NoSuchCommand => (S::NOT_FOUND, "no_such_command", "There is no such command"),
            Self::NoSuchCustomer => (S::NOT_FOUND, "no_such_customer", "There is no such customer"),
            Self::NoSuchAlias => (S::NOT_FOUND, "no_such_alias", "There is no such alias"),
            Self::NoSuchTag => (S::NOT_FOUND, "no_such_tag", "There is no such tag"),
            Self::NoSuchCredential => {
                (S::NOT_FOUND, "no_such_credential", "There is no such credential")
            }
            Self::NoSuchTrace => (S::NOT_FOUND, "no_such_trace", "The device is not traced"),
            Self::NoSuchToken => (S::NOT_FOUND, "no_such_token", "There is no such token"),
            Self::NoSuchSink => (S::NOT_FOUND, "no_such_sink", "There is no such sink"),
            Self::NoSuchDeadLetter => {
                (S::NOT_FOUND, "no_such_dead_letter", "There is no such dead letter")
            }
            Self::NoSuchImage => (S::NOT_FOUND, "no_such_image", "There is no such image"),
            Self::NoSuchUpload => (S::NOT_FOUND, "no_such_upload", "There is no such upload"),
            Self::NoSuchProfile => (S::NOT_FOUND, "no_such_profile", "There is no such profile"),
            Self::NoSuchHold => (S::NOT_FOUND, "no_such_hold", "There is no such hold"),
            Self::NoSuchApproval => (
                S::NOT_FOUND,
                "no_such_approval",
                "Nothing of that name waits for someone to agree",
            ),
            Self::NoTrial => (S::CONFLICT, "no_trial", "No profiles are on trial"),
            Self::SamePerson => (S::CONFLICT, "same_person", "Another person must agree"),
            Self::TooManyPlans => {
                (S::TOO_MANY_REQUESTS, "too_many_plans", "Another plan of the fleet is being made")
            }
            Self::TooManyHolds => {
                (S::TOO_MANY_REQUESTS, "too_many_holds", "There are too many holds")
            }
            Self::FaultyProfiles => {
                (S::UNPROCESSABLE_ENTITY, "faulty_profiles", "Profiles are faulty")
            }
            Self::NoSuchEquipment => {
                (S::NOT_FOUND, "no_such_equipment", "Nothing is kept for such equipment")
            }
            Self::NoSuchTask => (S::NOT_FOUND, "no_such_task", "There is no such task"),
            Self::NoSuchPayment => (S::NOT_FOUND, "no_such_payment", "There is no such payment"),
            Self::NoSuchSite => (S::NOT_FOUND, "no_such_site", "There is no such water point"),
            Self::NoSuchPhrase => (S::NOT_FOUND, "no_such_phrase", "There is no such phrase"),
            Self::FaultyPhrases => {
                (S::UNPROCESSABLE_ENTITY, "faulty_phrases", "The menu would be faulty")
            }
            Self::NoSuchManager => (S::NOT_FOUND, "no_such_manager", "There is no such manager"),
            Self::NoSuchOptOut => (S::NOT_FOUND, "no_such_opt_out", "The number wants texts"),
            Self::JobUnderWay => {
                (S::CONFLICT, "job_under_way", "Another run of the job is under way")
            }
            Self::ClockAhead => {
                (S::CONFLICT, "clock_ahead", "The clock is further ahead than can be believed")
            }
            Self::PaymentSettled => (S::CONFLICT, "payment_settled", "The payment is credited"),
            Self::ReceiptTaken => {
                (S::CONFLICT, "receipt_taken", "The receipt is another payment's")
            }
            Self::PaymentOpen => {
                (S::CONFLICT, "payment_open", "A payment is under way, or nobody has settled it")
            }
            Self::BroadcastEnded => {
                (S::CONFLICT, "broadcast_ended", "The broadcast has come to its end")
            }
            Self::NicknameTaken => {
                (S::CONFLICT, "nickname_taken", "Another water point has this nickname")
            }
            Self::NumberTaken => {
                (S::CONFLICT, "number_taken", "Another customer or manager has this number")
            }
            Self::CodeTaken => (S::CONFLICT, "code_taken", "Another subscriber has this code"),
            Self::SiteInUse => {
                (S::CONFLICT, "site_in_use", "There are customers or managers at it")
            }
            Self::Changed => (S::CONFLICT, "changed", "Somebody else has changed it meanwhile"),
            Self::KeptByHub => (S::CONFLICT, "kept_by_hub", "The business's hub keeps this"),
            Self::UnsupportedByHub => {
                (S::CONFLICT, "unsupported_by_hub", "The business's hub cannot do this")
            }
            Self::PreconditionFailed => {
                (S::PRECONDITION_FAILED, "precondition_failed", "It is not as the caller saw it")
            }
            Self::NotTheOwner => (S::NOT_FOUND, "not_the_owner", "The customer does not own it"),
            Self::BoardStatusRefused => {
                (S::CONFLICT, "board_status_refused", "The board may not take on that status")
            }
            Self::Conflict => (S::CONFLICT, "conflict", "This stands against what is"),
            Self::SinkConfigured => (S::CONFLICT, "sink_configured", "The sink is in use"),
            Self::ImageInUse => {
                (S::CONFLICT, "image_in_use", "A command or rollout needs the image")
            }
            Self::NotSigned => (
                S::UNPROCESSABLE_ENTITY,
                "not_signed",
                "No key of `firmware.keys` signed the image",
            ),
            Self::ImageRefused => {
                (S::CONFLICT, "image_refused", "The image is not given to devices")
            }
            Self::NoSuchRollout => (S::NOT_FOUND, "no_such_rollout", "There is no such rollout"),
            Self::NoSuchBroadcast => {
                (S::NOT_FOUND, "no_such_broadcast", "There is no such broadcast")
            }
            Self::RolloutState => (S::CONFLICT, "rollout_state", "The rollout does not stand so"),
            Self::TooManyRollouts => {
                (S::TOO_MANY_REQUESTS, "too_many_rollouts", "Too many rollouts are open")
            }
            Self::NoSuchWish => (S::NOT_FOUND, "no_such_wish", "Nothing is wanted of the group"),
            Self::CommandUnderWay => {
                (S::CONFLICT, "command_under_way", "The command cannot be withdrawn")
            }
            Self::WrongProtocol => {
                (S::CONFLICT, "wrong_protocol", "Not for a device of this protocol")
            }
            Self::TooManyCommands => {
                (S::TOO_MANY_REQUESTS, "too_many_commands", "The device has too much to do")
            }
            Self::TooManyWakes => {
                (S::TOO_MANY_REQUESTS, "too_many_wakes", "Too many devices are being woken")
            }
            Self::TooManyStreams => {
                (S::SERVICE_UNAVAILABLE, "too_many_streams", "Too many streams are open")
            }
            Self::TooManyTraces => {
                (S::TOO_MANY_REQUESTS, "too_many_traces", "Too many devices are traced")
            }
            Self::InvalidQuery => (S::BAD_REQUEST, "invalid_query", "The query is not understood"),
            Self::InvalidPath => (S::BAD_REQUEST, "invalid_path", "The path is not understood"),
            Self::MalformedJson => (S::BAD_REQUEST, "malformed_json", "The body is not JSON"),
            Self::InvalidBody => {
                (S::UNPROCESSABLE_ENTITY, "invalid_body", "The body is not understood")
            }
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be JSON")
            }
            Self::TimedOut => (S::REQUEST_TIMEOUT, "timed_out", "It took too long"),
            Self::NoSpace => (S::INSUFFICIENT_STORAGE, "no_space", "There is no room for the file"),
            Self::StoreFull => (S::SERVICE_UNAVAILABLE, "store_full", "The store is full"),
            Self::Stopping => (S::SERVICE_UNAVAILABLE, "stopping", "The daemon is stopping"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "This is our fault"),
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The word.
    pub code: Code,
    /// What is wrong this time, without values.
    pub detail: Cow<'static, str>,
    /// When another try may succeed, in seconds.
    pub retry_after_s: Option<u32>,
    /// Where profiles or menus are faulty; empty for every other word.
    pub faults: Vec<ProfileFault>,
}

impl Problem {
    /// A refusal with its reason.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), retry_after_s: None, faults: Vec::new() }
    }

    /// A change that is refused for what stands against it: a word for which there is a code, or else
    /// a reason in plain words.
    pub fn conflict(why: impl Into<Cow<'static, str>>) -> Self {
        let why = why.into();
        let is_its = |code: &Code| code.status() == StatusCode::CONFLICT && code.as_str() == why;
        match Code::ALL.into_iter().find(is_its) {
            Some(code) => code.into(),
            None => Self::new(Code::Conflict, why),
        }
    }

    /// The same, with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

/// A refusal whose title says all.
impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, code.title())
    }
}

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// A URI that stands for this kind of problem: `urn:lastmile:problem:<code>`.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in plain words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// The kind as one word, for programs.
    code: &'static str,
    /// What is wrong this time.
    detail: Cow<'static, str>,
    /// Every fault of profiles or menus, where they are what is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FaultView>,
}

/// A fault of a profile.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProfileFault)]
struct FaultView {
    /// The file.
    file: Box<str>,
    /// The line, counted from 1; absent where it is about the whole.
    line: Option<u32>,
    /// What is wrong.
    message: String,
}

impl From<ProfileFault> for FaultView {
    fn from(fault: ProfileFault) -> Self {
        let ProfileFault { file, line, message } = fault;
        Self { file, line, message }
    }
}

/// Faults of profiles.
impl From<Vec<ProfileFault>> for Problem {
    fn from(faults: Vec<ProfileFault>) -> Self {
        let detail = match faults.len() {
            1 => "one fault; nothing is changed".to_owned(),
            count => format!("{count} faults; nothing is changed"),
        };
        Self { faults, ..Self::new(Code::FaultyProfiles, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let body = ProblemBody {
            kind: format!("urn:lastmile:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: self.detail,
            faults: self.faults.into_iter().map(FaultView::from).collect(),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_distinct() {
        let words: BTreeSet<_> = Code::ALL.into_iter().map(Code::as_str).collect();
        assert_eq!(words.len(), Code::ALL.len());
    }

    #[test]
    fn what_a_store_refuses_by_a_word_has_that_code() {
        use crate::store::{
            CODE_TAKEN, NICKNAME_TAKEN, NUMBER_TAKEN, PAYMENT_OPEN, RECEIPT_TAKEN, SITE_IN_USE,
            WATER_CHANGED,
        };
        for (word, code) in [
            (CODE_TAKEN, Code::CodeTaken),
            (NICKNAME_TAKEN, Code::NicknameTaken),
            (NUMBER_TAKEN, Code::NumberTaken),
            (PAYMENT_OPEN, Code::PaymentOpen),
            (RECEIPT_TAKEN, Code::ReceiptTaken),
            (SITE_IN_USE, Code::SiteInUse),
            (WATER_CHANGED, Code::Changed),
        ] {
            assert_eq!(Problem::conflict(word).code, code, "{word}");
        }
        let sentence = Problem::conflict("the command is at its end");
        assert_eq!(
            (sentence.code, &*sentence.detail),
            (Code::Conflict, "the command is at its end")
        );
        assert_eq!(Problem::conflict("no_such_site").code, Code::Conflict, "that is no conflict");
    }
}
