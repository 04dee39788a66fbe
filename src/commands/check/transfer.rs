//! Files, software modules, and what happens later.

use super::{Checked, NewCommand, PATH, demand, is_path};
use crate::commands::EXPIRES_DEFAULT;
use firmware::ImageName;
use model::{CommandKind, DeploymentOperation, TimeWindow};
use std::time::Duration;

/// Longest delay: a week, as long as a command waits by default.
const DELAY_MAX_S: u32 = 7 * 86_400;
/// Latest end of a window.
const WINDOW_END_MAX_S: u32 = 30 * 86_400;
/// Most windows (TR-069 A.4.1.8).
const WINDOWS_MAX: usize = 2;
/// What may be said of a window (TR-069 A.4.1.8).
const WINDOW_MODES: [&str; 4] =
    ["1 At Any Time", "2 Immediately", "3 When Idle", "4 Confirmation Needed"];
/// Longest text shown to a user, in bytes (TR-069 A.4.1.8: string(256)).
const MESSAGE_LEN_MAX: usize = 256;
/// Most operations on software modules in one command (TR-069 A.4.1.11 asks a CPE for 16).
const OPERATIONS_MAX: usize = 16;
/// Longest version of a software module, in bytes (TR-069 A.4.1.11: string(32)).
const VERSION_LEN_MAX: usize = 32;

/// Checks what lets a device fetch, send or call later. Its end must lie before the command's own:
/// what became of it would not be heard.
pub(super) fn check(request: &NewCommand) -> Checked {
    let expires = request.expires.unwrap_or(EXPIRES_DEFAULT);
    let in_time = |end_s: u32| {
        let fits = Duration::from_secs(end_s.into()) < expires;
        demand(fits, "the command expires before that: give it a longer `expires`")
    };
    match &request.kind {
        CommandKind::Download { image, delay_s } => {
            is_image(image)?;
            delay(*delay_s)?;
            in_time(*delay_s)
        }
        CommandKind::ScheduleDownload { image, windows } => {
            is_image(image)?;
            fit(windows)?;
            in_time(windows.last().map_or(0, |window| window.end_s))
        }
        CommandKind::Upload { file_type, delay_s } => {
            let told = "`file_type` is one of TR-069's: `1 Vendor Configuration File`, `2 Vendor Log \
                        File`, `3 Vendor Configuration File <i>`, `4 Vendor Log File <i>`, or `X …`";
            demand(is_upload(file_type), told)?;
            delay(*delay_s)?;
            in_time(*delay_s)
        }
        CommandKind::ScheduleInform { delay_s } => {
            demand(*delay_s > 0, "`delay_s` is at least 1")?;
            delay(*delay_s)
        }
        CommandKind::ChangeDuState { operations } => {
            let fits = (1..=OPERATIONS_MAX).contains(&operations.len());
            demand(fits, "1 to 16 operations may be named")?;
            operations.iter().try_for_each(operation)
        }
        _ => Ok(()),
    }
}

fn delay(delay_s: u32) -> Checked {
    demand(delay_s <= DELAY_MAX_S, "`delay_s` is at most a week")
}

fn is_image(image: &str) -> Checked {
    demand(ImageName::new(image).is_ok(), IMAGE)
}

const IMAGE: &str =
    "an image's name is 1 to 64 letters, digits, `.`, `-` and `_`, first a letter or digit";

fn fit(windows: &[TimeWindow]) -> Checked {
    demand((1..=WINDOWS_MAX).contains(&windows.len()), "1 or 2 windows may be given")?;
    let is_ordered = windows.iter().all(|it| it.start_s < it.end_s)
        && windows.is_sorted_by(|earlier, later| earlier.end_s <= later.start_s);
    demand(is_ordered, "a window starts before it ends, and the second after the first")?;
    let is_near = windows.iter().all(|it| it.end_s <= WINDOW_END_MAX_S);
    demand(is_near, "a window ends within 30 days")?;
    let is_known = windows.iter().all(|it| WINDOW_MODES.contains(&it.mode.as_str()));
    let modes = "a window's `mode` is `1 At Any Time`, `2 Immediately`, `3 When Idle` or \
                 `4 Confirmation Needed`";
    demand(is_known, modes)?;
    let fits = |it: &TimeWindow| {
        it.user_message.len() <= MESSAGE_LEN_MAX && !it.user_message.contains(char::is_control)
    };
    demand(windows.iter().all(fits), "a `user_message` is at most 256 bytes")?;
    demand(windows.iter().all(|it| it.retries_max >= -1), "`retries_max` is -1 or more")
}

/// TR-069 A.4.1.5: two without and two with an instance, and a vendor's own.
fn is_upload(file_type: &str) -> bool {
    let is_instance = |rest: &str| rest.parse::<u32>().is_ok_and(|it| it > 0);
    let is_numbered = |kind| file_type.strip_prefix(kind).is_some_and(is_instance);
    let is_vendors = file_type
        .strip_prefix("X ")
        .is_some_and(|rest| (1..=62).contains(&rest.len()) && !rest.contains(char::is_control));
    matches!(file_type, "1 Vendor Configuration File" | "2 Vendor Log File")
        || is_numbered("3 Vendor Configuration File ")
        || is_numbered("4 Vendor Log File ")
        || is_vendors
}

fn operation(operation: &DeploymentOperation) -> Checked {
    let (image, uuid, version, environment) = match operation {
        DeploymentOperation::Install { image, uuid, environment } => {
            (Some(image), uuid, "", environment.as_str())
        }
        DeploymentOperation::Update { image, uuid, version } => {
            (Some(image), uuid, version.as_str(), "")
        }
        DeploymentOperation::Uninstall { uuid, version, environment } => {
            demand(!uuid.is_empty(), "what is uninstalled has a `uuid`")?;
            (None, uuid, version.as_str(), environment.as_str())
        }
    };
    image.map_or(Ok(()), |image| is_image(image))?;
    demand(uuid.is_empty() || is_uuid(uuid), "a `uuid` is one of RFC 4122")?;
    let fits = version.len() <= VERSION_LEN_MAX && !version.contains(char::is_control);
    demand(fits, "a `version` is at most 32 bytes")?;
    demand(environment.is_empty() || is_path(environment), PATH)
}

/// `8-4-4-4-12` hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let is_dash = |index| matches!(index, 8 | 13 | 18 | 23);
    let mut bytes = text.bytes().enumerate();
    text.len() == 36
        && bytes.all(
            |(index, byte)| {
                if is_dash(index) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            },
        )
}
