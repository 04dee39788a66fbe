//! What devices said of themselves, merged into their rows many at a time.

use super::apply::Fault;
use super::column::{self, nanos, parsed};
use super::data_models;
use super::multi_row::MultiRow;
use crate::store::{DeviceRow, Seen};
use jiff::Timestamp;
use model::{Alias, AliasKind, DeviceFacts, DeviceId, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::collections::HashMap;
use std::sync::LazyLock;

/// What one event or operation says of a device.
pub(super) struct Said<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) device: &'a DeviceId,
    pub(super) facts: &'a DeviceFacts,
    pub(super) at: Timestamp,
}

static SELECT_FACTS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH wanted (tenant, id) AS (VALUES ",
        "(?,?)",
        ") SELECT device.tenant, device.id, device.facts FROM wanted CROSS JOIN device \
         ON device.tenant = wanted.tenant AND device.id = wanted.id",
    )
});

static SELECT_HOLDERS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH wanted (tenant, kind, value) AS (VALUES ",
        "(?,?,?)",
        ") SELECT alias.tenant, alias.kind, alias.value, alias.device \
         FROM wanted CROSS JOIN alias ON alias.tenant = wanted.tenant \
         AND alias.kind = wanted.kind AND alias.value = wanted.value",
    )
});

static UPSERT_FACTS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT INTO device (tenant, id, facts, created_at) VALUES ",
        "(?,?,?,?)",
        " ON CONFLICT (tenant, id) DO UPDATE SET facts = excluded.facts",
    )
});

static INSERT_ALIASES: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new("INSERT INTO alias (tenant, kind, value, device) VALUES ", "(?,?,?,?)", "")
});

static UPSERT_SEEN: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT INTO device_seen (tenant, device, at, address) VALUES ",
        "(?,?,?,?)",
        " ON CONFLICT (tenant, device) DO UPDATE SET at = excluded.at, \
         address = ifnull(excluded.address, address) WHERE excluded.at >= at",
    )
});

type Key<'a> = (&'a Tenant, &'a DeviceId);

/// A device's row as it is in the middle of a merge.
#[derive(Default)]
struct Merging {
    facts: DeviceFacts,
    created_at: Timestamp,
    changed: bool,
}

/// As [`merge`], of one.
pub(super) async fn put(connection: &mut SqliteConnection, said: Said<'_>) -> Result<(), Fault> {
    merge(connection, &[said]).await?;
    Ok(())
}

/// Merges what devices said into their rows, in order. A row is made where there is none, and
/// written only where something changed. An alias that another device holds stays with it, and is
/// left out of the facts of the one that claims it.
///
/// Returns how many rows were written.
pub(super) async fn merge(
    connection: &mut SqliteConnection,
    said: &[Said<'_>],
) -> Result<usize, sqlx::Error> {
    if said.is_empty() {
        return Ok(0);
    }
    let mut rows = known(connection, said).await?;
    let mut holders = holders(connection, said, &rows).await?;
    let mut taken = Vec::new();
    let mut order = Vec::new();
    for Said { tenant, device, facts, at } in said {
        let row = rows.entry((tenant, device)).or_insert_with(|| {
            order.push((*tenant, *device));
            Merging { facts: DeviceFacts::default(), created_at: *at, changed: true }
        });
        let is_ours = |alias: &Alias| match holders.get(&(*tenant, alias)) {
            Some(holder) => holder == *device,
            None => true,
        };
        let mut newer = (*facts).clone();
        newer.aliases.retain(is_ours);
        for alias in facts.aliases.iter().filter(|alias| newer.aliases.contains(alias)) {
            if !row.facts.aliases.contains(alias) {
                holders.insert((tenant, alias), (*device).clone());
                taken.push((*tenant, alias, *device));
            }
        }
        let was_changed = row.changed;
        if row.facts.merge(&newer) && !was_changed {
            row.changed = true;
            order.push((*tenant, *device));
        }
    }
    write(connection, &rows, &order).await?;
    taken.sort_unstable();
    taken.dedup();
    insert_aliases(connection, &taken).await?;
    Ok(order.len() + taken.len())
}

async fn known<'a>(
    connection: &mut SqliteConnection,
    said: &[Said<'a>],
) -> Result<HashMap<Key<'a>, Merging>, sqlx::Error> {
    let mut keys: Vec<Key<'a>> = said.iter().map(|said| (said.tenant, said.device)).collect();
    keys.sort_unstable();
    keys.dedup();
    let found = SELECT_FACTS
        .fetch(connection, &keys, |(tenant, device), values| {
            values.push(tenant.as_str());
            values.push(device.as_str());
        })
        .await?;
    let mut rows = HashMap::with_capacity(keys.len());
    for row in &found {
        let (tenant, device) = (column::tenant(row, 0)?, column::device(row, 1)?);
        // The key of the caller, which lives longer than the row.
        let Ok(at) = keys.binary_search(&(&tenant, &device)) else { continue };
        let merging = Merging { facts: parsed(row, 2)?, ..Merging::default() };
        rows.insert(keys[at], merging);
    }
    Ok(rows)
}

