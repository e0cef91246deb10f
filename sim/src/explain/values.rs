//! Contents of structs as text, and texts cut short.

use std::fmt::Write;

use ysyncd_engine::lib0::{ReadError, Reader};

/// Cuts a text after so many bytes, and says how many there were.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let start = &text[..text.floor_char_boundary(bytes_max)];
    format!("{start}… ({} bytes)", text.len())
}

/// Cuts what is told short; how long the telling was, nobody needs to know.
pub(super) fn clip(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes_max)])
}

/// A text in quotes: what would not be seen, or would change how the rest is
/// shown, is escaped.
pub(super) fn quote(text: &[u8], bytes_max: usize) -> String {
    let shown = &text[..text.len().min(bytes_max + 3)];
    let shown = String::from_utf8_lossy(shown);
    let shown = &shown[..shown.floor_char_boundary(bytes_max)];
    match text.len() <= bytes_max {
        true => format!("{shown:?}"),
        false => format!("{shown:?}… ({} bytes)", text.len()),
    }
}

/// A text without quotes in which everything can be seen.
pub(super) fn printable(text: &str) -> String {
    let escape = |char: char| match char {
        '"' | '\'' | '\\' => char.to_string(),
        char => char.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}

/// lib0 "any" values, one after the other, up to so many bytes of text.
pub(super) fn any_values(bytes: &[u8], bytes_max: usize) -> String {
    let mut reader = Reader::new(bytes);
    let mut out = String::new();
    while !reader.is_empty() && out.len() <= bytes_max {
        if !out.is_empty() {
            out.push_str(", ");
        }
        if let Err(error) = any_value(&mut reader, bytes_max, 0, &mut out) {
            return format!("{out}?! {error}");
        }
    }
    shortened(out, bytes.len(), bytes_max)
}

/// JSON texts, one after the other.
pub(super) fn json_values(bytes: &[u8], bytes_max: usize) -> String {
    let mut reader = Reader::new(bytes);
    let mut out = String::new();
    while !reader.is_empty() && out.len() <= bytes_max {
        if !out.is_empty() {
            out.push_str(", ");
        }
        match reader.var_str() {
            Ok(text) => out.push_str(&printable(&cut(text, bytes_max))),
            Err(error) => return format!("{out}?! {error}"),
        }
    }
    shortened(out, bytes.len(), bytes_max)
}

fn shortened(mut out: String, bytes: usize, bytes_max: usize) -> String {
    if out.len() <= bytes_max {
        return out;
    }
    out.truncate(out.floor_char_boundary(bytes_max));
    format!("{out}… ({bytes} bytes)")
}

/// Deeper than any value that is an update's.
const DEPTH_MAX: usize = 70;

fn any_value(
    reader: &mut Reader<'_>,
    bytes_max: usize,
    depth: usize,
    out: &mut String,
) -> Result<(), ReadError> {
    if depth > DEPTH_MAX {
        return Err(ReadError::Range);
    }
    match reader.u8()? {
        127 => out.push_str("undefined"),
        126 => out.push_str("null"),
        125 => integer(reader, out)?,
        124 => number(f64::from(f32::from_be_bytes(array(reader)?)), out),
        123 => number(f64::from_be_bytes(array(reader)?), out),
        122 => write!(out, "{}n", i64::from_be_bytes(array(reader)?)).expect("a string takes all"),
        121 => out.push_str("false"),
        120 => out.push_str("true"),
        119 => out.push_str(&quote(reader.var_bytes()?, bytes_max)),
        118 => object(reader, bytes_max, depth, out)?,
        117 => {
            out.push('[');
            for at in 0..reader.var_uint()? {
                if out.len() > bytes_max {
                    return Ok(());
                }
                out.push_str(if at > 0 { ", " } else { "" });
                any_value(reader, bytes_max, depth + 1, out)?;
            }
            out.push(']');
        }
        116 => {
            write!(out, "{} binary bytes", reader.var_bytes()?.len()).expect("a string takes all");
        }
        _ => return Err(ReadError::Range),
    }
    Ok(())
}

fn object(
    reader: &mut Reader<'_>,
    bytes_max: usize,
    depth: usize,
    out: &mut String,
) -> Result<(), ReadError> {
    out.push('{');
    for at in 0..reader.var_uint()? {
        if out.len() > bytes_max {
            return Ok(());
        }
        out.push_str(if at > 0 { ", " } else { "" });
        out.push_str(&quote(reader.var_bytes()?, bytes_max));
        out.push_str(": ");
        any_value(reader, bytes_max, depth + 1, out)?;
    }
    out.push('}');
    Ok(())
}

fn number(number: f64, out: &mut String) {
    write!(out, "{number}").expect("a string takes all");
}

/// A lib0 signed integer: a sign and six bits, then seven bits a byte.
fn integer(reader: &mut Reader<'_>, out: &mut String) -> Result<(), ReadError> {
    let bytes = reader.rest();
    reader.skip_var_int()?;
    let bytes = &bytes[..bytes.len() - reader.rest().len()];
    let mut magnitude = u64::from(bytes[0] & 0x3f);
    for (at, byte) in bytes[1..].iter().enumerate() {
        magnitude |= u64::from(byte & 0x7f) << (6 + 7 * at);
    }
    let sign = if bytes[0] & 0x40 == 0 { "" } else { "-" };
    write!(out, "{sign}{magnitude}").expect("a string takes all");
    Ok(())
}

fn array<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], ReadError> {
    reader.bytes(N)?.try_into().map_err(|_| ReadError::End)
}
