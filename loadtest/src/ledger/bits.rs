//! A set of small numbers, a bit each.

/// Grows as needed; millions of facts fit in a few hundred KiB.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Highest number that is kept, so that a hostile one cannot take all memory: 512 MiB of bits.
    const NUMBER_MAX: usize = 1 << 32;

    /// Adds a number; returns whether it was not there.
    pub(super) fn set(&mut self, number: usize) -> bool {
        if number > Self::NUMBER_MAX {
            return true;
        }
        let (word, bit) = (number / 64, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let was_clear = self.0[word] & bit == 0;
        self.0[word] |= bit;
        was_clear
    }

    /// Whether a number is there.
    pub(super) fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Those here that are not in `other`, rising.
    pub(super) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let words = self.0.iter().enumerate();
        words.flat_map(|(at, word)| {
            let left = word & !other.0.get(at).copied().unwrap_or(0);
            (0..64).filter(move |bit| left & (1 << bit) != 0).map(move |bit| at * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_numbers() {
        let (mut all, mut some) = (Bits::default(), Bits::default());
        for number in [0, 63, 64, 200] {
            assert!(all.set(number));
        }
        assert!(!all.set(64));
        some.set(63);
        assert_eq!(
            (all.count(), all.has(200), all.has(199), all.has(9999)),
            (4, true, false, false)
        );
        assert_eq!(all.without(&some).collect::<Vec<_>>(), [0, 64, 200]);
    }
}
