//! A live that has not ended: its states and the steps between them.

use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client as wire;
use livegate_proto::code::Code;
use smallvec::SmallVec;

use super::away::{Away, Loss};
use super::effect::{self, Answer, Asker, Commitment, Effect, Effects, Notice, StartArgs};
use super::stats;
use crate::clock::{Instant, Moment, Unix};
use crate::engine::record::{BadRecord, EndRecord, LiveRecord};
use crate::event::{EndReason, LiveEnded, LiveStarted, LiveStats};
use crate::id::{LiveId, RoomKey, SessionId, UserId};

/// Most requests that wait for one commit; more are told to come back.
const MAX_ASKERS: usize = 16;

pub(super) type Askers = SmallVec<[Asker; 1]>;

/// A live that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) room: RoomKey,
    pub(super) live: LiveId,
    pub(super) host: UserId,
    pub(super) profile: Arc<wire::Profile>,
    pub(super) start_id: Box<str>,
    pub(super) grace: Duration,
    pub(super) started: Unix,
    /// When this process took it up, and how old it was then.
    pub(super) taken_up: Instant,
    pub(super) age: Duration,
    pub(super) session: Option<SessionId>,
    pub(super) stats: stats::Stats,
    pub(super) state: State,
    /// A start that waits for the end of this live.
    pub(super) next: Option<Request>,
}

#[derive(Debug)]
pub(super) enum State {
    Starting {
        askers: Askers,
        /// The host was lost meanwhile.
        lost: Option<Loss>,
        /// The end was decided meanwhile.
        end: Option<(EndReason, Askers)>,
    },
    Live,
    Away(Away),
    Ending {
        fact: Arc<LiveEnded>,
        askers: Askers,
        /// The room was told that the host is away until then.
        away_until: Option<Unix>,
        /// The commit failed: submit again at this time.
        retry: Option<Instant>,
    },
}

/// A start and everybody who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) args: StartArgs,
    pub(super) askers: Askers,
}

impl Open {
    pub(super) fn starting(request: Request, now: Moment) -> Self {
        let Request { args, askers } = request;
        Self {
            room: args.room,
            live: args.live,
            host: args.user,
            profile: args.profile,
            start_id: args.start_id,
            grace: args.grace,
            started: now.unix,
            taken_up: now.instant,
            age: Duration::ZERO,
            session: Some(args.asker.session),
            stats: stats::Stats::default(),
            state: State::Starting {
                askers,
                lost: None,
                end: None,
            },
            next: None,
        }
    }

    pub(super) fn recovered(record: LiveRecord, now: Moment) -> Result<Self, BadRecord> {
        let fact = record.started()?;
        let snapshot = record.stats.map(LiveStats::from).unwrap_or_default();
        Ok(Self {
            room: record.key()?,
            live: fact.live,
            host: fact.host,
            grace: record.grace(),
            profile: Arc::new(record.profile.unwrap_or_default()),
            start_id: record.start_id.into(),
            started: fact.started,
            taken_up: now.instant,
            age: Duration::from_millis(now.unix.0.saturating_sub(fact.started.0)),
            session: None,
            stats: stats::Stats::recovered(snapshot),
            state: State::Live,
            next: None,
        })
    }

    pub(super) fn request_start(&mut self, request: Request, now: Moment, out: &mut Effects) {
        let own = self.host == request.args.user;
        let repeat = own && self.start_id == request.args.start_id;
        match &mut self.state {
            State::Starting { askers, .. } if repeat => {
                join(askers, &request.askers, out);
                self.take_over(request.args.asker.session, out);
            }
            State::Live | State::Away(_) if repeat => {
                self.take_over(request.args.asker.session, out);
                answer(&request.askers, &Ok(self.started_answer()), out);
            }
            State::Ending { .. } if repeat => answer(&request.askers, &Err(Code::LIVE_ENDED), out),
            State::Ending { .. } => self.queue(request, out),
            State::Starting { .. } | State::Live | State::Away(_) if own => {
                self.queue(request, out);
                self.request_end(EndReason::Replaced, Askers::new(), now, out);
            }
            State::Starting { .. } | State::Live | State::Away(_) => {
                answer(&request.askers, &Err(Code::LIVE_EXISTS), out);
            }
        }
    }

