//! Who is in a room: users with their sessions, in the order of entering.
//!
//! Invariants: a user is one member however many sessions they hold here; a
//! seat is given up only by the ticket that took it, so a late exit never
//! removes its successor; every lookup is O(1) or O(log n).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;
use livegate_proto::client::Role;
use smallvec::SmallVec;

use crate::clock::Unix;
use crate::event::Origin;
use crate::id::{SessionId, UserId};
use crate::rooms::presence::Person;

/// A user in a room.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Who; the role is the one given on entering.
    pub(crate) person: Person,
    /// When the first of their sessions entered.
    pub(crate) entered: Unix,
    /// The others know them by name at any size of the room.
    pub(crate) named: bool,
    /// Their sessions here, oldest first; never empty.
    pub(crate) sessions: SmallVec<[SessionId; 1]>,
}

/// One session's place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    member: u64,
    ticket: u64,
    /// What its signature says about publishing.
    pub(crate) may_publish: Option<bool>,
    /// From where it came.
    pub(crate) origin: Origin,
}

/// A session that took a seat.
#[derive(Debug)]
pub(crate) struct Seated {
    /// Gives the seat up again.
    pub(crate) ticket: u64,
    /// The user was not here before.
    pub(crate) is_new_member: bool,
    /// The session was not here before.
    pub(crate) is_new_session: bool,
}

/// A session that gave its seat up.
#[derive(Debug)]
pub(crate) struct Left {
    /// Whose it was, without it.
    pub(crate) member: Member,
    /// The user is no longer here.
    pub(crate) was_last: bool,
}

/// The members of one room.
#[derive(Debug, Default)]
pub(crate) struct Members {
    by_user: HashMap<UserId, u64, RandomState>,
    list: BTreeMap<u64, Member>,
    seats: HashMap<SessionId, Seat, RandomState>,
    /// Those whose given role is more than viewer.
    with_role: BTreeSet<u64>,
    entries: u64,
    tickets: u64,
}

impl Members {
    /// Distinct users.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sessions of all users.
    pub(crate) fn sessions(&self) -> usize {
        self.seats.len()
    }

    /// The member with this id.
    pub(crate) fn get(&self, user: &UserId) -> Option<&Member> {
        self.list.get(self.by_user.get(user)?)
    }

    /// The member with this id.
    pub(crate) fn get_mut(&mut self, user: &UserId) -> Option<&mut Member> {
        self.list.get_mut(self.by_user.get(user)?)
    }

    /// The member whose session this is, and its seat.
    pub(crate) fn of(&self, session: SessionId) -> Option<(&Member, Seat)> {
        let seat = *self.seats.get(&session)?;
        Some((self.list.get(&seat.member)?, seat))
    }

