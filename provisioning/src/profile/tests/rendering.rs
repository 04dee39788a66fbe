use super::*;
use crate::wanted::{Drift, Presence, ValueKind, Wanted, WantedParameter};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// What the rules make of a device, its equipment, its tenant and its readings.
fn rendered(rules: &str, values: Json, tenant: &Json, known: &DataModel) -> Wanted {
    let device = Device::xx230v();
    let values = (!values.is_null()).then(|| equipment(values));
    let layers = one(rules).layers(&device.subject(), values.as_ref());
    layers.render(&device.subject(), values.as_ref(), tenant, known)
}

fn household() -> Json {
    json!({
        "serial": "1",
        "wifi": [{"band": "5GHz", "ssid": "Net", "passphrase": "hunter2hunter2", "enable": true}],
        "voip": [{"line": 1, "auth_user": "u", "auth_password": "p4ssw0rd", "port": 5060}],
        "vlan": [{"role": "voice", "id": 42, "priority": 5}],
        "ntp": ["a.example", "b.example"],
        "tier": {"name": "gold", "speeds": [100, 200]},
    })
}

/// What a template makes: its text with a `*` before a secret, or why not.
fn made(template: &str) -> String {
    let rule = format!("[[parameter]]\npath = \"Device.X\"\ntemplate = '''{template}'''\n");
    let known = known(&[
        ("Device.A", "boolean", "true"),
        ("Device.N", "unsignedInt", "7"),
        ("Device.Password", "string", "s3cret"),
    ]);
    let wanted =
        rendered(&rule, household(), &json!({"proxy": "sip.example", "none": null}), &known);
    match (wanted.parameters.as_slice(), wanted.faults.as_slice()) {
        ([it], []) => format!("{}{}", if it.is_secret { "*" } else { "" }, it.value.expose()),
        ([], [(_, _, why)]) => format!("fault: {why}"),
        other => panic!("{template}: {other:?}"),
    }
}

#[test]
fn templates_see_the_device_its_equipment_and_its_tenant() {
    for (template, expected) in [
        ("{{ device.model }}/{{ device.root }}/{{ device.protocol }}", "XX230v/Device./cwmp"),
        ("{{ wifi('5GHz').ssid }}", "Net"),
        ("{{ equipment.wifi[0].ssid }}", "Net"),
        ("{{ voip(1).port }}", "5060"),
        ("{{ vlan('voice').id }}.{{ vlan('voice').priority }}", "42.5"),
        ("{{ tenant.proxy }}", "sip.example"),
        ("{{ equipment.ntp | join(',') }}", "a.example,b.example"),
        (
            "{% for it in equipment.ntp %}{{ it }}{% if not loop.last %};{% endif %}{% endfor %}",
            "a.example;b.example",
        ),
        ("{% set it = wifi('5GHz') %}{{ it.ssid }}{{ it.enable }}", "Net1"),
        ("{{ known('Device.N') + 1 }}", "8"),
        ("{{ 'on' if known('Device.A') else 'off' }}", "on"),
        ("{{ wifi('2.4GHz').ssid | default('none') }}", "none"),
        ("{{ equipment.dscp.sip | default(46) }}", "46"),
        ("{{ known('Device.Z') | default('?') }}", "?"),
        ("{{ wifi('2.4GHz').ssid }}", "fault: the template asks for a value that is not there"),
        ("{{ tenant.none }}", "fault: the template asks for a value that is not there"),
        (
            "{{ voip(device.model) }}",
            "fault: the template makes a list or an object, which is no text",
        ),
        ("{{ equipment.ntp }}", "fault: the template makes a list or an object, which is no text"),
        ("{{ device.model | int }}", "fault: a filter of the template needs a whole number"),
        (
            "{{ device.model - 1 }}",
            "fault: the template cannot be filled: an operation does not fit its values",
        ),
        (
            "{% for a in equipment.ntp[0] %}{% for b in equipment.ntp[0] %}{% for c in equipment.ntp[0] %}{% for d in equipment.ntp[0] %}{{ a }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
            "fault: the template takes too long",
        ),
    ] {
        assert_eq!(made(template), expected, "{template}");
    }
}

