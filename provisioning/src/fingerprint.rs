//! A number for what is wanted of a device, that says nothing of it.

use crate::wanted::{Presence, ValueKind, Wanted, WantedParameter};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

impl Wanted {
    /// A number that changes whenever a value, a path or an object changes, made with a key so that
    /// it says nothing about the secrets among them. Where rules stand, how they are kept and what is
    /// only read does not count. Never 0.
    #[must_use]
    pub fn fingerprint(&self, key: &[u8; 32]) -> u64 {
        let mut hash = Hash::new(key);
        hash.parameters(&self.parameters);
        for it in &self.objects {
            hash.text(it.table.as_str());
            hash.text(match it.presence {
                Presence::Present => "present",
                Presence::Absent => "absent",
            });
            hash.count(it.keys.len());
            for (name, value) in &it.keys {
                hash.text(name);
                hash.text(value.expose());
            }
            hash.parameters(&it.parameters);
        }
        // 0 says that nothing was applied.
        hash.finish().max(1)
    }
}

/// A number for one value at one path, made with a key as the fingerprint is: who has it cannot try
/// passphrases on it. `path` is whole, without wildcards.
pub(crate) fn hash_of(key: &[u8; 32], path: &str, kind: &ValueKind, value: &str) -> u64 {
    let mut hash = Hash::new(key);
    hash.value(path, kind, value);
    hash.finish()
}

struct Hash(Hmac<Sha256>);

impl Hash {
    fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    fn count(&mut self, count: usize) {
        self.0.update(&(count as u64).to_be_bytes());
    }

    /// A text with its length before it, so that no two lists of texts are the same bytes.
    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    fn parameters(&mut self, all: &[WantedParameter]) {
        self.count(all.len());
        for it in all {
            self.value(it.path.as_str(), &it.kind, it.value.expose());
        }
    }

    fn value(&mut self, path: &str, kind: &ValueKind, value: &str) {
        self.text(path);
        self.text(match kind {
            ValueKind::AsTheDevice => "",
            ValueKind::Typed(xsd_type) => xsd_type,
            // They are sent alike.
            ValueKind::Host | ValueKind::HostOrEmpty => "string",
        });
        self.text(value);
    }

    fn finish(self) -> u64 {
        let hash = self.0.finalize().into_bytes();
        hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wanted::{Drift, Rule, WantedObject};
    use crate::{Pattern, Window};
    use model::Redacted;
    use std::time::Duration;

    fn parameter(path: &str, value: &str) -> WantedParameter {
        WantedParameter {
            path: Pattern::parse(path).unwrap(),
            value: Redacted(value.into()),
            kind: ValueKind::AsTheDevice,
            is_secret: false,
            drift: Drift::Mend,
            is_optional: false,
            verify_every: Duration::from_secs(60),
            window: None,
            rule: Rule::default(),
        }
    }

    fn wanted() -> Wanted {
        let object = WantedObject {
            table: Pattern::parse("Device.X.Y.").unwrap(),
            keys: vec![("Name".into(), Redacted("a".into()))],
            presence: Presence::Present,
            parameters: vec![parameter("Device.Z", "1")],
            rule: Rule::default(),
        };
        let parameters = vec![parameter("Device.A", "x"), parameter("Device.B", "y")];
        Wanted { parameters, objects: vec![object], ..Wanted::default() }
    }

    #[test]
    fn every_wish_counts_and_nothing_else() {
        let key = [7; 32];
        let of = |change: fn(&mut Wanted)| {
            let mut wanted = wanted();
            change(&mut wanted);
            wanted.fingerprint(&key)
        };
        let same = of(|_| {});
        assert_ne!(same, wanted().fingerprint(&[8; 32]), "the key counts");
        for change in [
            (|it| it.parameters[0].value = Redacted("z".into())) as fn(&mut Wanted),
            |it| it.parameters[0].path = Pattern::parse("Device.C").unwrap(),
            |it| it.parameters[0].kind = ValueKind::Host,
            |it| it.parameters.swap(0, 1),
            |it| drop(it.parameters.pop()),
            |it| it.objects[0].presence = Presence::Absent,
            |it| it.objects[0].keys[0].1 = Redacted("b".into()),
            |it| it.objects[0].parameters[0].value = Redacted("2".into()),
            |it| drop(it.objects[0].parameters.pop()),
        ] {
            assert_ne!(of(change), same);
        }
        for change in [
            (|it| it.parameters[0].rule.line = 9) as fn(&mut Wanted),
            |it| it.parameters[0].drift = Drift::Report,
            |it| it.parameters[0].window = Window::new(&["mon"], "01:00", "02:00", "UTC").ok(),
            |it| it.revision = crate::Revision(3),
        ] {
            assert_eq!(of(change), same);
        }
        assert_ne!(Wanted::default().fingerprint(&key), 0);
    }

    #[test]
    fn a_value_has_a_number_of_its_own_at_each_path() {
        let key = [7; 32];
        let kind = ValueKind::AsTheDevice;
        let same = hash_of(&key, "Device.A", &kind, "x");
        assert_eq!(hash_of(&key, "Device.A", &kind, "x"), same);
        for other in [
            hash_of(&[8; 32], "Device.A", &kind, "x"),
            hash_of(&key, "Device.B", &kind, "x"),
            hash_of(&key, "Device.A", &kind, "y"),
            hash_of(&key, "Device.A", &ValueKind::Typed("int".into()), "x"),
            hash_of(&key, "Device.", &kind, "Ax"),
        ] {
            assert_ne!(other, same);
        }
    }
}
