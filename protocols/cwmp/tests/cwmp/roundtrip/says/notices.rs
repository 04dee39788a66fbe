//! What a device tells of its own accord.

use super::{file_bytes, name, parameters, word};
use crate::cwmp::{
    Body, DeviceIdStruct, DuResult, DuStateChange, EventStruct, Fault, FileTypeArg, Inform, Kicked,
    ParameterFault, RequestDownload, TransferComplete,
};
use proptest::prelude::*;

pub(super) fn notice() -> impl Strategy<Value = Body> {
    prop_oneof![
        inform(),
        transfer().prop_map(|it| Body::TransferComplete(Box::new(it))),
        autonomous_transfer().prop_map(|it| Body::AutonomousTransferComplete(Box::new(it))),
        kicked().prop_map(|it| Body::Kicked(Box::new(it))),
        request_download().prop_map(|it| Body::RequestDownload(Box::new(it))),
        state_change().prop_map(|it| Body::DuStateChangeComplete(Box::new(it))),
        autonomous_state_change()
            .prop_map(|it| Body::AutonomousDuStateChangeComplete(Box::new(it))),
        fault().prop_map(|it| Body::Fault(Box::new(it))),
    ]
}

fn inform() -> impl Strategy<Value = Body> {
    let device =
        (word(), word(), word(), word()).prop_map(|(manufacturer, oui, product_class, serial)| {
            DeviceIdStruct { manufacturer, oui, product_class, serial }
        });
    let event = (word(), word())
        .prop_filter("an event has a code", |(code, _)| !code.is_empty())
        .prop_map(|(code, command_key)| EventStruct { code, command_key });
    let events = prop::collection::vec(event, 0..4);
    (device, events, any::<u32>(), word(), any::<u32>(), parameters()).prop_map(
        |(device, events, max_envelopes, current_time, retry_count, parameters)| {
            Body::Inform(Box::new(Inform {
                device,
                events,
                max_envelopes,
                current_time,
                retry_count,
                parameters,
            }))
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let part = (name(), any::<u16>(), word()).prop_map(|(name, code, text)| ParameterFault {
        name,
        code,
        text,
    });
    (1..u16::MAX, word(), prop::collection::vec(part, 0..3))
        .prop_map(|(code, text, parameters)| Fault { code, text, parameters })
}

fn outcome() -> impl Strategy<Value = Option<Box<Fault>>> {
    let alone = fault().prop_map(|fault| Box::new(Fault { parameters: Vec::new(), ..fault }));
    prop::option::of(alone)
}

fn transfer() -> impl Strategy<Value = TransferComplete> {
    (word(), outcome(), word(), word()).prop_map(
        |(command_key, fault, start_time, complete_time)| TransferComplete {
            command_key,
            fault,
            start_time,
            complete_time,
            ..TransferComplete::default()
        },
    )
}

fn autonomous_transfer() -> impl Strategy<Value = TransferComplete> {
    let file = (word(), word(), any::<bool>(), word(), file_bytes(), word());
    (transfer(), file).prop_map(|(end, file)| {
        let (announce_url, transfer_url, is_download, file_type, file_bytes, target_file_name) =
            file;
        TransferComplete {
            command_key: "".into(),
            announce_url,
            transfer_url,
            is_download,
            file_type,
            file_bytes,
            target_file_name,
            ..end
        }
    })
}

fn kicked() -> impl Strategy<Value = Kicked> {
    (word(), word(), word(), word()).prop_map(|(command, referer, arg, next)| Kicked {
        command,
        referer,
        arg,
        next,
    })
}

fn request_download() -> impl Strategy<Value = RequestDownload> {
    let arg = (name(), word()).prop_map(|(name, value)| FileTypeArg { name, value });
    (word(), prop::collection::vec(arg, 0..3))
        .prop_map(|(file_type, args)| RequestDownload { file_type, args })
}

fn du_result(operation: impl Strategy<Value = Box<str>>) -> impl Strategy<Value = DuResult> {
    let unit = (word(), word(), word(), word(), any::<bool>());
    let units = prop::collection::vec(name(), 0..3);
    (unit, units, word(), word(), outcome(), operation).prop_map(
        |(unit, execution_units, start_time, complete_time, fault, operation)| {
            let (uuid, deployment_unit, version, state, resolved) = unit;
            DuResult {
                uuid,
                deployment_unit,
                version,
                state,
                resolved,
                execution_units,
                start_time,
                complete_time,
                fault,
                operation,
            }
        },
    )
}

fn state_change() -> impl Strategy<Value = DuStateChange> {
    (prop::collection::vec(du_result(Just("".into())), 0..3), word())
        .prop_map(|(results, command_key)| DuStateChange { results, command_key })
}

fn autonomous_state_change() -> impl Strategy<Value = DuStateChange> {
    prop::collection::vec(du_result(word()), 0..3)
        .prop_map(|results| DuStateChange { results, ..DuStateChange::default() })
}
