//! Who pushes where, by what the RoomService door was told.
//!
//! Invariants: a room is of one kind; a user pushes once in a room; one who was
//! not heard for the allowance is no longer there after the next look. Pure but
//! for the guards that it holds: told the time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::clock::Instant;
use crate::id::{RoomKey, UserId};

/// The vendor's kinds of rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// One host and those who join them on the mic.
    Live,
    /// Several who push, nobody is the host (`rtc_room` is its older name).
    Multi,
    /// Two who push.
    Double,
}

impl Kind {
    /// As the path names it.
    pub(super) fn parse(path: &str) -> Option<Self> {
        match path {
            "live_room" => Some(Self::Live),
            "multi_room" | "rtc_room" => Some(Self::Multi),
            "double_room" => Some(Self::Double),
            _ => None,
        }
    }
}

/// One who pushes.
#[derive(Debug)]
pub(super) struct Pushing<G> {
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) avatar: String,
    pub(super) url: String,
    /// When they were heard last.
    pub(super) heard: Instant,
    /// Keeps them in the room.
    pub(super) guard: G,
}

/// A room as the door knows it.
#[derive(Debug)]
pub(super) struct HttpRoom<G> {
    pub(super) kind: Kind,
    pub(super) info: String,
    pub(super) creator: UserId,
    pub(super) pushers: Vec<Pushing<G>>,
    /// Newest last.
    pub(super) audience: Vec<(UserId, String)>,
    pub(super) fields: BTreeMap<String, i64>,
    /// Since when nobody pushes.
    pub(super) idle_since: Instant,
}

/// Every room that the door knows.
#[derive(Debug)]
pub(super) struct HttpRooms<G> {
    rooms: HashMap<RoomKey, HttpRoom<G>, RandomState>,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Found<G> {
    /// Pushers that were lost, and where.
    pub(super) lost: Vec<(RoomKey, Pushing<G>)>,
    /// Rooms in which nobody has pushed for long.
    pub(super) idle: Vec<RoomKey>,
}

impl<G> Default for HttpRooms<G> {
    fn default() -> Self {
        Self {
            rooms: HashMap::default(),
        }
    }
}

impl<G> HttpRooms<G> {
    /// The room, if it is of this kind.
    pub(super) fn get(&self, room: &RoomKey, kind: Kind) -> Option<&HttpRoom<G>> {
        self.rooms.get(room).filter(|room| room.kind == kind)
    }

    /// The room, if it is of this kind.
    pub(super) fn get_mut(&mut self, room: &RoomKey, kind: Kind) -> Option<&mut HttpRoom<G>> {
        self.rooms.get_mut(room).filter(|room| room.kind == kind)
    }

    /// The room, made if it is not known yet; none if it is of another kind.
    pub(super) fn open(
        &mut self,
        room: &RoomKey,
        kind: Kind,
        creator: &UserId,
        now: Instant,
    ) -> Option<&mut HttpRoom<G>> {
        let known = self.rooms.entry(room.clone()).or_insert_with(|| HttpRoom {
            kind,
            info: String::new(),
            creator: creator.clone(),
            pushers: Vec::new(),
            audience: Vec::new(),
            fields: BTreeMap::new(),
            idle_since: now,
        });
        (known.kind == kind).then_some(known)
    }

    /// Forgets a room, with the guards of those who push there.
    pub(super) fn remove(&mut self, room: &RoomKey) -> Option<HttpRoom<G>> {
        self.rooms.remove(room)
    }

    /// Rooms of one app and kind in which somebody pushes, by id.
    pub(super) fn active(
        &self,
        app: crate::id::AppId,
        kind: Kind,
    ) -> Vec<(&RoomKey, &HttpRoom<G>)> {
        let mut active: Vec<_> = (self.rooms.iter())
            .filter(|(key, room)| key.app == app && room.kind == kind && !room.pushers.is_empty())
            .collect();
        active.sort_unstable_by(|a, b| a.0.room.cmp(&b.0.room));
        active
    }

