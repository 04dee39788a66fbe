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
mod uploads;

pub(crate) use self::gate::Transfer;
pub(crate) use self::metrics::Direction;
pub(crate) use self::receive::{Limits, ReceiveError, receive};
pub(crate) use self::send::FileBody;
pub(crate) use self::shelf::{Incoming, Received};

use self::gate::Gate;
use self::metrics::Metrics;
use self::send::Paces;
use self::shelf::Shelf;
use self::uploads::STEP_MAX;
use crate::api::Mirror;
use crate::clock::{self, Clock};
use crate::files::FileError;
use crate::secrets::Vault;
use crate::store::{ImageRow, Operation, ReadError, Store, Uploads, Writer};
use cwmp::{FileAddress, SupportedFile};
use firmware::{FileType, Image, ImageName, Pace, Purpose, Sha256, Ticket, TicketError, TicketKey};
use jiff::{SignedDuration, Timestamp};
use model::{CommandId, DeviceId, Redacted, Tenant};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tracing::{error, info};

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
    /// We do not know how devices reach us: nobody says, and the device named no host of ours.
    #[error("it is not known where the device reaches us for files: set `public.url`")]
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
    base: OnceLock<Base>,
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

/// How devices reach the public listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Base {
    /// At this address, without a slash at its end.
    Url(Box<str>),
    /// At the host at which a device calls us, at this port: nobody said where.
    Called(u16),
}

impl Base {
    /// As one device reaches it, which called us at `host`.
    fn url(&self, host: Option<&str>) -> Option<String> {
        match self {
            Self::Url(url) => Some(url.to_string()),
            Self::Called(port) => host.map(|host| format!("http://{host}:{port}")),
        }
    }
}

