use super::*;
use proptest::prelude::*;

const TORONTO: &str = "America/Toronto";

fn at(text: &str) -> Timestamp {
    let time: jiff::civil::DateTime = text.parse().unwrap();
    TimeZone::get(TORONTO).unwrap().to_timestamp(time).unwrap()
}

fn night() -> Window {
    Window::new(&["sat", "sun"], "02:00", "05:00", TORONTO).unwrap()
}

#[test]
fn it_opens_on_its_days() {
    let night = night();
    // 2026-01-24 is a Saturday.
    for (time, is_open) in [
        ("2026-01-24T01:59:59", false),
        ("2026-01-24T02:00:00", true),
        ("2026-01-24T04:59:59", true),
        ("2026-01-24T05:00:00", false),
        ("2026-01-25T03:00:00", true),
        ("2026-01-26T03:00:00", false),
    ] {
        assert_eq!(night.is_open(at(time)), is_open, "{time}");
    }
    assert_eq!(night.opens_at(at("2026-01-26T03:00:00")), at("2026-01-31T02:00:00"));
    assert_eq!(night.opens_at(at("2026-01-24T03:00:00")), at("2026-01-24T03:00:00"), "now");
    assert_eq!(night.closes_at(at("2026-01-24T03:00:00")), Some(at("2026-01-24T05:00:00")));
    assert_eq!(night.closes_at(at("2026-01-24T05:00:00")), None);
}

#[test]
fn it_lasts_over_midnight_of_the_day_on_which_it_opened() {
    let it = Window::new(&["fri"], "22:30", "04:00", TORONTO).unwrap();
    for (time, is_open) in [
        ("2026-01-23T22:29:00", false),
        ("2026-01-23T22:30:00", true),
        ("2026-01-24T03:59:00", true),
        ("2026-01-24T04:00:00", false),
        ("2026-01-24T23:00:00", false),
        ("2026-01-23T01:00:00", false),
    ] {
        assert_eq!(it.is_open(at(time)), is_open, "{time}");
    }
    let whole = Window::new(&["mon"], "00:00", "24:00", TORONTO).unwrap();
    assert!(whole.is_open(at("2026-01-26T00:00:00")) && whole.is_open(at("2026-01-26T23:59:59")));
    assert!(!whole.is_open(at("2026-01-27T00:00:00")));
}

#[test]
fn an_hour_that_is_not_there_opens_nothing() {
    // On 2026-03-08, a Sunday, the clocks of Toronto go from 02:00 to 03:00.
    let it = Window::new(&["sun"], "02:00", "03:00", TORONTO).unwrap();
    assert_eq!(it.opens_at(at("2026-03-07T12:00:00")), at("2026-03-15T02:00:00"));
    assert_eq!(night().opens_at(at("2026-03-08T00:00:00")), at("2026-03-08T03:00:00"));
}

#[test]
fn an_hour_that_comes_twice_is_one_window() {
    // On 2026-11-01, a Sunday, the clocks of Toronto go from 02:00 to 01:00.
    let it = Window::new(&["sun"], "00:30", "02:30", TORONTO).unwrap();
    let opens = at("2026-11-01T00:30:00");
    let closes = it.closes_at(opens).unwrap();
    assert_eq!(closes.duration_since(opens).as_hours(), 3);
}

#[test]
fn what_never_opens_is_refused() {
    let window = |days: &[&str], from, to, zone| Window::new(days, from, to, zone).err();
    assert_eq!(window(&[], "02:00", "05:00", "UTC"), Some(WindowError::Never));
    assert_eq!(window(&["mon"], "02:00", "02:00", "UTC"), Some(WindowError::Never));
    assert_eq!(window(&["monday"], "02:00", "05:00", "UTC"), Some(WindowError::Day));
    for time in ["2:00", "02:60", "24:01", "25:00", "", "02", "+2:00", "02:00:00"] {
        assert_eq!(window(&["mon"], time, "05:00", "UTC"), Some(WindowError::Time), "{time}");
    }
    assert_eq!(window(&["mon"], "24:00", "05:00", "UTC"), Some(WindowError::Time));
    assert_eq!(window(&["mon"], "02:00", "05:00", "Mars/Olympus"), Some(WindowError::Zone));
}

#[test]
fn it_is_written_as_it_is_read() {
    let json = serde_json::to_string(&night()).unwrap();
    assert_eq!(
        json,
        r#"{"days":["sat","sun"],"from":"02:00","to":"05:00","zone":"America/Toronto"}"#
    );
    assert_eq!(serde_json::from_str::<Window>(&json).unwrap(), night());
    assert!(serde_json::from_str::<Window>(r#"{"from":"x","to":"05:00","zone":"UTC"}"#).is_err());
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for now in [Timestamp::MIN, Timestamp::MAX] {
        let it = night();
        let _ = (it.is_open(now), it.closes_at(now));
        assert!(it.opens_at(now) >= now);
    }
}

fn windows() -> impl Strategy<Value = Window> {
    let zones = ["UTC", TORONTO, "Europe/Dublin", "Australia/Lord_Howe", "Africa/Casablanca"];
    let clock = (0..24_u8, 0..4_u8).prop_map(|(hour, part)| format!("{hour:02}:{:02}", part * 15));
    let days = proptest::sample::subsequence(DAYS.to_vec(), 1..=7);
    (days, clock.clone(), clock, proptest::sample::select(zones.to_vec()))
        .prop_filter_map("opens", |(days, from, to, zone)| {
            Window::new(&days, &from, &to, zone).ok()
        })
}

proptest! {
    /// Over ten years with all their changes of clocks, among them one of half an hour.
    #[test]
    fn it_is_open_when_it_opens_and_not_before(
        window in windows(),
        second in 1_700_000_000_i64..2_000_000_000,
    ) {
        let now = Timestamp::from_second(second).unwrap();
        let opens = window.opens_at(now);
        prop_assert!(opens >= now);
        prop_assert!(window.is_open(opens));
        prop_assert_eq!(window.is_open(now), opens == now);
        let wait = opens.as_second() - second;
        prop_assert!(wait <= 15 * 86_400);
        for part in 0..24 {
            let before = Timestamp::from_second(second + wait * part / 24).unwrap();
            prop_assert!(before >= opens || !window.is_open(before));
            prop_assert_eq!(window.opens_at(before), opens);
        }
        let closes = window.closes_at(opens).unwrap();
        prop_assert!(closes > opens);
        let long = closes.as_second() - opens.as_second();
        prop_assert!(long <= 25 * 3_600);
        prop_assert!(window.is_open(Timestamp::from_second(closes.as_second() - 1).unwrap()));
    }
}
