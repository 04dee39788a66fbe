//! What is kept of MQTT: sessions, what waits for boards, retained messages.

use super::column::{self, json, nanos, number, sequence, tenant, text, undecodable};
use super::multi_row::{MultiRow, Values};
use super::readers::{advance_reader, drop_reader, start_reader};
use crate::store::{
    MqttAbsenceRow, MqttChange, MqttQueuedMark, MqttQueuedRow, MqttRetainedRow, MqttSessionRow,
    session_reader,
};
use ::mqtt::Message;
use ::mqtt::message::QoS;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{Json, Tenant};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};
use std::mem::discriminant;
use std::sync::{Arc, LazyLock};

static PUT_SESSIONS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT OR REPLACE INTO mqtt_session \
         (number, tenant, owner, client_id, state, expiry_s, left_at, will, will_at) VALUES ",
        "(?,?,?,?,?,?,?,?,?)",
        "",
    )
});

static PUT_CONNECTIONS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT OR REPLACE INTO mqtt_connection \
         (number, tenant, owner, client_id, is_told, will, will_delay_s) VALUES ",
        "(?,?,?,?,?,?,?)",
        "",
    )
});

static REMOVE_CONNECTIONS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new("DELETE FROM mqtt_connection WHERE number IN (VALUES ", "(?)", ")")
});

static RESUMED: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "UPDATE mqtt_session SET left_at = NULL, will = NULL, will_at = NULL \
         WHERE number IN (VALUES ",
        "(?)",
        ")",
    )
});

static PUT_FLIGHTS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new("INSERT OR REPLACE INTO mqtt_flight (session, state) VALUES ", "(?,?)", "")
});

static QUEUE: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT OR REPLACE INTO mqtt_queue (session, key, through, is_own, queued_at, topic, payload, \
         qos, retain, properties, publisher, expires_at) VALUES ",
        "(?,?,?,?,?,?,?,?,?,?,?,?)",
        "",
    )
});

/// With the keys in a table of their own: a list of pairs would have the whole queue looked through.
static UNQUEUE: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH gone (session, key) AS (VALUES ",
        "(?,?)",
        ") DELETE FROM mqtt_queue WHERE (session, key) IN (SELECT session, key FROM gone)",
    )
});

static PUT_RETAINED: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "INSERT INTO mqtt_retained \
         (tenant, topic, key, payload, qos, properties, publisher, expires_at, owner) VALUES ",
        "(?,?,?,?,?,?,?,?,?)",
        " ON CONFLICT (tenant, topic) DO UPDATE SET key = excluded.key, \
         payload = excluded.payload, qos = excluded.qos, properties = excluded.properties, \
         publisher = excluded.publisher, expires_at = excluded.expires_at, \
         owner = excluded.owner \
         WHERE excluded.key > key",
    )
});

/// Applies changes in their order; neighbours of one kind together. Those of connections come last:
/// in their order too, and with more neighbours.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let is_of_connection = |change: &&MqttChange| {
        matches!(
            change,
            MqttChange::PutConnection(_)
                | MqttChange::RemoveConnection { .. }
                | MqttChange::KeepWillAlone { .. }
        )
    };
    let (of_connections, others): (Vec<_>, Vec<_>) =
        changes.iter().copied().partition(is_of_connection);
    apply_all(connection, &others).await?;
    apply_all(connection, &of_connections).await
}

async fn apply_all(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    for alike in changes.chunk_by(|left, right| discriminant(*left) == discriminant(*right)) {
        match alike[0] {
            MqttChange::PutSession(_) => put_sessions(connection, alike).await?,
            MqttChange::PutFlight { .. } => put_flights(connection, alike).await?,
            MqttChange::Queue(_) => queue_all(connection, alike).await?,
            MqttChange::Unqueue(_) => unqueue(connection, alike).await?,
            MqttChange::PutRetained(_) => put_retained(connection, alike).await?,
            MqttChange::PutConnection(_) => put_connections(connection, alike).await?,
            MqttChange::RemoveConnection { .. } => {
                of_numbers(connection, &REMOVE_CONNECTIONS, alike).await?;
            }
            MqttChange::Resumed { .. } => of_numbers(connection, &RESUMED, alike).await?,
            _ => {
                for change in alike {
                    apply_one(connection, change).await?;
                }
            }
        }
    }
    Ok(())
}

