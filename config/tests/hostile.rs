//! No text makes the reading panic, and what is refused always says why.

use lastmile_config::{Config, Entry};
use proptest::prelude::*;

/// Lines such as a careless or hostile hand would write: our own keys with anything behind them.
fn line() -> impl Strategy<Value = String> {
    let paths: Vec<_> = Config::reference()
        .into_iter()
        .map(|entry| match entry {
            Entry::Section { header, .. } => header.to_owned(),
            Entry::Key { path, .. } => path.to_owned(),
        })
        .collect();
    let value = prop_oneof![
        "[0-9.]{1,20} ?(ms|s|m|h|d|B|KiB|MiB|GiB|TiB)?".prop_map(|it| format!("'{it}'")),
        "[a-z:/0-9.\\[\\]@*]{0,30}".prop_map(|it| format!("'{it}'")),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<f64>().prop_map(|it| it.to_string()),
        "\\[('[0-9./:]{0,12}',?){0,3}\\]",
        "\\{ ?[a-z]{0,5} ?=? ?[0-9]{0,3} ?\\}",
        Just("[[[[]]]]".to_owned()),
        Just("1979-05-27".to_owned()),
        ".{0,20}",
    ];
    let path = prop::sample::select(paths);
    prop_oneof![
        4 => (path.clone(), value).prop_map(|(path, value)| format!("{path} = {value}")),
        1 => path,
        1 => ".{0,40}",
    ]
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(text in prop::collection::vec(line(), 0..12)) {
        let text = text.join("\n");
        let lines = text.split('\n').count();
        if let Err(faults) = Config::parse(&text) {
            prop_assert!(faults.iter().count() > 0);
            for fault in faults.iter() {
                prop_assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault}");
                prop_assert!(!fault.message.is_empty());
            }
        }
    }

    #[test]
    fn one_key_with_anything_is_read_or_refused(line in line()) {
        // Alone a line is more often TOML, so that it comes to the types.
        let _ = Config::parse(&line);
    }
}
