//! How several servers reach each other.

use std::ffi::OsString;

use clap::Args;

use super::Parsed;

/// The bus between servers that share a store.
#[derive(Debug, Args)]
#[command(next_help_heading = "Several nodes")]
pub(crate) struct NodeSettings {
    /// Redis through which servers that share a store carry edits and cursors to
    /// each other: `redis://user:password@host:port`, with `rediss` for TLS.
    /// Without one, what people write at one server is seen at another when that
    /// reads the store again. Set the variable rather than the option, which
    /// others on the machine see
    ///
    /// Nothing is kept there and nothing is lost with it: what is missed while it
    /// is away is brought later. Whoever can publish there can write to every
    /// document. Servers with the same Redis and REDIS_PREFIX must have the same
    /// store; the number of a database in the URL keeps nothing apart
    #[arg(long, env = "REDIS_URL", default_value = "", value_name = "URL")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(crate) redis_url: OsString,
    /// Keeps servers apart that have the same Redis and not the same store: its
    /// channels are called ysyncd:REDIS_PREFIX:DOCUMENT
    #[arg(
        long,
        env = "REDIS_PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    #[arg(value_name = "PREFIX")]
    pub(crate) redis_prefix: String,
    /// Name of this server, which no other has and which it keeps when it is
    /// started again; by default the name of its host and the port
    #[arg(long, env = "NODE_NAME", default_value = "", hide_default_value = true)]
    #[arg(value_name = "NAME", value_parser = node_name)]
    pub(crate) node_name: String,
}

fn node_name(text: &str) -> Parsed<String> {
    let is_name = text.len() <= 255 && !text.chars().any(char::is_control);
    is_name
        .then(|| text.to_owned())
        .ok_or("expected up to 255 bytes without control characters")
}
