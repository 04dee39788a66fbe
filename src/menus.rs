//! USSD services as they stand: menus read from the binary and from a folder, URL secrets, networks.
//!
//! Read at start and again on SIGHUP; running dialogues keep the menu they began with.

use crate::doors::{Door, DoorError};
use crate::files::{self, FileError};
use model::Tenant;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ussd::aggregator::{ConEndFields, ServiceCode};
use ussd::{Aggregator, Events, Menu, MenuError, Service, aggregator};

/// Menus that are inside the binary.
const SHIPPED: [(&str, &str); 1] = [("home", include_str!("../config/menus/home.toml"))];
/// Most files in the folder of menus.
const MENUS_MAX: usize = 1_000;

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
    /// A service names a menu that is neither shipped nor in the folder.
    #[error("service `{service}` shows the menu `{menu}`, which does not exist")]
    NoMenu {
        /// The service.
        service: String,
        /// The menu.
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
    /// More files than a folder of menus may have.
    #[error("`{}` holds more than {MENUS_MAX} files", .folder.display())]
    TooMany {
        /// The folder.
        folder: PathBuf,
    },
}

fn lines(faults: &MenuError) -> String {
    faults.to_string().lines().map(|line| format!("\n  {line}")).collect()
}

/// Reads every menu, shipped and in `folder`; one in the folder replaces a shipped one of its name.
pub fn read_menus(
    folder: Option<&Path>,
    limits: ussd::Limits,
) -> Result<BTreeMap<String, Arc<Menu>>, MenusError> {
    let mut menus = BTreeMap::new();
    let mut read = |origin: String, source: &str| {
        let menu =
            Menu::parse(source, limits).map_err(|faults| MenusError::Faulty { origin, faults })?;
        menus.insert(menu.name().to_owned(), Arc::new(menu));
        Ok::<_, MenusError>(())
    };
    for (name, source) in SHIPPED {
        read(name.to_owned(), source)?;
    }
    let Some(folder) = folder else { return Ok(menus) };
    let files = files::list(folder)?;
    if files.len() > MENUS_MAX {
        return Err(MenusError::TooMany { folder: folder.to_owned() });
    }
    for file in files {
        if file.extension().is_some_and(|extension| extension == "toml") {
            read(file.display().to_string(), &files::read_text(&file)?)?;
        }
    }
    Ok(menus)
}

/// Brings the configured services to life. Secrets that are missing are made, when `secrets` says
/// where they lie; without, they are made up for a check.
pub fn services(
    ussd: &config::Ussd,
    has_backend: bool,
    secrets: Option<&Path>,
) -> Result<Services, MenusError> {
    let mut services = Services::new();
    for configured in &ussd.service {
        let speaker = speaker(configured);
        let menus = read_menus(ussd.menus.as_deref(), speaker.capabilities().limits)?;
        let (name, menu) = (configured.name.as_str(), configured.menu.as_str());
        let menu = menus.get(menu).cloned().ok_or_else(|| MenusError::NoMenu {
            service: name.to_owned(),
            menu: menu.to_owned(),
        })?;
        let strange = menu
            .operations()
            .find(|(operation, _)| !has_backend && !crate::household::answers(operation));
        if let Some((operation, _)) = strange {
            let (menu, operation) = (menu.name().to_owned(), operation.to_owned());
            return Err(MenusError::NoAnswer { menu, operation });
        }
        let tenant = Tenant::new(configured.tenant.as_str()).unwrap_or_default();
        let events = Events::parse(configured.events.as_str()).unwrap_or_default();
        let service = Service { tenant, name: name.into(), menu, aggregator: speaker, events };
        let guarded = GuardedService {
            service: Arc::new(service),
            door: Door::of(name, secrets, &configured.networks)?,
        };
        services.insert(name.into(), guarded);
    }
    Ok(services)
}

fn speaker(configured: &config::Service) -> Arc<dyn Aggregator> {
    let named = |name: &Option<config::FieldName>| name.as_ref().map(|it| Box::from(it.as_str()));
    let (given, network) = (&configured.fields, named(&configured.fields.network));
    let needed = [&given.session, &given.number, &given.code, &given.text].map(named);
    let fields = match needed {
        [Some(session), Some(number), Some(code), Some(text)] => {
            Some(ConEndFields { session, number, code, text, network })
        }
        _ => None,
    };
    // Every word of the configuration names one, and has what it needs: tests hold it to that.
    let code = configured.code.as_ref().and_then(|it| ServiceCode::new(it.as_str()));
    aggregator::make_for(configured.aggregator.as_str(), fields.as_ref(), code.as_ref())
        .unwrap_or_else(|| Arc::new(aggregator::AfricasTalking::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_services_stand_and_keep_their_secret() {
        let dir = tempfile::tempdir().unwrap();
        let ussd = config::Config::default().ussd;
        let first = services(&ussd, false, Some(dir.path())).unwrap();
        let secret = files::read_secret(&dir.path().join("home.secret")).unwrap();
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        assert!(first["home"].door.admits(secret.expose(), here));
        let again = services(&ussd, false, Some(dir.path())).unwrap();
        assert!(again["home"].door.admits(secret.expose(), here));
    }

    #[test]
    fn every_word_of_the_configuration_names_an_aggregator() {
        let words: Vec<&str> = config::Aggregator::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(words, aggregator::NAMES);
        let fields = "fields = { session = 's', number = 'n', code = 'c', text = 't' }";
        for word in words {
            let fields = if word == "con_end" { fields } else { "" };
            let text = format!(
                "[[ussd.service]]\nname = 'x'\nmenu = 'home'\naggregator = '{word}'\n{fields}"
            );
            let ussd = config::Config::parse(&text).unwrap().ussd;
            let services = services(&ussd, false, None).unwrap();
            assert_eq!(services["x"].service.aggregator.name(), word);
        }
    }

    #[test]
    fn a_menu_that_nobody_answers_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let strange = SHIPPED[0].1.replace("\"router_status\"", "\"weather\"");
        files::write_new_secret(&dir.path().join("home.toml"), model::Redacted(strange)).unwrap();
        let mut ussd = config::Config::default().ussd;
        ussd.menus = Some(dir.path().to_owned());
        let refused = services(&ussd, false, None).unwrap_err().to_string();
        assert!(refused.contains("`weather`"), "{refused}");
        assert!(services(&ussd, true, None).is_ok());
    }
}
