//! A room's live: who may start it, what its commits come to.

use std::time::Duration;

use livegate_proto::client::Role;
use livegate_proto::code::Code;

use super::{Core, Out};
use crate::clock::{Moment, Unix};
use crate::engine::record::{BadRecord, LiveRecord};
use crate::event::EndReason;
use crate::id::{LiveId, SessionId};
use crate::rooms::live::{Asker, CommitResult, Commitment, EndArgs, StartArgs};
use crate::rooms::refusal::Refusal;

/// A StartLive, checked.
#[derive(Debug, Clone)]
pub struct StartLiveArgs {
    /// Whose request; its session becomes the host's.
    pub asker: Asker,
    /// A repeat with the same id is the same live.
    pub start_id: Box<str>,
    /// How long the room waits for a lost host; `None`: the room's setting.
    pub grace: Option<Duration>,
}

impl Core {
    /// Starts a live, named `live` if it is no repeat. When this returns `Ok`
    /// the answer is, or will be, among [`Out::answers`].
    pub(crate) fn start_live(
        &mut self,
        args: StartLiveArgs,
        live: LiveId,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        let person = self.member(args.asker.session)?.person.clone();
        if !self.may_host(args.asker.session) {
            return Err(Refusal::new(Code::NO_PERMISSION));
        }
        let grace = args.grace.or(self.charter.grace);
        let start = StartArgs {
            room: self.key.clone(),
            asker: args.asker,
            user: person.user,
            profile: person.profile,
            start_id: args.start_id,
            grace: grace
                .unwrap_or(self.config.grace)
                .min(self.config.grace_max),
            live,
        };
        let effects = self.live.start(start, now);
        self.apply(effects, now, out);
        self.settle(now, out);
        Ok(())
    }

    /// A signature's word goes first, then the owner's right and given roles;
    /// in a room without owner the configuration decides.
    fn may_host(&self, session: SessionId) -> bool {
        let Some((member, seat)) = self.members.of(session) else {
            return false;
        };
        let by_role = match self.role_of(member) {
            Role::Host | Role::Publisher | Role::Admin => true,
            Role::Viewer | Role::Unspecified => match &self.charter.owner {
                Some(owner) => *owner == member.person.user,
                None => self.config.open_hosting,
            },
        };
        seat.may_publish.unwrap_or(by_role)
    }

    /// Ends the live at its host's wish. Answered as
    /// [`start_live`](Self::start_live) is.
    pub(crate) fn end_live(
        &mut self,
        asker: Asker,
        live: Option<LiveId>,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        let user = &self.member(asker.session)?.person.user;
        let is_meant = live.is_none() || live == self.live.id();
        let is_host = self.live.host().is_none_or(|(host, _)| host == user);
        if is_meant && !is_host {
            return Err(Refusal::new(Code::NO_PERMISSION));
        }
        self.end(EndReason::HostEnded, live, asker, now, out);
        Ok(())
    }

    /// Ends the live at the backend's wish; `asker` is answered.
    pub(crate) fn end_live_by_backend(
        &mut self,
        asker: Asker,
        live: Option<LiveId>,
        now: Moment,
        out: &mut Out,
    ) {
        self.end(EndReason::BackendEnded, live, asker, now, out);
    }

    fn end(
        &mut self,
        reason: EndReason,
        live: Option<LiveId>,
        asker: Asker,
        now: Moment,
        out: &mut Out,
    ) {
        let asker = Some(asker);
        let args = EndArgs {
            reason,
            live,
            asker,
        };
        let effects = self.live.end(args, now);
        self.apply(effects, now, out);
        self.settle(now, out);
    }

    /// What became of a start's commit.
    pub(crate) fn start_committed(
        &mut self,
        live: LiveId,
        result: CommitResult,
        now: Moment,
        out: &mut Out,
    ) {
        let effects = self.live.start_committed(live, result, now);
        self.apply(effects, now, out);
        if !self.live.is_open() && self.members.is_empty() {
            self.empty_since = now.instant;
        }
        self.settle(now, out);
    }

    /// What became of an end's commit.
    pub(crate) fn end_committed(
        &mut self,
        live: LiveId,
        result: CommitResult,
        now: Moment,
        out: &mut Out,
    ) {
        let effects = self.live.end_committed(live, result, now);
        self.apply(effects, now, out);
        self.settle(now, out);
    }

    /// The store's queue was full: the commitment was not submitted.
    pub(crate) fn not_submitted(&mut self, commitment: &Commitment, now: Moment, out: &mut Out) {
        let refused = CommitResult::Refused;
        match commitment {
            Commitment::Started { fact, .. } => self.start_committed(fact.live, refused, now, out),
            Commitment::Ended { fact, .. } => self.end_committed(fact.live, refused, now, out),
        }
    }

    /// Takes up a live of an earlier process, which last said at `alive` that
    /// it was alive.
    ///
    /// # Errors
    /// [`BadRecord`] when the record could not have been written by livegate.
    pub(crate) fn recover_live(
        &mut self,
        record: LiveRecord,
        alive: Unix,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), BadRecord> {
        let was_open = record.is_open();
        let grace = self.config.restart_grace;
        let effects = self.live.recover(record, alive, now, grace)?;
        if was_open {
            self.metrics.lives().recovered();
            self.stats_due = Some(now.instant + self.config.stats_every);
            if let Some((_, stats)) = self.live.stats(now) {
                self.likes.inherit(stats.likes);
            }
        }
        self.apply(effects, now, out);
        self.settle(now, out);
        Ok(())
    }

    /// Gives a lost host so much more time: the process itself stood still.
    pub(crate) fn forgive(&mut self, span: Duration, now: Moment, out: &mut Out) {
        let effects = self.live.forgive(span);
        self.apply(effects, now, out);
    }
}
