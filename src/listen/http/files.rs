//! Files over HTTP: devices fetch images and send what they were asked for.
//!
//! The address is the right to it, so it is never logged, and a stranger hears the same whatever is
//! wrong with his. Nothing of a body is read before its address is found good.

use super::{PublicAnswer, answer, whole};
use crate::commands::Desk;
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::settings::chain;
use crate::store::ImageRow;
use crate::transfers::{
    Direction, FileBody, Incoming, Limits, ReceiveError, Received, Transfer, Transfers, receive,
};
use crate::upgrades::Upgrades;
use firmware::{Selection, Ticket, TicketError};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyDataStream, BodyExt as _, Either, StreamBody};
use hyper::body::Body as _;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPECT,
    HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use model::Protocol;
use multer::{Constraints, Multipart, SizeLimit};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, error};

/// In how many seconds a device that found no place comes again: an image takes minutes.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("60");
/// What a form may have beside its file, in bytes: boundaries, headers, fields.
const FORM_EXTRA: u64 = 64 * 1024;
/// How long, and for how many bytes, a device that is refused may go on sending.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// Longest name of a file that is kept, in bytes.
const NAME_LEN_MAX: usize = 128;

/// Serves files.
#[derive(Debug)]
pub struct Files {
    /// What there is, and where it goes.
    pub transfers: Arc<Transfers>,
    /// Facts in.
    pub pipeline: Arc<Pipeline>,
    /// Whether anything may be written to a device.
    pub desk: Arc<Desk>,
    /// What becomes of images that boards asked for.
    pub upgrades: Arc<Upgrades>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Why a request is refused.
struct Refusal {
    status: StatusCode,
    /// For metrics.
    code: &'static str,
    /// For people who look at the device's log.
    text: &'static str,
}

fn refusal(status: StatusCode, code: &'static str, text: &'static str) -> Refusal {
    Refusal { status, code, text }
}

impl From<TicketError> for Refusal {
    fn from(error: TicketError) -> Self {
        let text = "this address is not valid, or no longer\n";
        refusal(StatusCode::FORBIDDEN, error.code(), text)
    }
}

impl From<ReceiveError> for Refusal {
    fn from(error: ReceiveError) -> Self {
        let (status, text) = match &error {
            ReceiveError::TooLong => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the file is larger than allowed\n")
            }
            ReceiveError::Slow => {
                (StatusCode::REQUEST_TIMEOUT, "the file did not arrive in time\n")
            }
            ReceiveError::Broken => (StatusCode::BAD_REQUEST, "the file broke off\n"),
            ReceiveError::Full => {
                (StatusCode::INSUFFICIENT_STORAGE, "there is no room for the file\n")
            }
            ReceiveError::Disk(source) => {
                error!(error = chain(source), "a device's file could not be written");
                (StatusCode::INTERNAL_SERVER_ERROR, "the file could not be written\n")
            }
        };
        refusal(status, error.code(), text)
    }
}

