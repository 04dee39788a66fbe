//! `[ussd]`: dialogues with phones.

use crate::bounded::{Bounded, HOUR, MINUTE, Period, SECOND};
use crate::cidr::Cidr;
use crate::section::{section, words};
use crate::text::Name;
use std::path::PathBuf;

section! {
    /// Dialogues with phones, through an aggregator that calls `public.listen`.
    Ussd "[ussd]" "ussd." {
        /// Most dialogues per minute that one number may begin; the next is answered END. A person in
        /// a hurry dials six times a minute.
        restart rate_per_number: Bounded<1, 100_000> = 20,
        /// Longest wait for the backend in mid-dialogue, after which the caller gets an END that says
        /// what will happen. Africa's Talking gives up after 10 s: half of that leaves room for the
        /// network and the disk. For an aggregator with 5 s set 3 s.
        restart ask_deadline: Period<100, MINUTE> = "5s",
        /// Longest silence within a dialogue, after which it is forgotten. Networks end a session
        /// after 120 to 180 s in all.
        restart dialogue_idle: Period<SECOND, HOUR> = "3m",
        /// Most dialogues at once; the next caller gets END with a text. Each takes less than
        /// 2 KB.
        restart dialogues_max: Bounded<1, 1_000_000> = 100_000,
        /// A folder of menus that adds to or replaces those inside the binary. It is read again on
        /// SIGHUP; a faulty menu there changes nothing.
        live menus: Option<PathBuf> = none,
        /// The services.
        tables service: Vec<Service> =
            [{ name = "home", menu = "home", aggregator = "africas_talking" }],
    }
}

words! {
    /// Whose dialect of HTTP a service speaks.
    Aggregator {
        /// A form with the whole dialogue's text; answers begin with CON or END.
        AfricasTalking = "africas_talking",
    }
}

words! {
    /// Which facts a dialogue makes.
    DialogueEvents {
        /// That it began, that it ended, and what it asked to be done.
        All = "all",
        /// That it ended, and what it asked to be done.
        Ended = "ended",
        /// What it asked to be done.
        Effects = "effects",
    }
}

section! {
    /// A USSD service: what one short code leads to. Without any, there is `home` with the shipped
    /// menu `home`.
    Service "[[ussd.service]]" "ussd.service." {
        /// Its name: part of its URL, and of the file with the URL's secret.
        restart name: Name = required,
        /// The menu it shows.
        restart menu: Name = required,
        /// Whose calls it takes.
        restart aggregator: Aggregator = required,
        /// Networks that the aggregator calls from. All by default: the secret in the URL is the key,
        /// and not every aggregator publishes its addresses.
        restart networks: Vec<Cidr> = [],
        /// Which facts a dialogue makes. With fewer, fewer hops wait for the disk; what a dialogue asks
        /// to be done is always one.
        restart events: DialogueEvents = "all",
        /// Whose service it is.
        restart tenant: Name = "default",
    }
}
