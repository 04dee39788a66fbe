//! The architecture, as tests: who may import whom, and how the source is laid out.

use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each crate and all it may import, ours and others'. A line here is an architecture change.
const ALLOWED: &[(&str, &[&str])] = &[
    ("protocols/model", &["jiff", "serde", "serde_json", "thiserror"]),
    (
        "protocols/cwmp",
        &[
            "model",
            "base64",
            "bytes",
            "encoding_rs",
            "hmac",
            "jiff",
            "md-5",
            "serde",
            "serde_json",
            "sha1",
            "sha2",
            "subtle",
            "thiserror",
        ],
    ),
    (
        "protocols/mqtt",
        &[
            "model",
            "base64",
            "bytes",
            "hmac",
            "jiff",
            "nom",
            "serde",
            "serde_json",
            "sha2",
            "subtle",
            "thiserror",
        ],
    ),
    (
        "protocols/soracom",
        &["model", "base64", "jiff", "serde", "serde_json", "sha2", "subtle", "thiserror"],
    ),
    (
        "protocols/ussd",
        &["model", "quick-xml", "serde", "serde_json", "subtle", "thiserror", "toml"],
    ),
    ("protocols/mpesa", &["model", "base64", "jiff", "serde", "serde_json", "subtle", "thiserror"]),
    ("protocols/sms", &["model", "base64", "hmac", "serde", "serde_json", "sha1", "thiserror"]),
    ("backend", &["model", "jiff", "serde", "thiserror"]),
    (
        "provisioning",
        &[
            "model",
            "firmware",
            "cel",
            "hmac",
            "jiff",
            "minijinja",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "toml",
        ],
    ),
    (
        "firmware",
        &[
            "model",
            "base64",
            "ed25519-dalek",
            "hmac",
            "jiff",
            "serde",
            "sha2",
            "subtle",
            "thiserror",
        ],
    ),
    ("config", &["serde", "thiserror", "toml"]),
];
/// What `loadtest` may import of ours.
const LOADTEST: &[&str] = &["model", "cwmp", "mqtt", "ussd"];
/// Folders whose code is a function of its arguments.
const PURE: &[&str] = &["protocols", "backend", "provisioning", "firmware", "config/src"];
/// What pure code never says: it would touch the world.
const WORLD: &[&str] = &[
    "tokio::",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "std::thread",
    "std::process",
    "async fn",
];
/// Longest file of `src/`, in lines: one idea. Past 400 it explains itself, past 600 it is two.
const LINES_MAX: usize = 600;
/// Longest function of `src/`, in lines: one screen.
const FUNCTION_LINES_MAX: usize = 70;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("architecture::imports_point_one_way", imports_point_one_way),
        crate::trial("architecture::the_daemon_has_no_features", the_daemon_has_no_features),
        crate::trial("architecture::pure_crates_touch_nothing", pure_crates_touch_nothing),
        crate::trial(
            "architecture::files_are_small_and_say_what_for",
            files_are_small_and_say_what_for,
        ),
        crate::trial("architecture::functions_fit_a_screen", functions_fit_a_screen),
        crate::trial("architecture::nothing_unwraps", nothing_unwraps),
    ]
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &str) -> toml::Table {
    let file = root().join(folder).join("Cargo.toml");
    fs::read_to_string(file).unwrap().parse().unwrap()
}

