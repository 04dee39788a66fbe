//! What an Inform says of its device.

use crate::cwmp::{Inform, facts_of};
use crate::inform;
use model::AliasKind;

fn aliases(inform: &Inform) -> Vec<(AliasKind, String)> {
    let facts = facts_of(inform);
    facts.aliases.iter().map(|it| (it.kind(), it.value().to_owned())).collect()
}

#[test]
fn facts_of_either_data_model() {
    for root in ["Device", "InternetGatewayDevice"] {
        let path = |leaf: &str| format!("{root}.{leaf}");
        let said = inform(
            &[],
            &[
                (&path("DeviceInfo.ModelName"), "R-1"),
                (&path("DeviceInfo.HardwareVersion"), "A"),
                (&path("DeviceInfo.SoftwareVersion"), "1.2"),
                (&path("ManagementServer.ConnectionRequestURL"), "http://192.0.2.1:7547/x"),
                (&path("ManagementServer.UDPConnectionRequestAddress"), "192.0.2.1:7547"),
                (&path("ManagementServer.PeriodicInformInterval"), "300"),
            ],
        );
        let facts = facts_of(&said);
        assert_eq!(facts.manufacturer.as_deref(), Some("Maker"));
        assert_eq!(facts.model.as_deref(), Some("R-1"));
        assert_eq!(facts.hardware_version.as_deref(), Some("A"));
        assert_eq!(facts.software_version.as_deref(), Some("1.2"));
        assert_eq!(facts.connection_request_url.as_deref(), Some("http://192.0.2.1:7547/x"));
        assert_eq!(facts.udp_connection_request_address.as_deref(), Some("192.0.2.1:7547"));
        assert_eq!(facts.periodic_interval_s, Some(300));
    }
}

#[test]
fn without_a_model_name_the_product_class_serves() {
    assert_eq!(facts_of(&inform(&[], &[])).model.as_deref(), Some("Router"));
    let mut bare = Inform::default();
    assert!(facts_of(&bare).is_empty());
    bare.device.serial = "S".into();
    assert_eq!(facts_of(&bare).model, None);
}

#[test]
fn aliases_are_the_devices_own() {
    let said = inform(
        &[],
        &[
            ("Device.Ethernet.Interface.1.MACAddress", "00:D0:9E:00:00:01"),
            ("Device.Ethernet.Interface.2.MACAddress", "00:00:00:00:00:00"),
            ("Device.Hosts.Host.1.MACAddress", "02:00:00:00:00:01"),
            ("Device.WiFi.AccessPoint.1.AssociatedDevice.1.MACAddress", "02:00:00:00:00:02"),
            ("Device.X_PON.Interface.SerialNumber", "ABCD01234567"),
        ],
    );
    let expected = [
        (AliasKind::Serial, "S1"),
        (AliasKind::Mac, "00d09e000001"),
        (AliasKind::GponSerial, "ABCD01234567"),
    ];
    assert_eq!(aliases(&said), expected.map(|(kind, value)| (kind, value.to_owned())));
}

#[test]
fn a_serial_may_be_more_than_that() {
    let named = |serial: &str| {
        let mut it = inform(&[], &[]);
        it.device.serial = serial.into();
        aliases(&it).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
    };
    assert_eq!(named("4142434401234567"), [AliasKind::Serial, AliasKind::GponSerial]);
    assert_eq!(named("00D09E000001"), [AliasKind::Serial, AliasKind::Mac]);
    assert_eq!(named("00D09F000001"), [AliasKind::Serial], "another maker's digits");
}

#[test]
fn what_is_too_long_is_no_fact() {
    let long = "x".repeat(513);
    let said = inform(&[], &[("Device.DeviceInfo.SoftwareVersion", &long)]);
    assert_eq!(facts_of(&said).software_version, None);
}
