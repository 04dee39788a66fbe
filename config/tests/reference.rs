//! `lastmile.toml` and `REFERENCE.md` are written from the declarations of the keys.
//!
//! `UPDATE=1 cargo test -p lastmile-config` writes them anew; without it they are compared.

#![expect(clippy::disallowed_methods, reason = "a test compares files, and may write them")]

use lastmile_config::{Cause, Config, Entry};
use std::fmt::Write as _;
use std::path::Path;

/// Values for keys that have no default, as an operator would write them. The lines are commented
/// out in `lastmile.toml`.
const EXAMPLES: &[(&str, &str)] = &[
    ("store.url", r#""sqlite:/var/lib/lastmile/store.db""#),
    ("store.key_file", r#""/run/credentials/lastmile.service/store.key""#),
    ("cwmp.tls_listen", r#""0.0.0.0:7548""#),
    ("cwmp.url", r#""https://acs.example.net""#),
    ("cwmp.client_ca", r#""/etc/lastmile/cpe-ca.pem""#),
    ("cwmp.client_crl", r#""/etc/lastmile/cpe-crl.pem""#),
    ("cwmp.stun_listen", r#""0.0.0.0:3478""#),
    ("cwmp.stun_address", r#""stun.example.net:3478""#),
    ("cwmp.credential.username", r#""fleet""#),
    ("cwmp.credential.password_file", r#""/etc/lastmile/fleet.password""#),
    ("cwmp.quirk.oui", r#""00259E""#),
    ("cwmp.quirk.product_class", r#""HG8245""#),
    ("cwmp.quirk.model", r#""HG8245H""#),
    ("cwmp.quirk.software", r#""V3R017""#),
    ("cwmp.quirk.flags", r#"["skip_root_names"]"#),
    ("mqtt.tls_listen", r#""0.0.0.0:8883""#),
    ("mqtt.websocket_listen", r#""127.0.0.1:8083""#),
    ("mqtt.websocket_tls_listen", r#""0.0.0.0:8084""#),
    ("mqtt.client_ca_file", r#""/etc/lastmile/boards-ca.pem""#),
    ("mqtt.client_crl_file", r#""/etc/lastmile/boards-crl.pem""#),
    ("mqtt.publish_rate_tenant_max", "50_000"),
    ("mqtt.connect_rate_max", "5000"),
    ("mqtt.connections_per_address_max", "1000"),
    ("provisioning.profiles", r#""/etc/lastmile/profiles""#),
    ("provisioning.values_file", r#""/etc/lastmile/tenants.toml""#),
    ("public.url", r#""https://gateway.example.net""#),
    ("ussd.phrases", r#""/etc/lastmile/phrases""#),
    ("ussd.network.code", r#""63902""#),
    ("ussd.network.name", r#""safaricom""#),
    ("mpesa.base_url", r#""https://api.safaricom.co.ke""#),
    ("mpesa.consumer_key", r#""Hk3vL0sT""#),
    ("mpesa.consumer_secret_file", r#""/etc/lastmile/mpesa.secret""#),
    ("mpesa.passkey_file", r#""/etc/lastmile/mpesa.passkey""#),
    ("mpesa.short_code", r#""600000""#),
    ("mpesa.till", r#""700000""#),
    ("mpesa.callback_url", r#""https://gateway.example.net""#),
    ("sms.provider", r#""africas_talking""#),
    ("sms.base_url", r#""https://api.africastalking.com""#),
    ("sms.username", r#""lastmile""#),
    ("sms.api_key_file", r#""/etc/lastmile/sms.key""#),
    ("sms.sender", r#""22384""#),
    ("ussd.menus", r#""/etc/lastmile/menus""#),
    ("ussd.service.name", r#""home""#),
    ("ussd.service.menu", r#""home""#),
    ("ussd.service.aggregator", r#""africas_talking""#),
    ("ussd.service.code", r#""*384*123#""#),
    ("ussd.service.fields.session", r#""SESSIONID""#),
    ("ussd.service.fields.number", r#""MSISDN""#),
    ("ussd.service.fields.code", r#""USSDCODE""#),
    ("ussd.service.fields.text", r#""INPUT""#),
    ("ussd.service.fields.network", r#""NETWORK""#),
    ("sink.name", r#""crm""#),
    ("sink.url", r#""https://crm.example.net/lastmile""#),
    ("sink.secret_file", r#""/etc/lastmile/crm.secret""#),
    ("sink.broker", r#""mqtt://broker.example.net:1883""#),
    ("sink.username", r#""lastmile""#),
    ("sink.password_file", r#""/etc/lastmile/broker.password""#),
    ("sink.client_id", r#""lastmile-north""#),
    ("sink.ca_file", r#""/etc/lastmile/broker-ca.pem""#),
    ("tls.cert", r#""/etc/lastmile/tls.crt""#),
    ("tls.key", r#""/etc/lastmile/tls.key""#),
    ("backend.url", r#""https://hub.example.net""#),
    ("backend.token_file", r#""/etc/lastmile/hub.token""#),
    ("beam.secret_file", r#""/etc/lastmile/beam.secret""#),
    ("beam.tcp_listen", r#""0.0.0.0:8023""#),
    ("beam.udp_listen", r#""0.0.0.0:8024""#),
];

fn example(path: &str) -> &'static str {
    let found = EXAMPLES.iter().find(|(key, _)| *key == path);
    found.unwrap_or_else(|| panic!("{path} has no default and no example")).1
}

/// A doc comment's lines, without the space that follows its slashes.
fn doc_lines(doc: &str) -> impl Iterator<Item = &str> {
    doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line))
}

/// Longest line of `lastmile.toml`.
const WIDTH: usize = 100;

/// A list that is too long for one line, one entry a line.
fn folded(name: &str, value: &str) -> String {
    let line = format!("{name} = {value}");
    let Some(list) = value.strip_prefix('[').and_then(|it| it.strip_suffix(']')) else {
        return line;
    };
    if line.len() <= WIDTH {
        return line;
    }
    let entries: Vec<_> = list.split(", ").map(|entry| format!("    {entry},\n")).collect();
    format!("{name} = [\n{}]", entries.concat())
}

fn lastmile_toml() -> String {
    let mut text = "# lastmile's configuration: every key at its default, with the reason for it.\n\
        # A line that begins with `#` and no space is an example of a key that is absent by default.\n\
        # REFERENCE.md has the types and bounds; `lastmile check` names every fault of a file.\n#\n"
        .to_owned();
    let mut mark = "";
    for entry in Config::reference() {
        match entry {
            Entry::Section { header, doc } => {
                // The tables of a list are absent by default, but for the one service.
                let repeated = header.starts_with("[[") && header != "[[ussd.service]]";
                mark = if repeated { "#" } else { "" };
                if !header.is_empty() {
                    text.push('\n');
                }
                doc_lines(doc).for_each(|line| writeln!(text, "# {line}").expect("a string"));
                if !header.is_empty() {
                    writeln!(text, "{mark}{header}").expect("a string");
                }
            }
            Entry::Key { path, default, doc, .. } => {
                let name = path.rsplit('.').next().expect("a name");
                text.push('\n');
                doc_lines(doc).for_each(|line| writeln!(text, "# {line}").expect("a string"));
                let line = match default {
                    "none" => format!("#{name} = {}", example(path)),
                    "required" => format!("{mark}{name} = {}", example(path)),
                    default => format!("{mark}{}", folded(name, default)),
                };
                writeln!(text, "{line}").expect("a string");
            }
        }
    }
    text
}

fn reference_md() -> String {
    let mut text = "# Configuration\n\n\
        One TOML file, `/etc/lastmile/lastmile.toml` as installed. Written from the doc comments of \
        `config/src` (`UPDATE=1 cargo test -p lastmile-config`).\n\n\
        Unknown keys are refused. A duration is a string of a number and one of `ms`, `s`, `m`, `h`, \
        `d`; a size is one of a number and `B`, `KiB`, `MiB`, `GiB` or `TiB`. A *live* key takes \
        effect on SIGHUP, a *restart* key at the next start; SIGHUP logs which restart keys have \
        changed. `lastmile check` names every fault and every warning of a file.\n\n"
        .to_owned();
    for entry in Config::reference() {
        let (Entry::Section { doc, .. } | Entry::Key { doc, .. }) = &entry;
        let doc = doc_lines(doc).collect::<Vec<_>>().join(" ");
        match entry {
            Entry::Section { header: "", .. } => write!(text, "## Top of the file\n\n{doc}\n\n"),
            Entry::Section { header, .. } => write!(text, "## `{header}`\n\n{doc}\n\n"),
            Entry::Key { path, kind, default, reload, .. } => {
                let default = match default {
                    "none" => "absent by default".to_owned(),
                    "required" => "must be given".to_owned(),
                    default => format!("default `{default}`"),
                };
                let reload = reload.as_str();
                write!(text, "### `{path}`\n\n{kind} · {default} · {reload}\n\n{doc}\n\n")
            }
        }
        .expect("a string");
    }
    format!("{}\n", text.trim_end())
}

#[track_caller]
fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var("UPDATE").is_ok_and(|it| it == "1") {
        std::fs::write(&path, text).expect("the file is written");
    }
    let kept = std::fs::read_to_string(&path).expect("the file is there");
    assert!(kept == text, "{name} is not what the keys say: UPDATE=1 cargo test writes it");
}

#[test]
fn the_files_say_what_the_keys_say() {
    compare("lastmile.toml", &lastmile_toml());
    compare("REFERENCE.md", &reference_md());
}

#[test]
fn the_shown_file_is_the_defaults() {
    let shown = Config::parse(&lastmile_toml()).expect("a sound file");
    assert_eq!(shown, Config::default());
}

#[test]
fn every_key_is_shown_and_every_example_is_sound() {
    // With the examples taken in, nothing is wrong but that some of them exclude each other.
    let all: String = lastmile_toml()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|it| !it.starts_with(' ')).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let faults = Config::parse(&all).expect_err("examples that exclude each other");
    let other: Vec<_> = faults.iter().filter(|it| it.cause != Cause::Contradiction).collect();
    assert!(other.is_empty(), "{other:?}");

    let mut table = String::new();
    let mut shown = Vec::new();
    for line in all.lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = format!("{}.", header.trim_matches(['[', ']']));
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            shown.push(format!("{}{name}", if table == "." { "" } else { &table }));
        }
    }
    let keys = Config::reference().into_iter().filter_map(|entry| match entry {
        Entry::Key { path, .. } => Some(path.to_owned()),
        Entry::Section { .. } => None,
    });
    assert_eq!(shown, keys.collect::<Vec<_>>());
}

#[test]
fn everything_is_documented() {
    for entry in Config::reference() {
        let (name, doc) = match entry {
            Entry::Section { header, doc } => (header, doc),
            Entry::Key { path, doc, .. } => (path, doc),
        };
        let doc = doc.trim();
        assert!(doc.len() > 15 && doc.ends_with('.'), "{name}: {doc}");
        // A line of `lastmile.toml` begins with `# `.
        assert!(doc_lines(doc).all(|line| line.chars().count() + 2 <= WIDTH), "{name}");
    }
}
