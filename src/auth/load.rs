//! Reads the configured keys into a key ring: the only file access of
//! authentication, at start and on reload.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;

use super::config::{AppConfig, AuthConfig};
use super::key::{HmacKey, KeyError, PublicKey};
use super::keyring::{AppKeys, KeyRing};
use crate::id::{AppId, UserId};

/// Most keys of one version and app: the current and the previous one.
const MAX_KEYS: usize = 2;

/// Fewest characters of a secret that a server accepts; the vendor's have 64.
const MIN_SECRET: usize = 32;

/// Longest key file, bytes.
const MAX_KEY_FILE: u64 = 16 * 1024;

impl KeyRing {
    /// Holds the given keys for `app` alone, with the limits of the default
    /// configuration. For the command line and for tests.
    pub fn of_app(
        app: AppId,
        hmac: impl IntoIterator<Item = HmacKey>,
        ecdsa: impl IntoIterator<Item = PublicKey>,
    ) -> Self {
        let keys = AppKeys {
            hmac: hmac.into_iter().take(MAX_KEYS).collect(),
            ecdsa: ecdsa.into_iter().take(MAX_KEYS).collect(),
            admins: HashSet::new(),
        };
        let limits = AuthConfig::default();
        Self::new(std::iter::once((app, keys)).collect(), &limits)
    }

    /// Reads every key that `config` names; relative paths start at `base`.
    ///
    /// # Errors
    /// [`AuthConfigError`] names the first key that is wrong.
    pub fn open(config: &AuthConfig, base: &Path) -> Result<Self, AuthConfigError> {
        let mut apps = foldhash::HashMap::default();
        for (index, app) in config.apps.iter().enumerate() {
            let at = |error: AuthConfigError| error.within(&format!("apps[{index}]"));
            let keys = AppKeys::open(app, base).map_err(at)?;
            if apps.insert(AppId(app.sdk_app_id), keys).is_some() {
                return Err(at(AuthConfigError::new("sdk_app_id", Problem::Twice)));
            }
        }
        Ok(Self::new(apps, config))
    }

    fn new(apps: foldhash::HashMap<AppId, AppKeys>, limits: &AuthConfig) -> Self {
        Self {
            apps,
            future_skew: limits.future_skew.as_secs(),
            max_lifetime: limits.max_lifetime.as_secs(),
        }
    }
}

impl AppKeys {
    fn open(app: &AppConfig, base: &Path) -> Result<Self, AuthConfigError> {
        if app.sdk_app_id == 0 {
            return Err(AuthConfigError::new("sdk_app_id", Problem::NoId));
        }
        let admins = app.admins.iter().enumerate().map(|(index, admin)| {
            UserId::new(admin)
                .map_err(|_| AuthConfigError::new(&format!("admins[{index}]"), Problem::NoUser))
        });
        Ok(Self {
            hmac: hmac_keys(app, base)?,
            ecdsa: public_keys(app, base)?,
            admins: admins.collect::<Result<_, _>>()?,
        })
    }
}

fn hmac_keys(app: &AppConfig, base: &Path) -> Result<Vec<HmacKey>, AuthConfigError> {
    at_most("keys", app.keys.len() + app.key_files.len())?;
    let inline = each("keys", &app.keys, |key| hmac_key(key.secret()));
    let files = each("key_files", &app.key_files, |path| {
        let text = read(&base.join(path))?;
        hmac_key(&text.trim().into())
    });
    inline.chain(files).collect()
}

fn hmac_key(secret: &SecretString) -> Result<HmacKey, Problem> {
    if secret.expose_secret().len() < MIN_SECRET {
        return Err(Problem::Weak);
    }
    Ok(HmacKey::new(secret)?)
}

fn public_keys(app: &AppConfig, base: &Path) -> Result<Vec<PublicKey>, AuthConfigError> {
    at_most(
        "public_keys",
        app.public_keys.len() + app.public_key_files.len(),
    )?;
    let inline = each("public_keys", &app.public_keys, |pem| {
        Ok(PublicKey::from_pem(pem)?)
    });
    let files = each("public_key_files", &app.public_key_files, |path| {
        Ok(PublicKey::from_pem(&read(&base.join(path))?)?)
    });
    inline.chain(files).collect()
}

fn at_most(key: &str, count: usize) -> Result<(), AuthConfigError> {
    if count > MAX_KEYS {
        return Err(AuthConfigError::new(key, Problem::TooMany));
    }
    Ok(())
}

