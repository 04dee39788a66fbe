//! Known answers, and every way a header may come.

use super::*;
use model::Monotonic;

fn at(seconds: i64) -> Now {
    let wall = jiff::Timestamp::from_second(1_800_000_000 + seconds).unwrap();
    Now { monotonic: Monotonic::ZERO, wall }
}

fn key() -> NonceKey {
    NonceKey::new([7; 32])
}

/// What a client makes of our challenge.
fn client(algorithm: &str, qop: Option<&str>, nc: &str, password: &str, now: Now) -> String {
    let challenge = challenge(&key(), false, now).md5;
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let hash = match algorithm {
        "MD5" | "MD5-sess" => Algorithm::Md5,
        _ => Algorithm::Sha256,
    };
    let mut ha1 = hash.hash(&["cpe", REALM, password]);
    if algorithm.ends_with("-sess") {
        ha1 = hash.hash(&[&ha1, nonce, "abc"]);
    }
    let ha2 = hash.hash(&["POST", "/acs"]);
    let (response, extra) = match qop {
        Some(qop) => (
            hash.hash(&[&ha1, nonce, nc, "abc", qop, &ha2]),
            format!(", qop={qop}, nc={nc}, cnonce=\"abc\""),
        ),
        None => (hash.hash(&[&ha1, nonce, &ha2]), String::from(", cnonce=\"abc\"")),
    };
    format!(
        "Digest username=\"cpe\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"/acs\", \
         response=\"{response}\", algorithm={algorithm}{extra}"
    )
}

fn verify(header: &str, ha1: Option<&Ha1>, now: Now) -> Result<NonceUse, AuthError> {
    match Authorization::parse(header)? {
        Authorization::Digest(digest) => digest.verify("POST", ha1, &key(), now),
        Authorization::Basic { .. } => panic!("{header}"),
    }
}

