//! Whom a CPE's certificate names.
//!
//! The common name of a certificate of one CPE has the form of its user name (TR-069 3.3, 3.4.4):
//! `OUI-ProductClass-Serial` or `OUI-Serial`, in which what is not a letter, a digit or `_` is
//! percent-encoded. Makers forget the encoding, and some write the serial number alone. A
//! certificate that a whole product line shares names nobody: such a CPE proves itself by password.

use model::DeviceId;

/// Most names of one certificate that are looked at.
const NAMES_MAX: usize = 16;
/// Longest name that is looked at, in bytes.
const NAME_LEN_MAX: usize = DeviceId::LEN_MAX;
/// Hexadecimal digits of an OUI.
const OUI_DIGITS: usize = 6;

/// The names in a certificate that was checked: common name, serial number of the subject,
/// alternative names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateNames(Vec<Box<str>>);

impl CertificateNames {
    /// Of these; those beyond sense are left out.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let sensible = |name: &&str| !name.is_empty() && name.len() <= NAME_LEN_MAX;
        Self(names.into_iter().filter(sensible).take(NAMES_MAX).map(Into::into).collect())
    }

    /// Whether one of them is this device's: in full, or its serial number alone.
    #[must_use]
    pub fn name(&self, device: &DeviceId) -> bool {
        let Some(parts) = device.as_str().strip_prefix("cwmp:") else { return false };
        let parts: Vec<String> = parts.split('-').map(decoded).collect();
        let (oui, full, short, serial) = match parts.as_slice() {
            [oui, class, serial] => {
                (oui, format!("-{class}-{serial}"), format!("-{serial}"), serial)
            }
            [oui, serial] => (oui, format!("-{serial}"), String::new(), serial),
            _ => return false,
        };
        let names = |name: &str| {
            let after_oui = name
                .split_at_checked(oui.len())
                .filter(|(start, _)| !oui.is_empty() && start.eq_ignore_ascii_case(oui));
            let is_named =
                |(_, rest): (&str, &str)| !rest.is_empty() && (*rest == *full || *rest == *short);
            name == serial || after_oui.is_some_and(is_named)
        };
        self.0.iter().any(|name| names(name) || names(&decoded(name)))
    }

    /// The device that the first name of the usual form stands for; `None` where none has that form,
    /// as in a certificate that many share.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.0.iter().find_map(|name| {
            let (oui, rest) = name.split_once('-')?;
            if oui.len() != OUI_DIGITS || !oui.as_bytes().iter().all(is_hex) {
                return None;
            }
            let (class, serial) = rest.rsplit_once('-').unwrap_or(("", rest));
            DeviceId::cwmp(oui, &decoded(class), &decoded(serial)).ok()
        })
    }
}

/// Undoes percent-encoding; what is no code stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|code| first == b'%' && code.iter().all(is_hex));
        let code =
            digits.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_hex(digit: &u8) -> bool {
    digit.is_ascii_hexdigit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> CertificateNames {
        CertificateNames::new([name])
    }

    #[test]
    fn a_device_is_named_in_every_usual_form() {
        let device = DeviceId::cwmp("00259E", "HG 8245-H", "4857/54").unwrap();
        for name in [
            "00259E-HG%208245%2DH-4857%2F54",
            "00259e-HG%208245%2dH-4857%2f54",
            "00259E-HG 8245-H-4857/54",
            "00259E-4857%2F54",
            "4857/54",
            "4857%2F54",
        ] {
            assert!(names(name).name(&device), "{name}");
        }
        for name in [
            "",
            "00259E",
            "00259E-",
            "00259E-HG 8245-H",
            "00259F-4857/54",
            "00259E-hg%208245%2DH-4857%2F54",
            "00259E-HG%208245%2DH-4857%2F55",
            "HG 8245-H-4857/54",
            "-4857/54",
        ] {
            assert!(!names(name).name(&device), "{name}");
        }
        let bare = DeviceId::cwmp("00259E", "", "1").unwrap();
        assert!(names("00259E-1").name(&bare) && names("1").name(&bare));
        assert!(!names("00259E").name(&bare) && !names("00259E-X-1").name(&bare));
        assert!(!names("1").name(&DeviceId::mqtt("1").unwrap()));
        assert!(!CertificateNames::default().name(&bare));
        assert!(CertificateNames::new(["CPE", "00259E-1"]).name(&bare));
    }

    #[test]
    fn only_a_name_of_the_usual_form_stands_for_a_device() {
        let of = |name: &str| names(name).device().map(|device| device.as_str().to_owned());
        assert_eq!(of("00259E-HG%2D8245-1").as_deref(), Some("cwmp:00259E-HG%2D8245-1"));
        assert_eq!(of("00259E-1").as_deref(), Some("cwmp:00259E-1"));
        assert_eq!(of("00259E-a-b-1").as_deref(), Some("cwmp:00259E-a%2Db-1"));
        for name in ["Vendor-CPE", "12345678", "00259E", "00259E-", "acs.example.org"] {
            assert_eq!(of(name), None, "{name}");
        }
        // Whom it stands for is named by it.
        for name in ["00259E-HG%2D8245-1", "00259E-1", "00259e-a-b-%2F"] {
            assert!(names(name).name(&names(name).device().unwrap()), "{name}");
        }
    }

    #[test]
    fn endless_names_are_not_looked_at() {
        let long = "a".repeat(NAME_LEN_MAX + 1);
        let many = vec![long.as_str(); 100].into_iter().chain(["x"; 100]);
        assert_eq!(CertificateNames::new(many).0.len(), NAMES_MAX);
        assert_eq!(decoded("%4z%+1%"), "%4z%+1%");
        assert_eq!(decoded("%é%41"), "%éA");
    }
}
