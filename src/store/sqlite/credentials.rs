//! What devices sign in with: up to two for each device and protocol, the one that it uses and the
//! one that it has not used yet.

use super::apply::Fault;
use super::column::{self, text};
use crate::store::{CredentialRow, Operation, OperationError};
use model::{DeviceId, Protocol, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// Reads every credential of a device.
pub(super) async fn all(pool: &SqlitePool) -> Result<Vec<CredentialRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT tenant, device, username, protocol, verifier, confirmed, push FROM credential",
    )
    .fetch_all(pool)
    .await?;
    let read = |row: &SqliteRow| -> Result<CredentialRow, sqlx::Error> {
        Ok(CredentialRow {
            tenant: column::tenant(row, 0)?,
            device: column::device(row, 1)?,
            username: text(row, 2)?,
            protocol: column::protocol(row, 3)?,
            verifier: Redacted(row.try_get(4)?),
            confirmed: row.try_get(5)?,
            push: row.try_get::<Option<Vec<u8>>, _>(6)?.map(Redacted),
        })
    };
    rows.iter().map(read).collect()
}

/// Applies an operation on credentials.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &Operation,
) -> Result<(), Fault> {
    match operation {
        Operation::PutCredential(credential) => put(connection, credential).await,
        Operation::ConfirmCredential { protocol, username, verifier } => {
            confirm(connection, *protocol, username, verifier).await
        }
        Operation::RemoveCredential { tenant, device, protocol, confirmed_too } => {
            remove(connection, tenant, device, *protocol, *confirmed_too).await
        }
        _ => Ok(()),
    }
}

/// Sets one of a device's two.
async fn put(connection: &mut SqliteConnection, credential: &CredentialRow) -> Result<(), Fault> {
    let (tenant, device) = (credential.tenant.as_str(), credential.device.as_str());
    let taken = sqlx::query(
        "SELECT 1 FROM credential WHERE protocol = ? AND username = ? \
         AND (tenant, device) <> (?, ?)",
    )
    .bind(credential.protocol.as_str())
    .bind(&*credential.username)
    .bind(tenant)
    .bind(device)
    .fetch_optional(&mut *connection)
    .await?;
    if taken.is_some() {
        return Err(OperationError::Conflict("another device has this user name").into());
    }
    sqlx::query(
        "INSERT INTO credential (tenant, device, protocol, username, verifier, confirmed, push) \
         VALUES (?,?,?,?,?,?,?) ON CONFLICT (tenant, device, protocol, confirmed) DO UPDATE SET \
         username = excluded.username, verifier = excluded.verifier, push = excluded.push",
    )
    .bind(tenant)
    .bind(device)
    .bind(credential.protocol.as_str())
    .bind(&*credential.username)
    .bind(credential.verifier.expose().as_slice())
    .bind(credential.confirmed)
    .bind(credential.push.as_ref().map(|push| push.expose().as_slice()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes what a device was given what it uses.
async fn confirm(
    connection: &mut SqliteConnection,
    protocol: Protocol,
    username: &str,
    verifier: &Redacted<Vec<u8>>,
) -> Result<(), Fault> {
    let found = sqlx::query(
        "SELECT tenant, device, confirmed FROM credential \
         WHERE protocol = ? AND username = ? AND verifier = ? ORDER BY confirmed LIMIT 1",
    )
    .bind(protocol.as_str())
    .bind(username)
    .bind(verifier.expose().as_slice())
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(OperationError::Conflict("the credential is no longer that one"))?;
    if found.try_get(2)? {
        return Ok(());
    }
    let place: (&str, &str) = (found.try_get(0)?, found.try_get(1)?);
    for step in [
        "DELETE FROM credential \
         WHERE tenant = ? AND device = ? AND protocol = ? AND confirmed = 1",
        "UPDATE credential SET confirmed = 1, push = NULL \
         WHERE tenant = ? AND device = ? AND protocol = ? AND confirmed = 0",
    ] {
        let step = sqlx::query(step).bind(place.0).bind(place.1).bind(protocol.as_str());
        step.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes away what a device has not used yet, and with `confirmed_too` what it uses.
async fn remove(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    protocol: Protocol,
    confirmed_too: bool,
) -> Result<(), Fault> {
    sqlx::query(
        "DELETE FROM credential \
         WHERE tenant = ? AND device = ? AND protocol = ? AND confirmed <= ?",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(protocol.as_str())
    .bind(confirmed_too)
    .execute(connection)
    .await?;
    Ok(())
}
