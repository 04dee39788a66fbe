//! `[mpesa]`: mobile money over Safaricom's Daraja.

use crate::bounded::{DAY, HOUR, MINUTE, Period, SECOND};
use crate::cidr::Cidr;
use crate::section::{section, words};
use crate::text::{HttpUrl, PlainText};
use std::path::PathBuf;

words! {
    /// Where a customer's money goes.
    TransactionType {
        /// To a paybill number, which is `mpesa.short_code`.
        PayBill = "CustomerPayBillOnline",
        /// To a till, which is `mpesa.till`; `mpesa.short_code` is the store's number.
        BuyGoods = "CustomerBuyGoodsOnline",
    }
}

section! {
    /// Payments over Safaricom's Daraja: an STK push asks the customer's phone for the money. Without
    /// any of the keys that have no default, nothing can be paid.
    Mpesa "[mpesa]" "mpesa." {
        /// Daraja's address.
        restart base_url: Option<HttpUrl> = none,
        /// The consumer key of the Daraja app.
        restart consumer_key: Option<PlainText> = none,
        /// A file that holds the consumer secret, on one line.
        restart consumer_secret_file: Option<PathBuf> = none,
        /// A file that holds the passkey of the short code, on one line.
        restart passkey_file: Option<PathBuf> = none,
        /// The short code: 5 to 7 digits.
        restart short_code: Option<PlainText> = none,
        /// The till that is paid to, with `CustomerBuyGoodsOnline`.
        restart till: Option<PlainText> = none,
        /// Where the money goes. The screens speak of a paybill or a till as it says.
        restart transaction_type: TransactionType = "CustomerPayBillOnline",
        /// The base under which our paths stand for Daraja's callbacks: `https://` unless its host is
        /// this machine. `/payments/mpesa/<secret>` is put behind it.
        restart callback_url: Option<HttpUrl> = none,
        /// How long after the menu's END the phone is asked. A prompt cannot appear while the dialogue
        /// is open (1001).
        restart push_delay: Period<0, MINUTE> = "3s",
        /// How long after the menu's END the phone may still be asked, when it could not be before: later
        /// the customer has gone away, or tried again, and the payment is declined.
        restart push_within: Period<SECOND, DAY> = "10m",
        /// When, counted from the push, it is asked what became of it while no callback has come. They
        /// rise. After the last one the customer is told that the payment is not confirmed.
        restart query_after: Vec<Period<1, HOUR>> = ["30s", "60s", "90s", "120s"],
        /// When it is asked later, counted from the push. They rise, and begin after `query_after`.
        restart reconcile_after: Vec<Period<1, { 7 * DAY }>> = ["5m", "15m", "1h", "6h", "24h"],
        /// Longest wait for one answer of Daraja, the connection included.
        restart timeout: Period<100, MINUTE> = "10s",
        /// How long a payment that nobody can confirm keeps its customer from a second prompt.
        restart unresolved_hold: Period<SECOND, DAY> = "5m",
        /// How long a payment is kept after it was paid or declined, with all that happened to it, and as
        /// long what was said of prompts and fits no payment. One that is open, or of which nobody knows,
        /// is kept until it is settled.
        restart keep_payments: Period<{ 30 * DAY }, { 3650 * DAY }> = "400d",
        /// Networks that Daraja's callbacks come from. All by default: the secret in the URL is the key,
        /// and a callback is never believed alone.
        restart networks: Vec<Cidr> = [],
    }
}
