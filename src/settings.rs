//! The configuration together with the files that it names: read whole, every fault at once.
//!
//! `lastmile check` does no more than this, and `serve` no less.

use crate::boards::BoardOptions;
use crate::deliver::{self, SigningSecret};
use crate::files;
use crate::listen::tls::{Certificate, ClientCertificates};
use crate::menus::Book;
use crate::profiles::{Loaded, Texts};
use crate::secrets;
use config::{BackendKind, Broker, Config, SinkKind};
use model::Redacted;
use soracom::auth::PreSharedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Everything that is needed before a port is opened.
#[derive(Debug)]
pub struct Settings {
    /// The configuration file, and what the command line set.
    pub config: Config,
    /// Where the file is, for SIGHUP; `None` when there is none.
    pub file: Option<PathBuf>,
    /// Names and passwords that fleets share.
    pub shared_credentials: Vec<(Box<str>, Redacted<String>)>,
    /// What each sink needs of files, in the order of the configuration.
    pub sink_secrets: Vec<SinkSecret>,
    /// Whose signatures are demanded of images.
    pub firmware_keys: Vec<firmware::PublicKey>,
    /// The token for the business backend.
    pub backend_token: Option<Redacted<String>>,
    /// What M-Pesa is asked with, where it is configured.
    pub mpesa: Option<MpesaSecrets>,
    /// What opens the account with the provider of texts.
    pub sms_key: Option<Redacted<String>>,
    /// What Beam signs with.
    pub beam_key: Option<PreSharedKey>,
    /// The profiles, shipped and of the folder.
    pub profiles: Loaded,
}

/// What M-Pesa needs of files.
#[derive(Debug)]
pub struct MpesaSecrets {
    /// The secret of `mpesa.consumer_key`.
    pub consumer_secret: Redacted<String>,
    /// What requests' passwords are made with.
    pub passkey: Redacted<String>,
}

/// What a sink needs of files.
#[derive(Debug)]
pub enum SinkSecret {
    /// What signs a webhook's batches.
    Webhook(SigningSecret),
    /// What opens a broker.
    Broker {
        /// The password, where there is one.
        password: Option<Redacted<String>>,
        /// What its certificate is checked with, where there is TLS.
        tls: Option<Arc<rustls::ClientConfig>>,
    },
}

/// Why the configuration does not hold: one line for each fault.
#[derive(Debug, thiserror::Error)]
#[error("{}", .faults.join("\n"))]
pub struct SettingsError {
    /// The faults, each with its line or key.
    pub faults: Vec<String>,
}

impl Settings {
    /// Reads the configuration file (an absent one means the defaults) and the files it names.
    pub fn read(file: Option<&Path>, data_dir: Option<&Path>) -> Result<Self, SettingsError> {
        let mut config = parse(file)?;
        if let Some(data_dir) = data_dir {
            config.data_dir = data_dir.to_owned();
        }
        let mut faults = Vec::new();
        let shared_credentials = shared_credentials(&config, &mut faults);
        let sink_secrets = sink_secrets(&config, &mut faults);
        let firmware_keys = firmware_keys(&config, &mut faults);
        let backend_token = config.backend.token_file.as_deref().and_then(|file| {
            let token = files::read_secret(file);
            token
                .map_err(|error| faults.push(format!("backend.token_file: {}", chain(&error))))
                .ok()
        });
        let mpesa = mpesa_secrets(&config.mpesa, &mut faults);
        let sms_key = config.sms.api_key_file.as_deref().and_then(|file| {
            let key = files::read_secret(file);
            key.map_err(|error| faults.push(format!("sms.api_key_file: {}", chain(&error)))).ok()
        });
        let beam_key = config.beam.secret_file.as_deref().and_then(|file| {
            let key = beam_key(file);
            key.map_err(|fault| faults.push(format!("beam.secret_file: {fault}"))).ok()
        });
        if let Some(file) = &config.store.key_file {
            let key = files::read(file).map_err(|error| chain(&error));
            let key = key.and_then(|bytes| secrets::parse_key(&bytes).map_err(|e| e.to_string()));
            faults.extend(key.err().map(|error| format!("store.key_file: {error}")));
        }
        if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
            let unusable = Certificate::read(cert, key, None).err();
            faults.extend(unusable.map(|error| format!("tls.cert: {}", chain(&error))));
        }
        if let Some(clients) = client_certificates(&config) {
            let unusable = clients.verifier().err();
            faults.extend(unusable.map(|error| format!("cwmp.client_ca: {}", chain(&error))));
        }
        if let Some(clients) = board_certificates(&config) {
            let unusable = clients.verifier().err();
            faults.extend(unusable.map(|error| format!("mqtt.client_ca_file: {}", chain(&error))));
        }
        faults.extend(board_acl(&config).err().map(|error| format!("mqtt.acl: {}", chain(&error))));
        faults.extend(BoardOptions::new(&config.boards, 0).err());
        let has_backend = config.backend.kind == BackendKind::Http;
        if let Err(error) = Book::open(&config.ussd, has_backend, None, &[]) {
            faults.push(format!("ussd: {}", chain(&error)));
        }
        let profiles = profiles(&config).map_err(|found| faults.extend(found)).ok();
        let Some(profiles) = profiles.filter(|_| faults.is_empty()) else {
            return Err(SettingsError { faults });
        };
        let file = file.map(Path::to_owned);
        Ok(Self {
            config,
            file,
            shared_credentials,
            sink_secrets,
            firmware_keys,
            backend_token,
            mpesa,
            sms_key,
            beam_key,
            profiles,
        })
    }
}

