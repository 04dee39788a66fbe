//! The base profile: that a CPE can be woken, and calls by itself.

use model::{CommandKind, ParameterValue, Redacted};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the base profile demands of every CPE.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BaseProfile {
    /// How often a CPE informs by itself. TR-069 leaves it to us; an hour keeps 100,000 CPEs at 28
    /// sessions a second, and "silent" is noticed within 2.5 hours.
    pub inform_interval: Duration,
    /// Where it is to call from now on (`cwmp.url`); `None` leaves the address that it has.
    pub server_url: Option<Box<str>>,
}

impl Default for BaseProfile {
    fn default() -> Self {
        Self { inform_interval: Duration::from_secs(3_600), server_url: None }
    }
}

/// What is known of a CPE when its session asks what to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known<'a> {
    /// The root of its data model with its dot: `Device.` or `InternetGatewayDevice.`.
    pub root: &'a str,
    /// Whether this session began from factory settings (`0 BOOTSTRAP`).
    pub is_bootstrap: bool,
    /// Whether we know how to sign in to it when waking it.
    pub can_be_woken: bool,
    /// Whether it was told of our STUN server since it came from factory settings.
    pub knows_stun: bool,
    /// The interval it said, in seconds.
    pub inform_interval_s: Option<u32>,
}

/// Where a device keeps a hole open for us (TR-069 Annex G), and how it proves who it is there.
#[derive(Clone, Copy, Debug)]
pub struct Stun<'a> {
    /// The STUN server's host as the device reaches it; `None`: the host of its ACS URL.
    pub host: Option<&'a str>,
    /// Its port.
    pub port: u16,
    /// STUNUsername: leads to this device alone.
    pub username: &'a str,
    /// STUNPassword.
    pub password: &'a Redacted<String>,
}

/// How often a device refreshes its hole, in seconds. Translations of addresses forget a UDP binding
/// after 30 s at the earliest (RFC 4787 4.3 asks for two minutes, and many do not comply). Both bounds
/// being the same, a device does not probe for its own binding's age (TR-098 ManagementServer).
const KEEP_ALIVE_S: u32 = 25;

/// Connection request credentials for one device: what we shall present when waking it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRequest<'a> {
    /// The user name.
    pub username: &'a str,
    /// The password: random, for this device alone.
    pub password: &'a Redacted<String>,
}

/// One part of what a CPE is told: what stands or falls together. A device that refuses one part may
/// take the others.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name, which begins with `base/`.
    pub name: &'static str,
    /// What to do.
    pub kind: CommandKind,
}

impl Part {
    /// The name of the part with the connection request credentials.
    pub const CREDENTIALS: &str = "base/credentials";
}

/// Says what a CPE must be told for the base profile to hold; nothing when it holds.
///
/// Whenever something is to be told, `credentials` are among it, and the caller keeps them once the
/// CPE took them. So is `phase`, an `xsd:dateTime` for PeriodicInformTime (TR-098 ManagementServer):
/// only its distance modulo the interval counts, and spreads the fleet. A CPE that another server
/// looked after may have the right interval, and yet call when all its neighbours do.
pub fn decide(
    known: Known<'_>,
    profile: &BaseProfile,
    credentials: ConnectionRequest<'_>,
    phase: &str,
) -> Vec<Part> {
    if known.can_be_woken && !known.is_bootstrap {
        return Vec::new();
    }
    let part = |name, values: &[(&str, &str, &str)]| {
        let mut part = Values { root: known.root, values: BTreeMap::new() };
        for (name, value, xsd_type) in values {
            part.set(name, (*value).to_owned(), xsd_type);
        }
        Part { name, kind: part.command() }
    };
    let ConnectionRequest { username, password } = credentials;
    let mut parts = Vec::with_capacity(4);
    parts.push(part(
        Part::CREDENTIALS,
        &[
            ("ConnectionRequestUsername", username, "xsd:string"),
            ("ConnectionRequestPassword", password.expose(), "xsd:string"),
        ],
    ));
    if let Some(url) = profile.server_url.as_deref().filter(|_| known.is_bootstrap) {
        parts.push(part("base/server", &[("URL", url, "xsd:string")]));
    }
    let interval_s = profile.inform_interval.as_secs();
    let is_right = known.inform_interval_s.is_some_and(|said| u64::from(said) == interval_s);
    if known.is_bootstrap || !is_right {
        parts.push(part(
            "base/inform",
            &[
                ("PeriodicInformEnable", "1", "xsd:boolean"),
                ("PeriodicInformInterval", &interval_s.to_string(), "xsd:unsignedInt"),
            ],
        ));
    }
    parts.push(part("base/phase", &[("PeriodicInformTime", phase, "xsd:dateTime")]));
    parts
}

