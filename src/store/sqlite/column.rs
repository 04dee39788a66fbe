//! Columns to and from our words. What does not decode was not written by us: it is damage.

use crate::store::ReadError;
use jiff::Timestamp;
use model::{DeviceId, Json, Protocol, Tenant};
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use std::fmt;

/// Nanoseconds since 1970. What lies outside 1677 to 2262 is brought to the nearer end.
pub(super) fn nanos(time: Timestamp) -> i64 {
    let nanos = time.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// A number of ours, which never comes near the end of SQLite's.
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads a sequence or an id.
pub(super) fn sequence(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|_| undecodable("a negative number"))
}

/// Reads a time.
pub(super) fn time(row: &SqliteRow, column: usize) -> Result<Timestamp, sqlx::Error> {
    from_nanos(row.try_get(column)?)
}

/// Reads a time that may be absent.
pub(super) fn time_if_any(
    row: &SqliteRow,
    column: usize,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(from_nanos).transpose()
}

/// A time of that many nanoseconds since 1970.
pub(super) fn from_nanos(nanos: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_nanosecond(nanos.into()).map_err(|_| undecodable("a time out of range"))
}

/// Reads a text.
pub(super) fn text(row: &SqliteRow, column: usize) -> Result<Box<str>, sqlx::Error> {
    let value: &str = row.try_get(column)?;
    Ok(value.into())
}

/// Reads a text that may be absent.
pub(super) fn text_if_any(row: &SqliteRow, column: usize) -> Result<Option<Box<str>>, sqlx::Error> {
    let value: Option<&str> = row.try_get(column)?;
    Ok(value.map(Into::into))
}

/// Reads a tenant.
pub(super) fn tenant(row: &SqliteRow, column: usize) -> Result<Tenant, sqlx::Error> {
    let value: &str = row.try_get(column)?;
    Tenant::new(value).map_err(|_| undecodable("a tenant"))
}

/// Reads the subject of an event.
pub(super) fn subject(row: &SqliteRow, column: usize) -> Result<DeviceId, sqlx::Error> {
    let value: &str = row.try_get(column)?;
    DeviceId::parse_subject(value).map_err(|_| undecodable("a subject"))
}

/// Reads the subject of an event that may be absent.
pub(super) fn subject_if_any(
    row: &SqliteRow,
    column: usize,
) -> Result<Option<DeviceId>, sqlx::Error> {
    let value: Option<&str> = row.try_get(column)?;
    let parsed = value.map(DeviceId::parse_subject).transpose();
    parsed.map_err(|_| undecodable("a subject"))
}

/// Reads a device's identity.
pub(super) fn device(row: &SqliteRow, column: usize) -> Result<DeviceId, sqlx::Error> {
    let value: &str = row.try_get(column)?;
    DeviceId::parse(value).map_err(|_| undecodable("a device"))
}

/// Reads a protocol.
pub(super) fn protocol(row: &SqliteRow, column: usize) -> Result<Protocol, sqlx::Error> {
    let value: &str = row.try_get(column)?;
    let all = [Protocol::Cwmp, Protocol::Mqtt, Protocol::Ussd];
    all.into_iter().find(|it| it.as_str() == value).ok_or_else(|| undecodable("a protocol"))
}

/// Reads a JSON text as it is.
pub(super) fn json(row: &SqliteRow, column: usize) -> Result<Json, sqlx::Error> {
    Ok(Json::from_stored(row.try_get(column)?))
}

/// Reads a JSON text into our type. The text is not repeated in the error.
pub(super) fn parsed<T: DeserializeOwned>(
    row: &SqliteRow,
    column: usize,
) -> Result<T, sqlx::Error> {
    let value: &str = row.try_get(column)?;
    serde_json::from_str(value).map_err(|_| undecodable("a stored document"))
}

/// A value that was never written by us, named without repeating it.
pub(super) fn undecodable(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Undecodable(what)))
}

#[derive(Debug)]
struct Undecodable(&'static str);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row holds {} that does not decode", self.0)
    }
}

impl std::error::Error for Undecodable {}

/// A failed read, with what SQLite said.
pub(super) fn read_error(error: sqlx::Error) -> ReadError {
    ReadError::Failed(Box::new(error))
}
