//! The services with the menus they show, changed while they run: by their files, and by phrases that
//! somebody changed and the store keeps.

use super::sources::Sources;
use super::{GuardedService, MenusError, Services, networks, speaker};
use crate::doors::Door;
use arc_swap::{ArcSwap, Guard};
use model::Tenant;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::error;
use ussd::{Events, Menu, Networks, Phrases, Service};

/// Phrases that the store keeps, by whose they are and the menu.
type Kept = BTreeMap<(Tenant, Box<str>), Phrases>;

/// What every hop looks up, and what it was made of.
///
/// A dialogue holds the service it began with: what changes here is for those that begin.
#[derive(Debug)]
pub struct Book {
    has_backend: bool,
    secrets: Option<PathBuf>,
    services: ArcSwap<Services>,
    made_of: Mutex<MadeOf>,
    left_out: usize,
}

#[derive(Debug)]
struct MadeOf {
    ussd: config::Ussd,
    sources: Arc<Sources>,
    kept: Kept,
}

/// Changed files, read and found good.
#[derive(Debug)]
pub struct Reread {
    ussd: config::Ussd,
    sources: Arc<Sources>,
}

/// Changed phrases of one menu, found good.
#[derive(Debug)]
pub struct Prepared {
    tenant: Tenant,
    menu: Box<str>,
    kept: Phrases,
}

impl Book {
    /// Reads menus and phrases and brings the configured services to life.
    ///
    /// URL secrets that are missing are made, when `secrets` says where they lie; without, they are
    /// made up for a check. `kept` goes before the files' phrases; what no longer fits them is left
    /// out with a word in the log, a language at a time ([`Book::left_out`]): a newer menu must not
    /// keep the daemon from starting.
    pub fn open(
        ussd: &config::Ussd,
        has_backend: bool,
        secrets: Option<&Path>,
        kept: &[(Tenant, Box<str>, Phrases)],
    ) -> Result<Arc<Self>, MenusError> {
        let sources = Arc::new(Sources::read(ussd)?);
        let networks = networks(ussd);
        check_all(&sources, &networks)?;
        let mut fitting = Kept::new();
        let mut left_out = 0;
        for (tenant, menu, phrases) in kept {
            let (fits, left) = fitting_of(&sources, menu, phrases, &networks);
            left_out += left;
            fitting.insert((tenant.clone(), menu.clone()), fits);
        }
        let mut book = Self {
            has_backend,
            secrets: secrets.map(Path::to_owned),
            services: ArcSwap::default(),
            made_of: Mutex::new(MadeOf {
                ussd: ussd.clone(),
                sources: Arc::clone(&sources),
                kept: fitting,
            }),
            left_out,
        };
        let services = book.made(ussd, &sources, &book.lock().kept)?;
        book.services = ArcSwap::from_pointee(services);
        Ok(Arc::new(book))
    }

    /// The services as they stand.
    pub fn services(&self) -> Guard<Arc<Services>> {
        self.services.load()
    }

    /// In how many languages what was kept no longer fitted its menu at the start.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The phrases of a menu as callers of `tenant` hear them: those inside the binary, the folder's
    /// over them, and over both what is kept.
    pub fn phrases(&self, tenant: &Tenant, menu: &str) -> Arc<Phrases> {
        let made_of = self.lock();
        let kept = made_of.kept.get(&(tenant.clone(), menu.into()));
        Arc::new(made_of.sources.phrases_of(menu, kept))
    }

    /// The phrases of a menu as the files have them, without what is kept.
    pub fn phrases_of_files(&self, menu: &str) -> Arc<Phrases> {
        Arc::new(self.lock().sources.phrases_of(menu, None))
    }

    /// What is kept of a menu's phrases for `tenant`.
    pub fn kept(&self, tenant: &Tenant, menu: &str) -> Phrases {
        self.lock().kept.get(&(tenant.clone(), menu.into())).cloned().unwrap_or_default()
    }

    /// Checks a menu of `tenant` with `kept` as all that is kept for it. Nothing changes before
    /// [`Book::take`].
    ///
    /// # Errors
    ///
    /// [`MenusError::Unknown`] where there is none of that name; [`MenusError::Faulty`] where the menu
    /// cannot show what it says: a screen too long, a value it does not know.
    pub fn prepare(
        &self,
        tenant: &Tenant,
        menu: &str,
        kept: Phrases,
    ) -> Result<Prepared, MenusError> {
        let (ussd, sources, mut all) = {
            let made_of = self.lock();
            (made_of.ussd.clone(), Arc::clone(&made_of.sources), made_of.kept.clone())
        };
        let parsed = sources.parse(menu, &sources.phrases_of(menu, Some(&kept)), &networks(&ussd));
        drop(parsed.ok_or_else(|| MenusError::Unknown { menu: menu.to_owned() })??);
        all.insert((tenant.clone(), menu.into()), kept.clone());
        drop(self.made(&ussd, &sources, &all)?);
        Ok(Prepared { tenant: tenant.clone(), menu: menu.into(), kept })
    }

