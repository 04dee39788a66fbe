//! The shipped profiles: which devices are theirs, and what each makes of the same equipment.
//!
//! What is expected stands as an operator would say it: `path = value`, a `*` before a secret, a `?`
//! before a guess.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use lastmile_provisioning::{Equipment, ProfileSet, Scale, Subject, Wanted, WantedParameter};
use model::{DataModel, DeviceFacts, DeviceId};
use serde_json::json;

const SHIPPED: [(&str, &str); 6] = [
    ("default", include_str!("../../config/profiles/default.toml")),
    ("raisecom-ht803g-w", include_str!("../../config/profiles/raisecom-ht803g-w.toml")),
    ("tplink-deco", include_str!("../../config/profiles/tplink-deco.toml")),
    ("tplink-xx230v", include_str!("../../config/profiles/tplink-xx230v.toml")),
    ("tplink-xx430v", include_str!("../../config/profiles/tplink-xx430v.toml")),
    ("tplink-xx530v", include_str!("../../config/profiles/tplink-xx530v.toml")),
];
const TR181: &str = "Device.";
const TR098: &str = "InternetGatewayDevice.";

fn shipped() -> ProfileSet {
    ProfileSet::parse(SHIPPED).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(|it| format!("{it}\n")).collect::<String>())
    })
}

fn facts(oui: &str, product_class: &str, model: &str) -> DeviceFacts {
    DeviceFacts {
        oui: Some(oui.into()),
        product_class: Some(product_class.into()),
        model: Some(model.into()),
        serial: Some("1".into()),
        ..DeviceFacts::default()
    }
}

fn layers(
    facts: &DeviceFacts,
    root: &str,
    equipment: Option<&Equipment>,
) -> (Vec<Box<str>>, Wanted) {
    let id = DeviceId::cwmp("00259E", "P", "1").unwrap();
    let subject = Subject { id: &id, facts, tags: &[], group: None, customer: None, root };
    let layers = shipped().layers(&subject, equipment);
    let wanted = layers.render(&subject, equipment, &json!({}), &DataModel::new());
    (layers.profiles.iter().map(|it| it.name.clone()).collect(), wanted)
}

/// Everything that a business can say of a household.
fn household() -> Equipment {
    serde_json::from_value(json!({
        "serial": "RCMG00000001",
        "wifi": [
            {"band": "2.4GHz", "ssid": "Chez nous", "passphrase": "correct horse", "enable": true, "hidden": false},
            {"band": "5GHz", "ssid": "Chez nous 5", "passphrase": "battery staple", "enable": true, "hidden": true},
        ],
        "voip": [{
            "line": 1, "enable": true, "uri": "sip:5145550100@sip.example", "auth_user": "u100",
            "auth_password": "p100", "registrar": "reg.example", "proxy": "sip.example",
            "port": 5060, "transport": "udp", "digit_map": "911|[2-9]xxxxxxxxx", "directory_number": "5145550100",
        }],
        "vlan": [{"role": "internet", "id": 40}],
        "bridge": {"enable": true},
        "ntp": ["time.example", "192.0.2.7"],
        "dscp": {"sip": 24, "rtp": 46},
        "upnp": false,
        "firmware": {"version": "3.0.2"},
    }))
    .unwrap()
}

/// What is held, as an operator would say it.
fn said(wanted: &Wanted) -> Vec<String> {
    assert_eq!(wanted.faults, [], "nothing failed");
    let line = |it: &WantedParameter| {
        let secret = if it.is_secret { "*" } else { "" };
        let guess = if wanted.is_guess(&it.rule) { "?" } else { "" };
        format!("{guess}{secret}{} = {}", it.path, it.value.expose()).trim_end().to_owned()
    };
    let mut said: Vec<_> = wanted.parameters.iter().map(line).collect();
    said.sort_by(|a, b| a.trim_start_matches(['?', '*']).cmp(b.trim_start_matches(['?', '*'])));
    said
}

#[track_caller]
fn assert_said(wanted: &Wanted, expected: &str) {
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    assert_eq!(said(wanted), expected, "\n{}\n", said(wanted).join("\n"));
}

#[test]
fn each_model_has_its_profile_above_the_default() {
    for (oui, product_class, model, root, expected) in [
        ("1C61B4", "Device2", "XX230v", TR181, &["default", "tplink-xx230v"][..]),
        ("1C61B4", "Device2", "XX430v", TR181, &["default", "tplink-xx430v"]),
        ("1C61B4", "Device2", "XX530v", TR181, &["default", "tplink-xx530v"]),
        ("403F8C", "Device2", "Deco M4", TR181, &["default", "tplink-deco"]),
        // Before its ModelName is known it is neither.
        ("1C61B4", "Device2", "Device2", TR181, &["default"]),
        ("00259E", "HT803G-W", "HT803G-W", TR098, &["default", "raisecom-ht803g-w"]),
        ("00D09E", "Unheard", "Unheard", TR098, &["default"]),
    ] {
        let (names, _) = layers(&facts(oui, product_class, model), root, None);
        let names: Vec<_> = names.iter().map(|it| &**it).collect();
        assert_eq!(names, expected, "{model}");
    }
}

