//! A body whose secret nobody may read, whatever stands around it.

#![no_main]

use cwmp::Options;
use cwmp::trace::blanked;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "s3cr3t";

fuzz_target!(|around: (String, String, bool)| {
    let (before, after, repeats) = around;
    let options = Options { body_bytes_max: 64 << 10, ..Options::default() };
    let _ = blanked(None, before.as_bytes(), repeats, &options);
    if before.contains(SECRET) || after.contains(SECRET) {
        return;
    }
    // The parameter is whole; what is before and after it is not.
    let parameter = format!("<P><Name>Device.Password</Name><Value>{SECRET}</Value></P>");
    for body in [
        format!("<E>{parameter}{after}</E>"),
        format!("<E>{parameter}</E>{after}"),
        format!("{before}{parameter}{after}"),
    ] {
        // What makes an attribute, a comment's end or character data of it is no parameter any more.
        if body.starts_with("<E>") || !before.contains(['<', '&']) {
            let shown = blanked(None, body.as_bytes(), repeats, &options).text;
            assert!(!shown.contains(SECRET), "{body}\n{shown}");
        }
    }
});
