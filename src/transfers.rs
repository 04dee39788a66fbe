//! Files both ways: images that devices fetch, and what they send.
//!
//! The bytes lie under the data directory, what is known of them in the store; the catalogue of
//! images is in memory, so that offering one to a device reads nothing. A device is given an address
//! that is signed for it, its command and one content, and that ends ([`firmware::Ticket`]).

mod gate;
mod metrics;
mod receive;
mod sealed;
mod send;
mod shelf;
#[cfg(test)]
mod tests;

pub(crate) use self::gate::Transfer;
pub(crate) use self::metrics::Direction;
pub(crate) use self::receive::{Limits, ReceiveError, receive};
pub(crate) use self::send::FileBody;
pub(crate) use self::shelf::{Incoming, Received};

use self::gate::Gate;
use self::metrics::Metrics;
use self::send::Paces;
use self::shelf::Shelf;
use crate::api::Mirror;
use crate::clock::Clock;
use crate::files::FileError;
use crate::pipeline::Pipeline;
use crate::secrets::Vault;
use crate::shutdown::Stage;
use crate::store::{ImageRow, Operation, ReadError, Store, UploadRow, Uploads, WriteError, Writer};
use cwmp::{FileAddress, SupportedFile};
use firmware::{FileType, Image, ImageName, Pace, Purpose, Ticket, TicketError, TicketKey};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use model::{CommandId, DeviceId, Event, EventType, Json, Redacted, Tenant};
use parking_lot::RwLock;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tracing::{error, info, warn};

/// How often it is looked for uploads that are kept long enough.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Uploads that are looked at or removed in one step.
const STEP_MAX: usize = 500;

/// Bounds of transfers; `[firmware]` and `[files]` of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct TransferOptions {
    /// Largest image.
    pub image_max: u64,
    /// Most disk for images.
    pub image_quota: u64,
    /// Most bytes a second to all devices; 0 is no limit.
    pub bandwidth: u64,
    /// Most bytes a second to one.
    pub transfer_bandwidth: u64,
    /// Most downloads at once.
    pub downloads_max: usize,
    /// How long an address is good.
    pub link_valid: Duration,
    /// Largest upload.
    pub upload_max: u64,
    /// Most disk for uploads.
    pub upload_quota: u64,
    /// Most uploads of one device that are kept.
    pub uploads_per_device: usize,
    /// How long they are kept.
    pub uploads_retain: Duration,
    /// Most uploads on their way at once.
    pub uploads_max: usize,
    /// Longest time in which a sender brings hardly anything.
    pub idle_timeout: Duration,
}

impl From<&config::Config> for TransferOptions {
    fn from(config: &config::Config) -> Self {
        let (firmware, files) = (&config.firmware, &config.files);
        Self {
            image_max: firmware.image_max.get(),
            image_quota: firmware.quota.get(),
            bandwidth: firmware.bandwidth.get(),
            transfer_bandwidth: firmware.transfer_bandwidth.get(),
            downloads_max: firmware.transfers_max.as_usize(),
            link_valid: firmware.link_valid.get(),
            upload_max: files.upload_max.get(),
            upload_quota: files.quota.get(),
            uploads_per_device: files.uploads_per_device.as_usize(),
            uploads_retain: files.uploads_retain.get(),
            uploads_max: files.uploads_max.as_usize(),
            idle_timeout: files.idle_timeout.get(),
        }
    }
}

/// Why a device is not given an address. The text is for the operator: the command's cause.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TransferError {
    /// The catalogue has no such image.
    #[error("there is no image `{0}` in the catalogue")]
    NoSuchImage(Box<str>),
    /// We do not know how devices reach us.
    #[error("it is not known where devices reach us for files: set `public.url`")]
    NoAddress,
    /// What is asked of a device is no kind of file.
    #[error("{0}")]
    FileType(#[from] firmware::FileTypeError),
}

