//! `[checks]`: from where on a device is not well.

use crate::bounded::{DAY, MINUTE, Period};
use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::section::section;

section! {
    /// What `GET /api/v1/devices/{id}/checks` tells technicians.
    Checks "[checks]" "checks." {
        /// Received light below this is weak: it works, and an aging splice will end it.
        restart optical_weak: Dbm = "-25 dBm",
        /// Received light below this is too weak. -27 dBm is what the receivers of GPON's class B+
        /// are sure to hear (ITU-T G.984.2, amendment 1); most hear a little more.
        restart optical_low: Dbm = "-27 dBm",
        /// Received light above this blinds the receiver: -8 dBm in class B+.
        restart optical_high: Dbm = "-8 dBm",
        /// How old a reading may be; an older one counts as none. Profiles read every hour.
        restart reading_age_max: Period<MINUTE, { 30 * DAY }> = "3h",
    }
}

/// A level of light, -60 to 20 dBm, written `"-25 dBm"`: a number, which may have a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dbm(f64);

impl Dbm {
    /// The level.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Value for Dbm {
    fn describe() -> String {
        "level, -60 dBm to 20 dBm".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let text = reader.text(node, "a level such as \"-25 dBm\"")?;
        let number = text.strip_suffix("dBm").map(str::trim_end);
        let level = number.and_then(|number| number.parse::<f64>().ok());
        match level.filter(|it| (-60.0..=20.0).contains(it)) {
            Some(level) => Some(Self(level)),
            None => {
                let message = "must be from -60 dBm to 20 dBm, such as \"-25 dBm\"";
                reader.refuse(node, Cause::Value, message.to_owned())
            }
        }
    }
}
