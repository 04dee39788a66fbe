//! What is known of devices' data models: read from the store, taught, and kept again.
//!
//! A device's is some 10 KB in the store: encoded ([`DataModel::encode`]), compressed, and sealed,
//! since a value may be a password. None is held in memory: a session that taught much reads, merges
//! and writes once at its end, one that taught little leaves it to be written behind, and one
//! that taught nothing touches none of it. What cannot be kept, because the store is full, is lost
//! without the device noticing: it is asked again.

mod behind;

use self::behind::{Behind, Lessons};

use crate::registry::Registry;
use crate::secrets::Vault;
use crate::store::{Kept, Operation, ReadError, Room, Store, WriteError, Writer};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use model::{DataModel, DeviceId, Observation, Redacted, Tenant};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, exponential_buckets};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinError, spawn_blocking};
use tracing::{debug, warn};

/// How many locks the devices are spread over, so that what one teaches is merged in turn.
const TURNS: usize = 256;
/// Most that are merged and saved at once: with some 10 KB each, and 4 MB at the worst, they must
/// pass neither the memory nor the store's ballast, which a group of writes may use up.
const SAVES_MAX: usize = 64;
/// Most bytes that a stored data model may grow to: its text, and 40 bytes for each entry.
const ENCODED_BYTES_MAX: usize =
    model::data_model::TEXT_BYTES_MAX + 40 * model::data_model::ENTRIES_MAX;
/// What is merged where it stands: a session's few values into a usual device's. More would hold up
/// the other sessions of the thread (20,000 entries take some 25 ms), so it goes to a thread where
/// nobody waits.
const ENTRIES_AT_ONCE_MAX: usize = 2_000;
/// The same of what is read, in bytes: as much as some 4,000 parameters take.
const SEALED_AT_ONCE_MAX: usize = 16 * 1024;
/// How hard it is tried: more takes longer than what it saves is worth (benches/data_model.rs).
const LEVEL: u32 = 1;

/// Keeps what is known of devices' data models. Shared as `Arc<DataModels>`.
pub struct DataModels {
    store: Arc<dyn Store>,
    writer: Writer,
    registry: Arc<Registry>,
    vault: Vault,
    hasher: RandomState,
    turns: Box<[Mutex<()>]>,
    saves: Semaphore,
    behind: Behind,
    metrics: Metrics,
}

impl std::fmt::Debug for DataModels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataModels(…)")
    }
}

impl DataModels {
    /// A keeper over the store. Which devices have a data model is read off the registry.
    pub fn new(
        store: Arc<dyn Store>,
        writer: Writer,
        registry: Arc<Registry>,
        vault: Vault,
        metrics: Metrics,
    ) -> Self {
        Self {
            store,
            writer,
            registry,
            vault,
            hasher: RandomState::new(),
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            saves: Semaphore::new(SAVES_MAX),
            behind: Behind::default(),
            metrics,
        }
    }

    /// Whether all that a device has is kept, so that it need not be discovered. From memory: a
    /// steady session asks no store. What a device happened to tell, or a discovery that broke off,
    /// is kept too but is not all.
    pub fn is_kept(&self, tenant: &Tenant, device: &DeviceId) -> bool {
        self.registry.data_model(tenant, device) == Kept::Whole
    }

