use super::*;
use proptest::prelude::*;

/// What is said of a file, each as `line: message`.
fn said(text: &str) -> Vec<String> {
    let faults = ProfileSet::parse([("p", text)]).expect_err(text);
    let line = |it: &ProfileFault| it.line.map_or_else(String::new, |line| format!("{line}: "));
    faults.iter().map(|it| format!("{}{}", line(it), it.message)).collect()
}

/// What is said of rules that stand from line 4 on: the one fault there is.
fn said_of(rules: &str) -> String {
    let text = format!("name = \"p\"\ndescription = \"d\"\nmatch.oui = \"1C61B4\"\n{rules}");
    let said = said(&text);
    assert_eq!(said.len(), 1, "{rules}\n{said:?}");
    said[0].clone()
}

#[test]
fn every_fault_of_every_file_comes_at_once_with_its_line() {
    let a = "name = \"a\"\ndescription = \"d\"\nlayr = 3\n[mtch]\n[[parameter]]\npath = \"Devise.X\"\nvalue = 1\n";
    let b = "name = \"c\"\n[match]\n";
    let faults = ProfileSet::parse([("x/a.toml", a), ("b", b)]).unwrap_err();
    let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "x/a.toml:3: a profile has no key `layr`; did you mean `layer`?",
            "x/a.toml:4: a profile has no key `mtch`; did you mean `match`?",
            "x/a.toml:6: `path` must begin with `Device.` or `InternetGatewayDevice.`; did you mean `Device.`?",
            "b: `description` must be given: what the profile is for",
            "b:1: `name` is `c`, the file is called `b`",
            "b:2: [match] is empty: say for which devices; without it a profile is only for \
             equipment that names it",
        ]
    );
}

#[test]
fn what_is_no_toml_says_where() {
    assert_eq!(said("name = \"p\"\nx = = 1\n")[0].split(':').next(), Some("2"));
}

