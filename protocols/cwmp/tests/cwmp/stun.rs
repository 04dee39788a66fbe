//! STUN and connection requests by UDP: what is proved, what is answered, and how long that is.

use lastmile_cwmp::stun::{self, Refusal, Request, StunError, binding_request};
use lastmile_cwmp::udp_request::{self, UdpRequest};
use model::Redacted;
use std::net::SocketAddr;

const V4: &str = "203.0.113.7:54321";
const V6: &str = "[2001:db8::7]:54321";

fn from(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// RFC 5769 2.1: made by others, with attributes of ICE and a fingerprint behind the proof.
const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
    \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09evtj:h6vY\x20\x20\x20\
    \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
    \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

#[test]
fn a_request_of_others_is_read_and_proved() {
    let request = Request::parse(SAMPLE).unwrap();
    assert_eq!(request.username(), Some("evtj:h6vY"));
    assert!(request.proves("VOkJxbRl1RmTxUk/WvJxBt"));
    assert!(!request.proves("VOkJxbRl1RmTxUk/WvJxBu"));
    assert_eq!(request.unknown_attribute(), Some(0x24), "ICE is not spoken here");
    assert!(!request.is_for_connection_requests());
}

#[test]
fn a_device_proves_itself_in_both_dialects() {
    for cookie in [false, true] {
        let bytes = binding_request([7; 12], cookie, Some(("name1", "password")), true);
        let request = Request::parse(&bytes).unwrap();
        assert_eq!(request.username(), Some("name1"), "without the spaces that fill it up");
        assert!(request.is_for_connection_requests() && request.has_changed());
        assert_eq!(request.unknown_attribute(), None);
        assert!(request.proves("password"));
        assert!(!request.proves("passwore"));
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let proved = Request::parse(&changed).is_ok_and(|it| it.proves("password"));
            assert!(!proved, "byte {place}");
        }
    }
}

#[test]
fn without_a_proof_nothing_is_proved() {
    let bytes = binding_request([7; 12], false, None, false);
    let request = Request::parse(&bytes).unwrap();
    assert!(!request.proves("") && !request.proves("password"));
    assert!(!request.has_changed());
    let refusal = request.refusal(Refusal::Unauthorised).unwrap();
    assert_eq!(stun::error_code(&refusal), Some(401));
    assert_eq!(&refusal[4..20], &bytes[4..20], "its own transaction");
}

#[test]
fn the_answer_says_where_it_came_from() {
    for place in [V4, V6] {
        for cookie in [false, true] {
            let name = "a-name-of-32-characters-for-this";
            let bytes = binding_request([7; 12], cookie, Some((name, "password")), false);
            let request = Request::parse(&bytes).unwrap();
            let answer = request.answer(from(place), Some("password")).unwrap();
            assert_eq!(stun::mapped_address(&answer), Some(from(place)));
            assert_eq!(&answer[4..20], &bytes[4..20]);
            assert_eq!(usize::from(answer[3]) + 20, answer.len());
        }
    }
}

#[test]
fn the_masked_address_is_that_of_rfc_5389() {
    // RFC 5769 2.2: 192.0.2.1 port 32853 under this cookie and transaction.
    let request = Request::parse(SAMPLE).unwrap();
    let answer = request.answer(from("192.0.2.1:32853"), None).unwrap();
    let masked = b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    assert!(answer.windows(masked.len()).any(|window| window == masked), "{answer:02x?}");
}

