//! A dialogue's words to ours: the events it makes. Never what was typed.

use crate::options::Service;
use model::{DeviceId, Event, EventType, Fact, Json, Now};
use serde::Serialize;

/// What `lastmile.ussd.started` says.
#[derive(Serialize)]
pub(crate) struct Started<'a> {
    pub(crate) service: &'a str,
    pub(crate) session: &'a str,
    pub(crate) service_code: &'a str,
    pub(crate) network: &'a str,
    /// The menu's revision.
    pub(crate) menu: &'a str,
}

/// What `lastmile.ussd.ended` says.
#[derive(Serialize)]
pub(crate) struct Ended<'a> {
    pub(crate) service: &'a str,
    pub(crate) session: &'a str,
    pub(crate) cause: &'static str,
    pub(crate) hops: u16,
    pub(crate) screens: Vec<&'a str>,
    pub(crate) duration_ms: u64,
    /// The menu's revision.
    pub(crate) menu: &'a str,
}

/// What `lastmile.ussd.requested` says.
#[derive(Serialize)]
pub(crate) struct Requested<'a> {
    pub(crate) service: &'a str,
    pub(crate) session: &'a str,
    pub(crate) operation: &'a str,
    pub(crate) key: &'a str,
}

/// The fact of that kind about a caller.
pub(crate) fn fact(
    service: &Service,
    device: &DeviceId,
    kind: EventType,
    data: &impl Serialize,
    now: Now,
) -> Fact {
    Fact::Event(Event {
        tenant: service.tenant.clone(),
        device: device.clone(),
        kind,
        time: now.wall,
        data: Json::of(data),
        facts: None,
    })
}
