//! Who takes part on the mic: invitations both ways, the role that they give,
//! who is on it.
//!
//! Invariants:
//! - both sides hear how an invitation ended, once, as long as they are here;
//! - the room hears that somebody is on the mic when they take it, never by an
//!   invitation's answer alone, and that they are off it at once, also when
//!   the log has no place for anything else.

use std::time::Duration;

use livegate_proto::client::{self as wire, InvitationKind, InvitationOutcome, Role, push};
use livegate_proto::code::Code;

use super::governing::By;
use super::{Core, LeaveCause, Out};
use crate::clock::Moment;
use crate::dispatch::{Class, SessionEvent};
use crate::id::{SessionId, UserId};
use crate::rooms::members::Member;
use crate::rooms::mic::{Invitation, Kind};
use crate::rooms::presence::Person;
use crate::rooms::refusal::Refusal;

/// When to invite or ask again where there are too many.
const INVITE_AGAIN: Duration = Duration::from_secs(1);

impl Core {
    /// Invites a member to the mic. A repeat while it is open is the same
    /// invitation.
    pub(crate) fn invite(
        &mut self,
        session: SessionId,
        to: &UserId,
        now: Moment,
        out: &mut Out,
    ) -> Result<wire::InvitationReply, Refusal> {
        self.must_be_open()?;
        self.must_govern(&By::Member(session))?;
        let from = self.member(session)?.person.clone();
        if from.user == *to {
            return Err(Refusal::with(Code::BAD_PARAMETER, "that is yourself"));
        }
        if self.members.get(to).is_none() {
            return Err(Refusal::with(Code::NO_USER, "the user is not in the room"));
        }
        self.open(Kind::Invite, &from, to, now, out)
    }

    /// Asks for the mic: the host, or the owner while there is none.
    pub(crate) fn ask(
        &mut self,
        session: SessionId,
        now: Moment,
        out: &mut Out,
    ) -> Result<wire::InvitationReply, Refusal> {
        self.must_be_open()?;
        let from = self.member(session)?.person.clone();
        let host = self.live.host().map(|(host, _)| host);
        let asked = host.or(self.charter.owner.as_ref());
        let asked = asked.filter(|user| self.members.get(user).is_some());
        let Some(asked) = asked.cloned() else {
            return Err(Refusal::with(Code::NO_USER, "nobody is here to be asked"));
        };
        if asked == from.user {
            return Err(Refusal::with(Code::BAD_PARAMETER, "you need not ask"));
        }
        self.open(Kind::Ask, &from, &asked, now, out)
    }

    fn open(
        &mut self,
        kind: Kind,
        from: &Person,
        to: &UserId,
        now: Moment,
        out: &mut Out,
    ) -> Result<wire::InvitationReply, Refusal> {
        self.end_expired(now, out);
        let opened = self.mic.invite(kind, &from.user, to, now);
        let (invitation, is_new) = opened
            .map_err(|_| Refusal::new(Code::TOO_MANY_INVITATIONS).retry_after(INVITE_AGAIN))?;
        let invitation_id = self.invitation_id(&invitation);
        let expires_ms = invitation.expires.unix.millis_i64();
        if is_new {
            let kind = match kind {
                Kind::Invite => InvitationKind::Invite,
                Kind::Ask => InvitationKind::Ask,
            };
            let told = wire::Invitation {
                invitation_id: invitation_id.clone(),
                from: Some(from.wire()),
                expires_ms,
                kind: kind.into(),
            };
            self.tell_aside(to, push::Body::Invitation(told), now, out);
        }
        self.settle(now, out);
        Ok(wire::InvitationReply {
            invitation_id,
            expires_ms,
        })
    }

    /// Answers an invitation that was made to the caller. Accepting gives the
    /// candidate the publisher's role and ends their other invitations.
    pub(crate) fn answer(
        &mut self,
        session: SessionId,
        id: &str,
        accept: bool,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        let by = self.member(session)?.person.clone();
        let invitation = self.invitation(id, now, out)?;
        if invitation.to != by.user {
            return Err(Refusal::new(Code::NO_PERMISSION));
        }
        if !accept {
            self.end_invitation(invitation, InvitationOutcome::Declined, Some(&by), now, out);
            self.settle(now, out);
            return Ok(());
        }
        if invitation.kind == Kind::Ask {
            // Who was asked may have lost the say meanwhile.
            self.must_govern(&By::Member(session))?;
        }
        let candidate = invitation.candidate().clone();
        self.give_mic(&candidate, out)?;
        let ended = self.mic.close_where(|it| *it.candidate() == candidate);
        for it in ended {
            self.tell_ended(&it, InvitationOutcome::Accepted, Some(&by), now, out);
        }
        self.settle(now, out);
        Ok(())
    }