/// RFC 7616 3.9.1: its nonce is not ours, so a right answer is `Stale` and a wrong one `Wrong`.
#[test]
fn known_answers_of_the_rfc() {
    let header = |algorithm: &str, response: &str| {
        format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
             nc=00000001, cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
             response=\"{response}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    };
    let parts = ["Mufasa", "http-auth@example.org", "Circle of Life"];
    let ha1 = Ha1 { md5: joined::<Md5>(&parts).into(), sha256: joined::<Sha256>(&parts).into() };
    let check = |algorithm, response| {
        let Authorization::Digest(it) = Authorization::parse(&header(algorithm, response)).unwrap()
        else {
            panic!("a digest")
        };
        it.verify("GET", Some(&ha1), &key(), at(0))
    };
    let sha = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
    assert_eq!(check("MD5", "8ca523f5e9506fed4657c9700eebdbec"), Err(AuthError::Stale));
    assert_eq!(check("SHA-256", sha), Err(AuthError::Stale));
    assert_eq!(check("MD5", "8ca523f5e9506fed4657c9700eebdbed"), Err(AuthError::Wrong));
    let other = sha.replace("753927", "753928");
    assert_eq!(check("SHA-256", &other), Err(AuthError::Wrong));
}

/// A client that joins the two challenges and keeps the last `algorithm`, though it only has MD5.
#[test]
fn the_hash_is_known_by_its_length() {
    let ha1 = Ha1::new("cpe", "secret");
    for (made_with, says) in [("MD5", "SHA-256"), ("SHA-256", "MD5"), ("MD5-sess", "SHA-256-sess")]
    {
        let of = |password| {
            let answer = client(made_with, Some("auth"), "00000001", password, at(0));
            answer.replace(&format!("algorithm={made_with}"), &format!("algorithm={says}"))
        };
        assert!(verify(&of("secret"), Some(&ha1), at(1)).is_ok(), "{made_with} as {says}");
        assert_eq!(verify(&of("Secret"), Some(&ha1), at(1)), Err(AuthError::Wrong));
    }
    let unoffered = client("MD5", Some("auth"), "00000001", "secret", at(0));
    let unoffered = unoffered.replace("algorithm=MD5", "algorithm=SHA-512-256");
    assert_eq!(verify(&unoffered, Some(&ha1), at(1)), Err(AuthError::Unsupported));
}

#[test]
fn every_kind_of_answer_is_checked() {
    let ha1 = Ha1::new("cpe", "secret");
    for algorithm in ["MD5", "SHA-256", "MD5-sess", "SHA-256-sess"] {
        for qop in [Some("auth"), None] {
            let right = client(algorithm, qop, "00000001", "secret", at(0));
            assert!(verify(&right, Some(&ha1), at(1)).is_ok(), "{algorithm} {qop:?}");
            assert_eq!(verify(&right, None, at(1)), Err(AuthError::Wrong), "unknown user");
            let wrong = client(algorithm, qop, "00000001", "Secret", at(0));
            assert_eq!(verify(&wrong, Some(&ha1), at(1)), Err(AuthError::Wrong));
        }
    }
    let odd = client("MD5", Some("auth-int"), "00000001", "secret", at(0));
    assert_eq!(verify(&odd, Some(&ha1), at(1)), Err(AuthError::Unsupported));
    let bare = client("MD5", None, "", "secret", at(0)).replace(", algorithm=MD5", "");
    assert!(verify(&bare, Some(&ha1), at(0)).is_ok(), "no algorithm is MD5");
    assert_eq!(verify(&bare.replace("/acs", "/x"), Some(&ha1), at(0)), Err(AuthError::Wrong));
    // An unknown user must not be let in by the hash of nobody.
    assert_eq!(Ha1::from_bytes(&ha1.to_bytes()), Some(ha1));
    assert_eq!(Ha1::from_bytes(&[0; 47]), None);
}

#[test]
fn nonces_age() {
    let ha1 = Ha1::new("cpe", "secret");
    let header = client("MD5", Some("auth"), "00000001", "secret", at(0));
    assert!(verify(&header, Some(&ha1), at(300)).is_ok());
    assert_eq!(verify(&header, Some(&ha1), at(301)), Err(AuthError::Stale));
    assert_eq!(verify(&header, Some(&ha1), at(-1)), Err(AuthError::Stale), "from the future");
    let Authorization::Digest(digest) = Authorization::parse(&header).unwrap() else { panic!() };
    let other = NonceKey::new([8; 32]);
    assert_eq!(digest.verify("POST", Some(&ha1), &other, at(0)), Err(AuthError::Stale));
    assert!(challenge(&key(), true, at(0)).sha256.ends_with(", stale=true"));
}

/// Some devices have room for 32 characters and cut the rest off; the same leave the uri empty.
#[test]
fn a_nonce_is_as_short_as_devices_keep_it() {
    let kept: String = key().nonce(at(0)).chars().take(32).collect();
    let ha1 = Ha1::new("cpe", "secret");
    let secret = ha1.hex(Algorithm::Md5);
    let response = Algorithm::Md5.hash(&[&secret, &kept, &Algorithm::Md5.hash(&["POST", ""])]);
    let header = format!(
        "Digest username=\"cpe\", realm=\"{REALM}\", nonce=\"{kept}\", uri=\"\", \
         response=\"{response}\""
    );
    assert!(verify(&header, Some(&ha1), at(1)).is_ok());
}

#[test]
fn an_answer_serves_once() {
    let used = |seconds, count| {
        let key = key();
        key.check(&key.nonce(at(seconds)), Some(count), at(seconds)).unwrap()
    };
    let mut window = NonceWindow::new(2);
    let mut take = |seconds, count| window.accept(used(seconds, count), at(seconds));
    assert_eq!(take(0, 1), Ok(()));
    assert_eq!(take(0, 1), Err(AuthError::Replayed));
    assert_eq!(take(0, 5), Ok(()));
    assert_eq!(take(0, 3), Ok(()), "out of order");
    assert_eq!(take(0, 3), Err(AuthError::Replayed));
    assert_eq!(take(0, 100), Ok(()));
    assert_eq!(take(0, 5), Err(AuthError::Replayed), "beyond the window");
    assert_eq!(take(0, 101), Ok(()));
    assert_eq!(take(1, 1), Ok(()));
    assert_eq!(take(2, 1), Ok(()), "full: the oldest is forgotten");
    assert_eq!(take(0, 102), Err(AuthError::Stale), "and refused since");
    assert_eq!(take(400, 1), Ok(()));
    assert_eq!(take(2, 2), Err(AuthError::Stale), "the expired are forgotten");
    let uncounted = key().check(&key().nonce(at(0)), None, at(0)).unwrap();
    assert_eq!(window.accept(uncounted, at(0)), Ok(()));
    assert_eq!(window.accept(uncounted, at(0)), Ok(()));
}

#[test]
fn headers_as_devices_write_them() {
    let parse = |header: &str| Authorization::parse(header);
    let odd =
        "DIGEST  username = \"a\\\"b, c\" ,nonce=n,response=r,, unknown=\"x=y,z\",uri=\"/?a=b\"";
    let Ok(Authorization::Digest(digest)) = parse(odd) else { panic!("{:?}", parse(odd)) };
    assert_eq!((&*digest.username, &*digest.uri), ("a\"b, c", "/?a=b"));
    let Ok(basic) = parse("basic Y3BlOnA6dw==") else { panic!() };
    assert_eq!(basic.username(), "cpe");
    let Authorization::Basic { password, .. } = &basic else { panic!() };
    assert_eq!(&**password.expose(), "p:w");
    assert!(!format!("{basic:?}").contains("p:w"));
    assert!(Ha1::new("cpe", "p:w").matches("cpe", "p:w"));
    assert!(!Ha1::new("cpe", "p:w").matches("cpe", "p"));
    for unreadable in
        ["", "Digest", "Basic !", "Basic Y3Bl", "Digest username=\"a", "Digest a=\"b\""]
    {
        assert_eq!(parse(unreadable), Err(AuthError::Unreadable), "{unreadable}");
    }
    assert_eq!(parse("Bearer x"), Err(AuthError::Unsupported));
    assert_eq!(parse(&format!("Digest {}", "a".repeat(5000))), Err(AuthError::Unreadable));
}

#[test]
fn one_answer_for_ever_must_still_be_right_and_to_a_nonce_of_ours() {
    let ha1 = Ha1::new("cpe", "secret");
    let repeated = |header: &str, key: &NonceKey| {
        let Authorization::Digest(digest) = Authorization::parse(header).unwrap() else { panic!() };
        digest.verify_repeated("POST", Some(&ha1), key)
    };
    let header = client("MD5", Some("auth"), "00000001", "secret", at(0));
    assert_eq!(verify(&header, Some(&ha1), at(400_000)), Err(AuthError::Stale));
    for _ in 0..2 {
        assert_eq!(repeated(&header, &key()), Ok(()));
    }
    assert_eq!(repeated(&header, &NonceKey::new([8; 32])), Err(AuthError::Stale));
    let wrong = client("MD5", Some("auth"), "00000001", "Secret", at(0));
    assert_eq!(repeated(&wrong, &key()), Err(AuthError::Wrong));
}
