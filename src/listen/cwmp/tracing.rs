//! Keeping what traced devices say and hear, beside the serving of it.
//!
//! Never changes an answer, and looks at nothing while nobody is traced.

use super::body::BodyError;
use super::{Answer, CwmpListener, Line, Post};
use crate::trace::Heard;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use hyper::http::request::Parts;
use model::{DeviceId, Now};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::PoisonError;

/// Longest head that is kept, in bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// A request that was refused before anybody could know whose it was.
#[derive(Debug)]
pub(super) struct Unnamed {
    head: Box<str>,
    status: u16,
    at: Now,
}

/// The head of a request, a header to a line: what names who sends it, without what proves it.
pub(super) fn head(parts: &Parts, from: IpAddr) -> Box<str> {
    let mut head = format!("from {from}: {} {}", parts.method, parts.uri.path());
    for (name, value) in &parts.headers {
        let value = match value.to_str() {
            Ok(_) if name == COOKIE => "…",
            Ok(value) if name == AUTHORIZATION || name == PROXY_AUTHORIZATION => {
                let scheme = value.split(' ').next().filter(|it| it.len() < value.len());
                let _ = write!(head, "\n{name}: {} …", scheme.unwrap_or_default());
                continue;
            }
            Ok(value) => value,
            Err(_) => "(not text)",
        };
        let _ = write!(head, "\n{name}: {value}");
    }
    head.truncate(head.floor_char_boundary(HEAD_BYTES_MAX));
    head.into()
}

impl CwmpListener {
    /// A request was refused before its body was looked at: it is told of when the next one on its
    /// connection says whose it was.
    pub(super) fn refused_unnamed(&self, line: &Line, head: Option<Box<str>>, answer: &Answer) {
        let Some(head) = head else { return };
        let (status, at) = (answer.status().as_u16(), self.parts.clock.now());
        let unnamed = Unnamed { head, status, at };
        *line.unnamed.lock().unwrap_or_else(PoisonError::into_inner) = Some(unnamed);
    }

    /// Keeps a request if its device is traced; says whose it is then.
    pub(super) fn heard(
        &self,
        head: &str,
        unpacked: &Result<Bytes, BodyError>,
        request: &Post,
    ) -> Option<DeviceId> {
        let content_type = request.content_type.as_ref().and_then(|it| it.to_str().ok());
        let body = unpacked.as_ref().map(|it| &**it).unwrap_or_default();
        // Read once more than needed: only while somebody is traced.
        let message = cwmp::decode(content_type, body, &self.session_options).ok();
        let named = message.as_ref().and_then(|it| it.inform()).and_then(|it| it.device_id().ok());
        let device = match named {
            Some(device) => device,
            None => self.sessions.device(request.session?)?,
        };
        let now = self.parts.clock.now();
        let (traces, tenant) = (&self.parts.traces, &self.tenant);
        if !traces.wants(tenant, &device, now.monotonic) {
            return None;
        }
        let unnamed = request.line.unnamed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Unnamed { head, status, at }) = unnamed {
            traces.heard(tenant, &device, at, Heard { head: &head, content_type: None, body: b"" });
            traces.answered(tenant, &device, at, status, b"");
        }
        traces.heard(tenant, &device, now, Heard { head, content_type, body });
        Some(device)
    }

    /// Keeps the answer to it.
    pub(super) fn told(&self, device: &DeviceId, answer: &Answer) {
        // It is whole already: a body of ours never waits.
        let body = answer.body().clone().collect().now_or_never();
        let body = body.and_then(Result::ok).map(|it| it.to_bytes()).unwrap_or_default();
        let (now, status) = (self.parts.clock.now(), answer.status().as_u16());
        self.parts.traces.answered(&self.tenant, device, now, status, &body);
    }
}
