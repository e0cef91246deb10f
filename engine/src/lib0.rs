//! The lib0 binary encoding that Yjs builds on: bounded reader, writer.
//!
//! Format: `encoding.js` and `decoding.js` of the npm package lib0. Numbers are
//! little-endian groups of seven bits with a continuation bit; strings and
//! byte arrays carry their length in bytes in front.

use thiserror::Error;

/// Largest number that JavaScript holds exactly, and so the largest that lib0
/// reads: 2^53 - 1.
pub const UINT_MAX: u64 = (1 << 53) - 1;

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum ReadError {
    /// The bytes end before the value does.
    #[error("unexpected end")]
    End,
    /// A number exceeds [`UINT_MAX`] or is longer than such a number can be.
    #[error("number out of range")]
    Range,
    /// A string is not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
}

/// Reads lib0 values from the front of a byte slice; never past its end.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    recurring: Recurring,
}

/// A number that is read again and again, to be known by its bytes.
#[derive(Debug, Clone, Copy)]
struct Recurring {
    number: u64,
    bytes: u64,
    mask: u64,
    len: usize,
}

impl Recurring {
    /// No bytes are this.
    const NONE: Self = Self {
        number: 0,
        bytes: 1,
        mask: 0,
        len: 0,
    };

    /// A number that the first `len` bytes of these tell.
    const fn new(number: u64, told: [u8; 8], len: usize) -> Self {
        let mask = u64::MAX >> (64 - 8 * len);
        Self {
            number,
            bytes: u64::from_le_bytes(told) & mask,
            mask,
            len,
        }
    }
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            recurring: Recurring::NONE,
        }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over bytes that were looked at otherwise, and are there.
    #[inline]
    pub(crate) fn pass(&mut self, len: usize) {
        self.rest = &self.rest[len..];
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`ReadError::End`].
    #[inline]
    pub fn u8(&mut self) -> Result<u8, ReadError> {
        let (&first, rest) = self.rest.split_first().ok_or(ReadError::End)?;
        self.rest = rest;
        Ok(first)
    }

    /// Reads a variable-length unsigned number of up to 53 bits.
    ///
    /// # Errors
    /// [`ReadError::End`] or [`ReadError::Range`].
    #[inline]
    pub fn var_uint(&mut self) -> Result<u64, ReadError> {
        match self.short_var_uint() {
            Some(number) => Ok(number),
            None => self.longer_var_uint(),
        }
    }

    /// A number that takes one byte.
    #[inline]
    fn short_var_uint(&mut self) -> Option<u64> {
        let (&first, rest) = self.rest.split_first()?;
        (first < 0x80).then(|| {
            self.rest = rest;
            u64::from(first)
        })
    }

    /// A number of several bytes: clocks and lengths mostly have two or three.
    #[inline]
    fn longer_var_uint(&mut self) -> Result<u64, ReadError> {
        let group = |byte: u8| u64::from(byte & 0x7f);
        // Asking once whether four are left is quicker, and nearly always so.
        match self.rest.first_chunk() {
            Some(&[a, b, _, _]) if b < 0x80 => {
                self.rest = &self.rest[2..];
                Ok(group(a) | group(b) << 7)
            }
            Some(&[a, b, c, _]) if c < 0x80 => {
                self.rest = &self.rest[3..];
                Ok(group(a) | group(b) << 7 | group(c) << 14)
            }
            _ => self.long_var_uint(),
        }
    }

    /// The longest numbers take eight bytes. Where so many are left, all groups
    /// of one are taken together: client ids mostly have five.
    fn long_var_uint(&mut self) -> Result<u64, ReadError> {
        let Some(word) = self.rest.first_chunk() else {
            return self.var_uint_tail(0, 0);
        };
        let word = u64::from_le_bytes(*word);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends == 0 {
            return Err(ReadError::Range);
        }
        let bits = ends.trailing_zeros() + 1;
        self.rest = &self.rest[(bits / 8) as usize..];
        match join_groups(word & (u64::MAX >> (64 - bits))) {
            number @ 0..=UINT_MAX => Ok(number),
            _ => Err(ReadError::Range),
        }
    }

    /// As [`Reader::var_uint`], of a number that others will mostly equal which
    /// are read by [`Reader::recurring_var_uint`].
    ///
    /// # Errors
    /// [`ReadError::End`] or [`ReadError::Range`].
    pub fn var_uint_to_recur(&mut self) -> Result<u64, ReadError> {
        let before = self.rest;
        let number = self.var_uint()?;
        let len = before.len() - self.rest.len();
        // Where fewer bytes are left, it is not looked for any more.
        let told = before.first_chunk();
        self.recurring = told.map_or(Recurring::NONE, |told| Recurring::new(number, *told, len));
        Ok(number)
    }

    /// As [`Reader::var_uint`], and sooner for a long number if the bytes are
    /// those that [`Reader::var_uint_to_recur`] read.
    ///
    /// # Errors
    /// [`ReadError::End`] or [`ReadError::Range`].
    #[inline(always)]
    pub fn recurring_var_uint(&mut self) -> Result<u64, ReadError> {
        if let Some(number) = self.short_var_uint() {
            return Ok(number);
        }
        if let Some(word) = self.rest.first_chunk()
            && u64::from_le_bytes(*word) & self.recurring.mask == self.recurring.bytes
        {
            self.rest = &self.rest[self.recurring.len..];
            return Ok(self.recurring.number);
        }
        self.longer_var_uint()
    }

    /// Passes over a variable-length signed number: a sign and up to 53 bits.
    ///
    /// # Errors
    /// [`ReadError::End`] or [`ReadError::Range`].
    pub fn skip_var_int(&mut self) -> Result<(), ReadError> {
        let first = self.u8()?;
        if first >= 0x80 {
            self.var_uint_tail(u64::from(first & 0x3f), 6)?;
        }
        Ok(())
    }

    fn var_uint_tail(&mut self, mut number: u64, mut shift: u32) -> Result<u64, ReadError> {
        while shift < 56 {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if number <= UINT_MAX {
                    Ok(number)
                } else {
                    Err(ReadError::Range)
                };
            }
            shift += 7;
        }
        Err(ReadError::Range)
    }

    /// Reads `len` bytes.
    ///
    /// # Errors
    /// [`ReadError::End`].
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ReadError::End)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a byte array with its length in front.
    ///
    /// # Errors
    /// [`ReadError::End`] or [`ReadError::Range`].
    #[inline]
    pub fn var_bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let len = self.var_uint()?;
        self.bytes(usize::try_from(len).map_err(|_| ReadError::End)?)
    }

    /// Reads a string with its length in bytes in front.
    ///
    /// # Errors
    /// As [`Reader::var_bytes`], and [`ReadError::Utf8`].
    #[inline]
    pub fn var_str(&mut self) -> Result<&'a str, ReadError> {
        std::str::from_utf8(self.var_bytes()?).map_err(|_| ReadError::Utf8)
    }
}

