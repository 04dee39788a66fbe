//! Payments, their steps, and what fits none.

use super::apply::Fault;
use super::column::{
    self, nanos, number, parsed, read_error, sequence, text, text_if_any, undecodable,
};
use super::{SqliteStore, tasks};
use crate::store::{
    CHECKOUT_TAKEN, OperationError, PAYMENT_CHANGED, PAYMENT_KNOWN, PAYMENT_OPEN, PaymentOperation,
    PaymentRow, PaymentStep, PaymentStepRow, PaymentStore, RECEIPT_TAKEN, ReadError, StrayRow,
    Strays,
};
use async_trait::async_trait;
use backend::payment::{Claim, Payment, State};
use jiff::{SignedDuration, Timestamp};
use model::{DeviceId, Json, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

/// Applies a change.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    operation: &PaymentOperation,
) -> Result<(), Fault> {
    match operation {
        PaymentOperation::Put(row) => put(connection, row).await,
        PaymentOperation::Step(step) => take(connection, step).await,
        PaymentOperation::KeepStray(row) => Ok(keep_stray(connection, row).await?),
    }
}

/// Whether a question has any answer.
async fn is_any(
    connection: &mut SqliteConnection,
    query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
) -> Result<bool, sqlx::Error> {
    Ok(query.fetch_optional(connection).await?.is_some())
}

const BLOCKS: &str = "SELECT 1 FROM payment WHERE tenant = ?1 AND customer = ?2 \
                      AND state IN ('draft', 'requesting', 'prompted') UNION ALL \
                      SELECT 1 FROM payment WHERE tenant = ?1 AND customer = ?2 \
                      AND state = 'unresolved' AND hold_until > ?3 AND changed_at <= ?4 LIMIT 1";
/// How much later than now a payment may have changed. A calendar that was set back must not keep a
/// customer waiting for as long as it was set.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(1);

/// [`BLOCKS`], of a customer.
fn blocks<'q>(
    tenant: &'q Tenant,
    customer: &'q str,
    now: Timestamp,
) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    let ahead = now.checked_add(AHEAD_MAX).unwrap_or(Timestamp::MAX);
    let query = sqlx::query(BLOCKS).bind(tenant.as_str()).bind(customer);
    query.bind(nanos(now)).bind(nanos(ahead))
}