async fn put_sessions(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let row = |change: &&MqttChange| match change {
        MqttChange::PutSession(row) => Some(row.clone()),
        _ => None,
    };
    let rows: Vec<_> = changes.iter().filter_map(row).collect();
    put_flights(connection, changes).await?;
    PUT_SESSIONS
        .execute(connection, &rows, |row, values| {
            values.push(number(row.number));
            values.push(shared(row.tenant.as_str()));
            values.push(shared(row.owner.as_str()));
            values.push(shared(&row.client_id));
            values.push(shared(row.state.as_str()));
            values.push(i64::from(row.expiry_s));
            values.push(row.left_at.map(nanos));
            values.push(row.will.as_ref().map(|(_, data)| shared(data.as_str())));
            values.push(row.will.as_ref().map(|(at, _)| nanos(*at)));
        })
        .await
}

async fn put_connections(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let row = |change: &&MqttChange| match change {
        MqttChange::PutConnection(row) => Some(row.clone()),
        _ => None,
    };
    let rows: Vec<_> = changes.iter().filter_map(row).collect();
    PUT_CONNECTIONS
        .execute(connection, &rows, |row, values| {
            values.push(number(row.number));
            values.push(shared(row.tenant.as_str()));
            values.push(shared(row.owner.as_str()));
            values.push(shared(&row.client_id));
            values.push(row.words.is_told);
            values.push(row.words.will.as_ref().map(|(_, data)| shared(data.as_str())));
            values.push(row.words.will.as_ref().map(|(delay_s, _)| i64::from(*delay_s)));
        })
        .await
}

/// What is on its way of sessions, alone or with their rows.
async fn put_flights(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let row = |change: &&MqttChange| match change {
        MqttChange::PutSession(row) => row.flight.clone().map(|flight| (row.number, flight)),
        MqttChange::PutFlight { number, flight } => Some((*number, flight.clone())),
        _ => None,
    };
    let rows: Vec<_> = changes.iter().filter_map(row).collect();
    PUT_FLIGHTS
        .execute(connection, &rows, |(session, flight), values| {
            values.push(number(*session));
            values.push(shared(flight.as_str()));
        })
        .await
}

/// Runs a statement over the numbers of sessions.
async fn of_numbers(
    connection: &mut SqliteConnection,
    statement: &'static MultiRow,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let of = |change: &&MqttChange| match change {
        MqttChange::Resumed { number } | MqttChange::RemoveConnection { number } => Some(*number),
        _ => None,
    };
    let numbers: Vec<_> = changes.iter().filter_map(of).collect();
    statement.execute_padded(connection, &numbers, |of, values| values.push(number(*of))).await
}

async fn queue_all(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let rows = |change: &&MqttChange| match change {
        MqttChange::Queue(rows) => rows.clone(),
        _ => Vec::new(),
    };
    let rows: Vec<_> = changes.iter().flat_map(rows).collect();
    QUEUE
        .execute(connection, &rows, |row, values| {
            values.push(number(row.session));
            values.push(number(row.key));
            values.push(row.through.clone());
            values.push(row.is_own);
            values.push(nanos(row.queued_at));
            values.push(shared(&row.message.topic));
            values.push(row.message.payload.to_vec());
            values.push(i64::from(row.message.qos as u8));
            values.push(row.message.retain);
            values.push(row.message.properties.to_vec());
            values.push(row.message.publisher.as_deref().map(shared));
            values.push(row.message.expires_at.map(nanos));
        })
        .await
}

async fn unqueue(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let keys = |change: &&MqttChange| match change {
        MqttChange::Unqueue(keys) => keys.clone(),
        _ => Vec::new(),
    };
    let keys: Vec<_> = changes.iter().flat_map(keys).collect();
    UNQUEUE
        .execute_padded(connection, &keys, |(session, key), values| {
            values.push(number(*session));
            values.push(number(*key));
        })
        .await
}

