//! `[sms]`: texts to phones.

use crate::bounded::{Bounded, DAY, HOUR, MINUTE, Period};
use crate::cidr::Cidr;
use crate::section::{section, words};
use crate::text::{HttpUrl, PlainText};
use std::path::PathBuf;

words! {
    /// Who carries texts.
    SmsProvider {
        /// Africa's Talking.
        AfricasTalking = "africas_talking",
        /// Twilio.
        Twilio = "twilio",
    }
}

words! {
    /// Which of Africa's Talking's calls are made.
    SmsApi {
        /// `/version1/messaging`: a form.
        Classic = "classic",
        /// `/version1/messaging/bulk`: JSON.
        Bulk = "bulk",
    }
}

section! {
    /// Texts to phones. Without a provider none is sent, and each is kept as failed.
    Sms "[sms]" "sms." {
        /// Who carries them.
        restart provider: Option<SmsProvider> = none,
        /// The provider's address.
        restart base_url: Option<HttpUrl> = none,
        /// Africa's Talking's user name, or Twilio's account SID.
        restart username: Option<PlainText> = none,
        /// A file that holds the API key, or Twilio's auth token, on one line. Twilio's reports are
        /// checked with it, too.
        restart api_key_file: Option<PathBuf> = none,
        /// Whom texts come from: a short code, a name or a number that the provider knows.
        restart sender: Option<PlainText> = none,
        /// Which of Africa's Talking's calls are made.
        restart api: SmsApi = "classic",
        /// Most receivers of one call. Twilio takes one.
        restart batch_max: Bounded<1, 1_000> = 100,
        /// Longest wait for one answer of the provider, the connection included.
        restart timeout: Period<100, MINUTE> = "10s",
        /// A text that the provider has not taken by then is given up; one that has not been tried yet is
        /// tried all the same.
        restart send_within: Period<MINUTE, { 30 * DAY }> = "24h",
        /// Longest text that an operator may send to many, in characters. Phones show longer ones than
        /// 160, or 70 where a character is not of the phones' own alphabet, but they are paid for as
        /// several.
        restart text_max: Bounded<1, 1_600> = 480,
        /// Networks that delivery reports come from. All by default: the secret in the URL is the key.
        restart networks: Vec<Cidr> = [],
        /// How long it is kept what became of a text.
        restart retain: Period<HOUR, { 3650 * DAY }> = "30d",
    }
}
