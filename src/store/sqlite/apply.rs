//! Operations, each of which refuses before it writes.

use super::column::{nanos, parsed};
use super::commands::Step;
use super::data_models::Put;
use super::devices::{self, Said, document, kind_number};
use super::{
    boards, commands, credentials, data_models, dialogues, equipment, files, mqtt, payments,
    phrases, provision, readers, rollouts, sms, steering, tasks, water,
};
use crate::store::{AuditEntry, CustomerRow, Operation, OperationError, TokenRow};
use jiff::Timestamp;
use model::{Alias, DeviceFacts, DeviceId, Json, Tenant};
use sqlx::sqlite::SqliteConnection;

/// Why an operation was not applied: its own fault, or the store's.
#[derive(Debug)]
pub(super) enum Fault {
    Refused(OperationError),
    Store(sqlx::Error),
}

impl From<OperationError> for Fault {
    fn from(error: OperationError) -> Self {
        Self::Refused(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error)
    }
}

/// Applies one operation. `head` is the newest event's sequence, of this group's too.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &Operation,
    head: u64,
) -> Result<(), Fault> {
    match operation {
        Operation::CreateCommand { command, key } => {
            commands::create(connection, command, key.as_deref()).await
        }
        Operation::ChangeCommand { change, at } => {
            only(commands::change(connection, &[Step { change, at: *at }]).await?)
        }
        Operation::PutCustomer(customer) => put_customer(connection, customer).await,
        Operation::SetOwner { tenant, device, customer, at } => {
            set_owner(connection, tenant, device, customer.as_deref(), *at).await
        }
        Operation::PutAlias { .. } | Operation::RemoveAlias { .. } => {
            change_alias(connection, operation).await
        }
        Operation::SetTag { tenant, device, tag, present } => {
            set_tag(connection, tenant, device, tag, *present).await
        }
        Operation::SetGroup { tenant, device, group } => {
            set_group(connection, tenant, device, group.as_deref()).await
        }
        Operation::Firmware(operation) => rollouts::apply(connection, operation).await,
        Operation::PutDevice { tenant, device, facts, at } => {
            devices::put(connection, Said { tenant, device, facts, at: *at }).await
        }
        Operation::Claim { tenant, device } => claim(connection, tenant, device).await,
        Operation::SetConnectionRequest { tenant, device, sealed } => {
            set_connection_request(connection, tenant, device, sealed.expose()).await
        }
        Operation::PutDataModel { .. } | Operation::RemoveDataModel { .. } => {
            keep_data_model(connection, operation).await
        }
        Operation::PutProvision(row) => Ok(provision::put(connection, &[row]).await?),
        Operation::PutCredential(_)
        | Operation::ConfirmCredential { .. }
        | Operation::RemoveCredential { .. } => credentials::apply(connection, operation).await,
        Operation::PutToken(token) => put_token(connection, token).await,
        Operation::RevokeToken { tenant, name } => revoke_token(connection, tenant, name).await,
        Operation::Steer(change) => steering::apply(connection, change).await,
        Operation::Mqtt(change) => Ok(mqtt::apply(connection, &[change]).await?),
        Operation::Water(operation) => water::apply(connection, operation).await,
        Operation::Audit(entry) => audit(connection, entry).await,
        Operation::Seen(seen) => Ok(devices::see(connection, seen).await?),
        Operation::Equipment(change) => equipment::apply(connection, change).await,
        Operation::Sms(operation) => sms::apply(connection, operation).await,
        Operation::PutBoard(change) => boards::put(connection, change).await,
        Operation::Payment(operation) => payments::apply(connection, operation).await,
        Operation::Phrase(operation) => phrases::apply(connection, operation).await,
        Operation::Dialogue(operation) => dialogues::apply(connection, operation).await,
        Operation::PutTask(_) | Operation::ChangeTask(_) | Operation::TrimTasks { .. } => {
            tasks::apply(connection, operation).await
        }
        Operation::PutImage { .. }
        | Operation::RemoveImage { .. }
        | Operation::PutUpload(_)
        | Operation::RemoveUpload { .. } => files::apply(connection, operation).await,
        Operation::PutCursor { .. }
        | Operation::PrepareBatches { .. }
        | Operation::AdvanceCursor { .. }
        | Operation::CountSkipped { .. }
        | Operation::DropCursor { .. }
        | Operation::ReplayDeadLetter { .. }
        | Operation::SettleDeadLetters { .. }
        | Operation::RefuseDeadLetters { .. } => readers::apply(connection, operation, head).await,
    }
}