impl Files {
    /// `GET` or `HEAD /firmware/<ticket>/<name>`.
    pub(super) async fn fetch(&self, head: &Parts, token: &str, name: &str) -> PublicAnswer {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return self.not_allowed(Direction::Download, "GET, HEAD");
        }
        match self.image(head, token, name).await {
            Ok(answer) => answer,
            Err(refusal) => self.refuse(Direction::Download, &refusal),
        }
    }

    /// The same for a board that has signed in, which has the right to this image.
    pub(super) async fn fetch_own(&self, head: &Parts, ticket: Ticket, name: &str) -> PublicAnswer {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return self.not_allowed(Direction::Download, "GET, HEAD");
        }
        let name = firmware::ImageName::new(name).ok();
        let row = name.and_then(|name| self.transfers.image(&ticket.tenant, &name));
        match self.send(head, ticket, row).await {
            Ok(answer) => answer,
            Err(refusal) => self.refuse(Direction::Download, &refusal),
        }
    }

    async fn image(&self, head: &Parts, token: &str, name: &str) -> Result<PublicAnswer, Refusal> {
        let (ticket, row) = self.transfers.open_image(token, name)?;
        self.send(head, ticket, row).await
    }

    async fn send(
        &self,
        head: &Parts,
        ticket: Ticket,
        row: Option<Arc<ImageRow>>,
    ) -> Result<PublicAnswer, Refusal> {
        let row = row.ok_or_else(|| {
            refusal(StatusCode::GONE, "gone", "the image was removed or replaced\n")
        })?;
        let (etag, bytes) = (row.image.etag(), row.image.bytes);
        let is_head = head.method == Method::HEAD;
        // Range is defined for GET alone (RFC 9110 14.2).
        let range = text(&head.headers, RANGE).filter(|_| !is_head);
        let selection = firmware::select(range, text(&head.headers, IF_RANGE), &etag, bytes);
        let (first, length) = selection.span(bytes);
        let (status, range) = match selection {
            Selection::Whole => (StatusCode::OK, None),
            Selection::Part { first, last } => {
                (StatusCode::PARTIAL_CONTENT, Some(format!("bytes {first}-{last}/{bytes}")))
            }
            Selection::Unsatisfiable => {
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(format!("bytes */{bytes}")))
            }
        };
        let is_empty = is_head || selection == Selection::Unsatisfiable;
        let body = if is_empty {
            Either::Left(http_body_util::Full::default())
        } else {
            Either::Right(self.download(&ticket, &row, (first, length)).await?)
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        headers.insert(CONTENT_LENGTH, length.into());
        headers.extend(HeaderValue::try_from(etag).map(|etag| (ETAG, etag)));
        let range = range.and_then(|range| HeaderValue::try_from(range).ok());
        headers.extend(range.map(|range| (CONTENT_RANGE, range)));
        Ok(answer)
    }

    async fn download(
        &self,
        ticket: &Ticket,
        row: &ImageRow,
        span: (u64, u64),
    ) -> Result<FileBody, Refusal> {
        // A device that has an image half stays with what it has: it goes on when it may.
        if self.desk.is_held(&ticket.tenant, &ticket.device) {
            return Err(busy("held"));
        }
        let transfer = self.transfers.begin_download(ticket).map_err(busy)?;
        if !self.upgrades.fetching(ticket).await {
            return Err(refusal(StatusCode::GONE, "offer_over", "the offer is over: ask again\n"));
        }
        debug!(device = %ticket.device, image = %row.image.name, "device fetches");
        let body = self.transfers.download(row, span, transfer).await.map_err(|error| {
            error!(image = %row.image.name, error = chain(&error), "an image cannot be read");
            let text = "the image cannot be read\n";
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "disk", text)
        })?;
        let is_end = span.0 + span.1 == row.image.bytes;
        let is_asked_for = ticket.device.protocol() == Protocol::Mqtt;
        Ok(if is_end && is_asked_for {
            self.to_its_end(body, ticket.clone(), span.1)
        } else {
            body
        })
    }

    /// The same bytes, of which the last ends what a board fetches: it says nothing of it itself.
    fn to_its_end(&self, body: FileBody, ticket: Ticket, length: u64) -> FileBody {
        let (upgrades, mut left, mut ticket) = (Arc::clone(&self.upgrades), length, Some(ticket));
        let watched = body.inspect_ok(move |frame| {
            left -= frame.data_ref().map_or(0, |piece| piece.len() as u64).min(left);
            if left == 0
                && let Some(ticket) = ticket.take()
            {
                let upgrades = Arc::clone(&upgrades);
                tokio::spawn(async move { upgrades.fetched(&ticket).await });
            }
        });
        StreamBody::new(Box::pin(watched))
    }

    /// `PUT` or `POST /uploads/<ticket>`, perhaps with a name behind it.
    pub(super) async fn take(
        &self,
        head: &Parts,
        mut body: hyper::body::Incoming,
        token: &str,
        name: &str,
    ) -> PublicAnswer {
        let status = match head.method {
            // RFC 9110 9.3.4: what a PUT made is told by 201.
            Method::PUT => StatusCode::CREATED,
            Method::POST => StatusCode::OK,
            _ => return self.not_allowed(Direction::Upload, "PUT, POST"),
        };
        let ticket = match self.transfers.open_inbox(token) {
            Ok(ticket) => ticket,
            Err(error) => return self.refuse(Direction::Upload, &error.into()),
        };
        let mut transfer = match self.transfers.begin_upload(&ticket) {
            Ok(transfer) => transfer,
            Err(why) => return self.refuse(Direction::Upload, &busy(why)),
        };
        match self.upload(head, &mut body, ticket, name, &transfer).await {
            Ok(()) => {
                transfer.ends("done");
                whole(answer(status, "text/plain; charset=utf-8", String::new()))
            }
            Err(refusal) => {
                // Its end is counted when the place is given back.
                transfer.ends(refusal.code);
                self.metrics.listener("public").refused(refusal.code);
                if !head.headers.contains_key(EXPECT) {
                    linger(&mut body).await;
                }
                told(&refusal)
            }
        }
    }

    async fn upload(
        &self,
        head: &Parts,
        body: &mut hyper::body::Incoming,
        ticket: Ticket,
        name: &str,
        transfer: &Transfer,
    ) -> Result<(), Refusal> {
        if !self.pipeline.has_room() {
            return Err(busy("store_full"));
        }
        let form = text(&head.headers, CONTENT_TYPE).and_then(|it| multer::parse_boundary(it).ok());
        let bytes_max = self.transfers.options.upload_max;
        let extra = if form.is_some() { FORM_EXTRA } else { 0 };
        let declared = body.size_hint().exact();
        if declared.is_some_and(|declared| declared > bytes_max + extra) {
            return Err(ReceiveError::TooLong.into());
        }
        let reserved = declared.map_or(bytes_max, |declared| declared.min(bytes_max));
        let mut incoming = self.transfers.begin_inbox(&ticket, reserved).await?;
        let name = match form {
            None => {
                let limits = self.limits();
                receive(&mut BodyDataStream::new(body), &mut incoming, limits).await?;
                shown(name)
            }
            Some(boundary) => self.form(body, boundary, name, &mut incoming).await?,
        };
        if incoming.bytes() == 0 {
            return Err(refusal(StatusCode::BAD_REQUEST, "empty", "there is no file in it\n"));
        }
        transfer.carried(incoming.bytes());
        let received = incoming.finish().await.map_err(ReceiveError::from)?;
        self.keep(ticket, name, received).await
    }

    fn limits(&self) -> Limits {
        let options = &self.transfers.options;
        Limits { bytes_max: options.upload_max, idle_timeout: options.idle_timeout }
    }

    /// Takes the first file of a form (RFC 7578); what stands beside it is passed over.
    async fn form(
        &self,
        body: &mut hyper::body::Incoming,
        boundary: String,
        name: &str,
        incoming: &mut Incoming,
    ) -> Result<Box<str>, Refusal> {
        let limits = self.limits();
        let size = SizeLimit::new().whole_stream(limits.bytes_max + FORM_EXTRA);
        let constraints = Constraints::new().size_limit(size);
        let stream = BodyDataStream::new(body);
        let mut form = Multipart::with_constraints(stream, boundary, constraints);
        let mut found = None;
        while let Some(mut field) = next_field(&mut form, limits.idle_timeout).await? {
            if found.is_some() || field.file_name().is_none() && field.name() != Some("file") {
                continue;
            }
            found = Some(shown(field.file_name().unwrap_or(name)));
            // What the form says of a limit that is reached is for us to say.
            let mut too_long = false;
            let mut pieces = (&mut field).inspect(|piece| {
                too_long |= matches!(piece, Err(multer::Error::StreamSizeExceeded { .. }));
            });
            let received = receive(&mut pieces, incoming, limits).await;
            if too_long {
                return Err(ReceiveError::TooLong.into());
            }
            received?;
        }
        Ok(found.unwrap_or_default())
    }

    /// Keeps a file that is whole. To its end, even when the device hangs up: what is on disk must
    /// also be known.
    async fn keep(
        &self,
        ticket: Ticket,
        name: Box<str>,
        received: Received,
    ) -> Result<(), Refusal> {
        let (transfers, pipeline) = (Arc::clone(&self.transfers), Arc::clone(&self.pipeline));
        let keep = async move { transfers.keep_upload(&pipeline, ticket, name, received).await };
        match tokio::spawn(keep).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(busy("store_full")),
        }
    }

    fn refuse(&self, direction: Direction, refusal: &Refusal) -> PublicAnswer {
        self.transfers.metrics.ended(direction, refusal.code);
        self.metrics.listener("public").refused(refusal.code);
        told(refusal)
    }

    fn not_allowed(&self, direction: Direction, allowed: &'static str) -> PublicAnswer {
        let refusal = refusal(StatusCode::METHOD_NOT_ALLOWED, "method", "");
        let mut answer = self.refuse(direction, &refusal);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        answer
    }
}

