//! The names and numbers of groups as readers of the events, which are the same after a restart.

use model::Tenant;

/// Whose group, and which subscription.
pub(super) type GroupKey = (Tenant, Box<str>);

/// How many numbers of groups there are: as many as leave room for other keys above.
pub(super) const NUMBERS: u64 = 1 << 20;

/// The name of a group as a reader of the events.
pub(super) fn reader_of(number: u64, tenant: &Tenant, text: &str) -> Box<str> {
    format!("share:{number}/{}/{text}", tenant.as_str()).into()
}

/// The number and the group of a reader's name; no number where an earlier version gave it.
pub(super) fn read_reader(name: &str) -> Option<(u64, GroupKey)> {
    let (before, text) = name.strip_prefix("share:")?.split_once("/$share/")?;
    let (number, tenant) = match before.split_once('/') {
        Some((number, tenant)) => (number.parse().ok().filter(|it| *it < NUMBERS)?, tenant),
        None => (0, before),
    };
    Some((number, (Tenant::new(tenant).ok()?, format!("$share/{text}").into())))
}