async fn put(connection: &mut SqliteConnection, row: &PaymentRow) -> Result<(), Fault> {
    let known = sqlx::query("SELECT 1 FROM payment WHERE tenant = ? AND key = ?")
        .bind(row.tenant.as_str())
        .bind(&*row.key);
    if is_any(connection, known).await? {
        return Err(OperationError::Conflict(PAYMENT_KNOWN).into());
    }
    let open = blocks(&row.tenant, &row.customer, row.created_at);
    if is_any(connection, open).await? {
        return Err(OperationError::Conflict(PAYMENT_OPEN).into());
    }
    sqlx::query(
        "INSERT INTO payment (tenant, id, version, state, customer, number, amount, reference, \
         language, key, created_at, changed_at, body) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.id)
    .bind(number(row.payment.version))
    .bind(row.payment.state.as_str())
    .bind(&*row.customer)
    .bind(row.payment.number.as_str())
    .bind(row.payment.amount)
    .bind(&*row.reference)
    .bind(&*row.language)
    .bind(&*row.key)
    .bind(nanos(row.created_at))
    .bind(nanos(row.changed_at))
    .bind(body(&row.payment))
    .execute(&mut *connection)
    .await?;
    note(connection, row, "requested", None).await?;
    Ok(())
}

fn body(payment: &Payment) -> String {
    Json::of(payment).as_str().to_owned()
}

async fn take(connection: &mut SqliteConnection, step: &PaymentStep) -> Result<(), Fault> {
    let PaymentStep { row, seen, what, detail, strays, tasks } = step;
    let version: Option<i64> =
        sqlx::query_scalar("SELECT version FROM payment WHERE tenant = ? AND id = ?")
            .bind(row.tenant.as_str())
            .bind(&*row.id)
            .fetch_optional(&mut *connection)
            .await?;
    let version = version.ok_or(OperationError::Missing("payment"))?;
    if version != number(*seen) {
        return Err(OperationError::Conflict(PAYMENT_CHANGED).into());
    }
    let checkout = row.payment.checkout.as_ref().map(|it| &*it.id);
    let receipt = row.payment.receipt.as_deref();
    let taken = [
        ("SELECT 1 FROM payment WHERE checkout = ? AND (tenant, id) <> (?, ?)", checkout),
        ("SELECT 1 FROM payment WHERE receipt = ? AND (tenant, id) <> (?, ?)", receipt),
    ];
    for ((question, name), why) in taken.into_iter().zip([CHECKOUT_TAKEN, RECEIPT_TAKEN]) {
        let Some(name) = name else { continue };
        let question = sqlx::query(question).bind(name).bind(row.tenant.as_str()).bind(&*row.id);
        if is_any(connection, question).await? {
            return Err(OperationError::Conflict(why).into());
        }
    }
    sqlx::query(
        "UPDATE payment SET version = ?, state = ?, checkout = ?, receipt = ?, hold_until = ?, \
         changed_at = ?, body = ? WHERE tenant = ? AND id = ?",
    )
    .bind(number(row.payment.version))
    .bind(row.payment.state.as_str())
    .bind(checkout)
    .bind(receipt)
    .bind(row.payment.hold_until.map(nanos))
    .bind(nanos(row.changed_at))
    .bind(body(&row.payment))
    .bind(row.tenant.as_str())
    .bind(&*row.id)
    .execute(&mut *connection)
    .await?;
    note(connection, row, what, detail.as_deref()).await?;
    for stray in strays {
        keep_stray(connection, stray).await?;
    }
    for task in tasks {
        tasks::put(connection, task).await?;
    }
    Ok(())
}

async fn note(
    connection: &mut SqliteConnection,
    row: &PaymentRow,
    what: &str,
    detail: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO payment_step (tenant, payment, version, time, what, state, detail) \
         VALUES (?,?,?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(&*row.id)
    .bind(number(row.payment.version))
    .bind(nanos(row.changed_at))
    .bind(what)
    .bind(row.payment.state.as_str())
    .bind(detail)
    .execute(connection)
    .await?;
    Ok(())
}

async fn keep_stray(connection: &mut SqliteConnection, row: &StrayRow) -> Result<(), sqlx::Error> {
    let claim = &row.claim;
    let code = claim.code.map(i64::from);
    let amount = claim.amount_cents.map(number);
    let phone = claim.number.as_ref().map(DeviceId::as_str);
    let kept = sqlx::query(
        "SELECT 1 FROM payment_stray WHERE checkout = ? AND payment IS ? AND code IS ? \
         AND amount_cents IS ? AND number IS ? AND receipt IS ?",
    )
    .bind(&*claim.checkout)
    .bind(row.payment.as_deref())
    .bind(code)
    .bind(amount)
    .bind(phone)
    .bind(claim.receipt.as_deref());
    if is_any(connection, kept).await? {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO payment_stray \
         (tenant, payment, time, checkout, code, amount_cents, number, receipt) \
         VALUES (?,?,?,?,?,?,?,?)",
    )
    .bind(row.tenant.as_str())
    .bind(row.payment.as_deref())
    .bind(nanos(row.time))
    .bind(&*claim.checkout)
    .bind(code)
    .bind(amount)
    .bind(phone)
    .bind(claim.receipt.as_deref())
    .execute(&mut *connection)
    .await?;
    bound_strays(connection, row).await
}

/// Keeps a tenant's strays in their bounds. Each may be evidence, and whoever has the callbacks' address
/// can make them up: those of no payment go first, and those of one payment put out none of another's.
async fn bound_strays(
    connection: &mut SqliteConnection,
    row: &StrayRow,
) -> Result<(), sqlx::Error> {
    let tenant = row.tenant.as_str();
    if let Some(payment) = row.payment.as_deref() {
        let bound = number(PaymentOperation::STRAYS_OF_ONE_MAX);
        sqlx::query(
            "DELETE FROM payment_stray WHERE tenant = ?1 AND payment = ?2 AND id NOT IN (SELECT id \
             FROM payment_stray WHERE tenant = ?1 AND payment = ?2 ORDER BY id DESC LIMIT ?3)",
        )
        .bind(tenant)
        .bind(payment)
        .bind(bound)
        .execute(&mut *connection)
        .await?;
    }
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_stray WHERE tenant = ?")
        .bind(tenant)
        .fetch_one(&mut *connection)
        .await?;
    if kept <= number(PaymentOperation::STRAYS_MAX) {
        return Ok(());
    }
    sqlx::query(
        "DELETE FROM payment_stray WHERE id = (SELECT coalesce(\
         (SELECT min(id) FROM payment_stray WHERE tenant = ?1 AND payment IS NULL), \
         (SELECT min(id) FROM payment_stray WHERE tenant = ?1)))",
    )
    .bind(tenant)
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes payments at their end that last changed before then, the longest unchanged first, with all
/// that hangs on them; says how many.
pub(super) async fn remove_old(
    connection: &mut SqliteConnection,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT tenant, id FROM payment WHERE state IN ('paid', 'declined') AND changed_at < ? \
         AND json_extract(body, '$.check') IS NULL ORDER BY changed_at LIMIT ?",
    )
    .bind(nanos(older_than))
    .bind(number(rows_max as u64))
    .fetch_all(&mut *connection)
    .await?;
    for (tenant, id) in &rows {
        for statement in [
            "DELETE FROM payment_step WHERE tenant = ? AND payment = ?",
            "DELETE FROM payment_stray WHERE tenant = ? AND payment = ?",
            "DELETE FROM payment WHERE tenant = ? AND id = ?",
        ] {
            sqlx::query(statement).bind(tenant).bind(id).execute(&mut *connection).await?;
        }
    }
    Ok(rows.len() as u64)
}

const PAYMENT: &str = "SELECT tenant, id, customer, reference, language, key, created_at, \
                       changed_at, body FROM payment";

/// The keys are those of the tasks of payments.
const WITHOUT_TASK: &str = "WHERE (state = 'draft' OR json_extract(body, '$.check') IS NOT NULL) \
     AND (payment.tenant, payment.id) > (?3, ?4) AND NOT EXISTS (SELECT 1 FROM task WHERE task.tenant = payment.tenant \
     AND task.kind = iif(payment.state = 'draft', ?1, ?2) AND task.state = 'waiting' \
     AND task.key = payment.id || iif(payment.state = 'draft', \
     ':push:' || (json_extract(payment.body, '$.attempts') + 1), \
     ':check:' || json_extract(payment.body, '$.check.number'))) \
     ORDER BY payment.tenant, payment.id LIMIT ?5";

pub(super) fn without_task() -> String {
    format!("{PAYMENT} {WITHOUT_TASK}")
}

fn payment_row(row: &SqliteRow) -> Result<PaymentRow, sqlx::Error> {
    Ok(PaymentRow {
        tenant: column::tenant(row, 0)?,
        id: text(row, 1)?,
        customer: text(row, 2)?,
        reference: text(row, 3)?,
        language: text(row, 4)?,
        key: text(row, 5)?,
        created_at: column::time(row, 6)?,
        changed_at: column::time(row, 7)?,
        payment: parsed(row, 8)?,
    })
}

fn step_row(row: &SqliteRow) -> Result<PaymentStepRow, sqlx::Error> {
    let state: &str = row.try_get(3)?;
    Ok(PaymentStepRow {
        version: sequence(row, 0)?,
        time: column::time(row, 1)?,
        what: text(row, 2)?,
        state: State::parse(state).ok_or_else(|| undecodable("a payment's state"))?,
        detail: text_if_any(row, 4)?,
    })
}

fn stray_row(row: &SqliteRow) -> Result<StrayRow, sqlx::Error> {
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| undecodable("an amount"));
    let code: Option<i64> = row.try_get(5)?;
    let amount: Option<i64> = row.try_get(6)?;
    let phone = text_if_any(row, 7)?.map(|text| DeviceId::parse(&text));
    Ok(StrayRow {
        id: sequence(row, 0)?,
        tenant: column::tenant(row, 1)?,
        payment: text_if_any(row, 2)?,
        time: column::time(row, 3)?,
        claim: Claim {
            checkout: text(row, 4)?,
            code: code.map(u32::try_from).transpose().map_err(|_| undecodable("a code"))?,
            amount_cents: amount.map(unsigned).transpose()?,
            number: phone.transpose().map_err(|_| undecodable("a device"))?,
            receipt: text_if_any(row, 8)?,
        },
    })
}

async fn strays(
    pool: &SqlitePool,
    which: &Strays,
    rows_max: usize,
) -> Result<Vec<StrayRow>, sqlx::Error> {
    const STRAY: &str = "SELECT id, tenant, payment, time, checkout, code, amount_cents, number, \
                         receipt FROM payment_stray";
    let rows_max = number(rows_max as u64);
    let rows = match which {
        Strays::Of { tenant, before } => {
            let statement = format!("{STRAY} WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT ?");
            let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str());
            let before = before.map_or(i64::MAX, number);
            query.bind(before).bind(rows_max).fetch_all(pool).await?
        }
        Strays::MayBelongTo(row) => {
            let statement = format!(
                "{STRAY} WHERE (payment IS NULL OR tenant = ?1) \
                 AND (payment = ?2 OR checkout = ?3 OR (number = ?4 AND amount_cents = ?5)) \
                 ORDER BY id DESC LIMIT ?6"
            );
            let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(row.tenant.as_str());
            let query = query.bind(&*row.id);
            let query = query.bind(row.payment.checkout.as_ref().map(|it| &*it.id));
            let query = query.bind(row.payment.number.as_str());
            let query = query.bind(number(u64::from(row.payment.amount) * 100));
            query.bind(rows_max).fetch_all(pool).await?
        }
    };
    rows.iter().map(stray_row).collect()
}

