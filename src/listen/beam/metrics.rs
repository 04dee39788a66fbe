//! What an operator sees of Beam.

use crate::metrics::Maker;
use prometheus::{IntCounterVec, Registry};

/// The way a message comes by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// `POST /beam`.
    Http,
    /// A line of a connection.
    Tcp,
    /// A datagram.
    Udp,
}

impl Way {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Every metric of Beam, declared once.
#[derive(Clone, Debug)]
pub struct Metrics {
    messages: IntCounterVec,
}

impl Metrics {
    /// Declares them in `registry`.
    ///
    /// # Errors
    ///
    /// When one of that name is there.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let messages = Maker(registry).counters(
            "lastmile_beam_messages_total",
            "Messages through SORACOM Beam, by way and by what became of them.",
            &["way", "outcome"],
        )?;
        Ok(Self { messages })
    }

    pub(super) fn count(&self, way: Way, outcome: &str) {
        self.messages.with_label_values(&[way.as_str(), outcome]).inc();
    }
}
