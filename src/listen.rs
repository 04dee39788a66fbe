//! Listeners: they own the sockets, and carry bytes and the time to the protocols.

mod accept;
mod addresses;
pub mod beam;
pub mod cwmp;
pub mod http;
mod http1;
pub mod mqtt;
pub(crate) mod proxy;
pub mod stun;
pub mod tls;
mod websocket;

pub(crate) use accept::{Connection, Port, Stream, accept};
pub(crate) use addresses::Addresses;
pub(crate) use websocket::Upgrade;
