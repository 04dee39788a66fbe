use super::blanked;
use crate::Options;

fn shown(body: &str) -> String {
    blanked(None, body.as_bytes(), false, &Options::default()).text
}

fn parameter(name: &str, value: &str) -> String {
    format!("<P><Name>{name}</Name>{value}</P>")
}

#[test]
fn a_secret_value_is_blanked_wherever_its_name_stands() {
    let open = parameter("Device.A", "<Value>open</Value>");
    let body = format!("<E>{open}{}</E>", parameter("D.Password", "<Value>s3cret</Value>"));
    assert_eq!(shown(&body), body.replace("s3cret", "…"));
    let turned = "<E><P><Value>s3cret</Value><Name>D.Password</Name></P></E>";
    assert_eq!(shown(turned), turned.replace("s3cret", "…"));
    for value in [
        "<Value><![CDATA[s3cret]]></Value>",
        "<Value>s3<b>cret</b>s3cret</Value>",
        "<Value><!-- s3cret -->x</Value>",
        "<Value>s3&amp;cret</Value>",
        "<Value><Name>s3cret</Name></Value>",
        "<Value><P><Name>D.A</Name><Value>s3cret</Value></P></Value>",
    ] {
        let shown = shown(&format!("<E>{}</E>", parameter("D.Password", value)));
        assert!(!shown.contains("s3") && !shown.contains("cret"), "{shown}");
    }
    let coded = "<E><P><Name>D.Pass&#119;ord</Name><Value>s3cret</Value></P></E>";
    assert!(!shown(coded).contains("s3cret"), "a name in any spelling");
    let within = format!("<E><Fault><FaultString>{}</FaultString></Fault></E>", &body[3..]);
    assert!(!shown(&within).contains("s3cret"), "{}", shown(&within));
    let nameless = "<E><P><Value>s3cret</Value></P></E>";
    assert!(!shown(nameless).contains("s3cret"), "nobody says what it is");
}

#[test]
fn where_files_are_is_blanked() {
    let body = "<E><Download><CommandKey>k</CommandKey><URL>http://u</URL><Username>n</Username>\
         <Password>p</Password><FileSize>5</FileSize></Download></E>";
    let expected = "<E><Download><CommandKey>k</CommandKey><URL>…</URL><Username>…</Username>\
         <Password>…</Password><FileSize>5</FileSize></Download></E>";
    assert_eq!(shown(body), expected);
    let vouchers = "<E><VoucherList><base64>YQ==</base64></VoucherList></E>";
    assert!(!shown(vouchers).contains("YQ"));
}

#[test]
fn a_fault_does_not_repeat_a_secret() {
    let part = |name: &str| {
        format!(
            "<SetParameterValuesFault><ParameterName>{name}</ParameterName><FaultCode>9007</FaultCode>\
             <FaultString>bad: s3cret</FaultString></SetParameterValuesFault>"
        )
    };
    let body = |name: &str| {
        format!("<E><Fault><FaultString>outer</FaultString>{}</Fault></E>", part(name))
    };
    assert!(shown(&body("D.A")).contains("s3cret"));
    assert!(!shown(&body("D.Password")).contains("s3cret"));
    assert!(shown(&body("D.Password")).contains("outer"));
    let after = blanked(None, body("D.A").as_bytes(), true, &Options::default());
    assert!(!after.text.contains("s3cret") && !after.text.contains("outer"), "{}", after.text);
}

#[test]
fn what_is_not_understood_is_not_shown() {
    assert_eq!(shown("  \r\n"), "");
    assert!(!shown("s3cret").contains("s3cret"));
    assert!(!shown("<E/> s3cret").contains("s3cret"));
    let body = format!("<E>{}</E>", parameter("D.Password", "<Value>s3cret</Value>"));
    for cut in 0..body.len() {
        let shown = shown(&body[..cut]);
        assert!(!shown.contains("s3"), "{shown}");
    }
    let open = "<E><a b=\"<P><Name>D.Password</Name><Value>s3cret</Value></P>\"/></E>";
    assert!(!shown(open).contains("s3cret"), "a quote that takes up a parameter");
    let deep = format!("{}s3cret", "<a>".repeat(100));
    assert!(!shown(&deep).contains("s3cret"));
    assert!(!shown("<!-- s3cret --><E><!-- s3cret --></E>").contains("s3cret"));
    let long = "<E>".repeat(2 << 20);
    assert!(shown(&long).len() < 100);
}

#[test]
fn secrets_are_counted() {
    let count = |body: &str| blanked(None, body.as_bytes(), false, &Options::default()).secrets;
    assert_eq!(count("<E><P><Name>D.A</Name><Value>v</Value></P></E>"), 0);
    assert_eq!(count("<E><P><Name>D.Key</Name><Value>v</Value></P></E>"), 1);
}
