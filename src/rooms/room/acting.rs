//! What sessions and the backend do in a room.

use std::sync::Arc;

use livegate_proto::code::Code;
use tokio::sync::oneshot;

use super::{BACKEND, Room, Waited};
use crate::clock::{Instant, Moment};
use crate::event::LiveEnded;
use crate::id::{LiveId, SessionId, UserId};
use crate::rooms::core::{
    BackendPush, Core, CreateArgs, DestroyedBy, Done, EnterArgs, LeaveCause, Out, Publish,
    Published, Pushed, StartLiveArgs,
};
use crate::rooms::live::{Answer, Asker};
use crate::rooms::membership::{Entered, Membership};
use crate::rooms::recording;
use crate::rooms::refusal::Refusal;

/// Backend calls that may wait for the end of one room's live.
const MAX_WAITING: usize = 64;

impl Room {
    /// Lets a session in. What is stamped after the returned seq is what it is
    /// still to get.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`] when it is being destroyed, [`Code::OVERLOADED`] when
    /// it is full.
    pub fn enter(self: &Arc<Self>, args: EnterArgs, now: Moment) -> Result<Entered, Refusal> {
        let admission = self.decide(now, |core, out| core.enter(&args, now, out))?;
        let seat = (args.session, admission.ticket);
        let membership = Membership::new(Arc::clone(self), seat);
        Ok(Entered::new(admission, membership))
    }

    /// Takes a session out, if the seat still is its own.
    pub(crate) fn leave(
        &self,
        seat: (SessionId, u64),
        cause: LeaveCause,
        last_seen: Instant,
        now: Moment,
    ) {
        self.decide(now, |core, out| {
            core.leave(seat, cause, last_seen, now, out)
        });
    }

    /// Says something in the room. A retry with the same message id is the
    /// same message; what the room's rate discards is answered as a success
    /// with a reason.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`]; [`Code::NO_PERMISSION`] for gifts that only the
    /// backend may give; [`Code::OVERLOADED`] when the log has no place.
    pub fn publish(&self, publish: Publish, now: Moment) -> Result<Published, Refusal> {
        self.decide(now, |core, out| core.publish(publish, now, out))
    }