#[test]
fn filters_do_what_they_are_called() {
    for (template, expected) in [
        ("{{ 'aBc' | upper }}{{ 'aBc' | lower }}", "ABCabc"),
        ("{{ '  a ' | trim }}", "a"),
        ("{{ 'a b c' | replace(' ', '_') }}{{ 'a b c' | without_spaces }}", "a_b_cabc"),
        ("{{ 255 | hex }}{{ 10 | hex(4) }}", "ff000a"),
        (
            "{{ '1c61b4-fb.2a:C8' | mac }} {{ '1C61B4FB2AC8' | mac('') | upper }}",
            "1c:61:b4:fb:2a:c8 1C61B4FB2AC8",
        ),
        ("{{ 'a\"b\\\\c' | quote }}", "\"a\\\"b\\\\c\""),
        ("{{ '+1 (514) 555-0100' | digits }}", "15145550100"),
        ("{{ 'añb' | truncate(2) }}", "a"),
        ("{{ 7 | pad(3) }}{{ 'x' | pad(2) }}", "0070x"),
        ("{{ 15 | times(60) }}", "900"),
        ("{{ 'a,b' | split(',') | last }}{{ 'abc' | first }}{{ 'abc' | length }}", "ba3"),
        ("{{ '42' | int }}{{ -3 | abs }}", "423"),
        ("{{ 'x' is defined and 'abc' is startingwith('a') }}", "1"),
        ("{{ 'nomac' | mac }}", "fault: the filter `mac` needs 12 hexadecimal digits"),
        ("{{ 'a' | pad(9999) }}", "fault: a width in the template is too large"),
        (
            "{{ 'a' | replace('', 'b') }}",
            "fault: a filter of the template cannot replace or cut at an empty text",
        ),
        (
            "{{ 'aaaaaaaaaa' | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') }}",
            "fault: the template makes a text that is too long",
        ),
    ] {
        assert_eq!(made(template), expected, "{template}");
    }
}

#[test]
fn what_looked_at_a_secret_is_a_secret() {
    for (template, expected) in [
        ("{{ wifi('5GHz').passphrase }}", "*hunter2hunter2"),
        ("{{ wifi('5GHz').passphrase | upper | truncate(3) }}", "*HUN"),
        ("{{ 'weak' if wifi('5GHz').passphrase | length == 14 }}", "*weak"),
        ("{% for it in equipment.voip %}{{ it.auth_password }}{% endfor %}", "*p4ssw0rd"),
        ("{{ equipment.tier.name }}", "*gold"),
        ("{{ known('Device.Password') }}", "*s3cret"),
        ("{{ wifi('5GHz').ssid }}", "Net"),
        ("{{ 'a' if wifi('5GHz') else 'b' }}", "a"),
        ("{{ wifi('2.4GHz').passphrase | default('none') }}", "none"),
    ] {
        assert_eq!(made(template), expected, "{template}");
    }
    let rules = "[[parameter]]\npath = \"Device.X.KeyPassphrase\"\nvalue = \"a\"\n\
                 [[parameter]]\npath = \"Device.Y\"\nvalue = \"b\"\nsecret = true\n\
                 [[parameter]]\npath = \"Device.Z\"\nvalue = \"c\"\n";
    let wanted = rendered(rules, Json::Null, &Json::Null, &DataModel::new());
    let set = one(&rules.replace("\"a\"", "\"hunter2\""));
    let layers = set.layers(&Device::xx230v().subject(), None);
    assert!(!format!("{set:?}{layers:?}").contains("hunter2"), "what a file holds is not printed");
    let secrets: Vec<_> = wanted.parameters.iter().map(|it| it.is_secret).collect();
    assert_eq!(secrets, [true, true, false], "by its name, by the profile, and not");
}

