//! Who comes into a room and who goes.

use std::sync::Arc;

use livegate_proto::client::{self as wire, AwayCause, LeaveReason, Role, push};
use livegate_proto::code::Code;

use super::telling::hash;
use super::{Core, Out, Standing};
use crate::callback::tell::Moved;
use crate::clock::{Instant, Moment, Unix};
use crate::dispatch::SessionEvent;
use crate::event::{EndReason, Origin};
use crate::id::{SessionId, UserId};
use crate::rooms::live::EndArgs;
use crate::rooms::members::Member;
use crate::rooms::presence::Person;
use crate::rooms::refusal::Refusal;

/// Members with a role that a snapshot names; Members lists them all. Keeps the
/// frame and the work of entering bounded.
const SNAPSHOT_ROLES: usize = 100;

/// A session that enters, authorised.
#[derive(Debug, Clone)]
pub struct EnterArgs {
    /// Which.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// What they show of themselves here.
    pub profile: Arc<wire::Profile>,
    /// What the app gave them; the room's record may give more.
    pub role: Role,
    /// What their signature says about publishing here; `None`: nothing.
    pub may_publish: Option<bool>,
    /// From where they came.
    pub origin: Origin,
}

/// How a session came to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaveCause {
    /// It asked to leave, or logged out. A host who does ends the live.
    Left,
    /// Its connection closed or broke.
    ConnectionLost,
    /// Nothing was heard from it for its allowance.
    Silent,
    /// The user's new login took its place.
    Displaced,
    /// The backend threw the user out.
    Kicked,
    /// The user entered another room, and the app allows one at a time. Like
    /// one who asks to leave.
    EnteredAnother,
    /// Its signature ran out.
    SigExpired,
    /// The gateway is stopping: nothing is decided about lives.
    Draining,
}

/// A session that is in.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Gives its seat up again.
    pub(crate) ticket: u64,
    /// What it is shown; what is stamped after `snapshot.room.seq` follows.
    pub(crate) snapshot: wire::EnterRoomReply,
    /// The version of the unsequenced state in the snapshot.
    pub(crate) flash: u64,
    /// Whether it hosts the open live.
    pub(crate) hosting: bool,
    /// Whether it is on the mic: it enters once more.
    pub(crate) publishing: bool,
}

impl Core {
    /// Refuses who is kept out.
    pub(crate) fn must_not_be_banned(&self, user: &UserId, now: Unix) -> Result<(), Refusal> {
        match self.charter.banned_until(user, now) {
            Some(_) => Err(Refusal::new(Code::BANNED)),
            None => Ok(()),
        }
    }

    /// Lets a session in. The user's live, if one is open, is its from now on.
    pub(crate) fn enter(
        &mut self,
        args: &EnterArgs,
        now: Moment,
        out: &mut Out,
    ) -> Result<Admission, Refusal> {
        self.must_be_open()?;
        self.must_not_be_banned(&args.user, now.unix)?;
        self.must_have_place(args)?;
        let given = self.charter.roles.get(&args.user).copied();
        let kept = self.mic.came(&args.user, now.instant) && args.role == Role::Viewer;
        let given = given.or_else(|| kept.then_some(Role::Publisher));
        let person = Person {
            user: args.user.clone(),
            profile: Arc::clone(&args.profile),
            role: given.unwrap_or(args.role),
        };
        let seated = self
            .members
            .enter(args.session, person, args.may_publish, now.unix);
        self.members.came_from(args.session, args.origin);
        if seated.is_new_member {
            self.tell_entered(&args.user);
            self.report_moved(Moved::Joined, &args.user, args.origin, now, out);
        }
        self.host_entered(args, now, out);
        self.settle(now, out);
        if seated.is_new_session {
            let shard = args.session.shard();
            self.following.seat(shard, &mut self.log);
        }
        Ok(Admission {
            ticket: seated.ticket,
            snapshot: self.snapshot(&args.user, now),
            flash: self.flash.version(),
            hosting: self.live.hosted_by(args.session),
            publishing: self.mic.session_of(&args.user) == Some(args.session),
        })
    }

