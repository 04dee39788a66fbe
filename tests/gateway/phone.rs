//! A phone behind an aggregator: what the aggregator's own far side sends and shows.

use crate::http::{Answer, Connection};
use std::io;
use ussd::aggregator::AfricasTalking;
use ussd::{Handset, Keyed, Screen, Shown};

/// One dialogue, through Africa's Talking.
#[derive(Debug)]
pub(crate) struct Call {
    connection: Connection,
    path: String,
    session: String,
    number: String,
    typed: Vec<String>,
}

impl Call {
    /// Begins a dialogue; nothing is sent yet.
    pub(crate) fn begin(port: u16, secret: &str, session: &str, number: &str) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open(port)?,
            path: format!("/ussd/home/{secret}"),
            session: session.to_owned(),
            number: number.to_owned(),
            typed: Vec::new(),
        })
    }

    /// Dials: what is shown.
    pub(crate) fn dial(&mut self) -> io::Result<String> {
        self.hop()
    }

    /// Types: what is shown.
    pub(crate) fn key(&mut self, keys: &str) -> io::Result<String> {
        self.typed.push(keys.to_owned());
        self.hop()
    }

    /// Has keys typed of which no callback was sent, or to another process.
    pub(crate) fn having_typed(mut self, keys: &str) -> Self {
        self.typed.push(keys.to_owned());
        self
    }

    /// Hangs up: the aggregator's notification that the dialogue is over.
    pub(crate) fn hang_up(&mut self) -> io::Result<()> {
        let call = self.keyed(|keyed| AfricasTalking::default().hang_up(keyed));
        self.send(call).map(drop)
    }

    /// Sends the same callback again, as an aggregator does that heard nothing.
    pub(crate) fn again(&mut self) -> io::Result<String> {
        self.hop()
    }

    fn hop(&mut self) -> io::Result<String> {
        let call = self.keyed(|keyed| Some(AfricasTalking::default().call(keyed)));
        Ok(self.send(call)?.text())
    }

    fn keyed<T>(&self, with: impl FnOnce(&Keyed<'_>) -> T) -> T {
        let typed: Vec<&str> = self.typed.iter().map(String::as_str).collect();
        with(&keyed(&self.session, &self.number, &typed))
    }

    fn send(&mut self, call: Option<ussd::Call>) -> io::Result<Answer> {
        let answer = send(&mut self.connection, &self.path, &call.unwrap())?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("{} {}", answer.status, answer.text())));
        }
        Ok(answer)
    }
}

/// A dialogue with the service `home` as its caller has it by now.
pub(crate) fn keyed<'a>(session: &'a str, number: &'a str, typed: &'a [&'a str]) -> Keyed<'a> {
    let (service_code, network) = ("*384#", "63902");
    let hop = u32::try_from(typed.len()).unwrap();
    Keyed { session, number, service_code, network, typed, hop }
}

/// The form of Africa's Talking's callback.
pub(crate) fn form(session: &str, number: &str, typed: &str) -> String {
    AfricasTalking::default().call(&keyed(session, number, &[typed])).body
}

/// Makes an aggregator's call to the service at `path`.
pub(crate) fn send(
    connection: &mut Connection,
    path: &str,
    call: &ussd::Call,
) -> io::Result<Answer> {
    let mut path = path.to_owned();
    for (mark, part) in [('/', &call.path), ('?', &call.query)] {
        if !part.is_empty() {
            path.push(mark);
            path.push_str(part);
        }
    }
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers: Vec<_> = headers.chain(call.content_type.map(|it| ("content-type", it))).collect();
    connection.request(call.method, &path, &headers, call.body.as_bytes())
}

/// What the caller sees of an answer.
pub(crate) fn shown(handset: &dyn Handset, answer: &Answer) -> Option<Screen> {
    let lower = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
    let headers: Vec<_> = answer.headers.iter().map(lower).collect();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    handset.shown(&Shown { status: answer.status, headers: &headers, body: &answer.text() })
}
