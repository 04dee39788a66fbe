//! What devices send: taken in by a ticket, kept with its event, and forgotten in time.

use super::{FileBody, Incoming, ReceiveError, Received, Transfer, Transfers, send};
use crate::clock;
use crate::files::FileError;
use crate::pipeline::Pipeline;
use crate::shutdown::Stage;
use crate::store::{Operation, UploadRow, Uploads, WriteError};
use firmware::{FileType, Purpose, Ticket, TicketError};
use futures_util::future::join_all;
use jiff::SignedDuration;
use model::{CommandId, DeviceId, Event, EventType, Json, Tenant};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How often it is looked for uploads that are kept long enough.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Uploads that are looked at or removed in one step.
pub(super) const STEP_MAX: usize = 500;

impl Transfers {
    /// What a token to send stands for.
    pub(crate) fn open_inbox(&self, token: &str) -> Result<Ticket, TicketError> {
        Ticket::open_inbox(token, &self.key, self.parts.clock.now().wall)
    }

    /// Lets a device begin to send, or says in a word why not.
    pub(crate) fn begin_upload(&self, ticket: &Ticket) -> Result<Transfer, &'static str> {
        self.uploading.enter(&ticket.tenant, &ticket.device)
    }

    /// Begins a device's file of at most `bytes_max` bytes.
    pub(crate) async fn begin_inbox(
        &self,
        ticket: &Ticket,
        bytes_max: u64,
    ) -> Result<Incoming, ReceiveError> {
        let id = clock::new_name(self.parts.clock.now().wall);
        Ok(self.uploads.begin(&ticket.tenant, id, bytes_max).await?)
    }

    /// Keeps what a device sent, with the event that tells of it; the device's oldest files go. When
    /// this returns `Ok` it is on disk and the device may be answered.
    pub(crate) async fn keep_upload(
        &self,
        pipeline: &Pipeline,
        ticket: Ticket,
        name: Box<str>,
        received: Received,
    ) -> Result<(), WriteError> {
        let Purpose::Inbox { file_type } = ticket.purpose else { return Err(WriteError::Closed) };
        let row = UploadRow {
            id: received.id.clone(),
            tenant: ticket.tenant,
            device: ticket.device,
            command: ticket.command,
            file_type,
            name,
            bytes: received.bytes,
            sha256: received.sha256,
            received_at: self.parts.clock.now().wall,
        };
        let operations = vec![Operation::PutUpload(row.clone())];
        let kept = pipeline.append(upload_received(&row), operations).await;
        // Where the daemon stops in between it may be kept: the next start knows.
        if matches!(kept, Ok(()) | Err(WriteError::Closed)) {
            received.keep();
        }
        kept?;
        // What goes meanwhile is not waited for by anyone: the next upload would see to it, too.
        self.forget(self.surplus_of(&row.tenant, &row.device).await).await;
        Ok(())
    }

    /// A device's oldest files, beyond those that are kept.
    async fn surplus_of(&self, tenant: &Tenant, device: &DeviceId) -> Vec<UploadRow> {
        let (tenant, device) = (tenant.clone(), device.clone());
        let of_device = Uploads::Of { tenant, device, before: None };
        // Many go only once the bound was lowered; the next upload takes what is left.
        match self.parts.store.uploads(&of_device, STEP_MAX).await {
            Ok(rows) => rows.into_iter().skip(self.options.uploads_per_device).collect(),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "old uploads were not looked for");
                Vec::new()
            }
        }
    }

    /// The bytes of an upload.
    pub(crate) async fn upload_body(&self, row: &UploadRow) -> Result<FileBody, FileError> {
        Ok(send::unsealed(self.uploads.unseal(&row.tenant, &row.id).await?))
    }

    /// Removes the file of an upload that the store no longer knows.
    pub(crate) fn upload_removed(&self, row: &UploadRow) {
        self.uploads.remove(&row.tenant, &row.id, row.bytes);
    }

    /// Forgets uploads and removes their files. Each by itself: whose row is gone already was
    /// removed by someone else, together with its file. Says whether all are gone.
    async fn forget(&self, rows: Vec<UploadRow>) -> bool {
        let each = rows.into_iter().map(async |row| {
            let (tenant, id) = (row.tenant.clone(), row.id.clone());
            let remove = vec![Operation::RemoveUpload { tenant, id }];
            match self.parts.writer.transact(remove).await {
                Ok(()) => self.upload_removed(&row),
                Err(WriteError::Refused(_)) => {}
                Err(error) => {
                    warn!(%error, "an upload stays for now");
                    return false;
                }
            }
            true
        });
        join_all(each).await.into_iter().all(|gone| gone)
    }

    /// Removes what was kept long enough, until the stage stops.
    pub async fn keep_house(self: Arc<Self>, stage: Stage) {
        let mut tick = tokio::time::interval(HOUSEKEEPING);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stage.stop().cancelled() => return,
            }
            if let Err(error) = self.expire().await {
                warn!(error = &*error, "old uploads stay for now");
            }
        }
    }

    pub(super) async fn expire(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let retain = SignedDuration::try_from(self.options.uploads_retain)?;
        let before = self.parts.clock.now().wall.checked_sub(retain)?;
        loop {
            let rows = self.parts.store.uploads(&Uploads::Oldest { after: None }, STEP_MAX).await?;
            let is_last = rows.len() < STEP_MAX;
            let old = rows.into_iter().filter(|row| row.received_at < before);
            let old: Vec<_> = old.collect();
            let is_done = is_last || old.len() < STEP_MAX;
            let all_gone = self.forget(old).await;
            if is_done || !all_gone {
                return Ok(());
            }
        }
    }
}

/// The event that tells of an upload.
fn upload_received(row: &UploadRow) -> Event {
    #[derive(Serialize)]
    struct Data<'a> {
        id: &'a str,
        command: &'a CommandId,
        file_type: &'a FileType,
        name: &'a str,
        bytes: u64,
        sha256: firmware::Sha256,
    }
    let data = Data {
        id: &row.id,
        command: &row.command,
        file_type: &row.file_type,
        name: &row.name,
        bytes: row.bytes,
        sha256: row.sha256,
    };
    Event {
        tenant: row.tenant.clone(),
        device: row.device.clone(),
        kind: EventType::UPLOAD_RECEIVED,
        time: row.received_at,
        data: Json::of(&data),
        facts: None,
    }
}
