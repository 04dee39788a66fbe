//! What single models get wrong, as the operator's rules say: `[[cwmp.quirk]]`.
//!
//! Rules are matched once in a session, and only where there are any. A device that no rule fits
//! has no quirks.

use config::{Quirk, QuirkFlag};
use cwmp::Quirks;
use model::{DeviceFacts, DeviceId};

/// Which devices, and what is done differently for them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rule {
    /// The maker's identifier, in either case.
    pub oui: Option<Box<str>>,
    /// The product class.
    pub product_class: Option<Box<str>>,
    /// The model.
    pub model: Option<Box<str>>,
    /// What the software version begins with.
    pub software: Option<Box<str>>,
    /// What is done differently.
    pub quirks: Quirks,
}

/// All that applies to a device: the flags of every rule that fits it.
///
/// `facts` are what it says of itself, or what is kept of that; without any, its identity still
/// tells maker and product class.
pub fn of(rules: &[Rule], facts: Option<&DeviceFacts>, device: &DeviceId) -> Quirks {
    let fitting = rules.iter().filter(|rule| rule.fits(facts, device));
    fitting.fold(Quirks::default(), |all, rule| union(all, rule.quirks))
}

impl Rule {
    fn fits(&self, facts: Option<&DeviceFacts>, device: &DeviceId) -> bool {
        let said =
            |pick: fn(&DeviceFacts) -> &Option<Box<str>>| facts.and_then(|it| pick(it).as_deref());
        let (oui, class) = parts(device);
        let is_encoded = |wanted: &str, class: &str| encoded(wanted).as_deref() == Some(class);
        let fits_oui = self.oui.as_deref().is_none_or(|wanted| {
            said(|it| &it.oui).or(oui).is_some_and(|oui| oui.eq_ignore_ascii_case(wanted))
        });
        let fits_class =
            self.product_class.as_deref().is_none_or(|wanted| match said(|it| &it.product_class) {
                Some(said) => said == wanted,
                None => class.is_some_and(|class| is_encoded(wanted, class)),
            });
        let fits_model =
            self.model.as_deref().is_none_or(|wanted| said(|it| &it.model) == Some(wanted));
        let fits_software = self.software.as_deref().is_none_or(|wanted| {
            said(|it| &it.software_version).is_some_and(|version| version.starts_with(wanted))
        });
        fits_oui && fits_class && fits_model && fits_software
    }
}

/// Maker and product class in `cwmp:OUI-ProductClass-Serial`, the latter percent-encoded.
fn parts(device: &DeviceId) -> (Option<&str>, Option<&str>) {
    let Some(parts) = device.as_str().strip_prefix("cwmp:") else { return (None, None) };
    let parts: Vec<&str> = parts.split('-').collect();
    match parts.as_slice() {
        [oui, class, _serial] => (Some(oui), Some(class)),
        [oui, _serial] => (Some(oui), None),
        _ => (None, None),
    }
}

/// A product class as an identity spells it.
fn encoded(class: &str) -> Option<String> {
    let device = DeviceId::cwmp("0", class, "0").ok()?;
    parts(&device).1.map(str::to_owned)
}

/// Both.
pub fn union(left: Quirks, right: Quirks) -> Quirks {
    Quirks {
        skip_root_names: left.skip_root_names | right.skip_root_names,
        boolean_literal: left.boolean_literal | right.boolean_literal,
        date_time_milliseconds: left.date_time_milliseconds | right.date_time_milliseconds,
        digest_replay: left.digest_replay | right.digest_replay,
        download_success_on_timeout: left.download_success_on_timeout
            | right.download_success_on_timeout,
        write_readonly: left.write_readonly | right.write_readonly,
    }
}

/// What profiles say is peculiar, in the words of `[[cwmp.quirk]]`. A word that is none of them is
/// passed over: profiles are checked when they are read.
pub fn named<'a>(words: impl IntoIterator<Item = &'a str>) -> Quirks {
    let mut quirks = Quirks::default();
    for word in words {
        match word {
            "skip_root_names" => quirks.skip_root_names = true,
            "boolean_literal" => quirks.boolean_literal = true,
            "date_time_milliseconds" => quirks.date_time_milliseconds = true,
            "digest_replay" => quirks.digest_replay = true,
            "download_success_on_timeout" => quirks.download_success_on_timeout = true,
            "write_readonly" => quirks.write_readonly = true,
            _ => {}
        }
    }
    quirks
}

