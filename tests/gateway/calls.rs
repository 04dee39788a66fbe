//! Somebody whom the daemon calls: hears calls, and answers as a test says.

use crate::hub::Request;
use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// `GET /water/customers?…`
    pub(crate) line: String,
    /// Their names in lower case.
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Heard {
    fn read(reader: &mut BufReader<TcpStream>) -> Option<Self> {
        let Request { method, path, headers, body } = Request::read(reader)?;
        let (line, body) = (format!("{method} {path}"), String::from_utf8(body).ok()?);
        Some(Self { line, headers, body })
    }

    /// The header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_ascii_lowercase()).map(String::as_str)
    }
}

/// What is done with a call.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    /// Answers it.
    Answers(u16, String),
    /// The same, after so long.
    AnswersLate(Duration, u16, String),
    /// Hangs up.
    Cuts,
    /// Says nothing for longer than anybody waits.
    Stalls,
}

type Script = dyn Fn(&Heard) -> Does + Send + Sync;

/// Lives until the test process ends.
#[derive(Clone)]
pub(crate) struct Called {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    script: Arc<Mutex<Arc<Script>>>,
}

impl Called {
    /// One that does with each call what `script` says.
    pub(crate) fn start(script: impl Fn(&Heard) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let script: Arc<Script> = Arc::new(script);
        let called = Self { port, heard: Arc::default(), script: Arc::new(Mutex::new(script)) };
        let serving = called.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        called
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does so from now on.
    pub(crate) fn does(&self, script: impl Fn(&Heard) -> Does + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// All it has heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(call) = Heard::read(&mut reader) {
            self.heard.lock().unwrap().push(call.clone());
            let script = Arc::clone(&self.script.lock().unwrap());
            let (status, body) = match script(&call) {
                Does::Answers(status, body) => (status, body),
                Does::AnswersLate(pause, status, body) => {
                    thread::sleep(pause);
                    (status, body)
                }
                Does::Cuts => return,
                Does::Stalls => return thread::sleep(Duration::from_secs(120)),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{body}");
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}