/// Who holds the aliases that are said and not yet among the device's own.
async fn holders<'a>(
    connection: &mut SqliteConnection,
    said: &[Said<'a>],
    rows: &HashMap<Key<'a>, Merging>,
) -> Result<HashMap<(&'a Tenant, &'a Alias), DeviceId>, sqlx::Error> {
    let mut wanted = Vec::new();
    for Said { tenant, device, facts, .. } in said {
        let held = rows.get(&(*tenant, *device)).map(|row| &row.facts.aliases);
        let new = |alias: &&Alias| held.is_none_or(|held| !held.contains(alias));
        wanted.extend(facts.aliases.iter().filter(new).map(|alias| (*tenant, alias)));
    }
    wanted.sort_unstable();
    wanted.dedup();
    let found = SELECT_HOLDERS
        .fetch(connection, &wanted, |(tenant, alias), values| {
            values.push(tenant.as_str());
            values.push(kind_number(alias.kind()));
            values.push(alias.value());
        })
        .await?;
    let mut holders = HashMap::with_capacity(found.len());
    for row in &found {
        let (tenant, alias) = (column::tenant(row, 0)?, read_alias(row)?);
        if let Ok(at) = wanted.binary_search(&(&tenant, &alias)) {
            holders.insert(wanted[at], column::device(row, 3)?);
        }
    }
    Ok(holders)
}

fn read_alias(row: &SqliteRow) -> Result<Alias, sqlx::Error> {
    let kind: i64 = row.try_get(1)?;
    let value: &str = row.try_get(2)?;
    let kind = AliasKind::ALL.into_iter().find(|known| kind_number(*known) == kind);
    let alias = kind.and_then(|kind| Alias::new(kind, value).ok());
    alias.ok_or_else(|| column::undecodable("an alias"))
}

/// The number of a kind in the alias table.
pub(super) fn kind_number(kind: AliasKind) -> i64 {
    i64::from(kind as u8)
}

async fn write(
    connection: &mut SqliteConnection,
    rows: &HashMap<Key<'_>, Merging>,
    order: &[Key<'_>],
) -> Result<(), sqlx::Error> {
    UPSERT_FACTS
        .execute(connection, order, |key, values| {
            let row = &rows[key];
            values.push(key.0.as_str());
            values.push(key.1.as_str());
            values.push(document(&row.facts));
            values.push(nanos(row.created_at));
        })
        .await
}

/// The facts as they stand in the row.
pub(super) fn document(facts: &DeviceFacts) -> String {
    serde_json::to_string(facts).expect("facts are texts and numbers under names")
}

async fn insert_aliases(
    connection: &mut SqliteConnection,
    taken: &[(&Tenant, &Alias, &DeviceId)],
) -> Result<(), sqlx::Error> {
    INSERT_ALIASES
        .execute(connection, taken, |(tenant, alias, device), values| {
            values.push(tenant.as_str());
            values.push(kind_number(alias.kind()));
            values.push(alias.value());
            values.push(device.as_str());
        })
        .await
}

/// Writes behind what was only seen.
pub(super) async fn see(
    connection: &mut SqliteConnection,
    seen: &[Seen],
) -> Result<(), sqlx::Error> {
    UPSERT_SEEN
        .execute(connection, seen, |seen, values| {
            values.push(seen.tenant.as_str());
            values.push(seen.device.as_str());
            values.push(nanos(seen.at));
            values.push(seen.address.map(|address| address.to_string()));
        })
        .await
}

/// Reads devices in the order of (tenant, id).
pub(super) async fn list(
    pool: &SqlitePool,
    after: Option<(Tenant, DeviceId)>,
    rows_max: usize,
) -> Result<Vec<DeviceRow>, sqlx::Error> {
    let (tenant, id) = after.as_ref().map_or(("", ""), |(t, id)| (t.as_str(), id.as_str()));
    let rows = sqlx::query(
        "SELECT device.tenant, id, facts, customer, tags, created_at, connection_request, \
         claimed, at, address, data_model, device_group FROM device LEFT JOIN device_seen \
         ON device_seen.tenant = device.tenant AND device_seen.device = device.id \
         WHERE (device.tenant, id) > (?, ?) ORDER BY device.tenant, id LIMIT ?",
    )
    .bind(tenant)
    .bind(id)
    .bind(column::number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<DeviceRow, sqlx::Error> {
    let address: Option<&str> = row.try_get(9)?;
    let sealed: Option<Vec<u8>> = row.try_get(6)?;
    Ok(DeviceRow {
        tenant: column::tenant(row, 0)?,
        id: column::device(row, 1)?,
        facts: parsed(row, 2)?,
        customer: column::text_if_any(row, 3)?,
        tags: parsed(row, 4)?,
        group: column::text_if_any(row, 11)?,
        created_at: column::time(row, 5)?,
        connection_request: sealed.map(Redacted),
        claimed: row.try_get(7)?,
        last_seen_at: column::time_if_any(row, 8)?,
        address: address.and_then(|address| address.parse().ok()),
        data_model: data_models::kept(row, 10)?,
    })
}
