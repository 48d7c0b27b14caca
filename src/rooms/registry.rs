//! Every room of the process, by id and by incarnation.
//!
//! Invariants: a room is in both maps or in neither; it leaves them only when
//! it is gone, and only its own entry; no map's guard is held over another
//! map, a room's lock or an await. An app holds at most its number of rooms.

mod inheriting;
mod paging;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use inheriting::Inheritance;
use livegate_proto::code::Code;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::callback::Teller;
use crate::callback::tell::Tells;
use crate::clock::{Clock, Moment};
use crate::dispatch::Dispatch;
use crate::engine::{Engine, Outcome, Subject};
use crate::id::{AppId, RoomId, RoomKey, RoomUid};
use crate::rooms::charter::Charter;
use crate::rooms::config::RoomsConfig;
use crate::rooms::core::{Birth, Core, CreateArgs};
use crate::rooms::listing::Listing;
use crate::rooms::live::{Asker, CommitResult};
use crate::rooms::log::Budget;
use crate::rooms::questions::{LikeWindow, Questions};
use crate::rooms::recording;
use crate::rooms::refusal::Refusal;
use crate::rooms::room::Room;
use crate::rooms::timers::{TICK, Timers};
use crate::telemetry::Metrics;

/// What every room needs from the rest of the process.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Arc<RoomsConfig>,
    pub(crate) dispatch: Dispatch,
    pub(crate) engine: Arc<Engine>,
    pub(crate) teller: Arc<Teller>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) timers: Timers,
    questions: OnceLock<Questions>,
    stopping: AtomicBool,
}

impl Parts {
    /// Hands a window of likes up; false when it cannot be asked about now.
    pub(crate) fn put(&self, window: LikeWindow) -> bool {
        (self.questions.get()).is_some_and(|questions| questions.put(window))
    }

    /// Whether the gateway is stopping: no live begins, none is given up.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Every room of the process.
#[derive(Debug)]
pub struct Rooms {
    parts: Arc<Parts>,
    me: Weak<Self>,
    by_key: DashMap<RoomKey, Arc<Room>, RandomState>,
    by_uid: DashMap<RoomUid, Arc<Room>, RandomState>,
    per_app: DashMap<AppId, usize, RandomState>,
    uids: AtomicU64,
    listing: Listing,
    inheritance: Mutex<Inheritance>,
    ticked: Mutex<Moment>,
}

impl Rooms {
    /// No rooms yet.
    pub fn new(
        config: RoomsConfig,
        dispatch: Dispatch,
        engine: Arc<Engine>,
        teller: Arc<Teller>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let now = clock.now();
        let parts = Arc::new(Parts {
            budget: Arc::new(Budget::new(config.log_budget)),
            timers: Timers::new(now.instant),
            config: Arc::new(config),
            dispatch,
            engine,
            teller,
            clock,
            metrics,
            questions: OnceLock::new(),
            stopping: AtomicBool::new(false),
        });
        Arc::new_cyclic(|me| Self {
            parts,
            me: Weak::clone(me),
            by_key: DashMap::default(),
            by_uid: DashMap::default(),
            per_app: DashMap::default(),
            uids: AtomicU64::new(1),
            listing: Listing::default(),
            inheritance: Mutex::default(),
            ticked: Mutex::new(now),
        })
    }

    /// From now on the backends of these apps are asked before a window of
    /// likes is told. Poll what comes, and bring each answer to
    /// [`likes_answered`](Self::likes_answered). Call it once, before there is a
    /// room; a second call is heard by nobody.
    pub fn ask_about_likes(&self, apps: impl Iterator<Item = AppId>) -> mpsc::Receiver<LikeWindow> {
        let (questions, windows) = Questions::new(apps);
        // A second call's sender is dropped: its stream ends at once.
        let _ = self.parts.questions.set(questions);
        windows
    }

    /// The backend was asked about a window of likes: whether it `may` be told.
    pub fn likes_answered(&self, window: &LikeWindow, may: bool) {
        let room = self.by_uid.get(&window.uid).map(|room| Arc::clone(&room));
        if let Some(room) = room {
            room.likes_answered(window.live, may, self.parts.clock.now());
        }
    }

