//! How a room is governed: what it shows, its attributes, who may speak and
//! enter, what is taken back.
//!
//! A change is told at once and recorded behind the telling, the latest state
//! each time, so that an app that changes attributes often costs the store one
//! record at a time. What a kill loses is at most the change that was just
//! told; a failed record is tried again.

mod bounds;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use livegate_proto::client::{self as wire, Role, push};
use livegate_proto::code::Code;

pub(super) use bounds::changed;
use bounds::{check_attributes, must_have_place};

use super::{Behind, Core, Out, Record, Recording, Standing};
use crate::clock::{Instant, Moment, Unix};
use crate::dispatch::{Class, SessionEvent};
use crate::event::Origin;
use crate::id::{SessionId, UserId};
use crate::rooms::refusal::Refusal;

/// Users with a role in one room.
const MAX_ROLES: usize = 1_000;
/// How long a message may be recalled (the vendor's figure).
const RECALL_WITHIN: Duration = Duration::from_secs(120);
/// When to try again to record a change that could not be recorded.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A member, by its session.
    Member(SessionId),
    /// The business backend.
    Backend,
}

/// What is to be different in what a room shows; `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// Its name.
    pub name: Option<String>,
    /// What it is about.
    pub introduction: Option<String>,
    /// What is pinned.
    pub notification: Option<String>,
    /// URL of its picture.
    pub face_url: Option<String>,
    /// Whether only those with a role may speak.
    pub mute_all: Option<bool>,
    /// Put in place of those with the same keys; an empty value takes one away.
    pub app_defined: Vec<(String, Bytes)>,
}

/// What is to be different in a room's attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributesChange {
    /// Put in place of those with the same keys.
    pub set: Vec<(String, Bytes)>,
    /// Taken away.
    pub delete: Vec<String>,
    /// All others are taken away.
    pub replace: bool,
}

impl Core {
    /// Changes what the room shows, and tells it. `operator`: who did, as the
    /// backend is told.
    pub(crate) fn modify(
        &mut self,
        change: ProfileChange,
        operator: &str,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        let profile = changed(self.charter.profile.clone(), change)?;
        if profile == self.charter.profile {
            return Ok(());
        }
        if !self.may_report_change() {
            return Err(Refusal::from(Code::OVERLOADED));
        }
        let told = wire::RoomInfoChanged {
            profile: Some(Box::new(profile.clone())),
            operator_id: String::new(),
        };
        self.tell_high(push::Body::RoomInfoChanged(told), now, out)?;
        let before = std::mem::replace(&mut self.charter.profile, profile);
        self.report_changed(&before, (Origin::Api, operator), now, out);
        self.changed(now);
        self.settle(now, out);
        Ok(())
    }

    /// Changes attributes and tells the new state; returns its version.
    pub(crate) fn set_attributes(
        &mut self,
        by: &By,
        change: AttributesChange,
        now: Moment,
        out: &mut Out,
    ) -> Result<u64, Refusal> {
        self.must_be_open()?;
        self.must_govern(by)?;
        let mut attributes = if change.replace {
            std::collections::BTreeMap::new()
        } else {
            self.charter.attributes.clone()
        };
        for key in &change.delete {
            attributes.remove(key);
        }
        attributes.extend(change.set);
        check_attributes(&attributes)?;
        if attributes == self.charter.attributes {
            return Ok(self.charter.attributes_version);
        }
        let before = std::mem::replace(&mut self.charter.attributes, attributes);
        self.charter.attributes_version += 1;
        let told = push::Body::Attributes(self.charter.wire_attributes());
        if let Err(refusal) = self.tell_high(told, now, out) {
            self.charter.attributes = before;
            self.charter.attributes_version -= 1;
            return Err(refusal);
        }
        self.changed(now);
        self.settle(now, out);
        Ok(self.charter.attributes_version)
    }

