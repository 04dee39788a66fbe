//! Statements that carry many rows at once.
//!
//! Row by row costs 30 times as much. Only a few lengths are ever prepared, so that the statements
//! stay in the connection's cache.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Encode, Sqlite, Type};

/// How many rows a statement carries: a group is cut greedily into these. The largest keeps a
/// statement of ten columns below SQLite's 32,766 variables with much to spare; beyond some 200
/// rows longer statements gained nothing.
const LENGTHS: [usize; 4] = [256, 32, 4, 1];

/// One statement in each of [`LENGTHS`].
pub(super) struct MultiRow {
    statements: [String; LENGTHS.len()],
}

impl MultiRow {
    /// The statement `head row, row, … tail`.
    pub(super) fn new(head: &str, row: &str, tail: &str) -> Self {
        let statement = |length| format!("{head}{}{tail}", vec![row; length].join(","));
        Self { statements: LENGTHS.map(statement) }
    }

    /// Runs the statement over all `rows`; `bind` pushes the values of one.
    pub(super) async fn execute<T>(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Values),
    ) -> Result<(), sqlx::Error> {
        for (statement, rows) in self.chunks(rows) {
            let arguments = Values::of(rows, &bind)?;
            sqlx::query_with(statement, arguments).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Runs the query over all `rows` and returns what it finds for any of them.
    pub(super) async fn fetch<T>(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Values),
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut found = Vec::with_capacity(rows.len());
        for (statement, rows) in self.chunks(rows) {
            let arguments = Values::of(rows, &bind)?;
            found.extend(sqlx::query_with(statement, arguments).fetch_all(&mut *connection).await?);
        }
        Ok(found)
    }

    fn chunks<'a, T>(
        &'static self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        std::iter::from_fn(move || {
            let fits = LENGTHS.iter().position(|length| *length <= rows.len())?;
            let (chunk, rest) = rows.split_at(LENGTHS[fits]);
            rows = rest;
            Some((self.statements[fits].as_str(), chunk))
        })
    }
}

/// The values of some rows, in order.
#[derive(Default)]
pub(super) struct Values {
    arguments: SqliteArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    /// Adds the next value.
    pub(super) fn push<'q>(&mut self, value: impl Encode<'q, Sqlite> + Type<Sqlite>) {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
    }

    fn of<T>(rows: &[T], bind: impl Fn(&T, &mut Self)) -> Result<SqliteArguments, sqlx::Error> {
        let mut values = Self::default();
        for row in rows {
            bind(row, &mut values);
        }
        match values.failed {
            None => Ok(values.arguments),
            Some(error) => Err(sqlx::Error::Encode(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    #[test]
    fn every_row_is_carried_once_and_in_order() {
        static STATEMENT: LazyLock<MultiRow> =
            LazyLock::new(|| MultiRow::new("VALUES ", "(?)", " -- end"));
        let rows: Vec<usize> = (0..601).collect();
        let mut carried = Vec::new();
        for (statement, chunk) in STATEMENT.chunks(&rows) {
            assert_eq!(statement.matches('?').count(), chunk.len());
            assert!(statement.ends_with("(?) -- end"), "{statement}");
            carried.extend_from_slice(chunk);
        }
        assert_eq!(carried, rows);
    }
}