    /// The room with this id.
    pub fn get(&self, key: &RoomKey) -> Option<Arc<Room>> {
        self.by_key.get(key).map(|room| Arc::clone(&room))
    }

    /// The room with this id, made if it is not there and entering may make
    /// one. It stays for at least a retention, so that it can be entered.
    ///
    /// # Errors
    /// [`Code::NO_ROOM`], [`Code::ROOM_COUNT_LIMIT`].
    pub fn find_or_open(&self, key: &RoomKey, now: Moment) -> Result<Arc<Room>, Refusal> {
        let may_open = self.parts.config.create_on_enter && !is_assigned(&key.room);
        self.claim(key, may_open, now)
    }

    /// Makes a room of the caller's, to last, under the id given or a fresh
    /// one. After `Ok` the asker is answered when it is recorded.
    ///
    /// # Errors
    /// [`Code::ROOM_ID_IN_USE`], [`Code::ROOM_ALREADY_OWNED`],
    /// [`Code::ROOM_COUNT_LIMIT`]; [`Code::BAD_ROOM_ID`] for an id that only
    /// the gateway gives.
    pub fn create(
        &self,
        app: AppId,
        id: Option<RoomId>,
        args: CreateArgs,
        now: Moment,
    ) -> Result<(), Refusal> {
        if id.as_ref().is_some_and(is_assigned) {
            return Err(Refusal::new(Code::BAD_ROOM_ID));
        }
        let room = id.unwrap_or_else(recording::room_id);
        let key = RoomKey { app, room };
        self.claim(&key, true, now)?.create(args, now)
    }

    /// Makes a room to last, for the backend, and waits until it is recorded.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Code::STORE_UNAVAILABLE`].
    pub async fn create_for_backend(
        &self,
        app: AppId,
        id: Option<RoomId>,
        args: impl FnOnce(Asker) -> CreateArgs,
        now: Moment,
    ) -> Result<RoomId, Refusal> {
        if id.as_ref().is_some_and(is_assigned) {
            return Err(Refusal::new(Code::BAD_ROOM_ID));
        }
        let room = id.unwrap_or_else(recording::room_id);
        let key = RoomKey { app, room };
        let room = self.claim(&key, true, now)?;
        room.create_for_backend(args, now).await
    }

