//! What commands print, and how: nothing that a document holds may reach a
//! terminal as a command to it.

use std::{fmt::Write as _, time::SystemTime};

pub(super) use crate::stdout::print;

/// Tells something beside the result, on standard error.
pub(super) fn note(text: &str) {
    eprintln!("ysyncd: {text}");
}

/// A name on one line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, c| {
        if is_plain(c) {
            line.push(c);
        } else {
            write!(line, "{}", c.escape_unicode()).expect("a string takes all");
        }
        line
    })
}

/// Text with its lines, each indented.
pub(super) fn indented(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let parts: Vec<_> = line.split('\t').map(one_line).collect();
        writeln!(lines, "  {}", parts.join("\t")).expect("a string takes all");
    }
    lines
}

/// Characters that neither steer a terminal nor change the order in which
/// others are shown.
fn is_plain(c: char) -> bool {
    let turns_text =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns_text
}

/// A moment, in UTC and to the second.
pub(super) fn moment(time: Option<SystemTime>) -> Option<String> {
    // Later than the year 9999 is no time that a store means.
    let last = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
    time.filter(|time| (SystemTime::UNIX_EPOCH..=last).contains(time))
        .map(|time| humantime::format_rfc3339_seconds(time).to_string())
}

/// Where the content of a column stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table with columns as wide as they have to be.
pub(super) fn table<const N: usize>(
    columns: [(&str, Align); N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let head = columns.map(|(name, _)| name.to_owned());
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [_; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(columns).zip(widths);
        let cells: Vec<_> = cells
            .map(|((cell, (_, align)), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        table.push_str(cells.join("  ").trim_end());
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(
            one_line("ä 名 \u{1b}[2J\n\u{202e}x"),
            "ä 名 \\u{1b}[2J\\u{a}\\u{202e}x"
        );
        assert_eq!(
            indented("a\tb\n\u{7f}\r\u{9b}c"),
            "  a\tb\n  \\u{7f}\\u{d}\\u{9b}c\n"
        );
    }

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let rows = [["1", "a"], ["12345", ""]].map(|row| row.map(str::to_owned));
        let columns = [("SIZE", Align::Right), ("ID", Align::Left)];
        assert_eq!(table(columns, rows), " SIZE  ID\n    1  a\n12345\n");
    }

    #[test]
    fn moments_that_no_store_means_are_none() {
        let long_ago = SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1);
        let far = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1 << 40);
        assert_eq!(moment(Some(long_ago)), None);
        assert_eq!(moment(Some(far)), None);
        let epoch = Some(SystemTime::UNIX_EPOCH);
        assert_eq!(moment(epoch).as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
