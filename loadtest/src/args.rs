//! The command line.

mod mqtt;

pub(crate) use mqtt::{Boards, MqttConnects, MqttIdle, MqttQos1, MqttStuck, MqttWay};

use clap::{Args as Group, Parser, Subcommand};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

/// Loads a gateway with routers, boards and callers, and proves that nothing acknowledged was lost.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, about)]
pub(crate) struct Args {
    /// Worker threads; the number of cores by default.
    #[arg(long, global = true)]
    pub(crate) threads: Option<NonZeroU16>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Routers, boards and callers together, with a backend that compares.
    Mixed(Mixed),
    /// Steady CWMP sessions, as many as fit: connection, Inform, empty POST, 204.
    CwmpSteady(CwmpSteady),
    /// Steady sessions in each of which one GetParameterValues is made, as many as fit.
    ///
    /// What provokes the call is a `get_parameters` command for each router, which is queued through
    /// the API before the sessions are held and is not measured: the run goes in rounds, of which
    /// only the second half counts (queue a command for each; wait until the daemon rests; hold a
    /// session with each). The routers name no URL to be woken at. Needs --data-dir, for the
    /// operator's token.
    CwmpGet(CwmpGet),
    /// First contacts: each session is that of a router that was never met, whose data model is
    /// discovered.
    CwmpBootstrap(CwmpBootstrap),
    /// First contacts that end as the device's profile and the business's values say.
    ///
    /// The values are put into the daemon's own backend before it is measured, so it needs
    /// --data-dir, for the operator's token. The run is good when every router holds its own.
    CwmpProvision(CwmpProvision),
    /// Power comes back: all routers at once with `1 BOOT`.
    ///
    /// Each is served, or told to come back (503 or 429 with Retry-After) and does so then; one that
    /// is cut off tries again as TR-069 3.2.1.1 has it. The run is good when all were served and all
    /// they told has arrived. Each needs a socket here and one in the daemon: `ulimit -n` must be
    /// some 200 more than there are routers, in both; where ours is less, the rest begins as soon as
    /// the first are through, and the report says so.
    CwmpStorm(CwmpStorm),
    /// Boards in the field: they sleep, wake, report, and are gone, not always with a goodbye.
    ///
    /// The run is good when nothing acknowledged is lost. What was cut off is sent again under its
    /// packet identifier, with DUP, and may be there twice.
    Boards(Boards),
    /// Publishes, as many as fit; any MQTT server will do.
    MqttQos1(MqttQos1),
    /// Connections a second: CONNECT, CONNACK, DISCONNECT, closed. With --once, all boards after a
    /// restart.
    MqttConnects(MqttConnects),
    /// A program that stops reading what it subscribed to, and a board that reconnects without end,
    /// beside ordinary boards, whose times are the report.
    ///
    /// In the end the program reads on: the run is good when it and the backend got everything that
    /// was acknowledged.
    MqttStuck(MqttStuck),
    /// Idle MQTT connections, for their memory.
    MqttIdle(MqttIdle),
    /// Hops of USSD dialogues, as many as fit.
    UssdHops(UssdHops),
    /// USSD dialogues that are all open at once, for their memory.
    ///
    /// The run is good when the daemon counts as many more dialogues as were begun. On a service whose
    /// dialogues make no facts (`quiet` of `config`) nothing is remembered of the phones: else that is
    /// counted, too. Best on a daemon that is fresh.
    UssdHeld(UssdHeld),
    /// Durable facts at a fixed rate, with the time to their acknowledgement.
    Events(Events),
    /// A bare HTTP server, to hold against `ussd-hops`; it runs until it is stopped.
    BareHttp(BareHttp),
    /// M-Pesa's Daraja as a server, for a daemon that is tried by hand; it runs until it is stopped.
    ///
    /// It knows one merchant, by keys that mean nothing elsewhere, and tells at the start how the
    /// daemon is configured for it. Nobody is charged: phones pay by themselves after 5 to 40 seconds.
    Daraja(Daraja),
    /// Writes a matching configuration for the daemon to standard output, and the webhook's secret
    /// into the data directory.
    Config(Config),
}