    /// Lets a start wait for the end of this live: one, and repeats of it.
    fn queue(&mut self, request: Request, out: &mut Effects) {
        let Some(next) = &mut self.next else {
            self.next = Some(request);
            return;
        };
        if next.args.user != request.args.user {
            answer(&request.askers, &Err(Code::LIVE_EXISTS), out);
        } else if next.args.start_id != request.args.start_id {
            answer(&request.askers, &Err(Code::OVERLOADED), out);
        } else {
            next.args.asker = request.args.asker;
            join(&mut next.askers, &request.askers, out);
        }
    }

    /// Ends the live as soon as its state allows. The destruction of the room
    /// ends a start that waits, too.
    pub(super) fn request_end(
        &mut self,
        reason: EndReason,
        new: Askers,
        now: Moment,
        out: &mut Effects,
    ) {
        if reason == EndReason::RoomDestroyed
            && let Some(next) = self.next.take()
        {
            answer(&next.askers, &Err(Code::NO_ROOM), out);
        }
        match &mut self.state {
            State::Starting { end, .. } => {
                let (_, askers) = end.get_or_insert_with(|| (reason, Askers::new()));
                join(askers, &new, out);
            }
            State::Live | State::Away(_) => self.end(reason, new, now, out),
            State::Ending { askers, .. } => join(askers, &new, out),
        }
    }

    /// The start is on disk.
    pub(super) fn begin(&mut self, askers: &[Asker], out: &mut Effects) {
        self.state = State::Live;
        out.push(Effect::Tell(Notice::Started {
            fact: Arc::new(self.started_fact()),
            profile: self.profile.clone(),
        }));
        answer(askers, &Ok(self.started_answer()), out);
        if let Some(session) = self.session {
            out.push(Effect::Hosting { session, on: true });
        }
    }

    pub(super) fn lose(&mut self, loss: Loss, grace: Duration, now: Moment, out: &mut Effects) {
        let mut away = Away::new(loss, grace, now);
        out.extend(away.notice(self.live, now).map(Effect::Tell));
        out.push(Effect::Arm(away.due()));
        self.state = State::Away(away);
    }

    pub(super) fn take_over(&mut self, session: SessionId, out: &mut Effects) {
        match &mut self.state {
            State::Starting { lost, .. } => {
                *lost = None;
                self.session = Some(session);
                return;
            }
            State::Ending { .. } => return,
            State::Live => {}
            State::Away(away) => {
                let told = away.told_until().is_some();
                self.state = State::Live;
                out.push(Effect::Disarm);
                if told {
                    out.push(Effect::Tell(Notice::Back {
                        live: self.live,
                        host: self.host.clone(),
                        profile: self.profile.clone(),
                    }));
                }
            }
        }
        let old = self.session.replace(session);
        if old == Some(session) {
            return;
        }
        if let Some(old) = old {
            out.push(Effect::Hosting {
                session: old,
                on: false,
            });
        }
        out.push(Effect::Hosting { session, on: true });
    }

    /// Decides the end: from here on its reason and figures are fixed.
    pub(super) fn end(
        &mut self,
        reason: EndReason,
        askers: Askers,
        now: Moment,
        out: &mut Effects,
    ) {
        let away = match &self.state {
            State::Away(away) => Some(*away),
            State::Starting { .. } | State::Live | State::Ending { .. } => None,
        };
        if away.is_some() {
            out.push(Effect::Disarm);
        }
        let silent = away
            .filter(|_| detected(reason))
            .map(|away| away.silent(now));
        let fact = Arc::new(LiveEnded {
            app: self.room.app,
            room: self.room.room.clone(),
            live: self.live,
            host: self.host.clone(),
            started: self.started,
            ended: now.unix.max(self.started),
            reason,
            stats: self.stats.read(self.duration_ms(now)),
            detection_ms: silent.map_or(0, effect::millis),
        });
        self.state = State::Ending {
            fact: fact.clone(),
            askers,
            away_until: away.as_ref().and_then(Away::told_until),
            retry: None,
        };
        out.push(self.commit_end(fact));
    }

