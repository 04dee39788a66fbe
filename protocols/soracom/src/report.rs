//! What a board says of itself in the fields of its payload.

use crate::error::FieldFault;
use crate::frame::Object;
use crate::message::digits;
use crate::status::Status;
use serde_json::Value;
use std::fmt;

/// What a board says of itself. None of it is trusted where the network says otherwise.
///
/// Prints as what is said, never as a number.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Report {
    /// Its modem's number: 14 to 16 digits.
    pub imei: Option<Box<str>>,
    /// Its SIM's number: 14 or 15 digits.
    pub imsi: Option<Box<str>>,
    /// The status that its sketch reports: `STATUS` on the wire, `board_status` in the table.
    pub status: Option<Status>,
    /// The version of its sketch, as it says it.
    pub sketch_ver: Option<Box<str>>,
    /// What does not count, and why.
    pub faults: Vec<FieldFault>,
}

impl Report {
    /// Longest version, in bytes.
    pub const VERSION_LEN_MAX: usize = 64;

    /// Reads a payload's fields. A field that is not what its name says is among the `faults`; the
    /// others count all the same.
    pub fn of(fields: &Object) -> Self {
        let mut report = Self::default();
        let mut faults = Vec::new();
        let mut take = |name, fault, read: &dyn Fn(&Value) -> Option<Box<str>>| {
            let value = fields.value(name)?;
            let said = read(&value);
            if said.is_none() {
                faults.push(fault);
            }
            said
        };
        report.imei = take("imei", FieldFault::Imei, &|value| digits(value, 14, 16));
        report.imsi = take("imsi", FieldFault::Imsi, &|value| digits(value, 14, 15));
        report.sketch_ver = take("sketch_ver", FieldFault::SketchVersion, &version);
        match status(fields) {
            Ok(status) => report.status = status,
            Err(fault) => faults.push(fault),
        }
        report.faults = faults;
        report
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("imei", &self.imei.is_some())
            .field("imsi", &self.imsi.is_some())
            .field("status", &self.status)
            .field("sketch_ver", &self.sketch_ver)
            .field("faults", &self.faults)
            .finish()
    }
}

fn version(value: &Value) -> Option<Box<str>> {
    let text = value.as_str()?.trim_ascii();
    let fits = (1..=Report::VERSION_LEN_MAX).contains(&text.len());
    (fits && text.bytes().all(|it| it.is_ascii_graphic())).then(|| text.into())
}

/// The status in either spelling. Said twice, it must be the same.
fn status(fields: &Object) -> Result<Option<Status>, FieldFault> {
    let read = |name| match fields.value(name) {
        None => Ok(None),
        Some(value) => {
            let number = match &value {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.trim_ascii().parse().ok(),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            };
            number.and_then(Status::of).map(Some).ok_or(FieldFault::Status)
        }
    };
    match (read("STATUS")?, read("board_status")?) {
        (Some(one), Some(other)) if one != other => Err(FieldFault::TwoStatuses),
        (one, other) => Ok(one.or(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Report {
        Report::of(&Object::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn both_spellings_of_the_status_count() {
        for text in [
            r#"{"STATUS":2}"#,
            r#"{"board_status":2}"#,
            r#"{"STATUS":"2"}"#,
            r#"{"STATUS":2,"board_status":"2"}"#,
        ] {
            assert_eq!(of(text).status, Some(Status::ReadyToShip), "{text}");
        }
        assert_eq!(of(r#"{"status":2,"STATUS":null}"#), Report::default());
    }

    #[test]
    fn each_wrong_field_has_its_name_and_spares_the_others() {
        for (field, fault) in [
            (r#""STATUS":5"#, FieldFault::Status),
            (r#""STATUS":-1"#, FieldFault::Status),
            (r#""STATUS":1.5"#, FieldFault::Status),
            (r#""STATUS":"x""#, FieldFault::Status),
            (r#""STATUS":[0]"#, FieldFault::Status),
            (r#""STATUS":0,"board_status":1"#, FieldFault::TwoStatuses),
            (r#""imei":"12""#, FieldFault::Imei),
            (r#""imei":"49015420323751a""#, FieldFault::Imei),
            (r#""imei":{}"#, FieldFault::Imei),
            (r#""sketch_ver":1.2"#, FieldFault::SketchVersion),
            (r#""sketch_ver":"""#, FieldFault::SketchVersion),
            (r#""sketch_ver":"0.0.\u0000""#, FieldFault::SketchVersion),
        ] {
            let report = of(&format!(r#"{{{field},"imsi":440525060010923}}"#));
            assert_eq!(report.faults, [fault], "{field}");
            assert_eq!(report.imsi.as_deref(), Some("440525060010923"), "{field}");
            assert_eq!(report.status, None, "{field}");
        }
        let report = of(r#"{"imsi":"1","sketch_ver":" 0.0.10 "}"#);
        assert_eq!(report.faults, [FieldFault::Imsi]);
        assert_eq!(report.sketch_ver.as_deref(), Some("0.0.10"));
        let long = "1".repeat(Report::VERSION_LEN_MAX + 1);
        assert_eq!(of(&format!(r#"{{"sketch_ver":"{long}"}}"#)).sketch_ver, None);
    }

    #[test]
    fn no_number_is_printed() {
        let printed = format!("{:?}", of(r#"{"imei":"490154203237518","imsi":"440525060010923"}"#));
        assert!(!printed.contains("4901") && !printed.contains("4405"), "{printed}");
    }
}