/// Why a transfer cannot be begun at start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// A folder cannot be made or looked through.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Files both ways. One for the daemon, shared by all.
#[derive(Debug)]
pub struct Transfers {
    key: TicketKey,
    /// How devices reach the public listener; known once it listens.
    base: OnceLock<Box<str>>,
    catalogue: RwLock<BTreeMap<(Tenant, ImageName), Arc<ImageRow>>>,
    images: Arc<Shelf>,
    uploads: Arc<Shelf>,
    downloading: Gate,
    uploading: Gate,
    pace: Option<Arc<Mutex<Pace>>>,
    pub(crate) metrics: Metrics,
    pub(crate) options: TransferOptions,
    parts: Parts,
}

/// What transfers work with.
#[derive(Clone)]
pub struct Parts {
    /// What is known of files.
    pub store: Arc<dyn Store>,
    /// For forgetting what was kept long enough.
    pub writer: Writer,
    /// Seals what devices send, and makes the key of addresses.
    pub vault: Vault,
    /// The time.
    pub clock: Clock,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts(…)")
    }
}

impl Transfers {
    /// Nothing loaded yet; files lie under `data_dir`.
    pub fn new(
        parts: Parts,
        data_dir: &Path,
        options: TransferOptions,
        registry: &prometheus::Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Metrics::new(registry)?;
        let gate = |direction, places| Gate::new(direction, places, metrics.clone());
        let vault = Some(parts.vault.clone());
        Ok(Arc::new(Self {
            key: TicketKey::new(parts.vault.derive("file transfers")),
            base: OnceLock::new(),
            catalogue: RwLock::default(),
            images: Arc::new(Shelf::new(data_dir.join("images"), options.image_quota, None)),
            uploads: Arc::new(Shelf::new(data_dir.join("uploads"), options.upload_quota, vault)),
            downloading: gate(Direction::Download, options.downloads_max),
            uploading: gate(Direction::Upload, options.uploads_max),
            pace: Pace::new(options.bandwidth).map(|pace| Arc::new(Mutex::new(pace))),
            metrics: metrics.clone(),
            options,
            parts,
        }))
    }

    /// Takes stock at start: reads the catalogue, and sweeps what a crash left behind.
    pub async fn load(&self) -> Result<(), LoadError> {
        let rows = self.parts.store.images().await?;
        let images = rows.iter().map(|row| {
            let ImageRow { image, file } = row;
            (image.tenant.clone(), file.clone(), image.bytes)
        });
        let images: Vec<_> = images.collect();
        let mut uploads = Vec::new();
        let mut after = None;
        loop {
            let page = self.parts.store.uploads(&Uploads::Oldest { after }, STEP_MAX).await?;
            after = page.last().map(|last| last.id.clone());
            uploads.extend(page.into_iter().map(|row| (row.tenant, row.id, row.bytes)));
            if after.is_none() {
                break;
            }
        }
        let (image_files, upload_files) = (Arc::clone(&self.images), Arc::clone(&self.uploads));
        let swept = tokio::task::spawn_blocking(move || {
            Ok::<_, FileError>(image_files.open(&images)? + upload_files.open(&uploads)?)
        });
        let swept = swept.await.unwrap_or(Ok(0))?;
        if swept > 0 {
            info!(files = swept, "swept files that a crash left half-way");
        }
        let mut catalogue = self.catalogue.write();
        for row in rows {
            let key = (row.image.tenant.clone(), row.image.name.clone());
            catalogue.insert(key, Arc::new(row));
        }
        Ok(())
    }

    /// Sets how devices reach the public listener, without a slash at its end. The first one stays.
    pub fn set_base(&self, url: &str) {
        let _ = self.base.set(url.into());
    }

    /// How long an address is good when a command does not end earlier (`firmware.link_valid`).
    pub fn link_valid(&self) -> Duration {
        self.options.link_valid
    }

