//! A group in one transaction.

use super::apply::{Fault, apply};
use super::commands::{self, Step};
use super::connection::WriterConnection;
use super::data_models::{self, Put};
use super::devices::{self, Said};
use super::events;
use super::run::Run;
use super::{mqtt, old, provision, room};
use crate::store::{Old, Operation, OperationError, Write};
use jiff::Timestamp;
use model::Event;

/// Pages that a commit writes however small it is: the end of the outbox and its parents.
const PAGES_PER_COMMIT: u64 = 3;
/// Bytes of packed events that fill a page: short runs share one, and leave some of it empty.
const BYTES_PER_PAGE: u64 = 3_072;
/// Pages that a changed device or an operation touches: a leaf of a table and of an index.
const PAGES_PER_CHANGE: u64 = 2;

type Outcome = Result<(), OperationError>;

/// Commits the group, or nothing of it. Returns what became of each write, and the runs of events.
pub(super) async fn commit(
    connection: &mut WriterConnection,
    group: &[Write],
) -> Result<(Vec<Outcome>, Vec<Run>), sqlx::Error> {
    let outcome = try_commit(connection, group).await;
    if outcome.is_err() {
        connection.roll_back().await;
    }
    outcome
}

async fn try_commit(
    connection: &mut WriterConnection,
    group: &[Write],
) -> Result<(Vec<Outcome>, Vec<Run>), sqlx::Error> {
    connection.begin().await?;
    let mut pages = PAGES_PER_COMMIT;
    let mut outcomes = Vec::with_capacity(group.len());
    let mut events: Vec<&Event> = Vec::with_capacity(group.len());
    for run in group.chunk_by(|left, right| joins_others(left) && joins_others(right)) {
        if joins_others(&run[0]) {
            let (settled, changed) = apply_together(connection, run).await?;
            pages += PAGES_PER_CHANGE * changed as u64;
            for (write, outcome) in run.iter().zip(&settled) {
                if outcome.is_ok() {
                    events.extend(events_of(write));
                }
            }
            outcomes.extend(settled);
        } else {
            for write in run {
                let head = connection.head() + events.len() as u64;
                let outcome = apply_write(connection, write, head).await?;
                if outcome.is_ok() {
                    events.extend(events_of(write));
                }
                outcomes.push(outcome);
            }
        }
        let bodies = run.iter().flat_map(operations).map(Operation::body_bytes);
        let scattered = run.iter().flat_map(operations).filter(|it| !it.is_appended());
        pages += PAGES_PER_CHANGE * scattered.count() as u64;
        pages += bodies.sum::<usize>() as u64 / room::PAGE_BYTES;
    }
    let first = connection.head() + 1;
    let (runs, bytes) = events::insert(connection.inner(), first, &events).await?;
    pages += bytes / BYTES_PER_PAGE;
    connection.commit(connection.head() + events.len() as u64, pages).await?;
    Ok((outcomes, runs))
}

/// Whether a write may be applied together with its neighbours: facts alone, or one of the
/// operations that come many at a time, each of which is of one device and refuses for itself.
fn joins_others(write: &Write) -> bool {
    match operations(write) {
        [] => true,
        [Operation::ChangeCommand { .. } | Operation::PutDataModel { .. }] => {
            events_of(write).iter().all(|event| event.facts.is_none())
        }
        // It refuses nothing, so that the facts beside it stand whatever becomes of it.
        [Operation::PutProvision(_)] => true,
        // Nor do these.
        operations => operations.iter().all(|it| matches!(it, Operation::Mqtt(_))),
    }
}

/// Applies writes of which each [`joins_others`]. What one says of a device comes before what others
/// keep of it. Returns how many rows the facts changed, too.
async fn apply_together(
    connection: &mut WriterConnection,
    run: &[Write],
) -> Result<(Vec<Outcome>, usize), sqlx::Error> {
    let connection = connection.inner();
    let facts: Vec<_> = run.iter().flat_map(events_of).filter_map(said).collect();
    let changed = devices::merge(connection, &facts).await?;
    let (mut steps, mut puts, mut provisions) = (Vec::new(), Vec::new(), Vec::new());
    for (place, write) in run.iter().enumerate() {
        match operations(write) {
            [Operation::ChangeCommand { change, at }] => {
                steps.push((place, Step { change, at: *at }));
            }
            [Operation::PutDataModel { tenant, device, at, is_whole, sealed }] => {
                let put = Put { tenant, device, at: *at, is_whole: *is_whole, body: sealed };
                puts.push((place, put));
            }
            [Operation::PutProvision(row)] => provisions.push(row),
            _ => {}
        }
    }
    let mut outcomes: Vec<Outcome> = run.iter().map(|_| Ok(())).collect();
    let (places, steps): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
    for (place, outcome) in places.into_iter().zip(commands::change(connection, &steps).await?) {
        outcomes[place] = outcome;
    }
    let (places, puts): (Vec<_>, Vec<_>) = puts.into_iter().unzip();
    for (place, outcome) in places.into_iter().zip(data_models::put(connection, &puts).await?) {
        outcomes[place] = outcome;
    }
    provision::put(connection, &provisions).await?;
    let changes = run.iter().flat_map(operations).filter_map(|operation| match operation {
        Operation::Mqtt(change) => Some(change),
        _ => None,
    });
    let changes: Vec<_> = changes.collect();
    mqtt::apply(connection, &changes).await?;
    Ok((outcomes, changed))
}

