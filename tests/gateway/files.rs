//! Files both ways over real sockets: images that are resumed, cut, paced and refused, and what
//! devices send.
//!
//! Addresses are signed here as the daemon signs them, with the key that it made at its start.

use crate::backend::Backend;
use crate::daemon::{Daemon, until};
use crate::http::{self, Answer, Connection};
use crate::programs;
use firmware::{FileType, ImageName, Purpose, Sha256, Ticket, TicketKey};
use jiff::Timestamp;
use lastmile::secrets::{Vault, parse_key};
use libtest_mimic::Trial;
use model::{CommandId, DeviceId, Tenant};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::fs;
use std::time::{Duration, Instant};

const DEVICE: &str = "cwmp:00259E-HG8245-FILES";
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("files::an_image_is_fetched_whole_and_in_parts", whole_and_in_parts),
        crate::trial("files::an_address_is_for_one_file_and_a_while", one_file_and_a_while),
        programs::trial("files::curl_resumes_after_a_kill", &["curl"], curl_resumes),
        crate::trial("files::all_devices_together_keep_the_pace", the_pace_is_kept),
        crate::trial("files::who_finds_no_place_comes_again", no_place),
        programs::trial("files::a_device_sends_its_configuration", &["curl"], uploads),
        crate::trial("files::what_is_no_upload_is_refused", no_upload),
        crate::trial("files::a_kill_leaves_no_half_of_an_upload", killed_in_mid_upload),
        crate::trial("files::where_there_is_no_room_a_device_hears_it", no_room),
    ]
}

/// Signs addresses as the daemon does.
struct Signer(TicketKey);

impl Signer {
    fn of(daemon: &Daemon) -> Self {
        let key = parse_key(&fs::read(daemon.data().join("store.key")).unwrap()).unwrap();
        Self(TicketKey::new(Vault::new(&key).derive("file transfers")))
    }

    fn seal(&self, purpose: Purpose, seconds: i64) -> String {
        let ticket = Ticket {
            tenant: Tenant::default(),
            device: DeviceId::parse(DEVICE).unwrap(),
            command: CommandId::new("01HZZZZZZZZZZZZZZZZZZZZZZZ").unwrap(),
            purpose,
            expires_at: Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap(),
        };
        ticket.seal(&self.0)
    }

    fn image(&self, name: &str, content: &[u8], seconds: i64) -> String {
        let sha256 = Sha256(sha2::Sha256::digest(content).into());
        let token = self.seal(Purpose::image(ImageName::new(name).unwrap(), sha256), seconds);
        format!("/firmware/{token}/{name}")
    }

    fn inbox(&self, seconds: i64) -> String {
        let file_type = FileType::new("1 Vendor Configuration File").unwrap();
        format!("/uploads/{}", self.seal(Purpose::Inbox { file_type }, seconds))
    }
}

/// Bytes that are the same nowhere.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap()).collect()
}

fn put(daemon: &Daemon, name: &str, content: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", daemon.token());
    let path = format!("/api/v1/images/{name}");
    let headers = [("Authorization", &*bearer)];
    http::once(daemon.ports.operator, "PUT", &path, &headers, content).unwrap()
}