const XX230V: &str = "
    Device.NAT.X_TP_UPnPCfg.Enable = 0
    Device.Time.Enable = 1
    Device.Time.NTPServer1 = time.example
    Device.Time.NTPServer2 = 192.0.2.7
    Device.Time.NTPServer3 =
    Device.Time.NTPServer4 =
    Device.Time.NTPServer5 =
    Device.WiFi.AccessPoint.1.SSIDAdvertisementEnabled = 1
    *Device.WiFi.AccessPoint.1.Security.KeyPassphrase = correct horse
    Device.WiFi.AccessPoint.1.Security.ModeEnabled = WPA2-Personal
    Device.WiFi.AccessPoint.3.SSIDAdvertisementEnabled = 0
    *Device.WiFi.AccessPoint.3.Security.KeyPassphrase = battery staple
    Device.WiFi.AccessPoint.3.Security.ModeEnabled = WPA2-Personal
    Device.WiFi.SSID.1.Enable = 1
    Device.WiFi.SSID.1.SSID = Chez nous
    Device.WiFi.SSID.3.Enable = 1
    Device.WiFi.SSID.3.SSID = Chez nous 5
    Device.X_TP_AlgCfg.SipAlg = 0
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.DTMFMethod = RFC2833
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.DigitMap = 911|[2-9]xxxxxxxxx
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.DigitMapEnable = 1
    *Device.X_TP_Services.VoiceService.1.VoiceProfile.1.Line.1.DirectoryNumber = 5145550100
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.Line.1.Enable = Enabled
    *Device.X_TP_Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword = p100
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthUserName = u100
    *Device.X_TP_Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.URI = sip:5145550100@sip.example
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.RTP.DSCPMark = 46
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.DSCPMark = 24
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.ProxyServer = sip.example
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.ProxyServerPort = 5060
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.ProxyServerTransport = UDP
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.RegistrarServer = reg.example
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.RegistrarServerPort = 5060
    Device.X_TP_Services.VoiceService.1.VoiceProfile.1.SIP.RegistrarServerTransport = UDP
";

const DECO: &str = "
    ?Device.WiFi.AccessPoint.1.SSIDAdvertisementEnabled = 1
    ?*Device.WiFi.AccessPoint.1.Security.KeyPassphrase = correct horse
    ?Device.WiFi.AccessPoint.1.Security.ModeEnabled = WPA2-Personal
    ?Device.WiFi.AccessPoint.3.SSIDAdvertisementEnabled = 0
    ?*Device.WiFi.AccessPoint.3.Security.KeyPassphrase = battery staple
    ?Device.WiFi.AccessPoint.3.Security.ModeEnabled = WPA2-Personal
    ?Device.WiFi.SSID.1.Enable = 1
    ?Device.WiFi.SSID.1.SSID = Chez nous
    ?Device.WiFi.SSID.3.Enable = 1
    ?Device.WiFi.SSID.3.SSID = Chez nous 5
";

const HT803G: &str = "
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.BeaconType = 11i
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.Enable = 1
    ?*InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.PreSharedKey.1.KeyPassphrase = correct horse
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.SSID = Chez_nous
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.SSIDAdvertisementEnabled = 1
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.5.BeaconType = 11i
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.5.Enable = 1
    ?*InternetGatewayDevice.LANDevice.1.WLANConfiguration.5.PreSharedKey.1.KeyPassphrase = battery staple
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.5.SSID = Chez_nous_5
    ?InternetGatewayDevice.LANDevice.1.WLANConfiguration.5.SSIDAdvertisementEnabled = 0
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.DTMFMethod = RFC2833
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.DigitMap = 911|[2-9]xxxxxxxxx
    *InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.DirectoryNumber = 5145550100
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.Enable = Enabled
    *InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword = p100
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthUserName = u100
    *InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.URI = sip:5145550100@sip.example
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.RTP.DSCPMark = 46
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.DSCPMark = 24
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.ProxyServer = sip.example
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.ProxyServerPort = 5060
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.ProxyServerTransport = UDP
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.RegistrarServer = reg.example
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.RegistrarServerPort = 5060
    InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.SIP.RegistrarServerTransport = UDP
    InternetGatewayDevice.Time.Enable = 1
    InternetGatewayDevice.Time.NTPServer1 = time.example
    InternetGatewayDevice.Time.NTPServer2 = 192.0.2.7
    InternetGatewayDevice.UPnP.Device.Enable = 0
    ?InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.ConnectionType = IP_Bridged
    ?InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.ConnectionType = PPPoE_Bridged
    ?InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.X_CT-COM_WANGponLinkConfig.VLANIDMark = 40
";

#[test]
fn an_xx230v_is_as_its_household_has_it() {
    let (_, wanted) = layers(&facts("1C61B4", "Device2", "XX230v"), TR181, Some(&household()));
    assert_said(&wanted, XX230V);
    let firmware = wanted.firmware.unwrap();
    assert_eq!((&*firmware.version, &*firmware.rule.profile), ("3.0.2", "equipment"));
}