/// For whom an address is.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// The device.
    pub device: &'a DeviceId,
    /// What it is to do.
    pub command: &'a CommandId,
    /// The host at which it called us, with the brackets of an IPv6 address, where it said.
    pub called_at: Option<&'a str>,
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

    /// Sets how devices reach the public listener. The first one stays.
    pub fn set_base(&self, base: Base) {
        let _ = self.base.set(base);
    }

    fn base(&self, to: Recipient<'_>) -> Result<String, TransferError> {
        let base = self.base.get().and_then(|base| base.url(to.called_at));
        base.ok_or(TransferError::NoAddress)
    }

    /// How long an address is good when a command does not end earlier (`firmware.link_valid`).
    pub fn link_valid(&self) -> Duration {
        self.options.link_valid
    }

    /// Where a device fetches an image of the catalogue, for one command and for a while. Reads
    /// nothing from disk.
    pub fn offer(
        &self,
        to: Recipient<'_>,
        image: &str,
        valid: Duration,
    ) -> Result<SupportedFile, TransferError> {
        let row = ImageName::new(image).ok().and_then(|name| self.image(to.tenant, &name));
        let row = row.ok_or_else(|| TransferError::NoSuchImage(image.into()))?;
        let image = &row.image;
        let base = self.base(to)?;
        let purpose = Purpose::image(image.name.clone(), image.sha256);
        let token = self.ticket(to, purpose, valid).seal(&self.key);
        let url = format!("{base}/firmware/{token}/{}", image.name);
        Ok(SupportedFile {
            address: address(url),
            file_type: image.file_type.as_str().into(),
            file_bytes: image.bytes,
            target_file_name: image.name.as_str().into(),
        })
    }

    /// Where a board fetches an image that it asked for: a path alone where nobody says how it reaches
    /// us.
    pub fn address_of(&self, to: Recipient<'_>, image: &Image, valid: Duration) -> String {
        let purpose = Purpose::image(image.name.clone(), image.sha256);
        let token = self.ticket(to, purpose, valid.min(self.options.link_valid)).seal(&self.key);
        let base = self.base(to).unwrap_or_default();
        format!("{base}/firmware/{token}/{}", image.name)
    }

    /// The right of a board that has signed in to an image that it may fetch.
    pub(crate) fn own_ticket(&self, to: Recipient<'_>, image: &Image) -> Ticket {
        let purpose = Purpose::image(image.name.clone(), image.sha256);
        self.ticket(to, purpose, self.options.link_valid)
    }

    /// Where a device sends a file that a command asks for, by HTTP PUT or POST.
    pub fn inbox(
        &self,
        to: Recipient<'_>,
        file_type: &str,
        valid: Duration,
    ) -> Result<SupportedFile, TransferError> {
        let file_type = FileType::new(file_type)?;
        let base = self.base(to)?;
        let purpose = Purpose::Inbox { file_type: file_type.clone() };
        let token = self.ticket(to, purpose, valid).seal(&self.key);
        Ok(SupportedFile {
            address: address(format!("{base}/uploads/{token}")),
            file_type: file_type.as_str().into(),
            ..SupportedFile::default()
        })
    }

    fn ticket(&self, to: Recipient<'_>, purpose: Purpose, valid: Duration) -> Ticket {
        let now = self.parts.clock.now().wall;
        let valid = SignedDuration::try_from(valid).unwrap_or(SignedDuration::MAX);
        let expires_at = now.checked_add(valid).unwrap_or(Timestamp::MAX);
        let Recipient { tenant, device, command, called_at: _ } = to;
        let (tenant, device, command) = (tenant.clone(), device.clone(), command.clone());
        Ticket { tenant, device, command, purpose, expires_at }
    }

    /// One image of the catalogue.
    pub fn image(&self, tenant: &Tenant, name: &ImageName) -> Option<Arc<ImageRow>> {
        self.catalogue.read().get(&(tenant.clone(), name.clone())).cloned()
    }

    /// The image of the catalogue that brings devices of a model to a version. Where there are several
    /// it is the one of that content, where there is one, and else the newest.
    pub fn image_for(
        &self,
        tenant: &Tenant,
        model: &str,
        version: &str,
        sha256: Option<Sha256>,
    ) -> Option<Arc<ImageRow>> {
        let catalogue = self.catalogue.read();
        let is = |label: &Option<firmware::Label>, text: &str| {
            label.as_ref().is_some_and(|it| it.as_str().trim() == text.trim())
        };
        let fits =
            |row: &Arc<ImageRow>| is(&row.image.model, model) && is(&row.image.version, version);
        let of_tenant = catalogue.iter().filter(|((owner, _), _)| owner == tenant);
        let fitting = of_tenant.map(|(_, row)| row).filter(|row| fits(row));
        let is_it = |row: &Arc<ImageRow>| sha256 == Some(row.image.sha256);
        fitting.max_by_key(|row| (is_it(row), row.image.created_at)).cloned()
    }

    /// The image of a group that has a version: the newest, where there are several.
    pub fn image_of_group(
        &self,
        tenant: &Tenant,
        group: &str,
        version: &str,
    ) -> Option<Arc<ImageRow>> {
        let is = |label: &Option<firmware::Label>, text: &str| {
            label.as_ref().is_some_and(|it| it.as_str().trim() == text.trim())
        };
        let catalogue = self.catalogue.read();
        let of_tenant = catalogue.iter().filter(|((owner, _), _)| owner == tenant);
        let fitting = of_tenant
            .map(|(_, row)| row)
            .filter(|row| is(&row.image.group, group) && is(&row.image.version, version));
        fitting.max_by_key(|row| row.image.created_at).cloned()
    }

    /// Whether the bytes of an image are where they should be.
    pub(crate) async fn has_bytes(&self, row: &ImageRow) -> bool {
        self.images.file(&row.image.tenant, &row.file).await.is_ok()
    }

    /// Whether a device is fetching an image at this moment.
    pub fn is_downloading(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        self.downloading.is_inside(tenant, device)
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
        let id = clock::new_name(self.parts.clock.now().wall);
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

    fn put(&self, row: &ImageRow) {
        let key = (row.image.tenant.clone(), row.image.name.clone());
        let mut catalogue = self.catalogue.write();
        let before = catalogue.get(&key).cloned();
        // As the store does: the same content keeps its file and its time.
        let (row, gone) = match before {
            Some(before) if before.image.sha256 == row.image.sha256 => {
                let created_at = before.image.created_at;
                let signature = row.image.signature.or(before.image.signature);
                let image = Image { created_at, signature, ..row.image.clone() };
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
