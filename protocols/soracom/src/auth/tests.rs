//! Known answers, and whatever an impostor may change.

use super::*;
use proptest::prelude::*;

const KEY: &[u8] = b"mysecretkey";
const MS: i64 = 1_445_587_157_992;
const MAX_AGE: Duration = Duration::from_secs(300);
/// The example of Beam's own page.
const SIGNATURE: &str = "95c8e34d68e2bd76502c1e403108dc1bd7008964c31081d0415adb9f21a721a5";
/// SHA-256 of `mysecretkeyimei=860000012345678 imsi=295000012345678 timestamp=1445587157992`.
const LINE_SIGNATURE: &str = "80188d076747e6535d4e4a339dca3a8960dd6e2e24b8e28e8d8afef39655eca5";

fn headers() -> Vec<(&'static str, &'static str)> {
    vec![
        ("Host", "gateway.example.com"),
        ("X-Soracom-Timestamp", "1445587157992"),
        ("X-Soracom-IMSI", "295000012345678"),
        ("x-soracom-imei", "860000012345678"),
        ("X-SORACOM-SIGNATURE-VERSION", VERSION),
        ("x-soracom-signature", SIGNATURE),
    ]
}

fn line() -> String {
    format!(
        "imei=860000012345678 imsi=295000012345678 timestamp=1445587157992;signature={LINE_SIGNATURE} version={VERSION}"
    )
}

fn key(key: &[u8]) -> PreSharedKey {
    PreSharedKey::new(key).unwrap()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn verify_headers(headers: &[(&str, &str)]) -> Result<Sender, SignatureError> {
    let signed = Signed::of_headers(headers.iter().copied())?;
    key(KEY).verify(&signed, at(MS), MAX_AGE)
}

fn verify_line(line: &str) -> Result<Sender, SignatureError> {
    key(KEY).verify(&Signed::of_line(line)?, at(MS), MAX_AGE)
}

#[test]
fn the_example_of_beam_s_page_is_right() {
    for sender in [verify_headers(&headers()).unwrap(), verify_line(&line()).unwrap()] {
        assert_eq!(sender.net.imei.as_deref(), Some("860000012345678"));
        assert_eq!(sender.net.imsi.as_deref(), Some("295000012345678"));
        assert_eq!((sender.msisdn, sender.sim_id, sender.signed_ms), (None, None, MS));
    }
}

/// All of the headers, in an order that is not the signature's.
#[test]
fn all_that_may_be_signed_is_signed_in_its_order() {
    let text = "x-soracom-imei=860000012345678x-soracom-imsi=295000012345678x-soracom-msisdn=81901234567x-soracom-sim-id=8942310022000012345x-soracom-timestamp=1445587157992";
    let signature = hex_of(KEY, text);
    let mut headers = headers();
    headers.pop();
    headers.push(("x-soracom-sim-id", "8942310022000012345"));
    headers.push(("x-soracom-msisdn", "81901234567"));
    headers.push(("x-soracom-signature", &signature));
    let sender = verify_headers(&headers).unwrap();
    assert_eq!(sender.msisdn.as_deref(), Some("81901234567"));
    assert_eq!(sender.sim_id.as_deref(), Some("8942310022000012345"));
    headers.retain(|(name, _)| *name != "x-soracom-msisdn");
    assert_eq!(verify_headers(&headers).err(), Some(SignatureError::Wrong), "one less");
}

#[test]
fn a_signature_has_an_age() {
    let key = key(KEY);
    let headers = headers();
    let signed = Signed::of_headers(headers).unwrap();
    let age = i64::try_from(MAX_AGE.as_millis()).unwrap();
    for ms in [MS, MS + age, MS - age] {
        assert!(key.verify(&signed, at(ms), MAX_AGE).is_ok(), "{ms}");
    }
    for ms in [MS + age + 1, MS - age - 1, 0] {
        let refused = key.verify(&signed, at(ms), MAX_AGE).err();
        assert_eq!(refused, Some(SignatureError::Stale), "{ms}");
    }
}

#[test]
fn each_fault_of_the_headers_has_its_name() {
    let with = |name: &str, value: &'static str| -> Vec<(&'static str, &'static str)> {
        let change = |(key, old): (&'static str, &'static str)| {
            (key, if key.eq_ignore_ascii_case(name) { value } else { old })
        };
        headers().into_iter().map(change).collect()
    };
    let without = |name: &str| -> Vec<(&'static str, &'static str)> {
        headers().into_iter().filter(|(key, _)| !key.eq_ignore_ascii_case(name)).collect()
    };
    let twice = [headers(), vec![("x-soracom-imei", "860000012345678")]].concat();
    let zeros = "0000000000000000000000000000000000000000000000000000000000000000";
    for (headers, error) in [
        (without("x-soracom-signature"), SignatureError::Unsigned),
        (Vec::new(), SignatureError::Unsigned),
        (without("x-soracom-signature-version"), SignatureError::Version),
        (with("x-soracom-signature-version", "20150901"), SignatureError::Version),
        (without("x-soracom-timestamp"), SignatureError::Malformed),
        (with("x-soracom-timestamp", "soon"), SignatureError::Malformed),
        (with("x-soracom-signature", "95c8"), SignatureError::Malformed),
        (with("x-soracom-imei", "86000001234567x"), SignatureError::Malformed),
        (twice, SignatureError::Malformed),
        (with("x-soracom-signature", zeros), SignatureError::Wrong),
        (with("x-soracom-imei", "860000012345679"), SignatureError::Wrong),
        (with("x-soracom-timestamp", "1445587157993"), SignatureError::Wrong),
        (without("x-soracom-imsi"), SignatureError::Wrong),
    ] {
        assert_eq!(verify_headers(&headers).err(), Some(error), "{headers:?}");
    }
}

