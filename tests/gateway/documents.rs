//! What the documents say of the code, as tests: what they name exists, and the map is whole.

use crate::architecture::{root, sources};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Documents that name files, functions and tests.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "protocols/cwmp/SPEC.md",
    "protocols/mpesa/SPEC.md",
    "protocols/mqtt/SPEC.md",
    "protocols/sms/SPEC.md",
    "protocols/soracom/SPEC.md",
    "protocols/ussd/SPEC.md",
];
/// Protocols whose tables name nothing but functions and tests, with the least rows that each has.
const TABLES: [(&str, usize); 4] = [("mpesa", 20), ("mqtt", 50), ("sms", 20), ("soracom", 25)];
/// The map fits in the head, and so on few pages.
const MAP_LINES_MAX: usize = 150;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("documents::what_they_name_exists", what_they_name_exists),
        crate::trial(
            "documents::what_the_tables_name_are_functions",
            what_the_tables_name_are_functions,
        ),
        crate::trial("documents::the_map_is_whole", the_map_is_whole),
    ]
}

/// A Rust file: where it is, by folders and its own name, and the words of its code.
struct Source {
    place: Vec<String>,
    words: BTreeSet<String>,
}

fn what_they_name_exists() {
    let code: Vec<_> = sources(root()).iter().map(|file| source(file)).collect();
    let mut files = Vec::new();
    list(root(), &mut files);
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for (index, line) in text.lines().enumerate() {
            for name in line.split('`').skip(1).step_by(2) {
                if !exists(name, &code, &files) {
                    faults.push(format!("{document}:{}: `{name}`", index + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// However short its name: the last two cells of a row are a function and a test of the protocol, or of
/// the words that all share.
fn what_the_tables_name_are_functions() {
    for (protocol, rows_min) in TABLES {
        let code = [protocol, "model"].map(|it| sources(&root().join("protocols").join(it)));
        let code: Vec<_> =
            code.iter().flatten().map(|file| fs::read_to_string(file).unwrap()).collect();
        let after = code.iter().flat_map(|text| text.split("fn ").skip(1));
        let known: BTreeSet<_> = after.filter_map(|it| it.split(['(', '<']).next()).collect();
        let spec = root().join("protocols").join(protocol).join("SPEC.md");
        let spec = fs::read_to_string(spec).unwrap();
        let (mut rows, mut width) = (0, None);
        for row in spec.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
            assert_eq!(*width.get_or_insert(cells.len()), cells.len(), "{protocol}: {row}");
            if cells[0].trim() == "clause" || cells[0].trim() == "rule" {
                continue;
            }
            for cell in &cells[cells.len() - 2..] {
                for name in cell.split('`').skip(1).step_by(2) {
                    let name = name.rsplit("::").next().unwrap_or(name);
                    assert!(known.contains(name), "{protocol}: `{name}` of {row}");
                }
            }
            rows += 1;
        }
        assert!(rows > rows_min, "{protocol}: the tables are read");
    }
}

/// Whether a name is that of something of ours, as far as it looks like one.
fn exists(name: &str, code: &[Source], files: &[String]) -> bool {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let is_file = name.ends_with(".rs") || name.ends_with(".txt");
    if is_file && !name.contains(['*', '…', ' ']) {
        return either(name).iter().all(|name| files.iter().any(|it| it.ends_with(&**name)));
    }
    let (places, last) = match name.rsplit_once("::") {
        Some((places, last)) => (places, last),
        // A test that stands alone is known by its length.
        None if name.matches('_').count() > 2 => ("", name),
        None => return true,
    };
    if !name.chars().all(|it| is_word(it) || matches!(it, ':' | '*')) {
        return true;
    }
    // A module is a folder or a file; a type is neither.
    let is_module = |place: &&str| place.starts_with(|it: char| it.is_lowercase());
    let modules: Vec<_> = places.split("::").filter(is_module).collect();
    let is_within =
        |source: &&Source| modules.iter().all(|module| source.place.iter().any(|it| it == module));
    let is_meant = |word: &String| match last.split_once('*') {
        Some((begin, end)) => word.starts_with(begin) && word.ends_with(end),
        None => word == last,
    };
    code.iter().filter(is_within).any(|source| source.words.iter().any(is_meant))
}

/// `a/{b,c}.rs` is both of them.
fn either(name: &str) -> Vec<String> {
    let parts = name.split_once('{').zip(name.split_once('}'));
    let Some(((begin, _), (_, end))) = parts else { return vec![name.to_owned()] };
    let choices = &name[begin.len() + 1..name.len() - end.len() - 1];
    choices.split(',').map(|choice| format!("{begin}{choice}{end}")).collect()
}

fn source(file: &Path) -> Source {
    let inside = file.strip_prefix(root()).unwrap().with_extension("");
    let place = inside.components().map(|it| it.as_os_str().to_string_lossy().into_owned());
    let text = fs::read_to_string(file).unwrap();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words =
        code.flat_map(|line| line.split(|it: char| !it.is_ascii_alphanumeric() && it != '_'));
    Source { place: place.collect(), words: words.map(str::to_owned).collect() }
}

/// Every file of ours, from the root.
fn list(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && !name.to_string_lossy().starts_with('.') && name != "target" {
            list(&path, found);
        } else if path.is_file() {
            found.push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
}

fn the_map_is_whole() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let lines = map.lines().count();
    assert!(lines <= MAP_LINES_MAX, "{lines} lines");
    let mut missing = Vec::new();
    for file in fs::read_dir(root().join("src")).unwrap().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let is_named = match name.strip_suffix(".rs") {
            Some("lib" | "listen") => true,
            Some(_) => map.contains(&format!("`{name}`")),
            None => {
                map.contains(&format!("`{name}/")) || root().join(format!("src/{name}.rs")).exists()
            }
        };
        if !is_named {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:?}");
}