    /// Adds likes to the running total.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`].
    pub fn like(&self, session: SessionId, count: u32, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.like(session, count, now, out))
    }

    /// Says something for the backend.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`]; [`Code::OVERLOADED`] when the log has no place.
    pub fn push(&self, push: BackendPush, now: Moment) -> Result<Pushed, Refusal> {
        self.decide(now, |core, out| core.push(push, now, out))
    }

    /// Starts a live, or repeats the answer to a start. After `Ok` the asker
    /// is answered by [`SessionEvent::Answered`](crate::dispatch::SessionEvent::Answered), when it is recorded.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`], [`Code::NO_PERMISSION`],
    /// [`Code::SHUTTING_DOWN`]. Other refusals come as the answer.
    pub fn start_live(&self, args: StartLiveArgs, now: Moment) -> Result<(), Refusal> {
        if self.parts.is_stopping() {
            return Err(Refusal::new(Code::SHUTTING_DOWN));
        }
        let live = recording::live_id(now.unix);
        self.decide(now, |core, out| core.start_live(args, live, now, out))
    }

    /// Starts a live for a session without a connection, and waits until that
    /// is recorded.
    ///
    /// # Errors
    /// As [`start_live`](Self::start_live), and [`Code::LIVE_EXISTS`].
    pub async fn start_live_for(
        &self,
        session: SessionId,
        start_id: &str,
        now: Moment,
    ) -> Result<LiveId, Refusal> {
        if self.parts.is_stopping() {
            return Err(Refusal::new(Code::SHUTTING_DOWN));
        }
        let live = recording::live_id(now.unix);
        let start = |core: &mut Core, asker, out: &mut Out| {
            let args = StartLiveArgs {
                asker,
                start_id: start_id.into(),
                grace: None,
            };
            core.start_live(args, live, now, out)
        };
        match self.wait_as(session, now, start).await? {
            Done::Live(Answer::Started { live, .. }) => Ok(live),
            Done::Live(Answer::Ended(_)) | Done::Created(_) | Done::Destroyed => {
                Err(Code::INTERNAL.into())
            }
        }
    }

    /// Ends the caller's live. Answered as [`start_live`](Self::start_live) is.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`], [`Code::NO_PERMISSION`]. Other refusals come as
    /// the answer.
    pub fn end_live(&self, asker: Asker, live: Option<LiveId>, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.end_live(asker, live, now, out))
    }

    /// Ends the live for the backend and waits until that is recorded.
    /// Dropping the future takes nothing back.
    ///
    /// # Errors
    /// [`Code::NO_LIVE`]; [`Code::OVERLOADED`] when many wait already;
    /// [`Code::STORE_UNAVAILABLE`] when the room went away meanwhile.
    pub async fn end_for_backend(
        &self,
        live: Option<LiveId>,
        now: Moment,
    ) -> Result<Arc<LiveEnded>, Refusal> {
        let end = |core: &mut Core, asker, out: &mut Out| {
            core.end_live_by_backend(asker, live, now, out);
            Ok(())
        };
        match self.wait(now, end).await? {
            Done::Live(Answer::Ended(fact)) => Ok(fact),
            Done::Live(Answer::Started { .. }) | Done::Created(_) | Done::Destroyed => {
                Err(Code::INTERNAL.into())
            }
        }
    }

    /// Puts an input to the core that is answered later, for the backend.
    /// Dropping the future takes nothing back.
    pub(super) async fn wait(
        &self,
        now: Moment,
        input: impl FnOnce(&mut Core, Asker, &mut Out) -> Result<(), Refusal>,
    ) -> Result<Done, Refusal> {
        self.wait_as(BACKEND, now, input).await
    }

    /// As [`wait`](Self::wait), for a session without a connection.
    pub(super) async fn wait_as(
        &self,
        session: SessionId,
        now: Moment,
        input: impl FnOnce(&mut Core, Asker, &mut Out) -> Result<(), Refusal>,
    ) -> Result<Done, Refusal> {
        let answer = self.ask(session, now, input)?;
        let gone = |_| Refusal::from(Code::STORE_UNAVAILABLE);
        answer.await.map_err(gone)?
    }

    fn ask(
        &self,
        session: SessionId,
        now: Moment,
        input: impl FnOnce(&mut Core, Asker, &mut Out) -> Result<(), Refusal>,
    ) -> Result<oneshot::Receiver<Waited>, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let request_id = {
            let mut inner = self.inner.lock();
            inner.waiting.retain(|(_, waits)| !waits.is_closed());
            if inner.waiting.len() >= MAX_WAITING {
                return Err(Code::OVERLOADED.into());
            }
            inner.waits += 1;
            let request_id = inner.waits;
            inner.waiting.push((request_id, sender));
            request_id
        };
        let asker = Asker {
            session,
            request_id,
        };
        self.decide(now, |core, out| input(core, asker, out))?;
        Ok(receiver)
    }

    /// Takes a user out with all their sessions, and ends the live if it is
    /// theirs. Returns how many sessions there were.
    pub fn kick(&self, user: &UserId, reason: &str, now: Moment) -> u32 {
        let kicked = self.decide(now, |core, out| core.kick(user, reason, now, out));
        u32::try_from(kicked).unwrap_or(u32::MAX)
    }

    /// Makes the room the caller's, to last.
    pub(crate) fn create(&self, args: CreateArgs, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.create(args, now, out))
    }

    /// Ends the live, then the room. After `Ok` the asker is answered by
    /// [`SessionEvent::Answered`](crate::dispatch::SessionEvent::Answered) when it is gone.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::NO_PERMISSION`]; [`Code::OVERLOADED`] while
    /// another change of it is being recorded.
    pub fn destroy(&self, by: DestroyedBy, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.destroy(by, now, out))
    }
}