/// The next field of a form, in time.
async fn next_field<'a>(
    form: &mut Multipart<'a>,
    patience: Duration,
) -> Result<Option<multer::Field<'a>>, ReceiveError> {
    let next = tokio::time::timeout(patience, form.next_field()).await;
    next.map_err(|_| ReceiveError::Slow)?.map_err(|error| match error {
        multer::Error::StreamSizeExceeded { .. } => ReceiveError::TooLong,
        _ => ReceiveError::Broken,
    })
}

/// Lets a device that sends without asking come to an end, within bounds: who closes on a peer that
/// still sends may not be heard.
async fn linger(body: &mut hyper::body::Incoming) {
    let forget = async {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, hyper::body::Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, forget).await;
}

fn busy(code: &'static str) -> Refusal {
    refusal(StatusCode::SERVICE_UNAVAILABLE, code, "there is no place now: come again\n")
}

fn told(refusal: &Refusal) -> PublicAnswer {
    let text = refusal.text.to_owned();
    let mut answer = answer(refusal.status, "text/plain; charset=utf-8", text);
    if refusal.status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
    }
    whole(answer)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a device calls its file: the last part of it, for people to read and never a path of ours.
fn shown(name: &str) -> Box<str> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or("");
    let mut shown = String::new();
    for letter in last.chars().filter(|letter| !letter.is_control()) {
        if shown.len() + letter.len_utf8() > NAME_LEN_MAX {
            break;
        }
        shown.push(letter);
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_people() {
        assert_eq!(&*shown("config.xml"), "config.xml");
        assert_eq!(&*shown("../../etc/passwd"), "passwd");
        assert_eq!(&*shown("C:\\logs\\a\r\nb.txt"), "ab.txt");
        assert_eq!(shown(&"ä".repeat(100)).len(), 128);
        assert_eq!(&*shown(".."), "..", "it is never used as a path");
    }
}
