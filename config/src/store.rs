//! `[store]`, `[events]`, `[log]`, `[shutdown]`: what the process keeps and says.

use crate::bounded::{Bounded, DAY, GIB, MIB, Period, SECOND, Size, TIB};
use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::section::{section, words};
use std::path::PathBuf;

/// Where the store is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreUrl {
    /// A file of SQLite.
    Sqlite(PathBuf),
}

impl Value for StoreUrl {
    fn describe() -> String {
        "`sqlite:` and a path".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text =
            reader.text(node, "a store's URL such as \"sqlite:/var/lib/lastmile/store.db\"")?;
        if ["postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme)) {
            let message = "PostgreSQL is not yet available: leave the key out for SQLite";
            return reader.refuse(node, Cause::Value, message.to_owned());
        }
        // A question mark would begin options, which would undo what the store relies on.
        match text.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() && !path.contains(['?', '#', '\0']) => {
                Some(Self::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path))))
            }
            _ => reader.refuse(node, Cause::Value, "must be \"sqlite:\" and a path".to_owned()),
        }
    }
}

section! {
    /// What is kept on disk before a device hears its answer.
    Store "[store]" "store." {
        /// Where: `sqlite:` and a path. `store.db` under `data_dir` by default.
        restart url: Option<StoreUrl> = none,
        /// Most disk for everything that waits or is retained. When it is reached, new work is refused
        /// in each protocol's own words while delivery goes on. 8 GiB are some 16 million events: a day
        /// without the backend at 200 a second.
        restart quota: Size<{ 16 * MIB }, { 64 * TIB }> = "8 GiB",
        /// A file with the key that seals secrets in the store, 32 bytes. Made as `store.key` in
        /// `data_dir` at first start by default; better a credential of systemd, so that a copy of the
        /// disk is worthless.
        restart key_file: Option<PathBuf> = none,
        /// Most writes in one transaction. More does not become faster, and all of them wait for its
        /// end.
        restart batch_max: Bounded<1, 100_000> = 2000,
        /// Most writes that wait for the writer. Beyond it sockets are not read. At 20,000 a second it
        /// is under a second of work.
        restart queue_max: Bounded<1, 1_000_000> = 16_384,
        /// Most memory for the newest events, so that a sink which keeps up does not read them back from the
        /// disk. 16 MiB are some 50,000 events.
        restart tail: Size<MIB, { 4 * GIB }> = "16 MiB",
        /// Most devices. Each costs some 1 KB of memory; whoever has the enrolment secret could else
        /// invent devices until there is none left.
        restart devices_max: Bounded<1, 100_000_000> = 2_000_000,
    }
}

section! {
    /// What is an event, and how long it stays.
    Events "[events]" "events." {
        /// How long delivered events stay for resumption and replay; less where the quota is reached.
        /// 72 h outlast a weekend.
        restart retain: Period<SECOND, { 3650 * DAY }> = "72h",
        /// Whether a periodic Inform without news is an event. Off: it says nothing but "still here",
        /// which the registry knows without a write to the disk.
        restart informs: bool = false,
        /// Whether a board's coming and going are events.
        restart presence: bool = true,
    }
}

words! {
    /// From which weight on something is logged.
    LogLevel {
        /// What needs someone now.
        Error = "error",
        /// What needs someone soon.
        Warn = "warn",
        /// What an operator wants to have seen.
        Info = "info",
        /// What a session does.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}

words! {
    /// How a line of the log looks.
    LogFormat {
        /// For people.
        Text = "text",
        /// For programs: one JSON object a line.
        Json = "json",
    }
}

section! {
    /// What is logged, to standard error.
    Log "[log]" "log." {
        /// From which weight on. Libraries never log below `info`.
        live level: LogLevel = "info",
        /// For people or for programs.
        restart format: LogFormat = "text",
    }
}

section! {
    /// How the daemon stops.
    Shutdown "[shutdown]" "shutdown." {
        /// How long sessions may end and events may be delivered after SIGTERM. What is not delivered
        /// by then is on disk and goes out after the next start. Half of it is for calls under way, such
        /// as that for a payment's prompt. At most 80 s, under systemd's own limit in the shipped unit.
        restart grace: Period<0, { 80 * SECOND }> = "20s",
    }
}