fn get(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Answer {
    http::once(daemon.ports.public, "GET", path, headers, b"").unwrap()
}

fn send(daemon: &Daemon, method: &str, path: &str, body: &[u8]) -> Answer {
    http::once(daemon.ports.public, method, path, &[], body).unwrap()
}

fn whole_and_in_parts() {
    let daemon = Daemon::start(None, &[]);
    let image = content(300_000);
    assert_eq!(put(&daemon, "fw.bin", &image).status, 201);
    let path = Signer::of(&daemon).image("fw.bin", &image, 60);

    let answer = get(&daemon, &path, &[]);
    assert_eq!(answer.status, 200);
    assert!(answer.body == image);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("content-length"), Some("300000"));
    let etag = answer.header("etag").unwrap().to_owned();

    let mut head = Connection::open(daemon.ports.public).unwrap();
    head.write(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9\r\n\r\n").as_bytes())
        .unwrap();
    // The next request on the connection shows that no body came with the answer to the first.
    head.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n").as_bytes())
        .unwrap();
    let text = read_until(&mut head, b"206 Partial");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains("content-length: 300000"), "{text}");

    for (range, status, part, said) in [
        ("bytes=0-0", 206, &image[..1], Some("bytes 0-0/300000")),
        ("bytes=299999-", 206, &image[299_999..], Some("bytes 299999-299999/300000")),
        ("bytes=-1000", 206, &image[299_000..], Some("bytes 299000-299999/300000")),
        ("bytes=100000-199999", 206, &image[100_000..200_000], Some("bytes 100000-199999/300000")),
        ("bytes=300000-", 416, &image[..0], Some("bytes */300000")),
        ("bytes=0-1,5-6", 200, &image[..], None),
        ("lines=1-2", 200, &image[..], None),
    ] {
        let answer = get(&daemon, &path, &[("Range", range)]);
        assert_eq!((answer.status, answer.header("content-range")), (status, said), "{range}");
        assert!(answer.body == part, "{range}");
    }
    let resumed = [("Range", "bytes=5-"), ("If-Range", &*etag)];
    assert_eq!(get(&daemon, &path, &resumed).status, 206);
    let changed = [("Range", "bytes=5-"), ("If-Range", "\"other\"")];
    assert_eq!(get(&daemon, &path, &changed).status, 200);
    let posted = send(&daemon, "POST", &path, b"");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));

    assert_eq!(put(&daemon, "fw.bin?replace=true", b"other").status, 200);
    assert_eq!(get(&daemon, &path, &[]).status, 410, "it was offered another content");
    let done = daemon.counted("lastmile_transfers_total", &["download", "done"]);
    assert!(done >= 8.0, "{done}");
    assert_eq!(daemon.counted("lastmile_transfers_active", &["download"]), 0.0);
    let bytes = daemon.counted("lastmile_transfers_bytes_total", &["download"]);
    assert!(bytes >= 1_300_000.0, "{bytes}");
}

