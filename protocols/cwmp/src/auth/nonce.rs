//! Nonces that carry their own age, and the small memory that stops an answer from being used twice.

use super::{AuthError, hex};
use hmac::{Hmac, KeyInit, Mac};
use model::Now;
use sha2::Sha256;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long a nonce serves. A session takes seconds; the window must remember this long.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// Bytes of the signature that a nonce carries. With the time they make 32 digits, the length of an
/// MD5: some devices keep no more of a nonce, and answer with what they kept. Guessing 64 bits
/// takes as many requests, and leads no further than to an old answer.
const SIGNATURE_BYTES: usize = 8;

/// Hexadecimal digits of the time in a nonce.
const TIME_DIGITS: usize = 16;

/// Signs nonces. The same key on every node and after a restart spares devices a second challenge.
#[derive(Clone)]
pub struct NonceKey([u8; 32]);

impl NonceKey {
    /// A key of that secret.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// A nonce: the time and its signature.
    pub(super) fn nonce(&self, now: Now) -> String {
        let time = format!("{:0TIME_DIGITS$x}", nanos(now));
        let signature = self.signature(&time);
        time + &hex(&signature)
    }

    /// Whether the nonce is ours and young enough.
    pub(super) fn check(
        &self,
        nonce: &str,
        count: Option<u32>,
        now: Now,
    ) -> Result<NonceUse, AuthError> {
        let answer = NonceUse { count, ..self.issued(nonce)? };
        // One from the future is from before the clock was set back: as good as expired.
        let age = nanos(now).checked_sub(answer.issued).ok_or(AuthError::Stale)?;
        if Duration::from_nanos(age) > NONCE_LIFETIME {
            return Err(AuthError::Stale);
        }
        Ok(answer)
    }

    /// Whether the nonce is ours, however old.
    pub(super) fn issued(&self, nonce: &str) -> Result<NonceUse, AuthError> {
        let (time, signature) = nonce.split_at_checked(TIME_DIGITS).ok_or(AuthError::Stale)?;
        let ours = self.signature(time);
        if !bool::from(hex(&ours).as_bytes().ct_eq(signature.as_bytes())) {
            return Err(AuthError::Stale);
        }
        let issued = u64::from_str_radix(time, 16).map_err(|_| AuthError::Stale)?;
        Ok(NonceUse { nonce: u64::from_be_bytes(ours), issued, count: None })
    }

    fn signature(&self, time: &str) -> [u8; SIGNATURE_BYTES] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(time.as_bytes());
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(&mac.finalize().into_bytes()[..SIGNATURE_BYTES]);
        signature
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(…)")
    }
}

/// The wall clock: a nonce outlives a restart.
fn nanos(now: Now) -> u64 {
    u64::try_from(now.wall.as_nanosecond()).unwrap_or(0)
}

/// One right answer to a nonce of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NonceUse {
    nonce: u64,
    issued: u64,
    count: Option<u32>,
}

/// Which answers were given: each nonce's highest count and the 64 before it.
///
/// Bounded: when it is full the oldest nonce is forgotten, and then none as old is taken any more.
/// One per process, or one per shard of devices.
#[derive(Debug)]
pub struct NonceWindow {
    seen: HashMap<u64, Seen>,
    by_age: VecDeque<u64>,
    capacity: usize,
    /// Nonces issued up to here are refused unless they are remembered.
    forgotten_up_to: u64,
}

#[derive(Debug)]
struct Seen {
    issued: u64,
    highest: u32,
    /// Bit n: the count `highest - n` was used.
    used: u64,
}

impl NonceWindow {
    /// Remembers up to `capacity` nonces, at some 60 bytes each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { seen: HashMap::new(), by_age: VecDeque::new(), capacity, forgotten_up_to: 0 }
    }

    /// Takes an answer once. One without a count (RFC 2069) is held by the nonce's age alone.
    pub fn accept(&mut self, answer: NonceUse, now: Now) -> Result<(), AuthError> {
        let Some(count) = answer.count else { return Ok(()) };
        if let Some(seen) = self.seen.get_mut(&answer.nonce) {
            return seen.accept(count);
        }
        if answer.issued <= self.forgotten_up_to {
            return Err(AuthError::Stale);
        }
        self.forget(now);
        let seen = Seen { issued: answer.issued, highest: count, used: 1 };
        self.seen.insert(answer.nonce, seen);
        self.by_age.push_back(answer.nonce);
        Ok(())
    }

    /// Drops the expired, and the oldest where there is no room.
    fn forget(&mut self, now: Now) {
        let lifetime = u64::try_from(NONCE_LIFETIME.as_nanos()).unwrap_or(u64::MAX);
        let horizon = nanos(now).saturating_sub(lifetime);
        while let Some(oldest) = self.by_age.front() {
            let issued = self.seen.get(oldest).map_or(0, |seen| seen.issued);
            if issued >= horizon && self.seen.len() < self.capacity {
                return;
            }
            self.seen.remove(oldest);
            self.by_age.pop_front();
            self.forgotten_up_to = self.forgotten_up_to.max(issued);
        }
    }
}

impl Seen {
    fn accept(&mut self, count: u32) -> Result<(), AuthError> {
        if count > self.highest {
            let ahead = count - self.highest;
            self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return Ok(());
        }
        let bit = 1_u64.checked_shl(self.highest - count).unwrap_or(0);
        if bit == 0 || self.used & bit != 0 {
            return Err(AuthError::Replayed);
        }
        self.used |= bit;
        Ok(())
    }
}