    /// Takes an invitation back that the caller made.
    pub(crate) fn cancel(
        &mut self,
        session: SessionId,
        id: &str,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        let by = self.member(session)?.person.clone();
        let invitation = self.invitation(id, now, out)?;
        if invitation.from != by.user {
            return Err(Refusal::new(Code::NO_PERMISSION));
        }
        let cancelled = InvitationOutcome::Cancelled;
        self.end_invitation(invitation, cancelled, Some(&by), now, out);
        self.settle(now, out);
        Ok(())
    }

    /// Gives a member the publisher's role, to last. One who may do more
    /// already keeps their role.
    pub(crate) fn grant_publisher(
        &mut self,
        session: SessionId,
        user: &UserId,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        let by = self.member(session)?;
        let owns = self.charter.is_owned_by(&by.person.user);
        if !owns && by.person.role != Role::Admin {
            return Err(Refusal::new(Code::NO_PERMISSION));
        }
        match self.members.get(user).map(|member| member.person.role) {
            Some(Role::Viewer | Role::Unspecified | Role::Publisher) => {
                self.set_role(&By::Backend, user, Role::Publisher, now, out)
            }
            Some(Role::Host | Role::Admin) => Ok(()),
            None => Err(Refusal::with(Code::NO_USER, "the user is not in the room")),
        }
    }

    /// Takes the publisher's role and the mic. Other roles stay.
    pub(crate) fn remove_publisher(
        &mut self,
        by: &By,
        user: &UserId,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.must_govern(by)?;
        let lasting = self.charter.roles.get(user) == Some(&Role::Publisher);
        let member = self.members.get(user);
        if member.is_none() && !lasting {
            return Err(Refusal::with(Code::NO_USER, "the user is not in the room"));
        }
        let has_role = member.is_some_and(|member| member.person.role == Role::Publisher);
        if has_role || lasting {
            self.set_role(&By::Backend, user, Role::Viewer, now, out)?;
        }
        self.stop_mic(user, now, out);
        self.settle(now, out);
        Ok(())
    }

    /// Puts the caller on the mic and tells the room. Again by the same
    /// session changes nothing; by another one of the user's it moves there.
    pub(crate) fn start_publishing(
        &mut self,
        session: SessionId,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        if !self.may_publish(session) {
            return Err(Refusal::new(Code::NO_PERMISSION));
        }
        let person = self.member(session)?.person.clone();
        let before = self.mic.start(&person.user, session);
        let before = before.map_err(|_| Refusal::with(Code::OVERLOADED, "the mic is full"))?;
        if before.is_none() {
            let told = publisher(&person, true);
            if let Err(refusal) = self.tell_high(told, now, out) {
                self.mic.stop(&person.user);
                return Err(refusal);
            }
            if let Some(member) = self.members.get_mut(&person.user) {
                member.named = true;
            }
            self.publisher_joined(&person.user, now, out);
        }
        self.tell_role(&person.user, out);
        self.settle(now, out);
        Ok(())
    }

    /// Takes the caller off the mic; the role stays. One who is not on it is
    /// off it already.
    pub(crate) fn stop_publishing(
        &mut self,
        session: SessionId,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        let user = self.member(session)?.person.user.clone();
        self.stop_mic(&user, now, out);
        self.settle(now, out);
        Ok(())
    }

    /// Who is on the mic, as a snapshot shows them.
    pub(super) fn publishers(&self) -> Vec<wire::User> {
        let members = self.mic.publishers().filter_map(|u| self.members.get(u));
        members.map(|member| member.person.wire()).collect()
    }

    /// The session is gone: whoever was on the mic by it is off it, and the
    /// room hears it at once.
    pub(super) fn publisher_lost(
        &mut self,
        session: SessionId,
        person: &Person,
        now: Moment,
        out: &mut Out,
    ) {
        if self.mic.lose(session).is_some() {
            self.tell_off(person, now, out);
            self.tell_role(&person.user, out);
        }
    }

    /// The user is gone with all their sessions.
    pub(super) fn left_mic(
        &mut self,
        member: &Member,
        cause: LeaveCause,
        now: Moment,
        out: &mut Out,
    ) {
        let user = &member.person.user;
        if self.mic.stop(user).is_some() {
            self.tell_off(&member.person, now, out);
        }
        self.mic.went(user, is_lost(cause), now.instant);
        let ended = self.mic.close_where(|it| it.concerns(user));
        for it in ended {
            self.tell_ended(&it, InvitationOutcome::Gone, None, now, out);
        }
    }

    /// Ends the invitations whose time is over.
    pub(super) fn end_expired(&mut self, now: Moment, out: &mut Out) {
        for it in self.mic.expire(now.instant) {
            self.tell_ended(&it, InvitationOutcome::TimedOut, None, now, out);
        }
    }