/// Appends a variable-length unsigned number.
#[inline]
pub fn write_var_uint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

/// Writes a variable-length unsigned number over another that takes as many
/// bytes, which is all of `place`.
pub(crate) fn overwrite_var_uint(place: &mut [u8], mut number: u64) {
    debug_assert_eq!(place.len(), var_uint_len(number));
    for byte in place {
        let more = if number >= 0x80 { 0x80 } else { 0 };
        *byte = low_byte(number) & 0x7f | more;
        number >>= 7;
    }
}

/// Appends bytes with their length in front.
pub fn write_var_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_var_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// How many bytes [`write_var_uint`] takes for a number.
#[must_use]
pub const fn var_uint_len(number: u64) -> usize {
    let bits = 64 - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// The number whose groups are the low seven bits of each byte. Each step
/// joins neighbours: to groups of 14 bits, of 28, and then to all of it.
const fn join_groups(word: u64) -> u64 {
    let pairs = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4)
}

#[allow(clippy::cast_possible_truncation, reason = "the low byte is wanted")]
const fn low_byte(number: u64) -> u8 {
    number as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_that_javascript_cannot_hold_are_refused() {
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(Reader::new(&max).var_uint(), Ok(UINT_MAX));
        let above = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(Reader::new(&above).var_uint(), Err(ReadError::Range));
        assert_eq!(Reader::new(&[0x80; 20]).var_uint(), Err(ReadError::Range));
        assert_eq!(Reader::new(&[0x80; 3]).var_uint(), Err(ReadError::End));
        assert_eq!(Reader::new(&[0x80; 7]).var_uint(), Err(ReadError::End));
        assert_eq!(Reader::new(&[0x80; 8]).var_uint(), Err(ReadError::Range));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        assert_eq!(Reader::new(&[5, 1, 2]).var_bytes(), Err(ReadError::End));
        assert_eq!(Reader::new(&[1, 0xff]).var_str(), Err(ReadError::Utf8));
    }

    proptest! {
        #[test]
        fn numbers_survive_a_round_trip(number in 0..=UINT_MAX, shift in 0..53_u32, more: [u8; 8]) {
            let number = number >> shift;
            let mut out = Vec::new();
            write_var_uint(&mut out, number);
            prop_assert_eq!(out.len(), var_uint_len(number));
            let mut over = vec![0xff; out.len()];
            overwrite_var_uint(&mut over, number);
            prop_assert_eq!(&over, &out);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.var_uint(), Ok(number));
            prop_assert!(reader.is_empty());
            out.extend(more);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.var_uint(), Ok(number));
            prop_assert_eq!(reader.rest(), &more);
        }

        #[test]
        fn numbers_are_read_the_same_when_they_recur(
            number in 0..=UINT_MAX, shift in 0..53_u32, flip in prop::option::of(0..64_u32),
        ) {
            let number = number >> shift;
            let other = (number ^ flip.map_or(0, |bit| 1 << bit)) & UINT_MAX;
            let mut out = Vec::new();
            write_var_uint(&mut out, number);
            write_var_uint(&mut out, other);
            write_var_uint(&mut out, number);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.recurring_var_uint(), Ok(number));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.var_uint_to_recur(), Ok(number));
            prop_assert_eq!(reader.recurring_var_uint(), Ok(other));
            prop_assert_eq!(reader.recurring_var_uint(), Ok(number));
            prop_assert_eq!(reader.recurring_var_uint(), Err(ReadError::End));
        }

        #[test]
        fn numbers_are_read_the_same_whatever_is_left(bytes: [u8; 8], last in 0..8_usize, low in 0..0x80_u8) {
            let mut bytes = bytes.map(|byte| byte | 0x80);
            bytes[last] = low;
            let mut with_more = bytes.to_vec();
            with_more.extend([0; 8]);
            let alone = Reader::new(&bytes[..=last]).var_uint_tail(0, 0);
            prop_assert_eq!(Reader::new(&bytes[..=last]).var_uint(), alone);
            prop_assert_eq!(Reader::new(&with_more).var_uint(), alone);
        }
    }
}
