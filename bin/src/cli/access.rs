//! Who is let in.

use std::{ffi::OsString, time::Duration};

use clap::Args;
use ysyncd_engine::auth::{DocumentPattern, Kinds};
use ysyncd_net::Origin;

use super::{Parsed, Setting, or};
use crate::duration;

/// Which tokens are accepted, and from which pages.
#[derive(Debug, Args)]
pub(crate) struct AccessSettings {
    #[command(flatten)]
    pub(crate) kinds: KindSettings,
    /// required: a JWT without exp is refused; optional: it lasts for ever
    #[arg(long, env = "JWT_EXP", default_value = defaults::JWT_EXP, value_parser = jwt_exp)]
    #[arg(value_name = "required|optional")]
    pub(crate) jwt_exp: Expiry,
    /// Secret of before: what is signed with it is accepted, too, until all have
    /// tokens of the new one; at least 16 bytes, too
    #[arg(long, env = "SYNC_SHARED_SECRET_PREVIOUS", default_value = "")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(crate) shared_secret_previous: OsString,
    /// Origins of pages that may open documents: a scheme and a host each, with
    /// commas between; by default all may. What is no browser is let in without
    /// one
    #[arg(
        long,
        env = "ALLOWED_ORIGINS",
        default_value = "",
        hide_default_value = true
    )]
    #[arg(value_parser = allowed_origins)]
    pub(crate) allowed_origins: Setting<Vec<Origin>>,
    /// Serve a page at / to try the server with, true or false; by default only
    /// where the secret was made here, and then the page needs no token
    #[arg(long, env = "DEMO", default_value = "", hide_default_value = true)]
    #[arg(value_name = "true|false", value_parser = demo)]
    pub(crate) demo: Setting<bool>,
    /// Token for the page at /inspector, which shows documents, connections and
    /// users, 16 bytes or more; without one there is no such page, but for the
    /// place where the page at / needs no token
    #[arg(long, env = "ADMIN_TOKEN", default_value = "")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(crate) admin_token: OsString,
}

/// Which kinds of tokens there are.
#[derive(Debug, Args)]
pub(crate) struct KindSettings {
    /// Kinds of tokens that are accepted: token, which is userId:signature and
    /// opens every document for ever; jwt, which is a JSON web token signed with
    /// the same secret (HS256)
    ///
    /// Of a JWT these claims count: sub, the user; exp and nbf, when it ends and
    /// begins; docs, a list of document ids, where one that ends with * means all
    /// that begin so, and no list means all documents; access, "read" or "write".
    /// A connection is closed with 4401 when its token expires
    #[arg(long, env = "AUTH", default_value = defaults::AUTH, value_parser = auth)]
    #[arg(value_name = "KINDS", verbatim_doc_comment)]
    pub(crate) auth: Kinds,
}

/// Whether a JWT must say when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It must.
    Required,
    /// It need not.
    Optional,
}

/// What a token that is minted here allows; by default all.
#[derive(Debug, Default, Args)]
pub(crate) struct RightSettings {
    /// Only this document, or all that begin so if it ends with *; can be given
    /// several times. Makes a JWT
    #[arg(long = "doc", value_name = "ID", value_parser = document)]
    pub(crate) docs: Vec<DocumentPattern>,
    /// Allow reading only. Makes a JWT
    #[arg(long)]
    pub(crate) read_only: bool,
    /// How long the token is good; 90s, 30m, 1h, 7d. Makes a JWT; one that is
    /// made without it, as where AUTH is jwt, is good for an hour
    #[arg(long, value_name = "TIME", value_parser = duration::parse_long)]
    pub(crate) ttl: Option<Duration>,
}

mod defaults {
    pub(super) const AUTH: &str = "token,jwt";
    pub(super) const JWT_EXP: &str = "required";
}

fn auth(text: &str) -> Parsed<Kinds> {
    let mut kinds = Kinds {
        plain: false,
        jwt: false,
    };
    for kind in or(text, defaults::AUTH).split(',') {
        match kind.trim() {
            "token" => kinds.plain = true,
            "jwt" => kinds.jwt = true,
            _ => return Err("expected token, jwt, or both with a comma between"),
        }
    }
    Ok(kinds)
}

fn jwt_exp(text: &str) -> Parsed<Expiry> {
    match or(text, defaults::JWT_EXP) {
        "required" => Ok(Expiry::Required),
        "optional" => Ok(Expiry::Optional),
        _ => Err("expected required or optional"),
    }
}

fn allowed_origins(text: &str) -> Parsed<Setting<Vec<Origin>>> {
    if text.is_empty() {
        return Ok(Setting(None));
    }
    let origins = text.split(',').map(|origin| origin.trim().parse());
    let origins = origins.collect::<Result<_, _>>();
    let origins = origins
        .map_err(|_| "expected origins such as https://app.example.org, with commas between");
    Ok(Setting(Some(origins?)))
}

fn demo(text: &str) -> Parsed<Setting<bool>> {
    match text {
        "" => Ok(Setting(None)),
        "true" => Ok(Setting(Some(true))),
        "false" => Ok(Setting(Some(false))),
        _ => Err("expected true or false"),
    }
}

/// A document whose own name has a * in it is rarer than who expects that one in
/// the middle means anything.
fn document(text: &str) -> Result<DocumentPattern, String> {
    if text.strip_suffix('*').unwrap_or(text).contains('*') {
        return Err(
            "expected * at the end only, where it means all documents that begin so".to_owned(),
        );
    }
    DocumentPattern::parse(text).map_err(|error| error.to_string())
}