#[test]
fn values_are_of_their_type_or_not_sent() {
    let rules = "[[parameter]]\npath = \"Device.A\"\ntemplate = \"{{ wifi('5GHz').ssid }} x\"\ntype = \"host\"\n\
                 [[parameter]]\npath = \"Device.B\"\ntemplate = \"{{ equipment.ntp | first }}\"\ntype = \"host_or_empty\"\n\
                 [[parameter]]\npath = \"Device.C\"\ntemplate = \"{{ true }}\"\ntype = \"boolean\"\n\
                 [[parameter]]\npath = \"Device.D\"\nvalue = true\n";
    let wanted = rendered(rules, household(), &Json::Null, &DataModel::new());
    let (path, rule, why) = &wanted.faults[0];
    assert_eq!((path.as_str(), rule.line), ("Device.A", 4));
    assert_eq!(
        &**why,
        "the value must be a host: a name of RFC 1123 or an address, without a port"
    );
    let said: Vec<_> = wanted
        .parameters
        .iter()
        .map(|it| (it.path.as_str(), it.kind.clone(), &**it.value.expose()))
        .collect();
    assert_eq!(
        said,
        [
            ("Device.B", ValueKind::HostOrEmpty, "a.example"),
            ("Device.C", ValueKind::Typed("boolean".into()), "1"),
            ("Device.D", ValueKind::AsTheDevice, "1"),
        ]
    );
}

#[test]
fn conditions_choose() {
    let rules = "[[parameter]]\npath = \"Device.X\"\nvalue = 1\nwhen = \"equipment.tier.name == 'silver'\"\n\
                 [[parameter]]\npath = \"Device.X\"\nvalue = 2\nwhen = \"equipment.vlan.exists(it, it.id == 42)\"\n\
                 [[parameter]]\npath = \"Device.X\"\nvalue = 3\n\
                 [[parameter]]\npath = \"Device.Y\"\nvalue = 1\nwhen = \"equipment.bridge.enable\"\n\
                 [[parameter]]\npath = \"Device.Z\"\nvalue = 1\nwhen = \"known('Device.N') == 7 && tenant.x == 'y'\"\n\
                 [[parameter]]\npath = \"Device.W\"\nvalue = 1\nwhen = \"device.model > 3\"\n\
                 [[parameter]]\npath = \"Device.V\"\nvalue = 1\nwhen = \"has(equipment.wifi[0].passphrase)\"\n";
    let known = known(&[("Device.N", "int", "7")]);
    let wanted = rendered(rules, household(), &json!({"x": "y"}), &known);
    let said: Vec<_> =
        wanted.parameters.iter().map(|it| format!("{}={}", it.path, it.value.expose())).collect();
    assert_eq!(said, ["Device.X=2", "Device.Z=1"], "a passphrase is not seen by conditions");
    assert_eq!(wanted.faults.len(), 1);
    assert_eq!(
        &*wanted.faults[0].2,
        "`when` cannot be evaluated: an operation does not fit its values"
    );
    let nothing = rendered(rules, json!({"serial": "1"}), &Json::Null, &DataModel::new());
    assert_eq!(nothing.parameters.len(), 1, "what is not there does not hold");
    assert_eq!(&**nothing.parameters[0].value.expose(), "3");
    let unknown = rendered(rules, Json::Null, &Json::Null, &DataModel::new());
    assert_eq!(unknown.parameters, [], "what has not been said may be anything");
}

#[test]
fn without_equipment_nothing_of_it_is_missing() {
    let rules = "[[parameter]]\npath = \"Device.A\"\ntemplate = \"{{ wifi('5GHz').ssid }}\"\n\
                 [[parameter]]\npath = \"Device.B\"\ntemplate = \"{{ tenant.x }}\"\n\
                 [[parameter]]\npath = \"Device.C\"\ntemplate = \"{{ tenant.x }}\"\noptional = true\n";
    let wanted = rendered(rules, Json::Null, &Json::Null, &DataModel::new());
    let faults: Vec<_> = wanted.faults.iter().map(|(path, _, _)| path.as_str()).collect();
    assert_eq!(faults, ["Device.B"]);
}