/// The profiles, or a line for each fault.
fn profiles(config: &Config) -> Result<Loaded, Vec<String>> {
    let loaded = Texts::read(&config.provisioning).and_then(Texts::load);
    loaded.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// Which certificates of CPEs are believed; `None` when they are not asked for any.
pub fn client_certificates(config: &Config) -> Option<ClientCertificates> {
    let cwmp = &config.cwmp;
    let are_required = match cwmp.client_certificates {
        config::ClientCertificates::Off => return None,
        config::ClientCertificates::Accepted => false,
        config::ClientCertificates::Required => true,
    };
    let ca = cwmp.client_ca.clone()?;
    Some(ClientCertificates { ca, crl: cwmp.client_crl.clone(), are_required })
}

/// Which certificates of boards are believed; `None` when they are not asked for any.
pub fn board_certificates(config: &Config) -> Option<ClientCertificates> {
    let mqtt = &config.mqtt;
    let are_required = match mqtt.client_certificates {
        config::BoardCertificates::Off => return None,
        config::BoardCertificates::Allowed => false,
        config::BoardCertificates::Required => true,
    };
    let ca = mqtt.client_ca_file.clone()?;
    Some(ClientCertificates { ca, crl: mqtt.client_crl_file.clone(), are_required })
}

/// What boards may publish and read.
pub fn board_acl(config: &Config) -> Result<mqtt::Acl, mqtt::AclError> {
    let acl = &config.mqtt.acl;
    fn texts(templates: &[config::TopicTemplate]) -> impl Iterator<Item = &str> {
        templates.iter().map(config::TopicTemplate::as_str)
    }
    mqtt::Acl::new(texts(&acl.publish), texts(&acl.subscribe))?.denying(texts(&acl.deny))
}

/// Reads and checks the configuration file alone.
pub fn parse(file: Option<&Path>) -> Result<Config, SettingsError> {
    let text = match file.map(files::read_text) {
        None => String::new(),
        Some(Ok(text)) => text,
        Some(Err(error)) if error.is_missing() => String::new(),
        Some(Err(error)) => return Err(SettingsError { faults: vec![chain(&error)] }),
    };
    Config::parse(&text).map_err(|faults| SettingsError {
        faults: faults.iter().map(ToString::to_string).collect(),
    })
}

fn shared_credentials(
    config: &Config,
    faults: &mut Vec<String>,
) -> Vec<(Box<str>, Redacted<String>)> {
    let mut shared = Vec::new();
    for credential in &config.cwmp.credential {
        match files::read_secret(&credential.password_file) {
            Ok(password) => shared.push((credential.username.as_str().into(), password)),
            Err(error) => faults.push(format!("cwmp.credential.password_file: {}", chain(&error))),
        }
    }
    shared
}

/// Each key is written out or in a file; what is base64 of a key is no path.
fn firmware_keys(config: &Config, faults: &mut Vec<String>) -> Vec<firmware::PublicKey> {
    let mut keys = Vec::new();
    for (index, key) in config.firmware.keys.iter().enumerate() {
        let key = firmware::PublicKey::parse(key.as_str()).map_err(|error| error.to_string());
        let key = key.or_else(|error| {
            let text = files::read_text(Path::new(config.firmware.keys[index].as_str()));
            let text = text.map_err(|unreadable| format!("{error}; {}", chain(&unreadable)))?;
            firmware::PublicKey::parse(&text).map_err(|error| error.to_string())
        });
        match key {
            Ok(key) => keys.push(key),
            Err(error) => faults.push(format!("firmware.keys[{index}]: {error}")),
        }
    }
    keys
}

/// Both files, and an account that could be made of them.
fn mpesa_secrets(mpesa: &config::Mpesa, faults: &mut Vec<String>) -> Option<MpesaSecrets> {
    let mut read = |key: &str, file: &Option<PathBuf>| {
        let secret = files::read_secret(file.as_deref()?);
        secret.map_err(|error| faults.push(format!("mpesa.{key}: {}", chain(&error)))).ok()
    };
    let consumer_secret = read("consumer_secret_file", &mpesa.consumer_secret_file);
    let passkey = read("passkey_file", &mpesa.passkey_file);
    let secrets = MpesaSecrets { consumer_secret: consumer_secret?, passkey: passkey? };
    let account = mpesa_account(mpesa, &secrets, "check");
    account.map_err(|error| faults.push(format!("mpesa: {error}"))).ok()?;
    Some(secrets)
}

/// Who is paid, and where M-Pesa reports it: below `mpesa.callback_url`, with `secret` behind it.
pub fn mpesa_account(
    mpesa: &config::Mpesa,
    secrets: &MpesaSecrets,
    secret: &str,
) -> Result<mpesa::Account, mpesa::AccountError> {
    let text = |it: &Option<config::PlainText>| it.as_ref().map_or("", |it| it.as_str()).to_owned();
    let base = mpesa.callback_url.as_ref().map_or("", |url| url.as_str());
    let callback_url = format!("{base}/payments/mpesa/{secret}");
    mpesa::Account::new(&mpesa::AccountFields {
        consumer_key: &text(&mpesa.consumer_key),
        consumer_secret: Redacted(secrets.consumer_secret.expose()),
        passkey: Redacted(secrets.passkey.expose()),
        short_code: &text(&mpesa.short_code),
        till: mpesa.till.as_ref().map(|it| it.as_str()),
        transaction_type: match mpesa.transaction_type {
            config::TransactionType::PayBill => mpesa::TransactionType::PayBill,
            config::TransactionType::BuyGoods => mpesa::TransactionType::BuyGoods,
        },
        callback_url: Redacted(&callback_url),
    })
}

fn sink_secrets(config: &Config, faults: &mut Vec<String>) -> Vec<SinkSecret> {
    let mut secrets = Vec::new();
    for sink in &config.sink {
        let read = match sink.kind {
            SinkKind::Webhook => signing_secret(sink),
            SinkKind::Mqtt => broker_secret(sink),
        };
        match read {
            Ok(secret) => secrets.push(secret),
            Err(fault) => faults.push(format!("sink `{}`: {fault}", sink.name.as_str())),
        }
    }
    secrets
}

fn signing_secret(sink: &config::Sink) -> Result<SinkSecret, String> {
    let file = sink.secret_file.as_deref().ok_or("secret_file: is missing")?;
    let text = files::read_secret(file).map_err(|e| format!("secret_file: {}", chain(&e)))?;
    let secret = SigningSecret::parse(text.expose()).map_err(|e| format!("secret_file: {e}"))?;
    Ok(SinkSecret::Webhook(secret))
}

fn broker_secret(sink: &config::Sink) -> Result<SinkSecret, String> {
    let password = sink.password_file.as_deref().map(files::read_secret).transpose();
    let password = password.map_err(|error| format!("password_file: {}", chain(&error)))?;
    let is_tls = matches!(sink.broker, Some(Broker::Remote { is_tls: true, .. }));
    let tls = is_tls.then(|| deliver::broker_tls(sink.ca_file.as_deref())).transpose();
    let tls = tls.map_err(|error| format!("ca_file: {}", chain(&*error)))?;
    Ok(SinkSecret::Broker { password, tls })
}

fn beam_key(file: &Path) -> Result<PreSharedKey, String> {
    let text = files::read_secret(file).map_err(|error| chain(&error))?;
    PreSharedKey::new(text.expose().as_bytes()).map_err(|error| error.to_string())
}

/// An error and all that it comes from, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file's reader knows nothing of MQTT: what it takes, sessions must take.
    #[test]
    fn what_the_file_takes_as_a_topic_sessions_take() {
        let deep = ["x"; 33].join("/");
        let texts = [
            "#",
            "+",
            "a",
            "/",
            "a//b",
            "a/+/b/#",
            "{device}/x",
            "x/{client_id}",
            "$SYS/x",
            "größe",
            "",
            "a#",
            "a/#/b",
            "+a",
            "{device}x",
            "{other}",
            "{",
            "a}",
            "$share/g/a",
            &deep,
        ];
        for text in texts {
            let read =
                Config::parse(&format!("[mqtt.acl]\npublish = ['{text}']\nsubscribe = []\n"));
            let session = mqtt::Acl::new([text], []);
            if let Ok(config) = &read {
                assert_eq!(board_acl(config).unwrap(), session.clone().unwrap(), "{text}");
            }
            // It refuses what would match nothing, too.
            assert!(read.is_ok() == session.is_ok() || text == "$share/g/a", "{text}");
        }
        assert_eq!(board_acl(&Config::default()).unwrap(), mqtt::Acl::board());
    }
}
