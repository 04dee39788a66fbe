//! What everyone in a run shares.

use crate::args::{Common, Port};
use crate::ledger::Ledger;
use crate::meter::Meter;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{fs, io};
use tokio_util::sync::CancellationToken;

/// What everyone in a run shares.
#[derive(Debug)]
pub(crate) struct World {
    /// What was acknowledged.
    pub(crate) ledger: Ledger,
    /// What it took.
    pub(crate) meter: Meter,
    /// Where the daemon is.
    pub(crate) targets: Targets,
    /// What opens it.
    pub(crate) secrets: Secrets,
    /// Ends the load: nobody begins anything new.
    pub(crate) stop: CancellationToken,
    /// The same, for those who look often: asking a token takes a lock that all share.
    is_over: AtomicBool,
    /// How many clients are through their beginning: connected, or known.
    ready: AtomicU32,
}

impl World {
    /// A world in which nothing has happened.
    pub(crate) fn new(common: &Common, ledger: Ledger) -> Arc<Self> {
        Arc::new(Self {
            ledger,
            meter: Meter::new(),
            targets: Targets::of(common),
            secrets: Secrets::read(common.data_dir.as_deref()),
            stop: CancellationToken::new(),
            is_over: AtomicBool::new(false),
            ready: AtomicU32::new(0),
        })
    }

    /// Ends the load.
    pub(crate) fn end_load(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.stop.cancel();
    }

    /// Whether the load has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// A world for the test of one client.
    #[cfg(test)]
    pub(crate) fn bare(ledger: Ledger) -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let meter = Meter::new();
        meter.measure(true);
        Self {
            ledger,
            meter,
            targets: Targets {
                cwmp: nowhere,
                cwmp_tls: nowhere,
                mqtt: nowhere,
                mqtt_tls: nowhere,
                ussd: nowhere,
                operator: nowhere,
                backend: nowhere,
            },
            secrets: Secrets::default(),
            stop: CancellationToken::new(),
            is_over: AtomicBool::new(false),
            ready: AtomicU32::new(0),
        }
    }

    /// One more client is through its beginning.
    pub(crate) fn is_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are.
    pub(crate) fn ready(&self) -> u32 {
        self.ready.load(Ordering::Relaxed)
    }
}

/// Where the daemon is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    pub(crate) cwmp: SocketAddr,
    pub(crate) cwmp_tls: SocketAddr,
    pub(crate) mqtt: SocketAddr,
    pub(crate) mqtt_tls: SocketAddr,
    pub(crate) ussd: SocketAddr,
    pub(crate) operator: SocketAddr,
    /// Where we listen ourselves.
    pub(crate) backend: SocketAddr,
}

impl Targets {
    fn of(common: &Common) -> Self {
        let at = |given: Option<SocketAddr>, port: Port, default: u16| {
            let usual = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), default);
            given.or_else(|| common.ports_from.map(|first| port.after(first))).unwrap_or(usual)
        };
        Self {
            cwmp: at(common.cwmp, Port::Cwmp, 7547),
            cwmp_tls: at(common.cwmp, Port::CwmpTls, 7548),
            mqtt: at(common.mqtt, Port::Mqtt, 1883),
            mqtt_tls: at(common.mqtt, Port::MqttTls, 8883),
            ussd: at(common.ussd, Port::Public, 8080),
            operator: at(common.operator, Port::Operator, 8081),
            backend: at(common.backend.backend_listen, Port::Backend, 9090),
        }
    }
}

/// What opens the daemon. Never printed.
#[derive(Default)]
pub(crate) struct Secrets {
    /// Of devices without credentials of their own.
    pub(crate) enrolment: Option<String>,
    /// Where the last part of each service's URL lies.
    data_dir: Option<PathBuf>,
    /// The operator's token.
    pub(crate) operator: Option<String>,
}

impl Secrets {
    fn read(data_dir: Option<&Path>) -> Self {
        let Some(dir) = data_dir else { return Self::default() };
        let line = |name: &str| read_line(&dir.join(name)).ok();
        Self {
            enrolment: line("enrolment.secret"),
            data_dir: Some(dir.to_owned()),
            operator: line("operator.token"),
        }
    }

    /// The path that a service's aggregator calls.
    pub(crate) fn ussd_path(&self, service: &str) -> String {
        let file = self.data_dir.as_ref().map(|dir| dir.join(format!("public/{service}.secret")));
        let secret = file.and_then(|file| read_line(&file).ok());
        format!("/ussd/{service}/{}", secret.as_deref().unwrap_or("none"))
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// A file's text without its line's end.
pub(crate) fn read_line(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}
