//! What the backend said of users: names that are fixed, accounts that it made
//! known, mutes that hold everywhere, signatures that are void.
//!
//! Invariants: what is kept is bounded by [`DirectoryConfig::users`]; a user of
//! whom nothing is said takes no place; a change is handed to the store before
//! it holds, and refused when the store has no place for it.

use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use livegate_proto::client::Profile;
use livegate_proto::code::Code;
use serde::{Deserialize, Serialize};

use crate::clock::Unix;
use crate::engine::record::UserRecord;
use crate::engine::{Commit, Engine, Fact, Recovered, Subject};
use crate::id::UserKey;

/// Limits of what is kept of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectoryConfig {
    /// Users of whom something is kept, of all apps together.
    pub users: usize,
}

impl Default for DirectoryConfig {
    fn default() -> Self {
        Self { users: 1_000_000 }
    }
}

/// What is said of users. Shared by doors and actions.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    engine: Arc<Engine>,
    users: DashMap<UserKey, UserRecord, RandomState>,
}

impl Directory {
    /// With nothing in it.
    pub fn new(config: DirectoryConfig, engine: Arc<Engine>) -> Self {
        let users = DashMap::default();
        Self {
            config,
            engine,
            users,
        }
    }

    /// Takes up what an earlier process kept.
    pub fn recover(&self, recovered: &mut Recovered) {
        for (user, record) in std::mem::take(&mut recovered.users) {
            self.users.insert(user, record);
        }
    }

    /// What is kept of a user; nothing: an empty record.
    pub fn get(&self, user: &UserKey) -> UserRecord {
        self.users
            .get(user)
            .map(|kept| kept.clone())
            .unwrap_or_default()
    }

    /// Changes what is kept of a user.
    ///
    /// # Errors
    /// [`Code::OVERLOADED`] when as many users are kept as may be,
    /// [`Code::STORE_UNAVAILABLE`] when the store has no place for the change.
    pub fn change(&self, user: &UserKey, change: impl FnOnce(&mut UserRecord)) -> Result<(), Code> {
        let full = self.users.len() >= self.config.users && !self.users.contains_key(user);
        let mut kept = self.users.entry(user.clone()).or_default();
        let mut record = kept.clone();
        change(&mut record);
        let result = if *kept == record {
            Ok(())
        } else if full {
            Err(Code::OVERLOADED)
        } else {
            self.submit(user, &record)
        };
        if result.is_ok() {
            *kept = record;
        }
        drop(kept);
        self.users
            .remove_if(user, |_, kept| *kept == UserRecord::default());
        result
    }

    fn submit(&self, user: &UserKey, record: &UserRecord) -> Result<(), Code> {
        let commit = Commit {
            subject: Subject::Quiet,
            facts: vec![Fact::User(user.clone(), record.clone())],
            outbox: Vec::new(),
            reserve: true,
        };
        let full = |_| Code::STORE_UNAVAILABLE;
        self.engine.submit(commit).map_err(full)
    }

    /// When the user's signatures were declared void; `None`: they were not.
    pub fn revoked_at(&self, user: &UserKey) -> Option<Unix> {
        let kept = self.users.get(user)?;
        (kept.revoked_s > 0).then(|| Unix(kept.revoked_s.saturating_mul(1_000)))
    }

    /// Whether the user may not speak in rooms now.
    pub fn is_muted_in_rooms(&self, user: &UserKey, now: Unix) -> bool {
        let kept = self.users.get(user);
        kept.is_some_and(|kept| kept.rooms_muted_ms > now.0)
    }

    /// Whether the user may not speak to users now.
    pub fn is_muted_directly(&self, user: &UserKey, now: Unix) -> bool {
        let kept = self.users.get(user);
        kept.is_some_and(|kept| kept.direct_muted_ms > now.0)
    }

    /// The profile with what the backend fixed in it.
    pub fn fix(&self, user: &UserKey, profile: Arc<Profile>) -> Arc<Profile> {
        let Some(kept) = self.users.get(user) else {
            return profile;
        };
        if kept.nick.is_empty() && kept.avatar_url.is_empty() {
            return profile;
        }
        let mut fixed = (*profile).clone();
        for (own, given) in [
            (&mut fixed.nick, &kept.nick),
            (&mut fixed.avatar_url, &kept.avatar_url),
        ] {
            if !given.is_empty() {
                own.clone_from(given);
            }
        }
        Arc::new(fixed)
    }
}
