//! A phone in the terminal: dials a service of the daemon that runs here, as its aggregator would.
//!
//! For whoever writes a menu, and for tests of one: what the aggregator sends is written by its own
//! [`Handset`](ussd::Handset), goes to the daemon's public listener over HTTP, and comes back as what a
//! caller sees. So a dialogue by this phone has every hop, limit and event of a real one.

mod line;
mod play;
mod terminal;

use self::line::Line;
pub use self::play::{Play, PlayFault};
use crate::menus;
use crate::settings::Settings;
use std::path::PathBuf;

/// Why a dialogue went no further, or not as it should.
pub type PhoneError = Box<dyn std::error::Error + Send + Sync>;

/// Whose phone it is, and what it dials.
#[derive(Clone, Debug)]
pub struct PhoneOptions {
    /// The service, as the configuration calls it.
    pub service: String,
    /// Who calls: `+` and the number in E.164.
    pub number: String,
    /// The network's code.
    pub network: String,
    /// What leads to the service: `*384#`. Further keys may be dialled behind it: `*384*1*2#`.
    pub code: String,
    /// A file of dialogues to play instead of a person's keys.
    pub play: Option<PathBuf>,
}

/// Has a dialogue in the terminal, or plays a file of them and returns at the first difference.
///
/// # Errors
///
/// There is no such service, its URL's secret cannot be read, the daemon does not answer or answers
/// with no screen, or a screen is not the one that the file expects.
pub async fn run(settings: &Settings, options: &PhoneOptions) -> Result<(), PhoneError> {
    let line = Line::to(settings, options)?;
    match &options.play {
        Some(file) => play::play(&line, options, file).await,
        None => terminal::talk(&line, options).await,
    }
}

impl Line {
    fn to(settings: &Settings, options: &PhoneOptions) -> Result<Self, PhoneError> {
        let PhoneOptions { service, code, .. } = options;
        let config = &settings.config;
        let configured = config.ussd.service.iter().find(|it| it.name.as_str() == service);
        let Some(configured) = configured else {
            let names: Vec<_> = config.ussd.service.iter().map(|it| it.name.as_str()).collect();
            return Err(format!("there is no service `{service}`, but {names:?}").into());
        };
        let mut address = config.public.listen;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let file = config.data_dir.join("public").join(format!("{service}.secret"));
        let secret = crate::files::read_secret(&file)?;
        let url = format!("http://{address}/ussd/{service}/{}", secret.expose());
        Self::new(url, menus::speaker(configured), code)
    }
}
