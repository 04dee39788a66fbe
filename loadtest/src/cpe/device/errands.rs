//! What a router was told to do once its session is over.

use cwmp::{
    Download, DuOperation, DuResult, DuStateChange, FileAddress, QueuedTransfer, Request,
    ScheduleDownload, Upload,
};
use std::time::{Duration, Instant};

/// Something to be done after the session.
#[derive(Clone, Debug)]
pub(crate) enum Errand {
    /// Restart, and say so with that key.
    Restart { command_key: Box<str> },
    /// Forget everything, and begin anew.
    Forget,
    /// Fetch or send a file, and tell how that ended.
    Transfer(Box<Transfer>),
    /// Call, with that key.
    Call { command_key: Box<str> },
    /// Tell what became of software modules.
    Modules(Box<DuStateChange>),
}

/// A file to be fetched or sent.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// Of the call that asked for it.
    pub(crate) command_key: Box<str>,
    /// The event that tells of its end.
    pub(crate) event: &'static str,
    /// What it is.
    pub(crate) file_type: Box<str>,
    /// Where, and how one signs in there.
    pub(crate) address: FileAddress,
    /// Its length; 0 when not said.
    pub(crate) file_bytes: u64,
    /// What to call it.
    pub(crate) target_file_name: Box<str>,
}

impl Transfer {
    /// Whether it is fetched, not sent.
    pub(crate) fn is_download(&self) -> bool {
        self.event != M_UPLOAD
    }
}

const M_DOWNLOAD: &str = "M Download";
const M_SCHEDULE_DOWNLOAD: &str = "M ScheduleDownload";
const M_UPLOAD: &str = "M Upload";

/// Errands and when each is due, in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub(super) struct Errands(Vec<(Instant, Errand)>);

impl Errands {
    /// Notes what a call leaves to be done.
    pub(super) fn note(&mut self, request: &Request) {
        let (delay_s, errand) = match request {
            Request::Reboot { command_key } => {
                (0, Errand::Restart { command_key: command_key.clone() })
            }
            Request::FactoryReset => (0, Errand::Forget),
            Request::Download(it) => (it.delay_s, Errand::Transfer(Box::new(download(it)))),
            Request::ScheduleDownload(it) => {
                let start_s = it.windows.first().map_or(0, |window| window.start_s);
                (start_s, Errand::Transfer(Box::new(scheduled(it))))
            }
            Request::Upload(it) => (it.delay_s, Errand::Transfer(Box::new(upload(it)))),
            Request::ScheduleInform { delay_s, command_key } => {
                (*delay_s, Errand::Call { command_key: command_key.clone() })
            }
            Request::ChangeDuState { operations, command_key } => {
                (0, Errand::Modules(Box::new(changed(operations, command_key))))
            }
            _ => return,
        };
        self.0.push((Instant::now() + Duration::from_secs(delay_s.into()), errand));
    }

    /// Withdraws transfers; whether there was one.
    pub(super) fn cancel(&mut self, command_key: &str) -> bool {
        let before = self.0.len();
        let is_it = |errand: &Errand| matches!(errand, Errand::Transfer(it) if *it.command_key == *command_key);
        self.0.retain(|(_, errand)| !is_it(errand));
        self.0.len() < before
    }

    /// Transfers that have not begun.
    pub(super) fn transfers(&self) -> Vec<QueuedTransfer> {
        let transfers = self.0.iter().filter_map(|(_, errand)| match errand {
            Errand::Transfer(it) => Some(QueuedTransfer {
                command_key: it.command_key.clone(),
                state: 1,
                is_download: Some(it.is_download()),
                file_type: it.file_type.clone(),
                file_bytes: it.file_bytes,
                target_file_name: it.target_file_name.clone(),
            }),
            _ => None,
        });
        transfers.collect()
    }

    /// When the next is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.iter().map(|(due, _)| *due).min()
    }

    /// The next that is due by then.
    pub(super) fn take(&mut self, by: Instant) -> Option<Errand> {
        let due = self.next_due().filter(|due| *due <= by)?;
        let at = self.0.iter().position(|(it, _)| *it == due)?;
        Some(self.0.remove(at).1)
    }
}

fn download(it: &Download) -> Transfer {
    Transfer {
        command_key: it.command_key.clone(),
        event: M_DOWNLOAD,
        file_type: it.file_type.clone(),
        address: it.address.clone(),
        file_bytes: it.file_bytes,
        target_file_name: it.target_file_name.clone(),
    }
}

fn scheduled(it: &ScheduleDownload) -> Transfer {
    Transfer {
        command_key: it.command_key.clone(),
        event: M_SCHEDULE_DOWNLOAD,
        file_type: it.file_type.clone(),
        address: it.address.clone(),
        file_bytes: it.file_bytes,
        target_file_name: it.target_file_name.clone(),
    }
}

fn upload(it: &Upload) -> Transfer {
    Transfer {
        command_key: it.command_key.clone(),
        event: M_UPLOAD,
        file_type: it.file_type.clone(),
        address: it.address.clone(),
        file_bytes: 0,
        target_file_name: Box::default(),
    }
}

/// Every operation succeeds at once; the file of an installation is not looked at.
fn changed(operations: &[DuOperation], command_key: &str) -> DuStateChange {
    let results = operations.iter().map(|operation| {
        let (uuid, version, state) = match operation {
            DuOperation::Install { uuid, .. } => (uuid.clone(), "1.0".into(), "Installed"),
            DuOperation::Update { uuid, version, .. } => {
                (uuid.clone(), version.clone(), "Installed")
            }
            DuOperation::Uninstall { uuid, version, .. } => {
                (uuid.clone(), version.clone(), "Uninstalled")
            }
        };
        DuResult { uuid, version, state: state.into(), resolved: true, ..DuResult::default() }
    });
    DuStateChange { results: results.collect(), command_key: command_key.into() }
}