    fn must_have_place(&self, args: &EnterArgs) -> Result<(), Refusal> {
        let full = match self.members.get(&args.user) {
            Some(member) => {
                let known = member.sessions.contains(&args.session);
                !known && member.sessions.len() >= self.config.sessions_per_member
            }
            None => self.members.len() >= self.config.members,
        };
        if full {
            return Err(Refusal::with(Code::OVERLOADED, "the room is full"));
        }
        Ok(())
    }

    fn tell_entered(&mut self, user: &UserId) {
        let Some(member) = self.members.get(user) else {
            return;
        };
        let shown = self.shown(member);
        let by_name = member.named || shown.role != Role::Viewer;
        self.presence.entered(&shown, by_name);
        if let Some(member) = self.members.get_mut(user) {
            member.named |= by_name;
        }
        let host = self.live.host().map(|(host, _)| host.clone());
        if host.as_ref() != Some(user) {
            let viewers = self.viewers(host.as_ref());
            self.live.viewer(hash(user), viewers);
        }
    }

    /// The session itself learns by its admission that it hosts, not by an
    /// event.
    fn host_entered(&mut self, args: &EnterArgs, now: Moment, out: &mut Out) {
        let effects = self
            .live
            .host_entered(&args.user, args.session, &args.profile);
        self.apply(effects, now, out);
        out.events.retain(|(session, _)| *session != args.session);
    }

    /// Takes a session out, if `ticket` still is its own; else false.
    pub(crate) fn leave(
        &mut self,
        (session, ticket): (SessionId, u64),
        cause: LeaveCause,
        last_seen: Instant,
        now: Moment,
        out: &mut Out,
    ) -> bool {
        let origin = self.origin_of(session);
        let Some(left) = self.members.leave(session, ticket) else {
            return false;
        };
        self.following.unseat(session.shard(), &mut self.log);
        let shown = self.shown(&left.member);
        self.publisher_lost(session, &left.member.person, now, out);
        self.host_left(session, cause, last_seen, now, out);
        if left.was_last {
            self.left_mic(&left.member, cause, now, out);
            self.tell_left(&left.member, &shown, reason(cause), now);
            let user = &left.member.person.user;
            self.report_moved(moved(cause), user, origin, now, out);
        }
        self.settle(now, out);
        true
    }

    /// Takes a user out with all their sessions, and ends the live if it is
    /// theirs. Returns how many sessions there were.
    pub(crate) fn kick(
        &mut self,
        user: &UserId,
        reason: &str,
        now: Moment,
        out: &mut Out,
    ) -> usize {
        if self.standing == Standing::Gone {
            return 0;
        }
        if self.live.host().is_some_and(|(host, _)| host == user) {
            self.end_for(EndReason::Kicked, now, out);
        }
        let Some(member) = self.members.remove(user) else {
            self.settle(now, out);
            return 0;
        };
        let shown = self.shown(&member);
        let banned = self.charter.banned_until(user, now.unix);
        let kicked = wire::Kicked {
            reason: reason.to_owned(),
            banned_until_ms: banned.map_or(0, Unix::millis_i64),
        };
        let frame = self.aside(push::Body::Kicked(kicked), now);
        for session in &member.sessions {
            self.following.unseat(session.shard(), &mut self.log);
            let cause = AwayCause::ConnectionClosed;
            let effects = self.live.host_lost(*session, cause, now.instant, now);
            self.apply(effects, now, out);
            let removed = SessionEvent::Removed(self.uid, frame.clone());
            out.events.push((*session, removed));
        }
        self.left_mic(&member, LeaveCause::Kicked, now, out);
        self.tell_left(&member, &shown, LeaveReason::Kicked, now);
        self.report_moved(Moved::Kicked, user, Origin::Api, now, out);
        self.settle(now, out);
        member.sessions.len()
    }

    fn tell_left(&mut self, member: &Member, shown: &Person, reason: LeaveReason, now: Moment) {
        let by_name = member.named || shown.role != Role::Viewer;
        if self.presence.left(shown, reason, by_name) {
            let everybody: Vec<_> = self.members.iter().map(|m| self.shown(m)).collect();
            self.presence.everybody(everybody);
        }
        if self.members.is_empty() {
            self.empty_since = now.instant;
        }
    }