    /// Takes over what was prepared, after it is on disk. Dialogues that run keep what they began with.
    pub fn take(&self, prepared: Prepared) {
        let mut made_of = self.lock();
        made_of.kept.insert((prepared.tenant, prepared.menu), prepared.kept);
        match self.made(&made_of.ussd, &made_of.sources, &made_of.kept) {
            Ok(services) => self.services.store(Arc::new(services)),
            Err(error) => error!(%error, "changed phrases do not fit menus that changed meanwhile"),
        }
    }

    /// Reads the files again. Nothing changes before [`Book::turn_to`].
    ///
    /// # Errors
    ///
    /// What is wrong with them, by themselves or with what is kept.
    pub fn reread(&self, ussd: &config::Ussd) -> Result<Reread, MenusError> {
        let sources = Arc::new(Sources::read(ussd)?);
        check_all(&sources, &networks(ussd))?;
        drop(self.made(ussd, &sources, &self.lock().kept)?);
        Ok(Reread { ussd: ussd.clone(), sources })
    }

    /// Takes over files that were read again.
    pub fn turn_to(&self, reread: Reread) {
        let mut made_of = self.lock();
        match self.made(&reread.ussd, &reread.sources, &made_of.kept) {
            Ok(services) => {
                self.services.store(Arc::new(services));
                made_of.ussd = reread.ussd;
                made_of.sources = reread.sources;
            }
            Err(error) => error!(%error, "changed menus do not fit phrases that changed meanwhile"),
        }
    }

    fn made(
        &self,
        ussd: &config::Ussd,
        sources: &Sources,
        kept: &Kept,
    ) -> Result<Services, MenusError> {
        let networks = networks(ussd);
        let mut services = Services::new();
        for configured in &ussd.service {
            let tenant =
                Tenant::new(configured.tenant.as_str()).expect("the configuration checked it");
            let aggregator = speaker(configured);
            let networks = networks.within(aggregator.capabilities().limits);
            let (name, menu) = (configured.name.as_str(), configured.menu.as_str());
            let kept = kept.get(&(tenant.clone(), menu.into()));
            let parsed = sources.parse(menu, &sources.phrases_of(menu, kept), &networks);
            let menu = parsed.ok_or_else(|| MenusError::NoMenu {
                service: name.to_owned(),
                menu: menu.to_owned(),
            })??;
            self.check_answers(&menu)?;
            let events =
                Events::parse(configured.events.as_str()).expect("the configuration checked it");
            let (name, menu) = (Arc::from(name), Arc::new(menu));
            let door =
                Door::of(configured.name.as_str(), self.secrets.as_deref(), &configured.networks)?;
            let service = Arc::new(Service { tenant, name, menu, aggregator, networks, events });
            services.insert(configured.name.as_str().into(), GuardedService { service, door });
        }
        Ok(services)
    }

    fn check_answers(&self, menu: &Menu) -> Result<(), MenusError> {
        let answers = |operation: &str| self.has_backend || crate::household::answers(operation);
        match menu.operations().find(|(operation, _)| !answers(operation)) {
            None => Ok(()),
            Some((operation, _)) => {
                let (menu, operation) = (menu.name().to_owned(), operation.to_owned());
                Err(MenusError::NoAnswer { menu, operation })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, MadeOf> {
        self.made_of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every menu as the files have it, shown by a service or not.
fn check_all(sources: &Sources, networks: &Networks) -> Result<(), MenusError> {
    for name in sources.names() {
        let phrases = sources.phrases_of(name, None);
        if let Some(parsed) = sources.parse(name, &phrases, networks) {
            parsed?;
        }
    }
    Ok(())
}

/// What of `kept` still fits its menu, and in how many languages it does not.
fn fitting_of(
    sources: &Sources,
    menu: &str,
    kept: &Phrases,
    networks: &Networks,
) -> (Phrases, usize) {
    let (mut fits, mut left_out) = (Phrases::default(), 0);
    for language in kept.languages() {
        let mut with = fits.clone();
        for (_, key, text) in kept.iter().filter(|(of, _, _)| *of == language) {
            with.set(language, key, text);
        }
        let phrases = sources.phrases_of(menu, Some(&with));
        match sources.parse(menu, &phrases, networks) {
            // No menu of that name is shown now: nothing to fit.
            Some(Ok(_)) | None => fits = with,
            Some(Err(error)) => {
                left_out += 1;
                error!(menu, language, %error, "kept phrases do not fit; the files' stand");
            }
        }
    }
    (fits, left_out)
}
