//! The other names of a device, each in one spelling.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What sort of name an [`Alias`] is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AliasKind {
    /// A serial number, as the device says it. Compared without regard to ASCII case.
    Serial = 1,
    /// A GPON serial: 4 letters and 8 hexadecimal digits, kept in that spelling.
    GponSerial = 2,
    /// An Ethernet address, kept as 12 lower-case hexadecimal digits.
    Mac = 3,
    /// International mobile subscriber identity: 14 or 15 digits.
    Imsi = 4,
    /// SIM card number: 18 to 20 digits, the last may be a filling `F`, which is dropped.
    Iccid = 5,
    /// Subscriber number in E.164 with its plus.
    Msisdn = 6,
    /// Equipment number of a modem: 15 digits of which the last is a Luhn check.
    Imei = 7,
}

impl AliasKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Serial,
        Self::GponSerial,
        Self::Mac,
        Self::Imsi,
        Self::Iccid,
        Self::Msisdn,
        Self::Imei,
    ];

    /// The word used in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::GponSerial => "gpon_serial",
            Self::Mac => "mac",
            Self::Imsi => "imsi",
            Self::Iccid => "iccid",
            Self::Msisdn => "msisdn",
            Self::Imei => "imei",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One name of one device within a tenant. Two spellings of the same name are equal.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Alias {
    kind: AliasKind,
    value: Box<str>,
}

impl Alias {
    /// Longest value, in bytes.
    pub const LEN_MAX: usize = 64;

    /// Brings `value` to the kind's one spelling.
    pub fn new(kind: AliasKind, value: &str) -> Result<Self, AliasError> {
        let value = value.trim();
        let normal = match kind {
            AliasKind::Serial => serial(value),
            AliasKind::GponSerial => gpon_serial(value),
            AliasKind::Mac => mac(value),
            AliasKind::Imsi => digits(value, 14, 15),
            AliasKind::Iccid => digits(value.trim_end_matches(['F', 'f']), 18, 20),
            AliasKind::Msisdn => msisdn(value),
            AliasKind::Imei => digits(value, 15, 15).filter(|imei| luhn_holds(imei)),
        };
        let value = normal.ok_or(AliasError { kind })?.into_boxed_str();
        Ok(Self { kind, value })
    }

    /// Every alias that `text` may be, most specific first: what a search by "serial" tries in turn.
    pub fn guesses(text: &str) -> impl Iterator<Item = Self> {
        const ORDER: [AliasKind; 7] = [
            AliasKind::GponSerial,
            AliasKind::Mac,
            AliasKind::Imei,
            AliasKind::Imsi,
            AliasKind::Iccid,
            AliasKind::Msisdn,
            AliasKind::Serial,
        ];
        let text = text.to_owned();
        ORDER.into_iter().filter_map(move |kind| Self::new(kind, &text).ok())
    }

    /// Its kind.
    pub fn kind(&self) -> AliasKind {
        self.kind
    }

    /// Its one spelling.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// An alias may be a subscriber's number: it prints as its kind alone.
impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…", self.kind.as_str())
    }
}

impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            kind: AliasKind,
            value: String,
        }
        let parts = Parts::deserialize(deserializer)?;
        Self::new(parts.kind, &parts.value).map_err(serde::de::Error::custom)
    }
}

/// A value that its kind does not allow. The value itself is not repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a valid {}", .kind.as_str())]
pub struct AliasError {
    /// The kind that was asked for.
    pub kind: AliasKind,
}

fn serial(value: &str) -> Option<String> {
    let allowed = !value.is_empty()
        && value.len() <= Alias::LEN_MAX
        && value.bytes().all(|byte| byte.is_ascii_graphic());
    allowed.then(|| value.to_ascii_uppercase())
}

/// Takes `ALCLF1234567` and the all-hexadecimal `414C434CF1234567` (G.984.3: vendor and number).
fn gpon_serial(value: &str) -> Option<String> {
    let value = value.to_ascii_uppercase();
    let bytes = value.as_bytes();
    let is_hex = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
    match bytes.len() {
        12 => {
            let (vendor, number) = bytes.split_at(4);
            (vendor.iter().all(u8::is_ascii_alphabetic) && is_hex(number)).then_some(value)
        }
        16 if is_hex(bytes) => {
            let (vendor, number) = value.split_at(8);
            let vendor = u32::from_str_radix(vendor, 16).ok()?.to_be_bytes();
            let letters = vendor.iter().all(u8::is_ascii_uppercase);
            letters.then(|| {
                vendor.iter().map(|&byte| char::from(byte)).chain(number.chars()).collect()
            })
        }
        _ => None,
    }
}

fn mac(value: &str) -> Option<String> {
    let hex: String = value.chars().filter(|c| !":-.".contains(*c)).collect();
    let whole = hex.len() == 12 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then(|| hex.to_ascii_lowercase())
}

fn digits(value: &str, len_min: usize, len_max: usize) -> Option<String> {
    let fits = (len_min..=len_max).contains(&value.len());
    (fits && value.bytes().all(|byte| byte.is_ascii_digit())).then(|| value.to_owned())
}

/// E.164: a plus, then 7 to 15 digits of which the first is not 0.
fn msisdn(value: &str) -> Option<String> {
    e164(value.strip_prefix('+')?).map(|digits| format!("+{digits}"))
}

/// The digits of such a number, which stand behind its plus.
pub(crate) fn e164(digits: &str) -> Option<&str> {
    let fits = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
    (fits && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// ISO/IEC 7812-1 annex B, as 3GPP TS 23.003 B.2 uses it for the last digit of an IMEI.
fn luhn_holds(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, byte)| {
            let digit = u32::from(byte - b'0') << (index % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(kind: AliasKind, value: &str) -> Option<String> {
        Alias::new(kind, value).ok().map(|alias| alias.value().to_owned())
    }

    #[test]
    fn spellings_meet() {
        use AliasKind::*;
        assert_eq!(normal(GponSerial, "414c434cf1234567").as_deref(), Some("ALCLF1234567"));
        assert_eq!(normal(GponSerial, "alclf1234567").as_deref(), Some("ALCLF1234567"));
        assert_eq!(normal(GponSerial, "0001434CF1234567"), None);
        assert_eq!(normal(Mac, "00:1A:2b-3C.4d5e").as_deref(), Some("001a2b3c4d5e"));
        assert_eq!(normal(Mac, "00:1A:2b"), None);
        assert_eq!(normal(Imei, "490154203237518").as_deref(), Some("490154203237518"));
        assert_eq!(normal(Imei, "490154203237517"), None, "wrong check digit");
        assert_eq!(normal(Msisdn, "+254711000001").as_deref(), Some("+254711000001"));
        assert_eq!(normal(Msisdn, "0711000001"), None);
        assert_eq!(normal(Iccid, "8981100005819480000F").as_deref(), Some("8981100005819480000"));
        assert_eq!(normal(Serial, " ab 1 "), None, "no blanks inside");
        assert_eq!(normal(Serial, " ab1 ").as_deref(), Some("AB1"));
    }

    #[test]
    fn guesses_go_from_the_specific_to_the_general() {
        let kinds: Vec<_> = Alias::guesses("490154203237518").map(|alias| alias.kind()).collect();
        assert_eq!(kinds, [AliasKind::Imei, AliasKind::Imsi, AliasKind::Serial]);
    }

    #[test]
    fn prints_without_its_value() {
        let alias = Alias::new(AliasKind::Msisdn, "+254711000001").unwrap();
        assert_eq!(format!("{alias:?}"), "msisdn:…");
    }
}