#[test]
fn no_answer_is_longer_than_its_question() {
    let mut questions = vec![SAMPLE.to_vec()];
    for cookie in [false, true] {
        questions.push(binding_request([1; 12], cookie, None, false));
        for len in [1, 4, 5, 32, 200] {
            let name = "n".repeat(len);
            questions.push(binding_request([1; 12], cookie, Some((&name, "p")), false));
        }
    }
    // The shortest there is, and those a little longer.
    for extra in 0..8_u8 {
        let mut bytes = vec![0, 1, 0, extra * 4, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend_from_slice(&[9; 12]);
        for _ in 0..extra {
            bytes.extend_from_slice(&[0x80, 0x99, 0, 0]);
        }
        questions.push(bytes);
    }
    let mut answered = 0;
    for question in &questions {
        let request = Request::parse(question).unwrap();
        let mut answers = vec![
            request.refusal(Refusal::Unauthorised),
            request.refusal(Refusal::UnknownAttribute(2)),
        ];
        for place in [V4, V6] {
            answers.extend([
                request.answer(from(place), None),
                request.answer(from(place), Some("p")),
            ]);
        }
        for answer in answers.into_iter().flatten() {
            answered += 1;
            assert!(answer.len() <= question.len(), "{} > {}", answer.len(), question.len());
        }
    }
    assert!(answered > questions.len(), "most are answered");
    let bare = Request::parse(&questions[13]).unwrap();
    assert_eq!(bare.answer(from(V4), None), None, "twenty bytes have no room for an address");
    assert_eq!(bare.refusal(Refusal::Unauthorised), None);
}

#[test]
fn whoever_asks_for_an_answer_elsewhere_gets_none() {
    let mut bytes = vec![0, 1, 0, 12, 0, 0, 0, 0];
    bytes.extend_from_slice(&[9; 12]);
    bytes.extend_from_slice(&[0, 2, 0, 8, 0, 1, 0x1f, 0x90, 198, 51, 100, 1]);
    assert_eq!(Request::parse(&bytes).unwrap().unknown_attribute(), Some(2), "RESPONSE-ADDRESS");
    bytes.truncate(20);
    bytes[3] = 8;
    bytes.extend_from_slice(&[0, 3, 0, 4, 0, 0, 0, 0]);
    assert_eq!(Request::parse(&bytes).unwrap().unknown_attribute(), None, "changes nothing");
    bytes[27] = 4;
    assert_eq!(
        Request::parse(&bytes).unwrap().unknown_attribute(),
        Some(3),
        "another address of ours"
    );
}

#[test]
fn what_is_no_request_is_not_one() {
    let good = binding_request([7; 12], true, Some(("name", "password")), true);
    for len in 0..good.len() {
        assert_eq!(Request::parse(&good[..len]).unwrap_err(), StunError::Malformed, "{len}");
    }
    let mut answer = good;
    answer[..2].copy_from_slice(&[1, 1]);
    assert_eq!(Request::parse(&answer).unwrap_err(), StunError::NotARequest);
    assert_eq!(Request::parse(&[0; 600]).unwrap_err(), StunError::TooLong);
    assert_eq!(
        Request::parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap_err(),
        StunError::Malformed
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, body: Vec<u8>) {
        let mut framed = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        framed.extend_from_slice(&[1; 12]);
        framed.extend_from_slice(&body[..body.len() / 4 * 4]);
        let len = u16::try_from(framed.len() - 20).unwrap();
        framed[2..4].copy_from_slice(&len.to_be_bytes());
        for bytes in [bytes, framed] {
            let _ = (stun::mapped_address(&bytes), stun::error_code(&bytes));
            let _ = udp_request::accept(&bytes, "u", "p");
            if let Ok(request) = Request::parse(&bytes) {
                assert!(!request.proves("password"));
                let answer = request.answer(from(V6), None);
                assert!(answer.is_none_or(|answer| answer.len() <= bytes.len()));
            }
        }
    }
}

#[test]
fn a_udp_request_is_signed_and_taken_once() {
    let request = UdpRequest {
        timestamp_s: 1_120_673_700,
        id: 1234,
        username: "CPE57689",
        cnonce: "XTGRWIPC6D3IPXS3",
        password: Redacted("password"),
    };
    let bytes = request.encode(from("10.1.1.1:8080"));
    let text = String::from_utf8(bytes.clone()).unwrap();
    let head =
        "GET http://10.1.1.1:8080?ts=1120673700&id=1234&un=CPE57689&cn=XTGRWIPC6D3IPXS3&sig=";
    assert!(text.starts_with(head), "{text}");
    assert!(text.ends_with(" HTTP/1.1\r\n\r\n"));
    let signature = &text[head.len()..head.len() + 40];
    // Checked with `printf 1120673700 1234 CPE57689 … | openssl dgst -sha1 -hmac password`.
    assert_eq!(signature, "F749EE6D9E3BC469FB709EAD2A75EE7535F58552");
    assert_eq!(udp_request::accept(&bytes, "CPE57689", "password"), Some(1234));
    assert_eq!(udp_request::accept(&bytes, "CPE57689", "passworD"), None);
    assert_eq!(udp_request::accept(&bytes, "CPE57680", "password"), None);
    let other = text.replace("ts=1120673700", "ts=1120673701");
    assert_eq!(udp_request::accept(other.as_bytes(), "CPE57689", "password"), None);
    assert!(!format!("{request:?}").contains("password\""), "the password is not printed");
}

#[test]
fn a_user_name_cannot_end_its_field() {
    let request = UdpRequest {
        timestamp_s: 1,
        id: 2,
        username: "a b&cn=x",
        cnonce: "c",
        password: Redacted("p"),
    };
    let bytes = request.encode(from(V6));
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(text.starts_with("GET http://[2001:db8::7]:54321?ts=1&id=2&un=a%20b%26cn%3Dx&cn=c&"));
    assert_eq!(udp_request::accept(&bytes, "a b&cn=x", "p"), Some(2));
}