/// Says what a CPE must be told so that it keeps a hole open for us; `None` when it was told.
///
/// Apart from [`decide`], because many CPEs do not know these parameters: one that refuses them has
/// lost nothing else. Whatever it answers, it was told.
pub fn decide_stun(known: Known<'_>, stun: Stun<'_>) -> Option<CommandKind> {
    if known.knows_stun && !known.is_bootstrap {
        return None;
    }
    let mut values = Values { root: known.root, values: BTreeMap::new() };
    values.set("STUNEnable", "1".to_owned(), "xsd:boolean");
    // Empty means the host of the ACS URL, so that what another server left there is gone.
    values.set("STUNServerAddress", stun.host.unwrap_or_default().to_owned(), "xsd:string");
    values.set("STUNServerPort", stun.port.to_string(), "xsd:unsignedInt");
    values.set("STUNUsername", stun.username.to_owned(), "xsd:string");
    values.set("STUNPassword", stun.password.expose().clone(), "xsd:string");
    values.set("STUNMinimumKeepAlivePeriod", KEEP_ALIVE_S.to_string(), "xsd:unsignedInt");
    values.set("STUNMaximumKeepAlivePeriod", KEEP_ALIVE_S.to_string(), "xsd:int");
    Some(values.command())
}

/// Parameters of ManagementServer on their way.
struct Values<'a> {
    root: &'a str,
    values: BTreeMap<String, ParameterValue>,
}

impl Values<'_> {
    fn set(&mut self, name: &str, value: String, xsd_type: &str) {
        let value = Redacted(serde_json::Value::String(value));
        let value = ParameterValue::Typed { value, xsd_type: xsd_type.to_owned() };
        self.values.insert(format!("{}ManagementServer.{name}", self.root), value);
    }

    fn command(self) -> CommandKind {
        CommandKind::SetParameters { values: self.values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Known<'_> = Known {
        root: "InternetGatewayDevice.",
        is_bootstrap: false,
        can_be_woken: true,
        knows_stun: true,
        inform_interval_s: Some(300),
    };

    fn decided(known: Known<'_>) -> Vec<String> {
        let password = Redacted("hunter2".to_owned());
        let credentials = ConnectionRequest { username: "lastmile", password: &password };
        let parts = decide(
            known,
            &BaseProfile { server_url: Some("http://acs".into()), ..BaseProfile::default() },
            credentials,
            "2026-01-01T00:00:00Z",
        );
        assert!(!format!("{parts:?}").contains("hunter2"), "the password is not printed");
        let paths = |part: Part| {
            assert!(part.name.starts_with("base/"), "they are told together");
            let CommandKind::SetParameters { values } = part.kind else { panic!() };
            let are_credentials = values.keys().any(|path| path.contains("ConnectionRequest"));
            assert_eq!(are_credentials, part.name == Part::CREDENTIALS);
            values.into_keys()
        };
        parts.into_iter().flat_map(paths).collect()
    }

    #[test]
    fn a_settled_device_is_left_alone() {
        assert_eq!(decided(SETTLED), Vec::<String>::new());
    }

    #[test]
    fn factory_settings_get_everything() {
        let paths = decided(Known { is_bootstrap: true, ..SETTLED });
        assert_eq!(paths.len(), 6, "with the server's address");
        assert!(
            paths.iter().all(|path| path.starts_with("InternetGatewayDevice.ManagementServer."))
        );
    }

    #[test]
    fn an_unwakeable_device_gets_credentials_and_keeps_a_right_interval() {
        let known = Known { can_be_woken: false, inform_interval_s: Some(3_600), ..SETTLED };
        let told = decided(known);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|path| path.ends_with(".PeriodicInformTime")), "its own moment");
        assert_eq!(decided(Known { inform_interval_s: None, ..known }).len(), 5, "not said");
        assert_eq!(decided(Known { inform_interval_s: Some(60), ..known }).len(), 5);
    }

    fn told_of_stun(known: Known<'_>, host: Option<&str>) -> Option<Vec<(String, String)>> {
        let password = Redacted("hunter2".to_owned());
        let stun = Stun { host, port: 3478, username: "u", password: &password };
        let kind = decide_stun(known, stun)?;
        assert!(!format!("{kind:?}{stun:?}").contains("hunter2"), "the password is not printed");
        let CommandKind::SetParameters { values } = kind else { panic!("{kind:?}") };
        let text = |value: ParameterValue| match value {
            ParameterValue::Typed { value, .. } => value.expose().as_str().unwrap().to_owned(),
            ParameterValue::Bare(_) => panic!("has a type"),
        };
        Some(values.into_iter().map(|(path, value)| (path, text(value))).collect())
    }

    #[test]
    fn stun_is_told_once_and_after_a_factory_reset() {
        assert_eq!(told_of_stun(SETTLED, None), None);
        let reset = told_of_stun(Known { is_bootstrap: true, ..SETTLED }, None).unwrap();
        assert_eq!(reset.len(), 7);
        let told = told_of_stun(Known { knows_stun: false, ..SETTLED }, Some("acs")).unwrap();
        let value = |name: &str| {
            let path = format!("InternetGatewayDevice.ManagementServer.{name}");
            told.iter().find(|(it, _)| *it == path).map(|(_, value)| value.as_str())
        };
        assert_eq!(value("STUNEnable"), Some("1"));
        assert_eq!(value("STUNServerAddress"), Some("acs"));
        assert_eq!(value("STUNServerPort"), Some("3478"));
        let periods = ["Minimum", "Maximum"].map(|it| value(&format!("STUN{it}KeepAlivePeriod")));
        assert_eq!(periods, [Some("25"); 2], "no probing");
    }
}
