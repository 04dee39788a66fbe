//! Which session a request belongs to, whatever became of cookies and connections.

use super::peer::{Inform, Peer, assert_informed, call_of};
use super::{Rows, Scene};
use crate::daemon::until;
use crate::http::PATIENCE;
use serde_json::json;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: Rows = &[
    ("cookie_quoted", cookie_quoted),
    ("cookie_among_others_with_commas", cookie_with_commas),
    ("cookie_with_its_attributes", cookie_with_attributes),
    ("cookie_in_two_headers", cookie_in_two_headers),
    ("cookie_never_sent_back", no_cookie),
    ("wrong_cookie_on_the_right_connection", wrong_cookie),
    ("new_connection_with_the_right_cookie", new_connection),
    ("second_inform_on_one_connection", second_inform),
    ("inform_soon_after_a_dropped_session", dropped_session),
    ("inform_while_another_session_lives", living_session),
    ("empty_post_first", empty_post_first),
];

/// A session in which a call was made; the device may answer it.
fn asked(scene: &Scene, serial: &str) -> (Peer, super::peer::Call) {
    scene.known(serial);
    scene.command(serial, &json!({"kind": "get_parameters", "names": ["Device.A"]}));
    let mut peer = scene.peer();
    peer.call_in(serial);
    let call = peer.next("").expect("a command waits");
    assert_eq!(call.name, "GetParameterValues");
    (peer, call)
}

/// The session goes on when its cookie comes back as `written` has it, on another connection.
#[track_caller]
fn goes_on(scene: &Scene, serial: &str, written: impl Fn(&str) -> Vec<String>) {
    let (mut peer, call) = asked(scene, serial);
    let cookies = written(&std::mem::take(&mut peer.cookie));
    peer.reconnect();
    let cookies: Vec<(&str, &str)> = cookies.iter().map(|it| ("Cookie", it.as_str())).collect();
    let answer = peer.post_with(&cookies, &call.answered());
    assert_eq!(answer.status, 204, "{cookies:?}: {}", answer.text());
    let done = || scene.told("lastmile.command.completed", serial) == 1;
    assert!(until(PATIENCE, done), "{cookies:?}: what was read is kept");
}

fn cookie_quoted(scene: &Scene) {
    goes_on(scene, "QUOTE001", |cookie| {
        let (name, value) = cookie.split_once('=').unwrap();
        vec![format!("$Version=\"1\"; {name}=\"{value}\"; $Path=\"/\"")]
    });
}

fn cookie_with_commas(scene: &Scene) {
    goes_on(scene, "COMMA001", |cookie| vec![format!("a=b, {cookie},c=d")]);
}

fn cookie_with_attributes(scene: &Scene) {
    goes_on(scene, "ATTR0001", |cookie| vec![format!("{cookie}; Path=/; HttpOnly")]);
}

fn cookie_in_two_headers(scene: &Scene) {
    goes_on(scene, "TWO00001", |cookie| vec!["lastmile=0".to_owned(), cookie.to_owned()]);
}

fn no_cookie(scene: &Scene) {
    let (mut peer, call) = asked(scene, "NONE0001");
    peer.cookie.clear();
    assert_eq!(peer.post(&call.answered()).status, 204, "found by its connection");
}

fn wrong_cookie(scene: &Scene) {
    for cookie in ["lastmile=00000000000000000000000000000000", "lastmile=old", "session=1"] {
        let serial = format!("WRONG{}", cookie.len());
        let (mut peer, call) = asked(scene, &serial);
        peer.cookie = cookie.to_owned();
        assert_eq!(peer.post(&call.answered()).status, 204, "{cookie}");
    }
}

fn new_connection(scene: &Scene) {
    let (mut peer, call) = asked(scene, "AGAIN001");
    peer.reconnect();
    let begun = Instant::now();
    assert_eq!(peer.post(&call.answered()).status, 204);
    // It waits for a commit or two, and for nothing else.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

fn second_inform(scene: &Scene) {
    let superseded = || scene.daemon.counted("lastmile_cwmp_sessions_ended_total", &["superseded"]);
    let (mut peer, _unanswered) = asked(scene, "SECOND01");
    let before = superseded();
    peer.call_in("SECOND01");
    assert!(superseded() > before, "the old one is over");
    assert_eq!(peer.post("").status, 204, "the new one lives");
    // Another device on it, as behind a proxy: nor does that one get what was the first's.
    let mut peer = asked(scene, "SECOND02").0;
    peer.introduce("SECOND03");
    assert_ne!(peer.obey(), ["GetParameterValues"]);
    scene.met("SECOND03");
}

fn dropped_session(scene: &Scene) {
    let (peer, _unanswered) = asked(scene, "DROP0001");
    drop(peer);
    thread::sleep(Duration::from_millis(200));
    let mut peer = scene.peer();
    peer.call_in("DROP0001");
    assert_eq!(peer.post("").status, 204);
}

/// The old connection is still there, and what it sends belongs to nothing any more.
fn living_session(scene: &Scene) {
    let (mut old, call) = asked(scene, "TWIN0001");
    let mut new = scene.peer();
    new.call_in("TWIN0001");
    let answer = old.post(&call.answered());
    assert!(matches!(answer.status, 204 | 400), "{} {}", answer.status, answer.text());
    assert_eq!(call_of(&new.post("")).map(|it| it.name), None);
    assert_informed(&old.post(&Inform::of("TWIN0001").events(&["2 PERIODIC"]).envelope()));
}

fn empty_post_first(scene: &Scene) {
    let mut peer = scene.peer();
    assert_eq!(peer.post("").status, 204, "nobody must sign in");
    peer.introduce("EMPTY001");
    scene.met("EMPTY001");
}
