//! The command line and the environment.
#![expect(clippy::doc_markdown, reason = "these comments are the help text")]

mod access;
mod connections;
mod doc;
mod handshakes;
mod journal;
mod limits;
mod nodes;
mod presence;
mod rates;

use std::{ffi::OsString, path::PathBuf, thread::available_parallelism, time::Duration};

use clap::{
    ArgAction, Args, CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use tracing_subscriber::filter::{LevelFilter, Targets};

pub(crate) use self::{
    access::{AccessSettings, Expiry, KindSettings, RightSettings},
    connections::ConnectionSettings,
    doc::{
        DeleteSettings, DocCommand, ExportSettings, ImportSettings, ListSettings,
        MaterialiseSettings, RestoreSettings, ShowSettings, VerifySettings, VersionsSettings,
    },
    handshakes::HandshakeSettings,
    journal::{JournalSettings, JournalSync, Switch},
    limits::LimitSettings,
    nodes::NodeSettings,
    presence::PresenceSettings,
    rates::RateSettings,
};
use crate::{duration, failure::Failure};

const AFTER_HELP: &str = "\
S3: credentials and region are found as AWS's own tools find them:
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN   keys
  AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE     or a profile
  AWS_REGION                                                    region of the bucket
  AWS_ENDPOINT_URL_S3                                           URL of a store that is not AWS's
The keys need s3:GetObject, s3:PutObject and s3:ListBucket; without the last
one a missing document cannot be told from a forbidden one. At start the object
.ysyncd-probe shows whether the bucket honours conditional writes.

A variable that is set to nothing counts as not set.
Exit codes: 0 all is saved, 1 something failed, 2 the configuration is wrong.";

/// What the program is asked to do.
///
/// # Errors
/// A word of the command line or a variable is wrong; the message names it.
pub(crate) fn command() -> Result<Command, Failure> {
    let cli = Cli::try_parse().map_err(|error| explain(&error))?;
    Ok(cli
        .command
        .unwrap_or_else(|| Command::Serve(Box::new(cli.serve))))
}

#[derive(Debug, Parser)]
#[command(
    name = "ysyncd",
    version,
    about = "A Yjs-compatible WebSocket sync server. Without a command it serves.",
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeSettings,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve documents (also what is done without a command)
    #[command(after_help = AFTER_HELP)]
    Serve(Box<ServeSettings>),
    /// Print a token for a user
    Token(TokenSettings),
    /// Look after stored documents: list, show, verify, export, import, …
    #[command(subcommand, after_help = doc::AFTER_HELP, disable_help_subcommand = true)]
    Doc(DocCommand),
}

/// What `ysyncd token` needs to know.
#[derive(Debug, Args)]
pub(crate) struct TokenSettings {
    /// Name of the user, up to 256 bytes
    pub(crate) user_id: String,
    #[command(flatten)]
    pub(crate) rights: RightSettings,
    #[command(flatten)]
    pub(crate) kinds: KindSettings,
    #[command(flatten)]
    pub(crate) secret: SecretSettings,
    #[command(flatten)]
    pub(crate) folder: FolderSettings,
}

/// What the secret is.
#[derive(Debug, Args)]
pub(crate) struct SecretSettings {
    /// Secret that tokens are signed with, at least 16 bytes. Without it `serve`
    /// makes one and keeps it in DATA_DIR/secret, for use on this machine alone. Set
    /// the variable rather than the option, which others on the machine see
    #[arg(
        env = "SYNC_SHARED_SECRET",
        hide_env_values = true,
        hide_default_value = true
    )]
    #[arg(long, default_value = "")]
    pub(crate) shared_secret: OsString,
}

/// Where this machine keeps what it must.
#[derive(Debug, Args)]
pub(crate) struct FolderSettings {
    /// Folder of the journal; of the documents, unless S3_BUCKET is set; and of
    /// the secret, unless SYNC_SHARED_SECRET is
    #[arg(long, env = "DATA_DIR", default_value = defaults::DATA_DIR, value_parser = data_dir)]
    pub(crate) data_dir: PathBuf,
}

