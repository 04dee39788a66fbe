//! What payments and texts need: all of a provider, or nothing.

use crate::mpesa::TransactionType;
use crate::read::Reader;
use crate::sms::{SmsApi, SmsProvider};
use crate::top::Config;
use std::time::Duration;

/// Where one of a provider's keys is given the others must be.
fn together(section: &str, keys: &[(&str, bool)], reader: &mut Reader) {
    let Some((given, _)) = keys.iter().find(|(_, given)| *given) else { return };
    for (missing, _) in keys.iter().filter(|(_, given)| !*given) {
        let (given, missing) = (format!("{section}.{given}"), format!("{section}.{missing}"));
        reader.contradiction(&[&given, &missing], format!("needs `{missing}`"));
    }
}

pub(super) fn mpesa(config: &Config, reader: &mut Reader) {
    let mpesa = &config.mpesa;
    let is_goods = mpesa.transaction_type == TransactionType::BuyGoods;
    let mut keys = vec![
        ("base_url", mpesa.base_url.is_some()),
        ("consumer_key", mpesa.consumer_key.is_some()),
        ("consumer_secret_file", mpesa.consumer_secret_file.is_some()),
        ("passkey_file", mpesa.passkey_file.is_some()),
        ("short_code", mpesa.short_code.is_some()),
        ("callback_url", mpesa.callback_url.is_some()),
    ];
    if is_goods {
        keys.push(("till", mpesa.till.is_some()));
    } else if mpesa.till.is_some() {
        let message = "is for `transaction_type = \"CustomerBuyGoodsOnline\"`";
        reader.contradiction(&["mpesa.till", "mpesa.transaction_type"], message.to_owned());
    }
    together("mpesa", &keys, reader);
    if mpesa.callback_url.as_ref().is_some_and(|url| !url.is_https() && !url.is_loopback()) {
        let message = "must begin with https:// unless its host is this machine";
        reader.contradiction(&["mpesa.callback_url"], message.to_owned());
    }
    let queries: Vec<Duration> = mpesa.query_after.iter().map(|it| it.get()).collect();
    let later: Vec<Duration> = mpesa.reconcile_after.iter().map(|it| it.get()).collect();
    if queries.is_empty() || !rises(&queries) {
        let message = "must name moments that rise, one at least";
        reader.contradiction(&["mpesa.query_after"], message.to_owned());
    }
    if !rises(&later) {
        let message = "must name moments that rise";
        reader.contradiction(&["mpesa.reconcile_after"], message.to_owned());
    } else if later.first() <= queries.last() && !later.is_empty() {
        let keys = ["mpesa.reconcile_after", "mpesa.query_after"];
        reader.contradiction(&keys, "must begin after `mpesa.query_after`".to_owned());
    }
}

pub(super) fn sms(config: &Config, reader: &mut Reader) {
    let sms = &config.sms;
    let keys = [
        ("provider", sms.provider.is_some()),
        ("base_url", sms.base_url.is_some()),
        ("username", sms.username.is_some()),
        ("api_key_file", sms.api_key_file.is_some()),
        ("sender", sms.sender.is_some()),
    ];
    together("sms", &keys, reader);
    if sms.provider == Some(SmsProvider::Twilio) && sms.api != SmsApi::Classic {
        let message = "is for `provider = \"africas_talking\"`";
        reader.contradiction(&["sms.api", "sms.provider"], message.to_owned());
    }
    if sms.provider == Some(SmsProvider::Twilio) && config.public.url.is_none() {
        let message =
            "needs `public.url`: what it tells us is signed with the address that it calls";
        reader.contradiction(&["sms.provider", "public.url"], message.to_owned());
    }
}

fn rises(moments: &[Duration]) -> bool {
    moments.windows(2).all(|pair| pair[0] < pair[1])
}