/// A default is for what the business leaves out, not for what it has not said: it would overwrite
/// what it said before.
#[test]
fn without_equipment_nothing_takes_its_place() {
    let low = "[[parameter]]\npath = \"Device.A\"\nvalue = 1\n\
               [[parameter]]\npath = \"Device.T.*.X\"\nvalue = 1\n\
               [[parameter]]\npath = \"Device.T.1.Y\"\nvalue = 1\n\
               [[parameter]]\npath = \"Device.T.1.Z\"\nvalue = 1\n\
               [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"a\" }\n\
               [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"b\" }\n";
    let high = "[[parameter]]\npath = \"Device.A\"\ntemplate = \"{{ equipment.dscp.sip | default(46) }}\"\n\
                [[parameter]]\npath = \"Device.B\"\ntemplate = \"{{ equipment.upnp | default(false) }}\"\n\
                [[parameter]]\npath = \"Device.C\"\nvalue = 1\nwhen = \"equipment.vlan.size() == 0\"\n\
                [[parameter]]\npath = \"Device.C\"\nvalue = 2\n\
                [[parameter]]\npath = \"Device.D\"\nvalue = 3\n\
                [[parameter]]\npath = \"Device.T.1.X\"\ntemplate = \"{{ equipment.ntp | length }}\"\n\
                [[parameter]]\npath = \"Device.T.*.Y\"\ntemplate = \"{{ wifi('5GHz').ssid | default('x') }}\"\n\
                [[parameter]]\npath = \"Device.T.2.Y\"\nvalue = 4\n\
                [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"a\" }\nwhen = \"!equipment.bridge.enable\"\n\
                [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"c\" }\n\
                set = { X = 1, Y = { template = \"{{ equipment.upnp | default(true) }}\" }, Z = { value = 1, when = \"size(equipment.ntp) == 0\" } }\n";
    let wanted = stacked(low, high);
    assert_eq!(wanted.faults, []);
    assert!(wanted.lacks_values);
    let said = |all: &[WantedParameter]| -> Vec<_> {
        all.iter().map(|it| format!("{}={}", it.path, it.value.expose())).collect()
    };
    let mut parameters = said(&wanted.parameters);
    parameters.sort();
    assert_eq!(parameters, ["Device.D=3", "Device.T.1.Z=1", "Device.T.2.Y=4"]);
    let objects: Vec<_> =
        wanted.objects.iter().map(|it| (&**it.keys[0].1.expose(), said(&it.parameters))).collect();
    assert_eq!(objects, [("b", vec![]), ("c", vec!["X=1".to_owned()])]);
}

fn stacked(low: &str, high: &str) -> Wanted {
    let head = |name: &str, layer: i32| {
        format!(
            "name = \"{name}\"\ndescription = \"d\"\nlayer = {layer}\nmatch.protocol = \"cwmp\"\n"
        )
    };
    let (low, high) = (head("low", 1) + low, head("high", 2) + high);
    let device = Device::xx230v();
    let layers = set(&[("low", &low), ("high", &high)]).layers(&device.subject(), None);
    layers.render(&device.subject(), None, &Json::Null, &DataModel::new())
}

#[test]
fn higher_layers_go_before_lower_ones() {
    let low = "[[parameter]]\npath = \"Device.A\"\nvalue = 1\n[[parameter]]\npath = \"Device.B\"\nvalue = 1\n\
               [[parameter]]\npath = \"Device.T.3.X\"\nvalue = 1\n\
               [[refresh]]\npath = \"Device.R\"\nevery = \"1h\"\n[[refresh]]\npath = \"Device.S\"\nevery = \"1h\"\n\
               [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"a\" }\nset = { X = 1 }\n\
               [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"b\" }\n\
               [firmware]\nversion = \"1\"\n[window]\nfrom = \"01:00\"\nto = \"02:00\"\nzone = \"UTC\"\n";
    let high = "[[parameter]]\npath = \"Device.T.1.X\"\nvalue = 3\n\
                [[parameter]]\npath = \"Device.T.*.X\"\nvalue = 2\ndrift = \"report\"\n\
                [[parameter]]\npath = \"Device.A\"\nvalue = 2\nverify_every = \"2h\"\n[[parameter]]\npath = \"Device.B\"\nremove = true\n\
                [[refresh]]\npath = \"Device.R\"\nevery = \"2h\"\non = \"1 BOOT\"\n[[refresh]]\npath = \"Device.S\"\nremove = true\n\
                [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"a\" }\nensure = \"absent\"\n\
                [[object]]\ntable = \"Device.O.\"\nkey = { Name = \"b\" }\nremove = true\n\
                [firmware]\nversion = \"2\"\n";
    let wanted = stacked(low, high);
    assert_eq!(wanted.faults, []);
    assert_eq!(wanted.profiles, ["low".into(), "high".into()]);
    let said: Vec<_> = wanted
        .parameters
        .iter()
        .map(|it| format!("{}={} {}", it.path, it.value.expose(), it.rule.profile))
        .collect();
    assert_eq!(
        said,
        ["Device.T.3.X=1 low", "Device.T.*.X=2 high", "Device.T.1.X=3 high", "Device.A=2 high"],
        "low layers first, wildcards before literals: the later goes"
    );
    assert_eq!(wanted.parameters[1].drift, Drift::Report);
    assert_eq!(wanted.parameters[3].verify_every, Duration::from_secs(7_200));
    assert_eq!(wanted.refreshes.len(), 1);
    assert_eq!(wanted.refreshes[0].every, Duration::from_secs(7_200));
    assert_eq!(wanted.objects.len(), 1);
    assert_eq!(wanted.objects[0].presence, Presence::Absent);
    let firmware = wanted.firmware.unwrap();
    assert_eq!(&*firmware.version, "2");
    assert!(firmware.window.is_some(), "the window of the highest layer that has one");
}

