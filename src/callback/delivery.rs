//! Posts one event to its app's backend.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode};
use thiserror::Error;

use super::config::CallbackConfig;
use super::dispatcher::{Attempt, Deliver};
use super::target::{MAX_SECRETS, MAX_TOKEN, MIN_SECRET, Post, Target, cause, read};
use crate::clock::Unix;
use crate::engine::Row;
use crate::id::AppId;

/// What is wrong with the callback configuration.
#[derive(Debug, Error)]
#[error("{key}: {problem}")]
pub struct CallbackError {
    /// The key, from the section on: `apps[0].url`.
    pub key: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Error)]
pub enum Problem {
    /// The app has an entry already.
    #[error("the app is there twice")]
    Twice,
    /// An app has no id.
    #[error("an app id is not 0")]
    NoApp,
    /// The URL cannot be called.
    #[error("is no http or https URL with a host")]
    Url,
    /// An address that is no backend's.
    #[error("is an address that no backend has; list its network in networks if it is meant")]
    Address,
    /// Not a network.
    #[error("networks are written as 10.0.0.0/8")]
    Networks,
    /// A token that the vendor would not take.
    #[error("a token has 1 to {MAX_TOKEN} characters")]
    Token,
    /// Too few or too many secrets.
    #[error("1 or {MAX_SECRETS} secrets are needed")]
    Secrets,
    /// A secret that can be guessed.
    #[error("a secret has at least {MIN_SECRET} characters")]
    ShortSecret,
    /// The file of authorities cannot be read.
    #[error("cannot read certificates from {0}")]
    CaFile(PathBuf),
    /// There is nothing to verify certificates with.
    #[error("no certificate authorities: {0}")]
    Authorities(rustls::Error),
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client: {0}")]
    Client(reqwest::Error),
}

/// Where each app's backend is, and the connections to it.
#[derive(Debug)]
pub struct Delivery {
    targets: HashMap<AppId, Target>,
    answer_bytes: usize,
}

impl Delivery {
    /// Checks the configuration, reads the files it names (relative paths
    /// start at `base`) and sets up clients. Connects to nothing.
    ///
    /// # Errors
    /// [`CallbackError`] names the first key that is wrong.
    pub fn open(config: &CallbackConfig, base: &Path) -> Result<Self, CallbackError> {
        let mut targets = HashMap::new();
        for (index, app) in config.apps.iter().enumerate() {
            let at = |(key, problem): (&str, Problem)| CallbackError {
                key: format!("apps[{index}].{key}"),
                problem,
            };
            let target = Target::open(app, config, config.timeout, base).map_err(at)?;
            if targets.insert(AppId(app.sdk_app_id), target).is_some() {
                return Err(at(("sdk_app_id", Problem::Twice)));
            }
        }
        Ok(Self {
            targets,
            answer_bytes: config.answer_bytes,
        })
    }

    async fn post(&self, target: &Target, row: &Row, now: Unix) -> Attempt {
        let post = Post {
            event_id: &row.event_id,
            query: &row.query,
            body: row.body.clone(),
            now,
        };
        let response = match target.post(post).await {
            Ok(response) => response,
            Err(error) => {
                return Attempt::Unreachable {
                    cause: cause(&error),
                };
            }
        };
        let status = response.status();
        let retry_after = retry_after(&response);
        // What it says, or that it breaks off, changes nothing: the status has
        // been given.
        read(response, self.answer_bytes).await;
        if status.is_success() {
            Attempt::Delivered
        } else {
            Attempt::Refused {
                status: status.as_u16(),
                retry_after,
            }
        }
    }
}

impl Deliver for Delivery {
    async fn attempt(&self, app: AppId, row: &Row, now: Unix) -> Attempt {
        match self.targets.get(&app) {
            Some(target) => self.post(target, row, now).await,
            None => Attempt::Unwanted,
        }
    }
}

/// Seconds only: a date would need the two clocks to agree.
fn retry_after(response: &Response) -> Option<Duration> {
    let asks = response.status() == StatusCode::TOO_MANY_REQUESTS
        || response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let value = response.headers().get(RETRY_AFTER).filter(|_| asks)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
