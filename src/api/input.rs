//! What callers send, taken apart with bounds, and refused in the words of [`Problem`].

use super::ApiState;
use super::problem::{Code, Problem};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Entries of a list when the caller does not say.
const LIMIT_DEFAULT: usize = 100;
/// Most entries of one answer: some 500 KiB of devices.
const LIMIT_MAX: usize = 1_000;

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<ApiState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts) {
            let detail = "send the body with `Content-Type: application/json`";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        let bytes = read(body, state.options.body_bytes_max, state.options.body_timeout).await?;
        // An empty body is an empty object: every field may be optional.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| refuse(&error))
    }
}

async fn read(body: Body, bytes_max: usize, timeout: Duration) -> Result<bytes::Bytes, Problem> {
    let read = tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await;
    match read {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("a body has at most {bytes_max} bytes");
            Err(Problem::new(Code::BodyTooLarge, detail))
        }
        Ok(Err(_)) => Err(Problem::new(Code::MalformedJson, "the body broke off")),
        Err(_) => Err(Problem::new(Code::TimedOut, "the body did not arrive in time")),
    }
}

/// Whether the body is declared as JSON, or not declared.
fn is_json(parts: &Parts) -> bool {
    let Some(declared) = parts.headers.get(CONTENT_TYPE) else { return true };
    let declared = declared.to_str().unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Says where and what, never the value that was there.
pub(super) fn refuse(error: &serde_json::Error) -> Problem {
    let place = match error.line() {
        0 => String::new(),
        line => format!(" at line {line} column {}", error.column()),
    };
    if !error.is_data() {
        return Problem::new(Code::MalformedJson, format!("not JSON{place}"));
    }
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or("");
    let repeats_the_value = text.starts_with("invalid ");
    let what = match text.rsplit_once(", expected ") {
        Some((_, expected)) if repeats_the_value => format!("expected {expected}"),
        _ if repeats_the_value => "a value is not of the right kind".to_owned(),
        _ => text.to_owned(),
    };
    Problem::new(Code::InvalidBody, format!("{what}{place}"))
}

/// Tells `null` from what is left out, for `deserialize_with` beside `default`.
pub(super) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A query, of which every key must be known.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let text = rejection.body_text();
                let what = text.rsplit_once("query string: ").map_or("", |(_, what)| what);
                Err(Problem::new(Code::InvalidQuery, what.to_owned()))
            }
        }
    }
}

/// The variable parts of a path, percent-decoded.
#[derive(Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<ApiState> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let Path(segments) =
            path.map_err(|_| Problem::new(Code::InvalidPath, "a part of it is not UTF-8"))?;
        Ok(Self(segments))
    }
}

/// How a caller names a device in a path: the part `{id}` of `/devices/{id}`, or `{device}`.
///
/// A device's identity has percent signs of its own, which a URL should spell `%25`; who pastes it
/// as it is means the same device, so the raw spelling is tried where the decoded one is unknown.
#[derive(Debug)]
pub(super) struct DeviceName {
    /// What the URL means.
    pub(super) decoded: String,
    /// What the URL says.
    pub(super) raw: String,
}

impl FromRequestParts<ApiState> for DeviceName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let Segments(all): Segments<Vec<(String, String)>> =
            Segments::from_request_parts(parts, state).await?;
        let key = if all.iter().any(|(key, _)| key == "device") { "device" } else { "id" };
        let decoded = all.into_iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let decoded = decoded.ok_or(Code::NoSuchRoute)?;
        let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let place = template.split('/').position(|part| part.trim_matches(['{', '}']) == key);
        let raw = place.and_then(|place| parts.uri.path().split('/').nth(place)).unwrap_or("");
        Ok(Self { decoded, raw: raw.to_owned() })
    }
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// How many at most: 1 to 1000, 100 by default.
    pub(super) limit: Option<usize>,
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Items<T> {
    /// The entries.
    items: Vec<T>,
    /// What to give as `cursor` for the next page; absent at the end. A filtered page may be short
    /// and have one all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T> Items<T> {
    /// A page of at most `limit`, out of a list that was asked for one more than that; `cursor`
    /// names the last entry of the page.
    pub(super) fn page(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|last| URL_SAFE_NO_PAD.encode(cursor(last)));
        Self { items, next }
    }

    /// A page of which it is known where the next begins.
    pub(super) fn part(items: Vec<T>, next: Option<&str>) -> Self {
        Self { items, next: next.map(|place| URL_SAFE_NO_PAD.encode(place)) }
    }

    /// The whole list.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// How many entries the caller wants.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(Problem::new(Code::InvalidQuery, format!("`limit` is 1 to {LIMIT_MAX}")))
    }
}

/// Reads back what [`Items::page`] wrote.
pub(super) fn cursor<T>(
    given: Option<&str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let text = URL_SAFE_NO_PAD.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(read);
    let place = place
        .ok_or_else(|| Problem::new(Code::InvalidQuery, "`cursor` is not one that we gave"))?;
    Ok(Some(place))
}

/// How many entries the caller wants, and behind which one, of a list whose places are ids.
pub(super) fn id_page(
    asked: Option<usize>,
    given: Option<&str>,
) -> Result<(usize, Option<Box<str>>), Problem> {
    Ok((limit(asked)?, cursor(given, |id| Some(id.into()))?))
}

/// A duration such as `30s` or `1h 30m`, of at most `max`.
pub(super) fn duration(key: &str, text: &str, max: Duration) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    let parsed = parsed.and_then(|signed| Duration::try_from(signed).ok());
    parsed.filter(|it| *it <= max).ok_or_else(|| {
        format!("`{key}` is a duration such as \"30s\", of at most {} seconds", max.as_secs())
    })
}

/// How long a call waits for what comes of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// How long to wait for its end: a duration such as `30s`.
    pub(super) wait: Option<String>,
}

/// How long the caller wants to wait, within the operator's bound.
pub(super) fn wait(state: &ApiState, asked: Option<&str>) -> Result<Option<Duration>, Problem> {
    let wait = asked.map(|text| duration("wait", text, state.options.wait_max));
    wait.transpose().map_err(|why| Problem::new(Code::InvalidQuery, why))
}

/// Whether `text` is a name: 1 to `len_max` characters, none of them a control character.
pub(super) fn is_name(text: &str, len_max: usize) -> bool {
    !text.is_empty() && text.len() <= len_max && !text.chars().any(char::is_control)
}