    /// The rooms of an app, all of them.
    pub fn of_app(&self, app: AppId) -> Vec<Arc<Room>> {
        self.select(|room| room.key().app == app)
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    /// The gateway is stopping: no live starts any more, and none is given up
    /// for a lost host. What is open goes on after the restart.
    pub fn stop(&self) {
        self.parts.stopping.store(true, Ordering::Relaxed);
    }

    /// What became of a commit.
    pub fn outcome(&self, outcome: Outcome, now: Moment) {
        let done = outcome.result.is_ok();
        let result = if done {
            CommitResult::Recorded
        } else {
            CommitResult::Failed
        };
        match outcome.subject {
            Subject::LiveStarted(key, live) => {
                self.with(&key, |room| room.start_committed(live, result, now));
            }
            Subject::LiveEnded(key, live) => {
                self.with(&key, |room| room.end_committed(live, result, now));
            }
            Subject::Room(key) => self.with(&key, |room| room.recorded(done, now)),
            Subject::RoomChanged(key) => self.with(&key, |room| room.caught_up(done, now)),
            Subject::Quiet => {}
        }
    }

    /// Does what is due in every room. Called every [`TICK`]; when it was not
    /// for a while because the process stood still, lost hosts are given that
    /// time back first.
    pub fn tick(&self, now: Moment) {
        let since = now
            .instant
            .since(std::mem::replace(&mut *self.ticked.lock(), now).instant);
        if since > TICK + self.parts.config.standstill {
            tracing::warn!(?since, "the process stood still");
            for room in self.select(|_| true) {
                room.forgive(since, now);
            }
        }
        let mut due = Vec::new();
        self.parts.timers.advance(now.instant, &mut due);
        let judge = !self.parts.is_stopping();
        for uid in due {
            let room = self.by_uid.get(&uid).map(|room| Arc::clone(&room));
            if let Some(room) = room {
                room.tick(now, judge);
            }
        }
        let bytes = self.parts.budget.used();
        self.parts.metrics.rooms().log_bytes(bytes as u64);
    }

    /// Drops a room that is gone. Doing it twice is the same.
    pub(crate) fn forget(&self, room: &Room) {
        if self.by_uid.remove(&room.uid()).is_none() {
            return;
        }
        let is_it = |_: &RoomKey, found: &Arc<Room>| found.uid() == room.uid();
        if self.by_key.remove_if(room.key(), is_it).is_some() {
            self.release(room.key().app);
            self.parts.metrics.rooms().open(-1);
        }
    }

    /// The room, kept for a retention; made if it is not there and may be.
    fn claim(&self, key: &RoomKey, may_open: bool, now: Moment) -> Result<Arc<Room>, Refusal> {
        loop {
            let room = match self.get(key) {
                Some(room) => room,
                None if may_open => self.open(key, now)?,
                None => return Err(Refusal::new(Code::NO_ROOM)),
            };
            if room.touch(now) {
                return Ok(room);
            }
            // It was dropped between being found and being kept.
        }
    }

    fn open(&self, key: &RoomKey, now: Moment) -> Result<Arc<Room>, Refusal> {
        if !self.reserve(key.app, self.parts.config.per_app) {
            return Err(Refusal::new(Code::ROOM_COUNT_LIMIT));
        }
        Ok(self.insert(key, Charter::passing(now.unix), now))
    }

    /// Puts a new room in, for which a place has been reserved, or finds one
    /// that was faster.
    fn insert(&self, key: &RoomKey, charter: Charter, now: Moment) -> Arc<Room> {
        let uid = RoomUid(self.uids.fetch_add(1, Ordering::Relaxed));
        let parts = &self.parts;
        let birth = Birth {
            key: key.clone(),
            uid,
            epoch: recording::epoch(),
            charter,
            // Without a callback only lives are recorded for one, so that a
            // backend that is configured later hears of what ended meanwhile.
            tells: parts.teller.chosen(key.app).unwrap_or(Tells::LIVES),
            asks: (parts.questions.get()).is_some_and(|questions| questions.wants(key.app)),
        };
        let core = Core::new(birth, &parts.config, &parts.budget, &parts.metrics, now);
        let room = Arc::new(Room::new(core, (key.clone(), uid), parts, &self.me));
        self.by_uid.insert(uid, Arc::clone(&room));
        let found = match self.by_key.entry(key.clone()) {
            Entry::Occupied(found) => Some(Arc::clone(found.get())),
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&room));
                None
            }
        };
        if let Some(found) = found {
            self.by_uid.remove(&uid);
            self.release(key.app);
            return found;
        }
        parts.metrics.rooms().open(1);
        room
    }

    fn reserve(&self, app: AppId, limit: usize) -> bool {
        let mut rooms = self.per_app.entry(app).or_insert(0);
        let free = *rooms < limit;
        *rooms += usize::from(free);
        free
    }

    fn release(&self, app: AppId) {
        if let Some(mut rooms) = self.per_app.get_mut(&app) {
            *rooms -= 1;
        }
    }

    fn with(&self, key: &RoomKey, act: impl FnOnce(&Room)) {
        if let Some(room) = self.get(key) {
            act(&room);
        }
    }

    /// The rooms that `wanted`, which must lock nothing, picks.
    fn select(&self, wanted: impl Fn(&Room) -> bool) -> Vec<Arc<Room>> {
        let rooms = self.by_uid.iter();
        let picked = rooms.filter(|room| wanted(room.value()));
        picked.map(|room| Arc::clone(room.value())).collect()
    }
}

fn is_assigned(room: &RoomId) -> bool {
    room.as_str().starts_with(recording::ASSIGNED)
}