    /// What is known of a device; `None` when nothing is. One that cannot be read any more (damaged,
    /// or sealed under another key) is as good as none: it is counted, and the device is asked anew.
    pub async fn load(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<DataModel>, ReadError> {
        let kept = self.sealed(tenant, device).await?;
        let waiting = self.behind.waiting(tenant, device);
        let (vault, is_long) = (self.vault.clone(), is_long(kept.as_ref()));
        let told = move || {
            let known = kept.map(|sealed| unpack(&vault, &sealed));
            let is_unreadable = matches!(known, Some(None));
            let mut model = known.flatten();
            if !waiting.is_empty() {
                waiting.teach(model.get_or_insert_default());
            }
            (model, is_unreadable)
        };
        let told = apart(is_long, told).await;
        let (model, is_unreadable) = told.map_err(|error| ReadError::Failed(error.into()))?;
        if is_unreadable {
            self.unreadable(tenant, device);
        }
        Ok(model)
    }

    /// What was read from the store by others; `None` where it cannot be read.
    pub(crate) fn unseal(&self, sealed: &Redacted<Vec<u8>>) -> Option<DataModel> {
        unpack(&self.vault, sealed)
    }

    /// What the store has of a device.
    async fn sealed(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
    ) -> Result<Option<Redacted<Vec<u8>>>, ReadError> {
        match self.registry.data_model(tenant, device) {
            Kept::Nothing => Ok(None),
            Kept::Part | Kept::Whole => self.store.data_model(tenant, device).await,
        }
    }

    fn unreadable(&self, tenant: &Tenant, device: &DeviceId) {
        self.metrics.unreadable.inc();
        warn!(%device, "the kept data model cannot be read, the device will be asked anew");
        self.registry.set_data_model(tenant, device, Kept::Nothing);
    }

    /// Adds what a device taught to what is known of it, and keeps that.
    ///
    /// Those of one device take turns. An error is no fault of the device's: what it taught is lost
    /// and counted here, and will be learnt again.
    pub async fn learn(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        observations: Vec<Observation>,
        at: Timestamp,
    ) -> Result<(), WriteError> {
        if observations.is_empty() {
            return Ok(());
        }
        self.save(Lesson { tenant, device, observations, at, is_whole: false }).await
    }

    /// Takes note of what a device taught in passing: known at once, and written within minutes. Gives
    /// back what is too much for that, to be [learnt](DataModels::learn).
    pub fn note(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        observations: Vec<Observation>,
        at: Timestamp,
    ) -> Option<Vec<Observation>> {
        self.behind.add(tenant, device, observations, at)
    }

    /// Writes what was noted and has waited long enough by `now`; all of it when that is `None`.
    pub async fn write_behind(&self, now: Option<Timestamp>, at: Timestamp) {
        let due = now.map_or_else(|| self.behind.all(), |now| self.behind.due(now));
        let write = |(tenant, device): (Tenant, DeviceId)| async move {
            let lesson = Lesson::nothing(&tenant, &device, at);
            if let Err(error) = self.save(lesson).await {
                debug!(%device, %error, "what was noted of a data model is not written");
            }
        };
        stream::iter(due).for_each_concurrent(SAVES_MAX, write).await;
    }

    /// As [`DataModels::learn`], at the end of a discovery that the device answered to its end: from
    /// now on [`DataModels::is_kept`].
    pub async fn learn_whole(
        &self,
        tenant: &Tenant,
        device: &DeviceId,
        observations: Vec<Observation>,
        at: Timestamp,
    ) -> Result<(), WriteError> {
        self.save(Lesson { tenant, device, observations, at, is_whole: true }).await
    }

    /// Forgets what is known of a device.
    pub async fn forget(&self, tenant: &Tenant, device: &DeviceId) -> Result<(), WriteError> {
        let _turn = self.turn(tenant, device).lock().await;
        self.behind.forget(tenant, device);
        let remove = Operation::RemoveDataModel { tenant: tenant.clone(), device: device.clone() };
        self.writer.transact(vec![remove]).await?;
        self.registry.set_data_model(tenant, device, Kept::Nothing);
        Ok(())
    }

    /// Forgets what was noted of a device and is not written yet.
    pub fn forget_waiting(&self, tenant: &Tenant, device: &DeviceId) {
        self.behind.forget(tenant, device);
    }

    async fn save(&self, lesson: Lesson<'_>) -> Result<(), WriteError> {
        let outcome = self.merge(lesson).await;
        let word = match &outcome {
            Ok(()) => "kept",
            Err(WriteError::Full) => "full",
            Err(WriteError::Closed) => "closed",
            Err(WriteError::Refused(_)) => "refused",
        };
        self.metrics.saves.with_label_values(&[word]).inc();
        outcome
    }

    async fn merge(&self, lesson: Lesson<'_>) -> Result<(), WriteError> {
        let Lesson { tenant, device, observations, at, is_whole } = lesson;
        let _turn = self.turn(tenant, device).lock().await;
        let _permit = self.saves.acquire().await.map_err(|_| WriteError::Closed)?;
        if self.writer.room() == Room::Full {
            return Err(WriteError::Full);
        }
        // What cannot be read now must not be replaced by the little that was just learnt.
        let kept = self.sealed(tenant, device).await.map_err(|error| {
            warn!(%device, %error, "the store cannot be read, what the device taught is lost");
            WriteError::Closed
        })?;
        let weight: usize = observations.iter().map(Observation::weight).sum();
        let is_long = weight > ENTRIES_AT_ONCE_MAX || is_long(kept.as_ref());
        let (vault, noted) = (self.vault.clone(), self.behind.settle(tenant, device));
        let merge = move || merged(&vault, kept.as_ref(), &noted, &observations, at, is_whole);
        let merged = apart(is_long, merge).await.map_err(|_| WriteError::Closed)?;
        if merged.was_unreadable {
            self.unreadable(tenant, device);
        }
        self.metrics.dropped.inc_by(merged.dropped);
        let bytes = u32::try_from(merged.sealed.expose().len()).unwrap_or(u32::MAX);
        let put = Operation::PutDataModel {
            tenant: tenant.clone(),
            device: device.clone(),
            at,
            is_whole: merged.is_whole,
            sealed: merged.sealed,
        };
        let kept = Kept::of(merged.is_whole);
        self.writer.transact(vec![put]).await?;
        self.metrics.bytes.observe(bytes.into());
        self.registry.set_data_model(tenant, device, kept);
        Ok(())
    }

    fn turn(&self, tenant: &Tenant, device: &DeviceId) -> &Mutex<()> {
        let hash = self.hasher.hash_one((tenant.as_str(), device.as_str()));
        let place = usize::try_from(hash % TURNS as u64).unwrap_or(0);
        &self.turns[place]
    }
}

/// What a device taught.
struct Lesson<'a> {
    tenant: &'a Tenant,
    device: &'a DeviceId,
    observations: Vec<Observation>,
    at: Timestamp,
    /// Whether all that it has is known with this.
    is_whole: bool,
}