#[test]
fn each_fault_of_a_line_has_its_name() {
    let line = line();
    let with = |from: &str, to: &str| line.replace(from, to);
    for (line, error) in [
        (String::new(), SignatureError::Unsigned),
        ("GET / HTTP/1.1".to_owned(), SignatureError::Unsigned),
        (with(&format!("signature={LINE_SIGNATURE} "), ""), SignatureError::Unsigned),
        (with(" version=20151001", ""), SignatureError::Version),
        (with("imei=", "IMEI="), SignatureError::Malformed),
        (with("imei=860000012345678 ", ""), SignatureError::Wrong),
        (with("imei=860000012345678 imsi=295000012345678 ", ""), SignatureError::Malformed),
        (with("imsi=", "imei=860000012345678 imsi="), SignatureError::Malformed),
        (with(" version", " also=1 version"), SignatureError::Malformed),
        (with("5678 imsi", "5678  imsi"), SignatureError::Malformed),
        (with("295000012345678", "295000012345679"), SignatureError::Wrong),
    ] {
        assert_eq!(verify_line(&line).err(), Some(error), "{line}");
    }
}

/// Names and values run together in the text, so a value that held the next name would have the same
/// signature; and one that is lengthened at its end can be signed without the key.
#[test]
fn no_value_swallows_the_next_and_none_grows_at_its_end() {
    let swallowed = [
        ("x-soracom-imei", "860000012345678x-soracom-imsi=295000012345678"),
        ("x-soracom-timestamp", "1445587157992"),
        ("x-soracom-signature-version", VERSION),
        ("x-soracom-signature", SIGNATURE),
    ];
    assert_eq!(verify_headers(&swallowed).err(), Some(SignatureError::Malformed));
    for grown in ["1445587157992\u{80}\0\0", "14455871579921", "1445587157992 "] {
        let line = line().replace("1445587157992", grown);
        assert_eq!(verify_line(&line).err(), Some(SignatureError::Malformed), "{grown:?}");
    }
}

#[test]
fn a_key_has_its_length_and_is_not_printed() {
    assert_eq!(PreSharedKey::new(b"short").err(), Some(KeyLength));
    assert_eq!(PreSharedKey::new(&[b'x'; PreSharedKey::LEN_MAX + 1]).err(), Some(KeyLength));
    assert!(!format!("{:?}", key(KEY)).contains("secret"));
    let line = line();
    let signed = Signed::of_line(&line).unwrap();
    let sender = verify_line(&line).unwrap();
    assert!(!format!("{signed:?}{sender:?}").contains("8600"));
}

fn hex_of(key: &[u8], text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(text.as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

proptest! {
    /// Whatever one character of the line becomes, it is not believed.
    #[test]
    fn no_changed_line_is_believed(place in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut line: Vec<char> = line().chars().collect();
        let place = place.index(line.len());
        prop_assume!(!line[place].eq_ignore_ascii_case(&with));
        // The separators behind the signed text are not signed.
        prop_assume!(!(matches!(line[place], ' ' | ';') && matches!(with, ' ' | ';')));
        line[place] = with;
        let line: String = line.into_iter().collect();
        prop_assert!(verify_line(&line).is_err(), "{}", line);
    }

    #[test]
    fn any_line_is_read_or_refused(line in ".{0,200}", name in ".{0,20}", value in ".{0,40}") {
        let _ = Signed::of_line(&line);
        let _ = Signed::of_headers([(name.as_str(), value.as_str())]);
    }

    #[test]
    fn what_is_signed_is_believed(imei in "[0-9]{15}", imsi in "[0-9]{15}", key_text in "[!-~]{8,64}") {
        let text = format!("x-soracom-imei={imei}x-soracom-imsi={imsi}x-soracom-timestamp={MS}");
        let (ms, signature) = (MS.to_string(), hex_of(key_text.as_bytes(), &text));
        let headers = [
            ("x-soracom-imei", &*imei),
            ("x-soracom-imsi", &imsi),
            ("x-soracom-timestamp", &ms),
            ("x-soracom-signature-version", VERSION),
            ("x-soracom-signature", &signature),
        ];
        let signed = Signed::of_headers(headers).unwrap();
        prop_assert!(key(key_text.as_bytes()).verify(&signed, at(MS), MAX_AGE).is_ok());
        prop_assert!(key(b"another key").verify(&signed, at(MS), MAX_AGE).is_err());
    }
}
