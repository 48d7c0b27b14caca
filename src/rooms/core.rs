//! A room's decisions: pure, told the time, under the room's lock.
//!
//! Owns everything of one room: charter, members, log, presence, likes, limits,
//! the live. Inputs change it and stamp what the room is told straight into
//! the log; what only the shell can do (record, reach sessions) is written
//! into [`Out`].
//!
//! Invariants:
//! - what is stamped has one order, and a member's snapshot carries the seq
//!   after which everything reaches them;
//! - the record precedes the telling, for lives and for rooms that last;
//! - a request that is not refused at once is answered exactly once by an
//!   [`Out::answers`] entry;
//! - [`Core::deadline`] is when [`Core::tick`] has something to do.
//!
//! It does not authorise users for the app, does not check lengths (verbs are
//! checked), locks nothing and rings nobody.

mod closing;
mod combos;
mod entering;
mod governing;
mod hosting;
mod liking;
mod mic;
mod reading;
mod reporting;
mod speaking;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client::Role;
use livegate_proto::code::Code;
use smallvec::SmallVec;

pub use closing::{CreateArgs, DestroyedBy};
pub(crate) use entering::Admission;
pub use entering::{EnterArgs, LeaveCause};
pub use governing::{AttributesChange, By, ProfileChange};
pub use hosting::StartLiveArgs;
pub use reading::{LiveReport, RoomReport};
use reporting::Cause;
pub(crate) use reporting::Reports;
pub use speaking::{BackendPush, Publish, Published, Pushed};

use crate::callback::tell::Tells;
use crate::clock::{Instant, Moment};
use crate::dispatch::SessionEvent;
use crate::engine::OutboxRow;
use crate::event::{LiveStats, Origin};
use crate::id::{LiveId, RoomId, RoomKey, RoomUid, SessionId, ShardId};
use crate::rooms::charter::Charter;
use crate::rooms::combos::Combos;
use crate::rooms::config::RoomsConfig;
use crate::rooms::dedupe::Dedupe;
use crate::rooms::flash::Flash;
use crate::rooms::following::Following;
use crate::rooms::limit::Bucket;
use crate::rooms::live::{self, Asker, Commitment, Live, Phase};
use crate::rooms::log::{Budget, Log};
use crate::rooms::members::{Member, Members};
use crate::rooms::merge::Likes;
use crate::rooms::mic::Mic;
use crate::rooms::presence::{Person, Presence};
use crate::rooms::questions::LikeWindow;
use crate::rooms::refusal::Refusal;
use crate::telemetry::{Held, Metrics};

/// How long a message of the backend is remembered, so that a repeat is the
/// same one (the vendor's window).
const PUSH_WINDOW: Duration = Duration::from_secs(300);

/// What the shell carries out after an input, in this order.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// To record; what becomes of it comes back as an input.
    pub(crate) records: SmallVec<[Record; 1]>,
    /// To tell the backend.
    pub(crate) tells: Vec<OutboxRow>,
    /// To answer.
    pub(crate) answers: SmallVec<[(Asker, Result<Done, Refusal>); 1]>,
    /// To tell sessions.
    pub(crate) events: SmallVec<[(SessionId, SessionEvent); 1]>,
    /// To ask the backend; its answer comes back as an input.
    pub(crate) question: Option<LikeWindow>,
    /// Something essential was stamped.
    pub(crate) urgent: bool,
}

/// Something to record.
#[derive(Debug)]
pub(crate) enum Record {
    /// The start or the end of a live.
    Live(Box<Commitment>),
    /// The room's charter, which somebody waits for.
    Room(Box<Charter>),
    /// The room's charter after a change that was told already.
    Changed(Box<Charter>),
    /// The room is no more.
    Gone,
    /// Figures of the open live.
    Stats(LiveId, LiveStats),
}

/// What a request that had to wait came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Done {
    /// StartLive or EndLive.
    Live(live::Answer),
    /// CreateRoom.
    Created(RoomId),
    /// DestroyRoom.
    Destroyed,
}

