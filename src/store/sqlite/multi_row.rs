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
/// Below this, padding a statement costs less than another one.
const PADDED_MAX: usize = LENGTHS[1];

/// One statement in each of [`LENGTHS`].
pub(super) struct MultiRow {
    statements: [String; LENGTHS.len()],
    /// Values in a row.
    columns: usize,
}

impl MultiRow {
    /// The statement `head row, row, … tail`.
    pub(super) fn new(head: &str, row: &str, tail: &str) -> Self {
        let statement = |length| format!("{head}{}{tail}", vec![row; length].join(","));
        Self { statements: LENGTHS.map(statement), columns: row.matches('?').count() }
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

    /// As [`Self::execute`], of a statement that does nothing for a row of NULLs: so that few rows
    /// are one statement, too. Each goes to the connection's thread and back, which costs more than
    /// what most statements do.
    pub(super) async fn execute_padded<T>(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Values),
    ) -> Result<(), sqlx::Error> {
        for (statement, rows, padding) in self.padded(rows) {
            let arguments = Values::padded(rows, &bind, padding)?;
            sqlx::query_with(statement, arguments).execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Runs the query over all `rows` and returns what it finds for any of them. It must find
    /// nothing for a row of NULLs.
    pub(super) async fn fetch<T>(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Values),
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut found = Vec::with_capacity(rows.len());
        for (statement, rows, padding) in self.padded(rows) {
            let arguments = Values::padded(rows, &bind, padding)?;
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

    /// As [`Self::chunks`], but what is left below [`PADDED_MAX`] is one statement, with so many
    /// values of padding.
    fn padded<'a, T>(
        &'static self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T], usize)> {
        std::iter::from_fn(move || {
            let fits = if rows.len() < PADDED_MAX {
                LENGTHS.iter().rposition(|length| *length >= rows.len())?
            } else {
                LENGTHS.iter().position(|length| *length <= rows.len())?
            };
            let (chunk, rest) = rows.split_at_checked(LENGTHS[fits]).unwrap_or((rows, &[]));
            rows = rest;
            let padding = (LENGTHS[fits] - chunk.len()) * self.columns;
            (!chunk.is_empty()).then(|| (self.statements[fits].as_str(), chunk, padding))
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
        Self::padded(rows, bind, 0)
    }

    fn padded<T>(
        rows: &[T],
        bind: impl Fn(&T, &mut Self),
        padding: usize,
    ) -> Result<SqliteArguments, sqlx::Error> {
        let mut values = Self::default();
        for row in rows {
            bind(row, &mut values);
        }
        for _ in 0..padding {
            values.push(None::<i64>);
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

    #[test]
    fn few_rows_are_padded_to_one_statement() {
        static STATEMENT: LazyLock<MultiRow> =
            LazyLock::new(|| MultiRow::new("VALUES ", "(?,?)", ""));
        for (count, statements) in [(0, 0), (1, 1), (2, 1), (5, 1), (31, 1), (33, 2), (300, 3)] {
            let rows: Vec<usize> = (0..count).collect();
            let mut carried = Vec::new();
            let mut runs = 0;
            for (statement, chunk, padding) in STATEMENT.padded(&rows) {
                assert_eq!(statement.matches('?').count(), 2 * chunk.len() + padding);
                carried.extend_from_slice(chunk);
                runs += 1;
            }
            assert_eq!((carried, runs), (rows, statements));
        }
    }
}
