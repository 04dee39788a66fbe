//! Whether a device may be given an image: nobody bricks one by a slip.

use crate::{Image, Step, Version};

/// What is known of a device where firmware is concerned.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Candidate<'a> {
    /// Its model, as it says it.
    pub model: Option<&'a str>,
    /// The group that an operator has put it into.
    pub group: Option<&'a str>,
    /// The version that it runs, as it says it.
    pub version: Option<&'a str>,
}

/// What became of an image on other devices.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Record {
    /// Devices on which it failed.
    pub failed: u32,
    /// Devices on which it failed or was confirmed.
    pub tried: u32,
}

/// How much failing elsewhere is too much: both bounds must be reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trust {
    /// So many devices at the least.
    pub failures_min: u32,
    /// And such a share of those that tried it, in percent.
    pub failures_share: u32,
}

impl Trust {
    /// Whether an image with that record is given to nobody else.
    #[must_use]
    pub fn is_lost(&self, record: Record) -> bool {
        let share = u64::from(record.failed) * 100;
        record.failed >= self.failures_min.max(1)
            && share >= u64::from(self.failures_share) * u64::from(record.tried)
    }
}

/// Why a device is not given an image. Its text is for people.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Nobody would know whether it runs: not even force helps.
    #[error("the image names no version, so that no device could confirm it")]
    NamesNoVersion,
    /// Nobody said for which model or group it is.
    #[error("the image does not say for which model or group it is")]
    NamesNoModel,
    /// The device did not say its model.
    #[error("the device has not said its model")]
    ModelUnknown,
    /// It is for another model.
    #[error("the image is for another model")]
    WrongModel,
    /// It is for another group.
    #[error("the image is for another group")]
    WrongGroup,
    /// The device runs that version.
    #[error("the device runs this version already")]
    AlreadyRuns,
    /// The device runs a newer one.
    #[error("the device runs a newer version")]
    Downgrade,
    /// It failed on others.
    #[error("the image failed on {failed} of {tried} other devices")]
    FailedElsewhere {
        /// On how many.
        failed: u32,
        /// Of how many.
        tried: u32,
    },
}

impl Refusal {
    /// A stable word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NamesNoVersion => "names_no_version",
            Self::NamesNoModel => "names_no_model",
            Self::ModelUnknown => "model_unknown",
            Self::WrongModel => "wrong_model",
            Self::WrongGroup => "wrong_group",
            Self::AlreadyRuns => "already_runs",
            Self::Downgrade => "downgrade",
            Self::FailedElsewhere { .. } => "failed_elsewhere",
        }
    }
}

/// What speaks against giving it all the same, and does not forbid it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Doubt {
    /// The device did not say what it runs.
    #[error("the device has not said which version it runs")]
    VersionUnknown,
    /// The two versions cannot be compared.
    #[error("it cannot be told whether the version is newer than the device's")]
    Unclear,
    /// It was forced against this.
    #[error("forced: {0}")]
    Forced(Refusal),
}

/// Whether the device may be given the image, as far as anybody can tell beforehand.
///
/// # Errors
///
/// The first reason against it; where it `is_forced`, only the one that force does not help.
pub fn admit(
    image: &Image,
    device: Candidate<'_>,
    record: Record,
    trust: Trust,
    is_forced: bool,
) -> Result<Option<Doubt>, Refusal> {
    let Some(version) = &image.version else { return Err(Refusal::NamesNoVersion) };
    match judge(image, version.as_str(), device, record, trust) {
        Err(refusal) if is_forced => Ok(Some(Doubt::Forced(refusal))),
        judged => judged,
    }
}

fn judge(
    image: &Image,
    version: &str,
    device: Candidate<'_>,
    record: Record,
    trust: Trust,
) -> Result<Option<Doubt>, Refusal> {
    is_for(image, device)?;
    let doubt = match device.version {
        None => Some(Doubt::VersionUnknown),
        Some(runs) => match Version::new(runs).step_to(&Version::new(version)) {
            Step::Same => return Err(Refusal::AlreadyRuns),
            Step::Down => return Err(Refusal::Downgrade),
            Step::Up => None,
            Step::Unclear => Some(Doubt::Unclear),
        },
    };
    if trust.is_lost(record) {
        let Record { failed, tried } = record;
        return Err(Refusal::FailedElsewhere { failed, tried });
    }
    Ok(doubt)
}