    /// Takes out who was not heard for `allowance`, and finds rooms that are
    /// idle for `idle`.
    pub(super) fn look(&mut self, allowance: Duration, idle: Duration, now: Instant) -> Found<G> {
        let mut found = Found {
            lost: Vec::new(),
            idle: Vec::new(),
        };
        for (key, room) in &mut self.rooms {
            let silent = |pushing: &mut Pushing<G>| now.since(pushing.heard) > allowance;
            let lost: Vec<_> = room.pushers.extract_if(.., silent).collect();
            if !lost.is_empty() && room.pushers.is_empty() {
                room.idle_since = now;
            }
            let lost = lost.into_iter().map(|pushing| (key.clone(), pushing));
            found.lost.extend(lost);
            if room.is_idle(idle, now) {
                found.idle.push(key.clone());
            }
        }
        found
    }

    /// Everybody who pushes anywhere.
    pub(super) fn into_pushers(self) -> impl Iterator<Item = Pushing<G>> {
        self.rooms.into_values().flat_map(|room| room.pushers)
    }

    /// Whether nobody has pushed in a room for `idle`.
    pub(super) fn is_idle(&self, room: &RoomKey, idle: Duration, now: Instant) -> bool {
        let room = self.rooms.get(room);
        room.is_some_and(|room| room.is_idle(idle, now))
    }
}

impl<G> HttpRoom<G> {
    fn is_idle(&self, idle: Duration, now: Instant) -> bool {
        self.pushers.is_empty() && now.since(self.idle_since) > idle
    }

    /// The one of this user.
    pub(super) fn pusher(&mut self, user: &UserId) -> Option<&mut Pushing<G>> {
        self.pushers
            .iter_mut()
            .find(|pushing| pushing.user == *user)
    }

    /// Takes a pusher out.
    pub(super) fn take(&mut self, user: &UserId, now: Instant) -> Option<Pushing<G>> {
        let place = self.pushers.iter().position(|p| p.user == *user)?;
        let taken = self.pushers.remove(place);
        if self.pushers.is_empty() {
            self.idle_since = now;
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AppId, RoomId};

    fn key(app: u32) -> RoomKey {
        RoomKey {
            app: AppId(app),
            room: RoomId::new("r").unwrap(),
        }
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn pushing(name: &str, heard: u64) -> Pushing<()> {
        Pushing {
            user: user(name),
            name: String::new(),
            avatar: String::new(),
            url: String::new(),
            heard: Instant::from_millis(heard),
            guard: (),
        }
    }

    #[test]
    fn who_is_silent_for_longer_than_the_allowance_is_lost_and_nobody_else() {
        let mut rooms = HttpRooms::default();
        let room = rooms.open(&key(1), Kind::Live, &user("a"), Instant(0));
        let room = room.unwrap();
        room.pushers.push(pushing("a", 0));
        room.pushers.push(pushing("b", 1));
        let (allowance, idle) = (Duration::from_secs(20), Duration::from_secs(30));
        let at = |ms| Instant::from_millis(ms);
        assert!(rooms.look(allowance, idle, at(20_000)).lost.is_empty());
        let lost = rooms.look(allowance, idle, at(20_001)).lost;
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].1.user, user("a"));
        assert_eq!(rooms.look(allowance, idle, at(25_000)).lost.len(), 1);
        assert!(rooms.look(allowance, idle, at(55_000)).idle.is_empty());
        assert_eq!(rooms.look(allowance, idle, at(55_001)).idle, [key(1)]);
    }

    #[test]
    fn rooms_of_two_apps_and_two_kinds_do_not_meet() {
        let mut rooms = HttpRooms::<()>::default();
        let owner = user("a");
        assert!(
            rooms
                .open(&key(1), Kind::Live, &owner, Instant(0))
                .is_some()
        );
        assert!(
            rooms
                .open(&key(1), Kind::Multi, &owner, Instant(0))
                .is_none()
        );
        assert!(rooms.get(&key(2), Kind::Live).is_none());
        assert!(rooms.get(&key(1), Kind::Multi).is_none());
        assert!(rooms.active(AppId(1), Kind::Live).is_empty());
    }
}
