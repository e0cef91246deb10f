//! A run as a page.

use std::{path::Path, time::Duration};

use ysyncd_sim::{Outcome, page, story::Heading};

use super::{CommandError, failure::COMMIT, worlds::Layer, write as write_text};

/// Of a longer run the page shows so much before the violation, or the end. That
/// everything comes right is waited for up to 150 seconds: what kept it from that is
/// older still.
const SHOWN: Duration = Duration::from_secs(240);

/// What a page is about.
pub(crate) struct Subject {
    pub(crate) seed: u64,
    pub(crate) layer: Layer,
    pub(crate) command: String,
    pub(crate) configuration: String,
}

/// Writes the page of a run that was recorded as a story.
pub(crate) fn write(path: &Path, subject: Subject, outcome: Outcome) -> Result<(), CommandError> {
    let teller = outcome.story.ok_or(CommandError::NoStory)?;
    let mut story = teller.finish(outcome.end);
    story.heading = Heading {
        title: format!(
            "Seed {} of the {} layer",
            subject.seed,
            subject.layer.name()
        ),
        seed: subject.seed.to_string(),
        layer: subject.layer.name().to_owned(),
        commit: COMMIT.to_owned(),
        command: subject.command,
        configuration: subject.configuration,
    };
    story.keep_last(SHOWN);
    write_text(path, &page::html(&story))?;
    println!("{}: open it in a browser", path.display());
    Ok(())
}
