//! `SPEC.md` tells the truth: every function and test it names exists.

use std::collections::BTreeSet;

const SOURCES: &[&str] = &[
    include_str!("../../src/acl.rs"),
    include_str!("../../src/error.rs"),
    include_str!("../../src/auth.rs"),
    include_str!("../../src/frame.rs"),
    include_str!("../../src/message.rs"),
    include_str!("../../src/message/connect.rs"),
    include_str!("../../src/message/decode.rs"),
    include_str!("../../src/message/encode.rs"),
    include_str!("../../src/message/reader.rs"),
    include_str!("../../src/property.rs"),
    include_str!("../../src/reason.rs"),
    include_str!("../../src/session.rs"),
    include_str!("../../src/session/closing.rs"),
    include_str!("../../src/session/connecting.rs"),
    include_str!("../../src/session/connecting/welcome.rs"),
    include_str!("../../src/session/downstream.rs"),
    include_str!("../../src/session/sending.rs"),
    include_str!("../../src/session/state.rs"),
    include_str!("../../src/session/subscribing.rs"),
    include_str!("../../src/session/upstream.rs"),
    include_str!("../../src/topic.rs"),
    include_str!("../../src/translate.rs"),
    include_str!("../../src/translate/said.rs"),
    include_str!("../../src/translate/strict.rs"),
    include_str!("access.rs"),
    include_str!("bad_input.rs"),
    include_str!("codec.rs"),
    include_str!("codec/faults.rs"),
    include_str!("codec/rumqttc.rs"),
    include_str!("codec/tables.rs"),
    include_str!("commands.rs"),
    include_str!("events.rs"),
    include_str!("lasting.rs"),
    include_str!("limits.rs"),
    include_str!("messages.rs"),
    include_str!("transcripts.rs"),
    include_str!("transitions.rs"),
    include_str!("version_5.rs"),
];

#[test]
fn what_the_table_names_exists() {
    let known: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| source.split("fn ").skip(1))
        .filter_map(|after| after.split(['(', '<']).next())
        .collect();
    let header = |line: &&str| line.starts_with("| clause") || line.starts_with("| rule");
    let lines = include_str!("../../SPEC.md").lines();
    let mut rows = 0;
    for row in lines.filter(|line| line.starts_with("| ")).filter(|line| !header(line)) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 4, "{row}");
        for cell in &cells[2..] {
            for name in cell.split('`').skip(1).step_by(2) {
                let name = name.rsplit("::").next().unwrap_or(name);
                assert!(known.contains(name), "`{name}` of {row}");
            }
        }
        rows += 1;
    }
    assert!(rows > 50, "the table is read");
}
