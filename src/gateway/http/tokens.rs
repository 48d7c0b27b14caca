//! Who is logged in at the RoomService door.
//!
//! Invariants: a token is 128 random bits in hex, bound to one user of one app;
//! a user has one, a new login ends the one before; it ends by itself; there
//! are never more than the limit.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::Instant;
use crate::id::UserKey;

/// Tokens and whose they are.
#[derive(Debug)]
pub(super) struct Tokens {
    lifetime: Duration,
    limit: usize,
    by_token: HashMap<String, (UserKey, Instant), RandomState>,
    by_user: HashMap<UserKey, String, RandomState>,
    /// Oldest first; some have ended already.
    order: VecDeque<String>,
}

impl Tokens {
    /// No tokens yet.
    pub(super) fn new(lifetime: Duration, limit: usize) -> Self {
        Self {
            lifetime,
            limit: limit.max(1),
            by_token: HashMap::default(),
            by_user: HashMap::default(),
            order: VecDeque::new(),
        }
    }

    /// A fresh token for `user`, in place of the one that they had.
    pub(super) fn give(&mut self, user: &UserKey, now: Instant) -> String {
        self.end(user);
        while self.order.len() >= self.limit {
            self.forget_oldest();
        }
        let token = fresh();
        let until = now + self.lifetime;
        self.by_token.insert(token.clone(), (user.clone(), until));
        self.by_user.insert(user.clone(), token.clone());
        self.order.push_back(token.clone());
        token
    }

    /// Whose token this is.
    pub(super) fn user(&self, token: &str, now: Instant) -> Option<&UserKey> {
        let (user, until) = self.by_token.get(token)?;
        (*until > now).then_some(user)
    }

    /// The user's token holds no longer.
    pub(super) fn end(&mut self, user: &UserKey) {
        if let Some(token) = self.by_user.remove(user) {
            self.by_token.remove(&token);
        }
    }

    /// Forgets those that ended.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.order.front() {
            let holds = self.by_token.get(oldest).map(|(_, until)| *until > now);
            if holds == Some(true) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(token) = self.order.pop_front() else {
            return;
        };
        if let Some((user, _)) = self.by_token.remove(&token) {
            self.by_user.remove(&user);
        }
    }
}

fn fresh() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AppId, UserId};

    fn user(app: u32, name: &str) -> UserKey {
        UserKey {
            app: AppId(app),
            user: UserId::new(name).unwrap(),
        }
    }

    #[test]
    fn a_token_is_one_users_of_one_app_until_it_ends() {
        let mut tokens = Tokens::new(Duration::from_secs(60), 10);
        let token = tokens.give(&user(1, "ada"), Instant(0));
        assert_eq!(token.len(), 32);
        let other = tokens.give(&user(2, "ada"), Instant(0));
        assert_ne!(token, other);
        let now = Instant::from_millis(59_999);
        assert_eq!(tokens.user(&token, now), Some(&user(1, "ada")));
        assert_eq!(tokens.user(&other, now), Some(&user(2, "ada")));
        let end = Instant::from_millis(60_000);
        assert_eq!(tokens.user(&token, end), None);
        tokens.forget(end);
        assert!(tokens.by_user.is_empty() && tokens.order.is_empty());
    }

    #[test]
    fn a_new_login_ends_the_token_before_and_the_oldest_gives_way() {
        let mut tokens = Tokens::new(Duration::from_secs(60), 3);
        let first = tokens.give(&user(1, "a"), Instant(0));
        let second = tokens.give(&user(1, "a"), Instant(0));
        assert_eq!(tokens.user(&first, Instant(0)), None);
        assert!(tokens.user(&second, Instant(0)).is_some());
        for name in ["b", "c", "d"] {
            tokens.give(&user(1, name), Instant(0));
        }
        assert_eq!(tokens.user(&second, Instant(0)), None);
        assert!(tokens.by_token.len() <= 3 && tokens.order.len() <= 3);
    }
}
