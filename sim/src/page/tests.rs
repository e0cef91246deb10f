use std::time::Duration;

use super::html;
use crate::{
    explain::{self, Explained},
    story::{ArrowKind, Heading, LaneKind, MomentKind, Story, Storyteller},
};

const HOSTILE: &str = "</script><script>alert(1)</script><!--<script> \u{2028}&amp;\"'\\";

fn hostile_story() -> Story {
    let now = Duration::from_millis(5);
    let mut teller = Storyteller::new(Heading {
        title: HOSTILE.to_owned(),
        configuration: HOSTILE.to_owned(),
        ..Heading::default()
    });
    let client = teller.lane(HOSTILE, LaneKind::Client);
    let node = teller.lane("node", LaneKind::Node);
    teller.moment(now, client, MomentKind::Note, HOSTILE);
    let mut frame = vec![2, 0, u8::try_from(HOSTILE.len()).unwrap()];
    frame.extend_from_slice(HOSTILE.as_bytes());
    let arrow = teller.frame_leaves(now, (client, node), HOSTILE, &frame);
    teller.is_lost(now, arrow);
    teller.violated(now, Some(node), "2 (NothingLost)", HOSTILE);
    teller.finish(now)
}

/// What stands in the element that holds the story, as a browser finds it.
fn embedded(page: &str) -> &str {
    let start = "<script type=\"application/json\" id=\"story\">";
    let (_, rest) = page.split_once(start).unwrap();
    rest.split_once("</script>").unwrap().0
}

#[test]
fn nothing_that_is_told_ends_the_element_that_holds_it() {
    let story = hostile_story();
    let page = html(&story);
    let json = embedded(&page);
    assert!(!json.contains(['<', '>', '&', '\u{2028}']), "{json}");
    let read: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(read, serde_json::to_value(&story).unwrap());
    assert_eq!(read["heading"]["title"], HOSTILE);
    assert!(!page.contains("alert(1)</"));
    let rest_of_a_plain_page = html(&Storyteller::new(Heading::default()).finish(Duration::ZERO));
    let scripts = |page: &str| page.matches("<script").count();
    assert_eq!(scripts(&page), scripts(&rest_of_a_plain_page));
}

/// The marks of the template are looked for in the template alone.
#[test]
fn a_story_may_speak_of_the_marks_of_the_template() {
    let marks = "/* STYLE */ STORY /* SCRIPT */";
    let heading = Heading {
        title: marks.to_owned(),
        ..Heading::default()
    };
    let page = html(&Storyteller::new(heading).finish(Duration::ZERO));
    let read: serde_json::Value = serde_json::from_str(embedded(&page)).unwrap();
    assert_eq!(read["heading"]["title"], marks);
    assert!(page.ends_with("</html>\n"));
}

/// It opens from a file, where there is no network, and may load nothing.
#[test]
fn the_page_names_nothing_outside_of_itself() {
    let page = html(&Storyteller::new(Heading::default()).finish(Duration::ZERO));
    assert!(page.contains("Content-Security-Policy\" content=\"default-src 'none'"));
    for outside in [
        "http:", "https:", " src=", "href=", "url(", "@import", "fetch(",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// What is told may be hostile: the scripts show it as text alone.
#[test]
fn the_scripts_make_no_markup_of_what_is_told() {
    for script in super::SCRIPTS {
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!script.contains(markup), "{markup}");
        }
    }
}

fn long_story() -> Story {
    let at = Duration::from_secs;
    let mut teller = Storyteller::new(Heading::default());
    let client = teller.lane("client 1", LaneKind::Client);
    let node = teller.lane("node 0", LaneKind::Node);
    for second in 0..20 {
        teller.moment(at(second), client, MomentKind::Edit, "edits");
        let kind = ArrowKind::Update;
        let arrow = teller.leaves(at(second), (client, node), kind, explain::frame(&[3]));
        teller.arrives(at(second + 1), arrow);
    }
    let shade = teller.shade(at(3), Some(node), "down");
    teller.shade_ends(at(5), shade);
    let _to_the_end = teller.shade(at(15), None, "outage");
    teller.violated(at(18), None, "1 (Converged)", "it has not");
    teller.finish(at(20))
}

#[test]
fn a_story_is_cut_to_what_came_last_before_the_violation() {
    let mut story = long_story();
    assert_eq!((story.moments.len(), story.arrows.len()), (20, 20));
    story.keep_last(Duration::from_secs(2));
    let seconds: Vec<_> = story
        .moments
        .iter()
        .map(|moment| moment.at / 1_000_000_000)
        .collect();
    assert_eq!(seconds, [16, 17, 18, 19]);
    // One more: it arrives within the window.
    assert_eq!(story.arrows.len(), 5);
    assert_eq!(story.left_out, 16 + 15);
    let shades: Vec<_> = story.shades.iter().map(|shade| &*shade.text).collect();
    assert_eq!(shades, ["outage"]);
    assert_eq!((story.start, story.end), (16_000_000_000, 20_000_000_000));
}

#[test]
fn texts_that_are_long_are_cut_and_say_how_long_they_were() {
    let explained = Explained::from("é".repeat(5_000));
    assert!(explained.text.len() < 2 * Explained::TEXT_BYTES_MAX);
    assert!(
        explained.text.ends_with("é… (10000 bytes)"),
        "{}",
        explained.text
    );
    assert!(explained.detail.len() < 2 * Explained::DETAIL_BYTES_MAX);
}