    /// Everybody, in the order of entering.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.list.values()
    }

    /// Those who were given more than the viewer's role, in the order of
    /// entering.
    pub(crate) fn with_role(&self) -> impl Iterator<Item = &Member> {
        self.with_role.iter().filter_map(|n| self.list.get(n))
    }

    /// Gives a member another role.
    pub(crate) fn set_role(&mut self, user: &UserId, role: Role) {
        let Some(position) = self.by_user.get(user).copied() else {
            return;
        };
        if let Some(member) = self.list.get_mut(&position) {
            member.person.role = role;
        }
        if role == Role::Viewer {
            self.with_role.remove(&position);
        } else {
            self.with_role.insert(position);
        }
    }

    /// Up to `limit` members after the position `after` (0: from the first),
    /// and the position of the last when more follow.
    pub(crate) fn page(&self, after: u64, limit: usize) -> (Vec<&Member>, Option<u64>) {
        let mut rest = self.list.range(after.saturating_add(1)..);
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let last = page.last().map(|(n, _)| **n);
        let next = last.filter(|_| rest.next().is_some());
        (page.into_iter().map(|(_, member)| member).collect(), next)
    }

    /// Gives `session` a seat. A session that has one gets a new ticket for it;
    /// a user who is here keeps their place and takes on the new profile and
    /// role.
    pub(crate) fn enter(
        &mut self,
        session: SessionId,
        person: Person,
        may_publish: Option<bool>,
        now: Unix,
    ) -> Seated {
        self.tickets += 1;
        let known = self.by_user.get(&person.user).copied();
        let position = known.unwrap_or(self.entries + 1);
        if person.role == Role::Viewer {
            self.with_role.remove(&position);
        } else {
            self.with_role.insert(position);
        }
        if known.is_none() {
            self.entries = position;
            self.by_user.insert(person.user.clone(), position);
        }
        let named = person.role != Role::Viewer;
        let member = self.list.entry(position).or_insert_with(|| Member {
            person: person.clone(),
            entered: now,
            named,
            sessions: SmallVec::new(),
        });
        member.person = person;
        member.named |= named;
        let seat = Seat {
            member: position,
            ticket: self.tickets,
            may_publish,
            origin: Origin::Unknown,
        };
        let is_new_session = self.seats.insert(session, seat).is_none();
        if is_new_session {
            member.sessions.push(session);
        }
        Seated {
            ticket: self.tickets,
            is_new_member: known.is_none(),
            is_new_session,
        }
    }

    /// Notes from where a session with a seat came.
    pub(crate) fn came_from(&mut self, session: SessionId, origin: Origin) {
        if let Some(seat) = self.seats.get_mut(&session) {
            seat.origin = origin;
        }
    }

    /// Gives the seat up that `ticket` was given for. `None`: it is another's
    /// by now, or nobody's.
    pub(crate) fn leave(&mut self, session: SessionId, ticket: u64) -> Option<Left> {
        let seat = *self.seats.get(&session)?;
        if seat.ticket != ticket {
            return None;
        }
        self.seats.remove(&session);
        let member = self.list.get_mut(&seat.member)?;
        member.sessions.retain(|id| *id != session);
        if !member.sessions.is_empty() {
            let member = member.clone();
            let was_last = false;
            return Some(Left { member, was_last });
        }
        let member = self.forget(seat.member)?;
        let was_last = true;
        Some(Left { member, was_last })
    }

    /// Takes a user out with all their sessions.
    pub(crate) fn remove(&mut self, user: &UserId) -> Option<Member> {
        let position = *self.by_user.get(user)?;
        let member = self.forget(position)?;
        for session in &member.sessions {
            self.seats.remove(session);
        }
        Some(member)
    }

    fn forget(&mut self, position: u64) -> Option<Member> {
        let member = self.list.remove(&position)?;
        self.by_user.remove(&member.person.user);
        self.with_role.remove(&position);
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::ShardId;

    #[test]
    fn two_sessions_of_a_user_are_one_member() {
        let mut members = Members::default();
        let first = enter(&mut members, 1, "a", Role::Viewer);
        let second = enter(&mut members, 2, "a", Role::Viewer);
        assert!(first.is_new_member && !second.is_new_member);
        assert_eq!((members.len(), members.sessions()), (1, 2));
        assert!(!members.leave(session(1), first.ticket).unwrap().was_last);
        assert!(members.leave(session(2), second.ticket).unwrap().was_last);
        assert!(members.is_empty());
    }

    #[test]
    fn a_late_exit_never_removes_its_successor() {
        let mut members = Members::default();
        let first = enter(&mut members, 1, "a", Role::Viewer);
        let again = enter(&mut members, 1, "a", Role::Viewer);
        assert!(!again.is_new_session);
        assert!(members.leave(session(1), first.ticket).is_none());
        assert_eq!(members.len(), 1);
        assert!(members.leave(session(1), again.ticket).is_some());
    }

    #[test]
    fn pages_follow_the_order_of_entering_and_end() {
        let mut members = Members::default();
        for (n, user) in ["c", "a", "d", "b"].into_iter().enumerate() {
            enter(&mut members, n as u32, user, Role::Viewer);
        }
        let (page, next) = members.page(0, 3);
        assert_eq!(names(&page), ["c", "a", "d"]);
        let (page, next) = members.page(next.unwrap(), 3);
        assert_eq!((names(&page), next), (vec!["b"], None));
    }

    #[test]
    fn the_role_is_that_of_the_last_entering() {
        let mut members = Members::default();
        enter(&mut members, 1, "a", Role::Publisher);
        assert_eq!(members.with_role().count(), 1);
        enter(&mut members, 2, "a", Role::Viewer);
        assert_eq!(members.with_role().count(), 0);
        assert!(members.get(&user("a")).unwrap().named, "still known");
    }

    #[test]
    fn a_user_is_removed_with_all_sessions() {
        let mut members = Members::default();
        enter(&mut members, 1, "a", Role::Admin);
        enter(&mut members, 2, "a", Role::Admin);
        assert_eq!(members.remove(&user("a")).unwrap().sessions.len(), 2);
        assert_eq!((members.len(), members.sessions()), (0, 0));
        assert!(members.of(session(1)).is_none());
        assert_eq!(members.with_role().count(), 0);
    }

    fn enter(members: &mut Members, slot: u32, name: &str, role: Role) -> Seated {
        let person = Person {
            user: user(name),
            profile: Arc::default(),
            role,
        };
        members.enter(session(slot), person, None, Unix(0))
    }

    fn names<'a>(page: &[&'a Member]) -> Vec<&'a str> {
        page.iter().map(|m| m.person.user.as_str()).collect()
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn session(slot: u32) -> SessionId {
        SessionId::new(ShardId(0), slot, 1)
    }
}
