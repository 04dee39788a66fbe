//! Any bytes as any aggregator's call.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ussd::aggregator::{self, ConEndFields, ServiceCode};
use ussd::{Inbound, Reply, Request, Screen, Shown, Turn};

const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const TYPES: [Option<&str>; 4] = [
    None,
    Some("application/x-www-form-urlencoded"),
    Some("application/json; charset=latin1"),
    Some("text/xml"),
];

fuzz_target!(|bytes: &[u8]| {
    let [speaker, how, rest @ ..] = bytes else { return };
    let name = aggregator::NAMES[usize::from(*speaker) % aggregator::NAMES.len()];
    let [session, number, code, text] = ["SESSION", "N", "C", "T"].map(Box::from);
    let fields = ConEndFields { session, number, code, text, network: None };
    let code = if how & 0x80 == 0 { None } else { ServiceCode::new("*384*1#") };
    let speaker = aggregator::make(name, Some(&fields), code.as_ref()).expect("a name of theirs");
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (path, body) = rest.split_at(end);
    let (path, body) = (std::str::from_utf8(path).unwrap_or(""), body.get(1..).unwrap_or_default());
    let text = String::from_utf8_lossy(body);
    // Read as each of the types in turn: whatever is taken obeys the same bounds.
    for content_type in TYPES {
        let request = Request {
            method: METHODS[usize::from(how & 3) % METHODS.len()],
            path,
            content_type,
            headers: &[("cookie", &text)],
            query: &text,
            body,
        };
        let inbound = speaker.decode(&request);
        let _ = speaker.decode_end(&request);
        match inbound {
            Ok(Inbound::Turn(turn)) => {
                assert!((1..=Turn::SESSION_LEN_MAX).contains(&turn.session.len()));
                assert!(turn.service_code.len() <= Turn::CODE_LEN_MAX);
                assert!(turn.network.len() <= Turn::CODE_LEN_MAX);
                assert!(turn.input.text().len() <= Turn::TEXT_LEN_MAX);
                assert!(!turn.input.text().chars().any(char::is_control));
                let screen = Screen::Continue("Karibu\n1. Ndiyo".into());
                let reply = speaker.encode(&screen, &turn);
                let headers: Vec<(&str, &str)> =
                    reply.headers.iter().map(|(name, value)| (*name, &**value)).collect();
                let (status, body) = (reply.status, reply.body.expose());
                let shown = Shown { status, headers: &headers, body };
                assert!(speaker.shown(&shown) == Some(screen), "{name}");
            }
            Ok(Inbound::End(report)) => {
                assert!((1..=Turn::SESSION_LEN_MAX).contains(&report.session.len()));
                is_sound(&speaker.encode_end(&report, &request));
            }
            Ok(Inbound::Probe(reply)) => is_sound(&reply),
            Err(error) => is_sound(&speaker.encode_error(error)),
        }
    }
});

fn is_sound(reply: &Reply) {
    assert!((200..500).contains(&reply.status));
}
