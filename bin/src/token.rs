//! `ysyncd token`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ysyncd_engine::auth::{Access, Claims, Documents, UserId};

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
    let token = match claims(user.clone(), &settings.rights)? {
        Some(claims) => secret.key.mint_jwt(&claims),
        None => secret.key.mint(&user),
    };
    stdout::print(format!("{token}\n").as_bytes())
}

/// What a JWT is to say; `None` if a plain token says it all.
fn claims(user: UserId, rights: &RightSettings) -> Result<Option<Claims>, Failure> {
    if rights.docs.is_empty() && !rights.read_only && rights.ttl.is_none() {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(Failure::outside)?;
    Ok(Some(Claims {
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
    }))
}
