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
mod entering;
mod hosting;
mod reading;
mod speaking;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use livegate_proto::Encoded;
use livegate_proto::client::{self as wire, Push, Role, ServerFrame, push};
use livegate_proto::code::Code;
use smallvec::SmallVec;

pub use closing::{CreateArgs, DestroyedBy};
pub(crate) use entering::Admission;
pub use entering::{EnterArgs, LeaveCause};
pub use hosting::StartLiveArgs;
pub use reading::{LiveReport, RoomReport};
pub use speaking::{BackendPush, Publish, Published, Pushed};

use crate::clock::{Instant, Moment};
use crate::dispatch::{Class, SessionEvent};
use crate::event::LiveStats;
use crate::id::{LiveId, RoomId, RoomKey, RoomUid, SessionId, ShardId, UserId};
use crate::rooms::charter::Charter;
use crate::rooms::config::RoomsConfig;
use crate::rooms::dedupe::Dedupe;
use crate::rooms::flash::Flash;
use crate::rooms::following::Following;
use crate::rooms::limit::Bucket;
use crate::rooms::live::{self, Asker, Commitment, Live, Notice, Phase};
use crate::rooms::log::{Budget, Log, Refused};
use crate::rooms::members::{Member, Members};
use crate::rooms::merge::Likes;
use crate::rooms::presence::{Person, Presence, Telling};
use crate::rooms::refusal::Refusal;
use crate::telemetry::{DropCause, Metrics};

/// What the shell carries out after an input, in this order.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// To record; what becomes of it comes back as an input.
    pub(crate) records: SmallVec<[Record; 1]>,
    /// To answer.
    pub(crate) answers: SmallVec<[(Asker, Result<Done, Refusal>); 1]>,
    /// To tell sessions.
    pub(crate) events: SmallVec<[(SessionId, SessionEvent); 1]>,
    /// Something essential was stamped.
    pub(crate) urgent: bool,
}

/// Something to record.
#[derive(Debug)]
pub(crate) enum Record {
    /// The start or the end of a live.
    Live(Box<Commitment>),
    /// The room's charter.
    Room(Box<Charter>),
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
    Creating { asker: Asker, before: Box<Charter> },
    Removing,
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
    /// Who waits for the room to be destroyed.
    destroyer: Option<Asker>,
    charter: Charter,
    members: Members,
    log: Log,
    following: Following,
    flash: Flash,
    presence: Presence,
    likes: Likes,
    bucket: Bucket,
    dedupe: Dedupe,
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
            flash: Flash::default(),
            presence: Presence::new(config.presence),
            likes: Likes::new(config.totals_every),
            bucket: Bucket::new(config.rate, now.instant),
            dedupe: Dedupe::new(config.dedupe_window, config.dedupe_entries),
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

    /// Sessions here.
    pub(crate) fn sessions(&self) -> usize {
        self.members.sessions()
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
            self.likes.deadline(),
            self.log.deadline(),
            self.dedupe.deadline(),
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
        self.log.trim(now.instant);
        self.dedupe.forget(now.instant);
        self.settle(now, out);
        let kept_until = self.empty_since + self.config.retention;
        if self.is_passing() && kept_until <= now.instant {
            self.standing = Standing::Gone;
        }
    }

    /// Tells what is due to be told and goes on with what was begun. Every
    /// input ends with it.
    fn settle(&mut self, now: Moment, out: &mut Out) {
        match self.presence.due(now.instant) {
            Some(Telling::Exact(told)) => self.tell_exact(told, now, out),
            Some(Telling::Digest(digest)) => {
                self.metrics.rooms().presence_digest();
                let room = self.key.room.as_str();
                self.flash.set_digest(room, digest, now.unix);
            }
            None => {}
        }
        if let Some(likes) = self.likes.due(now.instant) {
            let room = self.key.room.as_str();
            self.flash
                .set_totals(room, wire::Totals { likes }, now.unix);
        }
        if self.standing == Standing::Closing {
            self.go_on_closing(now, out);
        }
    }

    fn tell_exact(&mut self, told: wire::Presence, now: Moment, out: &mut Out) {
        match self.stamp(Class::Normal, push::Body::Presence(told), now, out) {
            Ok(_) => {
                self.presence.told(now.instant);
                if self.presence.is_exact() {
                    self.flash.clear_digest();
                }
            }
            Err(_) => self.presence.put_off(now.instant),
        }
    }