    /// Where a device fetches an image of the catalogue, for one command and for a while. Reads
    /// nothing from disk.
    pub fn offer(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        command: &CommandId,
        image: &str,
        valid: Duration,
    ) -> Result<SupportedFile, TransferError> {
        let row = ImageName::new(image).ok().and_then(|name| self.image(tenant, &name));
        let row = row.ok_or_else(|| TransferError::NoSuchImage(image.into()))?;
        let image = &row.image;
        let base = self.base.get().ok_or(TransferError::NoAddress)?;
        let purpose = Purpose::image(image.name.clone(), image.sha256);
        let token = self.ticket(tenant, device, command, purpose, valid).seal(&self.key);
        let url = format!("{base}/firmware/{token}/{}", image.name);
        Ok(SupportedFile {
            address: address(url),
            file_type: image.file_type.as_str().into(),
            file_bytes: image.bytes,
            target_file_name: image.name.as_str().into(),
        })
    }

    /// Where a device sends a file that a command asks for, by HTTP PUT or POST.
    pub fn inbox(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        command: &CommandId,
        file_type: &str,
        valid: Duration,
    ) -> Result<SupportedFile, TransferError> {
        let file_type = FileType::new(file_type)?;
        let base = self.base.get().ok_or(TransferError::NoAddress)?;
        let purpose = Purpose::Inbox { file_type: file_type.clone() };
        let token = self.ticket(tenant, device, command, purpose, valid).seal(&self.key);
        Ok(SupportedFile {
            address: address(format!("{base}/uploads/{token}")),
            file_type: file_type.as_str().into(),
            ..SupportedFile::default()
        })
    }

    fn ticket(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        command: &CommandId,
        purpose: Purpose,
        valid: Duration,
    ) -> Ticket {
        let now = self.parts.clock.now().wall;
        let valid = SignedDuration::try_from(valid).unwrap_or(SignedDuration::MAX);
        let expires_at = now.checked_add(valid).unwrap_or(Timestamp::MAX);
        let (tenant, device, command) = (tenant.clone(), device.clone(), command.clone());
        Ticket { tenant, device, command, purpose, expires_at }
    }

    /// One image of the catalogue.
    pub fn image(&self, tenant: &Tenant, name: &ImageName) -> Option<Arc<ImageRow>> {
        self.catalogue.read().get(&(tenant.clone(), name.clone())).cloned()
    }

    /// A tenant's images by name, at most `max`, behind `after`.
    pub fn images(&self, tenant: &Tenant, after: Option<&str>, max: usize) -> Vec<Image> {
        let catalogue = self.catalogue.read();
        let of_tenant = catalogue.iter().filter(|((owner, _), _)| owner == tenant);
        let behind =
            of_tenant.filter(|((_, name), _)| after.is_none_or(|after| name.as_str() > after));
        behind.take(max).map(|(_, row)| row.image.clone()).collect()
    }

    /// Begins an image of at most `bytes_max` bytes.
    pub(crate) async fn begin_image(
        &self,
        tenant: &Tenant,
        bytes_max: u64,
    ) -> Result<Incoming, ReceiveError> {
        let id = shelf::new_id(self.parts.clock.now().wall);
        Ok(self.images.begin(tenant, id, bytes_max).await?)
    }

    /// The bytes of an image, for an operator: no limit of devices holds him up.
    pub(crate) async fn image_body(&self, row: &ImageRow) -> Result<FileBody, FileError> {
        let file = self.images.file(&row.image.tenant, &row.file).await?;
        let paces = Paces { all: None, own: None, clock: self.parts.clock };
        Ok(send::plain(file, (0, row.image.bytes), paces, None))
    }

