//! The shell of a room: lock, decide, hand to the store, unlock, then tell.
//!
//! Invariants: the lock is held for decisions and copies only, never over a
//! disk, a socket or an await; commits are submitted in the order of their
//! decisions; bells and session events come after the lock.
//!
//! A shard follows a room so: a session's [`Room::enter`] holds the log for
//! its shard from the seq that it returns; the shard calls
//! [`subscribe`](Room::subscribe) with its first session of the room, takes
//! runs by [`take`](Room::take) when it is rung, and lets go by
//! [`unsubscribe`](Room::unsubscribe) with its last. When a session is told
//! [`Removed`](crate::dispatch::SessionEvent::Removed), serve it up to
//! [`head`](Room::head) first: what was said before concerns it still.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use livegate_proto::Encoded;
use livegate_proto::client::{self as wire, Push, ServerFrame};
use livegate_proto::code::Code;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::clock::{Instant, Moment, Unix};
use crate::dispatch::SessionEvent;
use crate::engine::record::{BadRecord, LiveRecord};
use crate::event::LiveEnded;
use crate::id::{LiveId, RoomKey, RoomUid, SessionId, ShardId, UserId};
use crate::rooms::answer;
use crate::rooms::bells::Bells;
use crate::rooms::core::{
    BackendPush, Core, CreateArgs, DestroyedBy, Done, EnterArgs, LeaveCause, LiveReport, Out,
    Publish, Published, Pushed, Record, RoomReport, Standing, StartLiveArgs,
};
use crate::rooms::live::{Answer, Asker, CommitResult};
use crate::rooms::log::Log;
use crate::rooms::membership::{Entered, Membership};
use crate::rooms::recording;
use crate::rooms::refusal::Refusal;
use crate::rooms::registry::{Parts, Rooms};
use crate::rooms::timers::Alarm;

/// Backend calls that may wait for the end of one room's live.
const MAX_WAITING: usize = 64;

/// Stands for a backend call where a session would be.
const BACKEND: SessionId = SessionId(u64::MAX);

/// What a call that ends a live comes to.
type Ended = Result<Arc<LiveEnded>, Refusal>;

/// What a shard took from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The shard's new cursor.
    pub cursor: u64,
    /// The newest seq; when it is greater than the cursor there is more.
    pub head: u64,
    /// Frames taken.
    pub frames: u32,
    /// Whether an essential one is among them.
    pub essential: bool,
    /// Messages after the old cursor that the log no longer held: essential
    /// ones needed their place. Subscribers see a gap.
    pub lost: u64,
}

/// A room. Shared by the registry, its members' sessions and their shards.
#[derive(Debug)]
pub struct Room {
    key: RoomKey,
    uid: RoomUid,
    parts: Arc<Parts>,
    home: Weak<Rooms>,
    bells: Bells,
    head: AtomicU64,
    flash: AtomicU64,
    online: AtomicU32,
    live: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    core: Core,
    alarm: Alarm,
    waiting: Vec<(u64, oneshot::Sender<Ended>)>,
    waits: u64,
}

