//! Whose till or paybill it is, and with which keys.

use crate::error::AccountError;
use jiff::tz::TimeZone;
use model::Redacted;

/// What a customer is told he pays to. Decides which number is the payee.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransactionType {
    /// `CustomerPayBillOnline`: to a paybill, which is the short code itself.
    PayBill,
    /// `CustomerBuyGoodsOnline`: to a till; the short code is the store's (head office).
    BuyGoods,
}

impl TransactionType {
    /// Daraja's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PayBill => "CustomerPayBillOnline",
            Self::BuyGoods => "CustomerBuyGoodsOnline",
        }
    }
}

/// What an account is made of, unchecked.
#[derive(Clone, Debug)]
pub struct AccountFields<'a> {
    /// Daraja's key of this program.
    pub consumer_key: &'a str,
    /// Its secret.
    pub consumer_secret: Redacted<&'a str>,
    /// What a request's password is made with.
    pub passkey: Redacted<&'a str>,
    /// Who is paid: a paybill, or the store (head office) of a till; 5 to 7 digits.
    pub short_code: &'a str,
    /// The till, 5 to 7 digits; needed where goods are bought.
    pub till: Option<&'a str>,
    /// Paybill or till.
    pub transaction_type: TransactionType,
    /// Where Daraja reports the end of a prompt. It holds our secret.
    pub callback_url: Redacted<&'a str>,
}

/// Who is paid, and the keys to ask Daraja with. Holds no token.
#[derive(Clone, Debug)]
pub struct Account {
    pub(crate) consumer_key: Redacted<Box<str>>,
    pub(crate) consumer_secret: Redacted<Box<str>>,
    pub(crate) passkey: Redacted<Box<str>>,
    pub(crate) short_code: Box<str>,
    pub(crate) payee: Box<str>,
    pub(crate) transaction_type: TransactionType,
    pub(crate) callback_url: Redacted<Box<str>>,
    pub(crate) zone: TimeZone,
}

impl Account {
    /// Longest address for callbacks, in bytes.
    pub const CALLBACK_URL_LEN_MAX: usize = 512;

    /// Checks what an account is made of.
    ///
    /// # Errors
    /// Names the first field that no request could be made with.
    pub fn new(fields: &AccountFields<'_>) -> Result<Self, AccountError> {
        if !is_short_code(fields.short_code) {
            return Err(AccountError::ShortCode);
        }
        if fields.till.is_some_and(|till| !is_short_code(till)) {
            return Err(AccountError::Till);
        }
        let payee = match (fields.transaction_type, fields.till) {
            (TransactionType::PayBill, _) => fields.short_code,
            (TransactionType::BuyGoods, Some(till)) => till,
            (TransactionType::BuyGoods, None) => return Err(AccountError::NoTill),
        };
        let keys = [
            ("consumer_key", fields.consumer_key),
            ("consumer_secret", fields.consumer_secret.expose()),
            ("passkey", fields.passkey.expose()),
        ];
        if let Some((name, _)) = keys.into_iter().find(|(_, key)| !is_key(key)) {
            return Err(AccountError::Key(name));
        }
        let url = *fields.callback_url.expose();
        let is_url = url.starts_with("https://") || url.starts_with("http://");
        if !is_url || url.len() > Self::CALLBACK_URL_LEN_MAX || !is_key(url) {
            return Err(AccountError::CallbackUrl);
        }
        Ok(Self {
            consumer_key: Redacted(fields.consumer_key.into()),
            consumer_secret: Redacted((*fields.consumer_secret.expose()).into()),
            passkey: Redacted((*fields.passkey.expose()).into()),
            short_code: fields.short_code.into(),
            payee: payee.into(),
            transaction_type: fields.transaction_type,
            callback_url: Redacted(url.into()),
            zone: nairobi(),
        })
    }

    /// Paybill or till: what screens must say.
    pub fn transaction_type(&self) -> TransactionType {
        self.transaction_type
    }
}

/// The zone of Daraja's times. Without the zone's rules it is three hours east, as it has been since
/// 1960.
pub(crate) fn nairobi() -> TimeZone {
    TimeZone::get("Africa/Nairobi").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(3)))
}

fn is_short_code(text: &str) -> bool {
    (5..=7).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit())
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> AccountFields<'static> {
        AccountFields {
            consumer_key: "key",
            consumer_secret: Redacted("secret"),
            passkey: Redacted("passkey"),
            short_code: "174379",
            till: None,
            transaction_type: TransactionType::PayBill,
            callback_url: Redacted("https://gateway.example/payments/mpesa/hidden"),
        }
    }

    #[test]
    fn the_transaction_type_decides_who_is_paid() {
        assert_eq!(&*Account::new(&fields()).unwrap().payee, "174379");
        let till = Some("600123");
        let bought =
            AccountFields { till, transaction_type: TransactionType::BuyGoods, ..fields() };
        assert_eq!(&*Account::new(&bought).unwrap().payee, "600123");
        let no_till = AccountFields { till: None, ..bought };
        assert_eq!(Account::new(&no_till).unwrap_err(), AccountError::NoTill);
    }

    #[test]
    fn each_fault_of_an_account_has_its_name() {
        let fault = |it: AccountFields<'_>| Account::new(&it).unwrap_err();
        for short_code in ["", "1743", "17437990", "17437a"] {
            assert_eq!(fault(AccountFields { short_code, ..fields() }), AccountError::ShortCode);
        }
        assert_eq!(fault(AccountFields { till: Some("x"), ..fields() }), AccountError::Till);
        let key = AccountFields { consumer_key: "", ..fields() };
        assert_eq!(fault(key), AccountError::Key("consumer_key"));
        let secret = AccountFields { consumer_secret: Redacted("a b"), ..fields() };
        assert_eq!(fault(secret), AccountError::Key("consumer_secret"));
        let passkey = AccountFields { passkey: Redacted("ü"), ..fields() };
        assert_eq!(fault(passkey), AccountError::Key("passkey"));
        for url in ["", "gateway.example/x", "ftp://gateway.example", "https://a b"] {
            let url = AccountFields { callback_url: Redacted(url), ..fields() };
            assert_eq!(fault(url), AccountError::CallbackUrl);
        }
    }

    #[test]
    fn no_key_is_printed() {
        let account = Account::new(&fields()).unwrap();
        assert_eq!(account.transaction_type(), TransactionType::PayBill);
        let printed = format!("{account:?}{:?}", fields());
        for secret in ["secret\"", "\"passkey\"", "hidden"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert_eq!(nairobi().iana_name(), Some("Africa/Nairobi"));
    }
}
