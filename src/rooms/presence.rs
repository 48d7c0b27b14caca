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
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_to_enter_is_told_at_once_and_the_next_ones_together() {
        let mut presence = Presence::new(PresenceConfig::default());
        presence.entered(&person(1), false);
        assert_eq!(names(&mut presence, 0), ["+u1"]);
        presence.entered(&person(2), false);
        presence.entered(&person(3), false);
        assert_eq!(presence.due(Instant::from_millis(499)), None);
        assert_eq!(presence.deadline(), Some(Instant::from_millis(500)));
        assert_eq!(names(&mut presence, 500), ["+u2", "+u3"]);
        assert_eq!(presence.deadline(), None);
    }

    #[test]
    fn who_comes_and_goes_within_a_window_is_not_told_who_goes_and_comes_is() {
        let mut presence = Presence::new(PresenceConfig::default());
        presence.entered(&person(1), false);
        names(&mut presence, 0);
        presence.entered(&person(2), false);
        presence.left(&person(2), LeaveReason::Left, false);
        assert_eq!(presence.deadline(), None);
        presence.left(&person(1), LeaveReason::Left, false);
        presence.entered(&person(1), false);
        assert_eq!(names(&mut presence, 500), ["+u1"]);
        presence.left(&person(1), LeaveReason::Left, false);
        assert_eq!(names(&mut presence, 1000), ["-u1"]);
    }

    #[test]
    fn hosts_are_told_by_name_in_a_room_of_any_size() {
        let mut presence = crowd(60);
        presence.entered(&person(99), true);
        assert_eq!(names(&mut presence, 10_000), ["+u99"]);
        presence.left(&person(99), LeaveReason::ConnectionLost, true);
        assert_eq!(names(&mut presence, 11_000), ["-u99"]);
    }

    #[test]
    fn a_digest_names_the_newest_who_are_still_there_up_to_its_limits() {
        let mut presence = crowd(60);
        for n in 100..130 {
            presence.entered(&person(n), false);
        }
        presence.left(&person(129), LeaveReason::Left, false);
        let Some(Telling::Digest(digest)) = presence.due(Instant::from_millis(10_000)) else {
            panic!("a digest is due");
        };
        assert_eq!((digest.online, digest.entered_total), (89, 90));
        assert_eq!(digest.left_total, 1);
        let newest: Vec<_> = digest.newest.iter().map(|u| u.user_id.as_str()).collect();
        assert_eq!(newest.len(), 19);
        assert_eq!((newest[0], newest[18]), ("u128", "u110"));
    }

    #[test]
    fn a_room_at_the_edge_does_not_flap() {
        let mut presence = crowd(50);
        assert!(!presence.is_exact());
        for n in 0..10 {
            assert!(!presence.left(&person(n), LeaveReason::Left, false));
            presence.entered(&person(n), false);
        }
        for n in 0..10 {
            assert!(!presence.left(&person(n), LeaveReason::Left, false));
        }
        assert!(presence.left(&person(10), LeaveReason::Left, false));
        assert!(presence.is_exact());
    }

    #[test]
    fn a_refused_telling_is_tried_again() {
        let mut presence = Presence::new(PresenceConfig::default());
        presence.entered(&person(1), false);
        let first = presence.due(Instant(0)).unwrap();
        presence.put_off(Instant(0));
        assert_eq!(presence.due(Instant::from_millis(499)), None);
        assert_eq!(presence.due(Instant::from_millis(500)), Some(first));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Toggle(u32),
        Wait(u64),
        Refuse,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0u32..16).prop_map(Step::Toggle),
            3 => (0u64..700).prop_map(Step::Wait),
            1 => Just(Step::Refuse),
        ];
        prop::collection::vec(step, 1..300)
    }

    proptest! {
        /// Reference model: the set of members. A client that applies what it
        /// is told ends up with it whenever presence is exact and nothing is
        /// waiting; with the notables among it at any time; and no second
        /// brings more than two frames.
        #[test]
        fn a_client_that_applies_what_it_is_told_knows_the_room(steps in steps()) {
            let config = PresenceConfig {
                exact_below: 8,
                exact_again_below: 5,
                changes_per_frame: 3,
                ..PresenceConfig::default()
            };
            let mut presence = Presence::new(config);
            let mut client = Client::default();
            let mut members = BTreeSet::new();
            let mut now = 0;
            for step in steps {
                let mut refuse = false;
                match step {
                    Step::Toggle(n) => toggle(&mut presence, &mut members, n),
                    Step::Wait(ms) => now += ms,
                    Step::Refuse => refuse = true,
                }
                client.turn(&mut presence, now, refuse);
            }
            while let Some(at) = presence.deadline() {
                now = now.max(at.0 / 1000);
                client.turn(&mut presence, now, false);
            }
            let names: BTreeSet<String> = members.iter().map(|n| format!("u{n}")).collect();
            prop_assert_eq!(presence.online() as usize, members.len());
            prop_assert_eq!(client.online as usize, members.len());
            let notables = |set: &BTreeSet<String>| {
                set.iter().filter(|n| notable_name(n)).cloned().collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(notables(&client.members), notables(&names));
            if presence.is_exact() {
                prop_assert_eq!(&client.members, &names);
            }
            for two in client.frames.windows(3) {
                prop_assert!(two[2] - two[0] >= 1000, "three frames in a second: {:?}", two);
            }
        }
    }

    /// A client as docs/protocol.md tells it to behave.
    #[derive(Default)]
    struct Client {
        members: BTreeSet<String>,
        online: u32,
        frames: Vec<u64>,
    }

    impl Client {
        fn turn(&mut self, presence: &mut Presence, ms: u64, refuse: bool) {
            let now = Instant::from_millis(ms);
            match presence.due(now) {
                Some(Telling::Exact(_)) if refuse => presence.put_off(now),
                Some(Telling::Exact(told)) => {
                    presence.told(now);
                    self.frames.push(ms);
                    self.online = told.online;
                    for change in told.changes {
                        let name = change.user.unwrap().user_id;
                        if change.entered {
                            self.members.insert(name);
                        } else {
                            self.members.remove(&name);
                        }
                    }
                }
                Some(Telling::Digest(digest)) => {
                    self.frames.push(ms);
                    self.online = digest.online;
                    self.members.retain(|name| notable_name(name));
                }
                None => {}
            }
        }
    }

    fn toggle(presence: &mut Presence, members: &mut BTreeSet<u32>, n: u32) {
        if members.insert(n) {
            presence.entered(&person(n), notable(n));
            return;
        }
        members.remove(&n);
        if presence.left(&person(n), LeaveReason::Left, notable(n)) {
            presence.everybody(members.iter().map(|n| person(*n)));
        }
    }

    fn notable(n: u32) -> bool {
        n < 2
    }

    fn notable_name(name: &str) -> bool {
        name == "u0" || name == "u1"
    }

    fn crowd(members: u32) -> Presence {
        let mut presence = Presence::new(PresenceConfig::default());
        let mut now = 0;
        for n in 0..members {
            presence.entered(&person(n), false);
        }
        while let Some(at) = presence.deadline() {
            now = now.max(at.0);
            if let Some(Telling::Exact(_)) = presence.due(Instant(now)) {
                presence.told(Instant(now));
            }
        }
        presence
    }

    fn names(presence: &mut Presence, ms: u64) -> Vec<String> {
        let Some(Telling::Exact(told)) = presence.due(Instant::from_millis(ms)) else {
            return Vec::new();
        };
        presence.told(Instant::from_millis(ms));
        let name = |change: wire::PresenceChange| {
            let sign = if change.entered { '+' } else { '-' };
            format!("{sign}{}", change.user.unwrap().user_id)
        };
        told.changes.into_iter().map(name).collect()
    }

    fn person(n: u32) -> Person {
        Person {
            user: UserId::new(&format!("u{n}")).unwrap(),
            profile: Arc::default(),
            role: Role::Viewer,
        }
    }
}