/// As one number: what is kept of a device. A bit's meaning never changes.
pub const fn to_bits(quirks: Quirks) -> u8 {
    quirks.skip_root_names as u8
        | (quirks.boolean_literal as u8) << 1
        | (quirks.date_time_milliseconds as u8) << 2
        | (quirks.digest_replay as u8) << 3
        | (quirks.download_success_on_timeout as u8) << 4
        | (quirks.write_readonly as u8) << 5
}

/// Reads what [`to_bits`] wrote.
pub const fn from_bits(bits: u8) -> Quirks {
    Quirks {
        skip_root_names: bits & 1 != 0,
        boolean_literal: bits & 1 << 1 != 0,
        date_time_milliseconds: bits & 1 << 2 != 0,
        digest_replay: bits & 1 << 3 != 0,
        download_success_on_timeout: bits & 1 << 4 != 0,
        write_readonly: bits & 1 << 5 != 0,
    }
}

impl From<&Quirk> for Rule {
    fn from(quirk: &Quirk) -> Self {
        let said = |it: &Option<config::Said>| it.as_ref().map(|it| it.as_str().into());
        let mut quirks = Quirks::default();
        for flag in &quirk.flags {
            let slot = match flag {
                QuirkFlag::SkipRootNames => &mut quirks.skip_root_names,
                QuirkFlag::BooleanLiteral => &mut quirks.boolean_literal,
                QuirkFlag::DateTimeMilliseconds => &mut quirks.date_time_milliseconds,
                QuirkFlag::DigestReplay => &mut quirks.digest_replay,
                QuirkFlag::DownloadSuccessOnTimeout => &mut quirks.download_success_on_timeout,
                QuirkFlag::WriteReadonly => &mut quirks.write_readonly,
            };
            *slot = true;
        }
        Self {
            oui: said(&quirk.oui),
            product_class: said(&quirk.product_class),
            model: said(&quirk.model),
            software: said(&quirk.software),
            quirks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Config;

    fn rules(text: &str) -> Vec<Rule> {
        Config::parse(text).unwrap().cwmp.quirk.iter().map(Rule::from).collect()
    }

    #[test]
    fn profiles_know_the_same_words() {
        let words: Vec<_> = QuirkFlag::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(words, provisioning::profile::QUIRKS);
    }

    fn facts(model: &str, version: &str) -> DeviceFacts {
        DeviceFacts {
            oui: Some("00259e".into()),
            product_class: Some("HG 8245".into()),
            model: Some(model.into()),
            software_version: Some(version.into()),
            ..DeviceFacts::default()
        }
    }

    #[test]
    fn a_device_has_the_flags_of_every_rule_that_fits_it() {
        let rules = rules(
            "[[cwmp.quirk]]\noui = '00259E'\nflags = ['skip_root_names', 'digest_replay']\n\
             [[cwmp.quirk]]\noui = '00259E'\nsoftware = 'V3'\nflags = ['boolean_literal']\n\
             [[cwmp.quirk]]\nmodel = 'B'\nflags = ['write_readonly', 'date_time_milliseconds']\n\
             [[cwmp.quirk]]\nproduct_class = 'HG 8245'\nflags = ['download_success_on_timeout']\n",
        );
        let device = DeviceId::cwmp("00259E", "HG 8245", "1").unwrap();
        let of = |model: &str, version: &str| of(&rules, Some(&facts(model, version)), &device);
        let maker = Quirks {
            skip_root_names: true,
            digest_replay: true,
            download_success_on_timeout: true,
            ..Quirks::default()
        };
        assert_eq!(of("A", "V2R1"), maker);
        assert_eq!(of("A", "V3R1"), Quirks { boolean_literal: true, ..maker });
        let all = Quirks {
            boolean_literal: true,
            write_readonly: true,
            date_time_milliseconds: true,
            ..maker
        };
        assert_eq!(of("B", "V3"), all);
    }

    #[test]
    fn an_identity_alone_tells_maker_and_product_class() {
        let rules = rules(
            "[[cwmp.quirk]]\noui = '00259e'\nproduct_class = 'HG 8245'\nflags = ['digest_replay']\n\
             [[cwmp.quirk]]\nmodel = 'HG 8245'\nflags = ['write_readonly']\n",
        );
        let replay = Quirks { digest_replay: true, ..Quirks::default() };
        let of = |device: DeviceId| of(&rules, None, &device);
        assert_eq!(of(DeviceId::cwmp("00259E", "HG 8245", "1-2").unwrap()), replay);
        assert_eq!(of(DeviceId::cwmp("00259E", "HG", "8245").unwrap()), Quirks::default());
        assert_eq!(of(DeviceId::cwmp("00259E", "", "1").unwrap()), Quirks::default());
        assert_eq!(of(DeviceId::mqtt("00259E-HG").unwrap()), Quirks::default());
    }
}
