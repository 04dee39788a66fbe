//! A network of addresses, as operators write it.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `10.0.0.0/8`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether the address lies in it. An IPv4 address in IPv6 form (`::ffff:10.0.0.1`, as a
    /// dual-stack socket shows it) is its IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                masked(net.to_bits().into(), 32, self.prefix)
                    == masked(host.to_bits().into(), 32, self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                masked(net.to_bits(), 128, self.prefix) == masked(host.to_bits(), 128, self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether every address of its family lies in it.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

/// The first `prefix` of the lowest `width` bits.
fn masked(bits: u128, width: u8, prefix: u8) -> u128 {
    bits.checked_shr(u32::from(width.saturating_sub(prefix))).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Not a network.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CidrError {
    /// Not an address with a prefix.
    #[error("expected a network such as \"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.7\"")]
    Malformed,
    /// `10.1.2.3/8`: either the address or the prefix is not what was meant.
    #[error("has address bits beyond its prefix")]
    HostBits,
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Malformed)?;
        let (bits, width) = match address {
            IpAddr::V4(it) => (u128::from(it.to_bits()), 32),
            IpAddr::V6(it) => (it.to_bits(), 128),
        };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => {
                digits.parse().ok().filter(|it| *it <= width).ok_or(CidrError::Malformed)?
            }
            Some(_) => return Err(CidrError::Malformed),
        };
        let host_bits = u32::from(width - prefix);
        let network = bits.checked_shr(host_bits).unwrap_or(0).checked_shl(host_bits).unwrap_or(0);
        if network != bits {
            return Err(CidrError::HostBits);
        }
        Ok(Self { address, prefix })
    }
}

impl Value for Cidr {
    fn describe() -> String {
        "network, address/prefix".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a network such as \"10.0.0.0/8\"")?;
        match text.parse() {
            Ok(cidr) => Some(cidr),
            Err(error) => reader.refuse(node, Cause::Value, CidrError::to_string(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_and_no_other() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.6", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("2001:db8::/127", "2001:db8::2", false),
        ] {
            let cidr: Cidr = network.parse().expect("a network");
            assert_eq!(cidr.contains(address.parse().expect("an address")), inside, "{network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for (text, error) in [
            ("10.0.0.1/8", CidrError::HostBits),
            ("2001:db8::1/64", CidrError::HostBits),
            ("10.0.0.0/33", CidrError::Malformed),
            ("10.0.0.0/", CidrError::Malformed),
            ("10.0.0.0/+8", CidrError::Malformed),
            ("10.0.0/8", CidrError::Malformed),
            ("", CidrError::Malformed),
            ("example", CidrError::Malformed),
        ] {
            assert_eq!(text.parse::<Cidr>(), Err(error), "{text}");
        }
        assert_eq!("192.0.2.7".parse::<Cidr>().expect("a network").to_string(), "192.0.2.7/32");
    }
}
