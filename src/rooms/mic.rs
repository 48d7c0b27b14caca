//! The mic of a room: who is invited to it, who may take it, who is on it.
//!
//! Pure: it knows users and sessions by name and is told the time; who may ask
//! whom is the room's to decide.
//!
//! Invariants:
//! - an invitation ends exactly once: whatever takes it out of here returns it;
//! - a user is on the mic at most once, by one session;
//! - who was given the mic by an invitation and is lost keeps the right to it
//!   for a while, never the mic itself;
//! - everything here is bounded by [`MicConfig`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Instant, Moment};
use crate::id::{SessionId, UserId};
use crate::rooms::limit::{Bucket, RateConfig, Urgency};

/// Limits and paces of the mic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MicConfig {
    /// How long an invitation waits for its answer.
    #[serde(with = "crate::clock::span")]
    pub answer_within: Duration,
    /// Open invitations of one room.
    pub invitations: usize,
    /// Open invitations that one user made in one room.
    pub invitations_per_user: usize,
    /// New invitations of one room a second: many who ask and take it back
    /// must not flood the host.
    pub per_second: u32,
    /// New invitations at once after a rest.
    pub burst: u32,
    /// Users on the mic of one room, and users that invitations gave it.
    pub publishers: usize,
    /// How long a user whose connection is lost keeps the right to the mic
    /// that an invitation gave. The mic itself is lost at once.
    #[serde(with = "crate::clock::span")]
    pub keep: Duration,
}

impl Default for MicConfig {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(30),
            invitations: 256,
            invitations_per_user: 32,
            per_second: 10,
            burst: 40,
            publishers: 64,
            keep: Duration::from_secs(60),
        }
    }
}

impl MicConfig {
    /// Names the first key, within `rooms`, with which nobody could be invited.
    pub(super) fn validate(&self) -> Result<(), (&'static str, &'static str)> {
        let rules = [
            (
                "mic.answer_within",
                (1..=600).contains(&self.answer_within.as_secs()),
                "must be 1s to 10m",
            ),
            ("mic.per_second", self.per_second > 0, "must be at least 1"),
            ("mic.burst", self.burst > 0, "must be at least 1"),
            (
                "mic.publishers",
                self.publishers <= 100,
                "must be at most 100: a snapshot names so many",
            ),
        ];
        let wrong = rules.into_iter().find(|(_, holds, _)| !holds);
        wrong.map_or(Ok(()), |(key, _, problem)| Err((key, problem)))
    }
}

/// Which way an invitation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who governs the room invites a member.
    Invite,
    /// A member asks for the mic.
    Ask,
}

/// One that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Names it in its room.
    pub number: u64,
    /// Which way it goes.
    pub kind: Kind,
    /// Who invites or asks.
    pub from: UserId,
    /// Who is to answer.
    pub to: UserId,
    /// When it ends by itself.
    pub expires: Moment,
}

impl Invitation {
    /// Who is to be on the mic.
    pub fn candidate(&self) -> &UserId {
        match self.kind {
            Kind::Invite => &self.to,
            Kind::Ask => &self.from,
        }
    }

    /// Whether `user` is one of the two.
    pub fn concerns(&self, user: &UserId) -> bool {
        self.from == *user || self.to == *user
    }
}

/// No place for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Somebody on the mic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// Who.
    pub user: UserId,
    /// By which session.
    pub session: SessionId,
}

/// The mic of one room.
#[derive(Debug)]
pub struct Mic {
    config: MicConfig,
    /// Limits new invitations.
    bucket: Bucket,
    /// By number, and so in the order in which they end by themselves.
    open: BTreeMap<u64, Invitation>,
    numbers: u64,
    /// Whom an invitation gave the mic; until when, of one who is lost.
    given: BTreeMap<UserId, Option<Instant>>,
    /// In the order of taking the mic.
    publishers: Vec<Publisher>,
}

impl Mic {
    /// Nobody is on it.
    pub fn new(config: MicConfig, now: Instant) -> Self {
        let rate = RateConfig {
            per_second: config.per_second,
            burst: config.burst,
            ..RateConfig::default()
        };
        Self {
            config,
            bucket: Bucket::new(rate, now),
            open: BTreeMap::new(),
            numbers: 0,
            given: BTreeMap::new(),
            publishers: Vec::new(),
        }
    }