/// Where documents are kept.
#[derive(Debug, Args)]
pub(crate) struct StoreSettings {
    #[command(flatten)]
    pub(crate) folder: FolderSettings,
    /// S3 bucket to keep documents in, instead of DATA_DIR
    #[arg(long, env = "S3_BUCKET", default_value = "", hide_default_value = true)]
    #[arg(value_parser = s3_bucket)]
    pub(crate) s3_bucket: String,
    /// What the keys of objects in the bucket begin with, before a '/'
    #[arg(long, env = "S3_PREFIX", default_value = "", hide_default_value = true)]
    #[arg(value_parser = s3_prefix)]
    pub(crate) s3_prefix: String,
    /// check: refuse a bucket that does not honour conditional writes; trust:
    /// do not ask
    ///
    /// Every document is written on condition that it is still the one that was
    /// read. Some stores ignore conditions and answer that all is well; there,
    /// two servers that write one document overwrite each other's edits. So at
    /// start the object .ysyncd-probe is written and overwritten under wrong
    /// conditions, which must be refused, and one with a very long name shows
    /// whether the store keeps it. Set trust only for a store that you know, or
    /// where a single server writes and you take the risk
    #[arg(long, env = "S3_CONDITIONS", value_parser = s3_conditions)]
    #[arg(default_value = defaults::S3_CONDITIONS)]
    pub(crate) s3_conditions: Conditions,
}

/// What `ysyncd serve` needs to know.
#[derive(Debug, Args)]
pub(crate) struct ServeSettings {
    #[command(flatten)]
    pub(crate) secret: SecretSettings,
    #[command(flatten)]
    pub(crate) access: AccessSettings,
    /// Address or host name to listen on
    #[arg(long, env = "HOST", default_value = defaults::HOST, value_parser = host)]
    pub(crate) host: String,
    /// Port to listen on; 0 for any that is free
    #[arg(long, env = "PORT", default_value = defaults::PORT, value_parser = port)]
    pub(crate) port: u16,
    /// Threads that documents are shared among, or auto for as many as there are
    /// processors; each serves its documents with all their connections. One does
    /// for some thousand people. Limits on all documents together are divided
    /// among them
    #[arg(long, env = "SHARDS", default_value = defaults::SHARDS, value_parser = shards)]
    #[arg(value_name = "THREADS")]
    pub(crate) shards: usize,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
    #[command(flatten)]
    pub(crate) journal: JournalSettings,
    /// A document is saved this long after its last change; 5s, 500ms, 2m, or
    /// plain seconds
    #[arg(long, env = "SAVE_DEBOUNCE", value_parser = save_debounce)]
    #[arg(default_value = defaults::SAVE_DEBOUNCE)]
    pub(crate) save_debounce: Duration,
    /// … but at the latest this long after its first unsaved one
    #[arg(long, env = "SAVE_MAX_WAIT", value_parser = save_max_wait)]
    #[arg(default_value = defaults::SAVE_MAX_WAIT)]
    pub(crate) save_max_wait: Duration,
    /// How long saving may take after SIGTERM or SIGINT
    #[arg(long, env = "SHUTDOWN_TIMEOUT", value_parser = shutdown_timeout)]
    #[arg(default_value = defaults::SHUTDOWN_TIMEOUT)]
    pub(crate) shutdown_timeout: Duration,
    #[command(flatten)]
    pub(crate) limits: LimitSettings,
    #[command(flatten)]
    pub(crate) presence: PresenceSettings,
    #[command(flatten)]
    pub(crate) nodes: NodeSettings,
    #[command(flatten)]
    pub(crate) handshakes: HandshakeSettings,
    #[command(flatten)]
    pub(crate) connections: ConnectionSettings,
    #[command(flatten)]
    pub(crate) rates: RateSettings,
    /// Drop deleted content, as Yjs does; false keeps it, for clients that
    /// look at old versions
    #[arg(long, env = "GC", default_value = defaults::GC, value_parser = gc)]
    #[arg(action = ArgAction::Set)]
    pub(crate) gc: bool,
    /// How log lines look, human or json; by default human on a terminal,
    /// json elsewhere
    #[arg(
        long,
        env = "LOG_FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    #[arg(value_parser = log_format)]
    pub(crate) log_format: Setting<LogFormat>,
    /// What is logged: error, warn, info, debug, trace or off, also by module
    /// as in 'info,ysyncd_net=debug'; by default RUST_LOG, else info
    #[arg(long, env = "LOG", default_value = "", hide_default_value = true)]
    #[arg(value_parser = log_filter)]
    pub(crate) log: Setting<Targets>,
    #[arg(long, env = "RUST_LOG", default_value = "", hide = true)]
    #[arg(value_parser = log_filter)]
    pub(crate) rust_log: Setting<Targets>,
}

