//! A phone's number as Daraja writes it.

use model::DeviceId;
use std::fmt;

/// A number that M-Pesa can prompt: `2547` or `2541` and 8 digits, without a plus.
///
/// Prints as `…`.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Number(Box<str>);

impl Number {
    /// The number of a phone; `None` where it is no phone, or one that M-Pesa in Kenya cannot prompt.
    pub fn of(device: &DeviceId) -> Option<Self> {
        Self::checked(device.number()?.strip_prefix('+')?)
    }

    /// Reads what Daraja writes: the bare digits, or those after a plus.
    pub fn parse(text: &str) -> Option<Self> {
        Self::checked(text.strip_prefix('+').unwrap_or(text))
    }

    /// The phone of this number.
    pub fn device(&self) -> Option<DeviceId> {
        DeviceId::msisdn(&format!("+{}", self.0)).ok()
    }

    /// The digits, for a request; never for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(digits: &str) -> Option<Self> {
        let is_ours = digits.starts_with("2547") || digits.starts_with("2541");
        let is_whole = digits.len() == 12 && digits.bytes().all(|it| it.is_ascii_digit());
        (is_ours && is_whole).then(|| Self(digits.into()))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_can_be_prompted() {
        let of = |number: &str| {
            let device = DeviceId::msisdn(number).unwrap();
            Number::of(&device).map(|it| it.as_str().to_owned())
        };
        assert_eq!(of("+254712345678").as_deref(), Some("254712345678"));
        assert_eq!(of("+254112345678").as_deref(), Some("254112345678"));
        assert_eq!((of("+254201234567"), of("+255712345678")), (None, None));
        assert_eq!((of("+25471234567"), of("+2547123456789")), (None, None));
        assert_eq!(Number::of(&DeviceId::imei("356938035643809").unwrap()), None);
    }

    #[test]
    fn a_number_is_read_back_and_never_printed() {
        let number = Number::parse("254712345678").unwrap();
        assert_eq!(Number::parse("+254712345678"), Some(number.clone()));
        assert_eq!(number.device(), Some(DeviceId::msisdn("+254712345678").unwrap()));
        assert_eq!(format!("{number:?}"), "…");
        for odd in ["", "2547****5678", "0712345678", "254 712345678", "25471234567٣"] {
            assert_eq!(Number::parse(odd), None, "{odd}");
        }
    }
}