fn read_until(connection: &mut Connection, wanted: &[u8]) -> String {
    let mut text = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !text.windows(wanted.len()).any(|it| it == wanted) {
        assert!(Instant::now() < deadline, "{}", String::from_utf8_lossy(&text));
        text.extend(connection.some().unwrap());
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn one_file_and_a_while() {
    let daemon = Daemon::start(None, &[("log", "level = \"trace\"")]);
    let image = content(1_000);
    put(&daemon, "fw.bin", &image);
    put(&daemon, "other.bin", &image);
    let signer = Signer::of(&daemon);
    let good = signer.image("fw.bin", &image, 60);
    assert_eq!(get(&daemon, &good, &[]).status, 200);
    let token = good.split('/').nth(2).unwrap();
    let foreign = Signer(TicketKey::new([9; 32]));
    let refused = [
        signer.image("fw.bin", &image, -1),
        foreign.image("fw.bin", &image, 60),
        format!("/firmware/{token}/other.bin"),
        format!("/firmware/{token}/"),
        format!("/firmware/{token}/..%2Ffw.bin"),
        format!("/firmware/{token}/%2e%2e"),
        format!("/firmware/{token}/fw.bin%00"),
        format!("/firmware/{token}/fw%2ebin"),
        format!("/firmware/{}/fw.bin", &token[1..]),
        format!("/firmware/{}A/fw.bin", token),
        format!("/firmware/{}/fw.bin", "A".repeat(5_000)),
        "/firmware/x/fw.bin".to_owned(),
        format!("/firmware/{}/fw.bin", signer.inbox(60).trim_start_matches("/uploads/")),
    ];
    let texts: Vec<_> = refused
        .iter()
        .map(|path| {
            let answer = get(&daemon, path, &[]);
            assert_eq!(answer.status, 403, "{path}");
            answer.text()
        })
        .collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "a stranger learns nothing: {texts:?}");
    for path in [
        format!("/firmware/{token}/../../store.key"),
        format!("/firmware/{token}/../fw.bin"),
        format!("/firmware/{token}/fw.bin/"),
        format!("/firmware/{token}"),
        "/firmware/".to_owned(),
        "/firmware/../data/store.key".to_owned(),
        "/images/default".to_owned(),
    ] {
        let status = get(&daemon, &path, &[]).status;
        assert!(matches!(status, 403 | 404), "{path}: {status}");
    }
    for (outcome, at_least) in
        [("ticket_expired", 1.0), ("ticket_forged", 3.0), ("ticket_malformed", 1.0)]
    {
        let counted = daemon.counted("lastmile_transfers_total", &["download", outcome]);
        assert!(counted >= at_least, "{outcome}: {counted}");
    }
    assert!(!daemon.log().contains(&token[..40]), "an address is in the log");
}

/// The transfer is paced, so that it is under way when the daemon dies.
fn curl_resumes() {
    let paced = [("firmware", "transfer_bandwidth = \"200 KiB\"")];
    let mut daemon = Daemon::start(None, &paced);
    let image = content(400 << 10);
    put(&daemon, "fw.bin", &image);
    let path = Signer::of(&daemon).image("fw.bin", &image, 600);
    let mut connection = Connection::open(daemon.ports.public).unwrap();
    connection.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < 100_000 {
        bytes.extend(connection.some().unwrap());
    }
    daemon.kill();
    let body = bytes.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    let file = daemon.path("fetched");
    fs::write(&file, &bytes[body..]).unwrap();

    daemon.start_again();
    let url = format!("http://127.0.0.1:{}{path}", daemon.ports.public);
    let file = file.display().to_string();
    let status = ["-sS", "-f", "-C", "-", "-o", &*file, "-w", "%{http_code}", &*url];
    assert_eq!(programs::succeed("curl", &status, b""), "206");
    assert!(fs::read(&file).unwrap() == image);
    let carried = daemon.counted("lastmile_transfers_bytes_total", &["download"]);
    assert!(carried < (image.len() - 90_000) as f64, "only the rest was carried: {carried}");
}

fn the_pace_is_kept() {
    let daemon = Daemon::start(None, &[("firmware", "bandwidth = \"200 KiB\"")]);
    let image = content(150 << 10);
    put(&daemon, "fw.bin", &image);
    let path = Signer::of(&daemon).image("fw.bin", &image, 600);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert!(get(&daemon, &path, &[]).body == image));
        }
    });
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_450), "300 KiB at 200 KiB/s took {took:?}");
}

fn no_place() {
    let settings = [("firmware", "transfers_max = 1\ntransfer_bandwidth = \"16 KiB\"")];
    let daemon = Daemon::start(None, &settings);
    let image = content(400 << 10);
    put(&daemon, "fw.bin", &image);
    let path = Signer::of(&daemon).image("fw.bin", &image, 600);
    let mut first = Connection::open(daemon.ports.public).unwrap();
    first.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    first.some().unwrap();
    let second = get(&daemon, &path, &[]);
    assert_eq!((second.status, second.header("retry-after")), (503, Some("60")));
    drop(first);
    // The place is free again as soon as the daemon has seen the other go.
    let mut rest = Connection::open(daemon.ports.public).unwrap();
    let range = [("Range", "bytes=-10")];
    assert!(until(PATIENCE, || { rest.request("GET", &path, &range, b"").unwrap().status == 206 }));
    assert!(daemon.counted("lastmile_transfers_total", &["download", "transfers_max"]) >= 1.0);
    assert!(daemon.counted("lastmile_transfers_total", &["download", "broken"]) >= 1.0);
}

fn meet(daemon: &Daemon) {
    daemon.call("PUT", "/api/v1/customers/C1", &json!({}));
    daemon.call("PUT", &format!("/api/v1/customers/C1/devices/{DEVICE}"), &Value::Null);
}

fn fetch(daemon: &Daemon, upload: &Value) -> Vec<u8> {
    let path = format!("/api/v1/uploads/{}/content", upload["id"].as_str().unwrap());
    let answer = daemon.api("GET", &path, &Value::Null);
    assert_eq!(answer.status, 200);
    answer.body
}

fn listed(daemon: &Daemon) -> Vec<Value> {
    let list = daemon.call("GET", &format!("/api/v1/devices/{DEVICE}/uploads"), &Value::Null);
    list["items"].as_array().unwrap().clone()
}