/// What every scenario takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct Common {
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Longest wait for everyone to be connected and known before measuring.
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub(crate) warm_up: Duration,
    /// The daemon's process: its CPU time, memory and open files are reported.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// A file that holds the daemon's process id; read again when the process is gone, so that a
    /// restarted daemon is followed.
    #[arg(long)]
    pub(crate) pid_file: Option<PathBuf>,
    /// The daemon's data directory: `enrolment.secret`, `public/<service>.secret` and
    /// `loadtest.secret` are read there.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the daemon serves CWMP.
    #[arg(long)]
    pub(crate) cwmp: Option<SocketAddr>,
    /// Where it serves MQTT.
    #[arg(long, alias = "url")]
    pub(crate) mqtt: Option<SocketAddr>,
    /// Where it serves USSD aggregators.
    #[arg(long)]
    pub(crate) ussd: Option<SocketAddr>,
    /// The USSD service that callers dial.
    #[arg(long, default_value = "home")]
    pub(crate) service: String,
    /// Where it serves its operators.
    #[arg(long)]
    pub(crate) operator: Option<SocketAddr>,
    /// First of five ports on 127.0.0.1 that `config --ports-from` laid out: CWMP, MQTT, public,
    /// operator, backend.
    #[arg(long)]
    pub(crate) ports_from: Option<u16>,
    /// What the names of the simulated devices begin with: letters and digits. The same fleet is
    /// the same devices again.
    #[arg(long, default_value = "LT")]
    pub(crate) fleet: String,
    /// Writes the report here, too.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Writes each acknowledged fact here: subject, number and how often it was offered.
    #[arg(long)]
    pub(crate) ledger: Option<PathBuf>,
    /// Longest wait at the end for what is acknowledged and has not arrived.
    #[arg(long, value_parser = duration, default_value = "30s")]
    pub(crate) drain: Duration,
    /// The backend.
    #[command(flatten)]
    pub(crate) backend: Backend,
}

/// The business backend that this program plays.
#[derive(Clone, Debug, Group)]
pub(crate) struct Backend {
    /// Where it listens; `--ports-from` + 4, or 127.0.0.1:9090.
    #[arg(long)]
    pub(crate) backend_listen: Option<SocketAddr>,
    /// Play no backend: nothing is compared.
    #[arg(long)]
    pub(crate) no_backend: bool,
    /// The webhook's secret (`whsec_…`); `loadtest.secret` in the data directory by default.
    #[arg(long)]
    pub(crate) webhook_secret_file: Option<PathBuf>,
    /// How long it thinks before each answer.
    #[arg(long, value_parser = duration, default_value = "0s")]
    pub(crate) backend_stall: Duration,
    /// Share of batches that it answers 503 or 429 without keeping them.
    #[arg(long, value_parser = share, default_value = "0")]
    pub(crate) backend_fail: f64,
    /// Share of batches that it keeps and then cuts the connection, so that they come again.
    #[arg(long, value_parser = share, default_value = "0")]
    pub(crate) backend_cut: f64,
    /// Share of devices of which it refuses one event for good (422), so that it is parked.
    #[arg(long, value_parser = share, default_value = "0")]
    pub(crate) backend_poison: f64,
    /// Share of batches that it answers 204 and forgets: the run must then find what is lost. To
    /// see that the judge is awake.
    #[arg(long, value_parser = share, default_value = "0")]
    pub(crate) backend_forget: f64,
    /// A time without it, from when for how long: `10s+5s` answers 503 for 5 s after 10 s.
    #[arg(long, value_parser = outage)]
    pub(crate) backend_outage: Option<(Duration, Duration)>,
}

