//! `SPEC.md` tells the truth: every function and test it names exists.

use std::collections::BTreeSet;

const SOURCES: &[&str] = &[
    include_str!("../../src/africas_talking.rs"),
    include_str!("../../src/cause.rs"),
    include_str!("../../src/frame.rs"),
    include_str!("../../src/keyword.rs"),
    include_str!("../../src/provider.rs"),
    include_str!("../../src/twilio.rs"),
    include_str!("../../src/twilio/signature.rs"),
    include_str!("africas_talking.rs"),
    include_str!("properties.rs"),
    include_str!("twilio.rs"),
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
        assert_eq!(cells.len(), 3, "{row}");
        for cell in &cells[1..] {
            for name in cell.split('`').skip(1).step_by(2) {
                let name = name.rsplit("::").next().unwrap_or(name);
                assert!(known.contains(name), "`{name}` of {row}");
            }
        }
        rows += 1;
    }
    assert!(rows > 20, "the tables are read");
}
