//! What goes wrong, and how often.

use crate::chance::Chance;
use crate::secs;
use std::time::Duration;

/// What a customer, and everything behind him, makes of a prompt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// He pays.
    Pays {
        /// How long after the prompt.
        after: Duration,
    },
    /// He does not, or cannot.
    Fails {
        /// Daraja's number for it.
        code: u32,
        /// How long after the prompt.
        after: Duration,
    },
    /// Nothing is ever known of it.
    Stuck,
    /// It is said to have failed, and then it is paid all the same.
    Turns {
        /// Daraja's number for the failure.
        code: u32,
        /// How long after the prompt it is said to have failed.
        after: Duration,
        /// How long after that it is paid.
        pays_after: Duration,
    },
}

/// How often what goes wrong, out of a thousand; and how long things take.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// How long an answer takes, from and to.
    pub answers_within: (Duration, Duration),
    /// Nobody listens.
    pub refuses_connection: u16,
    /// The connection is cut after the effect.
    pub cuts: u16,
    /// A page of HTML, with 200 or 503, before or after the effect.
    pub pages: u16,
    /// Too many requests, by Daraja (500.003.02) or its edge (429), before the effect.
    pub spikes: u16,
    /// All tokens are void before their time.
    pub revokes_tokens: u16,
    /// The callback of a paid prompt comes before the answer to the push.
    pub early: u16,
    /// A callback is never sent.
    pub loses_callbacks: u16,
    /// It comes 60 to 300 seconds late.
    pub delays_callbacks: u16,
    /// It comes twice.
    pub repeats_callbacks: u16,
    /// Somebody else sends one: another amount, another prompt, or money that was not taken.
    pub forges: u16,
    /// Numbers come as text, and a query's code as a number.
    pub numbers_as_text: u16,
    /// The balance has a name and no value.
    pub bare_balances: u16,
    /// A query of an open prompt is answered with 200 and 4999 instead of 500.
    pub pending_as_200: u16,
    /// A customer does not pay.
    pub fails: u16,
    /// What is behind him takes 2 to 20 minutes.
    pub slow: u16,
    /// See [`Fate::Stuck`].
    pub stuck: u16,
    /// See [`Fate::Turns`].
    pub turns: u16,
}

impl Behaviour {
    /// Everything works and everybody pays, after 5 to 40 seconds.
    pub fn kind() -> Self {
        Self {
            token_lifetime: secs(3_599),
            answers_within: (Duration::from_millis(50), Duration::from_millis(900)),
            refuses_connection: 0,
            cuts: 0,
            pages: 0,
            spikes: 0,
            revokes_tokens: 0,
            early: 0,
            loses_callbacks: 0,
            delays_callbacks: 0,
            repeats_callbacks: 0,
            forges: 0,
            numbers_as_text: 0,
            bare_balances: 1_000,
            pending_as_200: 0,
            fails: 0,
            slow: 0,
            stuck: 0,
            turns: 0,
        }
    }

    /// Everything that was ever seen to go wrong does, often.
    pub fn hostile() -> Self {
        Self {
            token_lifetime: secs(600),
            answers_within: (Duration::from_millis(50), secs(9)),
            refuses_connection: 60,
            cuts: 120,
            pages: 80,
            spikes: 80,
            revokes_tokens: 30,
            early: 150,
            loses_callbacks: 300,
            delays_callbacks: 250,
            repeats_callbacks: 250,
            forges: 250,
            numbers_as_text: 300,
            bare_balances: 500,
            pending_as_200: 400,
            fails: 300,
            slow: 100,
            stuck: 30,
            turns: 40,
        }
    }

    /// What becomes of a prompt nobody scripted.
    pub(crate) fn draw(&self, chance: &mut Chance) -> Fate {
        const CODES: [u32; 14] =
            [1, 2, 3, 4, 8, 26, 1019, 1025, 1032, 1032, 1037, 2001, 2028, 8006];
        let after = chance.between(secs(5), secs(40));
        let code = CODES[usize::try_from(chance.below(14)).unwrap_or_default()];
        if chance.happens(self.stuck) {
            Fate::Stuck
        } else if chance.happens(self.turns) {
            // What is no end, or in no list, may turn.
            const TURNING: [u32; 8] = [17, 26, 999, 1001, 1019, 1025, 1037, 9999];
            let code = TURNING[usize::try_from(chance.below(8)).unwrap_or_default()];
            Fate::Turns { code, after, pays_after: chance.between(secs(30), secs(7_200)) }
        } else if chance.happens(self.fails) {
            Fate::Fails { code, after }
        } else if chance.happens(self.slow) {
            Fate::Pays { after: chance.between(secs(120), secs(1_200)) }
        } else {
            Fate::Pays { after }
        }
    }
}
