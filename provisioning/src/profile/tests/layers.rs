use super::*;

fn profile(name: &str, rest: &str) -> String {
    format!("name = \"{name}\"\ndescription = \"d\"\n{rest}")
}

/// Which of two profiles are for a device: `a` has the keys, `b` is for every CPE.
fn fits(device: &Device, matching: &str) -> bool {
    let (a, b) =
        (profile("a", &format!("[match]\n{matching}")), profile("b", "match.protocol = \"cwmp\""));
    let layers = set(&[("a", &a), ("b", &b)]).layers(&device.subject(), None);
    names(&layers).contains(&"a")
}

#[test]
fn all_that_is_given_must_hold_and_any_of_a_list() {
    let device =
        Device { tags: vec!["vip".into(), "north".into()], group: Some("g1"), ..Device::xx230v() };
    for (matching, expected) in [
        ("oui = \"1c61b4\"", true),
        ("oui = [\"00259E\", \"1C61B4\"]", true),
        ("oui = \"1C*\"", true),
        ("oui = \"00259E\"", false),
        ("oui = \"1C61B4\"\nmodel = \"Deco*\"", false),
        ("product_class = \"Device2\"\nmodel = \"XX230v\"", true),
        ("manufacturer = \"tp-link\"", true),
        ("hardware_version = \"* v1.0\"", true),
        ("software_version = \">=3.0.1 <3.1\"", true),
        ("software_version = [\"<3\", \"4.*\"]", false),
        ("serial = \"2227*\"", true),
        ("serial = \"RCMG*\"", false),
        ("group = \"g*\"", true),
        ("group = \"h\"", false),
        ("tags = { all = [\"vip\", \"north\"] }", true),
        ("tags = { all = [\"vip\", \"south\"] }", false),
        ("tags = { any = [\"vip\", \"south\"] }", true),
        ("tags = { any = [\"south\"] }", false),
        ("protocol = [\"cwmp\"]", true),
        ("protocol = [\"mqtt\", \"ussd\"]", false),
        ("when = \"device.software_version.startsWith('3.') && 'vip' in device.tags\"", true),
        ("when = \"device.hardware_version == ''\"", false),
        ("when = \"at_least(device.software_version, '3.0.2')\"", false),
        ("when = \"equipment.bridge.enable\"", false),
        ("when = \"device.model + 1 == 2\"", false),
        ("when = \"device.model.matches('^XX[0-9]+v$')\"", true),
    ] {
        assert_eq!(fits(&device, matching), expected, "{matching}");
    }
}

#[test]
fn what_a_device_has_not_said_fits_nothing() {
    let device = Device { facts: DeviceFacts::default(), ..Device::xx230v() };
    for matching in ["oui = \"*\"", "model = \"*\"", "software_version = \">=0\"", "group = \"*\""]
    {
        assert!(!fits(&device, matching), "{matching}");
    }
}

/// S4-6: the same ProductClass is two products.
#[test]
fn one_product_class_is_two_products_told_apart_by_their_model() {
    let deco = profile("deco", "[match]\nproduct_class = \"Device2\"\nmodel = \"*Deco*\"");
    let gateway = profile("gateway", "[match]\nproduct_class = \"Device2\"\nmodel = \"XX230v\"");
    let set = set(&[("deco", &deco), ("gateway", &gateway)]);
    let mut device = Device::xx230v();
    assert_eq!(names(&set.layers(&device.subject(), None)), ["gateway"]);
    device.facts.model = Some("Deco M4".into());
    assert_eq!(names(&set.layers(&device.subject(), None)), ["deco"]);
    device.facts.model = Some("Device2".into());
    assert_eq!(
        names(&set.layers(&device.subject(), None)),
        [""; 0],
        "its ModelName was not read yet"
    );
}

#[test]
fn layers_lie_by_their_number_then_by_their_name() {
    let at = |name: &str, layer: i32| {
        profile(name, &format!("layer = {layer}\nmatch.protocol = \"cwmp\""))
    };
    let files = [("z", at("z", -5)), ("b", at("b", 50)), ("a", at("a", 50)), ("m", at("m", 900))];
    let named = ("n", profile("n", "layer = -1000"));
    let files: Vec<_> =
        files.iter().chain([&named]).map(|(name, text)| (*name, text.as_str())).collect();
    let set = set(&files);
    let device = Device::xx230v();
    assert_eq!(names(&set.layers(&device.subject(), None)), ["z", "a", "b", "m"]);
    assert_eq!(
        set.profiles().iter().map(|it| &*it.name).collect::<Vec<_>>(),
        ["a", "b", "m", "n", "z"]
    );
    let of = |name: &str| equipment(serde_json::json!({"serial": "1", "profile": name}));
    let layers = set.layers(&device.subject(), Some(&of("n")));
    assert_eq!(names(&layers), ["z", "a", "b", "m", "n"], "a named one lies on top");
    let layers = set.layers(&device.subject(), Some(&of("z")));
    assert_eq!(names(&layers), ["a", "b", "m", "z"], "and lies there once");
    let layers = set.layers(&device.subject(), Some(&of("gone")));
    assert_eq!(names(&layers), ["z", "a", "b", "m"]);
    let wanted =
        layers.render(&device.subject(), None, &serde_json::Value::Null, &DataModel::new());
    assert_eq!(
        &*wanted.faults[0].2,
        "the equipment names the profile `gone`, which does not exist"
    );
}

#[test]
fn a_profile_says_whose_it_is() {
    let text = profile(
        "a",
        "[match]\nmodel = [\"X*\", \"Y\"]\ntags.any = \"vip\"\n[[alias]]\nkind = \"mac\"\npath = \"Device.A\"\nguess = true\n",
    );
    let set = set(&[("a", &text), ("b", &profile("b", ""))]);
    let [a, b] = set.profiles() else { panic!() };
    let summary = serde_json::json!({"model": ["X*", "Y"], "tags": {"any": "vip"}});
    assert_eq!(a.match_summary(), Some(&summary));
    assert_eq!((a.rules(), a.guesses(), a.is_guess), (1, 1, false));
    assert_eq!(b.match_summary(), None);
    assert!(set.find("b").is_some() && set.find("c").is_none());
}

#[test]
fn a_revision_names_the_bytes() {
    let text = profile("a", "match.protocol = \"cwmp\"");
    let device = Device::xx230v();
    let revisions = |text: &str| {
        let set = set(&[("a", text)]);
        let layers = set.layers(&device.subject(), None).revision;
        (set.profiles()[0].revision, layers)
    };
    let (profile, layers) = revisions(&text);
    assert_eq!(revisions(&text), (profile, layers));
    let changed = revisions(&format!("{text}\n# a word"));
    assert!(changed.0 != profile && changed.1 != layers);
    assert_eq!(Revision(0xab).to_string(), "00000000000000ab");
    let nobody = ProfileSet::default().layers(&device.subject(), None);
    assert_ne!(nobody.revision, layers);
}

#[test]
fn not_more_profiles_lie_on_each_other_than_are_allowed() {
    let files: Vec<_> = (0..LAYERS_MAX + 3)
        .map(|it| (format!("p{it:03}"), profile(&format!("p{it:03}"), "match.protocol = \"cwmp\"")))
        .collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let layers = set(&files).layers(&Device::xx230v().subject(), None);
    assert_eq!(names(&layers).len(), LAYERS_MAX);
    assert_eq!(names(&layers)[0], "p003", "the lowest are left out");
}