/// Makes a key of each item, naming the item in an error.
fn each<T, K>(
    name: &'static str,
    items: &[T],
    make: impl Fn(&T) -> Result<K, Problem>,
) -> impl Iterator<Item = Result<K, AuthConfigError>> {
    items.iter().enumerate().map(move |(index, item)| {
        make(item).map_err(|problem| AuthConfigError::new(&format!("{name}[{index}]"), problem))
    })
}

fn read(path: &Path) -> Result<Zeroizing<String>, Problem> {
    let failed = |source| Problem::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Zeroizing::new(String::new());
    File::open(path)
        .map_err(failed)?
        .take(MAX_KEY_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// A key of the configuration that is wrong.
#[derive(Debug, Error)]
#[error("{key}: {problem}")]
pub struct AuthConfigError {
    /// Its path below the `auth` table, such as `apps[0].keys[1]`.
    pub key: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

impl AuthConfigError {
    fn new(key: &str, problem: Problem) -> Self {
        Self {
            key: key.to_owned(),
            problem,
        }
    }

    fn within(mut self, table: &str) -> Self {
        self.key = format!("{table}.{}", self.key);
        self
    }
}

/// What is wrong with a key of the configuration.
#[derive(Debug, Error)]
pub enum Problem {
    /// An app without an id.
    #[error("an app needs its id, a number above 0")]
    NoId,
    /// The same app twice.
    #[error("another app has this id")]
    Twice,
    /// More keys than may be current.
    #[error("more than {MAX_KEYS} keys: give the current and the previous one")]
    TooMany,
    /// A secret that can be guessed.
    #[error("secret of fewer than {MIN_SECRET} characters")]
    Weak,
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No identifier.
    #[error("not an identifier of a user")]
    NoUser,
    /// A key file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SecretText;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn open(apps: Vec<AppConfig>, base: &Path) -> Result<KeyRing, AuthConfigError> {
        let config = AuthConfig {
            apps,
            ..AuthConfig::default()
        };
        KeyRing::open(&config, base)
    }

    fn app() -> AppConfig {
        AppConfig {
            sdk_app_id: 7,
            keys: vec![SecretText::new(SECRET)],
            ..AppConfig::default()
        }
    }

    #[test]
    fn the_development_app_opens_and_has_its_administrator() {
        let ring = open(vec![AppConfig::development()], Path::new("")).unwrap();
        let app = AppId(1_400_000_000);
        assert!(ring.knows(app) && !ring.knows(AppId(1)));
        assert!(ring.is_admin(app, &UserId::new("administrator").unwrap()));
        assert!(!ring.is_admin(app, &UserId::new("alice").unwrap()));
        assert!(!ring.is_admin(AppId(1), &UserId::new("administrator").unwrap()));
    }

    #[test]
    fn key_files_are_read_beside_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), format!("{SECRET}\r\n")).unwrap();
        let with_file = AppConfig {
            key_files: vec!["key".into()],
            ..app()
        };
        assert!(open(vec![with_file.clone()], dir.path()).is_ok());
        let lost = open(vec![with_file], &dir.path().join("elsewhere")).unwrap_err();
        assert_eq!(lost.key, "apps[0].key_files[0]");
        assert!(matches!(lost.problem, Problem::Read { .. }));
    }

    #[test]
    fn an_error_names_its_key_and_shows_no_secret() {
        let wrong = |app: AppConfig| {
            let error = open(vec![self::app(), app], Path::new("")).unwrap_err();
            let text = error.to_string();
            assert!(!text.contains("hunter2"), "{text}");
            error.key
        };
        let other = || AppConfig {
            sdk_app_id: 8,
            ..app()
        };
        assert_eq!(wrong(app()), "apps[1].sdk_app_id");
        assert_eq!(wrong(AppConfig::default()), "apps[1].sdk_app_id");
        let weak = vec![SecretText::new("hunter2")];
        assert_eq!(
            wrong(AppConfig {
                keys: weak,
                ..other()
            }),
            "apps[1].keys[0]"
        );
        let three = vec![SecretText::new(SECRET); 3];
        assert_eq!(
            wrong(AppConfig {
                keys: three,
                ..other()
            }),
            "apps[1].keys"
        );
        let no_pem = vec!["hunter2".to_owned()];
        assert_eq!(
            wrong(AppConfig {
                public_keys: no_pem,
                ..other()
            }),
            "apps[1].public_keys[0]"
        );
        let admins = vec!["a".to_owned(), "b\n".to_owned()];
        assert_eq!(wrong(AppConfig { admins, ..other() }), "apps[1].admins[1]");
    }
}
