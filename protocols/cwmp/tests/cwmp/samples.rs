//! Messages of real devices, which are not part of this repository: read where
//! `LASTMILE_SAMPLES` names a folder with `samples/cwmp/*.{xml,http}` and `transcripts/cwmp/*.txt`.

#![expect(clippy::disallowed_methods, reason = "a test may read files and the environment")]

use crate::cwmp::{Body, Options, decode};
use std::path::PathBuf;
use std::{env, fs};

fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let Some(root) = env::var_os("LASTMILE_SAMPLES") else {
        println!("ignored: LASTMILE_SAMPLES is not set");
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
        let read = decode(None, &body, &Options::default());
        let message = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(
            !matches!(message.body, Body::Unknown { .. } | Body::Empty),
            "{}: {}",
            path.display(),
            message.body.name()
        );
        println!("{}: {}", path.display(), message.body.name());
    }
}

/// Every body that a device sent in a recorded conversation.
#[test]
fn recorded_conversations_are_understood() {
    for path in files("transcripts/cwmp", &["txt"]) {
        let text = fs::read_to_string(&path).unwrap();
        let mut read = 0;
        for entry in text
            .split("\n===")
            .filter(|it| it.lines().next().is_some_and(|it| it.contains("CPE>ACS")))
        {
            let entry = entry.replace('\r', "");
            let (head, body) = entry.split_once("\n\n").unwrap_or((&entry, ""));
            if !head.contains("POST ") {
                continue;
            }
            let message = decode(None, body.as_bytes(), &Options::default());
            let message =
                message.unwrap_or_else(|error| panic!("{}: {error}\n{entry}", path.display()));
            assert!(!matches!(message.body, Body::Unknown { .. }), "{}", path.display());
            read += 1;
        }
        assert!(read > 0, "{} has no request", path.display());
        println!("{}: {read} requests", path.display());
    }
}
