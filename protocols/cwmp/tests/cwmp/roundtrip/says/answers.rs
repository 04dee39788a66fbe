//! Answers of either side.

use super::{file_bytes, name, parameters, strings, word};
use crate::cwmp::{Attributes, OptionStruct, ParameterInfo, QueuedTransfer, Response};
use proptest::prelude::*;

pub(super) fn response() -> impl Strategy<Value = Response> {
    prop_oneof![lists(), small(), bare()]
}

fn lists() -> impl Strategy<Value = Response> {
    let info =
        (name(), any::<bool>()).prop_map(|(name, writable)| ParameterInfo { name, writable });
    let attributes =
        (name(), any::<u8>(), strings()).prop_map(|(name, notification, access_list)| Attributes {
            name,
            notification,
            access_list,
        });
    let transfers = prop::collection::vec(queued(), 0..3);
    prop_oneof![
        strings().prop_map(|methods| Response::GetRpcMethods { methods }),
        parameters().prop_map(|parameters| Response::GetParameterValues { parameters }),
        prop::collection::vec(info, 0..4)
            .prop_map(|parameters| Response::GetParameterNames { parameters }),
        prop::collection::vec(attributes, 0..3)
            .prop_map(|attributes| Response::GetParameterAttributes { attributes }),
        prop::collection::vec((word(), any::<u8>()), 0..3).prop_map(|transfers| {
            let queued = |(command_key, state)| QueuedTransfer {
                command_key,
                state,
                ..QueuedTransfer::default()
            };
            Response::GetQueuedTransfers { transfers: transfers.into_iter().map(queued).collect() }
        }),
        transfers.prop_map(|transfers| Response::GetAllQueuedTransfers { transfers }),
        prop::collection::vec(option(), 0..3).prop_map(|options| Response::GetOptions { options }),
    ]
}

fn queued() -> impl Strategy<Value = QueuedTransfer> {
    let file = (any::<Option<bool>>(), word(), file_bytes(), word());
    (word(), any::<u8>(), file).prop_map(|(command_key, state, file)| {
        let (is_download, file_type, file_bytes, target_file_name) = file;
        QueuedTransfer { command_key, state, is_download, file_type, file_bytes, target_file_name }
    })
}

fn option() -> impl Strategy<Value = OptionStruct> {
    (name(), word(), any::<(u8, u8, bool)>(), word(), word()).prop_map(
        |(name, voucher_serial, flags, start_date, expiration_date)| {
            let (state, mode, is_transferable) = flags;
            OptionStruct {
                name,
                voucher_serial,
                state,
                mode,
                start_date,
                expiration_date,
                is_transferable,
            }
        },
    )
}

fn small() -> impl Strategy<Value = Response> {
    prop_oneof![
        any::<u32>().prop_map(|status| Response::SetParameterValues { status }),
        any::<(u32, u32)>().prop_map(|(instance, status)| Response::AddObject { instance, status }),
        any::<u32>().prop_map(|status| Response::DeleteObject { status }),
        any::<u32>().prop_map(|status| Response::Download { status }),
        any::<u32>().prop_map(|status| Response::Upload { status }),
        word().prop_map(|next_url| Response::Kicked { next_url }),
    ]
}

fn bare() -> impl Strategy<Value = Response> {
    prop::sample::select(vec![
        Response::Reboot,
        Response::FactoryReset,
        Response::SetParameterAttributes,
        Response::ScheduleDownload,
        Response::CancelTransfer,
        Response::ScheduleInform,
        Response::ChangeDuState,
        Response::SetVouchers,
        Response::DuStateChangeComplete,
        Response::AutonomousDuStateChangeComplete,
        Response::Inform,
        Response::TransferComplete,
        Response::AutonomousTransferComplete,
        Response::RequestDownload,
        Response::Other,
    ])
}
