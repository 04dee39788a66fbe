//! The addresses that devices are given: who may fetch or send what, until when, under a signature.
//!
//! A CPE that fetches an image presents nothing but the URL that it was told, so the URL is the
//! right to it: for one device, one command and one content, and for a while only. Whatever it
//! stands for is in it, so that nothing must be remembered of addresses that were given out.

use crate::{FileType, ImageName, Sha256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use model::{CommandId, DeviceId, Tenant};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Bytes of the signature: HMAC-SHA-256 cut to its first half, which RFC 2104 5 allows, since a URL
/// has but 256 bytes in all (TR-069 A.3.2.8).
const TAG_LEN: usize = 16;
/// Bytes of a content's hash that are signed: who could find another content to them is who may
/// replace the image anyway.
const CONTENT_LEN: usize = 8;
/// Longest token that is looked at: every field at its longest is under 500 bytes.
const TOKEN_LEN_MAX: usize = 700;
/// Set apart from all else that is signed by a key of ours.
const CONTEXT: &[u8] = b"lastmile file ticket 1\0";
/// The first byte of a token, by purpose. Another number is another format.
const IMAGE: u8 = 1;
const INBOX: u8 = 2;

/// What tickets are signed with.
#[derive(Clone)]
pub struct TicketKey([u8; 32]);

impl TicketKey {
    /// A key of this use alone.
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(…)")
    }
}

/// What a ticket is good for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// To fetch an image.
    Image {
        /// Its name. It stands in the URL behind the token and is signed, too.
        name: ImageName,
        /// The beginning of its content's hash: an image that was replaced is not what was offered.
        content: [u8; CONTENT_LEN],
    },
    /// To send a file.
    Inbox {
        /// What the device was asked for.
        file_type: FileType,
    },
}

impl Purpose {
    /// To fetch this content under this name.
    pub fn image(name: ImageName, sha256: Sha256) -> Self {
        Self::Image { name, content: beginning(sha256) }
    }

    /// Whether a content is the one that was offered.
    pub fn is_for(&self, sha256: Sha256) -> bool {
        matches!(self, Self::Image { content, .. } if *content == beginning(sha256))
    }
}

fn beginning(sha256: Sha256) -> [u8; CONTENT_LEN] {
    let [a, b, c, d, e, f, g, h, ..] = sha256.0;
    [a, b, c, d, e, f, g, h]
}

/// The right of one device to one transfer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ticket {
    /// Whose.
    pub tenant: Tenant,
    /// Whom it was given to.
    pub device: DeviceId,
    /// Which command it belongs to.
    pub command: CommandId,
    /// What it is good for.
    pub purpose: Purpose,
    /// Until when, in whole seconds; what lies between is cut off.
    pub expires_at: Timestamp,
}

impl Ticket {
    /// The ticket as it stands in a URL: letters, digits, `-` and `_`, some 120 of them.
    pub fn seal(&self, key: &TicketKey) -> String {
        let mut token = Vec::with_capacity(128);
        token.push(match self.purpose {
            Purpose::Image { .. } => IMAGE,
            Purpose::Inbox { .. } => INBOX,
        });
        // Five bytes of seconds last for 34,000 years.
        let seconds = self.expires_at.as_second().max(0).to_be_bytes();
        token.extend_from_slice(&seconds[3..]);
        push(&mut token, self.tenant.as_str());
        push(&mut token, self.device.as_str());
        push(&mut token, self.command.as_str());
        let name = match &self.purpose {
            Purpose::Image { name, content } => {
                token.extend_from_slice(content);
                name.as_str()
            }
            Purpose::Inbox { file_type } => {
                push(&mut token, file_type.as_str());
                ""
            }
        };
        let tag = sign(key, &token, name);
        token.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Reads a token to fetch the image of that name.
    ///
    /// # Errors
    ///
    /// [`TicketError`], which a caller may count but must not tell: a stranger hears the same of all.
    pub fn open_image(
        token: &str,
        name: &str,
        key: &TicketKey,
        now: Timestamp,
    ) -> Result<Self, TicketError> {
        Self::open(token, Some(name), key, now)
    }

    /// Reads a token to send a file. Errors as [`Ticket::open_image`].
    pub fn open_inbox(token: &str, key: &TicketKey, now: Timestamp) -> Result<Self, TicketError> {
        Self::open(token, None, key, now)
    }

    fn open(
        token: &str,
        name: Option<&str>,
        key: &TicketKey,
        now: Timestamp,
    ) -> Result<Self, TicketError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(TicketError::Malformed);
        }
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| TicketError::Malformed)?;
        let (signed, tag) = token.split_last_chunk::<TAG_LEN>().ok_or(TicketError::Malformed)?;
        // Nothing of it is believed before its signature is found to hold.
        let expected = sign(key, signed, name.unwrap_or(""));
        if !bool::from(expected.ct_eq(tag)) {
            return Err(TicketError::Forged);
        }
        let ticket = Self::read(signed, name).ok_or(TicketError::Malformed)?;
        if now >= ticket.expires_at {
            return Err(TicketError::Expired);
        }
        Ok(ticket)
    }

    fn read(signed: &[u8], name: Option<&str>) -> Option<Self> {
        let (&kind, rest) = signed.split_first()?;
        let (seconds, mut rest) = rest.split_first_chunk::<5>()?;
        let seconds = seconds.iter().fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
        let tenant = Tenant::new(take(&mut rest)?).ok()?;
        let device = DeviceId::parse(take(&mut rest)?).ok()?;
        let command = CommandId::new(take(&mut rest)?)?;
        let purpose = match (kind, name) {
            (IMAGE, Some(name)) => Purpose::Image {
                name: ImageName::new(name).ok()?,
                content: std::mem::take(&mut rest).try_into().ok()?,
            },
            (INBOX, None) => Purpose::Inbox { file_type: FileType::new(take(&mut rest)?).ok()? },
            _ => return None,
        };
        let expires_at = Timestamp::from_second(seconds).ok()?;
        rest.is_empty().then_some(Self { tenant, device, command, purpose, expires_at })
    }
}

