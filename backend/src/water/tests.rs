//! The rules as properties.

use super::*;
use jiff::ToSpan as _;
use proptest::prelude::*;

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn customer() -> Customer {
    let names = (PersonName::parse("Asha").unwrap(), PersonName::parse("Njeri").unwrap());
    let number = DeviceId::msisdn("+254712345678").unwrap();
    let id = "01JD0000000000000000000A7K";
    Customer::new(id.into(), ("s1".into(), number), names, "en".into(), day("2026-11-20"))
}

#[test]
fn names_are_of_any_script_and_get_their_capitals() {
    for (typed, kept) in [
        ("asha", "Asha"),
        ("JOHN", "John"),
        ("jOHN", "John"),
        ("O'NEIL", "O'Neil"),
        ("o’neil", "O’Neil"),
        ("McKenzie", "McKenzie"),
        ("mary  jane", "Mary Jane"),
        ("anne-marie", "Anne-Marie"),
        ("wanjikũ", "Wanjikũ"),
        ("ÉLODIE", "Élodie"),
        ("j. r.", "J. R."),
        ("ACHIENG'", "Achieng'"),
        ("ng'ang'a", "Ng'ang'a"),
        ("አበበ", "አበበ"),
    ] {
        assert_eq!(PersonName::parse(typed).unwrap().as_str(), kept, "{typed}");
    }
    for typed in ["", " ", "-", "'a", "a-", "4sha", "as*ha", "a--b", "a\nb\u{7}", &"a".repeat(31)] {
        assert_eq!(PersonName::parse(typed), Err(NameError::Person), "{typed:?}");
    }
    assert_eq!(format!("{:?}", PersonName::parse("Asha").unwrap()), "PersonName(…)");
}

#[test]
fn nicknames_take_digits_and_no_blanks() {
    assert_eq!(Nickname::parse(" lod2 ").unwrap().as_str(), "LOD2");
    for typed in ["", "a", "two words", "é1", &"a".repeat(31)] {
        assert_eq!(Nickname::parse(typed), Err(NameError::Nickname), "{typed:?}");
    }
}

#[test]
fn a_site_without_a_fee_is_no_site() {
    let site: Site = serde_json::from_value(serde_json::json!({
        "id": "s1", "name": "Lodwar", "nickname": "lod",
        "subscription_fee": 100, "expected_jerrycans": 30,
    }))
    .unwrap();
    assert_eq!(site.check(), Ok(()));
    assert_eq!(site.nickname.as_str(), "LOD");
    assert_eq!(Site { subscription_fee: 0, ..site.clone() }.check(), Err("subscription_fee"));
    assert_eq!(Site { subscription_fee: 250_001, ..site.clone() }.check(), Err("subscription_fee"));
    let jerrycans = |expected_jerrycans| Site { expected_jerrycans, ..site.clone() }.check();
    assert_eq!((jerrycans(9_999), jerrycans(10_000)), (Ok(()), Err("expected_jerrycans")));
    assert_eq!(Site { name: "x".repeat(257).into(), ..site.clone() }.check(), Err("name"));
    assert_eq!(Site { latitude: Some(91.0), ..site.clone() }.check(), Err("latitude"));
    assert_eq!(Site { longitude: Some(f64::NAN), ..site.clone() }.check(), Err("longitude"));
    assert_eq!(
        Site { sms_description: "x".repeat(161).into(), ..site }.check(),
        Err("sms_description")
    );
}

#[test]
fn a_customer_is_written_as_the_source_names_him() {
    let written = serde_json::to_value(customer()).unwrap();
    assert_eq!(written["phone_number"], "+254712345678");
    assert_eq!(written["monthly_subscription_code"], "N/A");
    assert_eq!(written["subscription_expiration"], "2026-11-20");
    assert_eq!(serde_json::from_value::<Customer>(written).unwrap(), customer());
    let printed = format!("{:?}", customer());
    assert!(!printed.contains("Asha") && !printed.contains("2547"), "{printed}");
}

#[test]
fn who_registered_and_never_paid_is_neither_reminded_nor_expired() {
    let fresh = customer();
    for today in ["2026-11-18", "2026-11-20", "2026-12-20"] {
        assert_eq!(deadline(&fresh, day(today), &Service::default()), Deadline::None);
    }
}

#[test]
fn each_jerrycan_is_given_once_and_only_at_ones_own_site_in_time() {
    let mut known = Customer { is_valid: true, jerrycans: 1, ..customer() };
    known.expires_on = day("2026-11-22");
    let collect = |site: &str, today: &str| CustomerChange::Collect {
        site_ids: vec![site.into()],
        count: 1,
        today: day(today),
    };
    let refused =
        |known: &Customer, site, today| collect(site, today).apply(known, None).unwrap_err();
    assert_eq!(refused(&known, "s2", "2026-11-21"), Refusal::NotMySite);
    assert_eq!(refused(&known, "s1", "2026-11-22"), Refusal::Expired);
    let after = collect("s1", "2026-11-21").apply(&known, None).unwrap();
    assert_eq!(after.jerrycans, 0);
    assert_eq!(refused(&after, "s1", "2026-11-21"), Refusal::NoneLeft);
}

