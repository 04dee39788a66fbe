//! How many connections come from one address.

use crate::sign_ins::network;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::net::IpAddr;
use std::sync::Arc;

/// Counts connections by their address; of IPv6 by /64, which one subscriber commands whole. Holds
/// as many addresses as there are connections at most.
#[derive(Debug)]
pub(crate) struct Addresses {
    max: u32,
    open: DashMap<IpAddr, u32>,
}

/// One connection's part of the count, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    addresses: Arc<Addresses>,
    network: IpAddr,
}

impl Addresses {
    /// Lets `max` connections be open from each address.
    pub(crate) fn new(max: u32) -> Arc<Self> {
        Arc::new(Self { max, open: DashMap::new() })
    }

    /// Counts a connection; `None` when its address has as many as it may.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let network = network(address);
        let mut count = self.open.entry(network).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(count);
        Some(AddressPlace { addresses: Arc::clone(self), network })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.addresses.open.entry(self.network) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_gives_them_back() {
        let addresses = Addresses::new(2);
        let here: IpAddr = [192, 0, 2, 1].into();
        let first = addresses.enter(here).unwrap();
        let _second = addresses.enter("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(addresses.enter(here).is_none(), "written either way it is the same");
        assert!(addresses.enter([192, 0, 2, 2].into()).is_some());
        drop(first);
        assert!(addresses.enter(here).is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_has_left() {
        let addresses = Addresses::new(1);
        let places: Vec<_> =
            (0..100_u8).map(|last| addresses.enter([192, 0, 2, last].into())).collect();
        assert_eq!(addresses.open.len(), 100);
        drop(places);
        assert!(addresses.open.is_empty());
        let _one = addresses.enter("2001:db8::1".parse().unwrap()).unwrap();
        assert!(addresses.enter("2001:db8::2".parse().unwrap()).is_none(), "one /64");
    }
}
