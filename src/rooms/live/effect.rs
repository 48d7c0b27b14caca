//! What the live machine is told and what it asks for.

use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client as wire;
use livegate_proto::client::AwayCause;
use livegate_proto::code::Code;
use smallvec::SmallVec;

use crate::callback::payload;
use crate::clock::{Instant, Moment, Unix};
use crate::engine::record::LiveRecord;
use crate::engine::{Commit, Fact, Subject};
use crate::event::{EndReason, LiveEnded, LiveStarted};
use crate::id::{AppId, LiveId, RoomId, RoomKey, SessionId, UserId};

/// A request that gets exactly one [`Effect::Answer`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Asker {
    /// Which session asked.
    pub session: SessionId,
    /// The id it gave the request.
    pub request_id: u64,
}

/// A StartLive that has been authorised.
#[derive(Clone, Debug)]
pub struct StartArgs {
    /// The room of this machine.
    pub room: RoomKey,
    /// Who waits for the answer; its session becomes the host's.
    pub asker: Asker,
    /// Who broadcasts.
    pub user: UserId,
    /// What the host shows of themselves.
    pub profile: Arc<wire::Profile>,
    /// The client's id of this start: a repeat of it is the same live.
    pub start_id: Box<str>,
    /// How long the room waits for a lost host, 0 to 120 s.
    pub grace: Duration,
    /// A fresh UUIDv7, used when this turns out to be no repeat.
    pub live: LiveId,
}

/// A request or a decision to end the live.
#[derive(Clone, Copy, Debug)]
pub struct EndArgs {
    /// Why.
    pub reason: EndReason,
    /// The live meant; `None`: whichever is open.
    pub live: Option<LiveId>,
    /// Who waits for the answer, if anybody.
    pub asker: Option<Asker>,
}

/// What became of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitResult {
    /// It is on disk.
    Recorded,
    /// The writer's queue was full: it was never submitted.
    Refused,
    /// It is known not to be on disk.
    Failed,
}

/// What the shell does next, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Record this and its outbox row in one transaction, then come back with
    /// [`start_committed`](super::Live::start_committed) or
    /// [`end_committed`](super::Live::end_committed).
    Commit(Box<Commitment>),
    /// Tell the room.
    Tell(Notice),
    /// Answer a StartLive or an EndLive.
    Answer {
        /// Whom.
        asker: Asker,
        /// With what.
        result: Result<Answer, Code>,
    },
    /// Call [`deadline`](super::Live::deadline) at this time; replaces what was
    /// armed before.
    Arm(Instant),
    /// Nothing is due any more.
    Disarm,
    /// The session hosts the live from now on, or no longer does.
    Hosting {
        /// Which.
        session: SessionId,
        /// Whether it does.
        on: bool,
    },
}

/// Effects of one input, in order.
pub type Effects = SmallVec<[Effect; 4]>;

/// A fact to record.
#[derive(Clone, Debug, PartialEq)]
pub enum Commitment {
    /// The live has been asked for.
    Started {
        /// What the backend is told.
        fact: Arc<LiveStarted>,
        /// What is kept.
        record: LiveRecord,
    },
    /// The live's end has been decided.
    Ended {
        /// What the backend is told.
        fact: Arc<LiveEnded>,
        /// What is kept.
        record: LiveRecord,
    },
}

impl Commitment {
    /// What the engine is to record, with what the backend is to be told of
    /// it. The end of a live uses the reserve of the engine's queue.
    pub fn into_commit(self) -> Commit {
        match self {
            Self::Started { fact, record } => Commit {
                subject: Subject::LiveStarted(key(fact.app, &fact.room), fact.live),
                facts: vec![Fact::Live(fact.live, record)],
                outbox: vec![payload::live_started(&fact)],
                reserve: false,
            },
            Self::Ended { fact, record } => Commit {
                subject: Subject::LiveEnded(key(fact.app, &fact.room), fact.live),
                facts: vec![Fact::Live(fact.live, record)],
                outbox: vec![payload::live_ended(&fact)],
                reserve: true,
            },
        }
    }
}

fn key(app: AppId, room: &RoomId) -> RoomKey {
    RoomKey {
        app,
        room: room.clone(),
    }
}

/// The answer to a request that succeeded.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To StartLive.
    Started {
        /// The live.
        live: LiveId,
        /// When it was asked for first.
        started: Unix,
    },
    /// To EndLive: how it ended, perhaps for another reason that came first.
    Ended(Arc<LiveEnded>),
}

/// What the room is told of the live; essential, and only after its commit.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The live has begun.
    Started {
        /// Which, by whom, since when.
        fact: Arc<LiveStarted>,
        /// What the host shows of themselves.
        profile: Arc<wire::Profile>,
    },
    /// The host was lost.
    Away {
        /// Which live.
        live: LiveId,
        /// When it ends unless the host comes back.
        until: Moment,
        /// How long the room waits in all.
        grace: Duration,
        /// How the host was lost.
        cause: AwayCause,
        /// When the host was last heard.
        last_seen: Unix,
    },
    /// The host came back in time.
    Back {
        /// Which live.
        live: LiveId,
        /// Who.
        host: UserId,
        /// What the host shows of themselves.
        profile: Arc<wire::Profile>,
    },
    /// The live is over.
    Ended(Arc<LiveEnded>),
}

impl Notice {
    /// The push that tells it.
    pub fn event(&self) -> wire::LiveEvent {
        use wire::live_event::Kind;

        let (live, kind) = match self {
            Self::Started { fact, profile } => {
                let started = wire::LiveStarted {
                    host: Some(user(&fact.host, profile)),
                    started_ms: fact.started.millis_i64(),
                };
                (fact.live, Kind::Started(started))
            }
            Self::Away {
                live,
                until,
                grace,
                cause,
                last_seen,
            } => {
                let away = wire::HostAway {
                    until_ms: until.unix.millis_i64(),
                    grace_ms: millis(*grace),
                    cause: (*cause).into(),
                    last_seen_ms: last_seen.millis_i64(),
                };
                (*live, Kind::Away(away))
            }
            Self::Back {
                live,
                host,
                profile,
            } => {
                let back = wire::HostBack {
                    host: Some(user(host, profile)),
                };
                (*live, Kind::Back(back))
            }
            Self::Ended(fact) => (fact.live, Kind::Ended(wire_ended(fact))),
        };
        wire::LiveEvent {
            live_id: live.to_string(),
            kind: Some(kind),
        }
    }
}

/// The end of a live as the client contract carries it.
pub fn wire_ended(fact: &LiveEnded) -> wire::LiveEnded {
    wire::LiveEnded {
        reason: fact.reason.wire().into(),
        stats: Some(fact.stats.wire()),
        ended_ms: fact.ended.millis_i64(),
        detection_ms: fact.detection_ms,
    }
}

pub(super) fn user(id: &UserId, profile: &wire::Profile) -> wire::User {
    wire::User {
        user_id: id.to_string(),
        profile: Some(profile.clone()),
    }
}

/// Whole milliseconds, the largest number when they do not fit.
pub(super) fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