/// Appends a text behind its length.
fn push(token: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("every field is bounded by 256 bytes");
    // A length takes one byte where it can: a URL has few.
    match u8::try_from(length) {
        Ok(short) if short < u8::MAX => token.push(short),
        _ => {
            token.push(u8::MAX);
            token.extend_from_slice(&length.to_be_bytes());
        }
    }
    token.extend_from_slice(text.as_bytes());
}

/// Takes what [`push`] appended.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (&short, mut after) = rest.split_first()?;
    let length = if short == u8::MAX {
        let (long, behind) = after.split_first_chunk::<2>()?;
        after = behind;
        usize::from(u16::from_be_bytes(*long))
    } else {
        usize::from(short)
    };
    let (text, behind) = after.split_at_checked(length)?;
    *rest = behind;
    std::str::from_utf8(text).ok()
}

fn sign(key: &TicketKey, signed: &[u8], name: &str) -> [u8; TAG_LEN] {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&key.0);
    let mut mac = mac.expect("HMAC takes a key of any length");
    mac.update(CONTEXT);
    // The length keeps the token and the name behind it apart.
    mac.update(&(signed.len() as u64).to_be_bytes());
    mac.update(signed);
    mac.update(name.as_bytes());
    let whole: [u8; 32] = mac.finalize().into_bytes().into();
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&whole[..TAG_LEN]);
    tag
}

/// Why a ticket is not honoured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TicketError {
    /// It is not of our making.
    #[error("the ticket is not one")]
    Malformed,
    /// Its signature does not hold: it was changed, is for another name, or was signed by another
    /// key.
    #[error("the ticket's signature does not hold")]
    Forged,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
}

impl TicketError {
    /// A stable word for metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "ticket_malformed",
            Self::Forged => "ticket_forged",
            Self::Expired => "ticket_expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> TicketKey {
        TicketKey::new([7; 32])
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ticket(purpose: Purpose) -> Ticket {
        Ticket {
            tenant: Tenant::default(),
            device: DeviceId::cwmp("00259E", "HG8245", "4857544312345678").unwrap(),
            command: CommandId::new("01HZZZZZZZZZZZZZZZZZZZZZZZ").unwrap(),
            purpose,
            expires_at: at(2_000_000_000),
        }
    }

    fn image(name: &str) -> Ticket {
        ticket(Purpose::image(ImageName::new(name).unwrap(), Sha256([9; 32])))
    }

    fn inbox() -> Ticket {
        ticket(Purpose::Inbox { file_type: FileType::new("1 Vendor Configuration File").unwrap() })
    }

