//! Each answer by itself, from what a device told.

use super::*;
use crate::equipment::{Voip, Wifi};
use crate::{Measure, Pattern, Scale, WantedFirmware, WantedRefresh};
use model::{Observation, Reading};

const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);
const LIMITS: Limits = Limits {
    optical_weak_dbm: -25.0,
    optical_low_dbm: -27.0,
    optical_high_dbm: -8.0,
    reading_age_max: Duration::from_secs(3_600),
};

struct Scene {
    held: Held,
    wanted: Wanted,
    model: DataModel,
    equipment: Option<Equipment>,
    is_online: bool,
    firmware: Option<&'static str>,
}

impl Scene {
    /// A device whose profiles measure these paths, and that told this of them an instant ago.
    fn new(told: &[(&str, &str, &str)]) -> Self {
        let mut held = Held::default();
        (held.standing, held.since) = (Standing::Converged, NOW);
        let mut scene = Self {
            held,
            wanted: Wanted::default(),
            model: DataModel::default(),
            equipment: None,
            is_online: true,
            firmware: Some("3.0"),
        };
        for (measure, path, value) in told {
            scene.measure(measure, path);
            scene.tell(path, value, NOW);
        }
        scene
    }

    fn measure(&mut self, measure: &str, path: &str) {
        self.wanted.refreshes.push(WantedRefresh {
            path: Pattern::parse(path).unwrap(),
            every: Duration::from_secs(3_600),
            on_events: Vec::new(),
            measure: Some(Measure { name: measure.into(), scale: Scale::Plain }),
            rule: crate::Rule::default(),
        });
    }

    fn tell(&mut self, path: &str, value: &str, at: Timestamp) {
        let reading = Reading {
            path: path.into(),
            value: Redacted(value.into()),
            xsd_type: "xsd:string".into(),
        };
        let values = Observation::Values { asked: vec![path.into()], values: vec![reading] };
        self.model.learn(&values, at);
    }

    fn checkup(&self) -> Checkup {
        let facts = Facts {
            is_online: self.is_online,
            last_seen_at: Some(NOW),
            not_woken: None,
            firmware: self.firmware,
            held: &self.held,
            wanted: &self.wanted,
            model: &self.model,
            equipment: self.equipment.as_ref(),
            now: NOW,
        };
        Checkup::of(&facts, &LIMITS)
    }
}

#[test]
fn light_is_judged_by_its_level() {
    for (level, state) in [
        ("-18.5", State::Ok),
        ("-25", State::Ok),
        ("-25.01", State::Warning),
        ("-27.5", State::Failed),
        ("-7.9", State::Failed),
        ("strong", State::Unknown),
    ] {
        let check = Scene::new(&[(OPTICAL, "Device.Optical.1.Rx", level)]).checkup().optical;
        assert_eq!((check.state, check.read_at), (state, Some(NOW)), "{level}");
        assert_eq!(check.cause.is_empty(), state == State::Ok, "{level}");
    }
}

#[test]
fn an_old_reading_is_no_answer() {
    let mut scene = Scene::new(&[]);
    scene.measure(OPTICAL, "Device.Optical.1.Rx");
    assert_eq!(scene.checkup().optical.state, State::Unknown);
    let old = NOW - Duration::from_secs(3_601);
    scene.tell("Device.Optical.1.Rx", "-18", old);
    let check = scene.checkup().optical;
    assert_eq!((check.state, check.read_at), (State::Unknown, Some(old)));
    assert_eq!(check.value.expose(), &json!(-18), "it is shown all the same");
    scene.tell("Device.Optical.1.Rx", "-18", NOW);
    assert_eq!(scene.checkup().optical.state, State::Ok);
}

#[test]
fn what_no_profile_measures_is_not_known() {
    let check = Scene::new(&[]).checkup().optical;
    assert_eq!((check.state, &*check.cause), (State::Unknown, "no profile of it measures this"));
}

