//! Sizes, as people write them.

use bytesize::ByteSize;

/// Reads `67108864`, `64MiB` or `64 MB`, from 1 KiB to 1 TiB.
///
/// # Errors
/// The text is no such size; the message says what is expected.
pub(crate) fn parse(text: &str) -> Result<usize, &'static str> {
    let size: ByteSize = text.parse().map_err(|_| EXPECTED)?;
    usize::try_from(size.as_u64())
        .ok()
        .filter(|bytes| (1 << 10..=1 << 40).contains(bytes))
        .ok_or(EXPECTED)
}

const EXPECTED: &str = "expected a size from 1KiB to 1TiB, such as 64MiB, or plain bytes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("1024", 1 << 10),
            ("64MiB", 64 << 20),
            ("64 MB", 64_000_000),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for bad in ["", "1023", "2TiB", "-1", "MiB", "64 parsecs", "1e9"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
