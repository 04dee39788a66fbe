//! Which parameters hold a secret, by their names.

/// What the name of a secret has in it, in small letters.
const PARTS: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "presharedkey",
    "secret",
    "credential",
    "privatekey",
    "psk",
];
/// How the name of a secret ends, in small letters.
const ENDS: [&str; 4] = ["key", "pin", "puk", "token"];
/// Keys that open nothing: they name a transfer or a configuration (TR-069 A.3.2.1, A.3.2.8).
const NAMES: [&str; 2] = ["parameterkey", "commandkey"];

/// Whether a parameter's value must be shown to nobody who does not ask the device for it: its last
/// name says that it is a password, a key or the like. Rather one too many than one too few.
///
/// The data models of TR-098 and TR-181 have such parameters read as empty, but devices tell them.
#[must_use]
pub fn is_secret(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
    let is_named = || {
        PARTS.iter().any(|part| name.contains(part)) || ENDS.iter().any(|end| name.ends_with(end))
    };
    !NAMES.contains(&&*name) && is_named()
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
            "InternetGatewayDevice.Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.AuthPassword",
            "Device.ManagementServer.ConnectionRequestPassword",
            "Device.Users.User.1.X_EN_passwd",
            "Device.X_EN_VPN.PSK",
            "Device.Cellular.Interface.1.USIM.PIN",
            "Device.DynamicDNS.Client.1.X_EN_ApiToken",
        ] {
            assert!(is_secret(path), "{path}");
        }
        for path in [
            "Device.WiFi.AccessPoint.1.Security.ModeEnabled",
            "Device.ManagementServer.ParameterKey",
            "Device.X_EN_Download.CommandKey",
            "Device.ManagementServer.Username",
            "Device.X_EN_Password.Enable",
            "InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.WEPKeyIndex",
            "Device.NAT.PortMapping.1.Alias",
            "Device.WiFi.",
            "",
        ] {
            assert!(!is_secret(path), "{path}");
        }
    }
}
