//! Under which name equipment is known: the serial in CWMP, the GPON serial or the MAC, whichever the
//! business has; each in one spelling, so that a scanned label and what the device says meet.

use model::{Alias, AliasKind, DeviceFacts};

/// A text that may be a GPON serial is one, then a MAC, then a serial: what matters is that every
/// spelling of one name comes to the same.
const ORDER: [AliasKind; 3] = [AliasKind::GponSerial, AliasKind::Mac, AliasKind::Serial];

/// What a name of equipment may be; the first is what it counts as.
pub fn aliases(text: &str) -> impl Iterator<Item = Alias> {
    ORDER.into_iter().filter_map(move |kind| Alias::new(kind, text).ok())
}

/// The one spelling of a name of equipment; `None` where it is none.
pub fn key(text: &str) -> Option<Box<str>> {
    aliases(text).next().map(|alias| alias.value().into())
}

/// The names under which a device's equipment may be known, each once: the serial that it says first,
/// then its GPON serials, its MACs, and other serials that it was given.
pub fn keys(facts: &DeviceFacts) -> Vec<Box<str>> {
    let mut keys: Vec<Box<str>> = facts.serial.as_deref().and_then(key).into_iter().collect();
    for kind in ORDER {
        let named = facts.aliases.iter().filter(|alias| alias.kind() == kind);
        for name in named.filter_map(|alias| key(alias.value())) {
            if !keys.contains(&name) {
                keys.push(name);
            }
        }
    }
    keys
}

/// How a hub is asked for it: a MAC in upper case, as labels and scanners have it.
pub fn asked_as(key: &str) -> String {
    let is_mac = Alias::new(AliasKind::Mac, key).is_ok_and(|mac| mac.value() == key);
    if is_mac { key.to_ascii_uppercase() } else { key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_comes_to_one() {
        for (text, expected) in [
            ("RCMG12345678", "RCMG12345678"),
            ("rcmg12345678", "RCMG12345678"),
            ("52434D4712345678", "RCMG12345678"),
            ("4857544312345678", "HWTC12345678"),
            ("40:3f:8c:00:11:22", "403f8c001122"),
            ("403F8C001122", "403f8c001122"),
            ("2227a1b2c3d4e", "2227A1B2C3D4E"),
        ] {
            assert_eq!(key(text).as_deref(), Some(expected), "{text}");
            assert_eq!(key(expected).as_deref(), Some(expected), "a key is its own");
        }
        assert_eq!(key(""), None);
        assert_eq!(key("a b"), None);
        assert_eq!(asked_as("403f8c001122"), "403F8C001122");
        assert_eq!(asked_as("2227A1B2C3D4E"), "2227A1B2C3D4E");
    }

    #[test]
    fn its_own_serial_goes_first_and_nothing_stands_twice() {
        let alias = |kind, value| Alias::new(kind, value).unwrap();
        let facts = DeviceFacts {
            serial: Some("2227A1".into()),
            aliases: vec![
                alias(AliasKind::Serial, "OTHER1"),
                alias(AliasKind::Serial, "2227a1"),
                alias(AliasKind::Mac, "403f8c001122"),
                alias(AliasKind::GponSerial, "TPLG12345678"),
                alias(AliasKind::Msisdn, "+254711000001"),
            ],
            ..DeviceFacts::default()
        };
        let keys: Vec<_> = keys(&facts);
        assert_eq!(keys, ["2227A1", "TPLG12345678", "403f8c001122", "OTHER1"].map(Box::from));
    }
}