#[test]
fn its_sisters_are_the_same_and_guesses() {
    let guessed = XX230V.replace("    ", "    ?");
    for model in ["XX430v", "XX530v"] {
        let (_, wanted) = layers(&facts("1C61B4", "Device2", model), TR181, Some(&household()));
        assert_said(&wanted, &guessed);
    }
}

#[test]
fn a_deco_has_the_wifi_of_its_household_and_nothing_else() {
    let (_, wanted) = layers(&facts("403F8C", "Device2", "Deco M4"), TR181, Some(&household()));
    assert_said(&wanted, DECO);
}

#[test]
fn an_ht803g_bridges_marks_its_calls_and_has_no_upnp() {
    let (_, wanted) = layers(&facts("00259E", "HT803G-W", "HT803G-W"), TR098, Some(&household()));
    assert_said(&wanted, HT803G);
}

#[test]
fn an_unknown_model_is_only_read() {
    let (_, wanted) = layers(&facts("00D09E", "X", "X"), TR098, Some(&household()));
    assert_said(&wanted, "");
    assert!(!wanted.refreshes.is_empty());
}

/// What is set before the business has said anything holds for every household.
#[test]
fn without_equipment_only_what_is_the_same_for_all_is_held() {
    let (_, wanted) = layers(&facts("1C61B4", "Device2", "XX230v"), TR181, None);
    assert_said(
        &wanted,
        "
        Device.X_TP_AlgCfg.SipAlg = 0
        ",
    );
    let (_, wanted) = layers(&facts("403F8C", "Device2", "Deco M4"), TR181, None);
    assert_said(&wanted, "");
}

#[test]
fn a_household_without_a_telephone_keeps_what_it_has() {
    let equipment: Equipment =
        serde_json::from_value(json!({"serial": "1", "wifi": [{"band": "5GHz", "ssid": "A"}]}))
            .unwrap();
    let (_, wanted) = layers(&facts("1C61B4", "Device2", "XX230v"), TR181, Some(&equipment));
    let said = said(&wanted);
    assert!(said.iter().all(|it| !it.contains("Line.1.") && !it.contains("SSID.1.")), "{said:?}");
    assert!(said.contains(&"Device.WiFi.SSID.3.SSID = A".to_owned()));
}

#[test]
fn the_business_hears_the_same_names_of_every_model() {
    let measures = |oui, product_class, model, root| {
        let (_, wanted) = layers(&facts(oui, product_class, model), root, None);
        let mut names: Vec<_> = wanted
            .refreshes
            .iter()
            .filter_map(|it| Some(it.measure.as_ref()?.name.to_string()))
            .collect();
        names.sort();
        names.dedup();
        names.join(" ")
    };
    assert_eq!(
        measures("1C61B4", "Device2", "XX230v", TR181),
        "hosts ip mac optical_rx_dbm optical_tx_dbm sip_status uptime_s wifi_2g_enabled \
         wifi_5g_enabled"
    );
    assert_eq!(
        measures("00259E", "HT803G-W", "HT803G-W", TR098),
        "hosts ip mac optical_rx_dbm optical_tx_dbm sip_status uptime_s wifi_2g_enabled \
         wifi_5g_enabled"
    );
    assert_eq!(measures("00D09E", "X", "X", TR098), "hosts ip mac sip_status uptime_s");
    let (_, wanted) = layers(&facts("1C61B4", "Device2", "XX230v"), TR181, None);
    let rx: Vec<_> = wanted
        .refreshes
        .iter()
        .filter_map(|it| Some((it.path.as_str(), it.measure.as_ref()?)))
        .filter(|(_, measure)| &*measure.name == "optical_rx_dbm")
        .collect();
    assert_eq!(rx.len(), 1, "the standard's is always 0 there and taken away: {rx:?}");
    assert_eq!(rx[0].1.scale, Scale::Decibel(0.0001));
}

#[test]
fn names_are_read_where_they_stand() {
    let (_, wanted) = layers(&facts("1C61B4", "Device2", "XX230v"), TR181, None);
    let aliases: Vec<_> =
        wanted.aliases.iter().map(|it| format!("{} {}", it.kind.as_str(), it.path)).collect();
    assert_eq!(
        aliases,
        [
            "gpon_serial Device.Optical.Interface.1.GponAuth.GponSn",
            "mac Device.Ethernet.Interface.1.MACAddress",
        ]
    );
}

/// No value of a household stands in what is printed of it.
#[test]
fn nothing_of_a_household_is_printed() {
    let (_, wanted) = layers(&facts("1C61B4", "Device2", "XX230v"), TR181, Some(&household()));
    let printed = format!("{wanted:?}");
    for secret in ["correct horse", "battery staple", "p100", "5145550100", "Chez nous"] {
        assert!(!printed.contains(secret), "{secret}");
    }
}
