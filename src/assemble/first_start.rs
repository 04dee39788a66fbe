//! What a first start makes: the store's key, the enrolment secret, the operator's token, the secret
//! of the broker inside. Written
//! with mode 0600; only their paths are logged.

use super::{Core, StartError};
use crate::api::{self, Mirror as _};
use crate::files;
use crate::secrets::{self, KEY_LEN};
use config::Config;
use model::Redacted;
use std::path::Path;
use tracing::info;

/// The secrets that the daemon starts with.
pub(super) struct Secrets {
    pub(super) key: [u8; KEY_LEN],
    pub(super) enrolment: Redacted<String>,
}

/// What consumers of the broker inside sign in with. Made when it first runs.
pub(super) fn bus_secret(config: &Config) -> Result<Redacted<String>, StartError> {
    let file = config.data_dir.join("bus.secret");
    let (secret, made) = files::read_or_make_secret(&file, secrets::new_secret)?;
    tell(&file, made);
    Ok(secret)
}

/// Makes the folders, and the secrets that are not there yet.
pub(super) fn prepare(config: &Config) -> Result<Secrets, StartError> {
    files::make_private_dir(&config.data_dir)?;
    files::make_private_dir(&config.data_dir.join("public"))?;
    let key = match &config.store.key_file {
        Some(file) => secrets::parse_key(&files::read(file)?)?,
        None => {
            let file = config.data_dir.join("store.key");
            refuse_without_key(config, &file)?;
            let (text, made) = files::read_or_make_secret(&file, secrets::new_token)?;
            tell(&file, made);
            secrets::parse_key(text.expose().as_bytes())?
        }
    };
    let file = config.data_dir.join("enrolment.secret");
    let (enrolment, made) = files::read_or_make_secret(&file, secrets::new_secret)?;
    tell(&file, made);
    Ok(Secrets { key, enrolment })
}

/// A store whose key is gone: with another, no token, no device and no credential would be known.
fn refuse_without_key(config: &Config, key: &Path) -> Result<(), StartError> {
    let is_missing = |file: &Path| matches!(files::read(file), Err(error) if error.is_missing());
    let store = match &config.store.url {
        Some(config::StoreUrl::Sqlite(file)) => file.clone(),
        None => config.data_dir.join("store.db"),
    };
    if is_missing(key) && !is_missing(&store) {
        let (key, store) = (key.display(), store.display());
        return Err(format!("`{store}` is there, but its key `{key}` is not: restore it").into());
    }
    Ok(())
}

/// Makes the first operator's token when there is no token at all.
///
/// The file comes first: a token that is kept but that nobody was told would lock everybody out.
pub(super) async fn make_operator_token(core: &Core, data_dir: &Path) -> Result<(), StartError> {
    if !core.access.is_empty() {
        return Ok(());
    }
    let first = api::bootstrap_token(&core.vault, core.clock.now().wall);
    let file = data_dir.join("operator.token");
    files::write_new_secret(&file, first.token)?;
    core.writer.transact(first.operations.clone()).await?;
    first.operations.iter().for_each(|operation| core.access.committed(operation));
    tell(&file, true);
    Ok(())
}

fn tell(file: &Path, made: bool) {
    if made {
        info!(file = %file.display(), "secret made");
    }
}
