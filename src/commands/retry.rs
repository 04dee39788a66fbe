//! Whether a command that failed, or that a board has and does not answer, is sent again, and when.

use jiff::{SignedDuration, Timestamp};
use model::{Command, CommandChange, CommandKind, CommandState};
use std::time::Duration;

/// Longest pause between two tries, and longest first pause.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(86_400);
/// Shortest first pause: the device is woken for each try.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);

/// What becomes of a command by `change`, where the command says that it may be sent again and
/// neither its `attempts_max` tries nor its time are over: a failure that may pass puts it back into
/// the queue, to be sent after a pause that doubles with each try; one that a board has and is to
/// answer is given as long for the answer.
pub(super) fn settled(
    command: &Command,
    change: CommandChange,
    attempts_max: u32,
    now: Timestamp,
) -> CommandChange {
    let Some(first) = command.retry else { return change };
    if change.state == CommandState::Delivered && awaits_answer(&command.kind) {
        let next = at(first, command.attempts, now).filter(|_| command.attempts < attempts_max);
        let in_time = |at: &Timestamp| command.expires_at.is_none_or(|end| *at < end);
        return match next.filter(in_time) {
            Some(at) => change.not_before(at),
            None => change,
        };
    }
    if change.state != CommandState::Failed || !change.may_pass {
        return change;
    }
    if command.attempts >= attempts_max {
        let cause = change.cause.as_deref().unwrap_or("failed");
        let cause = format!("{cause}; given up after {attempts_max} tries");
        return change.because(cause);
    }
    match at(first, command.attempts, now) {
        Some(at) if command.expires_at.is_none_or(|end| at < end) => {
            let again = CommandChange { result: None, ..change };
            CommandChange { state: CommandState::Queued, ..again }.not_before(at)
        }
        Some(_) | None => {
            let cause = change.cause.as_deref().unwrap_or("failed");
            let cause = format!("{cause}; it expires before another try");
            change.because(cause)
        }
    }
}

/// Whether a command ends with a board's answer.
pub(super) const fn awaits_answer(kind: &CommandKind) -> bool {
    matches!(kind, CommandKind::Publish { answer: true, .. })
}

/// When the next try is after `attempts` of them.
fn at(first: Duration, attempts: u32, now: Timestamp) -> Option<Timestamp> {
    let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = first.saturating_mul(doubled).clamp(PAUSE_MIN, PAUSE_MAX);
    now.checked_add(SignedDuration::try_from(pause).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CommandId, DeviceId, Json, Tenant};

    const NOW: i64 = 1_000_000;
    const ATTEMPTS_MAX: u32 = 10;

    fn settled(command: &Command, change: CommandChange, now: Timestamp) -> CommandChange {
        super::settled(command, change, ATTEMPTS_MAX, now)
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn command(retry: Option<u64>, attempts: u32) -> Command {
        Command {
            id: CommandId::new("A1").unwrap(),
            tenant: Tenant::default(),
            device: DeviceId::cwmp("00259E", "X", "1").unwrap(),
            kind: CommandKind::Reboot,
            state: CommandState::Sent,
            cause: None,
            result: None,
            created_at: time(NOW),
            updated_at: time(NOW),
            expires_at: Some(time(NOW + 7 * 86_400)),
            actor: "op".into(),
            retry: retry.map(Duration::from_secs),
            attempts,
            retry_at: None,
        }
    }

    fn failed() -> CommandChange {
        let failed = CommandChange::new(CommandId::new("A1").unwrap(), CommandState::Failed);
        failed.because("9002: internal error").with_result(Some(Json::empty_object())).passing()
    }

    #[test]
    fn the_pause_doubles_up_to_a_day() {
        for (first, attempts, pause) in [
            (300, 1, 300),
            (300, 2, 600),
            (300, 4, 2_400),
            (300, 9, 76_800),
            (43_200, 2, 86_400),
            (43_200, 9, 86_400),
            (86_400, 1, 86_400),
        ] {
            let change = settled(&command(Some(first), attempts), failed(), time(NOW));
            assert_eq!(change.state, CommandState::Queued);
            assert_eq!(change.retry_at, Some(time(NOW + pause)), "{first} after {attempts}");
            assert_eq!(change.cause.as_deref(), Some("9002: internal error"));
            assert!(change.result.is_none(), "a later try's result must not stand beside this one");
        }
    }

    #[test]
    fn tries_and_time_come_to_an_end() {
        let change = settled(&command(Some(1), ATTEMPTS_MAX), failed(), time(NOW));
        assert_eq!((change.state, change.retry_at), (CommandState::Failed, None));
        assert!(change.cause.unwrap().ends_with("given up after 10 tries"));
        let late = time(NOW + 7 * 86_400 - 10);
        assert_eq!(settled(&command(Some(9), 1), failed(), late).state, CommandState::Queued);
        let change = settled(&command(Some(10), 1), failed(), late);
        assert_eq!(change.state, CommandState::Failed);
        assert!(change.cause.unwrap().ends_with("it expires before another try"));
    }

    #[test]
    fn only_what_may_pass_and_was_asked_for_is_tried_again() {
        let change = settled(&command(None, 1), failed(), time(NOW));
        assert_eq!(change.state, CommandState::Failed);
        let lasting = CommandChange { may_pass: false, ..failed() };
        assert_eq!(settled(&command(Some(1), 1), lasting, time(NOW)).state, CommandState::Failed);
        let expired = CommandChange { state: CommandState::Expired, ..failed() };
        assert_eq!(settled(&command(Some(1), 1), expired, time(NOW)).state, CommandState::Expired);
    }

    #[test]
    fn who_has_it_is_given_as_long_to_answer() {
        let delivered =
            || CommandChange::new(CommandId::new("A1").unwrap(), CommandState::Delivered);
        let publish = |answer: bool| {
            let text = format!(r#"{{"kind":"publish","topic":"a","payload":1,"answer":{answer}}}"#);
            serde_json::from_str::<CommandKind>(&text).unwrap()
        };
        let asks = |retry: Option<u64>, attempts: u32| Command {
            kind: publish(true),
            ..command(retry, attempts)
        };
        let now = time(NOW);
        let waits = |it: &Command, now| {
            let change = settled(it, delivered(), now);
            assert_eq!(change.state, CommandState::Delivered);
            change.retry_at
        };
        assert_eq!(waits(&asks(Some(300), 1), now), Some(time(NOW + 300)));
        assert_eq!(waits(&asks(Some(300), 2), now), Some(time(NOW + 600)));
        assert_eq!(waits(&asks(Some(1), ATTEMPTS_MAX), now), None, "it was sent often enough");
        assert_eq!(waits(&asks(None, 1), now), None);
        let late = time(NOW + 7 * 86_400 - 10);
        assert_eq!(waits(&asks(Some(9), 1), late), Some(time(NOW + 7 * 86_400 - 1)));
        assert_eq!(waits(&asks(Some(10), 1), late), None, "it expires before");
        let mute = Command { kind: publish(false), ..asks(Some(300), 1) };
        assert_eq!(waits(&mute, now), None);
    }
}
