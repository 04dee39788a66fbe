//! The daemon as a child process: started, asked, killed, started again on the same files.

use crate::backend::Backend;
use crate::http::{self, Answer};
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest start and longest stop that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a child process is asked whether it has come further.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Starts on other ports when these turn out to be taken.
const STARTS_MAX: usize = 5;

/// The listeners' ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) cwmp: u16,
    pub(crate) mqtt: u16,
    pub(crate) public: u16,
    pub(crate) operator: u16,
}

/// Tables of the configuration beside the ports: table, then its keys.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon {
    dir: TempDir,
    pub(crate) ports: Ports,
    child: Option<Child>,
}

impl Daemon {
    /// Starts one with `settings` that delivers to `backend`, and waits until it is ready.
    pub(crate) fn start(backend: Option<&Backend>, settings: Settings<'_>) -> Self {
        for _ in 1..STARTS_MAX {
            match Self::try_start(backend, settings) {
                Ok(daemon) => return daemon,
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("the daemon did not start:\n{log}"),
            }
        }
        panic!("no free ports");
    }

    fn try_start(backend: Option<&Backend>, settings: Settings<'_>) -> Result<Self, String> {
        let daemon = Self::prepare(backend, settings);
        daemon.spawn_and_wait()
    }

    /// Writes the configuration and starts nothing yet.
    pub(crate) fn prepare(backend: Option<&Backend>, settings: Settings<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let daemon = Self { dir, ports, child: None };
        if let Some(backend) = backend {
            fs::write(daemon.path("sink.secret"), backend.secret()).unwrap();
        }
        fs::write(daemon.config(), daemon.configuration(backend, settings)).unwrap();
        daemon
    }

    fn spawn_and_wait(mut self) -> Result<Self, String> {
        self.spawn();
        if self.is_ready_within(PATIENCE) { Ok(self) } else { Err(self.log()) }
    }

    fn configuration(&self, backend: Option<&Backend>, settings: Settings<'_>) -> String {
        let Ports { cwmp, mqtt, public, operator } = self.ports;
        let mut text = String::from("node = \"test\"\n");
        let mut tables: Vec<(&str, String)> = vec![
            ("cwmp", format!("listen = \"127.0.0.1:{cwmp}\"\n")),
            ("mqtt", format!("listen = \"127.0.0.1:{mqtt}\"\n")),
            ("public", format!("listen = \"127.0.0.1:{public}\"\n")),
            ("operator", format!("listen = \"127.0.0.1:{operator}\"\n")),
            // The tests' CPEs are on this machine.
            ("cwmp.connection_request", "networks = [\"127.0.0.0/8\"]\n".to_owned()),
        ];
        // A test that dials in a loop is no hurried person; one may set the rate itself.
        if !settings.iter().any(|(_, keys)| keys.contains("rate_per_number")) {
            tables.push(("ussd", "rate_per_number = 100000\n".to_owned()));
        }
        if let Some(backend) = backend {
            let secret = self.path("sink.secret");
            let sink = format!(
                "name = \"test\"\nurl = \"{}\"\nsecret_file = \"{}\"\nretry_min = \"20ms\"\n\
                 retry_max = \"200ms\"\ntimeout = \"5s\"\n",
                backend.url(),
                secret.display()
            );
            tables.push(("[sink]", sink));
        }
        for (table, keys) in settings {
            match tables.iter_mut().find(|(name, _)| name == table) {
                _ if table.is_empty() => writeln!(text, "{keys}").unwrap(),
                Some((_, text)) => writeln!(text, "{keys}").unwrap(),
                None => tables.push((table, format!("{keys}\n"))),
            }
        }
        for (table, keys) in tables {
            writeln!(text, "\n[{table}]\n{keys}").unwrap();
        }
        text
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn spawn(&mut self) {
        self.spawn_with(&[]);
    }

    /// The same, with more in its environment.
    pub(crate) fn spawn_with(&mut self, environment: &[(&str, &OsStr)]) {
        assert!(self.child.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command("serve");
        command.envs(environment.iter().copied());
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.child = Some(child.unwrap());
    }

    /// A command of the binary with this daemon's configuration and data.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = binary();
        command.arg(name).arg("--config").arg(self.config());
        command.arg("--data-dir").arg(self.data()).stdin(Stdio::null());
        command
    }

    /// Waits until it takes work.
    pub(crate) fn is_ready_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && self.exit_status().is_none() {
            let answer = http::once(self.ports.operator, "GET", "/readyz", &[], b"");
            if answer.is_ok_and(|answer| answer.status == 200) {
                return true;
            }
            thread::sleep(LOOK_EVERY);
        }
        false
    }

    /// Starts it again after its end, on the same files and ports.
    pub(crate) fn start_again(&mut self) {
        self.spawn();
        assert!(self.is_ready_within(PATIENCE), "it did not start again:\n{}", self.log());
    }

    /// SIGKILL: no last word.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        let sent = Command::new("/bin/sh").arg("-c").arg(kill).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) fn wait_within(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.exit_status() {
                self.child = None;
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Most memory it has held so far, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The memory that it holds now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// All it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until the log says `text`.
    pub(crate) fn logs_within(&self, text: &str, patience: Duration) -> bool {
        until(patience, || self.log().contains(text))
    }

    /// A file beside its data.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("lastmile.toml")
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The operator's token of the first start.
    pub(crate) fn token(&self) -> String {
        self.secret("operator.token")
    }

    /// What devices sign in with first.
    pub(crate) fn enrolment(&self) -> String {
        self.secret("enrolment.secret")
    }

    /// The secret in the URL of the service `home`.
    pub(crate) fn home(&self) -> String {
        self.secret("public/home.secret")
    }

    fn secret(&self, name: &str) -> String {
        read_trimmed(&self.data().join(name))
    }

    /// A call of the REST API with the operator's token.
    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.api_as(&self.token(), method, path, body)
    }

    /// A call of the REST API with some token.
    pub(crate) fn api_as(&self, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("Authorization", bearer.as_str())];
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        if !bytes.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        http::once(self.ports.operator, method, path, &headers, &bytes).unwrap()
    }

    /// A call of the REST API that must answer 2xx; its body.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.api(method, path, body);
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    /// The metrics as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        let answer = http::once(self.ports.operator, "GET", "/metrics", &[], b"").unwrap();
        assert_eq!(answer.status, 200);
        answer.text()
    }

    /// The sum of all series of a metric whose line has every one of `labels` in it.
    pub(crate) fn counted(&self, metric: &str, labels: &[&str]) -> f64 {
        let metrics = self.metrics();
        let named = metrics.lines().filter(|line| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        named.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("--- the daemon's last words ---\n{last}\n---");
        }
    }
}

/// The binary under test.
pub(crate) fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lastmile"))
}

/// Asks again and again until it is so, or `patience` is over.
pub(crate) fn until(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn read_trimmed(file: &Path) -> String {
    let text = fs::read_to_string(file);
    text.unwrap_or_else(|error| panic!("{}: {error}", file.display())).trim().to_owned()
}

fn free_ports() -> Ports {
    Ports { cwmp: free_port(), mqtt: free_port(), public: free_port(), operator: free_port() }
}

/// A port that nobody listens on, below those that the system gives to clients: while the daemon
/// is down between two starts, no client can be given its port.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 22_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).unwrap();
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// Makes a file of that content, for tests of what is wrong.
pub(crate) fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let mut open = File::options().write(true).open(file).unwrap();
    open.seek(SeekFrom::Start(at)).unwrap();
    open.write_all(bytes).unwrap();
}
