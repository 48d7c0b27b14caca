//! How a room tells who comes and goes: by name while it is small, in numbers
//! when it is large.
//!
//! Pure. Changes go in, what is to be told comes out of [`Presence::due`] when
//! its time has come.
//!
//! Invariants:
//! - two tellings of either kind are at least `spacing` apart and two digests
//!   at least `digest_every`, so nobody gets more than two frames a second
//!   however many enter;
//! - while presence is exact, whoever applies what was told to the members of
//!   their snapshot has the room's members, a window late; on the way back
//!   from digests everybody present is told again by name;
//! - those entered `by_name` (hosts, publishers) are told by name at any size;
//! - a digest carries totals, so one that is lost costs nothing.
//!
//! Several changes of one user within a window are told as their outcome. Not
//! here: who is a member, and the order among other messages.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::Message;
use livegate_proto::client as wire;
use livegate_proto::client::{LeaveReason, Role};
use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::id::UserId;

/// Limits and paces of presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PresenceConfig {
    /// Members from which on presence is told as digests.
    pub exact_below: u32,
    /// Members below which it is told by name again; less than `exact_below`,
    /// so that a room at the edge does not flap.
    pub exact_again_below: u32,
    /// Least time between two presence frames of a room.
    #[serde(with = "crate::clock::span")]
    pub spacing: Duration,
    /// Least time between two digests of a room.
    #[serde(with = "crate::clock::span")]
    pub digest_every: Duration,
    /// Changes that one frame tells by name; more wait for the next.
    pub changes_per_frame: usize,
    /// Names of newcomers in a digest.
    pub newest: usize,
    /// Bytes of the newcomers in a digest.
    pub newest_bytes: usize,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            exact_below: 50,
            exact_again_below: 40,
            spacing: Duration::from_millis(500),
            digest_every: Duration::from_secs(1),
            changes_per_frame: 64,
            newest: 20,
            newest_bytes: 2048,
        }
    }
}

/// Somebody as a room shows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// What they show of themselves.
    pub profile: Arc<wire::Profile>,
    /// What they may do.
    pub role: Role,
}

impl Person {
    /// As the client contract carries it.
    pub fn wire(&self) -> wire::User {
        wire::User {
            user_id: self.user.to_string(),
            profile: Some(wire::Profile::clone(&self.profile)),
        }
    }
}

/// What is to be told now.
#[derive(Debug, Clone, PartialEq)]
pub enum Telling {
    /// In the room's sequence. Follow up with [`Presence::told`], or with
    /// [`Presence::put_off`] when the log refused it.
    Exact(wire::Presence),
    /// As unsequenced state; counts as told.
    Digest(wire::PresenceDigest),
}

#[derive(Debug)]
struct Pending {
    person: Person,
    /// `None`: entered.
    left: Option<LeaveReason>,
    /// Whether the others had been told of them before this window.
    known: bool,
    /// Told at any size.
    by_name: bool,
    order: u64,
}

/// What a room has yet to tell about its members.
#[derive(Debug)]
pub struct Presence {
    config: PresenceConfig,
    exact: bool,
    online: u32,
    /// The count that was told last.
    told_online: u32,
    entered_total: u64,
    left_total: u64,
    pending: BTreeMap<UserId, Pending>,
    order: u64,
    /// Changes up to this order are in the telling under way.
    telling: u64,
    /// Newcomers since the last digest, newest first.
    newest: VecDeque<Person>,
    /// Something changed that only a digest tells.
    stale: bool,
    /// The earliest time of the next telling.
    open_at: Instant,
    /// The earliest time of the next digest.
    digest_at: Instant,
    last_was_exact: bool,
}

impl Presence {
    /// Of an empty room.
    pub fn new(config: PresenceConfig) -> Self {
        Self {
            config,
            exact: true,
            online: 0,
            told_online: 0,
            entered_total: 0,
            left_total: 0,
            pending: BTreeMap::new(),
            order: 0,
            telling: 0,
            newest: VecDeque::new(),
            stale: false,
            open_at: Instant(0),
            digest_at: Instant(0),
            last_was_exact: false,
        }
    }

    /// Members now.
    pub fn online(&self) -> u32 {
        self.online
    }

    /// Whether everybody is told by name.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// A user entered who was no member. `by_name`: told so at any size.
    pub fn entered(&mut self, person: &Person, by_name: bool) {
        self.online += 1;
        self.entered_total += 1;
        if self.exact && self.online >= self.config.exact_below {
            self.turn_to_digests();
        }
        if self.exact || by_name {
            self.change(person, None, by_name);
            return;
        }
        self.stale = true;
        self.newest.truncate(self.config.newest.saturating_sub(1));
        self.newest.push_front(person.clone());
    }

