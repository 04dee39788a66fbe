//! The one connection that writes.

use super::column::sequence;
use crate::store::CommitError;
use sqlx::sqlite::SqliteConnection;

/// Primary result codes (sqlite.org/rescode.html).
const SQLITE_FULL: i32 = 13;
/// The shared memory file could not grow: out of room, by another name.
const SQLITE_IOERR_SHMSIZE: i32 = 4874;

/// When the log is longer than this, wait for readers so that the log starts over. 64 MiB.
const LOG_PAGES_MAX: u64 = 16_384;

/// The writing connection, and what it knows without asking.
#[derive(Debug)]
pub(super) struct WriterConnection {
    connection: SqliteConnection,
    /// Whether a transaction may be open that nobody waits for any more.
    unsettled: bool,
    /// The newest event's sequence.
    head: u64,
    /// How far the outbox is trimmed.
    trimmed: u64,
    /// About how many pages stand in the log.
    log_pages: u64,
    /// How many may before they are moved.
    log_pages_kept: u64,
}

/// What a checkpoint found and left.
struct Log {
    /// Pages in the log, moved or not.
    pages: u64,
    /// Whether all of them are in the file.
    is_moved: bool,
}

impl WriterConnection {
    /// Takes the connection over; reads where the newest event stands.
    pub(super) async fn new(
        mut connection: SqliteConnection,
        log_pages_kept: u64,
    ) -> Result<Self, sqlx::Error> {
        let (head, trimmed) = read_ends(&mut connection).await?;
        // What the log holds from before is not known: the first commit looks.
        let log_pages = log_pages_kept;
        Ok(Self { connection, unsettled: false, head, trimmed, log_pages, log_pages_kept })
    }

    /// The newest committed event's sequence.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// How far the outbox is trimmed, as committed.
    pub(super) fn trimmed(&self) -> u64 {
        self.trimmed
    }

    /// Remembers how far the outbox is trimmed, once that is committed.
    pub(super) fn set_trimmed(&mut self, trimmed: u64) {
        self.trimmed = trimmed;
    }

    /// The connection itself, inside or outside a transaction.
    pub(super) fn inner(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Opens a transaction; one that was left open, because its task was dropped, is undone.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if self.unsettled {
            self.roll_back().await;
            (self.head, self.trimmed) = read_ends(&mut self.connection).await?;
        }
        if self.log_pages >= self.log_pages_kept {
            self.checkpoint().await?;
        }
        self.unsettled = true;
        self.execute("BEGIN IMMEDIATE").await
    }

    /// Makes the transaction durable. `head` is the newest event's sequence from now on, `pages`
    /// about how many pages were written.
    pub(super) async fn commit(&mut self, head: u64, pages: u64) -> Result<(), sqlx::Error> {
        self.execute("COMMIT").await?;
        self.unsettled = false;
        self.head = head;
        self.log_pages += pages;
        Ok(())
    }

    /// Undoes the transaction, if SQLite has not undone it already (as it does for some errors).
    pub(super) async fn roll_back(&mut self) {
        let outcome = self.execute("ROLLBACK").await;
        drop(outcome);
        self.unsettled = false;
    }

    /// Opens a savepoint: what follows is kept or undone without its neighbours.
    pub(super) async fn save(&mut self) -> Result<(), sqlx::Error> {
        self.execute("SAVEPOINT write").await
    }

    /// Keeps what was done since [`Self::save`].
    pub(super) async fn keep(&mut self) -> Result<(), sqlx::Error> {
        self.execute("RELEASE write").await
    }

    /// Undoes what was done since [`Self::save`].
    pub(super) async fn undo(&mut self) -> Result<(), sqlx::Error> {
        self.execute("ROLLBACK TO write").await?;
        self.keep().await
    }

    /// Sets the size beyond which SQLite itself refuses to grow the file.
    pub(super) async fn set_page_count_max(&mut self, pages: u64) -> Result<(), sqlx::Error> {
        let statement = format!("PRAGMA max_page_count = {pages}");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut self.connection).await?;
        Ok(())
    }

    /// Moves the log's pages into the file, so that the next commit starts it over. By hand,
    /// because SQLite's automatic one does not report a failed sync.
    async fn checkpoint(&mut self) -> Result<(), sqlx::Error> {
        let mut log = self.run_checkpoint("PRAGMA wal_checkpoint(PASSIVE)").await?;
        if log.pages > LOG_PAGES_MAX {
            // Readers took turns in keeping it from starting over: wait until none reads from it.
            log = self.run_checkpoint("PRAGMA wal_checkpoint(RESTART)").await?;
        }
        self.log_pages = if log.is_moved { 0 } else { log.pages };
        Ok(())
    }

    async fn run_checkpoint(&mut self, statement: &'static str) -> Result<Log, sqlx::Error> {
        let (busy, pages, moved): (i64, i64, i64) =
            sqlx::query_as(statement).fetch_one(&mut self.connection).await?;
        Ok(Log { pages: u64::try_from(pages).unwrap_or(0), is_moved: busy == 0 && pages == moved })
    }

    /// Moves everything out of the log and closes, so that one whole file is left.
    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        if self.unsettled {
            self.roll_back().await;
        }
        self.run_checkpoint("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        sqlx::Connection::close(self.connection).await
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(statement).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// The newest event's sequence (where trimming ended, when none is left), and where that was.
async fn read_ends(connection: &mut SqliteConnection) -> Result<(u64, u64), sqlx::Error> {
    let row = sqlx::query(
        "SELECT max(ifnull((SELECT last FROM event_run ORDER BY first DESC LIMIT 1), 0), trimmed), \
         trimmed FROM shard WHERE shard = 0",
    )
    .fetch_one(connection)
    .await?;
    Ok((sequence(&row, 0)?, sequence(&row, 1)?))
}

/// SQLite's extended result code, where the error has one.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether there is no room, or whether the store has failed.
pub(super) fn commit_error(error: sqlx::Error) -> CommitError {
    match sqlite_code(&error) {
        Some(code) if code & 0xFF == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE => {
            CommitError::Full
        }
        _ => CommitError::Failed(Box::new(error)),
    }
}
