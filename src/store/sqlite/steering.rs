//! What steers the fleet: few rows, read once at start.

use super::apply::Fault;
use super::column::{self, nanos, number, text, text_if_any, undecodable};
use crate::store::{
    ChangeHourRow, HoldRow, OperationError, ProfileSetRow, SetRole, Steering, SteeringRows,
    TrialOutcome,
};
use model::{Json, Redacted, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// Applies a change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    change: &Steering,
) -> Result<(), Fault> {
    match change {
        Steering::PutProfiles(row) => put_profiles(connection, row).await,
        Steering::RemoveProfiles(role) => {
            let remove = sqlx::query("DELETE FROM profile_set WHERE role = ?").bind(role.as_str());
            remove.execute(connection).await?;
            Ok(())
        }
        Steering::NoteTrial(outcomes) => {
            for outcome in outcomes {
                note(connection, outcome).await?;
            }
            Ok(())
        }
        Steering::ClearTrial => {
            sqlx::query("DELETE FROM trial_outcome").execute(connection).await?;
            Ok(())
        }
        Steering::PutHold(row) => put_hold(connection, row).await,
        Steering::RemoveHold { id } => {
            let remove = sqlx::query("DELETE FROM hold WHERE id = ?").bind(&**id);
            if remove.execute(connection).await?.rows_affected() == 0 {
                return Err(OperationError::Missing("hold").into());
            }
            Ok(())
        }
        Steering::PutChangeHour(row) => put_hour(connection, row).await,
    }
}

async fn put_profiles(connection: &mut SqliteConnection, row: &ProfileSetRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO profile_set (role, about, files) VALUES (?,?,?) ON CONFLICT (role) \
         DO UPDATE SET about = excluded.about, files = excluded.files",
    )
    .bind(row.role.as_str())
    .bind(row.about.as_str())
    .bind(row.files.expose().as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

async fn note(connection: &mut SqliteConnection, outcome: &TrialOutcome) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO trial_outcome (tenant, device, failed) VALUES (?,?,?) \
         ON CONFLICT (tenant, device) DO UPDATE SET failed = excluded.failed",
    )
    .bind(outcome.tenant.as_str())
    .bind(outcome.device.as_str())
    .bind(outcome.failed)
    .execute(connection)
    .await?;
    Ok(())
}

async fn put_hold(connection: &mut SqliteConnection, row: &HoldRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO hold (id, owner, tenant, model, reason, actor, created_at) \
         VALUES (?,?,?,?,?,?,?)",
    )
    .bind(&*row.id)
    .bind(row.owner.as_str())
    .bind(row.tenant.as_ref().map(Tenant::as_str))
    .bind(row.model.as_deref())
    .bind(&*row.reason)
    .bind(&*row.actor)
    .bind(nanos(row.created_at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn put_hour(connection: &mut SqliteConnection, row: &ChangeHourRow) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO change_hour (tenant, began_at, changed, approval) VALUES (?,?,?,?) \
         ON CONFLICT (tenant) DO UPDATE SET began_at = excluded.began_at, \
         changed = excluded.changed, approval = excluded.approval",
    )
    .bind(row.tenant.as_str())
    .bind(nanos(row.began_at))
    .bind(number(row.changed.into()))
    .bind(row.approval.as_ref().map(Json::as_str))
    .execute(connection)
    .await?;
    Ok(())
}

/// Reads everything.
pub(super) async fn all(pool: &SqlitePool) -> Result<SteeringRows, sqlx::Error> {
    let sets = sqlx::query("SELECT role, about, files FROM profile_set").fetch_all(pool).await?;
    let outcomes = sqlx::query("SELECT tenant, device, failed FROM trial_outcome");
    let outcomes = outcomes.fetch_all(pool).await?;
    let holds = sqlx::query(
        "SELECT id, owner, tenant, model, reason, actor, created_at FROM hold ORDER BY id",
    );
    let holds = holds.fetch_all(pool).await?;
    let hours = sqlx::query("SELECT tenant, began_at, changed, approval FROM change_hour");
    let hours = hours.fetch_all(pool).await?;
    Ok(SteeringRows {
        profiles: sets.iter().map(profile_set).collect::<Result<_, _>>()?,
        outcomes: outcomes.iter().map(outcome).collect::<Result<_, _>>()?,
        holds: holds.iter().map(hold).collect::<Result<_, _>>()?,
        hours: hours.iter().map(hour).collect::<Result<_, _>>()?,
    })
}

fn profile_set(row: &SqliteRow) -> Result<ProfileSetRow, sqlx::Error> {
    let word: &str = row.try_get(0)?;
    let role = SetRole::ALL.into_iter().find(|role| role.as_str() == word);
    Ok(ProfileSetRow {
        role: role.ok_or_else(|| undecodable("a role of profiles"))?,
        about: column::json(row, 1)?,
        files: Redacted(row.try_get(2)?),
    })
}

fn outcome(row: &SqliteRow) -> Result<TrialOutcome, sqlx::Error> {
    let (tenant, device) = (column::tenant(row, 0)?, column::device(row, 1)?);
    Ok(TrialOutcome { tenant, device, failed: row.try_get(2)? })
}

fn hold(row: &SqliteRow) -> Result<HoldRow, sqlx::Error> {
    let tenant = text_if_any(row, 2)?.map(|it| Tenant::new(&it)).transpose();
    Ok(HoldRow {
        id: text(row, 0)?,
        owner: column::tenant(row, 1)?,
        tenant: tenant.map_err(|_| undecodable("a tenant"))?,
        model: text_if_any(row, 3)?,
        reason: text(row, 4)?,
        actor: text(row, 5)?,
        created_at: column::time(row, 6)?,
    })
}

fn hour(row: &SqliteRow) -> Result<ChangeHourRow, sqlx::Error> {
    let changed: i64 = row.try_get(2)?;
    let approval: Option<String> = row.try_get(3)?;
    Ok(ChangeHourRow {
        tenant: column::tenant(row, 0)?,
        began_at: column::time(row, 1)?,
        changed: u32::try_from(changed).map_err(|_| undecodable("a count"))?,
        approval: approval.map(Json::from_stored),
    })
}