    #[test]
    fn a_ticket_is_read_as_it_was_sealed_until_it_expires() {
        let (image, inbox) = (image("fw.bin"), inbox());
        let token = image.seal(&key());
        let (before, after) = (at(1_999_999_999), at(2_000_000_000));
        assert_eq!(Ticket::open_image(&token, "fw.bin", &key(), before), Ok(image.clone()));
        assert_eq!(Ticket::open_image(&token, "fw.bin", &key(), after), Err(TicketError::Expired));
        assert!(image.purpose.is_for(Sha256([9; 32])));
        assert!(!image.purpose.is_for(Sha256([8; 32])));
        let token = inbox.seal(&key());
        assert_eq!(Ticket::open_inbox(&token, &key(), before), Ok(inbox));
    }

    #[test]
    fn a_url_with_it_stays_within_what_a_cpe_takes() {
        let longest = format!("https://gateway.example.net/firmware/{}/", image("a").seal(&key()));
        assert!(longest.len() <= 256 - ImageName::LEN_MAX, "{}", longest.len());
        let longest = format!("https://gateway.example.net/uploads/{}", inbox().seal(&key()));
        assert!(longest.len() <= 256, "{}", longest.len());
    }

    #[test]
    fn a_ticket_is_for_one_name_one_purpose_and_one_key() {
        let (token, now) = (image("fw.bin").seal(&key()), at(0));
        let open = |token: &str, name| Ticket::open_image(token, name, &key(), now);
        for other in ["fw.bi", "fw.binx", "", "../fw.bin", "fw.bin/"] {
            assert_eq!(open(&token, other), Err(TicketError::Forged), "{other}");
        }
        let other = TicketKey::new([8; 32]);
        let refused = Ticket::open_image(&token, "fw.bin", &other, now);
        assert_eq!(refused, Err(TicketError::Forged));
        assert!(Ticket::open_inbox(&token, &key(), now).is_err());
        assert!(open(&inbox().seal(&key()), "").is_err(), "an inbox is no image");
    }

    #[test]
    fn no_cut_and_no_flipped_bit_passes() {
        for ticket in [image("fw.bin"), inbox()] {
            let token = ticket.seal(&key());
            let open = |token: &str| match ticket.purpose {
                Purpose::Image { .. } => Ticket::open_image(token, "fw.bin", &key(), at(0)),
                Purpose::Inbox { .. } => Ticket::open_inbox(token, &key(), at(0)),
            };
            for length in 0..token.len() {
                assert!(open(&token[..length]).is_err(), "cut at {length}");
            }
            let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let flipped = URL_SAFE_NO_PAD.encode(flipped);
                assert_eq!(open(&flipped), Err(TicketError::Forged), "bit {bit}");
            }
            assert!(open(&format!("{token}=")).is_err());
            assert!(open(&"A".repeat(TOKEN_LEN_MAX + 1)).is_err());
        }
    }

    #[test]
    fn what_is_signed_but_strange_is_malformed() {
        // A token of a later format, signed by the right key.
        let mut token = vec![9, 0, 0, 0, 0, 1];
        let tag = sign(&key(), &token, "");
        token.extend_from_slice(&tag);
        let token = URL_SAFE_NO_PAD.encode(token);
        assert_eq!(Ticket::open_inbox(&token, &key(), at(0)), Err(TicketError::Malformed));
    }

    proptest! {
        #[test]
        fn sealed_and_opened_it_is_the_same(
            tenant in "[a-z0-9_-]{1,64}",
            serial in "[A-Za-z0-9 ./-]{1,80}",
            command in "[A-Z0-9]{1,32}",
            name in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
            content in any::<[u8; 32]>(),
            seconds in 1_i64..200_000_000_000,
        ) {
            let ticket = Ticket {
                tenant: Tenant::new(&tenant).unwrap(),
                device: DeviceId::cwmp("00259E", "", &serial).unwrap(),
                command: CommandId::new(&command).unwrap(),
                purpose: Purpose::image(ImageName::new(&name).unwrap(), Sha256(content)),
                expires_at: at(seconds),
            };
            let token = ticket.seal(&key());
            prop_assert!(token.len() <= TOKEN_LEN_MAX);
            prop_assert!(token.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_'));
            prop_assert_eq!(Ticket::open_image(&token, &name, &key(), at(seconds - 1)), Ok(ticket));
        }

        #[test]
        fn no_text_is_a_ticket(token in ".{0,200}", name in ".{0,80}") {
            prop_assert!(Ticket::open_image(&token, &name, &key(), at(0)).is_err());
            prop_assert!(Ticket::open_inbox(&token, &key(), at(0)).is_err());
        }
    }
}