/// Gives a device another name, or takes one from it.
async fn change_alias(
    connection: &mut SqliteConnection,
    operation: &Operation,
) -> Result<(), Fault> {
    match operation {
        Operation::PutAlias { tenant, device, alias } => {
            put_alias(connection, tenant, device, alias).await
        }
        Operation::RemoveAlias { tenant, device, alias } => {
            remove_alias(connection, tenant, device, alias).await
        }
        _ => Ok(()),
    }
}

/// Keeps or forgets a data model.
async fn keep_data_model(
    connection: &mut SqliteConnection,
    operation: &Operation,
) -> Result<(), Fault> {
    match operation {
        Operation::PutDataModel { tenant, device, at, is_whole, sealed } => {
            let put = Put { tenant, device, at: *at, is_whole: *is_whole, body: sealed };
            only(data_models::put(connection, &[put]).await?)
        }
        Operation::RemoveDataModel { tenant, device } => {
            data_models::remove(connection, tenant, device).await
        }
        _ => Ok(()),
    }
}

/// What became of the one thing that was asked for.
fn only(outcomes: Vec<Result<(), OperationError>>) -> Result<(), Fault> {
    outcomes.into_iter().try_for_each(|outcome| Ok(outcome?))
}

type Statement = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Runs a change of one device's row, which must exist.
async fn on_device(connection: &mut SqliteConnection, change: Statement) -> Result<(), Fault> {
    if change.execute(connection).await?.rows_affected() == 0 {
        return Err(OperationError::Missing("device").into());
    }
    Ok(())
}

async fn set_group(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    group: Option<&str>,
) -> Result<(), Fault> {
    let set = sqlx::query("UPDATE device SET device_group = ? WHERE tenant = ? AND id = ?");
    let set = set.bind(group.map(str::to_owned));
    on_device(connection, set.bind(tenant.as_str()).bind(device.as_str())).await
}

async fn claim(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
) -> Result<(), Fault> {
    let claim = sqlx::query("UPDATE device SET claimed = 1 WHERE tenant = ? AND id = ?");
    on_device(connection, claim.bind(tenant.as_str()).bind(device.as_str())).await
}

async fn set_connection_request(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    sealed: &[u8],
) -> Result<(), Fault> {
    let set = sqlx::query("UPDATE device SET connection_request = ? WHERE tenant = ? AND id = ?");
    on_device(connection, set.bind(sealed).bind(tenant.as_str()).bind(device.as_str())).await
}

