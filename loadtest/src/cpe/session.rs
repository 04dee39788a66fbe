//! One session: connect, sign in, inform, answer until the server has nothing more.

use super::Cpe;
use crate::digest::{Challenge, Signer};
use crate::http::{Answer, Client, HttpError};
use crate::meter::Kind;
use bytes::Bytes;
use cwmp::{Body, DecodeError, Fault, Inform, Message, Namespace, Options, Response, decode};
use hyper::StatusCode;
use hyper::header::{SET_COOKIE, WWW_AUTHENTICATE};
use std::time::{Duration, Instant};

/// Most requests that are answered in one session: a server that never ends is a fault.
const REQUESTS_MAX: u32 = 5000;

/// Why a session failed. The texts are few: they are counted.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("status {0}")]
    Status(u16),
    #[error("asked to come back later")]
    Later(Duration),
    #[error("401 for our credentials")]
    Unauthorized,
    #[error("unreadable: {0}")]
    Decode(#[from] DecodeError),
    #[error("no InformResponse")]
    NotInformed,
    #[error("what was told is not answered as it must be")]
    NotNoted,
    #[error("the server asks for ever")]
    Endless,
}

/// A session in progress.
struct Talk<'a> {
    cpe: &'a mut Cpe,
    client: Client,
    cookies: Vec<String>,
}

impl Cpe {
    /// Holds one session. What it was told to do beside answering is then an errand of the device.
    pub(super) async fn session(&mut self, began: Instant) -> Result<(), SessionError> {
        let inform = self.inform();
        if let Some(number) = self.fact
            && self.retries > 0
        {
            self.world.ledger.offer_again(self.spec.stream, number);
        }
        let client = self.connect().await?;
        let mut talk = Talk { cpe: self, client, cookies: Vec::new() };
        talk.introduce(inform, began).await?;
        talk.tell().await?;
        talk.obey().await?;
        let took = began.elapsed();
        self.world.meter.record(Kind::CwmpSession, self.spec.stream, took);
        Ok(())
    }

    async fn connect(&self) -> Result<Client, HttpError> {
        let targets = &self.world.targets;
        let to = if self.spec.tls.is_some() { targets.cwmp_tls } else { targets.cwmp };
        Client::connect(to, self.spec.tls.as_ref(), self.spec.from).await
    }

    /// What it says of itself now; a fact gets its number once and keeps it over retries.
    fn inform(&mut self) -> Inform {
        if self.fact.is_none() && self.brings_news() {
            self.fact = Some(self.world.ledger.offer(self.spec.stream));
        }
        let tag = self.fact.map(|number| self.world.ledger.tag(self.spec.stream, number));
        Inform {
            device: self.device.identity(),
            events: self.events.clone(),
            max_envelopes: 1,
            current_time: super::now().into(),
            retry_count: self.retries,
            parameters: self.device.inform_parameters(tag),
        }
    }

    /// The InformResponse is the acknowledgement of all that was told.
    fn informed(&mut self) {
        if let Some(number) = self.fact.take() {
            self.world.ledger.acknowledge(self.spec.stream, number);
        }
        self.events.clear();
        self.retries = 0;
    }

    fn credentials(&self) -> Option<(String, String)> {
        self.device.acs_credentials().or_else(|| self.spec.credentials.clone())
    }
}

impl Talk<'_> {
    async fn introduce(&mut self, inform: Inform, began: Instant) -> Result<(), SessionError> {
        let id = Some(Box::from("1"));
        let message = Message::new(id, Namespace::default(), Body::Inform(Box::new(inform)));
        let sent = Instant::now();
        let answer = self.post(&message).await?;
        let Body::Response(response) = answer.body else { return Err(SessionError::NotInformed) };
        if *response != Response::Inform {
            return Err(SessionError::NotInformed);
        }
        let since = if self.cpe.spec.from_due { began } else { sent };
        let world = &self.cpe.world;
        world.meter.record(Kind::CwmpInform, self.cpe.spec.stream, since.elapsed());
        self.cpe.informed();
        Ok(())
    }

    /// Tells what came of what it was told to do (3.7.1.5: after the Inform, before the turn is
    /// given away).
    async fn tell(&mut self) -> Result<(), SessionError> {
        while let Some(body) = self.cpe.to_tell.first().cloned() {
            let expected = format!("{}Response", body.name());
            let message = Message::new(Some("2".into()), Namespace::default(), body);
            let answer = self.post(&message).await?;
            if answer.body.name() != expected {
                return Err(SessionError::NotNoted);
            }
            self.cpe.to_tell.remove(0);
        }
        Ok(())
    }

    /// Does what the server asks until it asks nothing more.
    async fn obey(&mut self) -> Result<(), SessionError> {
        let mut reply = Message::empty();
        for _ in 0..REQUESTS_MAX {
            let asked = self.post(&reply).await?;
            let cpe = &mut *self.cpe;
            let body = match asked.body {
                Body::Empty => return Ok(()),
                Body::Request(request) => {
                    let body = cpe.device.answer(&request);
                    cpe.spec.door.set(cpe.device.wake_credentials());
                    body
                }
                Body::GetRpcMethods => cpe.device.methods(),
                _ => Body::Fault(Box::new(Fault { code: 9000, ..Fault::default() })),
            };
            reply = Message::new(asked.id, asked.namespace, body);
        }
        Err(SessionError::Endless)
    }

    /// Posts, signing in where that is asked for.
    async fn post(&mut self, message: &Message) -> Result<Message, SessionError> {
        let body = Bytes::from(message.encode());
        let mut answer = self.send(body.clone()).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            let challenge =
                answer.header_values(WWW_AUTHENTICATE.as_str()).find_map(Challenge::read);
            if self.cpe.credentials().is_none() {
                return Err(SessionError::Unauthorized);
            }
            self.cpe.signer = Some(Signer::new(challenge.ok_or(SessionError::Unauthorized)?));
            if answer.closes() {
                self.client = self.cpe.connect().await?;
            }
            answer = self.send(body).await?;
        }
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => {
                Ok(decode(None, &answer.body, &Options::default())?)
            }
            StatusCode::UNAUTHORIZED => {
                self.cpe.signer = None;
                Err(SessionError::Unauthorized)
            }
            other => Err(answer
                .retry_after()
                .map_or(SessionError::Status(other.as_u16()), SessionError::Later)),
        }
    }

    async fn send(&mut self, body: Bytes) -> Result<Answer, SessionError> {
        let mut headers = vec![("content-type", "text/xml; charset=\"utf-8\"")];
        if !body.is_empty() {
            headers.push(("soapaction", ""));
        }
        let cookies = self.cookies.join("; ");
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let credentials = self.cpe.credentials();
        let signed = credentials
            .zip(self.cpe.signer.as_mut())
            .map(|((user, password), signer)| signer.sign(&user, &password, "POST", "/"));
        if let Some(signed) = &signed {
            headers.push(("authorization", signed));
        }
        let answer = self.client.post("/", &headers, body).await?;
        for cookie in answer.header_values(SET_COOKIE.as_str()) {
            let pair = cookie.split(';').next().unwrap_or_default().trim().to_owned();
            let name = pair.split('=').next().unwrap_or_default().to_owned();
            self.cookies.retain(|it| it.split('=').next() != Some(&name));
            self.cookies.push(pair);
        }
        Ok(answer)
    }
}