/// A value that may have been left open.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T>(pub(crate) Option<T>);

/// Whether a store is believed to honour conditional writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conditions {
    /// It is asked.
    Check,
    /// It is believed.
    Trust,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// More than any machine is good for.
const SHARDS_MAX: usize = 256;

/// A key in S3 has at most 1,024 bytes, and the longest object name with its
/// slash takes 905.
const S3_PREFIX_BYTES_MAX: usize = 119;

/// Values of variables that are not set, or set to nothing.
mod defaults {
    pub(super) const DATA_DIR: &str = "./data";
    pub(super) const HOST: &str = "127.0.0.1";
    pub(super) const PORT: &str = "1234";
    pub(super) const SHARDS: &str = "1";
    pub(super) const S3_CONDITIONS: &str = "check";
    pub(super) const SAVE_DEBOUNCE: &str = "5s";
    pub(super) const SAVE_MAX_WAIT: &str = "30s";
    pub(super) const SHUTDOWN_TIMEOUT: &str = "25s";
    pub(super) const GC: &str = "true";
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

// Each parser answers with what it expected instead.
type Parsed<T> = Result<T, &'static str>;

/// A number of which none would let nothing through.
fn number(text: &str) -> Parsed<usize> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("expected a number from 1")
}

fn data_dir(text: &str) -> Parsed<PathBuf> {
    Ok(or(text, defaults::DATA_DIR).into())
}

fn host(text: &str) -> Parsed<String> {
    Ok(or(text, defaults::HOST).to_owned())
}

fn port(text: &str) -> Parsed<u16> {
    let port = or(text, defaults::PORT).parse();
    port.map_err(|_| "expected a port number from 0 to 65535")
}

fn shards(text: &str) -> Parsed<usize> {
    match or(text, defaults::SHARDS) {
        "auto" => Ok(available_parallelism()
            .map_or(1, usize::from)
            .min(SHARDS_MAX)),
        text => {
            let shards = text.parse().ok();
            let shards = shards.filter(|shards| (1..=SHARDS_MAX).contains(shards));
            shards.ok_or("expected a number from 1 to 256, or auto")
        }
    }
}

fn s3_bucket(text: &str) -> Parsed<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (text.len() <= 255 && text.chars().all(is_name))
        .then(|| text.to_owned())
        .ok_or("expected the name of a bucket: letters, digits, '.', '-' and '_'")
}

fn s3_prefix(text: &str) -> Parsed<String> {
    (text.len() <= S3_PREFIX_BYTES_MAX)
        .then(|| text.to_owned())
        .ok_or("expected at most 119 bytes, which leaves room for the longest document id")
}

fn s3_conditions(text: &str) -> Parsed<Conditions> {
    match or(text, defaults::S3_CONDITIONS) {
        "check" => Ok(Conditions::Check),
        "trust" => Ok(Conditions::Trust),
        _ => Err("expected check or trust"),
    }
}

fn save_debounce(text: &str) -> Parsed<Duration> {
    duration::parse(or(text, defaults::SAVE_DEBOUNCE))
}

fn save_max_wait(text: &str) -> Parsed<Duration> {
    duration::parse(or(text, defaults::SAVE_MAX_WAIT))
}

fn shutdown_timeout(text: &str) -> Parsed<Duration> {
    duration::parse(or(text, defaults::SHUTDOWN_TIMEOUT))
}

fn gc(text: &str) -> Parsed<bool> {
    let gc = or(text, defaults::GC).parse();
    gc.map_err(|_| "expected true or false")
}

fn log_format(text: &str) -> Parsed<Setting<LogFormat>> {
    match text {
        "" => Ok(Setting(None)),
        "human" => Ok(Setting(Some(LogFormat::Human))),
        "json" => Ok(Setting(Some(LogFormat::Json))),
        _ => Err("expected human or json"),
    }
}