/// Whether it is made for the device: for its model, its group, or both where it names both. A group
/// is an operator's word for what no device says of itself.
fn is_for(image: &Image, device: Candidate<'_>) -> Result<(), Refusal> {
    if image.model.is_none() && image.group.is_none() {
        return Err(Refusal::NamesNoModel);
    }
    if let Some(wanted) = &image.model {
        let model = device.model.ok_or(Refusal::ModelUnknown)?;
        if wanted.as_str().trim() != model.trim() {
            return Err(Refusal::WrongModel);
        }
    }
    match &image.group {
        Some(group) if device.group != Some(group.as_str()) => Err(Refusal::WrongGroup),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileType, ImageName, Label, Sha256};
    use jiff::Timestamp;
    use model::Tenant;

    const TRUST: Trust = Trust { failures_min: 3, failures_share: 20 };

    fn image(model: Option<&str>, version: Option<&str>) -> Image {
        let label = |text: Option<&str>| text.map(|it| Label::new(it).unwrap());
        Image {
            tenant: Tenant::default(),
            name: ImageName::new("fw").unwrap(),
            model: label(model),
            group: None,
            version: label(version),
            file_type: FileType::default(),
            bytes: 1,
            sha256: Sha256([0; 32]),
            signature: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn admitted(
        image: &Image,
        model: Option<&str>,
        version: Option<&str>,
        record: Record,
    ) -> Result<Option<Doubt>, Refusal> {
        admit(image, Candidate { model, group: None, version }, record, TRUST, false)
    }

    #[test]
    fn only_what_can_go_well_is_admitted() {
        let none = Record::default();
        let good = image(Some("X"), Some("0.0.10"));
        let (x, y, old) = (Some("X"), Some("Y"), Some("0.0.9"));
        assert_eq!(admitted(&good, x, old, none), Ok(None));
        assert_eq!(admitted(&good, x, None, none), Ok(Some(Doubt::VersionUnknown)));
        assert_eq!(admitted(&good, x, Some("main-3"), none), Ok(Some(Doubt::Unclear)));
        assert_eq!(admitted(&good, y, old, none), Err(Refusal::WrongModel));
        assert_eq!(admitted(&good, None, old, none), Err(Refusal::ModelUnknown));
        assert_eq!(admitted(&good, x, Some(" 0.0.10"), none), Err(Refusal::AlreadyRuns));
        assert_eq!(admitted(&good, x, Some("0.0.11"), none), Err(Refusal::Downgrade));
        assert_eq!(admitted(&image(None, x), x, old, none), Err(Refusal::NamesNoModel));
        assert_eq!(admitted(&image(x, None), x, old, none), Err(Refusal::NamesNoVersion));
    }

    #[test]
    fn a_group_stands_for_a_model_that_nobody_says() {
        let label = |text: &str| Some(Label::new(text).unwrap());
        let of = |model: Option<&str>, group| {
            let given = Image { group: label("G"), ..image(model, Some("2")) };
            let device = Candidate { model: Some("X"), group, version: Some("1") };
            admit(&given, device, Record::default(), TRUST, false)
        };
        assert_eq!(of(None, Some("G")), Ok(None));
        assert_eq!(of(None, Some("H")), Err(Refusal::WrongGroup));
        assert_eq!(of(None, None), Err(Refusal::WrongGroup));
        assert_eq!(of(Some("X"), Some("G")), Ok(None));
        assert_eq!(of(Some("Y"), Some("G")), Err(Refusal::WrongModel), "both where both are named");
    }

    #[test]
    fn what_failed_elsewhere_stops() {
        let good = image(Some("X"), Some("2"));
        let after = |failed, tried| admitted(&good, Some("X"), Some("1"), Record { failed, tried });
        assert_eq!(after(2, 2), Ok(None), "two are an accident");
        assert_eq!(after(3, 16), Ok(None), "below a fifth");
        assert_eq!(after(3, 15), Err(Refusal::FailedElsewhere { failed: 3, tried: 15 }));
    }

    #[test]
    fn force_helps_against_all_but_one() {
        let lost = Record { failed: 9, tried: 9 };
        let force = |image: &Image, version| {
            let device = Candidate { model: Some("X"), group: None, version: Some(version) };
            admit(image, device, lost, TRUST, true)
        };
        let good = image(Some("X"), Some("2"));
        let elsewhere = Refusal::FailedElsewhere { failed: 9, tried: 9 };
        assert_eq!(force(&good, "1"), Ok(Some(Doubt::Forced(elsewhere))));
        assert_eq!(force(&good, "3"), Ok(Some(Doubt::Forced(Refusal::Downgrade))));
        let wrong = image(Some("Y"), Some("2"));
        assert_eq!(force(&wrong, "1"), Ok(Some(Doubt::Forced(Refusal::WrongModel))));
        assert_eq!(force(&image(Some("X"), None), "1"), Err(Refusal::NamesNoVersion));
    }
}
