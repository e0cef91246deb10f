//! Sizes, as people read and write them.

use std::fmt;

/// A number of bytes, written in the largest unit of which it is a whole number, so
/// that it is exact and can stand in a setting: `16MiB`, `65600KiB`, `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let is_whole = |shift: u32| self.0 > 0 && self.0.trailing_zeros() >= shift;
        match UNITS.into_iter().find(|(shift, _)| is_whole(*shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<usize> for Size {
    fn from(bytes: usize) -> Self {
        Self(bytes as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_exact_and_short() {
        for (bytes, text) in [
            (0, "0"),
            (1_023, "1023"),
            (1 << 10, "1KiB"),
            (16 << 20, "16MiB"),
            ((64 << 20) + (64 << 10), "65600KiB"),
            ((16 << 20) + 1, "16777217"),
            (3 << 40, "3TiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