/// Applies one write's facts and operations: all of them, or none and the reason.
async fn apply_write(
    connection: &mut WriterConnection,
    write: &Write,
    head: u64,
) -> Result<Outcome, sqlx::Error> {
    let head = head + events_of(write).len() as u64;
    let facts: Vec<_> = events_of(write).iter().filter_map(said).collect();
    let operations = operations(write);
    // An operation refuses before it writes: one alone needs no savepoint.
    let alone = facts.is_empty() && operations.len() == 1;
    if !alone {
        connection.save().await?;
    }
    devices::merge(connection.inner(), &facts).await?;
    for operation in operations {
        match apply(connection.inner(), operation, head).await {
            Ok(()) => {}
            Err(Fault::Refused(reason)) => {
                if !alone {
                    connection.undo().await?;
                }
                return Ok(Err(reason));
            }
            Err(Fault::Store(error)) => return Err(error),
        }
    }
    if !alone {
        connection.keep().await?;
    }
    Ok(Ok(()))
}

fn events_of(write: &Write) -> &[Event] {
    match write {
        Write::Append { events, .. } => events,
        Write::Transact(_) => &[],
    }
}

fn operations(write: &Write) -> &[Operation] {
    match write {
        Write::Append { operations, .. } | Write::Transact(operations) => operations,
    }
}

fn said(event: &Event) -> Option<Said<'_>> {
    let facts = event.facts.as_deref()?;
    Some(Said { tenant: &event.tenant, device: &event.device, facts, at: event.time })
}

/// Removes old events; `announce` is told how far before the rows go.
pub(super) async fn trim(
    connection: &mut WriterConnection,
    to: u64,
    older_than: Timestamp,
    rows_max: usize,
    announce: impl Fn(u64),
) -> Result<u64, sqlx::Error> {
    let outcome = try_trim(connection, to, older_than, rows_max, announce).await;
    if outcome.is_err() {
        connection.roll_back().await;
    }
    outcome
}

async fn try_trim(
    connection: &mut WriterConnection,
    to: u64,
    older_than: Timestamp,
    rows_max: usize,
    announce: impl Fn(u64),
) -> Result<u64, sqlx::Error> {
    /// Events to a page, about, when they are removed: what the log then takes.
    const EVENTS_PER_PAGE: u64 = 4;
    let trimmed = connection.trimmed();
    if to <= trimmed {
        return Ok(0);
    }
    connection.begin().await?;
    let end = events::trimmable(connection.inner(), trimmed, to, older_than, rows_max).await?;
    if end <= trimmed {
        connection.roll_back().await;
        return Ok(0);
    }
    announce(end);
    events::trim(connection.inner(), end).await?;
    let removed = end - trimmed;
    connection.commit(connection.head(), removed / EVENTS_PER_PAGE + PAGES_PER_COMMIT).await?;
    connection.set_trimmed(end);
    Ok(removed)
}

/// Removes old commands that are at their end.
pub(super) async fn trim_commands(
    connection: &mut WriterConnection,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    let outcome = try_trim_commands(connection, older_than, rows_max).await;
    if outcome.is_err() {
        connection.roll_back().await;
    }
    outcome
}

async fn try_trim_commands(
    connection: &mut WriterConnection,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    /// Pages that a removed command touches at the most: of its device's and of its key's index.
    /// Those of the table and of the index by time are its neighbours' as well.
    const PAGES_PER_COMMAND: u64 = 2;
    connection.begin().await?;
    let removed = commands::trim(connection.inner(), older_than, rows_max).await?;
    if removed == 0 {
        connection.roll_back().await;
        return Ok(0);
    }
    connection.commit(connection.head(), removed * PAGES_PER_COMMAND + PAGES_PER_COMMIT).await?;
    Ok(removed)
}

/// Removes what is old.
pub(super) async fn remove_old(
    connection: &mut WriterConnection,
    what: Old,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    let outcome = try_remove_old(connection, what, older_than, rows_max).await;
    if outcome.is_err() {
        connection.roll_back().await;
    }
    outcome
}

async fn try_remove_old(
    connection: &mut WriterConnection,
    what: Old,
    older_than: Timestamp,
    rows_max: usize,
) -> Result<u64, sqlx::Error> {
    /// Pages that a removed row touches at the most: a payment's are its own, its steps', and those of
    /// the indexes by key, prompt, receipt and state.
    const PAGES_PER_ROW: u64 = 8;
    connection.begin().await?;
    let removed = old::remove(connection.inner(), what, older_than, rows_max).await?;
    if removed == 0 {
        connection.roll_back().await;
        return Ok(0);
    }
    connection.commit(connection.head(), removed * PAGES_PER_ROW + PAGES_PER_COMMIT).await?;
    Ok(removed)
}