async fn put_retained(
    connection: &mut SqliteConnection,
    changes: &[&MqttChange],
) -> Result<(), sqlx::Error> {
    let row = |change: &&MqttChange| match change {
        MqttChange::PutRetained(row) => Some(row.clone()),
        _ => None,
    };
    let rows: Vec<_> = changes.iter().filter_map(row).collect();
    PUT_RETAINED.execute(connection, &rows, bind_retained).await
}

fn bind_retained(row: &MqttRetainedRow, values: &mut Values) {
    values.push(shared(row.tenant.as_str()));
    values.push(shared(&row.message.topic));
    values.push(number(row.key));
    values.push(row.message.payload.to_vec());
    values.push(i64::from(row.message.qos as u8));
    values.push(row.message.properties.to_vec());
    values.push(row.message.publisher.as_deref().map(shared));
    values.push(row.message.expires_at.map(nanos));
    values.push(row.owner.as_ref().map(|owner| shared(owner.as_str())));
}

async fn apply_one(
    connection: &mut SqliteConnection,
    change: &MqttChange,
) -> Result<(), sqlx::Error> {
    match change {
        MqttChange::RemoveSession { number } => remove_session(connection, *number).await,
        MqttChange::Interrupted { at, told } => interrupted(connection, *at, told.as_str()).await,
        MqttChange::ForgetWill { number: of, due } => sqlx::query(
            "UPDATE mqtt_session SET will = NULL, will_at = NULL \
                 WHERE number = ? AND will_at <= ?",
        )
        .bind(number(*of))
        .bind(nanos(*due))
        .execute(connection)
        .await
        .map(drop),
        MqttChange::KeepWillAlone { number: of } => {
            sqlx::query("UPDATE mqtt_connection SET is_told = 0 WHERE number = ?")
                .bind(number(*of))
                .execute(connection)
                .await
                .map(drop)
        }
        MqttChange::Shift { from, to, by } => shift(connection, (*from, *to), *by).await,
        MqttChange::RemoveRetained { tenant, topic, key } => {
            let sql = "DELETE FROM mqtt_retained WHERE tenant = ? AND topic = ? AND key <= ?";
            let query = sqlx::query(sql).bind(tenant.as_str()).bind(&**topic).bind(number(*key));
            query.execute(connection).await.map(drop)
        }
        MqttChange::StartReader { name, at } => start_reader(connection, name, *at).await,
        MqttChange::AdvanceReader { name, to } => advance_reader(connection, name, *to).await,
        MqttChange::DropReader { name } => drop_reader(connection, name).await,
        MqttChange::RemoveAbsence { tenant, device } => {
            sqlx::query("DELETE FROM mqtt_absence WHERE tenant = ? AND device = ?")
                .bind(tenant.as_str())
                .bind(device.as_str())
                .execute(connection)
                .await
                .map(drop)
        }
        MqttChange::PutAbsence(row) => sqlx::query(
            "INSERT OR REPLACE INTO mqtt_absence (tenant, device, left_at, data) \
                 VALUES (?,?,?,?)",
        )
        .bind(row.tenant.as_str())
        .bind(row.device.as_str())
        .bind(nanos(row.left_at))
        .bind(row.data.as_str())
        .execute(connection)
        .await
        .map(drop),
        // These are applied together.
        MqttChange::PutSession(_)
        | MqttChange::PutFlight { .. }
        | MqttChange::Queue(_)
        | MqttChange::Unqueue(_)
        | MqttChange::PutRetained(_)
        | MqttChange::PutConnection(_)
        | MqttChange::RemoveConnection { .. }
        | MqttChange::Resumed { .. } => Ok(()),
    }
}