/// Whether a room takes part in anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Open,
    /// It is being destroyed; nobody enters any more.
    Closing,
    /// It is no more: the registry forgets it.
    Gone,
}

/// A change of the room itself that waits for its record.
#[derive(Debug)]
enum Recording {
    Nothing,
    Creating {
        asker: Asker,
        cause: Cause,
        before: Box<Charter>,
    },
    Removing,
}

/// How far the store is behind what the room's charter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// It is not.
    Level,
    /// A change is to be recorded, not before this time.
    Due(Instant),
    /// A change is being recorded; whether there was another one since.
    Recording { again: bool },
}

/// Everything of one room.
#[derive(Debug)]
pub(crate) struct Core {
    key: RoomKey,
    uid: RoomUid,
    config: Arc<RoomsConfig>,
    metrics: Arc<Metrics>,
    standing: Standing,
    recording: Recording,
    /// Who waits for the room to be destroyed, and from where they asked.
    destroyer: Option<(Asker, Origin)>,
    charter: Charter,
    members: Members,
    log: Log,
    following: Following,
    reports: Reports,
    flash: Flash,
    presence: Presence,
    likes: Likes,
    combos: Combos,
    bucket: Bucket,
    dedupe: Dedupe,
    /// What the backend said lately.
    pushes: Dedupe,
    /// What was recalled and is still in the log.
    recalled: BTreeSet<u64>,
    behind: Behind,
    mic: Mic,
    live: Live,
    live_due: Option<Instant>,
    stats_due: Option<Instant>,
    recorded_stats: LiveStats,
    empty_since: Instant,
}

/// What a new room is made from.
#[derive(Debug)]
pub(crate) struct Birth {
    /// Its name.
    pub(crate) key: RoomKey,
    /// Its incarnation in this process.
    pub(crate) uid: RoomUid,
    /// The incarnation of its sequence, random.
    pub(crate) epoch: u64,
    /// What it is.
    pub(crate) charter: Charter,
    /// What its app's backend is told of.
    pub(crate) tells: Tells,
    /// Whether it is asked before a window of likes is told.
    pub(crate) asks: bool,
}

impl Core {
    /// An empty room.
    pub(crate) fn new(
        birth: Birth,
        config: &Arc<RoomsConfig>,
        budget: &Arc<Budget>,
        metrics: &Arc<Metrics>,
        now: Moment,
    ) -> Self {
        Self {
            key: birth.key,
            uid: birth.uid,
            config: Arc::clone(config),
            metrics: Arc::clone(metrics),
            standing: Standing::Open,
            recording: Recording::Nothing,
            destroyer: None,
            charter: birth.charter,
            members: Members::default(),
            log: Log::new(birth.epoch, config.log, Arc::clone(budget)),
            following: Following::default(),
            reports: Reports::new(birth.tells),
            flash: Flash::default(),
            presence: Presence::new(config.presence),
            likes: Likes::new(config.totals_every, birth.asks),
            combos: Combos::new(config.combos),
            bucket: Bucket::new(config.rate, now.instant),
            dedupe: Dedupe::new(config.dedupe_window, config.dedupe_entries),
            pushes: Dedupe::new(PUSH_WINDOW, config.dedupe_entries),
            recalled: BTreeSet::new(),
            behind: Behind::Level,
            mic: Mic::new(config.mic, now.instant),
            live: Live::default(),
            live_due: None,
            stats_due: None,
            recorded_stats: LiveStats::default(),
            empty_since: now.instant,
        }
    }

    /// Whether it takes part in anything.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// What shards follow.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The unsequenced state.
    pub(crate) fn flash(&mut self) -> &mut Flash {
        &mut self.flash
    }

    /// The version of the unsequenced state.
    pub(crate) fn flash_version(&self) -> u64 {
        self.flash.version()
    }

    /// Distinct users here.
    pub(crate) fn online(&self) -> u32 {
        self.presence.online()
    }

