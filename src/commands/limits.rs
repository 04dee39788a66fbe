//! What commands are bounded by.

use config::Config;

/// Bounds of the desk and of what boards are sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Most open commands of one device.
    pub open_per_device_max: usize,
    /// Most open commands in all.
    pub open_max: usize,
    /// Most times that a command is sent.
    pub attempts_max: u32,
    /// Longest packet that a board is sent, in bytes: a message must fit with its topic and all that
    /// stands beside it.
    pub packet_len_max: usize,
    /// Longest topic, in bytes.
    pub topic_len_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::from(&Config::default())
    }
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        let Config { commands, mqtt, .. } = config;
        Self {
            open_per_device_max: commands.open_per_device_max.as_usize(),
            open_max: commands.open_max.as_usize(),
            attempts_max: commands.attempts_max.get(),
            packet_len_max: mqtt.packet_max.as_usize(),
            topic_len_max: mqtt.topic_bytes_max.as_usize(),
        }
    }
}
