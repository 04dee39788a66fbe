//! A daemon's parts around texts, and a provider on a real socket that can have every fault.

use super::*;
use crate::clock::VirtualTime;
use crate::commands::Desk;
use crate::deliver::Anywhere;
use crate::lines::Lines;
use crate::outcall::Outcall;
use crate::pipeline::Pipeline;
use crate::registry::Registry;
use crate::store::{
    Position, SmsStore as _, SmsWhich, SqliteOptions, SqliteStore, Store, StoredEvent, TaskState,
    Tasks as Which, Writer, WriterOptions,
};
use crate::tasks::Handler as _;
use ::sms::{Account, AfricasTalking, Api, Notified, Provider, Twilio};
use parking_lot::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Time enough for a machine that is busy, and little enough to wait for.
const TIMEOUT: Duration = Duration::from_millis(800);

/// What the provider does with a call.
#[derive(Clone, Debug)]
pub(super) enum Does {
    /// Answers so.
    Answers(u16, String),
    /// Answers so, and wants to be left alone for that many seconds.
    AnswersLater(u16, u32),
    /// Takes the call and hangs up.
    Cuts,
    /// Takes the call and says nothing.
    Stalls,
}

/// Where calls arrive, and what was in them.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) url: String,
    pub(super) does: Mutex<Vec<Does>>,
    pub(super) heard: Mutex<Vec<String>>,
}

impl Wire {
    async fn open() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let wire = Arc::new(Self { url, does: Mutex::default(), heard: Mutex::default() });
        let serving = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(socket));
            }
        });
        wire
    }

    async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        while let Some(request) = hear(&mut socket).await {
            self.heard.lock().push(request);
            let does = {
                let mut does = self.does.lock();
                if does.len() > 1 { does.remove(0) } else { does[0].clone() }
            };
            let (status, more, body) = match does {
                Does::Answers(status, body) => (status, String::new(), body),
                Does::AnswersLater(status, seconds) => {
                    (status, format!("retry-after: {seconds}\r\n"), String::new())
                }
                Does::Cuts => return,
                Does::Stalls => std::future::pending().await,
            };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} x\r\n{more}content-length: {length}\r\n\r\n{body}");
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// The body of one request; nothing once the peer is gone.
async fn hear(socket: &mut TcpStream) -> Option<String> {
    let mut heard = Vec::new();
    loop {
        if socket.read_buf(&mut heard).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&heard);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(body.to_owned());
        }
    }
}

/// Who hangs records on texts, and what he was told.
#[derive(Debug, Default)]
pub(super) struct Records(pub(super) Mutex<Vec<(Box<str>, bool)>>);

impl SmsObserver for Records {
    fn settled(&self, sms: &SmsRow, sent: bool, _: Timestamp) -> Vec<Operation> {
        self.0.lock().push((sms.key.clone(), sent));
        Vec::new()
    }
}

pub(super) struct Scene {
    pub(super) sms: Arc<Sms>,
    pub(super) engine: Arc<SqliteStore>,
    pub(super) writer: Writer,
    pub(super) clock: Clock,
    pub(super) time: &'static VirtualTime,
    pub(super) wire: Arc<Wire>,
    pub(super) records: Arc<Records>,
    pub(super) prometheus: prometheus::Registry,
    pub(super) sender: Arc<Sender>,
    pub(super) notices: Arc<Notices>,
    _dir: TempDir,
}

pub(super) fn africas_talking() -> Arc<dyn Provider> {
    Arc::new(AfricasTalking::new(account(), Api::Classic))
}

pub(super) fn twilio() -> Arc<dyn Provider> {
    Arc::new(Twilio::new(account()))
}

pub(super) fn account() -> Account {
    let key = Redacted("a-secret-key".to_owned());
    Account { username: "tapgives".into(), key, sender: Some("TapGives".into()) }
}

impl Scene {
    pub(super) async fn new(provider: Arc<dyn Provider>) -> Self {
        Self::at(provider, None).await
    }