    /// What is here that grows and shrinks.
    pub(crate) fn held(&self) -> Held {
        Held {
            members: self.members.sessions(),
            invitations: self.mic.invitations(),
            publishers: self.mic.on_it(),
            combos: self.combos.count(),
        }
    }

    /// Whether late joiners see a live that is not over.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.live.phase(), Phase::Live | Phase::Away | Phase::Ending)
    }

    /// Shards to ring when something was stamped or the state changed.
    pub(crate) fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.following.shards()
    }

    /// The shard takes from the log from now on; returns its cursor.
    pub(crate) fn subscribe(&mut self, shard: ShardId) -> u64 {
        self.following.subscribe(shard, &mut self.log)
    }

    /// The shard takes no longer.
    pub(crate) fn unsubscribe(&mut self, shard: ShardId) {
        self.following.unsubscribe(shard, &mut self.log);
    }

    /// The shard has everything up to `cursor`.
    pub(crate) fn taken(&mut self, shard: ShardId, cursor: u64) {
        if self.log.pinned(shard).is_some() {
            self.log.pin(shard, cursor);
        }
    }

    /// Keeps an empty room for another retention; false when it is gone.
    pub(crate) fn touch(&mut self, now: Moment) -> bool {
        self.empty_since = now.instant;
        self.standing != Standing::Gone
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let retention = self
            .is_passing()
            .then(|| self.empty_since + self.config.retention);
        [
            self.live_due,
            self.stats_due,
            self.presence.deadline(),
            self.reports.deadline(),
            self.likes.deadline(),
            self.combos.deadline(),
            self.mic.deadline(),
            self.log.deadline(),
            self.dedupe.deadline(),
            self.pushes.deadline(),
            self.behind_due(),
            retention,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due. `judge`: whether lost hosts may be given up now; a
    /// gateway that is stopping gives none up.
    pub(crate) fn tick(&mut self, now: Moment, judge: bool, out: &mut Out) {
        if self.live_due.is_some_and(|at| at <= now.instant) {
            if judge {
                self.live_due = None;
                let effects = self.live.deadline(now);
                self.apply(effects, now, out);
            } else {
                self.live_due = Some(now.instant + self.config.grace_max);
            }
        }
        if self.stats_due.is_some_and(|at| at <= now.instant) {
            self.record_stats(now, out);
        }
        self.end_expired(now, out);
        self.log.trim(now.instant);
        self.dedupe.forget(now.instant);
        self.pushes.forget(now.instant);
        self.settle(now, out);
        let kept_until = self.empty_since + self.config.retention;
        if self.is_passing() && kept_until <= now.instant {
            self.standing = Standing::Gone;
        }
    }

    /// Whether nothing keeps the room but its retention.
    fn is_passing(&self) -> bool {
        let idle = matches!(self.recording, Recording::Nothing) && !self.live.is_open();
        let open = self.standing == Standing::Open;
        open && idle && !self.charter.durable && self.members.is_empty()
    }

    /// The role that the others see.
    fn role_of(&self, member: &Member) -> Role {
        let recorded = self.live.phase() != Phase::Starting;
        match self.live.host() {
            Some((host, _)) if recorded && *host == member.person.user => Role::Host,
            Some(_) | None => member.person.role,
        }
    }

    /// The member as the others see them.
    fn shown(&self, member: &Member) -> Person {
        Person {
            role: self.role_of(member),
            ..member.person.clone()
        }
    }

    /// Refuses when the room is being destroyed or gone.
    fn must_be_open(&self) -> Result<(), Refusal> {
        match self.standing {
            Standing::Open => Ok(()),
            Standing::Closing | Standing::Gone => Err(Refusal::new(Code::NO_ROOM)),
        }
    }

    /// The member whose session this is.
    fn member(&self, session: SessionId) -> Result<&Member, Refusal> {
        let member = self.members.of(session).map(|(member, _)| member);
        member.ok_or_else(|| Refusal::new(Code::NOT_IN_ROOM))
    }
}