#[test]
fn objects_are_found_by_keys_and_hold_values() {
    let rules = "[[object]]\ntable = \"Device.V.\"\nkey = { Name = \"voice\", VLANID = { template = \"{{ vlan('voice').id }}\" } }\n\
                 set = { Enable = true, \"Deep.Port\" = { template = \"{{ voip(1).port }}\", type = \"unsignedInt\" }, \
                 Gone = { template = \"{{ wifi('2.4GHz').ssid }}\", optional = true }, \
                 Not = { value = 1, when = \"device.oui == 'x'\" }, Key = { template = \"{{ wifi('5GHz').passphrase }}\" } }\n\
                 [[object]]\ntable = \"Device.W.\"\nkey = { Name = { template = \"{{ wifi('5GHz').passphrase }}\" } }\n";
    let wanted = rendered(rules, household(), &Json::Null, &DataModel::new());
    let object = &wanted.objects[0];
    let keys: Vec<_> =
        object.keys.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
    assert_eq!(keys, ["Name=voice", "VLANID=42"]);
    let set: Vec<_> = object
        .parameters
        .iter()
        .map(|it| format!("{}={} {}", it.path, it.value.expose(), it.is_secret))
        .collect();
    assert_eq!(set, ["Deep.Port=5060 false", "Enable=1 false", "Key=hunter2hunter2 true"]);
    assert_eq!(wanted.objects.len(), 1);
    assert_eq!(
        &*wanted.faults[0].2,
        "a key of an object may be no secret: it is sent to find the object"
    );
}

#[test]
fn only_paths_of_the_devices_own_root_are_wanted() {
    let rules = "[[parameter]]\npath = \"InternetGatewayDevice.A\"\nvalue = 1\n[[parameter]]\npath = \"Device.A\"\nvalue = 1\n\
                 [[refresh]]\npath = \"InternetGatewayDevice.B\"\nevery = \"1h\"\n";
    let wanted = rendered(rules, Json::Null, &Json::Null, &DataModel::new());
    assert_eq!((wanted.parameters.len(), wanted.refreshes.len()), (1, 0));
}

#[test]
fn guesses_are_said() {
    let rules = "[[parameter]]\npath = \"Device.A\"\nvalue = 1\nguess = true\n[[parameter]]\npath = \"Device.B\"\nvalue = 1\n";
    let wanted = rendered(rules, Json::Null, &Json::Null, &DataModel::new());
    let guessed: Vec<_> = wanted.parameters.iter().map(|it| wanted.is_guess(&it.rule)).collect();
    assert_eq!(guessed, [true, false]);
}

/// The mark that every secret of the documents below has.
const MARK: &str = "zq9";