#[test]
fn networks_are_on_unless_ordered_off() {
    let state = |value: &str, ordered: Option<bool>| {
        let mut scene = Scene::new(&[(WIFI_5G, "Device.WiFi.Radio.2.Enable", value)]);
        let wifi = Wifi { band: "5GHz".to_owned(), enable: ordered, ..Wifi::default() };
        scene.equipment = Some(Equipment { wifi: vec![wifi], ..Equipment::default() });
        let checkup = scene.checkup();
        assert_eq!(checkup.wifi_2g.state, State::Unknown, "the other band was not read");
        checkup.wifi_5g.state
    };
    assert_eq!(state("1", None), State::Ok);
    assert_eq!(state("true", Some(true)), State::Ok);
    assert_eq!(state("0", Some(true)), State::Failed);
    assert_eq!(state("false", None), State::Failed);
    assert_eq!(state("0", Some(false)), State::Ok);
    assert_eq!(state("1", Some(false)), State::Warning);
    assert_eq!(state("maybe", None), State::Unknown);
}

#[test]
fn lines_are_registered_where_there_are_any() {
    let scene = |status: &str| Scene::new(&[(SIP, "Device.Voice.1.Line.1.Status", status)]);
    for (status, state) in [
        ("Up", State::Ok),
        ("Registered", State::Ok),
        ("Registering", State::Warning),
        ("Error", State::Failed),
        ("Disabled", State::Failed),
        ("Dancing", State::Unknown),
    ] {
        assert_eq!(scene(status).checkup().sip.state, state, "{status}");
    }
    let mut none = scene("Disabled");
    none.equipment = Some(Equipment::default());
    assert_eq!(none.checkup().sip.state, State::Ok, "no line is ordered");
    let line = |enable| Voip { line: 1, enable, ..Voip::default() };
    let mut one = scene("Disabled");
    one.equipment = Some(Equipment { voip: vec![line(None)], ..Equipment::default() });
    assert_eq!(one.checkup().sip.state, State::Failed);
}

#[test]
fn a_models_own_place_goes_before_the_standards() {
    let mut scene = Scene::new(&[
        (SIP, "Device.Services.Line.1.Status", "Disabled"),
        (SIP, "Device.X_TP.Line.1.Status", "Up"),
    ]);
    assert_eq!(scene.checkup().sip.state, State::Ok);
    // Two lines in that place: the worse one.
    scene.wanted.refreshes.pop();
    scene.measure(SIP, "Device.X_TP.Line.*.Status");
    scene.tell("Device.X_TP.Line.2.Status", "Error", NOW);
    let check = scene.checkup().sip;
    assert_eq!((check.state, check.value.expose()), (State::Failed, &json!("Error")));
}

#[test]
fn the_profile_and_the_firmware() {
    for (standing, state) in [
        (Standing::Converged, State::Ok),
        (Standing::Partial, State::Warning),
        (Standing::Held, State::Warning),
        (Standing::New, State::Unknown),
        (Standing::Unknown, State::Failed),
        (Standing::Stuck, State::Failed),
    ] {
        let mut scene = Scene::new(&[]);
        scene.held.standing = standing;
        assert_eq!(scene.checkup().profile.state, state, "{standing:?}");
    }
    let mut scene = Scene::new(&[]);
    assert_eq!(scene.checkup().firmware.state, State::Ok, "nothing else is wanted");
    scene.wanted.firmware =
        Some(WantedFirmware { version: "3.1".into(), ..WantedFirmware::default() });
    let check = scene.checkup().firmware;
    assert_eq!(check.state, State::Warning);
    assert_eq!(check.value.expose(), &json!({"reported": "3.0", "wanted": "3.1"}));
    scene.firmware = Some("3.1");
    assert_eq!(scene.checkup().firmware.state, State::Ok);
}

#[test]
fn the_worst_answer_is_the_whole() {
    let mut scene = Scene::new(&[
        (WIFI_2G, "Device.WiFi.Radio.1.Enable", "1"),
        (WIFI_5G, "Device.WiFi.Radio.2.Enable", "1"),
        (SIP, "Device.Voice.1.Line.1.Status", "Up"),
        (OPTICAL, "Device.Optical.1.Rx", "-20"),
    ]);
    assert_eq!(scene.checkup().overall(), State::Ok);
    scene.held.standing = Standing::New;
    assert_eq!(scene.checkup().overall(), State::Unknown);
    scene.tell("Device.Optical.1.Rx", "-26", NOW);
    assert_eq!(scene.checkup().overall(), State::Warning);
    scene.is_online = false;
    assert_eq!(scene.checkup().overall(), State::Failed);
    let paths = Checkup::paths(&scene.wanted, &scene.model);
    assert_eq!(paths.len(), 4);
    assert!(paths.contains(&"Device.Optical.1.Rx".into()));
}