    /// What a token to fetch `name` stands for: the image, if it is still the one that was offered.
    pub(crate) fn open_image(
        &self,
        token: &str,
        name: &str,
    ) -> Result<(Ticket, Option<Arc<ImageRow>>), TicketError> {
        let now = self.parts.clock.now().wall;
        let ticket = Ticket::open_image(token, name, &self.key, now)?;
        let row = ImageName::new(name).ok().and_then(|name| self.image(&ticket.tenant, &name));
        let row = row.filter(|row| ticket.purpose.is_for(row.image.sha256));
        Ok((ticket, row))
    }

    /// Lets a device begin to fetch, or says in a word why not.
    pub(crate) fn begin_download(&self, ticket: &Ticket) -> Result<Transfer, &'static str> {
        self.downloading.enter(&ticket.tenant, &ticket.device)
    }

    /// A part of an image, for a device: within every limit.
    pub(crate) async fn download(
        &self,
        row: &ImageRow,
        span: (u64, u64),
        transfer: Transfer,
    ) -> Result<FileBody, FileError> {
        let file = self.images.file(&row.image.tenant, &row.file).await?;
        let own = Pace::new(self.options.transfer_bandwidth);
        let paces = Paces { all: self.pace.clone(), own, clock: self.parts.clock };
        Ok(send::plain(file, span, paces, Some(transfer)))
    }

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
        let id = shelf::new_id(self.parts.clock.now().wall);
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
    /// removed by someone else, together with its file.
    async fn forget(&self, rows: Vec<UploadRow>) {
        let each = rows.into_iter().map(async |row| {
            let (tenant, id) = (row.tenant.clone(), row.id.clone());
            let remove = vec![Operation::RemoveUpload { tenant, id }];
            match self.parts.writer.transact(remove).await {
                Ok(()) => self.upload_removed(&row),
                Err(WriteError::Refused(_)) => {}
                Err(error) => warn!(%error, "an upload stays for now"),
            }
        });
        join_all(each).await;
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

    async fn expire(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let retain = SignedDuration::try_from(self.options.uploads_retain)?;
        let before = self.parts.clock.now().wall.checked_sub(retain)?;
        loop {
            let rows = self.parts.store.uploads(&Uploads::Oldest { after: None }, STEP_MAX).await?;
            let is_last = rows.len() < STEP_MAX;
            let old = rows.into_iter().filter(|row| row.received_at < before);
            let old: Vec<_> = old.collect();
            let is_done = is_last || old.len() < STEP_MAX;
            self.forget(old).await;
            if is_done {
                return Ok(());
            }
        }
    }

    fn put(&self, row: &ImageRow) {
        let key = (row.image.tenant.clone(), row.image.name.clone());
        let mut catalogue = self.catalogue.write();
        let before = catalogue.get(&key).cloned();
        // As the store does: the same content keeps its file and its time.
        let (row, gone) = match before {
            Some(before) if before.image.sha256 == row.image.sha256 => {
                let created_at = before.image.created_at;
                let image = Image { created_at, ..row.image.clone() };
                let gone = (row.file != before.file).then(|| Arc::new(row.clone()));
                (ImageRow { image, file: before.file.clone() }, gone)
            }
            before => (row.clone(), before),
        };
        catalogue.insert(key, Arc::new(row));
        drop(catalogue);
        if let Some(gone) = gone {
            self.images.remove(&gone.image.tenant, &gone.file, gone.image.bytes);
        }
    }
}

/// What the operator side changes is known once it is on disk.
impl Mirror for Transfers {
    fn committed(&self, operation: &Operation) {
        match operation {
            Operation::PutImage { row, .. } => self.put(row),
            Operation::RemoveImage { tenant, name } => {
                let key = (tenant.clone(), name.clone());
                let gone = self.catalogue.write().remove(&key);
                match gone {
                    Some(row) => self.images.remove(tenant, &row.file, row.image.bytes),
                    None => error!(image = %name, "removed an image that was not known"),
                }
            }
            _ => {}
        }
    }
}

fn address(url: String) -> FileAddress {
    let url = Redacted(url.into_boxed_str());
    FileAddress { url, ..FileAddress::default() }
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