async fn put_customer(
    connection: &mut SqliteConnection,
    customer: &CustomerRow,
) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO customer (tenant, id, name, created_at) VALUES (?,?,?,?) \
         ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name",
    )
    .bind(customer.tenant.as_str())
    .bind(&*customer.id)
    .bind(customer.name.as_ref().map(|name| &**name.expose()))
    .bind(nanos(customer.created_at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn set_owner(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    customer: Option<&str>,
    at: Timestamp,
) -> Result<(), Fault> {
    if let Some(customer) = customer {
        sqlx::query("SELECT 1 FROM customer WHERE tenant = ? AND id = ?")
            .bind(tenant.as_str())
            .bind(customer)
            .fetch_optional(&mut *connection)
            .await?
            .ok_or(OperationError::Missing("customer"))?;
    }
    sqlx::query(
        "INSERT INTO device (tenant, id, facts, customer, created_at) VALUES (?,?,?,?,?) \
         ON CONFLICT (tenant, id) DO UPDATE SET customer = excluded.customer",
    )
    .bind(tenant.as_str())
    .bind(device.as_str())
    .bind(document(&DeviceFacts::default()))
    .bind(customer)
    .bind(nanos(at))
    .execute(connection)
    .await?;
    Ok(())
}

/// A device's facts, for a change that must hold for the row and the alias table alike.
async fn facts_of(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
) -> Result<DeviceFacts, Fault> {
    let row = sqlx::query("SELECT facts FROM device WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(device.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or(OperationError::Missing("device"))?;
    Ok(parsed(&row, 0)?)
}

async fn set_facts(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    facts: &DeviceFacts,
) -> Result<(), Fault> {
    let set = sqlx::query("UPDATE device SET facts = ?3 WHERE tenant = ?1 AND id = ?2");
    let set = set.bind(tenant.as_str()).bind(device.as_str()).bind(document(facts));
    on_device(connection, set).await
}

/// Who holds an alias.
async fn holder_of(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    alias: &Alias,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT device FROM alias WHERE tenant = ? AND kind = ? AND value = ?")
        .bind(tenant.as_str())
        .bind(kind_number(alias.kind()))
        .bind(alias.value())
        .fetch_optional(connection)
        .await
}

async fn put_alias(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    alias: &Alias,
) -> Result<(), Fault> {
    let mut facts = facts_of(connection, tenant, device).await?;
    match holder_of(connection, tenant, alias).await? {
        Some(holder) if holder == device.as_str() => return Ok(()),
        Some(_) => return Err(OperationError::Conflict("another device has this alias").into()),
        None => {}
    }
    sqlx::query("INSERT INTO alias (tenant, kind, value, device) VALUES (?,?,?,?)")
        .bind(tenant.as_str())
        .bind(kind_number(alias.kind()))
        .bind(alias.value())
        .bind(device.as_str())
        .execute(&mut *connection)
        .await?;
    facts.aliases.push(alias.clone());
    set_facts(connection, tenant, device, &facts).await
}

async fn remove_alias(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    alias: &Alias,
) -> Result<(), Fault> {
    let mut facts = facts_of(connection, tenant, device).await?;
    if holder_of(connection, tenant, alias).await?.as_deref() != Some(device.as_str()) {
        return Err(OperationError::Missing("alias").into());
    }
    sqlx::query("DELETE FROM alias WHERE tenant = ? AND kind = ? AND value = ?")
        .bind(tenant.as_str())
        .bind(kind_number(alias.kind()))
        .bind(alias.value())
        .execute(&mut *connection)
        .await?;
    facts.aliases.retain(|held| held != alias);
    set_facts(connection, tenant, device, &facts).await
}

async fn set_tag(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    device: &DeviceId,
    tag: &str,
    present: bool,
) -> Result<(), Fault> {
    let row = sqlx::query("SELECT tags FROM device WHERE tenant = ? AND id = ?")
        .bind(tenant.as_str())
        .bind(device.as_str())
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(OperationError::Missing("device"))?;
    let mut tags: Vec<Box<str>> = parsed(&row, 0)?;
    tags.retain(|held| &**held != tag);
    if present {
        tags.push(tag.into());
    }
    tags.sort_unstable();
    let tags = serde_json::to_string(&tags).expect("a list of texts is representable in JSON");
    let set = sqlx::query("UPDATE device SET tags = ?3 WHERE tenant = ?1 AND id = ?2");
    on_device(connection, set.bind(tenant.as_str()).bind(device.as_str()).bind(tags)).await
}

async fn put_token(connection: &mut SqliteConnection, token: &TokenRow) -> Result<(), Fault> {
    let made = sqlx::query(
        "INSERT INTO token (tenant, name, hash, role, created_at, made_by_tenant, made_by, acl) \
         VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (tenant, name) DO NOTHING",
    )
    .bind(token.tenant.as_str())
    .bind(&*token.name)
    .bind(token.hash.as_slice())
    .bind(&*token.role)
    .bind(nanos(token.created_at))
    .bind(token.made_by.as_ref().map(|(tenant, _)| tenant.as_str()))
    .bind(token.made_by.as_ref().map(|(_, name)| &**name))
    .bind(token.acl.as_ref().map(|acl| Json::of(acl).as_str().to_owned()))
    .execute(connection)
    .await?;
    if made.rows_affected() == 0 {
        return Err(OperationError::Conflict("the token's name is taken").into());
    }
    Ok(())
}

async fn revoke_token(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    name: &str,
) -> Result<(), Fault> {
    let revoked =
        sqlx::query("UPDATE token SET revoked = 1 WHERE tenant = ? AND name = ? AND revoked = 0")
            .bind(tenant.as_str())
            .bind(name)
            .execute(connection)
            .await?;
    if revoked.rows_affected() == 0 {
        return Err(OperationError::Missing("token").into());
    }
    Ok(())
}

async fn audit(connection: &mut SqliteConnection, entry: &AuditEntry) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO audit (tenant, time, actor, action, subject, detail) VALUES (?,?,?,?,?,?)",
    )
    .bind(entry.tenant.as_str())
    .bind(nanos(entry.time))
    .bind(&*entry.actor)
    .bind(&*entry.action)
    .bind(&*entry.subject)
    .bind(entry.detail.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
