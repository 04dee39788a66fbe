//! `[provisioning]`: profiles, how a change of them reaches the fleet, and how many devices may be
//! changed before a second person agrees.

use crate::bounded::{Bounded, DAY, Period};
use crate::cidr::Cidr;
use crate::section::section;
use std::path::PathBuf;

section! {
    /// What devices should be, and how carefully they are brought there. Profiles are read at start,
    /// on SIGHUP and by `POST /api/v1/profiles/reload`; a faulty one changes nothing.
    Provisioning "[provisioning]" "provisioning." {
        /// A folder of profiles (`*.toml`, each named as its file) that adds to or replaces those
        /// inside the binary.
        live profiles: Option<PathBuf> = none,
        /// A TOML file with a table for each tenant: what profiles find in the variable `tenant`, such
        /// as its time servers. Read together with the profiles, and on trial together with them.
        live values_file: Option<PathBuf> = none,
        /// To how many of the devices that a change of the profiles touches it goes first, in percent;
        /// at least to one. 0 and 100 mean all of them at once. With five in a hundred, a mistake
        /// that locks customers out makes the telephone ring and not the newspapers.
        live canary_share: Bounded<0, 100> = 5,
        /// How long the trial lasts before the change goes to all by itself. An hour is what most
        /// devices need to inform once.
        live canary_wait: Period<0, { 30 * DAY }> = "1h",
        /// The change stays with the devices of its trial when so many of those that answered failed,
        /// in percent: until an operator promotes it or takes it back. Failed is who refuses what it did
        /// not refuse before, does not become as wanted, or hangs up while it is changed and has not
        /// come right since.
        live canary_failures: Bounded<1, 100> = 10,
        /// It goes to all by itself only when so many of the trial's devices have answered, in percent of
        /// those that were heard of in the day before it began; until then it goes on trying. One that
        /// waits, is on hold or is cut off by the change has not answered, so fewer than half would say
        /// little; 0 is satisfied with one.
        live canary_answers: Bounded<0, 100> = 50,
        /// Most devices of a tenant that are changed in an hour; those beyond it wait until someone
        /// other than who made the change agrees (`POST /api/v1/approvals/{id}`): by no token that he
        /// made, nor the one that made his, nor one of the same maker. The token of the first start makes
        /// everybody's: two that it made are two persons', and nobody can agree to what it loads itself.
        /// Files that changed by themselves (SIGHUP, a start) have no author, and anyone who may load
        /// profiles may agree. 0 is no limit. Counted is what profiles change, and firmware that a
        /// profile or a group wants. Not counted are devices that come from factory settings (but for a
        /// group's firmware), commands by the API, and rollouts that were ordered: these have waves. A
        /// thousand is a day's work of a repair, and a small part of a fleet that someone is about to
        /// break.
        live changes_per_hour_max: Bounded<0, 10_000_000> = 1_000,
        /// Networks from which a device counts as claimed: its secrets are sent to it there without
        /// anyone else's word. None by default, for whoever reaches such a network with the enrolment
        /// secret of one leaked router gets the secrets of any that it names, once for each serial.
        restart claim_networks: Vec<Cidr> = [],
        /// Most rounds of writing that a device is given in one session, and towards one aim: after
        /// them it is left alone until something changes, and says why. One is enough for most
        /// devices; objects that depend on each other need one each.
        restart rounds_max: Bounded<1, 50> = 5,
        /// How many devices are woken in a second once a hold on them is lifted or their change is
        /// agreed to. Twenty bring 72,000 an hour back.
        live wakes_per_second: Bounded<1, 10_000> = 20,
    }
}
