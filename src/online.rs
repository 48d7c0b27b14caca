//! Which user is here, on which sessions.
//!
//! Owns the map from user to sessions and the device policy. Invariants: a
//! registration is removed by its own guard and only by the matching session
//! id, so a late exit never takes its successor's place; no map guard leaves
//! this module.

use std::sync::Arc;

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::id::{SessionId, UserKey};

/// Which login of a user displaces which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DevicePolicy {
    /// One session a user: the newest login wins.
    One,
    /// One session a platform: the newest login on it wins.
    #[default]
    OnePerPlatform,
    /// As many as `max_sessions` allows: beyond it the oldest goes.
    Many,
}

/// How many sessions a user may hold, per app.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceConfig {
    /// Which login displaces which: `one`, `one_per_platform` or `many`.
    pub policy: DevicePolicy,
    /// Most sessions of a user under any policy; the oldest goes.
    pub max_sessions: usize,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            policy: DevicePolicy::default(),
            max_sessions: 5,
        }
    }
}

/// One session of a user. Sessions of a user are kept oldest first.
#[derive(Clone, Copy, Debug)]
struct Here {
    session: SessionId,
    platform: i32,
}

type Sessions = SmallVec<[Here; 1]>;

/// Who is online. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Online(Arc<DashMap<UserKey, Sessions, foldhash::fast::RandomState>>);

/// What a login displaces: sessions and their platforms.
pub type Displaced = SmallVec<[(SessionId, i32); 2]>;

impl Online {
    /// Registers a session and names those that its login displaces. They are
    /// no longer found; their guards do nothing more.
    pub fn register(
        &self,
        user: UserKey,
        session: SessionId,
        platform: i32,
        devices: DeviceConfig,
    ) -> (Registration, Displaced) {
        let mut displaced = Displaced::new();
        {
            let mut sessions = self.0.entry(user.clone()).or_default();
            sessions.retain(|here| {
                let goes = match devices.policy {
                    DevicePolicy::One => true,
                    DevicePolicy::OnePerPlatform => here.platform == platform,
                    DevicePolicy::Many => false,
                };
                if goes {
                    displaced.push((here.session, here.platform));
                }
                !goes
            });
            while sessions.len() >= devices.max_sessions.max(1) {
                let here = sessions.remove(0);
                displaced.push((here.session, here.platform));
            }
            sessions.push(Here { session, platform });
        }
        let registration = Registration {
            online: self.clone(),
            user,
            session,
        };
        (registration, displaced)
    }

    /// The sessions of a user, oldest first; empty when not online.
    pub fn find(&self, user: &UserKey) -> SmallVec<[SessionId; 2]> {
        self.0
            .get(user)
            .map(|sessions| sessions.iter().map(|here| here.session).collect())
            .unwrap_or_default()
    }

    /// What the sessions of a user run on, oldest first, as the contract numbers
    /// platforms; empty when not online.
    pub fn platforms(&self, user: &UserKey) -> SmallVec<[i32; 2]> {
        self.0
            .get(user)
            .map(|sessions| sessions.iter().map(|here| here.platform).collect())
            .unwrap_or_default()
    }

    /// How many users are online: a gauge.
    pub fn users(&self) -> usize {
        self.0.len()
    }

    fn remove(&self, user: &UserKey, session: SessionId) {
        self.0.remove_if_mut(user, |_, sessions| {
            sessions.retain(|here| here.session != session);
            sessions.is_empty()
        });
    }
}

/// Keeps a session registered; dropping it removes exactly this session.
#[derive(Debug)]
pub struct Registration {
    online: Online,
    user: UserKey,
    session: SessionId,
}

impl Registration {
    /// Whose session it is.
    pub fn user(&self) -> &UserKey {
        &self.user
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.online.remove(&self.user, self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AppId, ShardId, UserId};

    fn user(name: &str) -> UserKey {
        UserKey {
            app: AppId(1),
            user: UserId::new(name).unwrap(),
        }
    }

    fn session(n: u32) -> SessionId {
        SessionId::new(ShardId(0), n, 0)
    }

    fn sessions(displaced: &Displaced) -> Vec<SessionId> {
        displaced.iter().map(|(session, _)| *session).collect()
    }

    fn devices(policy: DevicePolicy, max_sessions: usize) -> DeviceConfig {
        DeviceConfig {
            policy,
            max_sessions,
        }
    }

    #[test]
    fn one_device_means_that_the_newest_login_wins() {
        let online = Online::default();
        let one = devices(DevicePolicy::One, 5);
        let (_first, none) = online.register(user("a"), session(1), 1, one);
        let (_second, displaced) = online.register(user("a"), session(2), 2, one);
        assert!(none.is_empty());
        assert_eq!(sessions(&displaced), [session(1)]);
        assert_eq!(online.find(&user("a"))[..], [session(2)]);
    }

    #[test]
    fn one_per_platform_leaves_the_other_platform_alone() {
        let online = Online::default();
        let policy = devices(DevicePolicy::OnePerPlatform, 5);
        let (_phone, _) = online.register(user("a"), session(1), 1, policy);
        let (_web, displaced) = online.register(user("a"), session(2), 3, policy);
        assert!(displaced.is_empty());
        assert_eq!(online.platforms(&user("a"))[..], [1, 3]);
        let (_phone_again, displaced) = online.register(user("a"), session(3), 1, policy);
        assert_eq!(sessions(&displaced), [session(1)]);
    }

    #[test]
    fn the_oldest_goes_beyond_the_limit() {
        let online = Online::default();
        let many = devices(DevicePolicy::Many, 2);
        let guards: Vec<_> = (1..=3)
            .map(|n| online.register(user("a"), session(n), 1, many))
            .collect();
        assert_eq!(sessions(&guards[2].1), [session(1)]);
        assert_eq!(online.find(&user("a"))[..], [session(2), session(3)]);
    }

    #[test]
    fn a_late_exit_never_removes_its_successor() {
        let online = Online::default();
        let one = devices(DevicePolicy::One, 5);
        let (first, _) = online.register(user("a"), session(1), 1, one);
        let (second, _) = online.register(user("a"), session(2), 1, one);
        drop(first);
        assert_eq!(online.find(&user("a"))[..], [session(2)]);
        drop(second);
        assert_eq!(online.users(), 0);
    }
}
