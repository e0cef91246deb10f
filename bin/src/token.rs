//! `ysyncd token`.

use ysyncd_engine::auth::UserId;

use crate::{cli::TokenSettings, failure::Failure, secret::Secret};

/// Prints the token of a user, and nothing else, on standard output.
///
/// # Errors
/// The name is none, or there is no secret.
pub(crate) fn run(settings: &TokenSettings) -> Result<(), Failure> {
    let user = UserId::new(&settings.user_id).map_err(Failure::configuration)?;
    let secret = Secret::find(&settings.secret, &settings.folder.data_dir)?;
    println!("{}", secret.key.mint(&user));
    Ok(())
}
