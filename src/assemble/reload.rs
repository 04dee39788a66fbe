//! SIGHUP: what can be changed while running is, and what cannot is named.

use crate::listen::tls::Certificate;
use crate::logging::Logging;
use crate::menus::Book;
use crate::profiles::{Keeper, Texts};
use crate::settings::{self, Settings};
use config::Config;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tracing::{error, info, warn};

/// Takes a changed configuration over. A faulty one changes nothing.
#[derive(Debug)]
pub struct Reload {
    file: Option<PathBuf>,
    running: Config,
    logging: Logging,
    book: Arc<Book>,
    certificates: Vec<Arc<Certificate>>,
    keeper: Arc<Keeper>,
    wakes_per_second: Arc<AtomicU32>,
}

impl Reload {
    pub(super) fn new(
        settings: &Settings,
        logging: Logging,
        book: Arc<Book>,
        certificates: Vec<Arc<Certificate>>,
        (keeper, wakes_per_second): (Arc<Keeper>, Arc<AtomicU32>),
    ) -> Self {
        let (file, running) = (settings.file.clone(), settings.config.clone());
        Self { file, running, logging, book, certificates, keeper, wakes_per_second }
    }

    /// Reads everything again.
    pub fn run(&mut self) {
        let mut new = match settings::parse(self.file.as_deref()) {
            Ok(new) => new,
            Err(error) => {
                for fault in &error.faults {
                    error!(fault, "configuration is faulty");
                }
                return error!("nothing is reloaded");
            }
        };
        // The command line goes before the file, as it did at the start.
        new.data_dir.clone_from(&self.running.data_dir);
        let waiting = self.running.restart_keys_changed(&new);
        let next = self.running.with_live_of(&new);
        let menus = match self.book.reread(&next.ussd) {
            Ok(menus) => menus,
            Err(error) => {
                let error = settings::chain(&error);
                return error!(error, "menus are faulty; nothing is reloaded");
            }
        };
        let profiles = match Texts::read(&next.provisioning).and_then(Texts::load) {
            Ok(profiles) => profiles,
            Err(faults) => {
                self.keeper.faulty(&faults);
                return error!("profiles are faulty; nothing is reloaded");
            }
        };
        let files = next.tls.cert.as_deref().zip(next.tls.key.as_deref());
        let certificates: Result<Vec<_>, _> =
            self.certificates.iter().map(|certificate| certificate.prepare(files)).collect();
        let certificates = match certificates {
            Ok(certificates) => certificates,
            Err(error) => {
                let error = settings::chain(&error);
                return error!(error, "certificate cannot be used; nothing is reloaded");
            }
        };
        for (certificate, prepared) in self.certificates.iter().zip(certificates) {
            certificate.take(prepared);
        }
        self.book.turn_to(menus);
        self.logging.set_level(next.log.level);
        self.keeper.set_options(next.provisioning.clone());
        let wakes = next.provisioning.wakes_per_second.get();
        self.wakes_per_second.store(wakes, Ordering::Relaxed);
        let keeper = Arc::clone(&self.keeper);
        // What they touch is looked up meanwhile; the log and the API say what came of them.
        tokio::spawn(async move {
            if let Err(error) = keeper.take(profiles, None, false).await {
                error!(%error, "changed profiles are not kept; they are not taken over");
            }
        });
        self.running = next;
        for key in waiting {
            warn!(key, "changed, and takes effect at the next start");
        }
        info!("reloaded: log level, menus, certificates, profiles");
    }
}
