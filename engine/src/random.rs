//! Jitter. The engine draws no entropy: it is given a seed.

use std::time::Duration;

/// A stream of numbers that follows from its seed (`SplitMix64`, Steele et al.
/// 2014). Good enough to spread retries; nothing else may rely on it.
#[derive(Debug, Clone)]
pub(crate) struct Jitter {
    state: u64,
}

impl Jitter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A stream of its own for someone.
    pub(crate) const fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    /// A duration from half of `longest` up to `longest`.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        let half = longest / 2;
        // 32 of the 64 bits make an even fraction.
        let fraction = (self.next() >> 32) as f64 / f64::from(u32::MAX);
        half + half.mul_f64(fraction)
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_split_mix_64() {
        let mut jitter = Jitter::new(1_234_567);
        let numbers: [u64; 3] = std::array::from_fn(|_| jitter.next());
        // What Vigna's reference implementation gives for this seed.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, expected);
    }
}