#[async_trait]
impl PaymentStore for SqliteStore {
    async fn payment(&self, tenant: &Tenant, id: &str) -> Result<Option<PaymentRow>, ReadError> {
        let statement = format!("{PAYMENT} WHERE tenant = ? AND id = ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str()).bind(id);
        let row = query.fetch_optional(self.readers()).await.map_err(read_error)?;
        row.as_ref().map(payment_row).transpose().map_err(read_error)
    }

    async fn payment_of_checkout(&self, checkout: &str) -> Result<Option<PaymentRow>, ReadError> {
        let statement = format!("{PAYMENT} WHERE checkout = ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(checkout);
        let row = query.fetch_optional(self.readers()).await.map_err(read_error)?;
        row.as_ref().map(payment_row).transpose().map_err(read_error)
    }

    async fn payment_of_receipt(&self, receipt: &str) -> Result<Option<PaymentRow>, ReadError> {
        let statement = format!("{PAYMENT} WHERE receipt = ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(receipt);
        let row = query.fetch_optional(self.readers()).await.map_err(read_error)?;
        row.as_ref().map(payment_row).transpose().map_err(read_error)
    }

    async fn nameless_payments(
        &self,
        phone: &DeviceId,
        amount: u32,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError> {
        let statement = format!(
            "{PAYMENT} WHERE number = ? AND amount = ? AND state IN ('requesting', 'unresolved') \
             LIMIT ?"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(phone.as_str()).bind(amount);
        let query = query.bind(number(rows_max as u64));
        let rows = query.fetch_all(self.readers()).await.map_err(read_error)?;
        rows.iter().map(payment_row).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn payment_blocks(
        &self,
        tenant: &Tenant,
        customer: &str,
        now: Timestamp,
    ) -> Result<bool, ReadError> {
        let query = blocks(tenant, customer, now);
        let row = query.fetch_optional(self.readers()).await.map_err(read_error)?;
        Ok(row.is_some())
    }

    async fn payments(
        &self,
        tenant: &Tenant,
        state: Option<State>,
        after: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError> {
        let narrowed = if state.is_some() { "AND state = ?4" } else { "" };
        let statement =
            format!("{PAYMENT} WHERE tenant = ?1 AND id > ?2 {narrowed} ORDER BY id LIMIT ?3");
        let query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant.as_str());
        let mut query = query.bind(after.unwrap_or("")).bind(number(rows_max as u64));
        if let Some(state) = state {
            query = query.bind(state.as_str());
        }
        let rows = query.fetch_all(self.readers()).await.map_err(read_error)?;
        rows.iter().map(payment_row).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn payments_without_task(
        &self,
        after: Option<(&Tenant, &str)>,
        rows_max: usize,
    ) -> Result<Vec<PaymentRow>, ReadError> {
        let query = sqlx::query(sqlx::AssertSqlSafe(without_task()));
        let query = query.bind(crate::payments::PUSH).bind(crate::payments::CHECK);
        let (tenant, id) = after.map_or(("", ""), |(tenant, id)| (tenant.as_str(), id));
        let query = query.bind(tenant).bind(id);
        let query = query.bind(number(rows_max as u64));
        let rows = query.fetch_all(self.readers()).await.map_err(read_error)?;
        rows.iter().map(payment_row).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn has_open_payment(&self, tenant: &Tenant, customer: &str) -> Result<bool, ReadError> {
        let query = sqlx::query(
            "SELECT 1 FROM payment WHERE tenant = ?1 AND customer = ?2 \
             AND state IN ('draft', 'requesting', 'prompted') UNION ALL \
             SELECT 1 FROM payment WHERE tenant = ?1 AND customer = ?2 AND state = 'unresolved' \
             LIMIT 1",
        );
        let query = query.bind(tenant.as_str()).bind(customer);
        let row = query.fetch_optional(self.readers()).await.map_err(read_error)?;
        Ok(row.is_some())
    }

    async fn unresolved_payments(&self) -> Result<u64, ReadError> {
        let query = sqlx::query("SELECT count(*) FROM payment WHERE state = 'unresolved'");
        let row = query.fetch_one(self.readers()).await.map_err(read_error)?;
        sequence(&row, 0).map_err(read_error)
    }

    async fn payment_steps(
        &self,
        tenant: &Tenant,
        id: &str,
        rows_max: usize,
    ) -> Result<Vec<PaymentStepRow>, ReadError> {
        let query = sqlx::query(
            "SELECT version, time, what, state, detail FROM payment_step \
             WHERE tenant = ? AND payment = ? ORDER BY version LIMIT ?",
        );
        let query = query.bind(tenant.as_str()).bind(id).bind(number(rows_max as u64));
        let rows = query.fetch_all(self.readers()).await.map_err(read_error)?;
        rows.iter().map(step_row).collect::<Result<_, _>>().map_err(read_error)
    }

    async fn payment_strays(
        &self,
        which: &Strays,
        rows_max: usize,
    ) -> Result<Vec<StrayRow>, ReadError> {
        strays(self.readers(), which, rows_max).await.map_err(read_error)
    }
}