impl Room {
    pub(crate) fn new(
        core: Core,
        (key, uid): (RoomKey, RoomUid),
        parts: &Arc<Parts>,
        home: &Weak<Rooms>,
    ) -> Self {
        Self {
            key,
            uid,
            parts: Arc::clone(parts),
            home: Weak::clone(home),
            bells: Bells::new(parts.dispatch.shards()),
            head: AtomicU64::new(0),
            flash: AtomicU64::new(0),
            online: AtomicU32::new(0),
            live: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                core,
                alarm: Alarm::default(),
                waiting: Vec::new(),
                waits: 0,
            }),
        }
    }

    /// Its name.
    pub fn key(&self) -> &RoomKey {
        &self.key
    }

    /// Its incarnation in this process.
    pub fn uid(&self) -> RoomUid {
        self.uid
    }

    /// The newest seq. Read without the lock.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// The version of the unsequenced state. Read without the lock.
    pub fn flash_version(&self) -> u64 {
        self.flash.load(Ordering::Acquire)
    }

    /// Distinct users in it. Read without the lock.
    pub fn online(&self) -> u32 {
        self.online.load(Ordering::Relaxed)
    }

    /// Whether it shows a live that is not over. Read without the lock.
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Relaxed)
    }

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

    /// The clock's moment, for guards that are dropped without being told one.
    pub(crate) fn now(&self) -> Moment {
        self.parts.clock.now()
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
    /// is answered by [`SessionEvent::Answered`], when it is recorded.
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
        let ended = self.wait_for_end(live, now)?;
        let gone = |_| Refusal::from(Code::STORE_UNAVAILABLE);
        ended.await.map_err(gone)?
    }

    fn wait_for_end(
        &self,
        live: Option<LiveId>,
        now: Moment,
    ) -> Result<oneshot::Receiver<Ended>, Refusal> {
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
            session: BACKEND,
            request_id,
        };
        self.decide(now, |core, out| {
            core.end_live_by_backend(asker, live, now, out);
        });
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
    /// [`SessionEvent::Answered`] when it is gone.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::NO_PERMISSION`]; [`Code::OVERLOADED`] while
    /// another change of it is being recorded.
    pub fn destroy(&self, by: DestroyedBy, now: Moment) -> Result<(), Refusal> {
        self.decide(now, |core, out| core.destroy(by, now, out))
    }

    /// As lists show it.
    pub fn summary(&self) -> wire::RoomSummary {
        self.inner.lock().core.summary()
    }

    /// As the backend sees it.
    pub fn report(&self) -> RoomReport {
        self.inner.lock().core.report()
    }

    /// Its live that is recorded and has not ended.
    pub fn live_report(&self, now: Moment) -> Option<LiveReport> {
        self.inner.lock().core.live_report(now)
    }

    /// Up to `limit` members after `cursor` (empty: from the first), in the
    /// order of entering.
    ///
    /// # Errors
    /// [`Code::BAD_PARAMETER`] for a cursor that was not given out.
    pub fn members(&self, limit: u32, cursor: &str) -> Result<wire::MembersReply, Refusal> {
        self.inner.lock().core.page(limit, cursor)
    }

    /// Up to `limit` pushes after the seq `after` that the log still holds.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`].
    pub fn history(
        &self,
        session: SessionId,
        after: u64,
        limit: u32,
    ) -> Result<wire::HistoryReply, Refusal> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let excerpt = self.inner.lock().core.excerpt(session, after, limit)?;
        let pushes = excerpt.frames.iter().flat_map(pushes).collect();
        Ok(wire::HistoryReply {
            epoch: excerpt.epoch,
            pushes,
            truncated: excerpt.truncated,
            head_seq: excerpt.head,
        })
    }

    /// The shard takes from the log from now on: returns where it begins. It
    /// is rung at once if there is something after that.
    pub fn subscribe(&self, shard: ShardId) -> u64 {
        let mut inner = self.inner.lock();
        let cursor = inner.core.subscribe(shard);
        let waits = inner.core.log().head() > cursor;
        // A ring from before the shard followed was for nobody.
        self.bells.clear(shard);
        drop(inner);
        if waits {
            self.bells
                .ring(&self.parts.dispatch, shard, self.uid, false);
        }
        cursor
    }

    /// The shard has no subscriber left.
    pub fn unsubscribe(&self, shard: ShardId) {
        self.inner.lock().core.unsubscribe(shard);
    }

    /// Appends the frames after the shard's `cursor` to `out`, whole ones, up
    /// to `max_bytes` but at least one; clears the bell when nothing is left.
    pub fn take(&self, shard: ShardId, cursor: u64, max_bytes: usize, out: &mut Vec<u8>) -> Taken {
        let mut inner = self.inner.lock();
        let joined = inner.core.log().join(cursor, max_bytes, out);
        inner.core.taken(shard, joined.cursor);
        let head = inner.core.log().head();
        if joined.cursor >= head {
            self.bells.clear(shard);
        }
        Taken {
            cursor: joined.cursor,
            head,
            frames: joined.frames,
            essential: joined.essential,
            lost: joined.lost,
        }
    }

    /// Whether an essential message waits for the shard. Read without the lock.
    pub fn urgent(&self, shard: ShardId) -> bool {
        self.bells.is_urgent(shard)
    }

    /// Unsequenced state that is newer than version `seen` as one frame, and
    /// the version that it brings the reader to.
    pub fn flash(&self, seen: u64) -> Option<(u64, Encoded)> {
        if self.flash_version() <= seen {
            return None;
        }
        self.inner.lock().core.flash().read(seen)
    }

    /// Lets `read` look at the log under the lock: how a subscriber that fell
    /// behind is served by the policy of its classes. Keep it short.
    pub fn read<R>(&self, read: impl FnOnce(&Log) -> R) -> R {
        read(self.inner.lock().core.log())
    }

    /// Keeps an empty room for another retention; false when it is gone.
    pub(crate) fn touch(&self, now: Moment) -> bool {
        self.decide(now, |core, _| core.touch(now))
    }

    pub(crate) fn tick(&self, now: Moment, judge: bool) {
        self.parts.timers.clear(&mut self.inner.lock().alarm);
        self.decide(now, |core, out| core.tick(now, judge, out));
    }

    pub(crate) fn start_committed(&self, live: LiveId, result: CommitResult, now: Moment) {
        self.decide(now, |core, out| {
            core.start_committed(live, result, now, out)
        });
    }

    pub(crate) fn end_committed(&self, live: LiveId, result: CommitResult, now: Moment) {
        self.decide(now, |core, out| core.end_committed(live, result, now, out));
    }

    pub(crate) fn recorded(&self, done: bool, now: Moment) {
        self.decide(now, |core, out| core.recorded(done, now, out));
    }

    pub(crate) fn recover_live(
        &self,
        record: LiveRecord,
        alive: Unix,
        now: Moment,
    ) -> Result<(), BadRecord> {
        self.decide(now, |core, out| core.recover_live(record, alive, now, out))
    }

    pub(crate) fn forgive(&self, span: std::time::Duration, now: Moment) {
        self.decide(now, |core, out| core.forgive(span, now, out));
    }

    /// Puts an input to the core and carries out what it asks for.
    fn decide<R>(&self, now: Moment, input: impl FnOnce(&mut Core, &mut Out) -> R) -> R {
        let mut out = Out::default();
        let mut inner = self.inner.lock();
        let sessions = inner.core.sessions();
        let result = input(&mut inner.core, &mut out);
        self.submit(&mut inner.core, &mut out, now);
        let answers = inner.answer_backend(std::mem::take(&mut out.answers));
        let shards = self.show(&inner.core);
        let gone = inner.core.standing() == Standing::Gone;
        let due = inner.core.deadline().filter(|_| !gone);
        self.parts.timers.set(&mut inner.alarm, self.uid, due);
        let sessions = difference(sessions, inner.core.sessions());
        drop(inner);
        if sessions != 0 {
            self.parts.metrics.rooms().members(sessions);
        }
        self.tell(shards, answers, out);
        if gone && let Some(home) = self.home.upgrade() {
            home.forget(self);
        }
        result
    }

    /// Hands what is to be recorded to the store's writer. What it has no
    /// place for is decided again at once.
    fn submit(&self, core: &mut Core, out: &mut Out, now: Moment) {
        while !out.records.is_empty() {
            let record = out.records.remove(0);
            let commit = recording::commit(&self.key, &record);
            if self.parts.engine.submit(commit).is_ok() {
                continue;
            }
            match record {
                Record::Live(commitment) => core.not_submitted(&commitment, now, out),
                Record::Room(_) | Record::Gone => core.recorded(false, now, out),
                Record::Stats(..) => {}
            }
        }
    }

    /// Shows outside of the lock where the room stands; returns the shards to
    /// ring because of it.
    fn show(&self, core: &Core) -> SmallVec<[ShardId; 8]> {
        let (head, flash) = (core.log().head(), core.flash_version());
        self.online.store(core.online(), Ordering::Relaxed);
        self.live.store(core.is_live(), Ordering::Relaxed);
        let heard = self.head.swap(head, Ordering::AcqRel);
        let seen = self.flash.swap(flash, Ordering::AcqRel);
        if (heard, seen) == (head, flash) {
            return SmallVec::new();
        }
        core.shards().collect()
    }

    fn tell(&self, shards: SmallVec<[ShardId; 8]>, answers: Answers, out: Out) {
        let dispatch = &self.parts.dispatch;
        for shard in shards {
            self.bells.ring(dispatch, shard, self.uid, out.urgent);
        }
        for (asker, result) in answers {
            let reply = Box::new(answer::reply(asker.request_id, result));
            dispatch.event(asker.session, SessionEvent::Answered(reply));
        }
        for (session, event) in out.events {
            dispatch.event(session, event);
        }
    }
}

