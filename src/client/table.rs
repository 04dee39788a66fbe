//! Plans as tables for a terminal.

use crate::plans::{Counts, DevicePlan, FirmwarePlan, FleetPlan};
use provisioning::{ChangeView, Rule, Why};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Longest value that is shown whole, in characters: a digit map is longer than a line.
const VALUE_MAX: usize = 48;

/// Whether a plan would change anything on its device.
pub(super) fn changes_any(plan: &DevicePlan) -> bool {
    let is_upgraded = plan.firmware.as_ref().is_some_and(FirmwarePlan::is_due);
    !plan.plan.changes.is_empty() || !plan.plan.objects.is_empty() || is_upgraded
}

/// One device's.
pub(super) fn device(plan: &DevicePlan) -> String {
    let mut text = String::new();
    head(&mut text, plan);
    body(&mut text, plan);
    text
}

/// The fleet's.
pub(super) fn fleet(plan: &FleetPlan) -> String {
    let mut text = String::new();
    let FleetPlan { devices, touched, changed, unknown, parameters, objects, blocked, .. } = plan;
    let FleetPlan { firmware, firmware_blocked, .. } = plan;
    let rows = [
        ("devices looked at", devices),
        ("touched", touched),
        ("changed", changed),
        ("of whom nothing is known", unknown),
        ("parameters", parameters),
        ("objects", objects),
        ("blocked", blocked),
        ("firmware", firmware),
        ("firmware blocked", firmware_blocked),
    ];
    for (name, count) in rows {
        line(&mut text, &format!("{name:<26}{count:>12}"));
    }
    lines(&mut text, "profile", &plan.by_profile);
    lines(&mut text, "model", &plan.by_model);
    for example in &plan.examples {
        line(&mut text, "");
        head(&mut text, example);
        body(&mut text, example);
    }
    text
}

fn lines(text: &mut String, what: &str, by: &BTreeMap<Box<str>, Counts>) {
    if by.is_empty() {
        return;
    }
    line(text, "");
    line(text, &format!("{what:<26}{:>12}{:>12}", "devices", "parameters"));
    for (name, counts) in by {
        line(text, &format!("{name:<26}{:>12}{:>12}", counts.devices, counts.parameters));
    }
}

fn head(text: &mut String, plan: &DevicePlan) {
    let model = plan.model.as_deref().unwrap_or("model unknown");
    let profiles = if plan.profiles.is_empty() {
        "no profile is for it".to_owned()
    } else {
        plan.profiles.join(" < ")
    };
    line(text, &format!("{} ({model}): {profiles}", plan.device));
    if !plan.known {
        line(text, "  nothing is known of its data model: it is asked first");
    }
    if !plan.claimed {
        line(text, "  its equipment is not claimed: no secret is sent");
    }
}

fn body(text: &mut String, plan: &DevicePlan) {
    let is_guess = |rule: &Rule| plan.guesses.contains(rule);
    let view = &plan.plan;
    for change in &view.changes {
        set(text, "  set   ", change, is_guess(&change.rule));
    }
    for object in &view.objects {
        let what = if object.is_removed { "  remove" } else { "  add   " };
        line(
            text,
            &format!("{what} {}  {}", object.path, rule(&object.rule, is_guess(&object.rule))),
        );
        for change in &object.changes {
            set(text, "        ", change, false);
        }
    }
    for learn in &view.learns {
        let count = learn.values.len();
        match &learn.table {
            Some(table) => line(text, &format!("  list   {table}")),
            None => line(text, &format!("  read   {count} parameters")),
        }
    }
    for blocked in &view.blocked {
        let what = if blocked.is_harmless { "  leave " } else { "  BLOCK " };
        let rule = rule(&blocked.rule, is_guess(&blocked.rule));
        line(text, &format!("{what} {}: {}  {rule}", blocked.path, blocked.cause));
    }
    for drifted in &view.drifted {
        set(text, "  drift ", drifted, false);
    }
    if let Some(it) = &plan.firmware {
        firmware(text, it, is_guess(&it.rule));
    }
    let is_idle = view.changes.is_empty() && view.objects.is_empty() && view.learns.is_empty();
    if is_idle && plan.firmware.is_none() {
        line(text, "  nothing to do");
    }
}

