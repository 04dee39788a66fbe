//! What CPEs were recorded to say, said again to the daemon over sockets.
//!
//! The recordings are not part of this repository: `LASTMILE_SAMPLES` names a folder that has them,
//! whole conversations in `transcripts/cwmp/*.txt` and single messages in `samples/cwmp/*`. Without
//! it these tests say `ignored`.

mod conversation;
mod message;

use crate::http::{Answer, Connection};
use libtest_mimic::{Failed, Trial};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Most calls of ours that a device whose recording is over refuses, until it hears no more.
const CALLS_MAX: usize = 300;

pub(crate) fn trials() -> Vec<Trial> {
    let Some(root) = env::var_os("LASTMILE_SAMPLES").map(PathBuf::from) else {
        let ignored = |name: &str| {
            let trial = Trial::test(name, || Ok(()));
            trial.with_kind("needs LASTMILE_SAMPLES").with_ignored_flag(true)
        };
        return vec![ignored("recorded::conversations"), ignored("recorded::messages")];
    };
    let mut trials = of_folder(&root, "transcripts/cwmp", "conversation", conversation::replay);
    trials.extend(of_folder(&root, "samples/cwmp", "message", message::replay));
    trials
}

/// A test for each file of a folder, which must be there and hold some.
fn of_folder(root: &Path, folder: &str, kind: &str, replay: fn(&Path)) -> Vec<Trial> {
    let folder = root.join(folder);
    let entries = fs::read_dir(&folder).map(|it| it.flatten().map(|it| it.path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.sort();
    if files.is_empty() {
        let missing = format!("{} holds nothing", folder.display());
        let is_failure = env::var("LASTMILE_TEST_REQUIRE").is_ok_and(|it| it == "all");
        let trial = Trial::test(format!("recorded::{kind}s"), move || Err(Failed::from(missing)));
        return vec![trial.with_ignored_flag(!is_failure)];
    }
    let trial = |file: PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(format!("recorded::{kind}::{name}"), move || {
            replay(&file);
            Ok(())
        })
    };
    files.into_iter().map(trial).collect()
}

/// A recorded request: its head as it was, its body as it was.
struct Request {
    lines: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one that stands at the front of `bytes`; what follows its body is not part of it.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let ends = [b"\r\n\r\n".as_slice(), b"\n\n".as_slice()];
        let at =
            |end: &&[u8]| Some((bytes.windows(end.len()).position(|it| it == *end)?, end.len()));
        let (head, gap) = ends.iter().filter_map(at).min()?;
        let text = String::from_utf8_lossy(&bytes[..head]);
        let lines: Vec<String> =
            text.lines().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect();
        let request = Self { lines, body: Vec::new() };
        let rest = &bytes[head + gap..];
        let length = request.header("content-length").and_then(|it| it.parse().ok());
        // Some were written down by hand: what is more than white space belongs to the body.
        let body = match length.and_then(|length: usize| rest.split_at_checked(length)) {
            Some((body, more)) if more.trim_ascii().is_empty() => body,
            Some(_) => rest.trim_ascii(),
            None => rest,
        };
        Some(Self { body: body.to_vec(), ..request })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn is_post(&self) -> bool {
        self.lines.first().is_some_and(|line| line.starts_with("POST "))
    }

    /// As it was sent, but for the length, which is the body's, and the cookie, which is ours: in the
    /// shape that the device gave to the one it had.
    fn bytes(&self, cookie: &str) -> Vec<u8> {
        let is_chunked = self.header("transfer-encoding").is_some();
        let mut head = String::new();
        for line in &self.lines {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            match name.as_str() {
                "content-length" => {}
                "cookie" => {
                    let old = line.split([':', ';']).nth(1).unwrap_or_default().trim();
                    head.push_str(&line.replace(old, cookie));
                    head.push_str("\r\n");
                }
                _ => {
                    head.push_str(line);
                    head.push_str("\r\n");
                }
            }
        }
        if !is_chunked {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    fn kind(&self) -> String {
        kind(&String::from_utf8_lossy(&self.body))
    }
}

/// The name of what a SOAP body holds; empty for no envelope.
fn kind(envelope: &str) -> String {
    let body = envelope.split_once("Body").and_then(|(_, rest)| rest.split_once('>'));
    let inside = body.and_then(|(_, rest)| rest.split_once('<')).map_or("", |(_, rest)| rest);
    let name = inside.split([' ', '>', '/', '\r', '\n', '\t']).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default().to_owned()
}

/// The `cwmp:ID` of an envelope.
fn id(envelope: &str) -> Option<&str> {
    let (_, rest) = envelope.split_once(":ID")?;
    let (_, rest) = rest.split_once('>')?;
    rest.split('<').next().map(str::trim)
}

/// Fails unless `answer` is what TR-069 has for what was sent.
#[track_caller]
fn assert_answers(answer: &Answer, sent: &Request, what: &str) {
    let (kind_sent, text) = (sent.kind(), answer.text());
    let said = format!("{what}: {kind_sent} is answered by {} {text}", answer.status);
    match kind_sent.as_str() {
        "Inform"
        | "TransferComplete"
        | "GetRPCMethods"
        | "AutonomousTransferComplete"
        | "RequestDownload"
        | "Kicked"
        | "DUStateChangeComplete" => {
            assert_eq!(answer.status, 200, "{said}");
            assert_eq!(kind(&text), format!("{kind_sent}Response"), "{said}");
            let body = String::from_utf8_lossy(&sent.body);
            assert_eq!(id(&text), id(&body), "{said}");
        }
        _ => {
            assert!(matches!(answer.status, 200 | 204), "{said}");
            assert_eq!(answer.status == 204, text.is_empty(), "{said}");
            assert!(!kind(&text).ends_with("Response"), "{said}");
        }
    }
}

/// Refuses all that is still asked, until the daemon has no more to say and says so.
#[track_caller]
fn refuse_the_rest(connection: &mut Connection, cookie: &str, mut answer: Answer, what: &str) {
    for _ in 0..CALLS_MAX {
        if answer.status == 204 {
            return;
        }
        let text = answer.text();
        assert_eq!(answer.status, 200, "{what}: {text}");
        answer = refusal(connection, cookie, &text);
    }
    panic!("{what}: it asks for ever");
}

/// What a device that can do nothing says to `asked`: it takes values that it does not keep, refuses
/// all else, and gives the turn back after what was no call.
fn refusal(connection: &mut Connection, cookie: &str, asked: &str) -> Answer {
    let headers: &[(&str, &str)] = if cookie.is_empty() { &[] } else { &[("Cookie", cookie)] };
    let fault = "<s:Fault><faultcode>Server</faultcode><faultstring>CWMP fault</faultstring>\
         <detail><cwmp:Fault><FaultCode>9000</FaultCode></cwmp:Fault></detail></s:Fault>";
    let taken = "<cwmp:SetParameterValuesResponse><Status>0</Status>\
         </cwmp:SetParameterValuesResponse>";
    let id = id(asked).unwrap_or_default();
    let body = match kind(asked).as_str() {
        "SetParameterValues" => crate::cpe::envelope(id, taken),
        name if name.ends_with("Response") => String::new(),
        _ => crate::cpe::envelope(id, fault),
    };
    connection.request("POST", "/", headers, body.as_bytes()).unwrap()
}
