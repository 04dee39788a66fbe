//! The board that a client means by what it calls itself.

use crate::registry::Registry;
use model::{Alias, DeviceId, DeviceIdError, Protocol, Tenant};

/// How long a modem's number is with its check digit, which networks replace by a zero.
const IMEI_LEN: usize = 15;

/// The board of a client id: an IMEI is one by itself, whole or with a zero for its check digit; another
/// name of a board that is known is that board; any other word is a board of its own.
///
/// # Errors
///
/// When it is no name of a device.
pub(crate) fn board_called(
    registry: &Registry,
    tenant: &Tenant,
    name: &str,
) -> Result<DeviceId, DeviceIdError> {
    let device = DeviceId::mqtt(name)?;
    if registry.knows(tenant, &device) {
        return Ok(device);
    }
    let mut aliases = Alias::guesses(name);
    let known = aliases.find_map(|alias| {
        let known = registry.by_alias(tenant, &alias)?;
        (known.protocol() == Protocol::Mqtt).then_some(known)
    });
    let whole = || {
        let imei = Some(name).filter(|it| it.len() == IMEI_LEN && it.ends_with('0'));
        imei.and_then(soracom::whole_imei).and_then(|imei| DeviceId::imei(&imei).ok())
    };
    Ok(known.or_else(whole).unwrap_or(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modem_is_one_board_with_a_zero_for_its_check_digit() {
        let (registry, tenant) = (Registry::new(), Tenant::default());
        let called = |name: &str| board_called(&registry, &tenant, name).unwrap();
        for name in ["490154203237518", "490154203237510"] {
            assert_eq!(called(name).as_str(), "imei:490154203237518");
        }
        // What is no number of a modem, or a wrong one, is a word like any other.
        for name in ["490154203237517", "49015420323750", "board510"] {
            assert_eq!(called(name).as_str(), format!("mqtt:{name}"));
        }
        assert!(board_called(&registry, &tenant, "").is_err());
    }
}