type Answers = SmallVec<[(Asker, Result<Done, Refusal>); 1]>;

impl Inner {
    /// Answers the backend's calls among `answers`, returns those of sessions.
    fn answer_backend(&mut self, answers: Answers) -> Answers {
        let mut sessions = Answers::new();
        for (asker, result) in answers {
            if asker.session != BACKEND {
                sessions.push((asker, result));
                continue;
            }
            let Some(place) = self.waiting.iter().position(|w| w.0 == asker.request_id) else {
                continue;
            };
            let (_, waits) = self.waiting.swap_remove(place);
            // The call may have been given up meanwhile.
            let _ = waits.send(result.and_then(ended));
        }
        sessions
    }
}

fn ended(done: Done) -> Ended {
    match done {
        Done::Live(Answer::Ended(fact)) => Ok(fact),
        Done::Live(Answer::Started { .. }) | Done::Created(_) | Done::Destroyed => {
            Err(Code::INTERNAL.into())
        }
    }
}

fn difference(before: usize, after: usize) -> i64 {
    let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    signed(after) - signed(before)
}

/// The pushes of one frame of the log.
fn pushes(frame: &Encoded) -> Vec<Push> {
    use livegate_proto::Message;

    let frame = ServerFrame::decode(frame.payload()).expect("the log holds what was encoded");
    frame.pushes
}