/// The rows of connections become what is kept of their ends.
async fn interrupted(
    connection: &mut SqliteConnection,
    at: Timestamp,
    told: &str,
) -> Result<(), sqlx::Error> {
    const STEPS: [&str; 5] = [
        "INSERT OR REPLACE INTO mqtt_absence (tenant, device, left_at, data) \
         SELECT tenant, owner, ?1, ?2 FROM mqtt_connection WHERE is_told",
        "UPDATE mqtt_session SET left_at = ?1, will = c.will, \
         will_at = ?1 + min(c.will_delay_s, expiry_s) * 1000000000 FROM mqtt_connection AS c \
         WHERE c.number = mqtt_session.number AND c.will IS NOT NULL",
        // It would have ended with its connection: its will is all that there is of it.
        "INSERT OR IGNORE INTO mqtt_session \
         (number, tenant, owner, client_id, state, expiry_s, left_at, will, will_at) \
         SELECT number, tenant, owner, client_id, '{}', 0, ?1, will, ?1 FROM mqtt_connection AS c \
         WHERE will IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM mqtt_session AS s WHERE s.number = c.number)",
        "UPDATE mqtt_session SET left_at = ?1 WHERE left_at IS NULL",
        "DELETE FROM mqtt_connection",
    ];
    for step in STEPS {
        let mut query = sqlx::query(step);
        if step.contains("?1") {
            query = query.bind(nanos(at));
        }
        if step.contains("?2") {
            query = query.bind(told);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn shift(
    connection: &mut SqliteConnection,
    (from, to): (Timestamp, Timestamp),
    by: SignedDuration,
) -> Result<(), sqlx::Error> {
    // Times that are for ever stay so.
    const STEPS: [&str; 2] = [
        "UPDATE mqtt_session SET left_at = left_at + ?3, \
         will_at = min(will_at + ?3, 9223372036854775807) WHERE left_at BETWEEN ?1 AND ?2",
        "UPDATE mqtt_queue SET queued_at = queued_at + ?3 WHERE queued_at BETWEEN ?1 AND ?2",
    ];
    let nanos_by = by.as_secs().saturating_mul(1_000_000_000);
    let nanos_by = nanos_by.saturating_add(by.subsec_nanos().into());
    for step in STEPS {
        let query = sqlx::query(step).bind(nanos(from)).bind(nanos(to)).bind(nanos_by);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

async fn remove_session(
    connection: &mut SqliteConnection,
    session: u64,
) -> Result<(), sqlx::Error> {
    for sql in [
        "DELETE FROM mqtt_queue WHERE session = ?",
        "DELETE FROM mqtt_flight WHERE session = ?",
        "DELETE FROM mqtt_session WHERE number = ?",
    ] {
        sqlx::query(sql).bind(number(session)).execute(&mut *connection).await?;
    }
    drop_reader(connection, &session_reader(session)).await
}

/// Reads sessions in the order of their numbers.
pub(super) async fn sessions(
    pool: &SqlitePool,
    after: u64,
    rows_max: usize,
) -> Result<Vec<MqttSessionRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT s.number, s.tenant, s.owner, s.client_id, s.state, s.expiry_s, s.left_at, s.will, \
         s.will_at, f.state FROM mqtt_session s LEFT JOIN mqtt_flight f ON f.session = s.number \
         WHERE s.number > ? ORDER BY s.number LIMIT ?",
    )
    .bind(number(after))
    .bind(number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    rows.iter().map(session).collect()
}

fn session(row: &SqliteRow) -> Result<MqttSessionRow, sqlx::Error> {
    let will = match column::time_if_any(row, 8)? {
        Some(at) => Some((at, json(row, 7)?)),
        None => None,
    };
    Ok(MqttSessionRow {
        number: sequence(row, 0)?,
        tenant: tenant(row, 1)?,
        owner: column::subject(row, 2)?,
        client_id: text(row, 3)?,
        state: json(row, 4)?,
        flight: column::text_if_any(row, 9)?.map(|it| Json::from_stored(it.into())),
        expiry_s: u32::try_from(sequence(row, 5)?).map_err(|_| undecodable("an expiry"))?,
        left_at: column::time_if_any(row, 6)?,
        will,
    })
}

/// Reads what is known of queued messages, in the order of (session, key).
pub(super) async fn queue_marks(
    pool: &SqlitePool,
    (session, key): (u64, u64),
    rows_max: usize,
) -> Result<Vec<MqttQueuedMark>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT session, key, octet_length(topic) + octet_length(payload) + \
         octet_length(properties), queued_at FROM mqtt_queue \
         WHERE (session, key) > (?, ?) ORDER BY session, key LIMIT ?",
    )
    .bind(number(session))
    .bind(number(key))
    .bind(number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    let mark = |row: &SqliteRow| {
        Ok(MqttQueuedMark {
            session: sequence(row, 0)?,
            key: sequence(row, 1)?,
            bytes: sequence(row, 2)?,
            queued_at: column::time(row, 3)?,
        })
    };
    rows.iter().map(mark).collect()
}

/// Reads queued messages of one session from a key on.
pub(super) async fn queue(
    pool: &SqlitePool,
    session: u64,
    from: u64,
    rows_max: usize,
) -> Result<Vec<MqttQueuedRow>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT topic, payload, qos, retain, properties, publisher, expires_at, key, through, \
         is_own, queued_at FROM mqtt_queue WHERE session = ? AND key >= ? ORDER BY key LIMIT ?",
    )
    .bind(number(session))
    .bind(number(from))
    .bind(number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    let queued = |row: &SqliteRow| {
        Ok(MqttQueuedRow {
            session,
            key: sequence(row, 7)?,
            through: column::text_if_any(row, 8)?.map(Arc::from),
            is_own: row.try_get(9)?,
            queued_at: column::time(row, 10)?,
            message: Arc::new(message(row)?),
        })
    };
    rows.iter().map(queued).collect()
}

/// Reads retained messages in the order of (tenant, topic).
pub(super) async fn retained(
    pool: &SqlitePool,
    after: Option<(Tenant, Box<str>)>,
    rows_max: usize,
) -> Result<Vec<MqttRetainedRow>, sqlx::Error> {
    let (of, topic) = after.as_ref().map_or(("", ""), |(of, topic)| (of.as_str(), topic));
    let rows = sqlx::query(
        "SELECT topic, payload, qos, 1, properties, publisher, expires_at, tenant, key, owner \
         FROM mqtt_retained WHERE (tenant, topic) > (?, ?) ORDER BY tenant, topic LIMIT ?",
    )
    .bind(of)
    .bind(topic)
    .bind(number(rows_max as u64))
    .fetch_all(pool)
    .await?;
    let kept = |row: &SqliteRow| {
        Ok(MqttRetainedRow {
            tenant: tenant(row, 7)?,
            key: sequence(row, 8)?,
            owner: column::subject_if_any(row, 9)?,
            message: Arc::new(message(row)?),
        })
    };
    rows.iter().map(kept).collect()
}

/// Reads every board that left and was not told of.
pub(super) async fn absences(pool: &SqlitePool) -> Result<Vec<MqttAbsenceRow>, sqlx::Error> {
    let rows = sqlx::query("SELECT tenant, device, left_at, data FROM mqtt_absence");
    let absence = |row: &SqliteRow| {
        Ok(MqttAbsenceRow {
            tenant: tenant(row, 0)?,
            device: column::device(row, 1)?,
            left_at: column::time(row, 2)?,
            data: json(row, 3)?,
        })
    };
    rows.fetch_all(pool).await?.iter().map(absence).collect()
}

/// A message in the first seven columns.
fn message(row: &SqliteRow) -> Result<Message, sqlx::Error> {
    let qos = u8::try_from(sequence(row, 2)?).ok().and_then(|qos| QoS::parse(qos).ok());
    Ok(Message {
        topic: text(row, 0)?,
        payload: Bytes::from(row.try_get::<Vec<u8>, _>(1)?),
        qos: qos.ok_or_else(|| undecodable("a quality of service"))?,
        retain: row.try_get(3)?,
        properties: row.try_get::<Vec<u8>, _>(4)?.into(),
        publisher: column::text_if_any(row, 5)?,
        expires_at: column::time_if_any(row, 6)?,
    })
}

fn shared(text: &str) -> Arc<str> {
    text.into()
}
