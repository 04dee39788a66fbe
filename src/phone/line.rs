//! What connects a phone with the service: the calls of an aggregator, one for each hop.

use super::PhoneError;
use crate::secrets;
use model::Redacted;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method};
use std::sync::Arc;
use std::time::Duration;
use ussd::aggregator::ServiceCode;
use ussd::{Aggregator, Call, Keyed, Screen, Shown};

/// Longest wait for an answer. Above every aggregator's own, so that a slow menu is seen and not
/// taken for a dead one.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The way to one service.
pub(super) struct Line {
    client: Client,
    /// With the secret, without a slash at its end.
    url: Redacted<String>,
    speaker: Arc<dyn Aggregator>,
    code: ServiceCode,
}

/// A phone, with the last dialogue that it had.
pub(super) struct Caller {
    number: String,
    network: String,
    dialogue: Option<Dialogue>,
    /// Whether that is over: by an END, or because he hung up.
    is_over: bool,
}

struct Dialogue {
    session: String,
    code: ServiceCode,
    /// All keys since the dial, those that were dialled among them.
    typed: Vec<String>,
    hop: u32,
}

impl Line {
    pub(super) fn new(
        url: String,
        speaker: Arc<dyn Aggregator>,
        code: &str,
    ) -> Result<Self, PhoneError> {
        let own = ServiceCode::new(code).filter(|it| it.split(code).is_some());
        let code =
            own.ok_or_else(|| format!("`{code}` is no code to dial: `*`, digits and `*`, `#`"))?;
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { client, url: Redacted(url), speaker, code })
    }

    /// Sends what a caller keyed; what he sees.
    async fn hop(&self, caller: &Caller, dialogue: &Dialogue) -> Result<Screen, PhoneError> {
        let typed: Vec<&str> = dialogue.typed.iter().map(String::as_str).collect();
        let call = self.speaker.call(&caller.keyed(dialogue, &typed));
        let (status, headers, body) = self.send(call).await?;
        let headers: Vec<_> = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let shown = Shown { status, headers: &headers, body: &body };
        let screen = self.speaker.shown(&shown);
        screen.ok_or_else(|| format!("the daemon answered {status}, which is no screen").into())
    }

    async fn send(&self, call: Call) -> Result<(u16, HeaderMap, String), PhoneError> {
        let mut url = self.url.expose().clone();
        if !call.path.is_empty() {
            url.push('/');
            url.push_str(&call.path);
        }
        if !call.query.is_empty() {
            url.push('?');
            url.push_str(&call.query);
        }
        let method = Method::from_bytes(call.method.as_bytes())?;
        let mut request = self.client.request(method, url);
        if let Some(content_type) = call.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        // A failure names the URL, and with it the secret.
        let answer = request.body(call.body).send().await.map_err(reqwest::Error::without_url)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok((status, headers, answer.text().await.map_err(reqwest::Error::without_url)?))
    }
}

impl Caller {
    pub(super) fn new(number: &str, network: &str) -> Self {
        Self {
            number: number.to_owned(),
            network: network.to_owned(),
            dialogue: None,
            is_over: true,
        }
    }

    /// Whether he has a dialogue: then what he types are keys.
    pub(super) fn is_in_dialogue(&self) -> bool {
        !self.is_over
    }

    /// Dials `what`: the service's code, and what may stand behind it.
    pub(super) async fn dial(&mut self, line: &Line, what: &str) -> Result<Screen, PhoneError> {
        let (code, typed) = (line.code.split(what))
            .ok_or_else(|| format!("`{what}` cannot be dialled: `*`, digits and `*`, `#`"))?;
        let session = session_name();
        self.take(line, Dialogue { session, code, typed, hop: 0 }).await
    }

    /// Sends keys.
    pub(super) async fn key(&mut self, line: &Line, keys: &str) -> Result<Screen, PhoneError> {
        let dialogue = self.dialogue.take().filter(|_| !self.is_over);
        let mut dialogue = dialogue.ok_or("nothing is dialled")?;
        dialogue.typed.push(keys.to_owned());
        dialogue.hop += 1;
        self.take(line, dialogue).await
    }

    /// Sends the last hop again, as an aggregator does that heard no answer; an END's too.
    pub(super) async fn again(&mut self, line: &Line) -> Result<Screen, PhoneError> {
        let dialogue = self.dialogue.take().ok_or("nothing is dialled")?;
        self.take(line, dialogue).await
    }

    /// Hangs up; the daemon hears of it where the aggregator tells.
    pub(super) async fn hang_up(&mut self, line: &Line) -> Result<(), PhoneError> {
        let Some(dialogue) = self.dialogue.take() else { return Ok(()) };
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(());
        }
        let typed: Vec<&str> = dialogue.typed.iter().map(String::as_str).collect();
        if let Some(call) = line.speaker.hang_up(&self.keyed(&dialogue, &typed)) {
            line.send(call).await?;
        }
        Ok(())
    }

    async fn take(&mut self, line: &Line, dialogue: Dialogue) -> Result<Screen, PhoneError> {
        let screen = line.hop(self, &dialogue).await?;
        self.is_over = screen.is_end();
        self.dialogue = Some(dialogue);
        Ok(screen)
    }

    fn keyed<'a>(&'a self, dialogue: &'a Dialogue, typed: &'a [&'a str]) -> Keyed<'a> {
        Keyed {
            session: &dialogue.session,
            number: &self.number,
            service_code: dialogue.code.as_str(),
            network: &self.network,
            typed,
            hop: dialogue.hop,
        }
    }
}

/// A name that every aggregator's dialect can carry: digits, as long as the shortest allows.
fn session_name() -> String {
    let secret = secrets::new_secret();
    let digits = secret.expose().bytes().map(|byte| char::from(b'0' + byte % 10));
    std::iter::once('9').chain(digits).take(18).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_s_name_is_eighteen_digits_and_its_own() {
        let name = session_name();
        assert_eq!(name.len(), 18);
        assert!(name.bytes().all(|byte| byte.is_ascii_digit()));
        assert_ne!(name, session_name());
    }
}
