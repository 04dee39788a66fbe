use super::*;

const POLICY: Policy = Policy {
    failures_max: 3,
    download_time: Duration::from_secs(3_600),
    apply_grace: Duration::from_secs(600),
};

/// The same chance each time: in the middle, no jitter.
struct Middle;

impl Random for Middle {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn next_u64(&mut self) -> u64 {
        250
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn says(version: &str) -> Report<'_> {
    Report { version, is_booting: false }
}

fn offered() -> Attempt {
    let mut attempt = Attempt::new(at(0));
    assert_eq!(attempt.offered(Some("1"), POLICY, at(0)), Some(1));
    attempt
}

/// As a board does that asks for its firmware by itself: the same machine, no command in sight.
#[test]
fn a_pull_goes_its_way() {
    let mut attempt = Attempt::new(at(0));
    assert!(attempt.is_ready(at(0)));
    assert!(!attempt.reported(says("1"), "2", POLICY, at(0), &mut Middle), "it has what it had");
    assert_eq!(attempt.offered(Some("1"), POLICY, at(1)), Some(1));
    assert_eq!(attempt.offered(Some("1"), POLICY, at(2)), None, "never twice at once");
    assert!(attempt.fetching(at(10)));
    assert!(!attempt.fetching(at(3_500)), "told twice");
    assert!(attempt.applied(POLICY, at(7_001)));
    assert!(!attempt.applied(POLICY, at(7_002)), "told twice");
    assert!(!attempt.is_ready(at(7_010)), "it may be restarting");
    assert!(!attempt.reported(says("1"), "2", POLICY, at(7_100), &mut Middle), "not restarted yet");
    assert!(attempt.reported(says("2"), "2", POLICY, at(7_200), &mut Middle));
    assert_eq!((attempt.stage, attempt.tries, attempt.failures), (Stage::Confirmed, 1, 0));
    assert!(attempt.is_settled() && !attempt.is_ready(at(1_000_000)));
}

#[test]
fn only_what_the_device_reports_confirms() {
    let mut attempt = offered();
    assert!(attempt.applied(POLICY, at(10)));
    assert_eq!(attempt.stage, Stage::Applied);
    assert!(attempt.expire(POLICY, at(610), &mut Middle));
    assert_eq!(attempt.stage, Stage::Failed);
    assert!(attempt.cause.as_deref().unwrap().contains("did not report the version in time"));
    // It was slow. What it says now counts more than that it said nothing.
    assert!(attempt.reported(says(" 2 "), "2", POLICY, at(700), &mut Middle));
    assert_eq!((attempt.stage, attempt.due_at), (Stage::Confirmed, None));
}

#[test]
fn a_wrong_version_is_a_failure() {
    for (report, cause) in [
        (says("1.9"), "it runs 1.9 after the download"),
        (Report { version: "1", is_booting: true }, "it restarted with the version that it had"),
    ] {
        let mut attempt = offered();
        attempt.applied(POLICY, at(10));
        assert!(attempt.reported(report, "2", POLICY, at(20), &mut Middle));
        assert_eq!((attempt.stage, attempt.cause.as_deref()), (Stage::Failed, Some(cause)));
    }
    let mut silent = offered();
    silent.fetching(at(1));
    assert!(silent.reported(says("1.9"), "2", POLICY, at(20), &mut Middle), "no word of its end");
    assert_eq!(silent.stage, Stage::Failed);
}

#[test]
fn a_forced_same_version_is_confirmed_once_it_was_taken_over() {
    let mut attempt = Attempt::new(at(0));
    attempt.offered(Some("2"), POLICY, at(0));
    assert!(!attempt.reported(says("2"), "2", POLICY, at(1), &mut Middle), "it ran it before");
    attempt.fetching(at(2));
    assert!(!attempt.reported(says("2"), "2", POLICY, at(3), &mut Middle));
    attempt.applied(POLICY, at(4));
    assert!(attempt.reported(says("2"), "2", POLICY, at(5), &mut Middle));
    assert_eq!(attempt.stage, Stage::Confirmed);
}

#[test]
fn a_failure_is_tried_again_after_its_pause_and_not_for_ever() {
    let mut attempt = Attempt::new(at(0));
    let mut now = at(0);
    for (failure, pause_s) in [(1, Some(600)), (2, Some(1_200)), (3, None)] {
        assert_eq!(attempt.offered(Some("1"), POLICY, now), Some(failure));
        assert!(attempt.failed("9010", POLICY, now, &mut Middle));
        assert!(!attempt.failed("9010", POLICY, now, &mut Middle), "told twice");
        assert!(!attempt.is_ready(now));
        let again = pause_s.map(|pause_s| now + SignedDuration::from_secs(pause_s));
        assert_eq!((attempt.not_before, attempt.due_at), (again, again), "{failure}");
        now = again.unwrap_or(now);
    }
    assert!(attempt.is_settled() && !attempt.is_ready(at(10_000_000)));
}

#[test]
fn who_does_not_come_is_woken_ever_more_seldom_and_for_ever() {
    let mut attempt = Attempt::new(at(0));
    let mut pauses = Vec::new();
    for _ in 0..9 {
        attempt.woken(at(0), &mut Middle);
        pauses.push(attempt.due_at.unwrap().duration_since(at(0)).as_secs() / 60);
        assert!(attempt.is_ready(at(0)), "one that comes by itself is served at once");
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 720, 720]);
    for _ in 0..u16::MAX {
        attempt.woken(at(0), &mut Middle);
    }
    assert_eq!(attempt.due_at, Some(at(43_200)));
    assert!(attempt.offered(None, POLICY, at(1)).is_some());
    assert_eq!(attempt.wakes, 0, "it begins anew after each try");
}

#[test]
fn the_pause_varies_by_a_quarter() {
    struct Chance(u64);
    impl Random for Chance {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }
    let pauses: Vec<_> = (0..=500).map(|it| pause(1, &mut Chance(it)).as_secs()).collect();
    assert_eq!((pauses.iter().min(), pauses.iter().max()), (Some(&450), Some(&750)));
}

#[test]
fn an_offer_is_taken_back_only_before_it_was_heard() {
    let mut attempt = offered();
    assert!(attempt.withdrawn("paused", at(5)));
    assert_eq!((attempt.stage, attempt.failures), (Stage::Waiting, 0));
    assert_eq!(attempt.offered(Some("1"), POLICY, at(6)), Some(2), "another try, another name");
    attempt.fetching(at(7));
    assert!(!attempt.withdrawn("paused", at(8)));
}