fn documents() -> impl Strategy<Value = Json> {
    let text = || proptest::option::of("[a-z ]{0,6}");
    let secret = || proptest::option::of("[a-z]{0,4}".prop_map(|it| format!("{MARK}{it}{MARK}")));
    let wifi = (proptest::sample::select(vec!["2.4GHz", "5GHz", "?"]), text(), secret(), proptest::option::of(any::<bool>()))
        .prop_map(|(band, ssid, passphrase, enable)| json!({"band": band, "ssid": ssid, "passphrase": passphrase, "enable": enable}));
    let voip = (0..3_u32, text(), secret(), secret(), proptest::option::of(any::<u16>()))
        .prop_map(|(line, uri, password, number, port)| json!({"line": line, "uri": uri, "auth_password": password, "directory_number": number, "port": port}));
    let leaf = secret().prop_map(|it| json!(it));
    let extra = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|it| json!(it)),
            proptest::collection::btree_map("[a-c]", inner, 0..3).prop_map(|it| json!(it)),
        ]
    });
    (proptest::collection::vec(wifi, 0..4), proptest::collection::vec(voip, 0..4), proptest::collection::vec("[a-z.]{0,8}", 0..4), extra)
        .prop_map(|(wifi, voip, ntp, more)| json!({"serial": "1", "wifi": wifi, "voip": voip, "ntp": ntp, "more": more}))
}

fn expressions() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(vec![
        "wifi('5GHz').ssid",
        "wifi('5GHz').passphrase",
        "wifi('5GHz')",
        "equipment.wifi",
        "equipment.wifi[0].passphrase",
        "voip(1).auth_password",
        "voip(1).directory_number",
        "voip(1).port",
        "equipment.voip",
        "equipment.more",
        "equipment.more.a",
        "equipment.more[0]",
        "equipment.ntp",
        "equipment",
        "device.model",
        "'x'",
        "7",
        "equipment['more']",
        "equipment.voip | last",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let filter = proptest::sample::select(vec![
            "upper",
            "first",
            "last",
            "default('d')",
            "join('-')",
            "length",
            "truncate(9)",
            "quote",
            "split('q')",
            "trim",
            "int",
        ]);
        prop_oneof![
            (inner.clone(), filter).prop_map(|(it, filter)| format!("({it}) | {filter}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) ~ ({b})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a}) if ({b}) else ({c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) == ({b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("[{a}, {b}]")),
        ]
    })
}

proptest! {
    /// Whatever a template does to what the business says: it ends, and a text in which something
    /// of a secret is left is a secret; no fault and nothing that is printed holds any of it.
    #[test]
    fn secrets_stay_secrets(document in documents(), expression in expressions(), looped in any::<bool>()) {
        let template = if looped {
            format!("{{% for it in {expression} %}}{{{{ it }}}}{{% endfor %}}")
        } else {
            format!("{{{{ {expression} }}}}")
        };
        let text = format!(
            "name = \"p\"\ndescription = \"d\"\nmatch.protocol = \"cwmp\"\n[[parameter]]\npath = \"Device.X\"\ntemplate = \"\"\"{template}\"\"\"\n\
             [[object]]\ntable = \"Device.T.\"\nkey = {{ A = {{ template = \"\"\"{template}\"\"\" }} }}\nset = {{ B = {{ template = \"\"\"{template}\"\"\" }} }}\n"
        );
        let Ok(set) = ProfileSet::parse([("p", text.as_str())]) else { return Ok(()) };
        let device = Device::xx230v();
        let equipment = equipment(document);
        let layers = set.layers(&device.subject(), Some(&equipment));
        let wanted = layers.render(&device.subject(), Some(&equipment), &Json::Null, &DataModel::new());
        let again = layers.render(&device.subject(), Some(&equipment), &Json::Null, &DataModel::new());
        prop_assert_eq!(&wanted, &again);
        let objects = wanted.objects.iter().flat_map(|it| &it.parameters);
        for it in wanted.parameters.iter().chain(objects) {
            let leaks = it.value.expose().to_lowercase().contains(&MARK[..2]);
            prop_assert!(it.is_secret || !leaks, "{}", template);
        }
        for (_, value) in wanted.objects.iter().flat_map(|it| &it.keys) {
            prop_assert!(!value.expose().contains(MARK));
        }
        let printed = format!("{wanted:?}{layers:?}");
        prop_assert!(!printed.contains(MARK));
    }
}
