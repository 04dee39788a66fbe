//! What goes wrong with a router, on order: with a call, and with an image.

use super::Router;
use crate::http;
use cwmp::{Body, Download, Fault, TransferComplete, fault_words};
use std::time::Duration;

/// What a router does with one call instead of answering it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trick {
    /// Refuses it as a whole, and names no part.
    Fault(u16),
    /// Says nothing, and leaves the connection open.
    Silence,
    /// Does it, says nothing, and leaves the connection open.
    SilenceAfter,
    /// Loses its power before it has done it.
    CutBefore,
    /// Loses its power when it has done it, before it has said so.
    CutAfter,
    /// Thinks for a while, then does it.
    Slow(Duration),
}

/// What goes wrong with an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mishap {
    /// The call is refused.
    Refused(u16),
    /// The transfer ends with that code.
    Failed(u16),
    /// It says that all went well and runs what it ran before.
    Unchanged,
}

/// What a router has ready.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Call, how many calls of that name it still takes, and what is done then.
    pub(super) tricks: Vec<(&'static str, u32, Trick)>,
    /// Whether it does not say which part of a call it refuses.
    pub(super) is_mute: bool,
    /// For every image.
    pub(super) mishap: Option<Mishap>,
    /// How many images it has been told to fetch.
    pub(super) downloads: u32,
}

impl Script {
    /// The trick that was ready for that call.
    pub(super) fn take(&mut self, call: &str) -> Option<Trick> {
        let at = self.tricks.iter().position(|(name, ..)| *name == call)?;
        self.tricks[at].1 -= 1;
        (self.tricks[at].1 == 0).then(|| self.tricks.remove(at).2)
    }
}

impl Router {
    /// How many times it was told to fetch an image.
    pub(crate) fn downloads(&self) -> u32 {
        self.script.lock().unwrap().downloads
    }

    /// Fetches an image and runs what it says in its first line (`version 1.2.3`) after a restart.
    pub(super) fn download(&self, download: &Download) {
        let mishap = self.script.lock().unwrap().mishap;
        let ended = match mishap {
            Some(Mishap::Failed(code)) => Err(code),
            Some(Mishap::Refused(_) | Mishap::Unchanged) | None => self.fetch(download),
        };
        let mut pending = self.pending.lock().unwrap();
        if let Ok(image) = &ended {
            let first = image.lines().next().and_then(|it| it.strip_prefix("version "));
            if let Some(version) = first.filter(|_| mishap.is_none()) {
                self.tree.lock().unwrap().run_software(version.trim());
            }
            pending.happened("1 BOOT", "");
        }
        pending.happened("7 TRANSFER COMPLETE", "");
        pending.happened("M Download", &download.command_key);
        let fault = |code| {
            let text = fault_words(code).into();
            Box::new(Fault { code, text, ..Fault::default() })
        };
        pending.to_tell.push(Body::TransferComplete(Box::new(TransferComplete {
            command_key: download.command_key.clone(),
            fault: ended.err().map(fault),
            start_time: "2026-01-01T00:00:00Z".into(),
            complete_time: "2026-01-01T00:01:00Z".into(),
            ..TransferComplete::default()
        })));
    }

    fn fetch(&self, download: &Download) -> Result<String, u16> {
        let url = download.address.url.expose();
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.find('/').map_or("/", |at| &rest[at..]);
        let answer = http::once(self.public, "GET", path, &[], b"").map_err(|_| 9015_u16)?;
        match answer.status {
            200 => Ok(answer.text()),
            401 | 403 => Err(9012),
            404 | 410 => Err(9016),
            _ => Err(9010),
        }
    }
}
