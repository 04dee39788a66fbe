//! The aggregators as a service has them, and what each sends.

use lastmile_ussd::aggregator::{self, ConEndFields, ServiceCode};
use lastmile_ussd::{Aggregator, Call, EndReport, Inbound, Keyed, Turn, TurnError};
use std::sync::Arc;

pub(crate) const CODE: &str = "*384*1#";
pub(crate) const ALICE: &str = "+254711000001";

/// Advanta's names, and the network as others of the family add it.
pub(crate) fn advanta() -> ConEndFields {
    let [session, number, code, text] = ["SESSIONID", "MSISDN", "USSDCODE", "INPUT"].map(Box::from);
    ConEndFields { session, number, code, text, network: Some("NETWORK".into()) }
}

/// The aggregator of that name, for a service that is dialled by [`CODE`].
pub(crate) fn speaker(name: &str) -> Arc<dyn Aggregator> {
    aggregator::make(name, Some(&advanta()), ServiceCode::new(CODE).as_ref()).unwrap()
}

pub(crate) fn all() -> impl Iterator<Item = Arc<dyn Aggregator>> {
    aggregator::NAMES.iter().map(|name| speaker(name))
}

/// A dialogue of [`ALICE`]'s, as her network has it.
pub(crate) fn keyed<'a>(typed: &'a [&'a str], hop: u32) -> Keyed<'a> {
    let (session, number, service_code, network) = ("9f-1", ALICE, CODE, "63902");
    Keyed { session, number, service_code, network, typed, hop }
}

pub(crate) fn decode(speaker: &dyn Aggregator, call: &Call) -> Result<Inbound, TurnError> {
    let headers: Vec<(&str, &str)> =
        call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let request = call.request(&headers);
    if call.path == "end" {
        return speaker.decode_end(&request).map(Inbound::End);
    }
    speaker.decode(&request)
}

pub(crate) fn turn(speaker: &dyn Aggregator, call: &Call) -> Turn {
    match decode(speaker, call) {
        Ok(Inbound::Turn(turn)) => turn,
        other => panic!("{}: {other:?}", speaker.name()),
    }
}

pub(crate) fn end(speaker: &dyn Aggregator, call: &Call) -> EndReport {
    match decode(speaker, call) {
        Ok(Inbound::End(report)) => report,
        other => panic!("{}: {other:?}", speaker.name()),
    }
}
