//! Aggregators, operators, and whoever else speaks HTTP.

use super::{CUT_OFF, Scene};
use crate::http::{self, Connection};
use crate::phone::form;
use serde_json::Value;

pub(super) fn public() {
    let mut scene = Scene::new();
    let path = format!("/ussd/home/{}", scene.daemon.home());
    let good = form("s-bad", "+254711000006", "");
    let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
    let twice = format!("{good}&text=1");
    let long = form("s-bad", "+254711000006", &"1*".repeat(1_000));
    let bodies: [(&str, String); 8] = [
        ("no session", good.replace("sessionId=s-bad", "x=y")),
        ("no number", good.replace("phoneNumber", "phone")),
        ("a number that is none", good.replace("%2B254711000006", "hello")),
        ("two texts", twice),
        ("a control character", format!("{good}%00%07")),
        ("a broken escape", format!("{good}%ZZ")),
        ("an empty body", String::new()),
        ("a long text", long),
    ];
    for (what, body) in bodies {
        scene.counted("ussd", what, |daemon| {
            let answer =
                http::once(daemon.ports.public, "POST", &path, &form_type, body.as_bytes())
                    .unwrap();
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        });
    }
    scene.counted("ussd", "JSON", |daemon| {
        let headers = [("Content-Type", "application/json")];
        let answer = http::once(daemon.ports.public, "POST", &path, &headers, b"{}").unwrap();
        assert!(matches!(answer.status, 400 | 415), "{}", answer.status);
    });
    scene.counted("ussd", "10 MB", |daemon| {
        let large = vec![b'x'; 10 << 20];
        if let Ok(answer) = http::once(daemon.ports.public, "POST", &path, &form_type, &large) {
            assert_eq!(answer.status, 413);
        }
    });
    for wrong in
        ["/", "/ussd", "/ussd/home", "/ussd/home/", "/ussd/other/x", "/ussd/home/../home/x"]
    {
        let answer =
            http::once(scene.daemon.ports.public, "POST", wrong, &form_type, good.as_bytes());
        assert_eq!(answer.unwrap().status, 404, "{wrong}");
    }
    scene.end();
}

pub(super) fn operator() {
    let mut scene = Scene::new();
    let token = format!("Bearer {}", scene.daemon.token());
    let port = scene.daemon.ports.operator;
    let json = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let put =
        |path: &str, body: &[u8]| http::once(port, "PUT", path, &json, body).map(|it| it.status);
    assert_eq!(put("/api/v1/customers/x", b"{").unwrap(), 400);
    assert_eq!(put("/api/v1/customers/x", b"{\"nmae\": 1}").unwrap(), 422);
    assert_eq!(put("/api/v1/customers/x", &[b'['; 100_000]).unwrap(), 422, "depth");
    assert_eq!(put("/api/v1/customers/%00", b"{}").unwrap() / 100, 4);
    assert_eq!(put("/api/v1/customers/%FF%FE", b"{}").unwrap() / 100, 4);
    assert_eq!(put(&format!("/api/v1/customers/{}", "x".repeat(10_000)), b"{}").unwrap() / 100, 4);
    if let Ok(status) = put("/api/v1/customers/x", &vec![b' '; 10 << 20]) {
        assert_eq!(status, 413);
    }
    let mut connection = Connection::open(port).unwrap();
    let many = (0..2000).map(|index| format!("X-{index}: y\r\n")).collect::<String>();
    let _ = connection.write(format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes());
    assert!(
        connection.answer().is_ok_and(|it| it.status / 100 == 4)
            || connection.is_closed_within(CUT_OFF)
    );
    let text = [("Authorization", token.as_str()), ("Content-Type", "text/plain")];
    let answer = http::once(port, "PUT", "/api/v1/customers/x", &text, b"{}").unwrap();
    assert_eq!(answer.status, 415);
    for path in [
        "/api/v1/devices?limit=0",
        "/api/v1/devices?limit=x",
        "/api/v1/devices?what=x",
        "/api/v1/devices?cursor=%00",
    ] {
        let answer = scene.daemon.api("GET", path, &Value::Null);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    let failures = scene.daemon.counted("lastmile_api_requests_total", &["status=\"400\""]);
    assert!(failures >= 5.0, "counted: {failures}");
    scene.all_is_well();
    scene.end();
}

/// What two parsers could read differently is refused, or is one request and no more.
pub(super) fn http_smuggling() {
    let mut scene = Scene::new();
    let hidden = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let requests = [
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
            hidden.len()
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef{hidden}"
        ),
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n{hidden}"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{hidden}"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc{hidden}"),
        format!("POST / HTTP/1.1\nHost: x\n X: folded\nContent-Length: 3\n\nabc{hidden}"),
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"
            .to_owned(),
        "\r\n\r\n\0\0\0\r\n\r\n".to_owned(),
        format!("POST /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000)),
    ];
    let ports = scene.daemon.ports;
    for request in &requests {
        for port in [ports.cwmp, ports.public, ports.operator] {
            let mut connection = Connection::open(port).unwrap();
            let _ = connection.write(request.as_bytes());
            let mut answers = 0;
            while let Ok(answer) = connection.answer() {
                answers += 1;
                let start = &request[..request.len().min(120)];
                // RFC 9112 6.1, 6.3: refused, or read by its chunks alone; and then closed.
                let by_chunks = request.contains("chunked\r\n\r\n0\r\n");
                let is_well = answer.status >= 400 || by_chunks;
                assert!(is_well, "{port} took {start:?}: {}", answer.status);
                assert_eq!(answers, 1, "{port} read the hidden request of {start:?}");
            }
        }
        scene.all_is_well();
    }
    scene.end();
}
