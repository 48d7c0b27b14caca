//! The order in which an app's rooms are listed: those with a live first, then
//! by online count, then by id.
//!
//! Invariant: listing costs a sort at most once a `list_every`, however many
//! ask; nothing is locked for it but the rooms of the page. Rooms that change
//! their place between two pages may be told twice or not at all.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Instant;
use crate::id::{AppId, RoomId};

/// A room's place in the list. Its order is the list's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    live: Reverse<bool>,
    online: Reverse<u32>,
    /// The room.
    pub(crate) room: RoomId,
}

impl Rank {
    /// The place of a room.
    pub(crate) fn new(live: bool, online: u32, room: RoomId) -> Self {
        Self {
            live: Reverse(live),
            online: Reverse(online),
            room,
        }
    }

    /// As a paging cursor.
    pub(crate) fn cursor(&self) -> String {
        let live = u8::from(self.live.0);
        format!("{live}.{}.{}", self.online.0, self.room)
    }

    /// From a paging cursor.
    pub(crate) fn parse(cursor: &str) -> Option<Self> {
        let (live, rest) = cursor.split_once('.')?;
        let (online, room) = rest.split_once('.')?;
        let live = match live {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        Some(Self::new(
            live,
            online.parse().ok()?,
            RoomId::new(room).ok()?,
        ))
    }
}

type Ranks = HashMap<AppId, Arc<[Rank]>>;

/// The rooms of all apps, sorted a while ago.
#[derive(Debug, Default)]
pub(crate) struct Listing(Mutex<Option<(Instant, Ranks)>>);

impl Listing {
    /// The rooms of `app` as they stood at most `every` ago; `read` tells how
    /// all rooms stand now.
    pub(crate) fn of(
        &self,
        app: AppId,
        every: Duration,
        now: Instant,
        read: impl FnOnce() -> HashMap<AppId, Vec<Rank>>,
    ) -> Arc<[Rank]> {
        let mut sorted = self.0.lock();
        let fresh = |at: Instant| now.since(at) < every;
        if !sorted.as_ref().is_some_and(|(at, _)| fresh(*at)) {
            let ranks = read().into_iter().map(|(app, mut ranks)| {
                ranks.sort_unstable();
                (app, ranks.into())
            });
            *sorted = Some((now, ranks.collect()));
        }
        let ranks = sorted.as_ref().and_then(|(_, ranks)| ranks.get(&app));
        ranks.map(Arc::clone).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_rooms_come_first_then_by_online_count_then_by_id() {
        let rank = |live, online, id: &str| Rank::new(live, online, RoomId::new(id).unwrap());
        let mut ranks = [
            rank(false, 9, "a"),
            rank(true, 1, "b"),
            rank(true, 5, "d"),
            rank(true, 5, "c"),
        ];
        ranks.sort();
        let ids: Vec<_> = ranks.iter().map(|rank| rank.room.as_str()).collect();
        assert_eq!(ids, ["c", "d", "b", "a"]);
    }

    #[test]
    fn a_cursor_names_its_place_whatever_the_id() {
        let rank = Rank::new(true, 7, RoomId::new("a.b 1.2").unwrap());
        assert_eq!(Rank::parse(&rank.cursor()), Some(rank));
        assert_eq!(Rank::parse("2.7.a"), None);
        assert_eq!(Rank::parse("1.x.a"), None);
        assert_eq!(Rank::parse(""), None);
    }
}
