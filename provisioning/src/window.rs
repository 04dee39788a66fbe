//! When something may begin that interrupts the customer.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// When something may begin: days of the week and hours in a time zone.
///
/// It opens on each of its days at `from` and closes at the next `to`: on the next day where `to` is
/// not after `from`. What the clocks of the zone skip is not there: an hour that does not exist opens
/// no window, one that comes twice keeps it open through both.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Text", into = "Text")]
pub struct Window {
    /// One bit for each day on which it opens, Monday the lowest.
    days: u8,
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// A window as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default = "every_day")]
    days: Vec<String>,
    from: String,
    to: String,
    zone: String,
}

/// Why there is no such window.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WindowError {
    /// A day that is none.
    #[error("days are {DAYS:?}")]
    Day,
    /// `from` or `to` is no time of day.
    #[error("`from` and `to` are hours and minutes, as \"02:00\"; `to` may be \"24:00\"")]
    Time,
    /// A zone that nobody knows.
    #[error("`zone` is a name of the time zone database, as \"America/Toronto\"")]
    Zone,
    /// No day, or an end that is the beginning.
    #[error("never opens: it needs a day, and a `to` that is not `from`")]
    Never,
}

/// The days as they are written, Monday first.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// How far ahead an opening is looked for: one that opens on a single day of the week may fall into
/// the hour that a change of clocks skips, and then opens a week later.
const DAYS_AHEAD: i32 = 15;

impl Window {
    /// One that opens on `days` (`mon` to `sun`) at `from` (`"02:00"`) and closes at `to`.
    ///
    /// # Errors
    ///
    /// What is wrong with which.
    pub fn new(days: &[&str], from: &str, to: &str, zone: &str) -> Result<Self, WindowError> {
        let mut bits = 0;
        for day in days {
            let place = DAYS.iter().position(|it| it == day).ok_or(WindowError::Day)?;
            bits |= 1 << place;
        }
        let from = time(from).ok_or(WindowError::Time)?;
        // The end of a day is the beginning of the next.
        let to = if to == "24:00" { Some(Time::midnight()) } else { time(to) };
        let to = to.ok_or(WindowError::Time)?;
        // A name alone: `TimeZone::get` takes them in any case, and no offsets.
        let zone = TimeZone::get(zone).map_err(|_| WindowError::Zone)?;
        if bits == 0 || (from == to && from != Time::midnight()) {
            return Err(WindowError::Never);
        }
        Ok(Self { days: bits, from, to, zone })
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.closes_at(now).is_some()
    }

    /// When it opens next, or `now` while it is open.
    #[must_use]
    pub fn opens_at(&self, now: Timestamp) -> Timestamp {
        let next = self.around(now).find(|(_, closes)| now < *closes);
        // Beyond the days of the calendar nothing opens.
        next.map_or(Timestamp::MAX, |(opens, _)| opens.max(now))
    }

    /// When it closes; `None` while it is not open.
    #[must_use]
    pub fn closes_at(&self, now: Timestamp) -> Option<Timestamp> {
        let open = self.around(now).find(|(_, closes)| now < *closes);
        open.filter(|(opens, _)| *opens <= now).map(|(_, closes)| closes)
    }

    /// The openings from the day before on, in their order.
    fn around(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = self.zone.to_datetime(now).date();
        (-1..=DAYS_AHEAD).filter_map(move |days| self.opening(offset(today, days)?))
    }

    /// When it opens and closes that begins on `day`.
    fn opening(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let place = day.weekday().since(Weekday::Monday);
        if self.days & (1 << place) == 0 {
            return None;
        }
        let last = if self.to <= self.from { offset(day, 1)? } else { day };
        let at = |date: Date, time| self.zone.to_timestamp(date.to_datetime(time)).ok();
        let (opens, closes) = (at(day, self.from)?, at(last, self.to)?);
        (opens < closes).then_some((opens, closes))
    }
}

impl TryFrom<Text> for Window {
    type Error = WindowError;

    fn try_from(text: Text) -> Result<Self, WindowError> {
        let days: Vec<_> = text.days.iter().map(String::as_str).collect();
        Self::new(&days, &text.from, &text.to, &text.zone)
    }
}

impl From<Window> for Text {
    fn from(window: Window) -> Self {
        let is_day = |place: &usize| window.days & (1 << place) != 0;
        let clock = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        Self {
            days: (0..DAYS.len()).filter(is_day).map(|it| DAYS[it].to_owned()).collect(),
            from: clock(window.from),
            to: clock(window.to),
            zone: window.zone.iana_name().unwrap_or("UTC").to_owned(),
        }
    }
}

fn every_day() -> Vec<String> {
    DAYS.map(str::to_owned).to_vec()
}

fn offset(date: Date, days: i32) -> Option<Date> {
    date.checked_add(Span::new().days(days)).ok()
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |it: &str| it.bytes().all(|it| it.is_ascii_digit()).then(|| it.parse().ok())?;
    let is_spelled = hour.len() == 2 && minute.len() == 2;
    is_spelled.then(|| Time::new(number(hour)?, number(minute)?, 0, 0).ok())?
}

#[cfg(test)]
mod tests;