impl<'a> Lesson<'a> {
    /// Beyond what was noted before.
    fn nothing(tenant: &'a Tenant, device: &'a DeviceId, at: Timestamp) -> Self {
        Self { tenant, device, observations: Vec::new(), at, is_whole: false }
    }
}

/// What comes of merging.
struct Merged {
    sealed: Redacted<Vec<u8>>,
    is_whole: bool,
    dropped: u64,
    /// Whether what was kept could not be read, and is lost.
    was_unreadable: bool,
}

fn merged(
    vault: &Vault,
    kept: Option<&Redacted<Vec<u8>>>,
    noted: &Lessons,
    observations: &[Observation],
    at: Timestamp,
    is_whole: bool,
) -> Merged {
    let known = kept.map(|sealed| unpack(vault, sealed));
    let was_unreadable = matches!(known, Some(None));
    let mut model = known.flatten().unwrap_or_default();
    noted.teach(&mut model);
    for observation in observations {
        model.learn(observation, at);
    }
    if is_whole {
        model.set_whole();
    }
    let sealed = vault.seal(&compress(&model.encode()));
    Merged { sealed, is_whole: model.is_whole(), dropped: model.dropped(), was_unreadable }
}

fn unpack(vault: &Vault, sealed: &Redacted<Vec<u8>>) -> Option<DataModel> {
    let packed = vault.open(sealed.expose())?;
    DataModel::decode(&expand(packed.expose())?).ok()
}

fn is_long(kept: Option<&Redacted<Vec<u8>>>) -> bool {
    kept.is_some_and(|sealed| sealed.expose().len() > SEALED_AT_ONCE_MAX)
}

/// Does long work on a thread for it, and short work at once. Fails while the process stops.
async fn apart<T: Send + 'static>(
    is_long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if is_long { spawn_blocking(work).await } else { Ok(work()) }
}

/// Makes bytes fewer.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    let out = Vec::with_capacity(bytes.len() / 3);
    let mut encoder = DeflateEncoder::new(out, Compression::new(LEVEL));
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.expect("writing to memory does not fail")
}

fn expand(packed: &[u8]) -> Option<Vec<u8>> {
    expand_to(packed, ENCODED_BYTES_MAX)
}

/// What was [compressed](compress), where that is at most `bytes_max`.
pub(crate) fn expand_to(packed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(packed.len() * 4);
    let limit = u64::try_from(bytes_max).ok()?;
    DeflateDecoder::new(packed).take(limit + 1).read_to_end(&mut out).ok()?;
    (out.len() <= bytes_max).then_some(out)
}

/// What is counted of data models.
#[derive(Clone, Debug)]
pub struct Metrics {
    saves: IntCounterVec,
    bytes: Histogram,
    dropped: IntCounter,
    unreadable: IntCounter,
}

impl Metrics {
    /// Declares them in `registry`.
    pub fn new(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        let saves = IntCounterVec::new(
            Opts::new(
                "lastmile_data_model_saves_total",
                "Times that what a device taught was to be kept, by outcome: kept, full, refused \
                 or closed.",
            ),
            &["outcome"],
        )?;
        // 256 bytes to 4 MiB: from an Inform's parameters to the most that is taken.
        let buckets = exponential_buckets(256.0, 2.0, 15)?;
        let bytes = Histogram::with_opts(
            HistogramOpts::new(
                "lastmile_data_model_bytes",
                "Bytes that a device's data model takes in the store, of those that were saved.",
            )
            .buckets(buckets),
        )?;
        let dropped = IntCounter::new(
            "lastmile_data_model_dropped_total",
            "Names, values, types and access lists that went over a bound and were not kept.",
        )?;
        let unreadable = IntCounter::new(
            "lastmile_data_model_unreadable_total",
            "Kept data models that could not be read: damaged, or sealed under another key.",
        )?;
        registry.register(Box::new(saves.clone()))?;
        registry.register(Box::new(bytes.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(unreadable.clone()))?;
        Ok(Self { saves, bytes, dropped, unreadable })
    }
}

#[cfg(test)]
mod tests;
