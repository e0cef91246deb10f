//! The check that a text is JSON, as `JSON.parse` would take it.

use serde::de::IgnoredAny;

/// Deepest nesting of JSON and of lib0 "any" values. Deeper ones would exhaust
/// the stack of some client.
pub(crate) const DEPTH_MAX: usize = 64;

/// Whether the text is one JSON value, nested at most [`DEPTH_MAX`] deep.
pub(crate) fn is_valid(text: &[u8]) -> bool {
    depth(text) <= DEPTH_MAX && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Bytes of a JSON text as `JSON.stringify` writes it, at most: 1e20 has 21 digits.
/// Nothing else grows.
pub(crate) fn written_len(text: &[u8]) -> usize {
    match may_have_exponents(text) {
        true => text.len() + exponents(text) * EXPONENT_GROWTH,
        false => text.len(),
    }
}

/// Whether an `e` stands behind a digit anywhere, be it in a string. Looks at all, as
/// that is done for many bytes at a time.
fn may_have_exponents(text: &[u8]) -> bool {
    let behind = text.get(1..).unwrap_or_default();
    let both = text.iter().zip(behind);
    both.fold(false, |found, (before, byte)| {
        found | (before.is_ascii_digit() & byte.eq_ignore_ascii_case(&b'e'))
    })
}

/// How many numbers are written with an exponent.
fn exponents(text: &[u8]) -> usize {
    let mut exponents = 0;
    let (mut in_string, mut escaped, mut before) = (false, false, 0);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'e' | b'E' if !in_string && u8::is_ascii_digit(&before) => exponents += 1,
            _ => {}
        }
        before = byte;
    }
    exponents
}

/// How much longer a number may get that is written with an exponent: 1e20 by 17.
const EXPONENT_GROWTH: usize = 17;

/// How deep arrays and objects nest. Only a bound if the text is not JSON.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_parse_takes_is_valid() {
        for text in [
            "null",
            " {\"a\":[1,-0,1e400,\"\\ud800\"]}\n",
            "\"]]]\\\"[\"",
            "1",
        ] {
            assert!(is_valid(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "undefined",
            "{",
            "[1,]",
            "01",
            "'a'",
            "1 2",
            "\"\u{1}\"",
            "\u{feff}1",
        ] {
            assert!(!is_valid(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(is_valid(nested(DEPTH_MAX).as_bytes()));
        assert!(!is_valid(nested(DEPTH_MAX + 1).as_bytes()));
        assert!(!is_valid(nested(1_000_000).as_bytes()));
    }

    #[test]
    fn a_number_may_be_written_longer_than_it_was() {
        assert_eq!(written_len(b"{\"a\":[1,true,\"1e20\"]}"), 21);
        // As JavaScript writes them.
        for (text, written) in [("1e20", "100000000000000000000"), ("1E-6", "0.000001")] {
            assert!(written_len(text.as_bytes()) >= written.len(), "{text}");
        }
        assert_eq!(written_len(b"[1e20]"), "[100000000000000000000]".len());
    }

    #[test]
    fn what_stands_side_by_side_does_not_nest() {
        let texts = ["[]", "{}"].map(|one| format!("[{}]", vec![one; DEPTH_MAX + 1].join(",")));
        for text in texts {
            assert!(is_valid(text.as_bytes()), "{text}");
        }
    }
}