    /// A member left. `by_name` as they entered, or because others have
    /// learned of them since. Returns whether presence is exact again: then
    /// [`everybody`](Self::everybody) is due.
    pub fn left(&mut self, person: &Person, reason: LeaveReason, by_name: bool) -> bool {
        self.online = self.online.saturating_sub(1);
        self.left_total += 1;
        self.newest.retain(|newcomer| newcomer.user != person.user);
        if self.exact || by_name {
            self.change(person, Some(reason), by_name);
        } else {
            self.pending.remove(&person.user);
            self.stale = true;
        }
        let back = !self.exact && self.online < self.config.exact_again_below;
        self.exact |= back;
        back
    }

    /// Tells everybody present by name, after a time of digests.
    pub fn everybody(&mut self, members: impl IntoIterator<Item = Person>) {
        self.newest.clear();
        for person in members {
            self.change(&person, None, false);
            if let Some(pending) = self.pending.get_mut(&person.user) {
                pending.known = true;
            }
        }
    }

    /// What is to be told now, if anything.
    pub fn due(&mut self, now: Instant) -> Option<Telling> {
        if now < self.open_at {
            return None;
        }
        let digest = self.stale && now >= self.digest_at;
        let exact = self.may_tell_exact();
        if digest && (!exact || self.last_was_exact) {
            return Some(Telling::Digest(self.digest(now)));
        }
        exact.then(|| Telling::Exact(self.changes()))
    }

    /// The exact telling under way is in the log.
    pub fn told(&mut self, now: Instant) {
        let telling = self.telling;
        self.pending.retain(|_, pending| pending.order > telling);
        self.told_online = self.online;
        self.open_at = now + self.config.spacing;
        self.last_was_exact = true;
    }

    /// The log refused the exact telling under way: it is tried again later.
    pub fn put_off(&mut self, now: Instant) {
        self.open_at = now + self.config.spacing;
        self.last_was_exact = true;
    }

    /// When [`due`](Self::due) has something to tell.
    pub fn deadline(&self) -> Option<Instant> {
        let exact = self.may_tell_exact().then_some(self.open_at);
        let digest = self.stale.then(|| self.open_at.max(self.digest_at));
        exact.into_iter().chain(digest).min()
    }

    /// On the way back from digests the last of them goes first: with it the
    /// others forget whom they knew, then everybody is told by name.
    fn may_tell_exact(&self) -> bool {
        let digest_first = self.exact && self.stale;
        let count_is_off = self.online != self.told_online && !self.stale;
        !digest_first && (!self.pending.is_empty() || count_is_off)
    }

    fn turn_to_digests(&mut self) {
        self.exact = false;
        let before = self.pending.len();
        self.pending.retain(|_, pending| pending.by_name);
        self.stale = before != self.pending.len();
    }

    fn change(&mut self, person: &Person, left: Option<LeaveReason>, by_name: bool) {
        self.order += 1;
        let before = self.pending.get(&person.user);
        let known = before.map_or_else(|| left.is_some(), |pending| pending.known);
        let by_name = by_name || before.is_some_and(|pending| pending.by_name);
        if left.is_some() && !known {
            self.pending.remove(&person.user);
            return;
        }
        let pending = Pending {
            person: person.clone(),
            left,
            known,
            by_name,
            order: self.order,
        };
        self.pending.insert(person.user.clone(), pending);
    }

    fn changes(&mut self) -> wire::Presence {
        let mut pending: Vec<&Pending> = self.pending.values().collect();
        pending.sort_unstable_by_key(|pending| pending.order);
        pending.truncate(self.config.changes_per_frame.max(1));
        let telling = pending.last().map_or(0, |pending| pending.order);
        let changes = pending.into_iter().map(Pending::wire).collect();
        self.telling = telling;
        wire::Presence {
            changes,
            online: self.online,
        }
    }

    fn digest(&mut self, now: Instant) -> wire::PresenceDigest {
        self.stale = false;
        self.told_online = self.online;
        self.open_at = now + self.config.spacing;
        self.digest_at = now + self.config.digest_every;
        self.last_was_exact = false;
        let mut bytes = 0;
        let newest = std::mem::take(&mut self.newest);
        let fits = |user: &wire::User| {
            bytes += user.encoded_len();
            bytes <= self.config.newest_bytes
        };
        wire::PresenceDigest {
            online: self.online,
            entered_total: self.entered_total,
            left_total: self.left_total,
            newest: newest.iter().map(Person::wire).take_while(fits).collect(),
        }
    }
}

impl Pending {
    fn wire(&self) -> wire::PresenceChange {
        let reason = self.left.unwrap_or(LeaveReason::Unspecified);
        wire::PresenceChange {
            user: Some(self.person.wire()),
            role: self.person.role.into(),
            entered: self.left.is_none(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests;
