//! A host that was lost: since when, for how long the room waits, and whether
//! it has been told.

use std::time::Duration;

use livegate_proto::client::AwayCause;

use super::effect::Notice;
use super::open::whole_millis;
use crate::clock::{Instant, Moment, Unix};
use crate::id::LiveId;

/// How a host was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) cause: AwayCause,
    /// When it was noticed.
    pub(super) at: Instant,
    /// How long the host had been silent then.
    pub(super) silent: Duration,
    /// How long the room is not told of it.
    pub(super) hold: Duration,
}

/// A live that waits for its host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    pub(super) loss: Loss,
    pub(super) until: Moment,
    grace: Duration,
    /// The room is to be told at this time, not after `until`; `None`: it was.
    tell: Option<Instant>,
}

impl Away {
    pub(super) fn new(loss: Loss, grace: Duration, now: Moment) -> Self {
        let until = now + grace;
        let tell = (loss.at + loss.hold).min(until.instant);
        Self {
            loss,
            until,
            grace,
            tell: Some(tell),
        }
    }

    /// What the room is told when it is time for it; once.
    pub(super) fn notice(&mut self, live: LiveId, now: Moment) -> Option<Notice> {
        self.tell.take_if(|at| *at <= now.instant)?;
        Some(Notice::Away {
            live,
            until: self.until,
            grace: self.grace,
            cause: self.loss.cause,
            last_seen: Unix(now.unix.0.saturating_sub(whole_millis(self.silent(now)))),
        })
    }

    /// When something is to be done next.
    pub(super) fn due(&self) -> Instant {
        self.tell.unwrap_or(self.until.instant)
    }

    /// Until when the room knows that the host is away; `None`: it was not told.
    pub(super) fn told_until(&self) -> Option<Unix> {
        self.tell.is_none().then_some(self.until.unix)
    }

    /// How long the host has been silent by now.
    pub(super) fn silent(&self, now: Moment) -> Duration {
        self.loss.silent + now.instant.since(self.loss.at)
    }

    /// Gives the host so much more time.
    pub(super) fn forgive(&mut self, span: Duration) {
        self.until = self.until + span;
        self.tell = self.tell.map(|at| at + span);
    }
}
