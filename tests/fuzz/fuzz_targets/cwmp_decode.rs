//! Any bytes under any `Content-Type`.

#![no_main]

use cwmp::{Body, Options, Request, Response};
use libfuzzer_sys::fuzz_target;

const CONTENT_TYPES: [Option<&str>; 6] = [
    None,
    Some("text/xml"),
    Some("text/xml; charset=utf-8"),
    Some("text/xml; charset=\"ISO-8859-1\""),
    Some("text/xml;charset=utf-16"),
    Some("text/xml; charset=klingon"),
];

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (choice, body) = input;
    let content_type = CONTENT_TYPES[usize::from(choice) % CONTENT_TYPES.len()];
    let _ = cwmp::decode(content_type, &body, &Options::default());

    let tight = Options {
        body_bytes_max: 8192,
        depth_max: 8,
        elements_max: 64,
        parameters_max: 4,
        events_max: 2,
        ..Options::default()
    };
    let Ok(message) = cwmp::decode(content_type, &body, &tight) else { return };
    assert!(body.len() <= tight.body_bytes_max);
    assert!(message.id.is_none_or(|id| id.len() <= 256));
    let len = match message.body {
        Body::Inform(it) => {
            assert!(it.events.len() <= tight.events_max);
            it.parameters.len()
        }
        Body::Fault(it) => it.parameters.len(),
        Body::RequestDownload(it) => it.args.len(),
        Body::DuStateChangeComplete(it) | Body::AutonomousDuStateChangeComplete(it) => {
            let units = it.results.iter().map(|it| it.execution_units.len()).max();
            it.results.len().max(units.unwrap_or(0))
        }
        Body::Request(it) => match *it {
            Request::GetParameterValues { names } | Request::GetParameterAttributes { names } => {
                names.len()
            }
            Request::SetParameterValues { parameters, .. } => parameters.len(),
            Request::SetParameterAttributes { attributes } => attributes.len(),
            Request::ScheduleDownload(it) => it.windows.len(),
            Request::ChangeDuState { operations, .. } => operations.len(),
            Request::SetVouchers { vouchers } => vouchers.len(),
            _ => 0,
        },
        Body::Response(it) => match *it {
            Response::GetRpcMethods { methods } => methods.len(),
            Response::GetParameterValues { parameters } => parameters.len(),
            Response::GetParameterNames { parameters } => parameters.len(),
            Response::GetParameterAttributes { attributes } => attributes.len(),
            Response::GetQueuedTransfers { transfers }
            | Response::GetAllQueuedTransfers { transfers } => transfers.len(),
            Response::GetOptions { options } => options.len(),
            _ => 0,
        },
        Body::Unknown { name } => {
            assert!(name.len() <= 64);
            0
        }
        Body::Empty
        | Body::TransferComplete(_)
        | Body::AutonomousTransferComplete(_)
        | Body::Kicked(_)
        | Body::GetRpcMethods => 0,
    };
    assert!(len <= tight.parameters_max);
});
