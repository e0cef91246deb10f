//! Whether there is a journal, and how careful it is.
#![expect(clippy::doc_markdown, reason = "these comments are the help text")]

use clap::Args;

use super::{Parsed, or};

/// What makes edits durable before a snapshot does.
#[derive(Debug, Args)]
pub(crate) struct JournalSettings {
    /// on: an edit is durable in DATA_DIR/journal before anybody else sees it;
    /// off: for hosts without a disk
    ///
    /// With the journal, what another client has seen survives a crash and the
    /// loss of power, once this machine's disk is back. Without it a crash
    /// loses what was not saved yet, at most SAVE_MAX_WAIT and one write, unless
    /// the clients come back, who bring it again. Also with S3_BUCKET the
    /// journal lies in DATA_DIR
    #[arg(long = "journal", env = "JOURNAL", value_parser = switch)]
    #[arg(default_value = defaults::JOURNAL, value_name = "on|off")]
    pub(crate) journal: Switch,
    /// always: an edit is shown to others when it is on the disk; interval: when
    /// the system has it, which puts it on the disk every second
    ///
    /// interval survives a crash of the server, but not the loss of power: that
    /// may lose the last second. It spares slow disks
    #[arg(long = "journal-sync", env = "JOURNAL_SYNC", value_parser = journal_sync)]
    #[arg(default_value = defaults::JOURNAL_SYNC, value_name = "always|interval")]
    pub(crate) journal_sync: JournalSync,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// When an edit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JournalSync {
    /// When the disk has it.
    Always,
    /// When the system has it.
    Interval,
}

mod defaults {
    pub(super) const JOURNAL: &str = "on";
    pub(super) const JOURNAL_SYNC: &str = "always";
}

fn switch(text: &str) -> Parsed<Switch> {
    match or(text, defaults::JOURNAL) {
        "on" => Ok(Switch::On),
        "off" => Ok(Switch::Off),
        _ => Err("expected on or off"),
    }
}

fn journal_sync(text: &str) -> Parsed<JournalSync> {
    match or(text, defaults::JOURNAL_SYNC) {
        "always" => Ok(JournalSync::Always),
        "interval" => Ok(JournalSync::Interval),
        _ => Err("expected always or interval"),
    }
}