/// Keys of a parameter, and what is said of them.
const PARAMETERS: &[(&str, &str)] = &[
    ("path = \"Device.X\"", "4: [[parameter]] needs `value` or `template`"),
    (
        "path = \"Device.X\"\nvalue = 1\ntemplate = \"a\"",
        "6: either `value` or `template`, not both",
    ),
    ("value = 1", "4: `path` must be given"),
    ("path = \"Device.X.\"\nvalue = 1", "4: `path` must be a parameter: no dot at its end"),
    (
        "path = \"Device.*.X\"\nvalue = 1\nremove = true",
        "6: `remove = true` stands alone: `value` says more",
    ),
    (
        "path = \"Device.X.*.*.Y\"\nvalue = 1",
        "5: `path` has `*` or `[Name=value]` where no instance can be: one stands behind a table's name",
    ),
    (
        "path = \"Device.X\"\nvalue = \"yes\"\ntype = \"boolean\"",
        "6: the value must be true or false",
    ),
    (
        "path = \"Device.X\"\nvalue = -1\ntype = \"unsignedInt\"",
        "6: the value must be a whole number from 0 to 2^32 - 1",
    ),
    (
        "path = \"Device.X\"\nvalue = \"a b\"\ntype = \"host\"",
        "6: the value must be a host: a name of RFC 1123 or an address, without a port",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\ntype = \"unsignedint\"",
        "7: `type` is none of XML Schema's that devices use, nor `host` or `host_or_empty`; did you mean `unsignedInt`?",
    ),
    (
        "path = \"Device.X\"\nvalue = [1]",
        "6: `value` must be a text, a number or a truth, found a list",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\nsecret = false",
        "7: `secret = false` cannot make known what is secret: leave it out",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\ndrift = \"mended\"",
        "7: `drift` must be one of `mend`, `report`; did you mean `mend`?",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\nverify_every = \"59s\"",
        "7: `verify_every` must be a length of time from 1 m to 90 d, as \"90s\", \"15m\", \"6h\", \"7d\"",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\nwindow = true",
        "7: `window = true` needs a [window] in the profile",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\nwindow = { from = \"02:00\", to = \"02:00\", zone = \"UTC\" }",
        "7: the window: never opens: it needs a day, and a `to` that is not `from`",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\nwindow = { from = \"02:00\", to = \"03:00\" }",
        "7: a window needs `zone`",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\noptional = 1",
        "7: `optional` must be true or false, found a whole number",
    ),
    (
        "path = \"Device.X\"\ntemplate = \"{{ known('Device.X') }}\"",
        "4: the template asks for the reading of the path that it makes: it would never come to rest",
    ),
    (
        "path = \"Device.X\"\nvalue = 1\nwhen = \"known('Device.X') == 2\"",
        "4: `when` asks for the reading of the path that it decides on: it would never come to rest",
    ),
];

#[test]
fn parameters_are_judged() {
    for (rule, expected) in PARAMETERS {
        assert_eq!(said_of(&format!("[[parameter]]\n{rule}\n")), *expected, "{rule}");
    }
}

#[test]
fn several_rules_for_one_path_are_a_choice_or_a_fault() {
    let rule = |value, when: &str| {
        format!("[[parameter]]\npath = \"Device.X\"\nvalue = {value}\n{when}\n")
    };
    let always = rule(1, "");
    let sometimes = rule(2, "when = \"device.oui == 'A'\"");
    one(&format!("{sometimes}{sometimes}{always}"));
    assert_eq!(
        said_of(&format!("{always}{sometimes}")),
        "8: the path has a rule on line 4 already: what comes behind it never goes (only rules with \
         `when` may stand before)"
    );
}

#[test]
fn objects_are_judged() {
    for (rule, expected) in [
        (
            "table = \"Device.X.1.\"\nkey = { A = 1 }",
            "4: `table` must be a table: the path of its name, with a dot at its end",
        ),
        (
            "table = \"Device.X\"\nkey = { A = 1 }",
            "4: `table` must be a table: the path of its name, with a dot at its end",
        ),
        ("table = \"Device.X.\"", "4: [[object]] needs `key`, as { Name = \"voice\" }"),
        (
            "table = \"Device.X.\"\nkey = { A = { value = 1, optional = true } }",
            "6: a key is always one: `when` and `optional` are for the whole object",
        ),
        ("table = \"Device.X.\"\nkey = {}", "6: `key` is empty: it would be every instance"),
        (
            "table = \"Device.X.\"\nkey = { A = 1 }\nset = { A = 2 }",
            "7: `A` is a key of the object: leave it out of `set`",
        ),
        (
            "table = \"Device.X.\"\nkey = { A = 1 }\nset = { \"B.*\" = 2 }",
            "7: `B.*` names no parameter below an instance",
        ),
        (
            "table = \"Device.X.\"\nkey = { A = 1 }\nensure = \"absent\"\nset = { B = 2 }",
            "4: an object that is not to be there has no `set`",
        ),
        (
            "table = \"Device.X.\"\nkey = { A = 1 }\nensure = \"gone\"",
            "7: `ensure` must be one of `present`, `absent`",
        ),
        (
            "table = \"Device.X.\"\nkey = { A = 1 }\nset = { B = { val = 2 } }",
            "7: a value of `set` or `key` has no key `val`; did you mean `value`?",
        ),
    ] {
        let text = format!(
            "name = \"p\"\ndescription = \"d\"\nmatch.oui = \"1C61B4\"\n[[object]]\n{rule}\n"
        );
        assert_eq!(said(&text)[0], expected, "{rule}");
    }
}

/// Other rules, and what is said of them.
const READINGS: &[(&str, &str)] = &[
    (
        "[[refresh]]\npath = \"Device.X\"\nevery = \"30s\"",
        "6: `every` must be a length of time from 1 m to 90 d, as \"90s\", \"15m\", \"6h\", \"7d\"",
    ),
    ("[[refresh]]\npath = \"Device.X\"", "4: [[refresh]] needs `every`, as \"1h\""),
    (
        "[[refresh]]\npath = \"Device.\"\nevery = \"1h\"",
        "4: `path` must be narrower than everything that the device has",
    ),
    (
        "[[refresh]]\npath = \"Device.X\"\nevery = \"1h\"\non = [\"2 PERIODIC\"]",
        "7: `2 PERIODIC` is in every session: what it triggers is done each time",
    ),
    (
        "[[refresh]]\npath = \"Device.X\"\nevery = \"1h\"\non = [\"1 BOT\"]",
        "7: no Inform has the event `1 BOT`; did you mean `1 BOOT`?",
    ),
    (
        "[[refresh]]\npath = \"Device.X\"\nevery = \"1h\"\nmeasure = \"optical_rx\"",
        "7: no measure is called `optical_rx` (one of your own begins with `x_`)",
    ),
    (
        "[[refresh]]\npath = \"Device.X\"\nevery = \"1h\"\nscale = { times = 2 }",
        "4: `scale` needs `measure`: what the number is",
    ),
    (
        "[[refresh]]\npath = \"Device.X\"\nevery = \"1h\"\nmeasure = \"x_a\"\nscale = { decibel = 0 }",
        "8: `scale` is { times = … } or { decibel = … }, which is above 0",
    ),
    (
        "[[refresh]]\npath = \"Device.X.\"\nevery = \"1h\"\nmeasure = \"hosts\"",
        "4: a measure is of parameters: its path has no dot at its end",
    ),
    (
        "[[alias]]\nkind = \"mca\"\npath = \"Device.X\"",
        "5: `kind` must be one of `serial`, `gpon_serial`, `mac`, `imsi`, `iccid`, `msisdn`, `imei`; did you mean `mac`?",
    ),
    ("[firmware]\nimage = \"i\"", "4: [firmware] needs `version`, as the device reports it"),
    (
        "quirks = [\"write_read_only\"]",
        "4: no quirk is called `write_read_only`; did you mean `write_readonly`?",
    ),
    (
        "verify_on = \"6 CONNECTION REQUEST\"",
        "4: `6 CONNECTION REQUEST` is in every session: what it triggers is done each time",
    ),
    ("layer = 1001", "4: `layer` must be a whole number from -1000 to 1000"),
    (
        "[window]\ndays = [\"mon\"]\nfrom = \"2:00\"\nto = \"03:00\"\nzone = \"UTC\"",
        "4: the window: `from` and `to` are hours and minutes, as \"02:00\"; `to` may be \"24:00\"",
    ),
    ("match.oui = \"1C61B\"", "4: duplicate key"),
];

#[test]
fn readings_and_names_are_judged() {
    for (rules, expected) in READINGS {
        assert_eq!(said_of(rules), *expected, "{rules}");
    }
    assert_eq!(
        said("name = \"p\"\ndescription = \"d\"\nmatch.oui = \"1C61B\"\n"),
        ["3: `oui` must be 6 hexadecimal digits, as \"1C61B4\""]
    );
    assert_eq!(
        said("name = \"p\"\ndescription = \"d\"\nmatch.when = \"tenant.x == known('Device.A')\"\n"),
        [
            "3: a condition of [match] sees `device` and `equipment`: `tenant` and `known` are for the \
          conditions of rules"
        ]
    );
    assert_eq!(
        said("name = \"equipment\"\ndescription = \"d\"\n"),
        ["1: `equipment` stands for the values of the equipment"]
    );
}

/// Templates, and what is said of them.
const TEMPLATES: &[(&str, &str)] = &[
    ("{{ device.modle }}", "`device` has no `modle`; did you mean `model`?"),
    ("{{ devise.model }}", "there is no variable `devise`; did you mean `device`?"),
    ("{{ wifi('5GHz').sid }}", "`wifi(…)` has no `sid`; did you mean `ssid`?"),
    ("{{ wifi('5Ghz').ssid }}", "bands are `2.4GHz`, `5GHz`, `6GHz`; did you mean `5GHz`?"),
    ("{{ wify('5GHz').ssid }}", "there is no function `wify`; did you mean `wifi`?"),
    ("{{ wifi }}", "`wifi` is a function: `wifi(…)`"),
    ("{{ wifi() }}", "`wifi` takes one argument"),
    ("{{ equipment.dscp.sipp }}", "`dscp` has no `sipp`; did you mean `sip`?"),
    ("{{ device.model|uper }}", "there is no filter `uper`; did you mean `upper`?"),
    ("{{ device.model is dfined }}", "there is no test `dfined`; did you mean `defined`?"),
    ("{{ known('Device.X.') }}", "`known` takes the whole path of one parameter, in quotes"),
    (
        "{{ alias('mak') }}",
        "aliases are `serial`, `gpon_serial`, `mac`, `imsi`, `iccid`, `msisdn`, `imei`; did you mean `mac`?",
    ),
    ("{{ device.model.upper() }}", "nothing has methods here: there are filters"),
    ("{{ 'a' * 9 }}", "`*` and `**` are not of this language; the filter `times` is"),
    ("{% with x = 1 %}{% endwith %}", "only `if`, `for` and `set` may stand between `{%` and `%}`"),
    (
        "{% set x = device.model ~ 'a' %}{{ x }}",
        "`set` and `for` take what is there: no `~`, no `+`, and no list of anything but constants",
    ),
    (
        "{% set x = [device.model] %}{{ x }}",
        "`set` and `for` take what is there: no `~`, no `+`, and no list of anything but constants",
    ),
];

#[test]
fn templates_and_conditions_are_judged_when_they_are_read() {
    for (template, expected) in TEMPLATES {
        let rule = format!("[[parameter]]\npath = \"Device.X\"\ntemplate = \"{template}\"\n");
        assert_eq!(said_of(&rule), format!("6: `template`: {expected}"), "{template}");
    }
    for (condition, expected) in [
        ("device.modle == 'a'", "`device` has no `modle`; did you mean `model`?"),
        ("devise == 'a'", "there is no variable `devise`; did you mean `device`?"),
        (
            "device.model.startWith('a')",
            "there is no function `startWith`; did you mean `startsWith`?",
        ),
        ("equipment.bridge.enabled", "`bridge` has no `enabled`; did you mean `enable`?"),
        ("known(device.model) == 1", "`known` takes the whole path of one parameter, in quotes"),
        ("device.model.matches('(')", "the regular expression of `matches` cannot be read"),
        ("device.model.matches(device.oui)", "`matches` takes a regular expression in quotes"),
        (
            "[1].all(a, [1].all(b, [1].all(c, true)))",
            "has more than 4 loops, or more than 2 nested",
        ),
        ("{'a': 1} == {'a': 1}", "there are no objects in conditions"),
    ] {
        let rule =
            format!("[[parameter]]\npath = \"Device.X\"\nvalue = 1\nwhen = \"{condition}\"\n");
        let text = format!("name = \"p\"\ndescription = \"d\"\nmatch.oui = \"1C61B4\"\n{rule}");
        assert_eq!(said(&text)[0], format!("7: `when`: {expected}"), "{condition}");
    }
    assert!(
        said_of("[[parameter]]\npath = \"Device.X\"\ntemplate = \"{{ x\"\n")
            .starts_with("6: `template`: ")
    );
    assert!(
        said_of("[[parameter]]\npath = \"Device.X\"\nvalue = 1\nwhen = \"device.\"\n")
            .starts_with("7: `when`: Syntax error")
    );
}

#[test]
fn a_fault_within_a_long_text_has_its_own_line() {
    let rule = "[[parameter]]\npath = \"Device.X\"\ntemplate = \"\"\"\na\n{{ foo }}\n\"\"\"\n";
    assert!(said_of(rule).starts_with("8: "), "{}", said_of(rule));
    let rule =
        "[[parameter]]\npath = \"Device.X\"\nvalue = 1\nwhen = '''device.oui == 'A'\n&& foo'''\n";
    assert!(said_of(rule).starts_with("8: "), "{}", said_of(rule));
}

#[test]
fn bounds_hold() {
    let long = "#".repeat(FILE_BYTES_MAX + 1);
    assert_eq!(said(&long), ["is longer than 262144 bytes"]);
    let files: Vec<_> = (0..=PROFILES_MAX).map(|it| format!("p{it}")).collect();
    let texts: Vec<_> =
        files.iter().map(|it| format!("name = \"{it}\"\ndescription = \"d\"\n")).collect();
    let all = files.iter().zip(&texts).map(|(file, text)| (file.as_str(), text.as_str()));
    assert_eq!(
        ProfileSet::parse(all.clone()).unwrap_err()[0].message,
        "there are more than 1000 profiles"
    );
    assert!(ProfileSet::parse(all.take(PROFILES_MAX)).is_ok());
    let rules: String = (0..=RULES_MAX)
        .map(|it| format!("[[alias]]\nkind=\"mac\"\npath=\"Device.X{it}\"\n"))
        .collect();
    assert!(said_of(&rules).contains("more than 2000 tables"));
    let same = ProfileSet::parse([("p", "name=\"p\"\ndescription=\"d\"\n"), ("x/p.toml", "")])
        .unwrap_err();
    assert_eq!(same[0].message, "another file has the same name");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = ProfileSet::parse([("p", text.as_str())]);
    }

    #[test]
    fn any_tokens_are_read_or_refused(parts in proptest::collection::vec(proptest::sample::select(vec![
        "name = \"p\"\n", "description = \"d\"\n", "[match]\n", "[[parameter]]\n", "[[object]]\n", "[[refresh]]\n",
        "[[alias]]\n", "[defaults]\n", "[window]\n", "[firmware]\n", "path = \"Device.A\"\n", "path = \"Device.A.*.B\"\n", "path = 1\n",
        "value = true\n", "value = 1.5\n", "value = []\n", "template = \"{{ wifi('5GHz').ssid }}\"\n", "template = \"{% if\"\n",
        "when = \"device.oui == 'A'\"\n", "when = \"[\"\n", "oui = [\"1C61B4\"]\n", "table = \"Device.T.\"\n", "key = { A = 1 }\n",
        "set = { B = { template = \"x\" } }\n", "every = \"1h\"\n", "kind = \"mac\"\n", "remove = true\n", "window = true\n",
        "days = [\"mon\"]\n", "from = \"01:00\"\n", "to = \"02:00\"\n", "zone = \"UTC\"\n", "version = \"1\"\n", "ensure = \"absent\"\n",
        "type = \"int\"\n", "measure = \"ip\"\n", "scale = { times = 1 }\n", "secret = true\n", "layer = 99999999999\n", "x\n", "\"", "=",
    ]), 0..40)) {
        let text: String = parts.concat();
        let _ = ProfileSet::parse([("p", text.as_str())]);
    }

    #[test]
    fn any_template_and_condition_is_read_or_refused(text in "[{}%()\\[\\]'a-d.|~+*!<=>&? 0-9\\-]{0,60}") {
        let _ = Templates::default().compile(&text);
        let _ = Templates::default().compile(&format!("{{{{ {text} }}}}"));
        let _ = condition::Condition::parse(&text);
    }
}