    /// Opens an invitation, or finds the same one that is open still. Also
    /// returns whether it is new.
    ///
    /// # Errors
    /// [`Full`]: too many are open in the room or of this user, or were opened
    /// lately.
    pub fn invite(
        &mut self,
        kind: Kind,
        from: &UserId,
        to: &UserId,
        now: Moment,
    ) -> Result<(Invitation, bool), Full> {
        let same = |it: &&Invitation| it.kind == kind && it.from == *from && it.to == *to;
        if let Some(open) = self.open.values().find(same) {
            return Ok((open.clone(), false));
        }
        let own = self.open.values().filter(|it| it.from == *from).count();
        let full = self.open.len() >= self.config.invitations;
        if full || own >= self.config.invitations_per_user {
            return Err(Full);
        }
        if !self.bucket.take(Urgency::High, now.instant) {
            return Err(Full);
        }
        self.numbers += 1;
        let invitation = Invitation {
            number: self.numbers,
            kind,
            from: from.clone(),
            to: to.clone(),
            expires: now + self.config.answer_within,
        };
        self.open.insert(self.numbers, invitation.clone());
        Ok((invitation, true))
    }

    /// How many invitations are open.
    pub fn invitations(&self) -> usize {
        self.open.len()
    }

    /// The open invitation with this number.
    pub fn invitation(&self, number: u64) -> Option<&Invitation> {
        self.open.get(&number)
    }

    /// Takes the invitation out.
    pub fn close(&mut self, number: u64) -> Option<Invitation> {
        self.open.remove(&number)
    }

    /// Takes out every invitation that `ended` says.
    pub fn close_where(&mut self, ended: impl Fn(&Invitation) -> bool) -> Vec<Invitation> {
        let ended = self.open.extract_if(.., |_, it| ended(it));
        ended.map(|(_, it)| it).collect()
    }

    /// Takes out those whose time is over, oldest first, and forgets who was
    /// lost too long.
    pub fn expire(&mut self, now: Instant) -> Vec<Invitation> {
        self.given
            .retain(|_, until| until.is_none_or(|at| at > now));
        let mut expired = Vec::new();
        while let Some(first) = self.open.first_entry() {
            if first.get().expires.instant > now {
                break;
            }
            expired.push(first.remove());
        }
        expired
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let open = self.open.values().next().map(|it| it.expires.instant);
        let lost = self.given.values().flatten().min().copied();
        [open, lost].into_iter().flatten().min()
    }

    /// Gives a user who is here the right to the mic.
    ///
    /// # Errors
    /// [`Full`]: as many have it as may.
    pub fn give(&mut self, user: &UserId) -> Result<(), Full> {
        if self.given.len() >= self.config.publishers && !self.given.contains_key(user) {
            return Err(Full);
        }
        self.given.insert(user.clone(), None);
        Ok(())
    }

    /// Takes that right; whether the user had it.
    pub fn take(&mut self, user: &UserId) -> bool {
        self.given.remove(user).is_some()
    }

    /// The user is here again; whether they still have the right.
    pub fn came(&mut self, user: &UserId, now: Instant) -> bool {
        match self.given.get_mut(user) {
            Some(until) if until.is_none_or(|at| at > now) => {
                *until = None;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The user is no longer here: keeps the right for a while if their
    /// connection was `lost`.
    pub fn went(&mut self, user: &UserId, lost: bool, now: Instant) {
        if !lost {
            self.given.remove(user);
        } else if let Some(until) = self.given.get_mut(user) {
            *until = Some(now + self.config.keep);
        }
    }

    /// Puts a user on the mic by this session, in place of their other one.
    /// Returns that other session; `None` when the user was not on it.
    ///
    /// # Errors
    /// [`Full`]: as many are on it as may be.
    pub fn start(&mut self, user: &UserId, session: SessionId) -> Result<Option<SessionId>, Full> {
        if let Some(on) = self.publishers.iter_mut().find(|p| p.user == *user) {
            return Ok(Some(std::mem::replace(&mut on.session, session)));
        }
        if self.publishers.len() >= self.config.publishers {
            return Err(Full);
        }
        self.publishers.push(Publisher {
            user: user.clone(),
            session,
        });
        Ok(None)
    }

    /// Takes a user off the mic; `None` when they were not on it.
    pub fn stop(&mut self, user: &UserId) -> Option<Publisher> {
        let at = self.publishers.iter().position(|p| p.user == *user)?;
        Some(self.publishers.remove(at))
    }

    /// Takes whoever is on the mic by this session off it.
    pub fn lose(&mut self, session: SessionId) -> Option<Publisher> {
        let at = self.publishers.iter().position(|p| p.session == session)?;
        Some(self.publishers.remove(at))
    }

    /// The session by which the user is on the mic.
    pub fn session_of(&self, user: &UserId) -> Option<SessionId> {
        let on = self.publishers.iter().find(|p| p.user == *user);
        on.map(|p| p.session)
    }

    /// How many are on the mic.
    pub fn on_it(&self) -> usize {
        self.publishers.len()
    }

    /// Who is on the mic, in the order of taking it.
    pub fn publishers(&self) -> impl Iterator<Item = &UserId> {
        self.publishers.iter().map(|p| &p.user)
    }
}

#[cfg(test)]
mod tests;
