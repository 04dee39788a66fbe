//! Texts, joined with the provider of the configuration.

use super::delivery::Networks;
use super::join::Ground;
use super::{Core, StartError};
use crate::doors::Door;
use crate::listen::http::{Routes, SmsRoute};
use crate::outcall::Outcall;
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::sms::{
    Metrics, Notices, NoticesParts, Parts, SENDING, Sender, SenderOptions, SenderParts, Sms,
};
use crate::tasks::{Handler, Tasks};
use ::sms::{Account, AfricasTalking, Api, Provider, Twilio};
use config::{Config, SmsApi, SmsProvider};
use model::Redacted;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tracing::info;

/// Asking for texts, and sending them where a provider is configured.
pub(super) fn make(
    settings: &Settings,
    ground: &Ground,
    pipeline: &Arc<Pipeline>,
    tasks: &Arc<Tasks>,
) -> Result<Arc<Sms>, StartError> {
    let config = &settings.config;
    let provider = provider(settings);
    let batch_max = provider.as_ref().map(|it| batch_max(config, &**it));
    let sms = Sms::new(Parts {
        vault: ground.vault.clone(),
        tasks: Arc::clone(tasks),
        metrics: Metrics::new(ground.metrics.registry())?,
        batch_max: batch_max.and_then(NonZeroUsize::new),
    });
    let (Some(provider), Some(base_url)) = (provider, &config.sms.base_url) else { return Ok(sms) };
    let timeout = config.sms.timeout.get();
    let guard = Arc::new(Networks(Vec::new()));
    let options = SenderOptions {
        base_url: base_url.as_str().to_owned(),
        timeout,
        send_within: config.sms.send_within.get(),
        batch_max: batch_max.unwrap_or(1),
        notices: notices(config, &*provider)?,
    };
    info!(provider = provider.name(), "texts are sent");
    let parts = SenderParts {
        store: Arc::clone(&ground.engine) as _,
        pipeline: Arc::clone(pipeline),
        writer: ground.writer.clone(),
        sms: Arc::clone(&sms),
        provider,
        outcall: Outcall::new(timeout, guard, ground.clock)?,
        clock: ground.clock,
    };
    let sender = Sender::new(parts, options);
    tasks.register(SENDING, sender.policy(), sender as Arc<dyn Handler>);
    Ok(sms)
}

/// Who carries texts, if anybody does.
fn provider(settings: &Settings) -> Option<Arc<dyn Provider>> {
    let sms = &settings.config.sms;
    let (provider, key) = (sms.provider?, settings.sms_key.clone()?);
    let account = Account {
        username: sms.username.as_ref()?.as_str().into(),
        key,
        sender: sms.sender.as_ref().map(|sender| sender.as_str().into()),
    };
    Some(match provider {
        SmsProvider::AfricasTalking => {
            let api = match sms.api {
                SmsApi::Classic => Api::Classic,
                SmsApi::Bulk => Api::Bulk,
            };
            Arc::new(AfricasTalking::new(account, api))
        }
        SmsProvider::Twilio => Arc::new(Twilio::new(account)),
    })
}

fn batch_max(config: &Config, provider: &dyn Provider) -> usize {
    config.sms.batch_max.as_usize().min(provider.numbers_max())
}

/// The door of its notices, made where it is missing.
fn door(config: &Config, provider: &dyn Provider) -> Result<Door, StartError> {
    let dir = config.data_dir.join("public");
    let name = format!("sms.{}", provider.name());
    Ok(Door::of(&name, Some(&dir), &config.sms.networks)?)
}

/// How the world reaches us, without a slash at its end.
fn public_url(config: &Config) -> Option<&str> {
    config.public.url.as_ref().map(|url| url.as_str())
}

/// Where a provider that takes an address with each call shall tell what became of it.
fn notices(
    config: &Config,
    provider: &dyn Provider,
) -> Result<Option<Redacted<String>>, StartError> {
    let door = door(config, provider)?;
    Ok(public_url(config)
        .map(|url| Redacted(format!("{url}/sms/{}/{}", provider.name(), door.secret()))))
}

/// Where the provider tells what became of texts; nothing without one.
pub(super) fn route(settings: &Settings, core: &Core) -> Result<Routes, StartError> {
    let Some(provider) = provider(settings) else { return Ok(Vec::new()) };
    let config = &settings.config;
    let door = door(config, &*provider)?;
    let url = public_url(config).map(str::to_owned);
    let shown = url.as_deref().unwrap_or_default();
    info!("the provider of texts calls {shown}/sms/{}/<secret>", provider.name());
    let notices = Notices::new(NoticesParts {
        store: Arc::clone(&core.engine) as _,
        pipeline: Arc::clone(&core.pipeline),
        writer: core.writer.clone(),
        sms: Arc::clone(&core.sms),
        provider,
        clock: core.clock,
    });
    Ok(vec![("sms", Arc::new(SmsRoute { notices, door, url }))])
}
