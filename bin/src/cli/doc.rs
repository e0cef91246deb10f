//! The words of `ysyncd doc`.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use ysyncd_engine::{DocId, DocIdError};

use super::StoreSettings;
use crate::duration;

pub(super) const AFTER_HELP: &str = "\
Documents are looked for where `ysyncd serve` with the same settings keeps
them: S3_BUCKET and S3_PREFIX (`ysyncd --help` tells how S3 is reached), or else
DATA_DIR. What a running server has not saved yet is not seen. An id is the name
that clients use, as it is: 'team/a b', not 'team%2Fa%20b'.

Examples:
  ysyncd doc list
  ysyncd doc show team/plan
  ysyncd doc verify --all
  ysyncd doc export team/plan > plan.bin
  ysyncd doc import team/copy < plan.bin
  ysyncd doc versions team/plan
  ysyncd doc restore team/plan --version 3HL4kqtJ --as team/plan-of-monday

Exit codes: 0 done, 1 not found, damaged or failed, 2 wrong usage.";

/// What is to be done with documents.
#[derive(Debug, Subcommand)]
pub(crate) enum DocCommand {
    /// List documents, with size and time of the last save
    List(ListSettings),
    /// Show what a document holds
    ///
    /// The content is built with yrs, in a process of its own: a document that
    /// somebody crafted to break yrs breaks that process and nothing else. Roots
    /// have no types in a stored document; they are shown as what they look like
    Show(ShowSettings),
    /// Check that documents can be read by every client
    ///
    /// A damaged document is refused by the server and never overwritten. Gaps
    /// are edits whose predecessors never came; they are kept and harm nobody
    Verify(VerifySettings),
    /// Write the stored bytes, a Yjs update (v1), to standard output
    Export(ExportSettings),
    /// Merge a Yjs update (v1) from standard input into a document
    ///
    /// The document is made if there is none; what it holds stays. A server that
    /// has the document open finds the import when it next saves or loads it
    Import(ImportSettings),
    /// List the versions of a document that the bucket keeps
    ///
    /// Needs a bucket with versioning enabled, and the right
    /// s3:ListBucketVersions
    Versions(VersionsSettings),
    /// Bring back an old version of a document under another id
    ///
    /// Needs the right s3:GetObjectVersion. In place it only works while
    /// nobody has the document open (--offline): Yjs merges, and whoever still
    /// holds the later state, a client with an open tab, an offline copy or
    /// another server, merges it back
    Restore(RestoreSettings),
    /// Delete a document
    ///
    /// Needs the right s3:DeleteObject. Whoever still holds the document, a
    /// client with an open tab, an offline copy or another server, makes it anew
    Delete(DeleteSettings),
    /// Build a document from standard input; `show` starts it
    #[command(hide = true)]
    Materialise(MaterialiseSettings),
}

/// What `ysyncd doc list` needs to know.
#[derive(Debug, Args)]
pub(crate) struct ListSettings {
    /// What the ids begin with
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What `ysyncd doc show` needs to know.
#[derive(Debug, Args)]
pub(crate) struct ShowSettings {
    /// Id of the document
    #[arg(value_parser = doc_id)]
    pub(crate) id: DocId,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// How long building the content may take
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    pub(crate) time_limit: Duration,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What `ysyncd doc verify` needs to know.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["id", "all"])))]
pub(crate) struct VerifySettings {
    /// Id of the document
    #[arg(value_parser = doc_id)]
    pub(crate) id: Option<DocId>,
    /// All documents
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What `ysyncd doc export` needs to know.
#[derive(Debug, Args)]
pub(crate) struct ExportSettings {
    /// Id of the document
    #[arg(value_parser = doc_id)]
    pub(crate) id: DocId,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What `ysyncd doc import` needs to know.
#[derive(Debug, Args)]
pub(crate) struct ImportSettings {
    /// Id of the document
    #[arg(value_parser = doc_id)]
    pub(crate) id: DocId,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What `ysyncd doc versions` needs to know.
#[derive(Debug, Args)]
pub(crate) struct VersionsSettings {
    /// Id of the document
    #[arg(value_parser = doc_id)]
    pub(crate) id: DocId,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What `ysyncd doc restore` needs to know.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["new_id", "offline"])))]
pub(crate) struct RestoreSettings {
    /// Id of the document
    #[arg(value_parser = doc_id)]
    pub(crate) id: DocId,
    /// The version, as `ysyncd doc versions` names it
    #[arg(long)]
    pub(crate) version: String,
    /// Id of the document to make of it; there must be none yet
    #[arg(long = "as", value_name = "NEWID", value_parser = doc_id)]
    pub(crate) new_id: Option<DocId>,
    /// Restore in place: all servers are stopped and all clients closed
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What `ysyncd doc delete` needs to know.
#[derive(Debug, Args)]
pub(crate) struct DeleteSettings {
    /// Id of the document
    #[arg(value_parser = doc_id)]
    pub(crate) id: DocId,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

/// What the process that builds documents needs to know.
#[derive(Debug, Args)]
pub(crate) struct MaterialiseSettings {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn doc_id(text: &str) -> Result<DocId, DocIdError> {
    DocId::new(text)
}
