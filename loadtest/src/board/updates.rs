//! A board's firmware over the air: awake it asks, and fetches what it is told of in pieces, some of
//! them at each waking, until it has the whole; then it restarts with it.

use crate::http::{Client, HttpError};
use crate::meter::Kind;
use crate::world::World;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// What boards run until they are given something else.
pub(super) const FIRST_VERSION: &str = "1.0.0";
/// Pieces that are fetched in one waking: a modem sleeps in between.
const PIECES_MAX: usize = 8;

/// What it was answered.
#[derive(Debug, Deserialize)]
struct Answer {
    answer: Box<str>,
    version: Option<Box<str>>,
    url: Option<String>,
    size: Option<usize>,
    sha256: Option<Box<str>>,
}

/// What a waking of it came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Came {
    pub(super) pieces: u64,
    /// Whether it has the whole now, and runs it.
    pub(super) is_updated: bool,
}

/// How a board stands to its firmware.
#[derive(Debug)]
pub(super) struct Updates {
    version: Box<str>,
    /// Bytes of a piece.
    piece: usize,
    offer: Option<Answer>,
    content: Vec<u8>,
}

impl Updates {
    pub(super) fn new(piece: usize) -> Self {
        Self { version: FIRST_VERSION.into(), piece, offer: None, content: Vec::new() }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// A message came down: an answer, or something else.
    pub(super) fn heard(&mut self, payload: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Answer>(payload) else { return };
        let was = self.offer.as_ref().and_then(|it| it.sha256.clone());
        if answer.sha256 != was {
            self.content.clear();
        }
        self.offer = (&*answer.answer == "update").then_some(answer);
    }

    /// Fetches what it was told of, as far as one waking goes.
    pub(super) async fn fetch(&mut self, world: &World) -> Came {
        let mut came = Came::default();
        let Some(offer) = &self.offer else { return came };
        let (Some(url), Some(size)) = (&offer.url, offer.size) else { return came };
        // Wherever the address says that the gateway is: we know the way to it.
        let Some(path) = url.find("/firmware/").map(|at| url[at..].to_owned()) else {
            world.meter.error(Kind::Firmware, "no address in the answer");
            return came;
        };
        match self.pieces(world, &path, size).await {
            Ok(pieces) => came.pieces = pieces,
            Err(error) => world.meter.error(Kind::Firmware, error),
        }
        if self.content.len() >= size {
            came.is_updated = self.restart(world);
        }
        came
    }

    async fn pieces(&mut self, world: &World, path: &str, size: usize) -> Result<u64, String> {
        let words = |error: HttpError| error.to_string();
        let mut client = Client::connect(world.targets.ussd, None, None).await.map_err(words)?;
        let mut pieces = 0;
        for _ in 0..PIECES_MAX {
            if self.content.len() >= size {
                break;
            }
            let begin = self.content.len();
            let range = format!("bytes={begin}-{}", begin + self.piece.max(1) - 1);
            let headers = [("range", range.as_str())];
            let asked = client.request(Method::GET, path, &headers, Bytes::new()).await;
            let answer = asked.map_err(words)?;
            if answer.status != StatusCode::PARTIAL_CONTENT || answer.body.is_empty() {
                // The offer is over; its next question says what there is.
                self.offer = None;
                return Err(format!("status {}", answer.status.as_u16()));
            }
            self.content.extend_from_slice(&answer.body);
            pieces += 1;
        }
        Ok(pieces)
    }

    /// Runs what it has fetched, where that is what it was told of.
    fn restart(&mut self, world: &World) -> bool {
        let content = std::mem::take(&mut self.content);
        let Some(offer) = self.offer.take() else { return false };
        let hash = Sha256::digest(&content).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let is_right = offer.sha256.is_some_and(|it| *it == *hash);
        match offer.version {
            Some(version) if is_right => self.version = version,
            _ => world.meter.error(Kind::Firmware, "fetched is not what was offered"),
        }
        is_right
    }
}
