//! Calls of ours.

use super::{file_bytes, name, parameters, strings, word};
use crate::cwmp::{
    Download, DuOperation, FileAddress, Request, ScheduleDownload, SetAttributes, Upload,
};
use model::{Redacted, TimeWindow};
use proptest::prelude::*;

/// [`Request::GetRpcMethods`] is not among them: it is read as the call of either side.
pub(super) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![data_model(), files(), other()]
}

fn data_model() -> impl Strategy<Value = Request> {
    let attribute = (name(), any::<Option<u8>>(), prop::option::of(strings())).prop_map(
        |(name, notification, access_list)| SetAttributes { name, notification, access_list },
    );
    prop_oneof![
        strings().prop_map(|names| Request::GetParameterValues { names }),
        (parameters(), word()).prop_map(|(parameters, parameter_key)| {
            Request::SetParameterValues { parameters, parameter_key }
        }),
        (name(), any::<bool>())
            .prop_map(|(path, next_level)| Request::GetParameterNames { path, next_level }),
        strings().prop_map(|names| Request::GetParameterAttributes { names }),
        prop::collection::vec(attribute, 0..3)
            .prop_map(|attributes| Request::SetParameterAttributes { attributes }),
        (name(), word())
            .prop_map(|(object, parameter_key)| Request::AddObject { object, parameter_key }),
        (name(), word())
            .prop_map(|(object, parameter_key)| Request::DeleteObject { object, parameter_key }),
    ]
}

fn address() -> impl Strategy<Value = FileAddress> {
    (word(), word(), word()).prop_map(|(url, username, password)| FileAddress {
        url: Redacted(url),
        username: Redacted(username),
        password: Redacted(password),
    })
}

fn download() -> impl Strategy<Value = Download> {
    (word(), word(), address(), file_bytes(), word(), any::<u32>()).prop_map(
        |(command_key, file_type, address, file_bytes, target_file_name, delay_s)| Download {
            command_key,
            file_type,
            address,
            file_bytes,
            target_file_name,
            delay_s,
        },
    )
}

fn window() -> impl Strategy<Value = TimeWindow> {
    (any::<u32>(), any::<u32>(), word(), word(), any::<i32>()).prop_map(
        |(start_s, end_s, mode, user_message, retries_max)| TimeWindow {
            start_s,
            end_s,
            mode: mode.into(),
            user_message: user_message.into(),
            retries_max,
        },
    )
}

fn files() -> impl Strategy<Value = Request> {
    let upload = download().prop_map(|it| Upload {
        command_key: it.command_key,
        file_type: it.file_type,
        address: it.address,
        delay_s: it.delay_s,
    });
    let windows = prop::collection::vec(window(), 0..3);
    let schedule = (download(), windows).prop_map(|(it, windows)| ScheduleDownload {
        command_key: it.command_key,
        file_type: it.file_type,
        address: it.address,
        file_bytes: it.file_bytes,
        target_file_name: it.target_file_name,
        windows,
    });
    prop_oneof![
        download().prop_map(|it| Request::Download(Box::new(it))),
        upload.prop_map(|it| Request::Upload(Box::new(it))),
        schedule.prop_map(|it| Request::ScheduleDownload(Box::new(it))),
        word().prop_map(|command_key| Request::CancelTransfer { command_key }),
        Just(Request::GetQueuedTransfers),
        Just(Request::GetAllQueuedTransfers),
    ]
}

fn operation() -> impl Strategy<Value = DuOperation> {
    prop_oneof![
        (address(), word(), word()).prop_map(|(address, uuid, environment)| {
            DuOperation::Install { address, uuid, environment }
        }),
        (word(), word(), address()).prop_map(|(uuid, version, address)| DuOperation::Update {
            uuid,
            version,
            address
        }),
        (word(), word(), word()).prop_map(|(uuid, version, environment)| {
            DuOperation::Uninstall { uuid, version, environment }
        }),
    ]
}

fn other() -> impl Strategy<Value = Request> {
    prop_oneof![
        word().prop_map(|command_key| Request::Reboot { command_key }),
        Just(Request::FactoryReset),
        (any::<u32>(), word())
            .prop_map(|(delay_s, command_key)| Request::ScheduleInform { delay_s, command_key }),
        (prop::collection::vec(operation(), 0..4), word()).prop_map(|(operations, command_key)| {
            Request::ChangeDuState { operations, command_key }
        }),
        word().prop_map(|option| Request::GetOptions { option }),
        strings().prop_map(|vouchers| Request::SetVouchers {
            vouchers: vouchers.into_iter().map(Redacted).collect()
        }),
    ]
}
