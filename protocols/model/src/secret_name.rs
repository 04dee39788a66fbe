//! Which parameters hold a secret, by their names. The one list of it: what the API, events, traces
//! and logs hide is the same.

/// What the name of a secret has in it, in small letters.
const PARTS: [&str; 9] =
    ["password", "passwd", "passphrase", "secret", "credential", "key", "psk", "token", "puk"];
/// Keys that open nothing: they name a transfer or a configuration (TR-069 A.3.2.1, A.3.2.8), or
/// which of several keys is in use.
const NO_KEYS: [&str; 3] = ["parameterkey", "commandkey", "keyindex"];

/// Whether nobody may be shown a parameter's value who does not ask the device for it: its last name
/// says that it is a password, a key or the like. Rather one too many than one too few.
///
/// The data models of TR-098 and TR-181 have such parameters read as empty, but devices tell them.
#[must_use]
pub fn is_secret(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    let small = name.to_ascii_lowercase();
    let is_named = PARTS.iter().any(|part| small.contains(part)) || says_pin(name, &small);
    is_named && !NO_KEYS.iter().any(|end| small.ends_with(end))
}

/// `SIMPINCode`, but not `PINGInterval`. In small letters `pin` is within `Mapping`.
fn says_pin(name: &str, small: &str) -> bool {
    let is_one = |(at, pin): (usize, &str)| !name[at + pin.len()..].starts_with('G');
    small.ends_with("pin") || name.match_indices("PIN").any(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_last_name() {
        for path in [
            "Device.WiFi.AccessPoint.1.Security.KeyPassphrase",
            "Device.WiFi.AccessPoint.1.Security.SAEPassphrase",
            "Device.WiFi.AccessPoint.1.Security.PreSharedKey",
            "Device.WiFi.AccessPoint.1.WPS.PIN",
            "InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.WEPKey.1.WEPKey",
            "InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.PreSharedKey.1.PreSharedKey",
            "InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.X_EN_WEPKey2",
            "InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword",
            "Device.ManagementServer.ConnectionRequestPassword",
            "Device.Users.User.1.X_EN_passwd",
            "Device.X_EN_VPN.PSK",
            "A.X_VENDOR_wpaPsk",
            "Device.Cellular.Interface.1.USIM.PIN",
            "Device.Cellular.Interface.1.X_EN_SIMPINCode",
            "Device.Cellular.Interface.1.USIM.PUKCode",
            "A.UserPin",
            "A.RadiusSecret",
            "Device.DynamicDNS.Client.1.X_EN_ApiToken",
            "Device.DynamicDNS.Client.1.X_EN_TokenValue",
            "Password",
        ] {
            assert!(is_secret(path), "{path}");
        }
        for path in [
            "Device.WiFi.AccessPoint.1.Security.ModeEnabled",
            "Device.ManagementServer.ParameterKey",
            "Device.X_EN_Download.CommandKey",
            "Device.ManagementServer.Username",
            "Device.ManagementServer.URL",
            "Device.X_EN_Password.Enable",
            "InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.WEPKeyIndex",
            "Device.NAT.PortMapping",
            "Device.IP.Diagnostics.IPPing",
            "Device.X_EN_PINGInterval",
            "Device.WiFi.",
            "CommandKey",
            "",
        ] {
            assert!(!is_secret(path), "{path}");
        }
    }
}
