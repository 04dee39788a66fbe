//! Messages of real devices, which are not part of this repository: read where
//! `LASTMILE_SAMPLES` names a folder with `samples/cwmp/*.{xml,http}` and `transcripts/cwmp/*.txt`.

#![expect(clippy::disallowed_methods, reason = "a test may read files and the environment")]

use crate::cwmp::{Body, Message, Options, decode};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::{env, fs};

/// Reads, and reads again what is written of it.
fn understood(body: &[u8], what: &str) -> Message {
    let read = decode(None, body, &Options::default());
    let message = read.unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = decode(None, message.encode().as_bytes(), &Options::default());
    let again = again.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(again.body, message.body, "{what}");
    message
}

fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let Some(root) = env::var_os("LASTMILE_SAMPLES") else {
        // Past the harness, which keeps what a passing test prints to itself.
        let _ = writeln!(io::stderr(), "SKIPPED {folder}: LASTMILE_SAMPLES is not set");
        return Vec::new();
    };
    let folder = PathBuf::from(root).join(folder);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| endings.iter().any(|it| path.extension().is_some_and(|end| end == *it)))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

/// The body of a recorded request, unchunked where it is chunked.
fn http_body(request: &[u8]) -> Vec<u8> {
    let split = |separator: &[u8]| {
        let at = request.windows(separator.len()).position(|it| it == separator)?;
        Some((&request[..at], &request[at + separator.len()..]))
    };
    let (head, body) = split(b"\r\n\r\n").or_else(|| split(b"\n\n")).unwrap();
    if !String::from_utf8_lossy(head).to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_vec();
    }
    let mut whole = Vec::new();
    let mut rest = body;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&rest[..end]);
        let Ok(size) = usize::from_str_radix(line.trim(), 16) else { break };
        let chunk = &rest[end + 1..];
        let size = size.min(chunk.len());
        whole.extend_from_slice(&chunk[..size]);
        rest = chunk[size..].trim_ascii_start();
        if size == 0 {
            break;
        }
    }
    whole
}

#[test]
fn samples_are_understood() {
    for path in files("samples/cwmp", &["xml", "http"]) {
        let bytes = fs::read(&path).unwrap();
        let is_http = path.extension().is_some_and(|it| it == "http");
        let body = if is_http { http_body(&bytes) } else { bytes };
        let message = understood(&body, &path.display().to_string());
        assert!(
            !matches!(message.body, Body::Unknown { .. } | Body::Empty),
            "{}: {}",
            path.display(),
            message.body.name()
        );
        println!("{}: {}", path.display(), message.body.name());
    }
}

/// Every body of a recorded conversation: the device's, and what the other side said to it.
#[test]
fn recorded_conversations_are_understood() {
    for path in files("transcripts/cwmp", &["txt"]) {
        let text = fs::read_to_string(&path).unwrap();
        let (mut heard, mut told) = (0, 0);
        for entry in text.split("\n===") {
            let title = entry.lines().next().unwrap_or_default();
            let is_device = title.contains("CPE>ACS");
            let is_answer = title.contains("ACS>CPE");
            let entry = entry.replace('\r', "");
            let (head, body) = entry.split_once("\n\n").unwrap_or((&entry, ""));
            let is_request = is_device && head.contains("POST ");
            let is_spoken = is_request || is_answer && head.contains("HTTP/1.1 200");
            if !is_spoken {
                continue;
            }
            let what = format!("{} {title}", path.display());
            if is_request {
                let message = understood(body.as_bytes(), &what);
                assert!(!matches!(message.body, Body::Unknown { .. }), "{what}");
                heard += 1;
            } else if decode(None, body.as_bytes(), &Options::default()).is_ok() {
                // The other side also said what is nothing, to see what happens.
                understood(body.as_bytes(), &what);
                told += 1;
            }
        }
        assert!(heard > 0, "{} has no request", path.display());
        println!("{}: {heard} requests, {told} answers", path.display());
    }
}
