//! Draws a story as one HTML page that needs nothing else: it opens from a
//! file, on a machine that knows no network.
//!
//! What is told may come from hostile frames. It gets into the page as JSON in
//! which no `<` is left, so that nothing in it ends the element that holds it;
//! the script shows it as text, never as markup; and the page's policy allows
//! nothing to be loaded.

use crate::story::Story;

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPTS: [&str; 4] = [
    include_str!("page/story.js"),
    include_str!("page/canvas.js"),
    include_str!("page/panels.js"),
    include_str!("page/main.js"),
];

/// The page of a story.
#[must_use]
pub fn html(story: &Story) -> String {
    let json = serde_json::to_string(story).expect("a story is numbers, texts and lists");
    let mut page = String::with_capacity(TEMPLATE.len() + STYLE.len() + 2 * json.len());
    let mut rest = TEMPLATE;
    for (mark, filling) in [
        ("/* STYLE */", STYLE),
        ("STORY", &embeddable(&json)),
        ("/* SCRIPT */", &SCRIPTS.concat()),
    ] {
        let (before, after) = rest.split_once(mark).expect("the template has the mark");
        page.push_str(before);
        page.push_str(filling);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// JSON that may stand in a script element. Outside of strings JSON has none
/// of these characters, and in strings they may be escaped.
fn embeddable(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests;
