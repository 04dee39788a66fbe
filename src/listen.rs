//! Listeners: they own the sockets, and carry bytes and the time to the protocols.

mod accept;
pub mod cwmp;
pub mod http;
pub mod mqtt;
pub(crate) mod proxy;
pub mod tls;

pub(crate) use accept::{Connection, Port, Stream, accept};

use std::time::Duration;

/// How long a connection may go on once the daemon stops: enough to answer what is being answered.
/// Who takes longer holds nothing that is not on disk or on his own side.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(2);
