//! Eclipse Mosquitto: the operator's broker, and a consumer.

use crate::daemon::{free_port, until};
use crate::http::PATIENCE;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What a test of it needs.
pub(crate) const PROGRAMS: &[&str] = &["mosquitto", "mosquitto_sub", "stdbuf"];

/// A broker that keeps its sessions on disk. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    dir: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// Starts one with more lines in its configuration.
    pub(crate) fn start(more: impl FnOnce(&Path) -> String) -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut text = format!("listener {port} 127.0.0.1\npersistence true\n");
        // As root it would become somebody else, who may not write here.
        writeln!(text, "persistence_location {}/\nuser root", dir.path().display()).unwrap();
        // What nobody reads for a while waits: by default 1,000 do.
        text += "max_queued_messages 0\n";
        text += &more(dir.path());
        fs::write(dir.path().join("mosquitto.conf"), text).unwrap();
        let mut broker = Self { dir, port, child: None };
        broker.start_again();
        broker
    }

    /// Starts it on the same port and files.
    pub(crate) fn start_again(&mut self) {
        let log = File::create(self.dir.path().join("log")).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        let is_up = until(PATIENCE, || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        assert!(is_up, "{}", fs::read_to_string(self.dir.path().join("log")).unwrap());
    }

    /// Stops it in good order: its sessions are on disk.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let kill = format!("kill -TERM {}", child.id());
        assert!(Command::new("/bin/sh").arg("-c").arg(kill).status().unwrap().success());
        child.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A consumer that writes a line for each message: its topic, a space, its payload. It comes back by
/// itself when its broker was away.
#[derive(Debug)]
pub(crate) struct Listener {
    child: Child,
    out: PathBuf,
    _dir: TempDir,
}

impl Listener {
    /// Starts one with these arguments for `mosquitto_sub`, and waits until the broker has it.
    pub(crate) fn start(port: u16, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (out, log) = (dir.path().join("out"), dir.path().join("log"));
        // Line by line: what it tells of its own doings would stay in its buffer.
        let child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub"])
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-d", "-F", "%t %p"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn();
        let listener = Self { child: child.unwrap(), out, _dir: dir };
        let subscribed = until(PATIENCE, || listener.text().contains("received SUBACK"));
        assert!(subscribed, "{}", listener.text());
        listener
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Topic and payload of everything it got.
    pub(crate) fn messages(&self) -> Vec<(String, serde_json::Value)> {
        let text = self.text();
        // The line at the end may not be whole; what tells of its own doings is no JSON.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let message = |line: &str| {
            let (topic, payload) = line.split_once(' ')?;
            Some((topic.to_owned(), serde_json::from_str(payload).ok()?))
        };
        whole.lines().filter_map(message).collect()
    }

    /// Waits until `is_so` of what it got; what that is then.
    pub(crate) fn wait(
        &self,
        what: &str,
        mut is_so: impl FnMut(&[(String, serde_json::Value)]) -> bool,
    ) -> Vec<(String, serde_json::Value)> {
        let came = until(PATIENCE, || is_so(&self.messages()));
        assert!(came, "never came: {what}; {} messages did", self.messages().len());
        self.messages()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