    pub(super) fn commit_start(&self) -> Effect {
        Effect::Commit(Box::new(Commitment::Started {
            fact: Arc::new(self.started_fact()),
            record: self.record(LiveStats::default(), None),
        }))
    }

    pub(super) fn commit_end(&self, fact: Arc<LiveEnded>) -> Effect {
        let record = self.record(fact.stats, Some(EndRecord::from(&*fact)));
        Effect::Commit(Box::new(Commitment::Ended { fact, record }))
    }

    pub(super) fn record(&self, stats: LiveStats, end: Option<EndRecord>) -> LiveRecord {
        LiveRecord {
            app: self.room.app.0,
            room: self.room.room.to_string(),
            live: self.live.to_string(),
            host: self.host.to_string(),
            profile: Some((*self.profile).clone()),
            start_id: self.start_id.to_string(),
            grace_ms: effect::millis(self.grace),
            started_ms: self.started.0,
            stats: Some(stats.into()),
            end,
        }
    }

    fn started_fact(&self) -> LiveStarted {
        LiveStarted {
            app: self.room.app,
            room: self.room.room.clone(),
            live: self.live,
            host: self.host.clone(),
            started: self.started,
        }
    }

    fn started_answer(&self) -> Answer {
        Answer::Started {
            live: self.live,
            started: self.started,
        }
    }

    /// By the monotonic clock as far as this process has seen the live.
    pub(super) fn duration_ms(&self, now: Moment) -> u64 {
        whole_millis(self.age + now.instant.since(self.taken_up))
    }

    pub(super) fn wire_state(&self) -> Option<wire::LiveState> {
        let (phase, away_until) = match &self.state {
            State::Starting { .. } => return None,
            State::Live => told(None),
            State::Away(away) => told(away.told_until()),
            State::Ending { away_until, .. } => told(*away_until),
        };
        Some(wire::LiveState {
            live_id: self.live.to_string(),
            phase: phase.into(),
            host: Some(effect::user(&self.host, &self.profile)),
            started_ms: self.started.millis_i64(),
            away_until_ms: away_until.map_or(0, Unix::millis_i64),
            ended: None,
        })
    }
}

/// Whether an end for this reason was noticed, not asked for.
pub(super) fn detected(reason: EndReason) -> bool {
    match reason {
        EndReason::HostCrashed | EndReason::HostLostInRestart => true,
        EndReason::HostEnded
        | EndReason::Replaced
        | EndReason::Kicked
        | EndReason::RoomDestroyed
        | EndReason::SignatureExpired
        | EndReason::BackendEnded => false,
    }
}

pub(super) fn answer(askers: &[Asker], result: &Result<Answer, Code>, out: &mut Effects) {
    out.extend(askers.iter().map(|asker| Effect::Answer {
        asker: *asker,
        result: result.clone(),
    }));
}

/// Lets `new` wait with the others, as many as may.
fn join(askers: &mut Askers, new: &[Asker], out: &mut Effects) {
    for asker in new {
        if askers.len() < MAX_ASKERS {
            askers.push(*asker);
        } else {
            answer(&[*asker], &Err(Code::OVERLOADED), out);
        }
    }
}

/// What those in the room have been told of the host.
fn told(away_until: Option<Unix>) -> (wire::LivePhase, Option<Unix>) {
    match away_until {
        Some(until) => (wire::LivePhase::Away, Some(until)),
        None => (wire::LivePhase::Live, None),
    }
}

pub(super) fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