    /// Tells a member's sessions what each may do here now.
    pub(super) fn tell_role(&self, user: &UserId, out: &mut Out) {
        let Some(member) = self.members.get(user) else {
            return;
        };
        let on = self.mic.session_of(user);
        for session in &member.sessions {
            let role = SessionEvent::Role {
                room: self.uid,
                role: member.person.role,
                publishing: on == Some(*session),
            };
            out.events.push((*session, role));
        }
    }

    /// Takes a user who is here off the mic and tells the room.
    pub(super) fn stop_mic(&mut self, user: &UserId, now: Moment, out: &mut Out) {
        if self.mic.stop(user).is_none() {
            return;
        }
        let person = self.members.get(user).map(|member| member.person.clone());
        if let Some(person) = person {
            self.tell_off(&person, now, out);
            self.tell_role(user, out);
        }
    }

    /// A signature's word goes first, then the role.
    fn may_publish(&self, session: SessionId) -> bool {
        let Some((member, seat)) = self.members.of(session) else {
            return false;
        };
        let by_role = match self.role_of(member) {
            Role::Host | Role::Publisher | Role::Admin => true,
            Role::Viewer | Role::Unspecified => self.charter.is_owned_by(&member.person.user),
        };
        seat.may_publish.unwrap_or(by_role)
    }

    /// The publisher's role for this stay; who may do more keeps their role.
    fn give_mic(&mut self, user: &UserId, out: &mut Out) -> Result<(), Refusal> {
        let role = self.members.get(user).map(|member| member.person.role);
        if !matches!(role, Some(Role::Viewer | Role::Unspecified)) {
            return Ok(());
        }
        let given = self.mic.give(user);
        given.map_err(|_| Refusal::with(Code::OVERLOADED, "the mic is full"))?;
        self.members.set_role(user, Role::Publisher);
        self.tell_role(user, out);
        Ok(())
    }

    fn tell_off(&mut self, person: &Person, now: Moment, out: &mut Out) {
        self.publisher_left(&person.user, now, out);
        if self.tell_high(publisher(person, false), now, out).is_err() {
            // Nobody may be shown on the mic who is not: this takes the place
            // that is kept for what must be told.
            self.stamp(Class::Essential, publisher(person, false), now, out)
                .expect("the log takes everything essential");
        }
    }

    /// The open invitation that `id` names.
    fn invitation(&mut self, id: &str, now: Moment, out: &mut Out) -> Result<Invitation, Refusal> {
        let malformed = || Refusal::with(Code::BAD_PARAMETER, "malformed invitation_id");
        let (epoch, number) = id.split_once('-').ok_or_else(malformed)?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| malformed())?;
        let number = number.parse().map_err(|_| malformed())?;
        self.end_expired(now, out);
        let open = self.mic.invitation(number);
        let open = open.filter(|_| epoch == self.log.epoch());
        open.cloned().ok_or_else(|| Code::ALREADY_HANDLED.into())
    }

    /// Names it among those of all incarnations of the room.
    fn invitation_id(&self, invitation: &Invitation) -> String {
        format!("{:x}-{}", self.log.epoch(), invitation.number)
    }

    fn end_invitation(
        &mut self,
        invitation: Invitation,
        outcome: InvitationOutcome,
        by: Option<&Person>,
        now: Moment,
        out: &mut Out,
    ) {
        self.mic.close(invitation.number);
        self.tell_ended(&invitation, outcome, by, now, out);
    }

    fn tell_ended(
        &self,
        invitation: &Invitation,
        outcome: InvitationOutcome,
        by: Option<&Person>,
        now: Moment,
        out: &mut Out,
    ) {
        let told = wire::InvitationEnded {
            invitation_id: self.invitation_id(invitation),
            outcome: outcome.into(),
            by: by.map(Person::wire),
        };
        for user in [&invitation.from, &invitation.to] {
            let body = push::Body::InvitationEnded(told.clone());
            self.tell_aside(user, body, now, out);
        }
    }

    /// Tells a member's sessions something of the mic. How many there are is
    /// bounded by the pace of new invitations.
    fn tell_aside(&self, user: &UserId, body: push::Body, now: Moment, out: &mut Out) {
        let Some(member) = self.members.get(user) else {
            return;
        };
        let frame = self.aside(body, now);
        for session in &member.sessions {
            let direct = SessionEvent::Direct(frame.clone(), Class::High);
            out.events.push((*session, direct));
        }
    }
}

fn publisher(person: &Person, joined: bool) -> push::Body {
    push::Body::Publisher(wire::PublisherEvent {
        user: Some(person.wire()),
        joined,
    })
}

/// Whether one who went so may come back to what they had.
fn is_lost(cause: LeaveCause) -> bool {
    match cause {
        LeaveCause::Left | LeaveCause::Kicked | LeaveCause::EnteredAnother => false,
        LeaveCause::ConnectionLost
        | LeaveCause::Silent
        | LeaveCause::Displaced
        | LeaveCause::SigExpired
        | LeaveCause::Draining => true,
    }
}
