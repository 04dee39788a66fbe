//! CWMP from outside: what devices send, what they hear, and what the driver is told.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]
#![allow(missing_docs, reason = "tests are their own documentation")]

mod calls;
mod codec;
mod roundtrip;
mod samples;
mod session;
mod stun;
mod tolerance;
mod transcripts;
mod translate;

use lastmile_cwmp as cwmp;
use model::{Monotonic, Now};

/// A fixed instant: 2026-01-01T00:00:00Z.
fn now() -> Now {
    let wall = "2026-01-01T00:00:00Z".parse().unwrap();
    Now { monotonic: Monotonic::from_nanos(1_000_000_000), wall }
}

fn decode(body: &str) -> Result<cwmp::Message, cwmp::DecodeError> {
    cwmp::decode(None, body.as_bytes(), &cwmp::Options::default())
}

/// An envelope as many devices write it.
fn envelope(body: &str) -> String {
    format!(
        "<SOAP-ENV:Envelope xmlns:SOAP-ENV=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:cwmp=\"urn:dslforum-org:cwmp-1-2\"><SOAP-ENV:Header><cwmp:ID \
         SOAP-ENV:mustUnderstand=\"1\">42</cwmp:ID></SOAP-ENV:Header><SOAP-ENV:Body>{body}\
         </SOAP-ENV:Body></SOAP-ENV:Envelope>"
    )
}

/// An Inform with those event codes and parameters.
fn inform(codes: &[&str], parameters: &[(&str, &str)]) -> cwmp::Inform {
    let event = |code: &&str| cwmp::EventStruct { code: (*code).into(), command_key: "".into() };
    let parameter =
        |(name, value): &(&str, &str)| cwmp::Parameter::new(name, value, cwmp::XsdType::String);
    cwmp::Inform {
        device: cwmp::DeviceIdStruct {
            manufacturer: "Maker".into(),
            oui: "00D09E".into(),
            product_class: "Router".into(),
            serial: "S1".into(),
        },
        events: codes.iter().map(event).collect(),
        max_envelopes: 1,
        current_time: "2026-01-01T00:00:00Z".into(),
        retry_count: 0,
        parameters: parameters.iter().map(parameter).collect(),
    }
}

/// A command that was delivered and has not ended.
fn outstanding(id: &str, kind: &str) -> model::Command {
    let at = now().wall;
    model::Command {
        id: model::CommandId::new(id).unwrap(),
        tenant: model::Tenant::default(),
        device: model::DeviceId::cwmp("00D09E", "Router", "S1").unwrap(),
        kind: serde_json::from_str(kind).unwrap(),
        state: model::CommandState::Delivered,
        cause: None,
        result: None,
        created_at: at,
        updated_at: at,
        expires_at: None,
        actor: "test".into(),
        retry: None,
        attempts: 1,
        retry_at: None,
    }
}

fn message(body: cwmp::Body) -> cwmp::Message {
    cwmp::Message::new(Some("7".into()), cwmp::Namespace::default(), body)
}

fn informing(inform: cwmp::Inform) -> cwmp::Message {
    message(cwmp::Body::Inform(Box::new(inform)))
}
