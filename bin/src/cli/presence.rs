//! How much presence there may be.

use std::num::NonZeroUsize;

use clap::Args;
use ysyncd_engine::Config;

use super::{Parsed, number, or};
use crate::bytes;

/// Limits of awareness, which shows who is there.
#[derive(Debug, Args)]
#[command(next_help_heading = "Presence")]
pub(crate) struct PresenceSettings {
    /// Clients that one connection may speak for beside its own, those included that
    /// went in the last half minute; one page is one client. Others are not shown
    #[arg(long, env = "AWARENESS_IDS_MAX", value_parser = ids_max)]
    #[arg(default_value = defaults::IDS_MAX, value_name = "COUNT")]
    pub(crate) awareness_ids_max: usize,
    /// State of one client, as JavaScript writes it in JSON: its name, cursor, and
    /// what else a page shows. Larger ones are not shown
    #[arg(long, env = "AWARENESS_STATE_BYTES_MAX", value_parser = state_bytes_max)]
    #[arg(default_value = defaults::STATE_BYTES_MAX, value_name = "SIZE")]
    pub(crate) awareness_state_bytes_max: usize,
    /// States of all clients that one connection speaks for beside its own, together.
    /// What is more is not shown
    #[arg(long, env = "AWARENESS_BYTES_MAX", value_parser = bytes_max)]
    #[arg(default_value = defaults::BYTES_MAX, value_name = "SIZE")]
    pub(crate) awareness_bytes_max: usize,
    /// States of all clients that the connections of one user speak for, to one document
    /// of this server. What is more is not shown, nor what a page shows renewed
    #[arg(long, env = "AWARENESS_BYTES_PER_USER_MAX", value_parser = bytes_per_user_max)]
    #[arg(default_value = defaults::BYTES_PER_USER_MAX, value_name = "SIZE")]
    pub(crate) awareness_bytes_per_user_max: usize,
    /// How much may be said of who is there a second, in one document and by the
    /// clients of this server; what is more is told later, the last of each client.
    /// Each client repeats what it hears
    #[arg(long, env = "AWARENESS_BYTES_PER_SECOND", value_parser = bytes_per_second)]
    #[arg(default_value = defaults::BYTES_PER_SECOND, value_name = "SIZE")]
    pub(crate) awareness_bytes_per_second: NonZeroUsize,
    /// Clients of one document that left and are remembered for a while, so that
    /// late echoes of others do not bring them back
    #[arg(long, env = "AWARENESS_GONE_MAX", value_parser = gone_max)]
    #[arg(default_value = defaults::GONE_MAX, value_name = "COUNT")]
    pub(crate) awareness_gone_max: usize,
}

impl PresenceSettings {
    /// Brings them into a configuration.
    pub(crate) fn apply_to(&self, config: &mut Config) {
        config.awareness_ids_max = self.awareness_ids_max;
        config.awareness_state_bytes_max = self.awareness_state_bytes_max;
        config.awareness_bytes_max = self.awareness_bytes_max;
        config.awareness_bytes_per_user_max = self.awareness_bytes_per_user_max;
        config.awareness_bytes_per_second = self.awareness_bytes_per_second;
        config.awareness_gone_max = self.awareness_gone_max;
    }
}

mod defaults {
    pub(super) const IDS_MAX: &str = "64";
    pub(super) const STATE_BYTES_MAX: &str = "64KiB";
    pub(super) const BYTES_MAX: &str = "128KiB";
    pub(super) const BYTES_PER_USER_MAX: &str = "1MiB";
    pub(super) const BYTES_PER_SECOND: &str = "512KiB";
    pub(super) const GONE_MAX: &str = "10000";
}

fn ids_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::IDS_MAX))
}

fn state_bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::STATE_BYTES_MAX))
}

fn bytes_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::BYTES_MAX))
}

fn bytes_per_user_max(text: &str) -> Parsed<usize> {
    bytes::parse(or(text, defaults::BYTES_PER_USER_MAX))
}

fn bytes_per_second(text: &str) -> Parsed<NonZeroUsize> {
    let rate = bytes::parse(or(text, defaults::BYTES_PER_SECOND))?;
    NonZeroUsize::new(rate).ok_or("expected more than 0, as nobody could be shown")
}

fn gone_max(text: &str) -> Parsed<usize> {
    number(or(text, defaults::GONE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let config = Config::default();
        assert_eq!(ids_max(""), Ok(config.awareness_ids_max));
        assert_eq!(state_bytes_max(""), Ok(config.awareness_state_bytes_max));
        assert_eq!(bytes_max(""), Ok(config.awareness_bytes_max));
        let per_user = config.awareness_bytes_per_user_max;
        assert_eq!(bytes_per_user_max(""), Ok(per_user));
        let rate = config.awareness_bytes_per_second;
        assert_eq!(bytes_per_second(""), Ok(rate));
        assert!(bytes_per_second("0").is_err());
        assert_eq!(gone_max(""), Ok(config.awareness_gone_max));
    }
}
