//! The secret that tokens are signed with: brought by the environment, or
//! made once and kept beside the documents.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use data_encoding::BASE64URL_NOPAD;
use ysyncd_engine::auth::TokenKey;

use crate::{cli::SecretSettings, failure::Failure, store::data_dir_hint};

/// A shorter secret could be found by trying, with one token at hand.
pub(crate) const BYTES_MIN: usize = 16;

/// The file of a secret that was made here, in the data folder.
const FILE: &str = "secret";

/// The key that tokens are signed with.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) key: TokenKey,
    /// The file that the secret is kept in, if it was made here.
    pub(crate) file: Option<PathBuf>,
}

impl Secret {
    /// The secret of the environment, else the one in the data folder.
    ///
    /// # Errors
    /// There is neither, or it is too short.
    pub(crate) fn find(settings: &SecretSettings, data_dir: &Path) -> Result<Self, Failure> {
        if let Some(secret) = Self::from_environment(settings)? {
            return Ok(secret);
        }
        let file = data_dir.join(FILE);
        match fs::read(&file) {
            Ok(text) => Self::from_file(file, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Failure::configuration(format_args!(
                    "there is no secret: set SYNC_SHARED_SECRET, or start `ysyncd` once, \
                     which makes {}",
                    file.display()
                )))
            }
            Err(error) => Err(cannot("read", &file, &error)),
        }
    }

    /// Like [`Secret::find`], but makes the secret if there is none.
    ///
    /// # Errors
    /// It can be neither read nor written, or is too short.
    pub(crate) fn find_or_make(
        settings: &SecretSettings,
        data_dir: &Path,
    ) -> Result<Self, Failure> {
        if let Some(secret) = Self::from_environment(settings)? {
            return Ok(secret);
        }
        let file = data_dir.join(FILE);
        if !file.exists() {
            make(&file).map_err(|error| {
                let (told, hint) = (cannot("make", &file, &error), data_dir_hint(error.kind()));
                Failure::outside(format_args!("{told}{hint}"))
            })?;
        }
        Self::find(settings, data_dir)
    }

    fn from_environment(settings: &SecretSettings) -> Result<Option<Self>, Failure> {
        let secret = &settings.shared_secret;
        refuse_short("SYNC_SHARED_SECRET", secret)?;
        Ok((!secret.is_empty()).then(|| Self {
            key: TokenKey::new(secret.as_encoded_bytes()),
            file: None,
        }))
    }

    fn from_file(file: PathBuf, text: &[u8]) -> Result<Self, Failure> {
        let secret = text.trim_ascii();
        if secret.len() < BYTES_MIN {
            return Err(Failure::configuration(format_args!(
                "{} holds no secret; remove it to have a new one made",
                file.display()
            )));
        }
        Ok(Self {
            key: TokenKey::new(secret),
            file: Some(file),
        })
    }
}

/// Refuses what is no secret, though nobody else might come today: a proxy passes
/// a port of this machine on.
///
/// # Errors
/// There is one, and it is too short.
pub(crate) fn refuse_short(variable: &str, secret: &OsStr) -> Result<(), Failure> {
    if secret.is_empty() || secret.len() >= BYTES_MIN {
        return Ok(());
    }
    Err(Failure::configuration(format_args!(
        "{variable} is too short, so that tokens could be forged by guessing: set it to at least \
         {BYTES_MIN} bytes, for example from `openssl rand -base64 32`"
    )))
}

fn cannot(what: &str, file: &Path, error: &io::Error) -> Failure {
    let file = file.display();
    Failure::outside(format_args!("cannot {what} the secret {file}: {error}"))
}

/// Makes the file, whole or not at all: of several processes that try, one
/// wins, and all find the same secret afterwards.
fn make(file: &Path) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let draft = folder.join(format!("secret.{}.tmp", std::process::id()));
    let written =
        write(&draft, &BASE64URL_NOPAD.encode(&random)).and_then(|()| {
            match fs::hard_link(&draft, file) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        });
    let removed = fs::remove_file(&draft);
    written.and(removed)
}

/// Writes a file that nobody else may read at any moment.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