fn days() -> impl Strategy<Value = Date> {
    (2020_i16..2040, 1_i8..=12, 1_i8..=28).prop_map(|(y, m, d)| Date::new(y, m, d).unwrap())
}

prop_compose! {
    fn customers()(
        is_valid in any::<bool>(), expires_on in days(), jerrycans in 0_u32..100, told in any::<bool>(),
    ) -> Customer {
        let code = is_valid.then(|| Code::any(7));
        let reminded_for = told.then_some(expires_on);
        Customer { is_valid, expires_on, jerrycans, code, reminded_for, ..customer() }
    }
}

fn activate(customer: &Customer, today: Date, checkout: &str) -> CustomerChange {
    let Credit { from, until } = credit(customer, today, &Service::default());
    let code = Code::of(&customer.id, 5);
    CustomerChange::Activate { from, today, until, code, jerrycans: 30, checkout: checkout.into() }
}

#[test]
fn what_is_left_has_no_more_digits_than_a_screen_shows() {
    let today = day("2026-11-22");
    for (left, after) in [(9_999, 10_029), (JERRYCANS_LEFT_MAX - 1, JERRYCANS_LEFT_MAX)] {
        let who = Customer { is_valid: true, expires_on: day("2026-11-30"), ..customer() };
        let who = Customer { code: Some(Code::any(7)), jerrycans: left, ..who };
        assert_eq!(activate(&who, today, "c1").apply(&who, None).unwrap().jerrycans, after);
    }
}

proptest! {
    #[test]
    fn a_payment_adds_its_days_and_its_water_and_takes_nothing(who in customers(), today in days()) {
        let change = activate(&who, today, "c1");
        let after = change.apply(&who, None).unwrap();
        prop_assert!(after.is_served(today));
        let left = |it: &Customer| if it.is_served(today) { it.jerrycans } else { 0 };
        prop_assert_eq!(after.jerrycans, left(&who) + 30);
        let begun = if who.is_served(today) { who.expires_on } else { today };
        prop_assert_eq!(begun.until(after.expires_on).unwrap().get_days(), 30);
        prop_assert_eq!(change.apply(&after, Some("c1")), Err(Refusal::Credited));
        prop_assert_eq!(change.apply(&after, None), Err(Refusal::Changed), "nor by another's name");
    }

    #[test]
    fn a_walk_through_days_tells_each_expiry_once(
        begin in days(), steps in prop::collection::vec(-3_i64..5, 1..60),
    ) {
        let service = Service::default();
        let mut who = Customer { expires_on: begin, ..customer() };
        let change = activate(&who, begin, "c1");
        who = change.apply(&who, None).unwrap();
        let (mut today, mut reminders, mut ends) = (begin, 0, 0);
        for step in steps {
            today = today.saturating_add(step.days());
            match deadline(&who, today, &service) {
                Deadline::None => {}
                Deadline::Remind { days } => {
                    prop_assert!((1..=service.remind_days).contains(&days));
                    let change = CustomerChange::Reminded { expiry: who.expires_on };
                    who = change.apply(&who, None).unwrap();
                    reminders += 1;
                }
                Deadline::Expire => {
                    prop_assert!(!who.is_served(today));
                    who = CustomerChange::Expire { today }.apply(&who, None).unwrap();
                    ends += 1;
                }
            }
            prop_assert!(!who.is_valid || who.expires_on > today);
        }
        prop_assert!(reminders <= 1 && ends <= 1);
    }

    #[test]
    fn codes_are_five_characters_that_are_read_back(id in "[0-9A-Z]{26}", chance in any::<u64>()) {
        for code in [Code::of(&id, chance), Code::any(chance)] {
            prop_assert_eq!(Code::parse(&code.as_str().to_lowercase()), Ok(code.clone()));
            let number: u32 = code.as_str()[..3].parse().unwrap();
            prop_assert!((100..=999).contains(&number));
        }
        prop_assert!(Code::of(&id, chance).as_str().ends_with(&id[24..]));
    }

    #[test]
    fn no_text_makes_a_name_panic_and_a_name_is_read_as_itself(text in "\\PC{0,40}") {
        if let Ok(name) = PersonName::parse(&text) {
            prop_assert!(name.as_str().chars().count() <= PersonName::LEN_MAX);
            prop_assert_eq!(PersonName::parse(name.as_str()).unwrap(), name);
        }
        let _ = (Nickname::parse(&text), Code::parse(&text));
    }
}