fn log_filter(text: &str) -> Parsed<Setting<Targets>> {
    if text.is_empty() {
        return Ok(Setting(None));
    }
    // A single word would pass for the name of a module otherwise.
    let has_levels = text
        .split(',')
        .all(|part| part.contains('=') || part.parse::<LevelFilter>().is_ok());
    let filter = text.parse().ok().filter(|_| has_levels);
    filter
        .map(|filter| Setting(Some(filter)))
        .ok_or("expected a level such as info, or levels by module as in info,ysyncd_net=debug")
}

/// One line for what clap tells in several. Help and version are no errors.
fn explain(error: &clap::Error) -> Failure {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    if let (ErrorKind::ValueValidation, Some(arg), Some(value)) = (
        error.kind(),
        context(ContextKind::InvalidArg),
        context(ContextKind::InvalidValue),
    ) {
        let expected = std::error::Error::source(error).map(ToString::to_string);
        let (name, expected) = (variable(arg), expected.unwrap_or_default());
        return Failure::configuration(format_args!("{name} is {value:?}: {expected}"));
    }
    if matches!(error.kind(), ErrorKind::InvalidUtf8) {
        return Failure::configuration("a word or a variable is not UTF-8");
    }
    // Clap's own words for the rest, which ends the process.
    error.exit()
}

/// The variable behind an argument that clap names like `--port <PORT>`.
fn variable(arg: &str) -> String {
    let cli = Cli::command();
    let long = arg.trim_start_matches('-').split(' ').next();
    let found = cli.get_arguments().find(|known| known.get_long() == long);
    found
        .and_then(|known| known.get_env())
        .map_or_else(|| arg.to_owned(), |env| env.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ysyncd_engine::auth::{TokenKey, TokenVerifier};
    use ysyncd_net::Config;

    use super::*;

    const README: &str = include_str!("../../README.md");

    #[test]
    fn every_variable_has_a_row_in_the_readme_with_its_default() {
        let cli = Cli::command();
        let rows: Vec<_> = README
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .collect();
        let mut seen = BTreeSet::new();
        for arg in cli.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let Some(variable) = arg.get_env().and_then(|env| env.to_str()) else {
                continue;
            };
            let default = arg.get_default_values().first();
            let default = default.and_then(|default| default.to_str()).unwrap_or("");
            let row = format!("{variable}` | `{default}` |");
            let is_row = |line: &&&str| match default {
                "" => line.starts_with(&format!("{variable}` |")),
                _ => line.starts_with(&row),
            };
            assert_eq!(rows.iter().filter(is_row).count(), 1, "{row}");
            seen.insert(variable);
        }
        assert!(seen.len() > 50, "{seen:?}");
    }

    /// What the limits on a command line come to.
    fn configured(args: &[&str]) -> String {
        let words = ["ysyncd"].iter().chain(args);
        let settings = Cli::try_parse_from(words).unwrap().serve;
        let mut config = Config::new(TokenVerifier::new(TokenKey::new(b"secret")), 1);
        settings.limits.apply_to(&mut config.engine);
        settings.presence.apply_to(&mut config.engine);
        settings.handshakes.apply_to(&mut config);
        settings.connections.apply_to(&mut config);
        settings.rates.apply_to(&mut config);
        format!("{config:?}")
    }

    #[test]
    fn every_limit_reaches_the_configuration() {
        let before = configured(&[]);
        let mut seen = 0;
        for arg in Cli::command().get_arguments() {
            let kind = arg.get_value_names().and_then(|names| names.first());
            let value = match kind.map(clap::builder::Str::as_str) {
                Some("COUNT") => "77",
                Some("SIZE") => "100KiB",
                Some("TIME") => "77s",
                _ => continue,
            };
            let option = format!("--{}={value}", arg.get_long().unwrap());
            assert_ne!(configured(&[&option]), before, "{option}");
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn what_must_not_be_zero_is_a_number_from_one() {
        assert_eq!(number("1"), Ok(1));
        for bad in ["0", "-1", "", "off", "1.5", "99999999999999999999999"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
