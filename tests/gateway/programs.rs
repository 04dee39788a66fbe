//! Outside programs: tests that use one say so, and are not silently passed where it is missing.

use libtest_mimic::Trial;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const PYTHON: &str = "python3";

/// A test that needs `programs`.
pub(crate) fn trial(name: &str, programs: &[&str], run: fn()) -> Trial {
    let missing = programs.iter().find(|program| find(program).is_none());
    let Some(missing) = missing else { return crate::trial(name, run) };
    lacking(name, format!("needs {missing}"))
}

/// A test that needs Python and a module that is none of its own.
pub(crate) fn python_trial(name: &str, module: &str, run: fn()) -> Trial {
    let import = format!("import {module}");
    let asked = Command::new(PYTHON).args(["-c", &import]).stderr(Stdio::null()).status();
    if asked.is_ok_and(|status| status.success()) {
        return crate::trial(name, run);
    }
    lacking(name, format!("needs {PYTHON} with {module}"))
}

fn lacking(name: &str, missing: String) -> Trial {
    if std::env::var("LASTMILE_TEST_REQUIRE").is_ok_and(|it| it == "all") {
        return Trial::test(name, move || Err(missing.into()));
    }
    Trial::test(name, || Ok(())).with_kind(missing).with_ignored_flag(true)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Runs a script of Python that must succeed; its standard output.
pub(crate) fn python(script: &str, arguments: &[&str]) -> String {
    succeed(PYTHON, &[&["-c", script], arguments].concat(), b"")
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
