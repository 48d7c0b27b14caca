//! The shell of a room: lock, decide, hand to the store, unlock, then tell.
//!
//! Invariants: the lock is held for decisions and copies only, never over a
//! disk, a socket or an await; commits are submitted in the order of their
//! decisions; bells and session events come after the lock.

mod acting;
mod following;
mod governing;
mod mic;
mod reading;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

pub use following::Taken;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::clock::{Moment, Unix};
use crate::dispatch::SessionEvent;
use crate::engine::record::{BadRecord, LiveRecord};
use crate::id::{LiveId, RoomKey, RoomUid, SessionId, ShardId};
use crate::rooms::answer;
use crate::rooms::bells::Bells;
use crate::rooms::core::{Core, Done, Out, Record, Standing};
use crate::rooms::live::{Asker, CommitResult};
use crate::rooms::recording;
use crate::rooms::refusal::Refusal;
use crate::rooms::registry::{Parts, Rooms};
use crate::rooms::timers::Alarm;
use crate::telemetry::Held;

/// Stands for a backend call where a session would be.
const BACKEND: SessionId = SessionId(u64::MAX);

/// What a call of the backend comes to.
type Waited = Result<Done, Refusal>;

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
    waiting: Vec<(u64, oneshot::Sender<Waited>)>,
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

    /// The clock's moment, for guards that are dropped without being told one.
    pub(crate) fn now(&self) -> Moment {
        self.parts.clock.now()
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

    pub(crate) fn caught_up(&self, done: bool, now: Moment) {
        self.decide(now, |core, out| core.caught_up(done, now, out));
    }

    pub(crate) fn likes_answered(&self, live: Option<LiveId>, may: bool, now: Moment) {
        self.decide(now, |core, out| core.likes_answered(live, may, now, out));
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
        let held = inner.core.held();
        let result = input(&mut inner.core, &mut out);
        self.submit(&mut inner.core, &mut out, now);
        let answers = inner.answer_backend(std::mem::take(&mut out.answers));
        let shards = self.show(&inner.core);
        let gone = inner.core.standing() == Standing::Gone;
        let due = inner.core.deadline().filter(|_| !gone);
        self.parts.timers.set(&mut inner.alarm, self.uid, due);
        let now_held = inner.core.held();
        drop(inner);
        self.parts.metrics.rooms().held(held, now_held);
        self.tell(shards, answers, out);
        if gone && let Some(home) = self.home.upgrade() {
            home.forget(self);
        }
        result
    }

    /// Hands what is to be recorded to the store's writer, and what is to be
    /// asked to who asks. What there is no place for is decided again at once.
    fn submit(&self, core: &mut Core, out: &mut Out, now: Moment) {
        while !out.records.is_empty() {
            let record = out.records.remove(0);
            let mut commit = recording::commit(&self.key, &record);
            core.report_record(&record, &mut commit.outbox, now);
            if self.parts.engine.submit(commit).is_ok() {
                continue;
            }
            match record {
                Record::Live(commitment) => core.not_submitted(&commitment, now, out),
                Record::Room(_) | Record::Gone => core.recorded(false, now, out),
                Record::Changed(_) => core.caught_up(false, now, out),
                Record::Stats(..) => {}
            }
        }
        self.parts.teller.tell(std::mem::take(&mut out.tells));
        if let Some(question) = out.question.take()
            && !self.parts.put(question)
        {
            core.likes_put_off();
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
    /// Answers those without a connection among `answers`, returns the others.
    fn answer_backend(&mut self, answers: Answers) -> Answers {
        let mut sessions = Answers::new();
        for (asker, result) in answers {
            if asker.session.shard() != ShardId::NOWHERE {
                sessions.push((asker, result));
                continue;
            }
            let Some(place) = self.waiting.iter().position(|w| w.0 == asker.request_id) else {
                continue;
            };
            let (_, waits) = self.waiting.swap_remove(place);
            // The call may have been given up meanwhile.
            let _ = waits.send(result);
        }
        sessions
    }
}

impl Drop for Room {
    /// What a room still holds when it goes is held no more.
    fn drop(&mut self) {
        let held = self.inner.get_mut().core.held();
        self.parts.metrics.rooms().held(held, Held::default());
    }
}
