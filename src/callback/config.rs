//! Where backends are told, and how patiently.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ask::{Ask, OnTimeout};
use super::breaker::Limits;
use super::tell::{Tell, Tells};
use crate::auth::SecretText;
use crate::clock::span;

/// Telling backends what happened.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallbackConfig {
    /// Longest time of one attempt, from the name lookup to the answer's end.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// Longest time to connect, within `timeout`.
    #[serde(with = "span")]
    pub connect_timeout: Duration,
    /// Bytes of an answer that are read so that its connection can be used
    /// again; with a longer one the connection is closed.
    pub answer_bytes: usize,
    /// Longest time of one question to a backend.
    #[serde(with = "span")]
    pub ask_timeout: Duration,
    /// Questions of one app under way at once; those beyond it are decided as
    /// if they had timed out.
    pub ask_parallel: usize,
    /// Bytes of an answer to a question; a longer one is none.
    pub ask_answer_bytes: usize,
    /// Failed attempts in a row after which a backend is left alone for a
    /// while.
    pub breaker_failures: u32,
    /// How long.
    #[serde(with = "span")]
    pub breaker_rest: Duration,
    /// Events under way at once.
    pub parallel: usize,
    /// Events of one app under way at once, so that a backend that hangs
    /// leaves places for the others.
    pub parallel_per_app: usize,
    /// Events of one room that are read from the store at once.
    pub batch: usize,
    /// Rooms with events to tell that are held in memory; further ones wait in
    /// the store.
    pub keys: usize,
    /// Longest wait before the second attempt; doubles with each further one.
    /// The wait is drawn between nothing and this.
    #[serde(with = "span")]
    pub first_backoff: Duration,
    /// Longest wait between two attempts.
    #[serde(with = "span")]
    pub longest_backoff: Duration,
    /// Longest wait that a backend's Retry-After is granted.
    #[serde(with = "span")]
    pub longest_retry_after: Duration,
    /// An event that could not be told for so long becomes a dead letter.
    #[serde(with = "span")]
    pub give_up_after: Duration,
    /// How long a stop waits for what is under way.
    #[serde(with = "span")]
    pub stop_within: Duration,
    /// The apps that are told. Each id once.
    pub apps: Vec<AppCallback>,
}

impl Default for CallbackConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            answer_bytes: 16 << 10,
            ask_timeout: Duration::from_secs(2),
            ask_parallel: 256,
            ask_answer_bytes: 64 << 10,
            breaker_failures: 20,
            breaker_rest: Duration::from_secs(5),
            parallel: 64,
            parallel_per_app: 32,
            batch: 16,
            keys: 100_000,
            first_backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(60),
            longest_retry_after: Duration::from_secs(300),
            give_up_after: Duration::from_secs(72 * 3_600),
            stop_within: Duration::from_secs(3),
            apps: Vec::new(),
        }
    }
}

impl CallbackConfig {
    /// When a backend is left alone.
    pub(super) fn breaker(&self) -> Limits {
        Limits {
            failures: self.breaker_failures,
            rest: self.breaker_rest,
        }
    }
}

/// Where one app's backend is told. Events of apps without such an entry are
/// told to nobody.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppCallback {
    /// The app.
    pub sdk_app_id: u32,
    /// Events are posted here: http or https.
    pub url: String,
    /// Secrets that sign: the current one, then the next or previous one while
    /// they rotate. 1 or 2, each of at least 16 characters.
    pub secrets: Vec<SecretText>,
    /// PEM file of the authorities that may have issued the backend's
    /// certificate; absent: those of the system. Relative to the
    /// configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The vendor's token, 1 to 128 characters: with it the URL of callbacks in
    /// the vendor's form carries `Sign` and `RequestTime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// Networks, as `10.0.0.0/8`, that the URL's name may resolve into beside
    /// public addresses.
    pub networks: Vec<String>,
    /// What the backend is asked before it happens.
    pub ask: Vec<Ask>,
    /// What happens when it does not answer a question.
    pub on_timeout: OnTimeout,
    /// What the backend is told of; absent: livegate's own events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tell: Option<Vec<Tell>>,
}

impl AppCallback {
    /// What the backend is told of.
    pub fn tells(&self) -> Tells {
        let chosen = self.tell.as_ref();
        chosen.map_or(Tells::OWN, |tells| tells.iter().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_survive_their_text_form() {
        let text = toml::to_string(&CallbackConfig::default()).unwrap();
        let read: CallbackConfig = toml::from_str(&text).unwrap();
        assert_eq!(read, CallbackConfig::default());
        assert!(toml::from_str::<CallbackConfig>("urls = []").is_err());
    }
}
