//! Outside programs: tests that use one say so, and are not silently passed where it is missing.

use libtest_mimic::Trial;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A test that needs `programs`.
pub(crate) fn trial(name: &str, programs: &[&str], run: fn()) -> Trial {
    let missing = programs.iter().find(|program| find(program).is_none());
    let Some(missing) = missing else { return crate::trial(name, run) };
    let missing = format!("needs {missing}");
    if std::env::var("LASTMILE_TEST_REQUIRE").is_ok_and(|it| it == "all") {
        return Trial::test(name, move || Err(missing.into()));
    }
    Trial::test(name, || Ok(())).with_kind(missing).with_ignored_flag(true)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Runs a program with `input` on its standard input.
pub(crate) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a program that must succeed; its standard output.
pub(crate) fn succeed(program: &str, arguments: &[&str], input: &[u8]) -> String {
    let output = run(program, arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {} {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
