//! Random decisions that a seed repeats.

/// A small generator (SplitMix64): the same seed throws the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Dice of their own for part `number` of the same work.
    #[must_use]
    pub fn part(&self, number: u64) -> Dice {
        let mut dice = Dice(self.0 ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.bits(); // neighbouring parts begin far apart
        dice
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// A number from `first` to `last`, both included.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True in `percent` of 100 throws.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let place = self.below(items.len() as u64);
        &items[usize::try_from(place).expect("a place in a slice")]
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_seed_repeats_and_its_parts_differ() {
        let throw = |mut dice: Dice| [dice.bits(), dice.bits(), dice.bits()];
        assert_eq!(throw(Dice::new(7)), throw(Dice::new(7)));
        assert_ne!(throw(Dice::new(7)), throw(Dice::new(8)));
        assert_ne!(throw(Dice::new(7).part(1)), throw(Dice::new(7).part(2)));
    }

    #[test]
    fn between_reaches_both_ends() {
        let mut dice = Dice::new(1);
        let thrown: std::collections::BTreeSet<u64> =
            (0..200).map(|_| dice.between(3, 5)).collect();
        assert_eq!(thrown.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
    }
}
