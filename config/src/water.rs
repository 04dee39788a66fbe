//! `[water]`: subscriptions to water points.

use crate::boards::TimeZoneName;
use crate::bounded::{Bounded, DAY, HOUR, MINUTE, Period};
use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::section::section;
use crate::text::Name;

section! {
    /// Subscriptions to water points: customers, site managers, jerrycans.
    Water "[water]" "water." {
        /// The menu whose phrases the API changes and whose languages customers are written to in.
        restart menu: Name = "water",
        /// For how long a payment subscribes, in whole days.
        restart subscription: Period<DAY, { 366 * DAY }> = "30d",
        /// How long before its end a customer is reminded, in whole days.
        restart remind_before: Period<DAY, { 30 * DAY }> = "2d",
        /// When the daily job runs, in `water.time_zone`. A run that was missed is caught up at the
        /// next start.
        restart daily_at: TimeOfDay = "06:00",
        /// How far the clock may be ahead of the time that has passed since the start until the daily job
        /// waits, since what it ends stays ended, and nothing old is removed. Meanwhile the log says so, and
        /// `lastmile_water_clock_ahead_seconds`.
        restart clock_ahead_max: Period<HOUR, { 30 * DAY }> = "12h",
        /// How far the clock may be ahead of the next run that was due, at a start: the daemon may have been
        /// away for so long, and its missed run is made up for at once.
        restart away_max: Period<HOUR, { 30 * DAY }> = "3d",
        /// For how long a clock that is ahead must have gone on so to be believed all the same, as after
        /// a long time without the daemon. `POST /api/v1/jobs/daily/run?believe_clock=true` believes it
        /// at once.
        restart clock_settle: Period<0, { 30 * DAY }> = "3d",
        /// By which zone days begin and end.
        restart time_zone: TimeZoneName = "Africa/Nairobi",
        /// How many wrong PINs in a row a number may enter, over all its dialogues.
        restart pin_tries: Bounded<1, 10> = 3,
        /// How long a number is locked out after them.
        restart pin_hold: Period<MINUTE, { 30 * DAY }> = "1h",
        /// How many wrong PINs in a row an account takes from others who want to move it to their phone,
        /// over all their numbers.
        restart account_tries: Bounded<1, 100> = 10,
        /// How long an account is not moved after them, and after which pause they are forgotten.
        restart account_hold: Period<MINUTE, { 30 * DAY }> = "24h",
        /// How many codes that nobody has a manager may type in a row without giving water: of a thousand
        /// subscribers' codes every nine hundredth guess is one.
        restart code_tries: Bounded<1, 100> = 10,
        /// How long he types none after them, and after which pause they are forgotten.
        restart code_hold: Period<MINUTE, { 30 * DAY }> = "1h",
        /// How long a number whose SIM has changed can neither log in, pay nor be moved. Some networks
        /// alone tell.
        restart sim_change_hold: Period<0, { 30 * DAY }> = "24h",
        /// How long it is kept which SIM a number was used with, after it was last seen. Whoever comes
        /// back after that is held for no change of it.
        restart keep_sightings: Period<{ 31 * DAY }, { 3650 * DAY }> = "400d",
        /// Whether managers have a PIN, too.
        restart manager_pin: bool = false,
        /// How long it is kept what happened to a customer.
        restart transactions_retain: Period<HOUR, { 3650 * DAY }> = "31d",
    }
}

/// A time of the day, written `"06:00"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

impl TimeOfDay {
    /// The hour, 0 to 23.
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// The minute, 0 to 59.
    pub const fn minute(self) -> u8 {
        self.minute
    }

    /// Two digits, a colon, two digits.
    fn new(text: &str) -> Option<Self> {
        let two = |part: &str, max: u8| {
            let is_two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|it| is_two && *it <= max)
        };
        let (hour, minute) = text.split_once(':')?;
        Some(Self { hour: two(hour, 23)?, minute: two(minute, 59)? })
    }
}

impl Value for TimeOfDay {
    fn describe() -> String {
        "time of the day, such as \"06:00\"".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a time of the day such as \"06:00\"")?;
        let message = "must be from 00:00 to 23:59, such as \"06:00\"";
        Self::new(text).or_else(|| reader.refuse(node, Cause::Value, message.to_owned()))
    }
}