/// By PUT, by POST and as a form, with curl as the device.
fn uploads() {
    let backend = Backend::start();
    let daemon = Daemon::start(Some(&backend), &[]);
    meet(&daemon);
    let path = Signer::of(&daemon).inbox(600);
    let url = format!("http://127.0.0.1:{}{path}", daemon.ports.public);
    let config = content(2 << 20);
    let file = daemon.path("config.xml");
    fs::write(&file, &config).unwrap();
    let (file, data) = (file.display().to_string(), format!("@{}", file.display()));
    let form = format!("file=@{};filename=../../etc/config.xml", file);
    let named = format!("{url}/named.cfg");
    let ways: [(&[&str], &str, &str); 5] = [
        (&["-T", &*file, &*named], "201", "named.cfg"),
        // Chunked, as from a device that does not know how long its log is.
        (&["-T", "-", "-H", "Transfer-Encoding: chunked", &*url], "201", ""),
        (
            &["-H", "Content-Type: application/octet-stream", "--data-binary", &*data, &*url],
            "200",
            "",
        ),
        (&["-F", "note=hello", "-F", &*form, &*url], "200", "config.xml"),
        (&["-H", "Content-Type:", "--data-binary", &*data, &*url], "200", ""),
    ];
    for (index, (way, status, name)) in ways.into_iter().enumerate() {
        let arguments = [&["-sS", "-o", "/dev/null", "-w", "%{http_code}"], way].concat();
        let input: &[u8] = if way.contains(&"-") { &config } else { b"" };
        assert_eq!(programs::succeed("curl", &arguments, input), status, "{way:?}");
        let all = listed(&daemon);
        assert_eq!(all.len(), index + 1);
        let newest = &all[0];
        assert_eq!(newest["name"], name, "{way:?}");
        assert_eq!(newest["file_type"], "1 Vendor Configuration File");
        assert!(fetch(&daemon, newest) == config, "{way:?}");
    }
    let event = backend.wait_for("lastmile.upload.received", DEVICE);
    assert_eq!(event.data["bytes"], config.len());
    assert_eq!(event.data["command"], "01HZZZZZZZZZZZZZZZZZZZZZZZ");
    let audit = daemon.call("GET", "/api/v1/audit?limit=1", &Value::Null);
    assert_eq!(audit["items"][0]["action"], "upload.fetch");
    assert_eq!(daemon.counted("lastmile_transfers_total", &["upload", "done"]), 5.0);
}

