use super::*;
use jiff::Timestamp;
use model::{DataModel, Observation, Reading, Redacted};
use proptest::prelude::*;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn known(values: &[(&str, &str)]) -> DataModel {
    let reading = |(path, value): &(&str, &str)| Reading {
        path: (*path).into(),
        xsd_type: if path.ends_with("Enable") { "boolean" } else { "string" }.into(),
        value: Redacted((*value).into()),
    };
    let values = values.iter().map(reading).collect();
    let mut known = DataModel::new();
    known.learn(&Observation::Values { asked: vec![], values }, Timestamp::UNIX_EPOCH);
    known
}

#[test]
fn paths_that_no_device_has_are_refused() {
    for (text, error) in [
        ("", PatternError::Root),
        ("device.X", PatternError::Root),
        ("Services.VoiceService.1.X", PatternError::Root),
        ("Device..X", PatternError::Empty),
        ("Device.X..", PatternError::Empty),
        ("Device.X Y", PatternError::Segment),
        ("Device.X*", PatternError::Segment),
        ("Device.0.X", PatternError::Segment),
        ("Device.01.X", PatternError::Segment),
        ("Device.X.[Name].Y", PatternError::Segment),
        ("Device.X.[Name=a.Y", PatternError::Segment),
        ("Device.X.[=a].Y", PatternError::Segment),
        ("Device.X.[A..B=a].Y", PatternError::Segment),
        ("Device.X.[A=\u{7}].Y", PatternError::Segment),
        ("Device.X.1.*.Y", PatternError::Place),
        ("Device.X.*.*.Y", PatternError::Place),
        ("Device.X.*.[A=b].Y", PatternError::Place),
        ("Device.X.*", PatternError::End),
        ("Device.X.1", PatternError::End),
        ("Device.X.[A=b]", PatternError::End),
    ] {
        assert_eq!(Pattern::parse(text), Err(error), "{text}");
    }
    let long = format!("Device.{}", "X".repeat(PATH_BYTES_MAX));
    assert_eq!(Pattern::parse(&long), Err(PatternError::TooLong));
}

#[test]
fn segments_say_what_they_stand_for() {
    let it = pattern("Device.WiFi.AccessPoint.[SSIDReference=Device.WiFi.SSID.1.].Security.Mode");
    let segments: Vec<_> = it.segments().collect();
    assert_eq!(
        segments,
        [
            Segment::Name("Device"),
            Segment::Name("WiFi"),
            Segment::Name("AccessPoint"),
            Segment::Where { name: "SSIDReference", value: "Device.WiFi.SSID.1." },
            Segment::Name("Security"),
            Segment::Name("Mode"),
        ]
    );
    assert_eq!(it.root(), "Device.");
    assert!(!it.is_literal() && !it.is_object());
    assert!(pattern("InternetGatewayDevice.").is_object());
    assert!(pattern("Device.X_CT-COM_Y.1.Z").is_literal());
    assert_eq!(pattern("Device.Hosts.Host.*.").segments().last(), Some(Segment::Every));
}

#[test]
fn a_pattern_matches_what_it_may_stand_for() {
    let it = pattern("Device.Hosts.Host.*.IPAddress");
    assert!(it.matches("Device.Hosts.Host.12.IPAddress"));
    assert!(!it.matches("Device.Hosts.Host.12.IPAddress.X"));
    assert!(!it.matches("Device.Hosts.Host.12."));
    assert!(!it.matches("Device.Hosts.Host.X.IPAddress"));
    let it = pattern("Device.Hosts.");
    assert!(it.matches("Device.Hosts."));
    assert!(!it.matches("Device.Hosts.Host."));
    assert!(pattern("Device.A.[B=c].D").matches("Device.A.3.D"), "whatever B is");
}

#[test]
fn wildcards_stand_for_the_instances_that_are_there() {
    let known = known(&[
        ("Device.A.10.B.1.C", ""),
        ("Device.A.2.B.3.C", ""),
        ("Device.A.2.B.1.C", ""),
        ("Device.A.2.X", ""),
        ("Device.A.Count", "2"),
        ("Device.AB.7.X", ""),
    ]);
    let it = pattern("Device.A.*.B.*.C").expand(&known);
    let paths: Vec<_> = it.paths.iter().map(|it| &**it).collect();
    assert_eq!(paths, ["Device.A.2.B.1.C", "Device.A.2.B.3.C", "Device.A.10.B.1.C"]);
    let tables: Vec<_> = it.tables.iter().map(|it| &**it).collect();
    assert_eq!(tables, ["Device.A.", "Device.A.2.B.", "Device.A.10.B."]);
    let it = pattern("Device.A.*.").expand(&known);
    assert_eq!(it.paths, ["Device.A.2.".into(), "Device.A.10.".into()]);
    let it = pattern("Device.Z.Q").expand(&known);
    assert_eq!(it.paths, ["Device.Z.Q".into()], "a literal path is itself, there or not");
    let it = pattern("Device.Z.*.Q").expand(&known);
    assert_eq!((it.paths.len(), &*it.tables), (0, &["Device.Z.".into()][..]));
}

#[test]
fn conditions_choose_and_say_what_they_need() {
    let known = known(&[
        ("Device.A.1.Name", "voice"),
        ("Device.A.1.Enable", "true"),
        ("Device.A.2.Name", "data"),
        ("Device.A.2.Enable", "0"),
        ("Device.A.3.Enable", "1"),
        ("Device.A.3.Lower", "Device.B.1"),
    ]);
    let expand = |text: &str| pattern(text).expand(&known);
    let it = expand("Device.A.[Name=voice].X");
    assert_eq!(it.paths, ["Device.A.1.X".into()]);
    assert_eq!(it.asked.len(), 3);
    assert_eq!(it.unknown, ["Device.A.3.Name".into()]);
    assert_eq!(expand("Device.A.[Enable=1].X").paths.len(), 2, "in either spelling");
    assert_eq!(expand("Device.A.[Lower=Device.B.1.].X").paths, ["Device.A.3.X".into()]);
    assert_eq!(expand("Device.A.[Name=].X").paths.len(), 0);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = Pattern::parse(&text);
    }

    #[test]
    fn what_is_read_is_cut_whole(text in "(Device|InternetGatewayDevice)(\\.([A-C*1]|\\[[A-C.]{1,4}=[a-c.]{0,4}\\])){0,6}\\.?") {
        if let Ok(it) = Pattern::parse(&text) {
            let parts: Vec<_> = parts(&text).collect();
            let again = parts.join(".") + if it.is_object() { "." } else { "" };
            prop_assert_eq!(again, text);
            for path in it.expand(&DataModel::new()).paths {
                prop_assert!(it.matches(&path));
            }
        }
    }
}
