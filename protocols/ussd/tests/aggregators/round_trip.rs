//! What a handset sends is what its aggregator reads, and what that writes is what it shows.

use crate::speakers::{ALICE, CODE, all, decode, end, keyed, turn};
use lastmile_ussd::{Call, Input, Screen, Shown};
use model::{DeviceId, Redacted};
use proptest::prelude::*;
use std::sync::Arc;

/// Whether what is dialled behind the code reaches us.
fn hears_the_dial(name: &str) -> bool {
    name != "beem"
}

/// Networks that an aggregator does not tell.
fn tells_the_network(name: &str) -> bool {
    !matches!(name, "truroute" | "flares" | "mtn_madapi")
}

fn expected(name: &str, typed: &[&str], hop: u32) -> Input {
    let all = Redacted(typed.join("*").into_boxed_str());
    match name {
        "africas_talking" | "con_end" => Input::Cumulative(all),
        name if hop == 0 && hears_the_dial(name) => Input::Dialled(all),
        _ if hop == 0 => Input::Dialled(Redacted("".into())),
        _ => Input::Latest(Redacted(typed.last().copied().unwrap_or("").into())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_call_is_read_as_it_was_keyed(
        typed in prop::collection::vec("[^*#\\pC]{0,12}", 0..5),
        hop in 0_u32..4,
    ) {
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        for speaker in all() {
            let keyed = keyed(&typed, hop);
            let turn = turn(&*speaker, &speaker.call(&keyed));
            let name = speaker.name();
            prop_assert_eq!((&*turn.session, &*turn.service_code), ("9f-1", CODE), "{}", name);
            prop_assert_eq!(&turn.device, &DeviceId::msisdn(ALICE).unwrap(), "{}", name);
            let network = if tells_the_network(name) { "63902" } else { "" };
            prop_assert_eq!(&*turn.network, network, "{}", name);
            prop_assert_eq!(turn.input, expected(name, &typed, hop), "{}", name);
        }
    }

    #[test]
    fn a_screen_is_shown_as_it_was_written(text in "[\\PC\n ]{0,80}", ends in any::<bool>()) {
        // One of them shows no blanks in front of a text.
        let text = Arc::<str>::from(text.trim_start());
        for speaker in all() {
            let turn = turn(&*speaker, &speaker.call(&keyed(&["1"], 1)));
            let screen = if ends { Screen::End(text.clone()) } else { Screen::Continue(text.clone()) };
            let reply = speaker.encode(&screen, &turn);
            let headers: Vec<(&str, &str)> =
                reply.headers.iter().map(|(name, value)| (*name, &**value)).collect();
            let shown = Shown { status: reply.status, headers: &headers, body: reply.body.expose() };
            prop_assert_eq!(speaker.shown(&shown), Some(screen), "{}", speaker.name());
            // Anything but 200 is no screen.
            prop_assert_eq!(speaker.shown(&Shown { status: 500, ..shown }), None);
        }
    }
}

#[test]
fn who_hangs_up_is_told_of_where_the_aggregator_tells() {
    for speaker in all() {
        let call = speaker.hang_up(&keyed(&["1"], 1));
        assert_eq!(call.is_some(), speaker.capabilities().end_report, "{}", speaker.name());
        let Some(call) = call else { continue };
        let report = end(&*speaker, &call);
        assert_eq!(&*report.session, "9f-1", "{}", speaker.name());
        if let Some(device) = report.device {
            assert_eq!(device, DeviceId::msisdn(ALICE).unwrap(), "{}", speaker.name());
        }
    }
}

#[test]
fn what_repeats_its_input_says_so() {
    for speaker in all() {
        let turn = turn(&*speaker, &speaker.call(&keyed(&["1", "2"], 2)));
        let repeats = matches!(turn.input, Input::Cumulative(_));
        assert_eq!(repeats, speaker.capabilities().cumulative, "{}", speaker.name());
    }
}

#[test]
fn neither_number_nor_keys_are_printed() {
    for speaker in all() {
        let call = speaker.call(&keyed(&["9876"], 1));
        let printed = format!("{call:?} {:?}", turn(&*speaker, &call));
        assert!(!printed.contains("9876") && !printed.contains("711000001"), "{printed}");
        let dial = speaker.call(&keyed(&["9876"], 0));
        let turn = turn(&*speaker, &dial);
        assert!(!turn.service_code.contains("9876"), "{}", speaker.name());
    }
}

#[test]
fn a_number_is_repaired() {
    const PLAIN: &str = "254711000001";
    for speaker in all() {
        let call = speaker.call(&keyed(&[], 0));
        let is_form = call.body.contains("%2B") || call.body.is_empty();
        let plus = if is_form { "%2B" } else { "+" };
        // Escaped, as a blank, which an unescaped plus is in a form, or left out.
        for sign in [plus, if is_form { "+" } else { " " }, ""] {
            let number = format!("{sign}{PLAIN}");
            let written = |text: &str| text.replace("%2B254", "254").replace(PLAIN, &number);
            let call =
                Call { query: written(&call.query), body: written(&call.body), ..call.clone() };
            let device = turn(&*speaker, &call).device;
            assert_eq!(device, DeviceId::msisdn(ALICE).unwrap(), "{}: {sign}", speaker.name());
        }
        // Of which country it is, is not said.
        let national = |text: &str| text.replace("%2B254", "254").replace("2547", "07");
        let call = Call { query: national(&call.query), body: national(&call.body), ..call };
        assert!(decode(&*speaker, &call).is_err(), "{}", speaker.name());
    }
}
