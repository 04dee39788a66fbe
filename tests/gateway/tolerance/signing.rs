//! How devices sign in, where they must.

use super::peer::{Inform, Peer, assert_informed};
use super::{Rows, Scene};
use crate::cpe::Cpe;
use crate::http::Answer;
use digest_auth::{AuthContext, HttpMethod};

pub(super) const ROWS: Rows = &[
    ("empty_post_first_is_challenged", empty_post_first),
    ("authorization_on_the_inform_only", on_the_inform_only),
    ("authorization_on_every_post", on_every_post),
    ("authorization_after_the_empty_post", after_the_empty_post),
    ("digest_without_qop", without_qop),
    ("basic_before_it_is_asked", basic_first),
];

/// Answers the first challenge of an answer.
fn signed(scene: &Scene, challenge: &Answer) -> String {
    let mut cpe = Cpe::new(scene.daemon.ports.cwmp, "", &scene.daemon.enrolment());
    cpe.username = "enrol".to_owned();
    cpe.sign(challenge).unwrap()
}

fn challenged(peer: &mut Peer, body: &str) -> Answer {
    let answer = peer.post(body);
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(answer.header("www-authenticate").is_some());
    answer
}

fn empty_post_first(scene: &Scene) {
    let mut peer = scene.peer();
    let challenge = challenged(&mut peer, "");
    let authorization = signed(scene, &challenge);
    let inform = Inform::of("SIGN0001").envelope();
    assert_informed(&peer.post_with(&[("Authorization", &authorization)], &inform));
}

fn on_the_inform_only(scene: &Scene) {
    let mut peer = scene.peer();
    let inform = Inform::of("SIGN0002").envelope();
    let authorization = signed(scene, &challenged(&mut peer, &inform));
    assert_informed(&peer.post_with(&[("Authorization", &authorization)], &inform));
    assert_ne!(peer.obey(), Vec::<String>::new(), "it is set up without another proof");
    // The session is over: so is its proof, by connection and by cookie.
    challenged(&mut peer, "");
}

/// The same nonce with a rising count, as RFC 7616 3.3 has it.
fn on_every_post(scene: &Scene) {
    let mut peer = scene.peer();
    let inform = Inform::of("SIGN0003").envelope();
    let challenge = challenged(&mut peer, &inform);
    let mut prompt = digest_auth::parse(challenge.header("www-authenticate").unwrap()).unwrap();
    let secret = scene.daemon.enrolment();
    let mut sign = || {
        let context =
            AuthContext::new_with_method("enrol", &secret, "/", None::<&[u8]>, HttpMethod::POST);
        prompt.respond(&context).unwrap().to_header_string()
    };
    let authorization = sign();
    assert_informed(&peer.post_with(&[("Authorization", &authorization)], &inform));
    let mut answer = peer.post_with(&[("Authorization", &sign())], "");
    let mut calls = 0;
    while let Some(call) = super::peer::call_of(&answer) {
        calls += 1;
        answer = peer.post_with(&[("Authorization", &sign())], &call.answered());
    }
    assert!(calls > 0, "it is set up");
}

/// A client that lets an empty POST be challenged, signs that, and then says who it is.
fn after_the_empty_post(scene: &Scene) {
    let mut peer = scene.peer();
    let challenge = challenged(&mut peer, "");
    let mut prompt = digest_auth::parse(challenge.header("www-authenticate").unwrap()).unwrap();
    let secret = scene.daemon.enrolment();
    let mut sign = || {
        let context =
            AuthContext::new_with_method("enrol", &secret, "/", None::<&[u8]>, HttpMethod::POST);
        prompt.respond(&context).unwrap().to_header_string()
    };
    assert_eq!(peer.post_with(&[("Authorization", &sign())], "").status, 204);
    let inform = Inform::of("SIGN0004").envelope();
    assert_informed(&peer.post_with(&[("Authorization", &sign())], &inform));
}

/// RFC 2069's way, though `qop` is offered.
fn without_qop(scene: &Scene) {
    let mut peer = scene.peer();
    let inform = Inform::of("SIGN0005").envelope();
    let challenge = challenged(&mut peer, &inform);
    let offered = challenge.header("www-authenticate").unwrap().replace("qop=\"auth\", ", "");
    assert!(!offered.contains("qop"), "{offered}");
    let mut prompt = digest_auth::parse(&offered).unwrap();
    let secret = scene.daemon.enrolment();
    let context =
        AuthContext::new_with_method("enrol", &secret, "/", None::<&[u8]>, HttpMethod::POST);
    let authorization = prompt.respond(&context).unwrap().to_header_string();
    assert!(!authorization.contains("cnonce"), "{authorization}");
    assert_informed(&peer.post_with(&[("Authorization", &authorization)], &inform));
}

fn basic_first(scene: &Scene) {
    let mut peer = scene.peer();
    let inform = Inform::of("SIGN0006").envelope();
    let basic = [("Authorization", "Basic b3RoZXI6d3Jvbmc=")];
    let challenge = peer.post_with(&basic, &inform);
    assert_eq!(challenge.status, 401);
    let authorization = signed(scene, &challenge);
    assert_informed(&peer.post_with(&[("Authorization", &authorization)], &inform));
}