/// Flags of `mixed`.
#[derive(Debug, Group)]
pub(crate) struct Mixed {
    /// Routers and ONTs.
    #[arg(long, default_value_t = 1000)]
    pub(crate) cpes: u32,
    /// Boards.
    #[arg(long, default_value_t = 1000)]
    pub(crate) boards: u32,
    /// Callers.
    #[arg(long, default_value_t = 100)]
    pub(crate) callers: u32,
    /// Time between two sessions of one router.
    #[arg(long, value_parser = duration, default_value = "5s")]
    pub(crate) cpe_interval: Duration,
    /// Of how many sessions one brings a changed value, which is a fact; 0 is none.
    #[arg(long, default_value_t = 4)]
    pub(crate) change_every: u32,
    /// Time between two messages of one board.
    #[arg(long, value_parser = duration, default_value = "1s")]
    pub(crate) board_interval: Duration,
    /// Messages of one board that may wait for their PUBACK.
    #[arg(long, default_value_t = 10)]
    pub(crate) window: u16,
    /// Use the lean client instead of rumqttc for boards.
    #[arg(long)]
    pub(crate) lean_boards: bool,
    /// What a caller does between two keys.
    #[arg(long, value_parser = duration, default_value = "100ms")]
    pub(crate) think: Duration,
    /// Data models of the routers, in turn: files, or `router`, `ont`, `generated:N`, or one of the
    /// makes in `models/`: `tplink-xx230v`, …
    #[arg(long = "model", default_values = ["router", "ont"])]
    pub(crate) models: Vec<String>,
    /// Where the routers take connection requests; they answer on one port, each on its own path.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) wake_listen: SocketAddr,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `cwmp-steady`.
#[derive(Debug, Group)]
pub(crate) struct CwmpSteady {
    /// Routers that are known.
    #[arg(long, default_value_t = 1000)]
    pub(crate) cpes: u32,
    /// Data models of the routers, in turn, as in `mixed`.
    #[arg(long = "model", default_values = ["router", "ont"])]
    pub(crate) models: Vec<String>,
    /// Make them what their profile and the business's values say before it is measured. Needs
    /// --data-dir, for the operator's token.
    #[arg(long)]
    pub(crate) equipment: bool,
    /// Sessions at once.
    #[arg(long, default_value_t = 64)]
    pub(crate) parallel: u32,
    /// How the routers sign in.
    #[command(flatten)]
    pub(crate) sign_in: SignIn,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How routers sign in, in the scenarios of CWMP alone.
#[derive(Clone, Debug, Group)]
pub(crate) struct SignIn {
    /// Sign in by digest: `user:password`, or `enrol` for the secret in the data directory.
    #[arg(long)]
    pub(crate) digest: Option<String>,
    /// Connect with TLS; the certificate is not checked.
    #[arg(long)]
    pub(crate) tls: bool,
}

/// Flags of `cwmp-get`.
#[derive(Debug, Group)]
pub(crate) struct CwmpGet {
    /// Routers that are known; each has one session in each round.
    #[arg(long, default_value_t = 2000)]
    pub(crate) cpes: u32,
    /// Sessions at once.
    #[arg(long, default_value_t = 64)]
    pub(crate) parallel: u32,
    /// Parameters that each call reads, of those below `DeviceInfo.`; at most 8.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) names: u8,
    /// How the routers sign in.
    #[command(flatten)]
    pub(crate) sign_in: SignIn,
    /// Also those of every scenario. `--seconds` is of measured time.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `cwmp-bootstrap`.
#[derive(Debug, Group)]
pub(crate) struct CwmpBootstrap {
    /// Most first contacts; it ends with them or with `--seconds`, whichever is first.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) cpes: u32,
    /// Sessions at once.
    #[arg(long, default_value_t = 16)]
    pub(crate) parallel: u32,
    /// The data model that is discovered.
    #[arg(long, default_value = "generated:1000")]
    pub(crate) model: String,
    /// How the routers sign in.
    #[command(flatten)]
    pub(crate) sign_in: SignIn,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `cwmp-provision`.
#[derive(Debug, Group)]
pub(crate) struct CwmpProvision {
    /// Most first contacts; it ends with them or with `--seconds`, whichever is first.
    #[arg(long, default_value_t = 5000)]
    pub(crate) cpes: u32,
    /// Sessions at once.
    #[arg(long, default_value_t = 16)]
    pub(crate) parallel: u32,
    /// The make, one that a profile is for.
    #[arg(long, default_value = "tplink-xx230v")]
    pub(crate) model: String,
    /// How the routers sign in.
    #[command(flatten)]
    pub(crate) sign_in: SignIn,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `cwmp-storm`.
#[derive(Debug, Group)]
pub(crate) struct CwmpStorm {
    /// Routers.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) cpes: u32,
    /// First contacts at once, before the storm.
    #[arg(long, default_value_t = 64)]
    pub(crate) parallel: u32,
    /// Their data model; `small` has 20 parameters, so that many fit into this program.
    #[arg(long, default_value = "small")]
    pub(crate) model: String,
    /// Addresses that they call from: 127.0.0.1 and those after it. One has some 28,000 ports, and
    /// one that was used rests a minute.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=200))]
    pub(crate) addresses: u8,
    /// Longest wait until all are served.
    #[arg(long, value_parser = duration, default_value = "300s")]
    pub(crate) patience: Duration,
    /// How the routers sign in.
    #[command(flatten)]
    pub(crate) sign_in: SignIn,
    /// Also those of every scenario. `--seconds` does not matter: it ends when all are served.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `ussd-hops`.
#[derive(Debug, Group)]
pub(crate) struct UssdHops {
    /// Connections of the aggregator.
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: u32,
    /// Hops in a dialogue: the dial, the keys between, the end.
    #[arg(long, default_value_t = 8)]
    pub(crate) hops: u16,
    /// Numbers that each connection calls from in turn, for a daemon that limits them.
    #[arg(long, default_value_t = 1)]
    pub(crate) numbers: u32,
    /// Hops a second in all; as many as fit by default.
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Afterwards the same hops, as long, against a bare HTTP server, which is started for it: what a
    /// request costs there stands beside. Needs --pid.
    #[arg(long)]
    pub(crate) bare: bool,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `ussd-held`.
#[derive(Debug, Group)]
pub(crate) struct UssdHeld {
    /// Dialogues, each of a phone of its own.
    #[arg(long, default_value_t = 100_000)]
    pub(crate) dialogues: u32,
    /// Connections of the aggregator.
    #[arg(long, default_value_t = 32)]
    pub(crate) connections: u32,
    /// Keys that each presses after its dial.
    #[arg(long, default_value_t = 1)]
    pub(crate) keys: u16,
    /// Also those of every scenario. `--seconds` is how long they are held.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `daraja`.
#[derive(Debug, Group)]
pub(crate) struct Daraja {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8091")]
    pub(crate) listen: SocketAddr,
    /// Everything that was ever seen to go wrong does, often.
    #[arg(long)]
    pub(crate) hostile: bool,
    /// What chance is drawn from; the same seed is the same chance.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Flags of `events`.
#[derive(Debug, Group)]
pub(crate) struct Events {
    /// Facts a second in all.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) rate: u32,
    /// Percent of them that come by CWMP (an Inform with a changed value).
    #[arg(long, default_value_t = 5)]
    pub(crate) cwmp_percent: u32,
    /// Percent of them that come by USSD (a dial and an end are two).
    #[arg(long, default_value_t = 5)]
    pub(crate) ussd_percent: u32,
    /// Routers.
    #[arg(long, default_value_t = 500)]
    pub(crate) cpes: u32,
    /// Boards, on the lean client.
    #[arg(long, default_value_t = 1000)]
    pub(crate) boards: u32,
    /// Callers.
    #[arg(long, default_value_t = 100)]
    pub(crate) callers: u32,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `bare-http`.
#[derive(Debug, Group)]
pub(crate) struct BareHttp {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub(crate) listen: SocketAddr,
}

/// Flags of `config`.
#[derive(Debug, Group)]
pub(crate) struct Config {
    /// The daemon's data directory; made if it is not there.
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// First of five ports on 127.0.0.1: CWMP, MQTT, public, operator, backend.
    #[arg(long, default_value_t = 17_000)]
    pub(crate) ports_from: u16,
    /// Let devices in without credentials.
    #[arg(long)]
    pub(crate) open: bool,
    /// Serve CWMP and MQTT with TLS too, on a certificate of its own, at `ports-from` + 5 and + 6.
    #[arg(long)]
    pub(crate) tls: bool,
}

/// Ports after `--ports-from`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Port {
    Cwmp = 0,
    Mqtt = 1,
    Public = 2,
    Operator = 3,
    Backend = 4,
    CwmpTls = 5,
    MqttTls = 6,
}

impl Port {
    /// That port on this machine.
    pub(crate) fn after(self, first: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), first.saturating_add(self as u16))
    }
}

/// Reads `500ms`, `30s`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms);
    let number = number.parse::<u64>().ok();
    number
        .zip(scale)
        .and_then(|(number, scale)| number.checked_mul(scale))
        .map(Duration::from_millis)
        .ok_or_else(|| String::from("a duration is a number and ms, s, m or h"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| String::from("a share is between 0 and 1"))
}

fn outage(text: &str) -> Result<(Duration, Duration), String> {
    let (after, long) = text.split_once('+').ok_or("an outage is written as 10s+5s")?;
    Ok((duration(after)?, duration(long)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_shares_and_outages() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("2").is_err() && duration("s").is_err() && duration("-1s").is_err());
        assert!(duration("99999999999999999999s").is_err());
        assert!(share("1.1").is_err() && share("NaN").is_err());
        assert_eq!(outage("10s+5s"), Ok((Duration::from_secs(10), Duration::from_secs(5))));
    }

    #[test]
    fn the_issues_command_is_understood() {
        let line = "loadtest mixed --cpes 1000 --boards 1000 --callers 100 --seconds 30 --pid 7";
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        let Scenario::Mixed(mixed) = args.scenario else { panic!("another scenario") };
        assert_eq!((mixed.cpes, mixed.common.seconds, mixed.common.pid), (1000, 30, Some(7)));
    }
}
