//! The stand-in for M-Pesa behind a real socket: it is asked, takes money, and calls back.

use crate::http;
use crate::hub::Request;
use jiff::Timestamp;
use lastmile_daraja::{Behaviour, Call, CallbackOut, Daraja, Fate, Merchant, Reply, Taken};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What the merchant signs in and makes his passwords with.
pub(crate) const CONSUMER_SECRET: &str = "consumer-secret-4be1";
pub(crate) const PASSKEY: &str = "passkey-90d3c7";
/// How often it looks for callbacks that leave.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The provider; it lives until the test process ends.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    daraja: Mutex<Daraja>,
    /// How often each phone was prompted, or may have been.
    pushes: Mutex<BTreeMap<String, u32>>,
    /// What requests were signed with: keys, tokens and passwords.
    signs: Mutex<BTreeSet<String>>,
    /// How each callback was answered.
    answers: Mutex<Vec<Option<u16>>>,
    /// The daemon's public port, as soon as it is known.
    gateway: AtomicU16,
    secrets: TempDir,
}

impl Provider {
    /// One that behaves so.
    pub(crate) fn start(seed: u64, behaviour: Behaviour) -> Self {
        let merchant = Merchant {
            consumer_key: "key".into(),
            consumer_secret: CONSUMER_SECRET.into(),
            short_code: "600100".into(),
            passkey: PASSKEY.into(),
            transaction_type: "CustomerBuyGoodsOnline".into(),
            party_b: "600123".into(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let secrets = tempfile::tempdir().unwrap();
        for (name, secret) in [("secret", CONSUMER_SECRET), ("passkey", PASSKEY)] {
            std::fs::write(secrets.path().join(name), format!("{secret}\n")).unwrap();
        }
        let shared = Arc::new(Shared {
            daraja: Mutex::new(Daraja::new(seed, behaviour, merchant)),
            pushes: Mutex::default(),
            signs: Mutex::default(),
            answers: Mutex::default(),
            gateway: AtomicU16::new(0),
            secrets,
        });
        let provider = Self { port, shared };
        let (serving, calling) = (provider.clone(), provider.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        thread::spawn(move || {
            loop {
                calling.call_back();
                thread::sleep(LOOK_EVERY);
            }
        });
        provider
    }

    /// The keys of `[mpesa]`; every timing is short.
    pub(crate) fn settings(&self) -> String {
        let file = |name: &str| self.shared.secrets.path().join(name).display().to_string();
        format!(
            "base_url = \"http://127.0.0.1:{}\"\nconsumer_key = \"key\"\n\
             consumer_secret_file = \"{}\"\npasskey_file = \"{}\"\nshort_code = \"600100\"\n\
             till = \"600123\"\ntransaction_type = \"CustomerBuyGoodsOnline\"\n\
             callback_url = \"https://gateway.example\"\npush_delay = \"0s\"\n\
             query_after = [\"1s\", \"2s\", \"3s\", \"4s\"]\nreconcile_after = [\"6s\", \"9s\"]\n\
             unresolved_hold = \"1s\"\ntimeout = \"2s\"\n",
            self.port,
            file("secret"),
            file("passkey"),
        )
    }

    /// Calls the daemon back there from now on.
    pub(crate) fn knows(&self, public: u16) {
        self.shared.gateway.store(public, Ordering::Relaxed);
    }

    /// What becomes of the next prompt on that phone (`2547…`).
    pub(crate) fn decide(&self, number: &str, fate: Fate) {
        self.shared.daraja.lock().unwrap().decide(number, fate);
    }

    /// Changes how it behaves from now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.daraja.lock().unwrap().behave(behaviour);
    }

    /// All money that was taken.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.shared.daraja.lock().unwrap().taken().to_vec()
    }

    /// How often a phone was prompted, or may have been.
    pub(crate) fn pushes(&self, number: &str) -> u32 {
        self.shared.pushes.lock().unwrap().get(number).copied().unwrap_or_default()
    }

    /// All that requests were signed with: keys, tokens and passwords.
    pub(crate) fn signs(&self) -> Vec<String> {
        self.shared.signs.lock().unwrap().iter().cloned().collect()
    }

    /// How callbacks were answered so far; `None`: by nobody.
    pub(crate) fn answers(&self) -> Vec<Option<u16>> {
        self.shared.answers.lock().unwrap().clone()
    }

    /// Fails the test when a request was not as Daraja wants it.
    pub(crate) fn assert_no_faults(&self) {
        assert_eq!(self.shared.daraja.lock().unwrap().seen().faults, 0);
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader) {
            let headers: Vec<_> =
                request.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            let (method, path) = (&*request.method, &*request.path);
            let call = Call { method, path, headers: &headers, body: &request.body };
            let reply = self.shared.daraja.lock().unwrap().request(&call, Timestamp::now());
            self.count(&request, &reply);
            self.note_signs(&request);
            match reply {
                Reply::Answer(answer) => {
                    thread::sleep(answer.after);
                    let head = format!(
                        "HTTP/1.1 {} Answered\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
                        answer.status,
                        answer.content_type,
                        answer.body.len()
                    );
                    let whole = format!("{head}{}", answer.body);
                    if reader.get_mut().write_all(whole.as_bytes()).is_err() {
                        return;
                    }
                }
                Reply::Cut { after } => {
                    thread::sleep(after);
                    let _ = reader.get_mut().shutdown(Shutdown::Both);
                    return;
                }
                Reply::Refused => return,
            }
        }
    }

    fn count(&self, request: &Request, reply: &Reply) {
        let is_push = request.path.ends_with("/processrequest");
        let had_effect = match reply {
            Reply::Answer(answer) => answer.status == 200,
            Reply::Cut { .. } => true,
            Reply::Refused => false,
        };
        if is_push && had_effect {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let number = body["PhoneNumber"].as_str().unwrap().to_owned();
            *self.shared.pushes.lock().unwrap().entry(number).or_default() += 1;
        }
    }

    fn note_signs(&self, request: &Request) {
        let mut signs = self.shared.signs.lock().unwrap();
        let authorization = request.headers.get("authorization");
        signs.extend(authorization.and_then(|it| it.split(' ').nth(1)).map(str::to_owned));
        let body = serde_json::from_slice::<serde_json::Value>(&request.body).unwrap_or_default();
        signs.extend(body["Password"].as_str().map(str::to_owned));
    }

    fn call_back(&self) {
        let due = self.shared.daraja.lock().unwrap().due(Timestamp::now());
        for out in due {
            let status = self.post(&out);
            self.shared.answers.lock().unwrap().push(status);
            self.shared.daraja.lock().unwrap().answered(out.id, status, Timestamp::now());
        }
    }

    fn post(&self, out: &CallbackOut) -> Option<u16> {
        let path = out.url.strip_prefix("https://gateway.example")?;
        let port = self.shared.gateway.load(Ordering::Relaxed);
        let headers = [("Content-Type", "application/json")];
        let answer = http::once(port, "POST", path, &headers, out.body.as_bytes());
        answer.ok().map(|it| it.status)
    }
}

/// A secret that the daemon made, in its folder.
pub(crate) fn secret(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("public/payments.mpesa.secret")).unwrap();
    text.trim().to_owned()
}
