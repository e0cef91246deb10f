//! `ysyncd token`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ysyncd_engine::auth::{Access, Claims, Documents, Kinds, TokenKey, UserId};

use crate::{
    cli::{RightSettings, TokenSettings},
    failure::Failure,
    secret::Secret,
    stdout,
};

/// How long a JWT is good if nobody says.
const TTL: Duration = Duration::from_secs(60 * 60);

/// Prints the token of a user, and nothing else, on standard output.
///
/// # Errors
/// The name is none, there is no secret, or standard output takes nothing.
pub(crate) fn run(settings: &TokenSettings) -> Result<(), Failure> {
    let user = UserId::new(&settings.user_id).map_err(Failure::configuration)?;
    let secret = Secret::find(&settings.secret, &settings.folder.data_dir)?;
    let token = mint(&secret.key, user, &settings.rights, settings.kinds.auth)?;
    stdout::print(format!("{token}\n").as_bytes())
}

/// A token of a kind that is accepted: a plain one if that says it all.
///
/// # Errors
/// Rights are asked for that only a JWT could tell, and none is accepted.
pub(crate) fn mint(
    key: &TokenKey,
    user: UserId,
    rights: &RightSettings,
    accepted: Kinds,
) -> Result<String, Failure> {
    let is_plain = rights.docs.is_empty() && !rights.read_only && rights.ttl.is_none();
    match accepted {
        Kinds { plain: true, .. } if is_plain => Ok(key.mint(&user)),
        Kinds { jwt: true, .. } => Ok(key.mint_jwt(&claims(user, rights)?)),
        _ => Err(Failure::configuration(
            "AUTH is \"token\": expected jwt to be among its kinds, as --doc, --read-only and \
             --ttl make a JWT",
        )),
    }
}

/// What a JWT is to say.
fn claims(user: UserId, rights: &RightSettings) -> Result<Claims, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(Failure::outside)?;
    Ok(Claims {
        user,
        documents: match rights.docs.is_empty() {
            true => Documents::All,
            false => Documents::Only(rights.docs.clone()),
        },
        access: match rights.read_only {
            true => Access::Read,
            false => Access::Write,
        },
        expires: Some(now + rights.ttl.unwrap_or(TTL)),
    })
}
