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
    /// The interval it said, in seconds.
    pub inform_interval_s: Option<u32>,
}

/// Connection request credentials for one device: what we shall present when waking it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRequest<'a> {
    /// The user name.
    pub username: &'a str,
    /// The password: random, for this device alone.
    pub password: &'a Redacted<String>,
}

/// Says what a CPE must be told for the base profile to hold; `None` when it holds.
///
/// Whenever something is to be told, `credentials` are among it, and the caller keeps them once the
/// CPE took them. `phase` is an `xsd:dateTime` for PeriodicInformTime (TR-098
/// ManagementServer): only its distance modulo the interval counts, and spreads the fleet.
pub fn decide(
    known: Known<'_>,
    profile: &BaseProfile,
    credentials: ConnectionRequest<'_>,
    phase: &str,
) -> Option<CommandKind> {
    if known.can_be_woken && !known.is_bootstrap {
        return None;
    }
    let mut values = BTreeMap::new();
    let mut set = |name: &str, value: String, xsd_type: &str| {
        let value = Redacted(serde_json::Value::String(value));
        let value = ParameterValue::Typed { value, xsd_type: xsd_type.to_owned() };
        values.insert(format!("{}ManagementServer.{name}", known.root), value);
    };
    set("ConnectionRequestUsername", credentials.username.to_owned(), "xsd:string");
    set("ConnectionRequestPassword", credentials.password.expose().clone(), "xsd:string");

    if let Some(url) = profile.server_url.as_deref().filter(|_| known.is_bootstrap) {
        set("URL", url.to_owned(), "xsd:string");
    }
    let interval_s = profile.inform_interval.as_secs();
    let is_right = known.inform_interval_s.is_some_and(|said| u64::from(said) == interval_s);
    if known.is_bootstrap || !is_right {
        set("PeriodicInformEnable", "1".to_owned(), "xsd:boolean");
        set("PeriodicInformInterval", interval_s.to_string(), "xsd:unsignedInt");
        set("PeriodicInformTime", phase.to_owned(), "xsd:dateTime");
    }
    Some(CommandKind::SetParameters { values })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Known<'_> = Known {
        root: "InternetGatewayDevice.",
        is_bootstrap: false,
        can_be_woken: true,
        inform_interval_s: Some(300),
    };

    fn decided(known: Known<'_>) -> Option<Vec<String>> {
        let password = Redacted("hunter2".to_owned());
        let credentials = ConnectionRequest { username: "lastmile", password: &password };
        let kind = decide(
            known,
            &BaseProfile { server_url: Some("http://acs".into()), ..BaseProfile::default() },
            credentials,
            "2026-01-01T00:00:00Z",
        )?;
        assert!(!format!("{kind:?}").contains("hunter2"), "the password is not printed");
        let CommandKind::SetParameters { values } = kind else { panic!("{kind:?}") };
        Some(values.into_keys().collect())
    }

    #[test]
    fn a_settled_device_is_left_alone() {
        assert_eq!(decided(SETTLED), None);
    }

    #[test]
    fn factory_settings_get_everything() {
        let paths = decided(Known { is_bootstrap: true, ..SETTLED }).unwrap();
        assert_eq!(paths.len(), 6, "with the server's address");
        assert!(
            paths.iter().all(|path| path.starts_with("InternetGatewayDevice.ManagementServer."))
        );
    }

    #[test]
    fn an_unwakeable_device_gets_credentials_and_keeps_a_right_interval() {
        let known = Known { can_be_woken: false, inform_interval_s: Some(3_600), ..SETTLED };
        assert_eq!(decided(known).unwrap().len(), 2);
        assert_eq!(
            decided(Known { inform_interval_s: None, ..known }).unwrap().len(),
            5,
            "not said"
        );
        assert_eq!(decided(Known { inform_interval_s: Some(60), ..known }).unwrap().len(), 5);
    }
}
