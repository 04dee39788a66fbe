//! Fleets of clients from flags: who they are and where they stand in the ledger.

use super::Error;
use crate::args::{Common, MqttWay};
use crate::backend::{Backend, Faults, Secret};
use crate::board::{Version, Way};
use crate::cpe::{Device, Door, Doors};
use crate::http::Tls;
use crate::ledger::{Ledger, LedgerFile};
use crate::tree::Model;
use crate::world::{World, read_line};
use model::DeviceId;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The subjects of a run, before its world exists: a client's place is where it was added.
#[derive(Debug, Default)]
pub(super) struct Roll {
    subjects: Vec<String>,
}

impl Roll {
    /// Their names, by place.
    pub(super) fn subjects(&self) -> &[String] {
        &self.subjects
    }

    /// Adds one client. Returns its place.
    pub(super) fn add(&mut self, subject: String) -> u32 {
        let at = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        self.subjects.push(subject);
        at
    }

    /// Adds a router. Returns its place.
    pub(super) fn add_device(&mut self, device: &Device) -> u32 {
        let identity = device.identity();
        let id = DeviceId::cwmp(&identity.oui, &identity.product_class, &identity.serial);
        self.add(id.map(|id| id.as_str().to_owned()).unwrap_or_default())
    }

    /// Adds a board. Returns its place and its client id.
    pub(super) fn add_board(&mut self, fleet: &str, index: u32) -> (u32, String) {
        let client_id = format!("{fleet}B{index:07}");
        (self.add(format!("mqtt:{client_id}")), client_id)
    }

    /// Adds a phone. Returns its place and its number, of a range that no operator has.
    pub(super) fn add_phone(&mut self, index: u32) -> (u32, String) {
        let number = format!("+2547990{index:06}");
        (self.add(format!("msisdn:{number}")), number)
    }

    /// The world of these clients.
    pub(super) fn world(self, common: &Common) -> Result<Arc<World>, Error> {
        let file = common.ledger.as_deref().map(LedgerFile::create).transpose();
        let file = file.map_err(|source| Error::Open { what: "the ledger", source })?;
        Ok(World::new(common, Ledger::new(run_number(), self.subjects, file)))
    }
}

/// Differs between runs, so that what an earlier run left is not taken for ours.
pub(super) fn run_number() -> u32 {
    let mut hasher = DefaultHasher::new();
    SystemTime::now().hash(&mut hasher);
    std::process::id().hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or(0)
}

/// Opens the backend, unless there is to be none. It ends with `end`.
pub(super) async fn backend(
    common: &Common,
    world: &Arc<World>,
    end: &CancellationToken,
) -> Result<(), Error> {
    if common.backend.no_backend {
        return Ok(());
    }
    let file = common.backend.webhook_secret_file.clone();
    let file = file.or_else(|| common.data_dir.as_ref().map(|dir| dir.join(SECRET_FILE)));
    let secret = match file {
        None => None,
        Some(file) => {
            let text = read_line(&file)
                .map_err(|source| Error::Open { what: "the webhook's secret", source })?;
            Some(Secret::read(&text).ok_or(Error::Secret)?)
        }
    };
    let faults = Faults::new(&common.backend, Instant::now());
    Backend::start(world, secret, faults, end.clone())
        .await
        .map_err(|source| Error::Open { what: "the backend's port", source })
}

/// Where `config` puts the webhook's secret, in the data directory.
pub(super) const SECRET_FILE: &str = "loadtest.secret";

/// User name and password of devices without their own.
pub(super) fn enrolment(world: &World) -> Option<(String, String)> {
    world.secrets.enrolment.clone().map(|secret| (String::from("enrol"), secret))
}

/// How boards connect that have nothing else to say: 3.1.1, no TLS, the enrolment secret.
pub(super) fn plain_way(world: &World) -> Arc<Way> {
    Arc::new(Way {
        to: world.targets.mqtt,
        tls: None,
        version: Version::default(),
        credentials: enrolment(world),
    })
}

/// How boards connect, as the flags say; where these say nothing of credentials, with the enrolment
/// secret, or none.
pub(super) fn way(world: &World, args: &MqttWay) -> Result<Way, Error> {
    let credentials = match (&args.user, &args.password) {
        (None, None) => enrolment(world),
        (user, password) => {
            Some((user.clone().unwrap_or_default(), password.clone().unwrap_or_default()))
        }
    };
    let targets = &world.targets;
    Ok(Way {
        to: if args.tls { targets.mqtt_tls } else { targets.mqtt },
        tls: args.tls.then(Tls::new).transpose()?,
        version: args.mqtt_version.unwrap_or_default(),
        credentials,
    })
}

/// Files that this program needs beside a socket for each client.
const OTHER_FILES: usize = 200;

/// Says that not all could be there at once.
pub(super) fn few_sockets(room: usize, wanted: usize) -> String {
    let needed = wanted + OTHER_FILES;
    format!(
        "only {room} at once: this program may open no more files (ulimit -n {needed} would do, for \
         the daemon too)"
    )
}

/// Sockets that this program may have open: what `ulimit -n` says, without what it needs beside.
pub(super) fn sockets_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    files.map_or(Semaphore::MAX_PERMITS, |files| files.saturating_sub(OTHER_FILES).max(1))
}

/// Routers of several models in turn, with their doors; where there is none to be, they name no URL
/// to be woken at.
pub(super) async fn routers(
    names: &[String],
    count: u32,
    fleet: &str,
    wake_at: Option<SocketAddr>,
    end: &CancellationToken,
) -> Result<Vec<(Device, Arc<Door>)>, Error> {
    let models = names.iter().map(|name| model(name)).collect::<Result<Vec<_>, _>>()?;
    let (at, doors) = match wake_at {
        None => (None, (0..count).map(|_| Arc::default()).collect()),
        Some(at) => {
            let (at, doors) = Doors::open(at, count, run_number(), end.clone())
                .await
                .map_err(|source| Error::Open { what: "the routers' port", source })?;
            (Some(at), doors)
        }
    };
    let routers = doors.into_iter().zip(0..).map(|(door, index)| {
        let model = Arc::clone(&models[index as usize % models.len()]);
        let url = at.map(|at| Doors::url(at, index)).unwrap_or_default();
        (Device::new(model, fleet, index, url), door)
    });
    Ok(routers.collect())
}

/// A data model by its name.
pub(super) fn model(name: &str) -> Result<Arc<Model>, Error> {
    match Model::named(name) {
        Ok(model) => Ok(Arc::new(model)),
        Err(source) => Err(Error::Model { name: name.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_sockets() {
        let room = sockets_max();
        assert!((1..=Semaphore::MAX_PERMITS).contains(&room), "{room}");
    }
}
