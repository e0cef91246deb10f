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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
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
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
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
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.var_uint_tail(u64::from(first & 0x7f), 7)
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
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        assert_eq!(Reader::new(&[5, 1, 2]).var_bytes(), Err(ReadError::End));
        assert_eq!(Reader::new(&[1, 0xff]).var_str(), Err(ReadError::Utf8));
    }

    proptest! {
        #[test]
        fn numbers_survive_a_round_trip(number in 0..=UINT_MAX, shift in 0..53_u32) {
            let number = number >> shift;
            let mut out = Vec::new();
            write_var_uint(&mut out, number);
            prop_assert_eq!(out.len(), var_uint_len(number));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.var_uint(), Ok(number));
            prop_assert!(reader.is_empty());
        }
    }
}