/// What a crate imports, its build and target tables included; not what its tests import.
fn imports(manifest: &toml::Table) -> BTreeSet<String> {
    let mut tables = vec![manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let named = tables.iter().flat_map(|table| {
        ["dependencies", "build-dependencies"].into_iter().filter_map(|name| table.get(name))
    });
    named.filter_map(toml::Value::as_table).flat_map(|it| it.keys().cloned()).collect()
}

/// Our own crates by the names they are imported under: the workspace's path dependencies.
fn ours() -> BTreeSet<String> {
    let workspace = manifest("");
    let dependencies = workspace["workspace"]["dependencies"].as_table().unwrap();
    let is_ours = |it: &&toml::Value| it.get("path").is_some();
    dependencies.iter().filter(|(_, it)| is_ours(it)).map(|(name, _)| name.clone()).collect()
}

fn imports_point_one_way() {
    let workspace = manifest("");
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let judged: BTreeSet<&str> = ALLOWED.iter().map(|(folder, _)| *folder).collect();
    for member in members.iter().filter_map(toml::Value::as_str) {
        let is_driver = matches!(member, "loadtest" | "tests/vfs" | "tests/daraja");
        assert!(is_driver || judged.contains(member), "{member} is in no line of the table");
    }
    for (folder, allowed) in ALLOWED {
        let manifest = manifest(folder);
        let allowed = allowed.iter().map(|it| (*it).to_owned()).collect();
        let extra: Vec<_> = imports(&manifest).difference(&allowed).cloned().collect();
        assert!(extra.is_empty(), "{folder} may not import {extra:?}");
        assert!(manifest.get("build-dependencies").is_none(), "{folder} has a build step");
    }
    let allowed: BTreeSet<String> = LOADTEST.iter().map(|it| (*it).to_owned()).collect();
    let loadtest = imports(&manifest("loadtest"));
    let of_ours: BTreeSet<String> = loadtest.intersection(&ours()).cloned().collect();
    let extra: Vec<_> = of_ours.difference(&allowed).collect();
    assert!(extra.is_empty(), "loadtest may not import {extra:?}");
    assert!(!loadtest.contains("lastmile"), "loadtest is another program");
}

fn the_daemon_has_no_features() {
    let mut folders = vec!["", "loadtest"];
    folders.extend(ALLOWED.iter().map(|(folder, _)| *folder));
    for folder in folders {
        let manifest = manifest(folder);
        assert!(manifest.get("features").is_none(), "{folder}: what is built is what is tested");
        let build = root().join(folder).join("build.rs");
        assert!(!build.exists(), "{folder}: no build step but cargo's");
    }
}

fn pure_crates_touch_nothing() {
    for folder in PURE {
        for file in sources(&root().join(folder)) {
            if is_tests(&file) {
                continue;
            }
            for (number, line) in code(&file) {
                let said = WORLD.iter().find(|it| line.contains(*it));
                assert!(said.is_none(), "{}:{number}: {said:?}", file.display());
            }
        }
    }
}

fn files_are_small_and_say_what_for() {
    let mut faults = Vec::new();
    for file in sources(root()) {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        if name.ends_with("/mod.rs") {
            faults.push(format!("{name}: `name.rs` and `name/`, never `mod.rs`"));
        }
        if !text.starts_with("//!") && !is_tests(&file) {
            faults.push(format!("{name}: begins with no module doc"));
        }
        let lines = text.lines().count();
        if !is_tests(&file) && lines > LINES_MAX {
            faults.push(format!("{name}: {lines} lines"));
        }
        for word in ["utils", "common", "helpers", "manager", "types"] {
            if file.file_stem().is_some_and(|it| it == word) {
                faults.push(format!("{name}: says nothing of what is in it"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// By indentation, as rustfmt leaves it: a function ends where a brace stands under its `fn`. One
/// that says why it is longer (`#[expect(clippy::too_many_lines, …)]`) may be.
fn functions_fit_a_screen() {
    let mut faults = Vec::new();
    for file in sources(&root().join("src")).into_iter().filter(|file| !is_tests(file)) {
        let mut is_excused = false;
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in code(&file) {
            let indent = line.len() - line.trim_start().len();
            if let Some((start, at, _)) = &open {
                if indent == *at && line.trim_start().starts_with('}') {
                    let lines = number - start + 1;
                    let (_, _, name) = open.take().unwrap();
                    if lines > FUNCTION_LINES_MAX && !std::mem::take(&mut is_excused) {
                        faults.push(format!("{}:{name}: {lines} lines", file.display()));
                    }
                }
            } else if line.contains("clippy::too_many_lines") {
                is_excused = true;
            } else if let Some((before, _)) = line.split_once("fn ") {
                let is_item = before
                    .trim_start()
                    .split(' ')
                    .all(|word| matches!(word, "" | "async" | "const") || word.starts_with("pub"));
                if is_item && !line.trim_end().ends_with([';', '}']) {
                    open = Some((number, indent, line.trim().to_owned()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn nothing_unwraps() {
    let mut faults = Vec::new();
    for folder in ["src", "loadtest/src"].iter().chain(PURE) {
        for file in sources(&root().join(folder)) {
            if is_tests(&file) {
                continue;
            }
            for (number, line) in code(&file) {
                if line.contains(".unwrap()") {
                    faults.push(format!("{}:{number}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Whether a file holds nothing but tests or measurements.
fn is_tests(file: &Path) -> bool {
    let mut inside = file.strip_prefix(root()).unwrap().components();
    file.ends_with("tests.rs")
        || inside.any(|it| it.as_os_str() == "tests" || it.as_os_str() == "benches")
}

/// Every Rust file of ours under a folder.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_hidden = name.to_string_lossy().starts_with('.');
        if path.is_dir() && !is_hidden && name != "target" {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    found
}

/// Lines of code with their numbers: no comments, and nothing from where a file's tests begin.
fn code(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap();
    let before_tests = text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]");
    let is_code = |line: &str| !line.trim_start().starts_with("//");
    let lines = before_tests.filter(|(_, line)| is_code(line));
    lines.map(|(index, line)| (index + 1, line.to_owned())).collect()
}
