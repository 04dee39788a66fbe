use super::*;
use proptest::prelude::*;
use std::sync::Arc;

/// The names of Advanta (advanta.africa/ussd-api-guide), with the network as TechSavanna adds it.
fn advanta() -> ConEnd {
    let fields = ConEndFields {
        session: "SESSIONID".into(),
        number: "MSISDN".into(),
        code: "USSDCODE".into(),
        text: "INPUT".into(),
        network: Some("NETWORK".into()),
    };
    ConEnd::new(fields, None)
}

const HOP: &str = "SESSIONID=a1&USSDCODE=*384*1%23&MSISDN=254711000001&INPUT=1*2&NETWORK=63902";

fn get(query: &str) -> Request<'_> {
    Request { method: "GET", path: "", content_type: None, headers: &[], query, body: b"" }
}

fn decode(query: &str) -> Result<Turn, TurnError> {
    advanta().decode(&get(query)).map(|inbound| match inbound {
        Inbound::Turn(turn) => turn,
        other => panic!("no turn: {other:?}"),
    })
}

#[test]
fn a_query_and_a_form_say_the_same() {
    let turn = decode(HOP).unwrap();
    assert_eq!((&*turn.session, &*turn.service_code, &*turn.network), ("a1", "*384*1#", "63902"));
    assert_eq!(turn.device, model::DeviceId::msisdn("+254711000001").unwrap());
    assert_eq!(turn.input, Input::Cumulative(Redacted("1*2".into())));
    let post = Request {
        method: "POST",
        content_type: Some("application/x-www-form-urlencoded"),
        body: HOP.as_bytes(),
        ..get("SESSIONID=other")
    };
    assert_eq!(advanta().decode(&post), Ok(Inbound::Turn(turn)));
    let unsaid = decode(&HOP.replace("&NETWORK=63902", "").replace("*384*1%23", "")).unwrap();
    assert_eq!((&*unsaid.network, &*unsaid.service_code), ("", ""));
    let mut fields = advanta().fields;
    fields.network = None;
    let Ok(Inbound::Turn(without)) = ConEnd::new(fields, None).decode(&get(HOP)) else { panic!() };
    assert_eq!(&*without.network, "", "a field that was not named is not read");
}

#[test]
fn what_was_dialled_comes_before_what_was_typed() {
    let typed = |code: Option<&str>, sent: &str, text: &str| {
        let known = code.map(|it| ServiceCode::new(it).unwrap());
        ConEnd::new(advanta().fields, known).typed(sent, text)
    };
    // The whole string, with the code that is sent beside it.
    assert_eq!(typed(None, "*415#", "*415*33*1#"), "33*1");
    assert_eq!(typed(None, "*415#", "*415#"), "");
    assert_eq!(typed(None, "415", "*415*1#"), "1");
    assert_eq!(typed(None, "*415#", "1*2"), "1*2");
    assert_eq!(typed(None, "*415#", "*4151#"), "*4151#", "a star that was typed");
    assert_eq!(typed(None, "", "*1"), "*1");
    // A shared code, of which the extension is ours.
    let ours = Some("*415*33#");
    assert_eq!(typed(ours, "*415#", "*415*33*1#"), "1");
    assert_eq!(typed(ours, "*415#", "*415*33*33#"), "33", "taken off once");
    assert_eq!(typed(ours, "*415#", "33*1"), "1");
    assert_eq!(typed(ours, "*415#", "33"), "");
    assert_eq!(typed(ours, "*415#", ""), "");
    assert_eq!(typed(ours, "*415*33#", "33*1"), "33*1", "keys, where the code is sent whole");
    // Keys in the field of the code.
    assert_eq!(typed(ours, "*415*33*1234#", ""), "1234");
    assert_eq!(typed(ours, "*415*33*1234#", "2"), "1234*2");
}

#[test]
fn a_pin_that_was_dialled_is_no_part_of_the_code() {
    let ours = ConEnd::new(advanta().fields, ServiceCode::new("*384*1#"));
    let hop = HOP.replace("*384*1%23", "*384*1*1234%23");
    let Ok(Inbound::Turn(turn)) = ours.decode(&get(&hop)) else { panic!() };
    assert_eq!((&*turn.service_code, turn.input.text()), ("*384*1#", "1234*1*2"));
}

#[test]
fn what_is_no_hop_is_refused_in_the_words_of_the_configuration() {
    for (field, key) in [("SESSIONID", "session"), ("MSISDN", "number"), ("INPUT", "text")] {
        let rest = HOP.split('&').filter(|pair| !pair.starts_with(field));
        let rest = rest.collect::<Vec<_>>().join("&");
        assert_eq!(decode(&rest).err(), Some(TurnError::Missing(key)));
        assert_eq!(decode(&format!("{HOP}&{field}=1")).err(), Some(TurnError::Twice(key)));
    }
    let long = format!("{HOP}{}", "9".repeat(Turn::CODE_LEN_MAX));
    assert_eq!(decode(&long).err(), Some(TurnError::Wrong("network")));
    let path = Request { path: "end", ..get(HOP) };
    assert_eq!(advanta().decode(&path).err().map(TurnError::status), Some(404));
    assert_eq!(advanta().decode_end(&path).err(), Some(TurnError::Path));
    let put = Request { method: "PUT", ..get(HOP) };
    assert_eq!(advanta().decode(&put).err().map(TurnError::status), Some(405));
    let json = Request { method: "POST", content_type: Some("application/json"), ..get(HOP) };
    assert_eq!(advanta().decode(&json).err().map(TurnError::status), Some(415));
}

proptest! {
    #[test]
    fn what_a_handset_sends_is_read_and_what_is_written_it_shows(
        typed in prop::collection::vec("[^*\\pC]{0,12}", 0..6),
        text in "\\PC{0,80}",
        ends in any::<bool>(),
    ) {
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let (session, number, service_code, network) = ("a1", "+254711000001", "*384*1#", "63902");
        let keyed = Keyed { session, number, service_code, network, typed: &typed, hop: 1 };
        let call = advanta().call(&keyed);
        let request = Request {
            method: call.method,
            content_type: call.content_type,
            body: call.body.as_bytes(),
            ..get(&call.query)
        };
        let mut turn = decode(HOP).unwrap();
        turn.input = Input::Cumulative(Redacted(typed.join("*").into()));
        prop_assert_eq!(advanta().decode(&request), Ok(Inbound::Turn(turn.clone())));
        prop_assert_eq!(advanta().hang_up(&keyed), None);
        let text = Arc::<str>::from(text);
        let screen = if ends { Screen::End(text) } else { Screen::Continue(text) };
        let reply = advanta().encode(&screen, &turn);
        let shown = Shown { status: reply.status, headers: &[], body: reply.body.expose() };
        prop_assert_eq!(advanta().shown(&shown), Some(screen));
    }
}