    /// Keeps a user from speaking until a time; one that is past lets them
    /// speak again. Holds also for who is not here now.
    pub(crate) fn mute(
        &mut self,
        user: &UserId,
        until: Unix,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.charter.forget_past(now.unix);
        let holds = until > now.unix;
        if holds {
            must_have_place(self.charter.mutes.len())?;
            self.charter.mutes.insert(user.clone(), until);
        } else {
            self.charter.mutes.remove(user);
        }
        let until_ms = if holds { until.millis_i64() } else { 0 };
        self.tell_member(user, push::Body::Muted(wire::Muted { until_ms }), now, out);
        self.changed(now);
        self.settle(now, out);
        Ok(())
    }

    /// Keeps a user out until a time, and takes them out; one that is past lets
    /// them in again. Returns how many sessions were taken out.
    pub(crate) fn ban(
        &mut self,
        user: &UserId,
        until: Unix,
        reason: &str,
        now: Moment,
        out: &mut Out,
    ) -> Result<usize, Refusal> {
        self.must_be_open()?;
        self.charter.forget_past(now.unix);
        if until <= now.unix {
            self.charter.bans.remove(user);
            self.changed(now);
            self.settle(now, out);
            return Ok(0);
        }
        must_have_place(self.charter.bans.len())?;
        self.charter.bans.insert(user.clone(), until);
        self.changed(now);
        Ok(self.kick(user, reason, now, out))
    }

    /// Changes what a member shows. What was told of them stays as it was.
    pub(crate) fn show_as(
        &mut self,
        user: &UserId,
        change: impl FnOnce(Arc<wire::Profile>) -> Arc<wire::Profile>,
    ) {
        if let Some(member) = self.members.get_mut(user) {
            member.person.profile = change(Arc::clone(&member.person.profile));
        }
    }

    /// Gives a user a role that lasts, or the viewer's again.
    pub(crate) fn set_role(
        &mut self,
        by: &By,
        user: &UserId,
        role: Role,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.must_govern(by)?;
        let full = self.charter.roles.len() >= MAX_ROLES;
        match role {
            Role::Viewer | Role::Unspecified => {
                self.charter.roles.remove(user);
            }
            Role::Host | Role::Publisher | Role::Admin => {
                if full && !self.charter.roles.contains_key(user) {
                    return Err(Refusal::with(Code::OVERLOADED, "too many roles"));
                }
                self.charter.roles.insert(user.clone(), role);
            }
        }
        self.members.set_role(user, role);
        self.mic.take(user);
        if matches!(role, Role::Viewer | Role::Unspecified) {
            self.stop_mic(user, now, out);
        }
        self.tell_role(user, out);
        self.changed(now);
        self.settle(now, out);
        Ok(())
    }

    /// Gives the room another owner.
    pub(crate) fn change_owner(
        &mut self,
        owner: UserId,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.charter.owner = Some(owner);
        self.changed(now);
        self.settle(now, out);
        Ok(())
    }

    /// Takes messages back: tells that they are to be shown no longer. Returns
    /// what became of each: [`Code::NO_MESSAGE`] for one that the log no
    /// longer holds, [`Code::RECALL_TOO_LATE`].
    pub(crate) fn recall(
        &mut self,
        seqs: &[u64],
        reason: &str,
        now: Moment,
        out: &mut Out,
    ) -> Result<Vec<(u64, Code)>, Refusal> {
        self.must_be_open()?;
        let results: Vec<_> = seqs
            .iter()
            .map(|seq| (*seq, self.recallable(*seq, now)))
            .collect();
        let taken = results.iter().filter(|(_, code)| *code == Code::OK);
        let seqs: Vec<u64> = taken.map(|(seq, _)| *seq).collect();
        if !seqs.is_empty() {
            let told = wire::Recalled {
                seqs: seqs.clone(),
                reason: reason.to_owned(),
            };
            self.tell_high(push::Body::Recalled(told), now, out)?;
            let tail = self.log.tail();
            self.recalled.retain(|seq| *seq > tail);
            self.recalled.extend(seqs);
        }
        self.settle(now, out);
        Ok(results)
    }

