//! The files that a configuration names: whether they can be used.

use super::error::ConfigError;
use super::load::Loaded;
use crate::auth::KeyRing;
use crate::backend::ApiKeys;
use crate::callback::Delivery;
use crate::gateway::{CertFiles, provider};

impl Loaded {
    /// Reads every key and certificate that the configuration names, and
    /// forgets them again: so that a start fails for these before it has done
    /// anything.
    ///
    /// # Errors
    /// The first that cannot be used, with the place of its key.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let Self { config, base, .. } = self;
        KeyRing::open(&config.auth(), base)
            .map_err(|error| self.blame(error.key, error.problem.to_string()))?;
        ApiKeys::open(&config.internal, base)
            .map_err(|bad| self.blame(format!("internal.{}", bad.key), bad.problem.to_string()))?;
        if let Some(tls) = &config.internal.tls {
            tls.check(base).map_err(|bad| {
                let key = format!("internal.tls.{}", bad.key);
                self.blame(key, bad.problem.to_string())
            })?;
        }
        Delivery::open(&config.callback(), base)
            .map_err(|error| self.blame(self.of_its_app(&error.key), error.problem.to_string()))?;
        self.cert_files()
            .load(&provider(&config.tls))
            .map_err(|error| self.blame("tls.cert".to_owned(), error.to_string()))?;
        Ok(())
    }

    /// Where certificate and key are.
    pub fn cert_files(&self) -> CertFiles {
        CertFiles {
            cert: self.base.join(&self.config.tls.cert),
            key: self.base.join(&self.config.tls.key),
        }
    }

    /// The callback list has only apps that are told: finds the app that
    /// `apps[0].url` means there, and its key in the file.
    fn of_its_app(&self, key: &str) -> String {
        let told = self.config.apps.iter().enumerate();
        let mut told = told.filter(|(_, app)| app.callback.is_some());
        let mut place = || {
            let (index, rest) = key.strip_prefix("apps[")?.split_once("].")?;
            let (n, _) = told.nth(index.parse().ok()?)?;
            Some(format!("apps[{n}].callback.{rest}"))
        };
        place().unwrap_or_else(|| format!("callback.{key}"))
    }
}