fn no_upload() {
    let settings = [("files", "upload_max = \"64 KiB\"\nidle_timeout = \"1s\"")];
    let daemon = Daemon::start(None, &settings);
    meet(&daemon);
    let signer = Signer::of(&daemon);
    let (good, expired) = (signer.inbox(60), signer.inbox(-1));
    let image = signer.image("fw.bin", b"", 60);
    let token = image.split('/').nth(2).unwrap();
    assert_eq!(send(&daemon, "PUT", &expired, b"x").status, 403);
    assert_eq!(send(&daemon, "PUT", &format!("/uploads/{token}"), b"x").status, 403);
    assert_eq!(send(&daemon, "PUT", "/uploads/", b"x").status, 403);
    assert_eq!(send(&daemon, "PUT", &format!("{good}/a/b"), b"x").status, 404);
    assert_eq!(send(&daemon, "GET", &good, b"").status, 405);
    assert_eq!(send(&daemon, "PUT", &good, b"").status, 400);
    assert_eq!(send(&daemon, "PUT", &good, &content((64 << 10) + 1)).status, 413);
    assert_eq!(send(&daemon, "PUT", &good, &content(64 << 10)).status, 201);

    // One that does not say how long it is, and goes on.
    let mut endless = Connection::open(daemon.ports.public).unwrap();
    let head = format!("PUT {good} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    endless.write(head.as_bytes()).unwrap();
    for _ in 0..10 {
        // Once it was refused, the other side may be closed.
        let _ = endless.write(&[b"4000\r\n", &*content(0x4000), b"\r\n"].concat());
    }
    assert_eq!(endless.answer().unwrap().status, 413);

    // A form without a file, and one that breaks off.
    let kind = ("Content-Type", "multipart/form-data; boundary=XX");
    let field = "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n";
    let file =
        "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nhello\r\n";
    let port = daemon.ports.public;
    for (body, status) in [
        (format!("{field}--XX--\r\n"), 400),
        (field.to_owned(), 400),
        (file.to_owned(), 400),
        ("no form at all".to_owned(), 400),
        (format!("{field}{file}--XX--\r\n"), 200),
    ] {
        let answer = http::once(port, "POST", &good, &[kind], body.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{body}");
    }

    // A stranger is not even asked for his body; a device is, and then times out.
    let expect = |path: &str| {
        let mut connection = Connection::open(port).unwrap();
        let head = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 9";
        connection.write(format!("PUT {path} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).unwrap();
        connection
    };
    assert_eq!(expect(&expired).answer().unwrap().status, 403);
    let mut silent = expect(&good);
    assert_eq!(silent.answer().unwrap().status, 100);
    assert_eq!(silent.answer().unwrap().status, 408);
    assert_eq!(listed(&daemon).len(), 2);
    for outcome in ["too_long", "slow_body", "empty", "broken", "ticket_expired", "ticket_forged"] {
        let counted = daemon.counted("lastmile_transfers_total", &["upload", outcome]);
        assert!(counted >= 1.0, "{outcome}");
    }
}

fn killed_in_mid_upload() {
    let mut daemon = Daemon::start(None, &[]);
    meet(&daemon);
    let path = Signer::of(&daemon).inbox(600);
    let folder = daemon.data().join("uploads/default");
    let files = || fs::read_dir(&folder).map_or(0, Iterator::count);
    let mut upload = Connection::open(daemon.ports.public).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    upload.write(head.as_bytes()).unwrap();
    upload.write(&content(600_000)).unwrap();
    assert!(until(PATIENCE, || files() == 1));
    daemon.kill();
    assert_eq!(files(), 1, "the half is there");
    daemon.start_again();
    assert_eq!(files(), 0);
    assert!(listed(&daemon).is_empty());

    // Who only hangs up leaves nothing, either.
    let mut upload = Connection::open(daemon.ports.public).unwrap();
    upload.write(head.as_bytes()).unwrap();
    upload.write(&content(600_000)).unwrap();
    assert!(until(PATIENCE, || files() == 1));
    drop(upload);
    assert!(until(PATIENCE, || files() == 0));
    assert_eq!(send(&daemon, "PUT", &path, &content(1_000_000)).status, 201);
    assert_eq!(files(), 1);
    daemon.kill();
    daemon.start_again();
    assert!(fetch(&daemon, &listed(&daemon)[0]) == content(1_000_000));
}

fn no_room() {
    let settings = [
        ("files", "upload_max = \"1 MiB\"\nquota = \"1 MiB\""),
        ("firmware", "image_max = \"1 MiB\"\nquota = \"1 MiB\""),
    ];
    let daemon = Daemon::start(None, &settings);
    meet(&daemon);
    let path = Signer::of(&daemon).inbox(600);
    assert_eq!(send(&daemon, "PUT", &path, &content(600_000)).status, 201);
    assert_eq!(send(&daemon, "PUT", &path, &content(600_000)).status, 507);
    assert_eq!(send(&daemon, "PUT", &path, &content(400_000)).status, 201);
    let all = listed(&daemon);
    assert_eq!(all.len(), 2);
    let first = all[1]["id"].as_str().unwrap();
    daemon.call("DELETE", &format!("/api/v1/uploads/{first}"), &Value::Null);
    assert_eq!(send(&daemon, "PUT", &path, &content(600_000)).status, 201, "there is room again");

    assert_eq!(put(&daemon, "a.bin", &content(600_000)).status, 201);
    let refused = put(&daemon, "b.bin", &content(600_000));
    assert_eq!((refused.status, refused.json()["code"].clone()), (507, json!("no_space")));
    assert_eq!(put(&daemon, "b.bin", &content((1 << 20) + 1)).status, 413);
    daemon.call("DELETE", "/api/v1/images/a.bin", &Value::Null);
    assert_eq!(put(&daemon, "b.bin", &content(600_000)).status, 201);
}