    fn host_left(
        &mut self,
        session: SessionId,
        cause: LeaveCause,
        last_seen: Instant,
        now: Moment,
        out: &mut Out,
    ) {
        let (away, end) = match cause {
            // A planned stop never looks like a crash.
            LeaveCause::Draining => return,
            LeaveCause::Displaced => {
                let effects = self.live.host_displaced(session, last_seen, now);
                return self.apply(effects, now, out);
            }
            LeaveCause::Left | LeaveCause::EnteredAnother => {
                (AwayCause::ConnectionClosed, Some(EndReason::HostEnded))
            }
            LeaveCause::Kicked => (AwayCause::ConnectionClosed, Some(EndReason::Kicked)),
            LeaveCause::SigExpired => (
                AwayCause::ConnectionClosed,
                Some(EndReason::SignatureExpired),
            ),
            LeaveCause::ConnectionLost => (AwayCause::ConnectionClosed, None),
            LeaveCause::Silent => (AwayCause::HeartbeatTimeout, None),
        };
        if let Some(reason) = end
            && self.live.hosted_by(session)
        {
            self.end_for(reason, now, out);
        }
        let effects = self.live.host_lost(session, away, last_seen, now);
        self.apply(effects, now, out);
    }

    fn end_for(&mut self, reason: EndReason, now: Moment, out: &mut Out) {
        let args = EndArgs {
            reason,
            live: None,
            asker: None,
        };
        let effects = self.live.end(args, now);
        self.apply(effects, now, out);
    }

    fn snapshot(&self, user: &UserId, now: Moment) -> wire::EnterRoomReply {
        let muted = self.charter.muted_until(user, now.unix);
        let role = self.members.get(user).map(|member| self.role_of(member));
        let exact = self.presence.is_exact();
        let members = if exact {
            self.members.iter().map(|m| self.wire_member(m)).collect()
        } else {
            let named = self.with_role().take(SNAPSHOT_ROLES);
            named.map(|m| self.wire_member(m)).collect()
        };
        let room = wire::RoomSnapshot {
            room_id: self.key.room.to_string(),
            epoch: self.log.epoch(),
            seq: self.log.head(),
            summary: Some(self.summary()),
            totals: Some(self.totals()),
            members,
            exact_presence: exact,
            attributes: Some(self.charter.wire_attributes()),
            publishers: self.publishers(),
        };
        wire::EnterRoomReply {
            room: Some(Box::new(room)),
            role: role.unwrap_or(Role::Viewer).into(),
            muted_until_ms: muted.map_or(0, Unix::millis_i64),
            heartbeat_ms: 0,
        }
    }

    /// The host, and those who were given more than the viewer's role.
    fn with_role(&self) -> impl Iterator<Item = &Member> {
        let host = self.live.host().map(|(host, _)| host);
        let host = host.and_then(|host| self.members.get(host));
        let host = host.filter(|host| host.person.role == Role::Viewer);
        host.into_iter().chain(self.members.with_role())
    }
}

/// As the backend is told.
fn moved(cause: LeaveCause) -> Moved {
    match cause {
        LeaveCause::Left | LeaveCause::EnteredAnother => Moved::Quit,
        LeaveCause::Kicked => Moved::Kicked,
        LeaveCause::ConnectionLost
        | LeaveCause::Silent
        | LeaveCause::Displaced
        | LeaveCause::SigExpired
        | LeaveCause::Draining => Moved::Lost,
    }
}

fn reason(cause: LeaveCause) -> LeaveReason {
    match cause {
        LeaveCause::Left => LeaveReason::Left,
        LeaveCause::Kicked => LeaveReason::Kicked,
        LeaveCause::Displaced => LeaveReason::Displaced,
        LeaveCause::EnteredAnother => LeaveReason::EnteredAnother,
        LeaveCause::ConnectionLost
        | LeaveCause::Silent
        | LeaveCause::SigExpired
        | LeaveCause::Draining => LeaveReason::ConnectionLost,
    }
}
