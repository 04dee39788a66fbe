//! Flags of the scenarios of MQTT alone.

use super::{Common, duration, share};
use crate::board::Version;
use clap::Args as Group;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How boards connect.
#[derive(Clone, Debug, Group)]
pub(crate) struct MqttWay {
    /// User name; `enrol` by default where there is a data directory, else none.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Password; the enrolment secret by default where there is a data directory.
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Connect with TLS, at `--mqtt` or `--ports-from` + 6; the certificate is not checked.
    #[arg(long)]
    pub(crate) tls: bool,
    /// 3 (MQTT 3.1), 4 (3.1.1) or 5 (5.0); 4 by default, and `boards` takes 4 and 5 in turn.
    #[arg(long, value_parser = version)]
    pub(crate) mqtt_version: Option<Version>,
}

/// Flags of `boards`.
#[derive(Debug, Group)]
pub(crate) struct Boards {
    /// Boards.
    #[arg(long, default_value_t = 1000)]
    pub(crate) boards: u32,
    /// Time from one waking to the next.
    #[arg(long, value_parser = duration, default_value = "10s")]
    pub(crate) sleep: Duration,
    /// How long a board listens after its last PUBACK.
    #[arg(long, value_parser = duration, default_value = "2s")]
    pub(crate) listen: Duration,
    /// Messages of one waking: the first is a report on `customer_mngt`, the others are telemetry.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) messages: u16,
    /// What they report as `STATUS`.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=4))]
    pub(crate) status: u8,
    /// Share of wakings that end before a PUBACK is read, anywhere in what is said, by a reset or
    /// with the connection left open.
    #[arg(long, value_parser = share, default_value = "0.1")]
    pub(crate) cut: f64,
    /// Share of the others that end so, instead of with a DISCONNECT.
    #[arg(long, value_parser = share, default_value = "0.2")]
    pub(crate) vanish: f64,
    /// Have them ask for firmware at each waking, and fetch what they are told of in pieces of so many
    /// bytes.
    #[arg(long, value_name = "BYTES", value_parser = piece)]
    pub(crate) ask_firmware: Option<usize>,
    /// Share of boards with a slow link.
    #[arg(long, value_parser = share, default_value = "0.1")]
    pub(crate) slow: f64,
    /// Bytes that a slow link takes at once.
    #[arg(long, default_value_t = 16)]
    pub(crate) slow_bytes: usize,
    /// How long a slow link takes for them.
    #[arg(long, value_parser = duration, default_value = "100ms")]
    pub(crate) slow_pause: Duration,
    /// How they connect.
    #[command(flatten)]
    pub(crate) way: MqttWay,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `mqtt-qos1`.
#[derive(Debug, Group)]
pub(crate) struct MqttQos1 {
    /// Connections.
    #[arg(long, default_value_t = 1000)]
    pub(crate) boards: u32,
    /// Boards that are known but idle: connected once before measuring.
    #[arg(long, default_value_t = 0)]
    pub(crate) registered: u32,
    /// Quality of service: 0 counts what the socket took, 1 what had its PUBACK, 2 its PUBCOMP.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// Messages of one board that may wait for their acknowledgement; at QoS 0, that go at once.
    #[arg(long, default_value_t = 10)]
    pub(crate) window: u16,
    /// Bytes of a message.
    #[arg(long, default_value_t = 200)]
    pub(crate) payload: usize,
    /// Sessions that outlive their connections, for an hour: at QoS 2 nothing may then be made
    /// twice.
    #[arg(long)]
    pub(crate) persistent: bool,
    /// Use rumqttc instead of the lean client: QoS 1 in 3.1.1 without TLS.
    #[arg(long, conflicts_with_all = ["qos", "tls", "mqtt_version", "persistent"])]
    pub(crate) rumqttc: bool,
    /// How they connect.
    #[command(flatten)]
    pub(crate) way: MqttWay,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `mqtt-idle`.
#[derive(Debug, Group)]
pub(crate) struct MqttIdle {
    /// Connections.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) boards: u32,
    /// Addresses that they call from: 127.0.0.1 and those after it. One has some 28,000 ports.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=200))]
    pub(crate) addresses: u8,
    /// How they connect.
    #[command(flatten)]
    pub(crate) way: MqttWay,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `mqtt-connects`.
#[derive(Debug, Group)]
pub(crate) struct MqttConnects {
    /// Boards, which take turns.
    #[arg(long, default_value_t = 1000)]
    pub(crate) boards: u32,
    /// Connections at once.
    #[arg(long, default_value_t = 64)]
    pub(crate) parallel: u32,
    /// Addresses that they call from: 127.0.0.1 and those after it. One has some 28,000 ports.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=200))]
    pub(crate) addresses: u8,
    /// All boards at once and each once: it publishes a fact at QoS 1, and is done when that is
    /// acknowledged. First each is met, with a fact too. As many at a time as `ulimit -n` lets open,
    /// some 200 less; the rest follows as soon as the first are through, and the report says so.
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: after all are met, wait until --pid-file names another process.
    #[arg(long, requires = "once")]
    pub(crate) await_restart: bool,
    /// With --once: longest wait until all are through, and for the restart.
    #[arg(long, value_parser = duration, default_value = "300s")]
    pub(crate) patience: Duration,
    /// How they connect.
    #[command(flatten)]
    pub(crate) way: MqttWay,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags of `mqtt-stuck`.
#[derive(Debug, Group)]
pub(crate) struct MqttStuck {
    /// Ordinary boards.
    #[arg(long, default_value_t = 200)]
    pub(crate) boards: u32,
    /// Time between two messages of one of them.
    #[arg(long, value_parser = duration, default_value = "100ms")]
    pub(crate) board_interval: Duration,
    /// Bytes of a message.
    #[arg(long, default_value_t = 1000)]
    pub(crate) payload: usize,
    /// How often one more board reconnects in a minute; 0 leaves it out.
    #[arg(long, default_value_t = 1000)]
    pub(crate) reconnects: u32,
    /// What the program subscribes to.
    #[arg(long, default_value = "boards/+/up/#")]
    pub(crate) filter: String,
    /// The program's connection, where it is not the boards' server without TLS.
    #[arg(long)]
    pub(crate) program_at: Option<SocketAddr>,
    /// The program's token; one is made through the API by default, where there is a data directory.
    #[arg(long)]
    pub(crate) program_token_file: Option<PathBuf>,
    /// Let the program read all the time, for the times without one that is stuck.
    #[arg(long)]
    pub(crate) reads: bool,
    /// How they connect.
    #[command(flatten)]
    pub(crate) way: MqttWay,
    /// Also those of every scenario.
    #[command(flatten)]
    pub(crate) common: Common,
}

fn piece(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|it| (1..=1 << 20).contains(it));
    bytes.ok_or_else(|| String::from("a piece has 1 to 1048576 bytes"))
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "3" => Ok(Version::V3),
        "4" => Ok(Version::V4),
        "5" => Ok(Version::V5),
        _ => Err(String::from("a version is 3, 4 or 5")),
    }
}
