//! What is logged, and from which weight on: changeable while the daemon runs.

use config::{LogFormat, LogLevel};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

/// Changes the level of the running log.
#[derive(Debug)]
pub struct Logging(Handle<EnvFilter, Registry>);

impl Logging {
    /// Begins to log to standard error. Once for a process; a second call keeps the first log.
    #[must_use]
    pub fn start(level: LogLevel, format: LogFormat) -> Self {
        let (filter, handle) = reload::Layer::new(filter(level));
        let registry = tracing_subscriber::registry().with(filter);
        let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
        let begun = match format {
            LogFormat::Text => registry.with(layer).try_init(),
            LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        };
        // In tests many daemons live in one process, and log together.
        let _ = begun;
        Self(handle)
    }

    /// Changes the level.
    pub fn set_level(&self, level: LogLevel) {
        let _ = self.0.reload(filter(level));
    }
}

/// Ours from `level` on; everybody else's never below `info`, since what they tell there is theirs
/// to choose, headers and bodies included. The broker inside tells of every connection and of what
/// came over it: it is heard through what we say of it alone.
fn filter(level: LogLevel) -> EnvFilter {
    let (level, others) = match level {
        LogLevel::Error => ("error", "error"),
        LogLevel::Warn => ("warn", "warn"),
        LogLevel::Info => ("info", "info"),
        LogLevel::Debug => ("debug", "info"),
        LogLevel::Trace => ("trace", "info"),
    };
    EnvFilter::new(format!("{others},rumqttd=off,lastmile={level}"))
}