fn firmware(text: &mut String, it: &FirmwarePlan, is_guess: bool) {
    let from = it.from.as_deref().map_or_else(|| "?".to_owned(), shown);
    let image = it.image.as_deref().map_or_else(String::new, |image| format!(" ({image})"));
    let versions = format!("firmware: {from} -> {}{image}", shown(&it.to));
    let rule = rule(&it.rule, is_guess);
    let row = match &it.obstacle {
        Some(obstacle) => format!("  BLOCK  {versions}: {}  {rule}", obstacle.cause),
        None if it.is_under_way => format!("  give   {versions} (under way)  {rule}"),
        None => format!("  give   {versions}  {rule}"),
    };
    line(text, &row);
}

fn set(text: &mut String, what: &str, change: &ChangeView, is_guess: bool) {
    let old = change.old.as_deref().map_or_else(|| "?".to_owned(), shown);
    let why = match change.why {
        Why::Differs => "",
        Why::Drifted => " (changed by another)",
        Why::Unreadable => " (cannot be read back)",
        Why::New => " (new)",
    };
    let rule = rule(&change.rule, is_guess);
    line(text, &format!("{what} {}: {old} -> {}{why}  {rule}", change.path, shown(&change.new)));
}

fn rule(rule: &Rule, is_guess: bool) -> String {
    let guess = if is_guess { ", a guess" } else { "" };
    format!("[{}:{}{guess}]", rule.profile, rule.line)
}

/// A value on one line of a terminal: what a device says must not steer it.
fn shown(value: &str) -> String {
    let mut text: String =
        value.chars().take(VALUE_MAX).map(|c| if c.is_control() { '·' } else { c }).collect();
    if value.chars().nth(VALUE_MAX).is_some() {
        text.push('…');
    }
    format!("\"{text}\"")
}

fn line(text: &mut String, row: &str) {
    let _ = writeln!(text, "{}", row.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan() -> DevicePlan {
        let change = |path: &str, old: Option<&str>, why: &str| {
            json!({ "path": path, "old": old, "new": "…", "type": "string", "why": why,
                "rule": { "profile": "house", "line": 7 } })
        };
        serde_json::from_value(json!({
            "device": "cwmp:00259E-X1-1", "model": "X1", "profiles": ["default", "house"],
            "revision": 1, "claimed": false, "known": true,
            "guesses": [{ "profile": "house", "line": 7 }],
            "changes": [change("Device.A", Some("\u{1b}[31mred"), "differs"), change("Device.B", None, "new")],
            "objects": [], "learns": [{ "values": ["Device.C"] }], "blocked": [], "drifted": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_device_is_shown_line_by_line() {
        let expected = "cwmp:00259E-X1-1 (X1): default < house\n  \
            its equipment is not claimed: no secret is sent\n  \
            set    Device.A: \"·[31mred\" -> \"…\"  [house:7, a guess]\n  \
            set    Device.B: ? -> \"…\" (new)  [house:7, a guess]\n  \
            read   1 parameters\n";
        assert_eq!(device(&plan()), expected);
        assert!(changes_any(&plan()));
    }

    #[test]
    fn firmware_is_shown_and_counts_where_it_would_be_given() {
        let firmware = |obstacle: serde_json::Value| {
            let firmware = json!({ "from": "1.0", "to": "2.0", "image": "fw-2", "obstacle": obstacle,
                "rule": { "profile": "house", "line": 9 } });
            let firmware = Some(serde_json::from_value(firmware).unwrap());
            let none = provisioning::PlanView::default();
            DevicePlan { firmware, plan: none, claimed: true, ..plan() }
        };
        let due = firmware(json!(null));
        let expected = "  give   firmware: \"1.0\" -> \"2.0\" (fw-2)  [house:9]\n";
        assert!(device(&due).ends_with(expected), "{}", device(&due));
        assert!(changes_any(&due));
        let kept =
            firmware(json!({ "code": "downgrade", "cause": "the device runs a newer version" }));
        let expected = "(X1): default < house\n  BLOCK  firmware: \"1.0\" -> \"2.0\" (fw-2): \
            the device runs a newer version  [house:9]\n";
        assert!(device(&kept).ends_with(expected), "{}", device(&kept));
        assert!(!changes_any(&kept));
    }

    #[test]
    fn the_fleet_is_shown_with_its_totals() {
        let counts = Counts { devices: 3, parameters: 9 };
        let by_model = BTreeMap::from([(Box::from("X1"), counts)]);
        let plan = FleetPlan { devices: 100_000, changed: 3, by_model, ..FleetPlan::default() };
        let text = fleet(&plan);
        assert!(text.contains("devices looked at               100000\n"), "{text}");
        assert!(text.contains("X1                                   3           9\n"), "{text}");
    }
}
