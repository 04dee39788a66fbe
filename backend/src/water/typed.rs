//! Phone numbers as people key them.

use model::DeviceId;

/// The number that a caller means by what he keyed: with its country (`+254…`, `00254…`, `254…`) or as
/// it is dialled within the country that he calls from (`0711…`, `711…`).
///
/// `None` where it is no number.
pub fn typed_number(typed: &str, caller: &DeviceId) -> Option<DeviceId> {
    let own = caller.number()?.strip_prefix('+')?;
    let with_country = |digits: &str| DeviceId::msisdn(&format!("+{digits}")).ok();
    if let Some(digits) = typed.strip_prefix('+').or_else(|| typed.strip_prefix("00")) {
        return with_country(digits);
    }
    let national = typed.strip_prefix('0').unwrap_or(typed);
    match own.len().checked_sub(national.len()) {
        // As long as his own less a country's one to three digits.
        Some(country @ 1..=3) => with_country(&format!("{}{national}", &own[..country])),
        _ => with_country(typed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_in_every_form_it_is_keyed_in() {
        let caller = DeviceId::msisdn("+254722000002").unwrap();
        let old = DeviceId::msisdn("+254711000001").unwrap();
        for typed in ["+254711000001", "254711000001", "00254711000001", "0711000001", "711000001"]
        {
            assert_eq!(typed_number(typed, &caller).as_ref(), Some(&old), "{typed}");
        }
        for typed in ["", "0", "+", "asha", "07110000011111111"] {
            assert_eq!(typed_number(typed, &caller), None, "{typed}");
        }
    }
}
