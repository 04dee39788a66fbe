//! What guards a URL that the world calls: a secret in it, and the networks that its caller may be in.

use crate::files::{self, FileError};
use crate::secrets;
use config::Cidr;
use model::Redacted;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use ussd::auth::UrlSecrets;

/// Stands before one URL.
#[derive(Clone, Debug)]
pub struct Door {
    secrets: UrlSecrets,
    /// The one in force.
    current: Redacted<String>,
    /// Everywhere when empty.
    networks: Vec<Cidr>,
}

/// Why a door does not stand.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A secret in a file is too short to guard a URL.
    #[error("`{}` holds a secret that is too short: delete it and a new one is made", .file.display())]
    WeakSecret {
        /// The file.
        file: PathBuf,
    },
}

impl Door {
    /// The door that `name` has in `dir`: `<name>.secret` is in force, and `<name>.previous` while an
    /// operator rotates them. A secret that is missing is made; without `dir`, for a check, it is made
    /// up.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written, or holds too short a secret.
    pub fn of(name: &str, dir: Option<&Path>, networks: &[Cidr]) -> Result<Self, DoorError> {
        let (secrets, current) = url_secrets(name, dir)?;
        Ok(Self { secrets, current, networks: networks.to_vec() })
    }

    /// The secret in force, for who is told the URL.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.current.expose()
    }

    /// Whether who is at `from` and says `secret` may enter. What it takes to say so tells nothing of
    /// the secret but its length.
    #[must_use]
    pub fn admits(&self, secret: &str, from: IpAddr) -> bool {
        let secret_holds = self.secrets.accept(secret);
        let networks = &self.networks;
        let comes_right = networks.is_empty() || networks.iter().any(|it| it.contains(from));
        secret_holds && comes_right
    }
}

fn url_secrets(
    name: &str,
    dir: Option<&Path>,
) -> Result<(UrlSecrets, Redacted<String>), DoorError> {
    let weak = |file: &Path| DoorError::WeakSecret { file: file.to_owned() };
    let Some(dir) = dir else {
        let made_up = secrets::new_secret();
        let secrets = UrlSecrets::new(made_up.expose(), None).map_err(|_| weak(Path::new("")))?;
        return Ok((secrets, made_up));
    };
    let file = dir.join(format!("{name}.secret"));
    let (current, made) = files::read_or_make_secret(&file, secrets::new_secret)?;
    if made {
        tracing::info!(file = %file.display(), "secret made for a URL");
    }
    let previous = match files::read_secret(&dir.join(format!("{name}.previous"))) {
        Ok(previous) => Some(previous),
        Err(error) if error.is_missing() => None,
        Err(error) => return Err(error.into()),
    };
    let previous = previous.as_ref().map(|secret| secret.expose().as_str());
    let secrets = UrlSecrets::new(current.expose(), previous).map_err(|_| weak(&file))?;
    Ok((secrets, current))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn who_has_the_secret_and_comes_right_may_enter() {
        let dir = tempfile::tempdir().unwrap();
        let networks = ["196.201.214.0/24".parse().unwrap()];
        let door = Door::of("payments.mpesa", Some(dir.path()), &networks).unwrap();
        let secret = files::read_secret(&dir.path().join("payments.mpesa.secret")).unwrap();
        let (right, wrong) = (Ipv4Addr::new(196, 201, 214, 200), Ipv4Addr::new(196, 201, 213, 1));
        assert!(door.admits(secret.expose(), right.into()));
        assert!(!door.admits(secret.expose(), wrong.into()));
        assert!(!door.admits("", right.into()));
        assert_eq!(door.secret(), secret.expose());
        let anywhere = Door::of("payments.mpesa", Some(dir.path()), &[]).unwrap();
        assert!(anywhere.admits(secret.expose(), wrong.into()), "the secret stays as it is");
    }

    #[test]
    fn two_secrets_hold_while_rotating_and_a_weak_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, secret: &str| {
            let _ = std::fs::remove_file(dir.path().join(file));
            files::write_new_secret(&dir.path().join(file), Redacted(secret.to_owned())).unwrap();
        };
        let here = Ipv4Addr::LOCALHOST.into();
        write("x.secret", "new-0123456789abcdef");
        write("x.previous", "old-0123456789abcdef");
        let door = Door::of("x", Some(dir.path()), &[]).unwrap();
        assert!(
            ["new", "old"].iter().all(|it| door.admits(&format!("{it}-0123456789abcdef"), here))
        );
        write("x.previous", "short");
        let refused = Door::of("x", Some(dir.path()), &[]).unwrap_err();
        assert!(matches!(refused, DoorError::WeakSecret { .. }), "{refused}");
    }
}