    /// One whose provider is at another address than the wire's.
    pub(super) async fn at(provider: Arc<dyn Provider>, base_url: Option<String>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let options = SqliteOptions::new(dir.path().join("store.db"), 64 << 20);
        let engine = Arc::new(SqliteStore::open(options).await.unwrap());
        let store: Arc<dyn Store> = Arc::clone(&engine) as _;
        let (writer, task) = Writer::new(Arc::clone(&store), WriterOptions::default());
        tokio::spawn(task);
        let (clock, time) = Clock::virtual_at(now());
        let (prometheus, registry) = (prometheus::Registry::new(), Arc::<Registry>::default());
        let (lines, (wake, _)) = (Arc::<Lines>::default(), mpsc::channel(1));
        let known = Arc::clone(&registry);
        let desk = Desk::new(Arc::clone(&store), writer.clone(), known, lines, clock, wake);
        let pipeline = Arc::new(Pipeline::new(writer.clone(), registry, Arc::new(desk), clock));
        let counted = tasks::Metrics::new(&prometheus).unwrap();
        let batch_max = NonZeroUsize::new(provider.numbers_max().min(100));
        let sms = Sms::new(Parts {
            vault: Vault::new(&[7; 32]),
            tasks: Tasks::new(store, writer.clone(), clock, counted),
            metrics: Metrics::new(&prometheus).unwrap(),
            batch_max,
        });
        let records = Arc::<Records>::default();
        let observer: Arc<dyn SmsObserver> = Arc::clone(&records) as _;
        sms.set_observer(Arc::downgrade(&observer));
        let wire = Wire::open().await;
        let parts = SenderParts {
            store: Arc::clone(&engine) as _,
            pipeline: Arc::clone(&pipeline),
            writer: writer.clone(),
            sms: Arc::clone(&sms),
            provider: Arc::clone(&provider),
            outcall: Outcall::new(TIMEOUT, Arc::new(Anywhere), clock).unwrap(),
            clock,
        };
        let options = SenderOptions {
            base_url: base_url.unwrap_or_else(|| wire.url.clone()),
            timeout: TIMEOUT,
            send_within: Duration::from_secs(24 * 3600),
            batch_max: 100,
            notices: Some(Redacted("https://gw.example/sms/x/secret".to_owned())),
        };
        let sender = Sender::new(parts, options);
        let parts = NoticesParts {
            store: Arc::clone(&engine) as _,
            pipeline,
            writer: writer.clone(),
            sms: Arc::clone(&sms),
            provider,
            clock,
        };
        let notices = Notices::new(parts);
        Self {
            sms,
            engine,
            writer,
            clock,
            time,
            wire,
            records,
            prometheus,
            sender,
            notices,
            _dir: dir,
        }
    }

    pub(super) fn provider_does(&self, does: &[Does]) {
        *self.wire.does.lock() = does.to_vec();
    }

    /// Has texts asked for, as whoever caused them does.
    pub(super) async fn ask(&self, drafts: Vec<Draft>) {
        let operations = self.sms.queue(drafts, self.clock.now().wall);
        self.writer.transact(operations.clone()).await.unwrap();
        self.sms.committed(&operations);
    }

    pub(super) async fn task(&self, key: &str) -> TaskRow {
        let which = Which::Waiting { after: None };
        let rows = self.engine.tasks(&which, 1_000).await.unwrap();
        rows.into_iter().find(|row| *row.key == *key).expect("a task that waits")
    }

    /// Carries out the task of that key as the queue of tasks would, and says what came of it.
    pub(super) async fn carry_out(&self, key: &str) -> tasks::Outcome {
        self.sender.carry_out(&self.task(key).await).await
    }

    /// The same, not for the first time.
    pub(super) async fn carry_out_again(&self, key: &str) -> tasks::Outcome {
        let task = TaskRow { attempts: 1, ..self.task(key).await };
        assert_eq!(task.state, TaskState::Waiting);
        self.sender.carry_out(&task).await
    }

    pub(super) async fn batch(&self, key: &str) -> Vec<SmsRow> {
        self.engine.sms(SmsWhich::Batch(&Tenant::default(), key), 1_000).await.unwrap()
    }

    /// How the one text of that key stands, and why.
    pub(super) async fn state(&self, key: &str) -> (SmsState, Option<Box<str>>) {
        let row = self.batch(key).await.remove(0);
        (row.state, row.cause)
    }

    /// What the business was told, in order: the event's last word and the text's cause.
    pub(super) async fn told(&self) -> Vec<String> {
        let events = self.engine.events_after(Position::default(), 10_000, usize::MAX).await;
        let said = |event: StoredEvent| {
            let data: serde_json::Value = serde_json::from_str(event.data.as_str()).unwrap();
            let kind = event.kind.trim_start_matches("lastmile.sms.").to_owned();
            match data["cause"].as_str() {
                Some(cause) => format!("{kind}: {cause}"),
                None => kind,
            }
        };
        events.unwrap().into_iter().map(said).collect()
    }

    /// Has the provider tell that, unsigned.
    pub(super) async fn hear(&self, body: &str) -> Result<Heard, NotHeard> {
        let notified =
            Notified { url: "https://gw.example/", signature: None, body: body.as_bytes() };
        self.notices.hear(&notified, None).await
    }

    pub(super) fn counted(&self, metric: &str, outcome: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.prometheus.gather());
        let series = format!("{metric}{{outcome=\"{outcome}\"}} ");
        let text = text.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    pub(super) fn calls(&self) -> usize {
        self.wire.heard.lock().len()
    }
}

/// An answer of Africa's Talking's that has each of those numbers with that code.
pub(super) fn answer(codes: &[(&str, u32)]) -> Does {
    let recipient = |(number, code): &(&str, u32)| {
        let id = if *code < 200 { format!("ATXid_{}", &number[5..]) } else { "None".to_owned() };
        serde_json::json!({ "statusCode": code, "number": number, "messageId": id })
    };
    let recipients: Vec<_> = codes.iter().map(recipient).collect();
    let body = serde_json::json!({
        "SMSMessageData": { "Message": "Sent", "Recipients": recipients },
    });
    Does::Answers(201, body.to_string())
}
