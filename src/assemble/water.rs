//! The water service, joined with who keeps its customers and with the menu in whose phrases it speaks.

use super::join::Ground;
use super::{StartError, water_backend};
use crate::effects::Effects;
use crate::payments::{Payments, Purse};
use crate::pipeline::Pipeline;
use crate::settings::Settings;
use crate::shutdown::Stage;
use crate::sms::{Sms, SmsObserver};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::water::{
    self, Broadcasts, BroadcastsParts, CREDIT, Crediting, DAILY, Daily, Doubt, GIVE, Giving,
    MenuTexts, Options, PAGING, Paging, Parts, Tries, Water, WaterBackend,
};
use backend::water::Service;
use config::Config;
use jiff::SignedDuration;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use model::Tenant;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What the service works with.
pub(super) struct With<'a> {
    pub(super) pipeline: &'a Arc<Pipeline>,
    pub(super) effects: &'a Arc<Effects>,
    pub(super) payments: &'a Arc<Payments>,
    pub(super) sms: &'a Arc<Sms>,
    pub(super) tasks: &'a Arc<Tasks>,
}

/// The service, which payments and texts know from now on, and its texts to many.
pub(super) fn make(
    settings: &Settings,
    ground: &Ground,
    with: &With<'_>,
) -> Result<(Arc<Water>, Arc<Broadcasts>), StartError> {
    let options = options(&settings.config)?;
    let pipeline = Arc::clone(with.pipeline);
    let backend = water_backend::make(settings, ground, (&pipeline, with.tasks), options.retain)?;
    let broadcasts = broadcasts(&settings.config, ground, with, &backend);
    let menu = settings.config.water.menu.as_str().into();
    let parts = Parts {
        store: Arc::clone(&ground.engine) as _,
        backend,
        pipeline,
        effects: Arc::clone(with.effects),
        payments: Arc::clone(with.payments),
        sms: Arc::clone(with.sms),
        texts: Arc::new(MenuTexts { book: Arc::clone(&ground.book), menu }),
        vault: ground.vault.clone(),
        clock: ground.clock,
        metrics: water::Metrics::new(ground.metrics.registry())?,
    };
    let water = Water::new(parts, options);
    with.tasks.register(DAILY, water::policy(), Arc::new(Daily(Arc::clone(&water))));
    let crediting = Arc::new(Crediting(Arc::clone(&water)));
    with.tasks.register(CREDIT, water::credit_policy(), crediting);
    with.tasks.register(GIVE, water::giving_policy(), Arc::new(Giving(Arc::clone(&water))));
    let purse: Arc<dyn Purse> = Arc::clone(&water) as _;
    with.payments.set_purse(Arc::downgrade(&purse));
    let observer: Arc<dyn SmsObserver> = Arc::clone(&water) as _;
    let observer: Weak<dyn SmsObserver> = Arc::downgrade(&observer);
    with.sms.set_observer(observer);
    Ok((water, broadcasts))
}

/// Texts to many, whose listeners are gone through.
fn broadcasts(
    config: &Config,
    ground: &Ground,
    with: &With<'_>,
    backend: &Arc<dyn WaterBackend>,
) -> Arc<Broadcasts> {
    let broadcasts = Broadcasts::new(BroadcastsParts {
        sms: Arc::clone(with.sms),
        vault: ground.vault.clone(),
        clock: ground.clock,
        text_max: config.sms.text_max.as_usize(),
    });
    let paging = Paging {
        broadcasts: Arc::clone(&broadcasts),
        store: Arc::clone(&ground.engine) as _,
        backend: Arc::clone(backend),
        writer: ground.writer.clone(),
    };
    with.tasks.register(PAGING, Paging::policy(), Arc::new(paging));
    broadcasts
}

fn options(config: &Config) -> Result<Options, StartError> {
    let water = &config.water;
    let zone = TimeZone::get(water.time_zone.as_str());
    let zone = zone.map_err(|_| "water.time_zone: there is no such time zone".to_owned())?;
    let hour = i8::try_from(water.daily_at.hour())?;
    let minute = i8::try_from(water.daily_at.minute())?;
    let shown = config.ussd.service.iter().filter(|it| it.menu.as_str() == water.menu.as_str());
    let mut tenants: Vec<Tenant> = shown
        .map(|it| Tenant::new(it.tenant.as_str()).expect("the configuration checked it"))
        .collect();
    tenants.sort();
    tenants.dedup();
    Ok(Options {
        service: Service {
            subscription_days: days(water.subscription.get()),
            remind_days: days(water.remind_before.get()),
        },
        zone,
        daily_at: Time::new(hour, minute, 0, 0)?,
        doubt: doubt(config),
        pins: tries(water.pin_tries.get(), water.pin_hold.get()),
        account_pins: tries(water.account_tries.get(), water.account_hold.get()),
        codes: tries(water.code_tries.get(), water.code_hold.get()),
        sim_change_hold: signed(water.sim_change_hold.get()),
        manager_pin: water.manager_pin,
        retain: signed(water.transactions_retain.get()),
        tenants,
    })
}

/// What the operator has the clock believed by.
pub(super) fn doubt(config: &Config) -> Doubt {
    let water = &config.water;
    Doubt {
        bound: signed(water.clock_ahead_max.get()),
        away: signed(water.away_max.get()),
        settle: water.clock_settle.get(),
    }
}

/// Whole days; the configuration has no others.
fn days(time: Duration) -> u16 {
    u16::try_from(time.as_secs() / 86_400).unwrap_or(u16::MAX)
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

/// Has the daily job run.
pub(super) fn keep_house(water: &Arc<Water>, store: &Arc<dyn Store>, stage: &Stage) {
    stage.spawn(Arc::clone(water).keep_house(Arc::clone(store), stage.clone()));
}

fn tries(most: u32, hold: Duration) -> Tries {
    Tries { most, hold: signed(hold) }
}