    fn recallable(&self, seq: u64, now: Moment) -> Code {
        let entry = seq.checked_sub(1);
        let entry = entry.and_then(|before| self.log.after(before).next());
        match entry {
            Some(entry) if entry.seq != seq => Code::NO_MESSAGE,
            Some(entry) if now.instant.since(entry.at) > RECALL_WITHIN => Code::RECALL_TOO_LATE,
            Some(_) => Code::OK,
            None => Code::NO_MESSAGE,
        }
    }

    /// Whether the message was taken back.
    pub(crate) fn is_recalled(&self, seq: u64) -> bool {
        self.recalled.contains(&seq)
    }

    /// Says something to the apps in the room, not to be shown.
    pub(crate) fn notify(
        &mut self,
        content: String,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        let told = push::Body::SystemNotice(wire::SystemNotice { content });
        self.tell_high(told, now, out)?;
        self.settle(now, out);
        Ok(())
    }

    /// Says in this room what the backend says in all of them.
    pub(crate) fn broadcast(
        &mut self,
        said: wire::Broadcast,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.tell_high(push::Body::Broadcast(said), now, out)?;
        self.settle(now, out);
        Ok(())
    }

    pub(super) fn tell_high(
        &mut self,
        body: push::Body,
        now: Moment,
        out: &mut Out,
    ) -> Result<u64, Refusal> {
        self.stamp(Class::High, body, now, out)
            .map_err(|_| Refusal::from(Code::OVERLOADED))
    }

    /// Tells every session of a member, and nobody else.
    pub(super) fn tell_member(&self, user: &UserId, body: push::Body, now: Moment, out: &mut Out) {
        let Some(member) = self.members.get(user) else {
            return;
        };
        let frame = self.aside(body, now);
        for session in &member.sessions {
            let direct = SessionEvent::Direct(frame.clone(), Class::Essential);
            out.events.push((*session, direct));
        }
    }

    /// The owner, the host and admins govern a room, and the backend.
    pub(super) fn must_govern(&self, by: &By) -> Result<(), Refusal> {
        let By::Member(session) = by else {
            return Ok(());
        };
        let member = self.member(*session)?;
        let by_role = match self.role_of(member) {
            Role::Host | Role::Admin => true,
            Role::Publisher | Role::Viewer | Role::Unspecified => {
                self.charter.is_owned_by(&member.person.user)
            }
        };
        if by_role {
            return Ok(());
        }
        Err(Refusal::new(Code::NO_PERMISSION))
    }

    /// The charter is another than the store knows.
    pub(super) fn changed(&mut self, now: Moment) {
        self.behind = match self.behind {
            Behind::Level => Behind::Due(now.instant),
            Behind::Due(at) => Behind::Due(at),
            Behind::Recording { .. } => Behind::Recording { again: true },
        };
    }

    pub(super) fn behind_due(&self) -> Option<Instant> {
        match self.behind {
            Behind::Due(at) if self.charter.durable => Some(at),
            Behind::Due(_) | Behind::Level | Behind::Recording { .. } => None,
        }
    }

    /// Records a change if one is due and nothing else is being recorded.
    pub(super) fn catch_up(&mut self, now: Moment, out: &mut Out) {
        let due = self.behind_due().is_some_and(|at| at <= now.instant);
        let free = matches!(self.recording, Recording::Nothing);
        if due && free && self.standing == Standing::Open {
            self.behind = Behind::Recording { again: false };
            let charter = Box::new(self.charter.clone());
            out.records.push(Record::Changed(charter));
        }
    }

    /// What became of recording a change.
    pub(crate) fn caught_up(&mut self, done: bool, now: Moment, out: &mut Out) {
        self.changes_recorded(done);
        self.behind = match self.behind {
            Behind::Recording { again: false } if done => Behind::Level,
            Behind::Recording { .. } if done => Behind::Due(now.instant),
            Behind::Recording { .. } => Behind::Due(now.instant + RECORD_AGAIN),
            other => other,
        };
        self.settle(now, out);
    }
}
