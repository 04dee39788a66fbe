//! USSD services as they stand: menus and phrases read from the binary and from folders, URL secrets,
//! networks.
//!
//! Read at start and again on SIGHUP; running dialogues keep the menu they began with.

mod book;
mod sources;

pub use self::book::{Book, Prepared, Reread};

use crate::doors::{Door, DoorError};
use crate::files::FileError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ussd::aggregator::{ConEndFields, ServiceCode};
use ussd::{Aggregator, Limits, MenuError, Network, Networks, Service, aggregator};

/// One service with what guards its URL.
#[derive(Clone, Debug)]
pub struct GuardedService {
    /// What its dialogues are.
    pub service: Arc<Service>,
    /// What stands before its URL.
    pub door: Door,
}

/// All services by name.
pub type Services = BTreeMap<Box<str>, GuardedService>;

/// Why the services do not stand.
#[derive(Debug, thiserror::Error)]
pub enum MenusError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A menu is faulty.
    #[error("menu `{origin}` is faulty:{}", lines(.faults))]
    Faulty {
        /// Its file, or its name where it is shipped.
        origin: String,
        /// What is wrong with it.
        faults: MenuError,
    },
    /// A file of phrases is faulty.
    #[error("phrases `{origin}` are faulty:{}", lines(.faults))]
    Phrases {
        /// The file, or its name where it is shipped.
        origin: String,
        /// What is wrong with it.
        faults: MenuError,
    },
    /// A file of phrases is not called `<menu>.<language>.toml`.
    #[error("`{file}` says neither menu nor language: phrases are in <menu>.<language>.toml")]
    PhrasesName {
        /// The file.
        file: String,
    },
    /// A service names a menu that is neither shipped nor in the folder.
    #[error("service `{service}` shows the menu `{menu}`, which does not exist")]
    NoMenu {
        /// The service.
        service: String,
        /// The menu.
        menu: String,
    },
    /// There is no menu of that name.
    #[error("there is no menu `{menu}`")]
    Unknown {
        /// The name.
        menu: String,
    },
    /// A menu asks for an operation that nobody answers.
    #[error("menu `{menu}` asks for `{operation}`, which needs backend.kind = \"http\"")]
    NoAnswer {
        /// The menu.
        menu: String,
        /// The operation.
        operation: String,
    },
    /// A service's URL cannot be guarded.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// More files than a folder of menus or phrases may have.
    #[error("`{}` holds more than {} files", .folder.display(), sources::FILES_MAX)]
    TooMany {
        /// The folder.
        folder: PathBuf,
    },
}

fn lines(faults: &MenuError) -> String {
    faults.to_string().lines().map(|line| format!("\n  {line}")).collect()
}

fn networks(ussd: &config::Ussd) -> Networks {
    let network = |it: &config::Network| Network {
        code: it.code.as_str().into(),
        name: it.name.as_str().into(),
        limits: Limits::of(it.characters.as_usize(), it.octets.as_usize()),
        session: Duration::from_secs(it.session_s.get().into()),
        idle: Duration::from_secs(it.idle_s.get().into()),
    };
    Networks::new(ussd.network.iter().map(network).collect())
}

/// Who speaks with a service's aggregator.
pub(crate) fn speaker(configured: &config::Service) -> Arc<dyn Aggregator> {
    let named = |name: &Option<config::FieldName>| name.as_ref().map(|it| Box::from(it.as_str()));
    let (given, network) = (&configured.fields, named(&configured.fields.network));
    let needed = [&given.session, &given.number, &given.code, &given.text].map(named);
    let fields = match needed {
        [Some(session), Some(number), Some(code), Some(text)] => {
            Some(ConEndFields { session, number, code, text, network })
        }
        _ => None,
    };
    let code = configured.code.as_ref().and_then(|it| ServiceCode::new(it.as_str()));
    aggregator::make(configured.aggregator.as_str(), fields.as_ref(), code.as_ref())
        .expect("the configuration names no other, and has the fields where they are needed")
}

#[cfg(test)]
mod tests;
