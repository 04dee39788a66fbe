//! The shipped unit agrees with the configuration, and systemd agrees with the unit.
//!
//! `systemd-analyze` is an outside program: where it is missing its tests say `ignored`, and with
//! `LASTMILE_TEST_REQUIRE=all` they fail.

#![expect(clippy::disallowed_methods, reason = "a test reads files and runs systemd-analyze")]

use lastmile_config::Config;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const UNIT: &str = include_str!("../../systemd/lastmile.service");

/// `systemd-analyze security` counts in tenths: 15 is an exposure of 1.5.
const EXPOSURE_MAX: &str = "15";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let required = std::env::var("LASTMILE_TEST_REQUIRE").is_ok_and(|it| it == "all");
    let present = Command::new("systemd-analyze").arg("--version").output().is_ok();
    let absent = !present && !required;
    let trials = vec![
        Trial::test("every_directive_has_its_reason", every_directive_has_its_reason),
        Trial::test("a_kind_stop_is_not_cut_short", a_kind_stop_is_not_cut_short),
        Trial::test("every_connection_has_its_file", every_connection_has_its_file),
        Trial::test("a_faulty_file_is_not_tried_again", a_faulty_file_is_not_tried_again),
        Trial::test("systemd_verifies_it", systemd_verifies_it).with_ignored_flag(absent),
        Trial::test("systemd_finds_it_tight", systemd_finds_it_tight).with_ignored_flag(absent),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn check(holds: bool, message: impl Into<String>) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

/// The value of a directive that is given once.
fn directive(name: &str) -> Result<&'static str, Failed> {
    let mut found = UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = found.next().ok_or_else(|| format!("no {name}"))?;
    check(found.next().is_none(), format!("{name} is given twice"))?;
    Ok(value)
}

fn every_directive_has_its_reason() -> Result<(), Failed> {
    let directives: Vec<_> = UNIT.lines().collect();
    for pair in directives.windows(2) {
        let [above, line] = pair else { continue };
        // What the unit is called needs none.
        if line.contains('=') && !line.starts_with('#') && !line.starts_with("Description=") {
            check(above.starts_with("# "), format!("no reason above {line}"))?;
        }
    }
    Ok(())
}

fn a_kind_stop_is_not_cut_short() -> Result<(), Failed> {
    let stop: u64 = directive("TimeoutStopSec")?.trim_end_matches('s').parse()?;
    let longest = Config::parse(&format!("shutdown.grace = '{}s'", stop - 10));
    check(longest.is_err(), "shutdown.grace may come within ten seconds of TimeoutStopSec")
}

fn every_connection_has_its_file() -> Result<(), Failed> {
    let files: u64 = directive("LimitNOFILE")?.parse()?;
    let config = Config::default();
    let connections = [
        config.cwmp.connections_max.get(),
        config.cwmp.connection_request.parallel_max.get(),
        config.mqtt.connections_max.get(),
        config.public.connections_max.get(),
        config.operator.connections_max.get(),
    ];
    let connections: u64 = connections.into_iter().map(u64::from).sum();
    // As many again for sinks, the store, and an operator who raises one of them.
    check(2 * connections <= files, format!("{connections} connections, {files} files"))
}

fn a_faulty_file_is_not_tried_again() -> Result<(), Failed> {
    check(directive("RestartPreventExitStatus")? == "64", "`lastmile check` exits 64")?;
    let start = "/usr/bin/lastmile serve --config /etc/lastmile/lastmile.toml \
                 --data-dir /var/lib/lastmile";
    check(directive("ExecStart")? == start, "the README names these paths")
}

/// The unit where systemd finds its program: the daemon is not installed here.
fn unit(folder: &str) -> Result<PathBuf, Failed> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("lastmile.service");
    let start = format!("ExecStart={}", directive("ExecStart")?);
    std::fs::write(&path, UNIT.replace(&start, "ExecStart=/bin/true"))?;
    Ok(path)
}

fn systemd_verifies_it() -> Result<(), Failed> {
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(unit("verify")?);
    let output = verify.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    check(output.status.success() && said.trim().is_empty(), said)
}

fn systemd_finds_it_tight() -> Result<(), Failed> {
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX]);
    let output = security.arg(unit("security")?).output()?;
    check(output.status.success(), String::from_utf8_lossy(&output.stdout))
}
