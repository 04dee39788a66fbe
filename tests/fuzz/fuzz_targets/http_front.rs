//! The headers of a request, as far as they are read without a socket.

#![no_main]

use cwmp::auth::Authorization;
use cwmp::frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, Vec<u8>)| {
    let (header, body) = input;
    for value in frame::cookies([header.as_str(), header.as_str()], "lastmile") {
        assert!(header.contains(value));
    }
    if let Ok(authorization) = Authorization::parse(&header) {
        assert!(authorization.username().len() <= header.len());
        assert!(!format!("{authorization:?}").is_empty());
    }
    let _ = frame::coding(&header);
    // Every byte becomes at most one character, of at most three bytes.
    assert!(frame::text(Some(&header), &body).len() <= 3 * body.len());
    if frame::is_blank(&body) {
        assert!(
            frame::text(None, &body).trim_matches(['\0', '\u{feff}']).trim().len() <= body.len()
        );
    }
});
