//! What the business keeps for routers, and whether they hold it in the end.

use super::fleet;
use crate::api::{Api, ApiError};
use crate::cpe::Cpe;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Connections to the API.
const CONNECTIONS: u32 = 4;

/// Puts a document for each serial into the daemon's own backend.
pub(super) async fn put(world: &Arc<World>, serials: Vec<String>) -> Result<(), ApiError> {
    let mut tasks = JoinSet::new();
    for share in fleet::shares(serials, CONNECTIONS) {
        let world = Arc::clone(world);
        tasks.spawn(async move {
            let mut api = Api::connect(&world).await?;
            for serial in &share {
                api.put_equipment(serial, &document(serial)).await?;
            }
            Ok::<_, ApiError>(())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Whether a router holds its document: both WiFi names and passphrases, and the SIP account where it
/// has a line.
pub(super) fn is_held(cpe: &Cpe) -> bool {
    let serial = cpe.serial();
    let holds = |path: &str, value: &str| cpe.value(path).is_none_or(|held| held == value);
    let voice = "Device.X_TP_Services.VoiceService.1.VoiceProfile.1";
    (1..=3).step_by(2).all(|instance| {
        holds(&format!("Device.WiFi.SSID.{instance}.SSID"), &ssid(&serial, instance))
            && holds(
                &format!("Device.WiFi.AccessPoint.{instance}.Security.KeyPassphrase"),
                &passphrase(&serial, instance),
            )
    }) && holds(&format!("{voice}.Line.1.SIP.AuthUserName"), &format!("user-{serial}"))
        && holds(&format!("{voice}.Line.1.SIP.AuthPassword"), &sip_password(&serial))
}

fn ssid(serial: &str, instance: u32) -> String {
    format!("Home-{serial}-{instance}")
}

fn passphrase(serial: &str, instance: u32) -> String {
    format!("wpa-{serial}-{instance}")
}

fn sip_password(serial: &str) -> String {
    format!("sip-{serial}")
}

fn document(serial: &str) -> Value {
    let network = |band: &str, instance: u32| {
        json!({
            "band": band,
            "ssid": ssid(serial, instance),
            "passphrase": passphrase(serial, instance),
            "enable": true,
        })
    };
    json!({
        "serial": serial,
        "wifi": [network("2.4GHz", 1), network("5GHz", 3)],
        "voip": [{
            "line": 1, "enable": true,
            "uri": format!("sip:{serial}@voice.example.net"),
            "auth_user": format!("user-{serial}"), "auth_password": sip_password(serial),
            "registrar": "registrar.example.net", "proxy": "proxy.example.net",
            "outbound_proxy": "edge.example.net", "port": 5070, "transport": "UDP",
            "digit_map": "911|1xxxxxxxxxx|[2-9]xxxxxxxxx", "dtmf": "InBand",
            "directory_number": "+14505550100",
        }],
        "ntp": ["ntp1.example.net", "ntp2.example.net"],
        "dscp": {"sip": 26, "rtp": 34},
        "upnp": false,
    })
}