    /// Gives `body` its place in the room's order.
    fn stamp(
        &mut self,
        class: Class,
        body: push::Body,
        now: Moment,
        out: &mut Out,
    ) -> Result<u64, Refused> {
        let room_id = self.key.room.to_string();
        let encode = |epoch, seq| {
            Encoded::new(&ServerFrame {
                pushes: vec![Push {
                    room_id,
                    epoch,
                    seq,
                    time_ms: now.unix.millis_i64(),
                    body: Some(body),
                }],
                ..ServerFrame::default()
            })
        };
        let stamped = self.log.append(class, now.instant, encode);
        match stamped {
            Ok(_) => out.urgent |= class == Class::Essential,
            Err(refused) => {
                let cause = match refused {
                    Refused::Full => DropCause::LogFull,
                    Refused::Budget => DropCause::LogBudget,
                };
                self.metrics.rooms().dropped(class, cause, 1);
            }
        }
        stamped
    }

    /// Carries out what the live asks for.
    fn apply(&mut self, effects: live::Effects, now: Moment, out: &mut Out) {
        for effect in effects {
            match effect {
                live::Effect::Commit(commitment) => out.records.push(Record::Live(commitment)),
                live::Effect::Tell(notice) => self.tell(&notice, now, out),
                live::Effect::Answer { asker, result } => {
                    let result = result.map(Done::Live).map_err(Refusal::from);
                    out.answers.push((asker, result));
                }
                live::Effect::Arm(at) => self.live_due = Some(at),
                live::Effect::Disarm => self.live_due = None,
                live::Effect::Hosting { session, on } => {
                    let event = SessionEvent::Hosting(self.uid, on);
                    out.events.push((session, event));
                }
            }
        }
    }

    fn tell(&mut self, notice: &Notice, now: Moment, out: &mut Out) {
        let lives = self.metrics.lives();
        match notice {
            Notice::Started { fact, .. } => {
                lives.started();
                self.count_audience(&fact.host);
                self.stats_due = Some(now.instant + self.config.stats_every);
                self.recorded_stats = LiveStats::default();
            }
            Notice::Away { .. } => lives.host_away(),
            Notice::Back { .. } => lives.host_back(),
            Notice::Ended(fact) => {
                lives.ended(fact.reason.wire());
                self.stats_due = None;
                if self.members.is_empty() {
                    self.empty_since = now.instant;
                }
            }
        }
        let body = push::Body::Live(notice.event());
        self.stamp(Class::Essential, body, now, out)
            .expect("the log takes everything essential");
    }

    /// The host is known by name from now on, the others are its first viewers.
    fn count_audience(&mut self, host: &UserId) {
        if let Some(member) = self.members.get_mut(host) {
            member.named = true;
        }
        let viewers = self.viewers(Some(host));
        for member in self.members.iter() {
            if member.person.user != *host {
                self.live.viewer(hash(&member.person.user), viewers);
            }
        }
    }

    /// Distinct users here other than the host.
    fn viewers(&self, host: Option<&UserId>) -> u32 {
        let host_is_here = host.is_some_and(|host| self.members.get(host).is_some());
        let viewers = self.members.len() - usize::from(host_is_here);
        u32::try_from(viewers).unwrap_or(u32::MAX)
    }

    fn record_stats(&mut self, now: Moment, out: &mut Out) {
        let Some((live, stats)) = self.live.stats(now) else {
            self.stats_due = None;
            return;
        };
        self.stats_due = Some(now.instant + self.config.stats_every);
        let counted = LiveStats {
            duration_ms: 0,
            ..stats
        };
        if counted != self.recorded_stats {
            self.recorded_stats = counted;
            out.records.push(Record::Stats(live, stats));
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

    /// A frame of one push for one session of the room, outside its order.
    fn aside(&self, body: push::Body, now: Moment) -> Encoded {
        Encoded::new(&ServerFrame {
            pushes: vec![Push {
                room_id: self.key.room.to_string(),
                epoch: self.log.epoch(),
                time_ms: now.unix.millis_i64(),
                body: Some(body),
                ..Push::default()
            }],
            ..ServerFrame::default()
        })
    }
}

/// The same for one user in every room and process, well mixed.
fn hash(user: &UserId) -> u64 {
    use std::hash::BuildHasher;

    foldhash::quality::FixedState::default().hash_one(user.as_str())
}
