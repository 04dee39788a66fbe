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
    // A name that goes on is another one, and one that something stands within is none.
    let is_plain = !before.contains(['<', '&']);
    for (body, is_whole) in [
        (format!("<E>{parameter}{after}</E>"), true),
        (format!("<E>{parameter}</E>{after}"), true),
        (format!("{before}{parameter}{after}"), is_plain),
    ] {
        let shown = blanked(None, body.as_bytes(), repeats, &options).text;
        assert!(!is_whole || !shown.contains(SECRET), "{body}\n{shown}");
    }
});
