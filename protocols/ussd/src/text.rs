//! How long a text is on the air: GSM-7 with its two-septet characters, or UCS-2.
//!
//! Spec: 3GPP TS 23.038 6.2.1 (default alphabet and extension table) and 6.2.3 (UCS-2); a USSD string
//! has 160 octets (TS 24.080), which hold 182 septets or 80 UCS-2 units.

/// In which alphabet a text travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alphabet {
    /// GSM 7-bit default alphabet.
    Gsm7,
    /// Two octets for each UTF-16 unit: one character outside GSM-7 is enough.
    Ucs2,
}

/// How long a screen may be in each alphabet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Most septets of a GSM-7 text.
    pub septets: usize,
    /// Most UTF-16 units of any other text.
    pub units: usize,
}

impl Limits {
    /// What one USSD message holds: 160 octets.
    pub const GSM: Self = Self { septets: 182, units: 80 };

    /// What a network shows that takes `characters` in GSM-7 and `octets` in all: seven bits a septet,
    /// two octets a UTF-16 unit, and never more than a USSD string holds.
    pub const fn of(characters: usize, octets: usize) -> Self {
        let packed = octets.saturating_mul(8) / 7;
        let septets = if characters < packed { characters } else { packed };
        Self { septets, units: octets / 2 }.narrowed(Self::GSM)
    }

    /// What fits both.
    #[must_use]
    pub const fn narrowed(self, other: Self) -> Self {
        let septets = if self.septets < other.septets { self.septets } else { other.septets };
        let units = if self.units < other.units { self.units } else { other.units };
        Self { septets, units }
    }

    /// How far `text` goes over the limit of its alphabet, in that alphabet's units; 0 when it fits.
    pub fn excess(self, text: &str) -> usize {
        match alphabet(text) {
            Alphabet::Gsm7 => septets(text).saturating_sub(self.septets),
            Alphabet::Ucs2 => units(text).saturating_sub(self.units),
        }
    }

    /// The longest start of `text` that fits. Cuts between characters, never inside one.
    pub fn clip(self, text: &str) -> &str {
        if self.excess(text) == 0 {
            return text;
        }
        // A start of the text may be GSM-7 where the whole is not: then more of it fits.
        let (mut septets, mut units, mut pure, mut end) = (0, 0, true, 0);
        for (at, letter) in text.char_indices() {
            let width = septet_width(letter);
            pure &= width > 0;
            septets += width;
            units += letter.len_utf16();
            let fits = if pure { septets <= self.septets } else { units <= self.units };
            if !fits {
                break;
            }
            end = at + letter.len_utf8();
        }
        &text[..end]
    }
}

/// The alphabet `text` needs.
pub(crate) fn alphabet(text: &str) -> Alphabet {
    if text.chars().all(|letter| septet_width(letter) > 0) {
        Alphabet::Gsm7
    } else {
        Alphabet::Ucs2
    }
}

/// How many septets `letter` takes in GSM-7; 0 when it has none.
pub(crate) const fn septet_width(letter: char) -> usize {
    match letter {
        '\n' | '\r' | ' '..='Z' | 'a'..='z' | '_' => 1,
        '£' | '¥' | 'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' => 1,
        'Δ' | 'Φ' | 'Γ' | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' => 1,
        'Æ' | 'æ' | 'ß' | 'É' | '¤' | '¡' | 'Ä' | 'Ö' | 'Ñ' | 'Ü' | '§' | '¿' => 1,
        'ä' | 'ö' | 'ñ' | 'ü' | 'à' => 1,
        '\u{0C}' | '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => 2,
        _ => 0,
    }
}

/// How many septets `text` takes, characters without one left out.
pub(crate) fn septets(text: &str) -> usize {
    text.chars().map(septet_width).sum()
}

/// How many UTF-16 units `text` takes.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_alphabet_is_the_standard_s() {
        // TS 23.038 6.2.1: 127 characters beside the escape, 10 behind it.
        let count = |width| ('\0'..='\u{FFFF}').filter(|&it| septet_width(it) == width).count();
        assert_eq!(count(1), 127);
        assert_eq!(count(2), 10);
        assert_eq!(septet_width('`'), 0);
        assert_eq!(septet_width('ç'), 0, "only the capital has a place");
        assert_eq!(alphabet("Karibu — soma"), Alphabet::Ucs2, "the dash that cost a greeting half");
    }

    #[test]
    fn limits_are_those_of_160_octets() {
        assert_eq!(Limits::GSM.excess(&"a".repeat(182)), 0);
        assert_eq!(Limits::GSM.excess(&"a".repeat(183)), 1);
        assert_eq!(Limits::GSM.excess(&"€".repeat(91)), 0);
        assert_eq!(Limits::GSM.excess(&"€".repeat(92)), 2);
        assert_eq!(Limits::GSM.excess(&"ç".repeat(80)), 0);
        assert_eq!(Limits::GSM.excess(&"ç".repeat(81)), 1);
        assert_eq!(Limits::GSM.excess(&"😀".repeat(41)), 2);
    }

    proptest! {
        #[test]
        fn a_clipped_text_fits_and_one_more_would_not(text in "[a-z€ç😀\n]{0,260}") {
            let clipped = Limits::GSM.clip(&text);
            prop_assert_eq!(Limits::GSM.excess(clipped), 0);
            if let Some(next) = text[clipped.len()..].chars().next() {
                let one_more = format!("{clipped}{next}");
                prop_assert!(Limits::GSM.excess(&one_more) > 0);
            }
        }
    }
}
