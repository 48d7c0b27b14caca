//! The live of a room: one pure machine that decides when it starts and ends.
//!
//! `Idle → Starting → Live ⇄ Away → Ending → Idle`. Inputs and the time go in,
//! [`Effect`]s come out; the shell carries them out in their order.
//!
//! Invariants, each held by the property test:
//! - the record precedes the telling: the room hears of a start or an end only
//!   after its commit, and a live that was not recorded as started never ends;
//! - a live ends exactly once per [`LiveId`], with one reason and one set of
//!   figures: from Ending on, nothing changes them;
//! - the end for a lost host comes no earlier than its grace after the loss,
//!   and not at all when the host came back before;
//! - the room is told that a lost host is away before it is told that it is
//!   back or that the live has ended for it; of a host whose own new login is
//!   back within [`TAKE_OVER`] it is told nothing;
//! - each StartLive and each EndLive with an asker gets exactly one answer;
//! - a repeat of a start is the same live, or learns that it has ended.
//!
//! It does not check who may do what (actions do), does not know members, and
//! writes nothing itself.

mod away;
mod effect;
mod open;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client as wire;
use livegate_proto::client::AwayCause;
use livegate_proto::code::Code;

pub use effect::{
    Answer, Asker, CommitResult, Commitment, Effect, Effects, EndArgs, Notice, StartArgs,
    wire_ended,
};

use away::Loss;
use open::{Askers, Open, Request, State, answer};

use crate::clock::{Instant, Moment, Unix};
use crate::engine::record::{BadRecord, LiveRecord};
use crate::event::{EndReason, LiveEnded, LiveStats};
use crate::id::{LiveId, SessionId, UserId};

/// Ended lives that are remembered, to know repeats of their starts.
const MAX_PAST: usize = 8;
/// How long an end that could not be recorded waits for its next try.
const END_RETRY: Duration = Duration::from_secs(1);
/// How long the room is not told that a displaced host is away. The login that
/// displaced it still has to enter: one round trip, also on a slow network. A
/// room that waits no longer than this for a host is told when it ends.
const TAKE_OVER: Duration = Duration::from_secs(1);

/// The live of one room. The default is a room that never had one.
#[derive(Debug, Default)]
pub struct Live {
    open: Option<Box<Open>>,
    /// Newest last.
    past: VecDeque<Past>,
}

/// Where a room's live stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// There never was one, as far as is remembered.
    Idle,
    /// Asked for, not yet recorded.
    Starting,
    /// Recorded, its host is here.
    Live,
    /// Its host was lost and may yet come back.
    Away,
    /// Its end is decided, not yet recorded.
    Ending,
    /// The last one has ended.
    Ended,
}

#[derive(Debug)]
struct Past {
    start_id: Box<str>,
    profile: Arc<wire::Profile>,
    fact: Arc<LiveEnded>,
}

impl Live {
    /// Starts a live, or answers the repeat of a start.
    ///
    /// A repeat (same user, same `start_id`) is the same live, and its session
    /// becomes the host's. Another start by the host replaces the live; by
    /// another user it is refused with [`Code::LIVE_EXISTS`].
    pub fn start(&mut self, args: StartArgs, now: Moment) -> Effects {
        let mut out = Effects::new();
        let askers = Askers::from_slice(&[args.asker]);
        self.request(Request { args, askers }, now, &mut out);
        out
    }

    /// What became of the commit of the start of `live`. Stale ones are ignored.
    pub fn start_committed(&mut self, live: LiveId, result: CommitResult, now: Moment) -> Effects {
        let mut out = Effects::new();
        let Some(open) = self.open.as_mut().filter(|open| open.live == live) else {
            return out;
        };
        let State::Starting { askers, lost, end } = &mut open.state else {
            return out;
        };
        let (askers, lost, end) = (std::mem::take(askers), lost.take(), end.take());
        if result == CommitResult::Recorded {
            open.begin(&askers, &mut out);
            match (end, lost) {
                (Some((reason, askers)), _) => open.end(reason, askers, now, &mut out),
                (None, Some(loss)) => open.lose(loss, open.grace, now, &mut out),
                (None, None) => {}
            }
            return out;
        }
        answer(&askers, &Err(refusal(result)), &mut out);
        if let Some((_, askers)) = end {
            answer(&askers, &Err(Code::NO_LIVE), &mut out);
        }
        let next = self.open.take().and_then(|open| open.next);
        if let Some(next) = next {
            self.request(next, now, &mut out);
        }
        out
    }

    /// What became of the commit of the end of `live`. Stale ones are ignored.
    /// An end that is not on disk is submitted again after a second.
    pub fn end_committed(&mut self, live: LiveId, result: CommitResult, now: Moment) -> Effects {
        let mut out = Effects::new();
        let Some(open) = self.open.as_mut().filter(|open| open.live == live) else {
            return out;
        };
        let State::Ending {
            fact,
            askers,
            retry,
            ..
        } = &mut open.state
        else {
            return out;
        };
        if result != CommitResult::Recorded {
            let at = now.instant + END_RETRY;
            *retry = Some(at);
            out.push(Effect::Arm(at));
            return out;
        }
        out.push(Effect::Tell(Notice::Ended(fact.clone())));
        answer(askers, &Ok(Answer::Ended(fact.clone())), &mut out);
        if retry.is_some() {
            out.push(Effect::Disarm);
        }
        if let Some(session) = open.session {
            out.push(Effect::Hosting { session, on: false });
        }
        let fact = fact.clone();
        if let Some(open) = self.open.take() {
            self.remember(open.start_id, open.profile, fact);
            if let Some(next) = open.next {
                self.request(next, now, &mut out);
            }
        }
        out
    }

    /// A session left the room or its connection was lost. Call it for every
    /// session that does: one that neither hosts nor waits to host is ignored.
    /// `last_seen` is when anything was last heard from it.
    pub fn host_lost(
        &mut self,
        session: SessionId,
        cause: AwayCause,
        last_seen: Instant,
        now: Moment,
    ) -> Effects {
        let loss = Loss {
            cause,
            at: now.instant,
            silent: now.instant.since(last_seen),
            hold: Duration::ZERO,
        };
        self.lose(session, loss, now)
    }

    /// The same for a session that its user's new login displaced: the grace
    /// runs from now on, the room is told only if the user does not enter
    /// within [`TAKE_OVER`].
    pub fn host_displaced(
        &mut self,
        session: SessionId,
        last_seen: Instant,
        now: Moment,
    ) -> Effects {
        let loss = Loss {
            cause: AwayCause::ConnectionClosed,
            at: now.instant,
            silent: now.instant.since(last_seen),
            hold: TAKE_OVER,
        };
        self.lose(session, loss, now)
    }

    fn lose(&mut self, session: SessionId, loss: Loss, now: Moment) -> Effects {
        let mut out = Effects::new();
        let Some(open) = &mut self.open else {
            return out;
        };
        if let Some(next) = open.next.take_if(|next| next.args.asker.session == session) {
            answer(&next.askers, &Err(Code::NOT_IN_ROOM), &mut out);
        }
        if open.session != Some(session) {
            return out;
        }
        open.session = None;
        match &mut open.state {
            State::Starting { lost, .. } => *lost = Some(loss),
            State::Live => {
                out.push(Effect::Hosting { session, on: false });
                open.lose(loss, open.grace, now, &mut out);
            }
            State::Ending { .. } => out.push(Effect::Hosting { session, on: false }),
            State::Away(_) => {}
        }
        out
    }

    /// A user entered the room. When it is the live's own, its new session
    /// takes the live over at once: back in time, or on another device.
    pub fn host_entered(
        &mut self,
        user: &UserId,
        session: SessionId,
        profile: &Arc<wire::Profile>,
    ) -> Effects {
        let mut out = Effects::new();
        if let Some(open) = &mut self.open
            && open.host == *user
        {
            open.profile = profile.clone();
            open.take_over(session, &mut out);
        }
        out
    }

    /// Ends the live. While it is starting, the end waits for the start; while
    /// it is ending, the reason that came first stays.
    pub fn end(&mut self, args: EndArgs, now: Moment) -> Effects {
        let mut out = Effects::new();
        let askers: Askers = args.asker.into_iter().collect();
        match &mut self.open {
            Some(open) if args.live.is_none_or(|live| live == open.live) => {
                open.request_end(args.reason, askers, now, &mut out);
            }
            Some(_) | None => answer(&askers, &self.past_end(args.live), &mut out),
        }
        out
    }

    /// The time that was armed has come. Early calls arm it again.
    pub fn deadline(&mut self, now: Moment) -> Effects {
        let mut out = Effects::new();
        let Some(open) = &mut self.open else {
            return out;
        };
        match &mut open.state {
            State::Away(away) => {
                out.extend(away.notice(open.live, now).map(Effect::Tell));
                if away.until.instant > now.instant {
                    out.push(Effect::Arm(away.due()));
                    return out;
                }
                let reason = match away.loss.cause {
                    AwayCause::ServerRestarted => EndReason::HostLostInRestart,
                    AwayCause::Unspecified
                    | AwayCause::ConnectionClosed
                    | AwayCause::HeartbeatTimeout => EndReason::HostCrashed,
                };
                open.end(reason, Askers::new(), now, &mut out);
            }
            State::Ending { fact, retry, .. } => match *retry {
                Some(at) if at <= now.instant => {
                    *retry = None;
                    let fact = fact.clone();
                    out.push(open.commit_end(fact));
                }
                Some(at) => out.push(Effect::Arm(at)),
                None => {}
            },
            State::Starting { .. } | State::Live => {}
        }
        out
    }

    /// Gives a lost host so much more time: the gateway itself stood still.
    pub fn forgive(&mut self, span: Duration) -> Effects {
        let mut out = Effects::new();
        if let Some(open) = &mut self.open
            && let State::Away(away) = &mut open.state
        {
            away.forgive(span);
            out.push(Effect::Arm(away.due()));
        }
        out
    }

    /// Takes up a live of an earlier process. One that had not ended is away
    /// for `restart_grace` or its own grace, whichever is longer; one that had
    /// is remembered. Give records in the order of their starts; a room has at
    /// most one open record, because a start waits for the end before it.
    ///
    /// `alive` is when the earlier process last said that it was alive.
    ///
    /// # Errors
    /// [`BadRecord`] when the record could not have been written by livegate.
    pub fn recover(
        &mut self,
        record: LiveRecord,
        alive: Unix,
        now: Moment,
        restart_grace: Duration,
    ) -> Result<Effects, BadRecord> {
        let mut out = Effects::new();
        if let Some(fact) = record.ended()? {
            let profile = Arc::new(record.profile.unwrap_or_default());
            self.remember(record.start_id.into(), profile, Arc::new(fact));
            return Ok(out);
        }
        let mut open = Open::recovered(record, now)?;
        let grace = open.grace.max(restart_grace);
        let silent = Duration::from_millis(now.unix.0.saturating_sub(alive.0));
        let cause = AwayCause::ServerRestarted;
        let loss = Loss {
            cause,
            at: now.instant,
            silent,
            hold: Duration::ZERO,
        };
        open.lose(loss, grace, now, &mut out);
        self.open = Some(Box::new(open));
        Ok(out)
    }

    /// Counts a viewer who entered (not the host), and how many distinct ones
    /// are here now. `hash` is a well-mixed hash of the user id. On
    /// [`Notice::Started`] the shell counts those who are here already.
    pub fn viewer(&mut self, hash: u64, online: u32) {
        if let Some(stats) = self.counting() {
            stats.viewer(hash, online);
        }
    }

    /// Counts a message that was stamped.
    pub fn message(&mut self) {
        if let Some(stats) = self.counting() {
            stats.message();
        }
    }

    /// Counts likes.
    pub fn like(&mut self, count: u64) {
        if let Some(stats) = self.counting() {
            stats.like(count);
        }
    }

    /// Takes back likes that were counted.
    pub fn unlike(&mut self, count: u64) {
        if let Some(stats) = self.counting() {
            stats.unlike(count);
        }
    }

    /// Counts gifts.
    pub fn gift(&mut self, count: u64) {
        if let Some(stats) = self.counting() {
            stats.gift(count);
        }
    }

    /// The figures of the live that is recorded and has not ended, for a
    /// snapshot; `None` while there is none.
    pub fn stats(&self, now: Moment) -> Option<(LiveId, LiveStats)> {
        let open = self.open.as_ref()?;
        match &open.state {
            State::Starting { .. } => None,
            State::Live | State::Away(_) => {
                Some((open.live, open.stats.read(open.duration_ms(now))))
            }
            State::Ending { fact, .. } => Some((open.live, fact.stats)),
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        match &self.open {
            None if self.past.is_empty() => Phase::Idle,
            None => Phase::Ended,
            Some(open) => match open.state {
                State::Starting { .. } => Phase::Starting,
                State::Live => Phase::Live,
                State::Away(_) => Phase::Away,
                State::Ending { .. } => Phase::Ending,
            },
        }
    }

    /// Whether a live is starting, live, away or ending: the room must stay.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The live that is open.
    pub fn id(&self) -> Option<LiveId> {
        self.open.as_ref().map(|open| open.live)
    }

    /// The host of the open live, and its session unless it is lost.
    pub fn host(&self) -> Option<(&UserId, Option<SessionId>)> {
        let open = self.open.as_ref()?;
        Some((&open.host, open.session))
    }

    /// Whether the session hosts the open live.
    pub fn hosted_by(&self, session: SessionId) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.session == Some(session))
    }

    /// As late joiners see it. What is not recorded yet is not seen: a live
    /// that starts is not there, one that ends is not over.
    pub fn wire_state(&self) -> Option<wire::LiveState> {
        match &self.open {
            Some(open) => open.wire_state().or_else(|| self.last_ended()),
            None => self.last_ended(),
        }
    }

    /// The record of the open live as it would be recorded now.
    pub fn record(&self, now: Moment) -> Option<LiveRecord> {
        let open = self.open.as_ref()?;
        Some(open.record(open.stats.read(open.duration_ms(now)), None))
    }

    fn request(&mut self, request: Request, now: Moment, out: &mut Effects) {
        let is_repeat = |past: &Past| {
            past.fact.host == request.args.user && past.start_id == request.args.start_id
        };
        if self.past.iter().any(is_repeat) {
            answer(&request.askers, &Err(Code::LIVE_ENDED), out);
            return;
        }
        match &mut self.open {
            Some(open) => open.request_start(request, now, out),
            None => {
                let open = Open::starting(request, now);
                out.push(open.commit_start());
                self.open = Some(Box::new(open));
            }
        }
    }

    fn remember(&mut self, start_id: Box<str>, profile: Arc<wire::Profile>, fact: Arc<LiveEnded>) {
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(Past {
            start_id,
            profile,
            fact,
        });
    }

    /// The answer to an EndLive that names no open live.
    fn past_end(&self, live: Option<LiveId>) -> Result<Answer, Code> {
        let past = self.past.iter().find(|past| Some(past.fact.live) == live);
        past.map(|past| Answer::Ended(past.fact.clone()))
            .ok_or(Code::NO_LIVE)
    }

    fn last_ended(&self) -> Option<wire::LiveState> {
        let past = self.past.back()?;
        Some(wire::LiveState {
            live_id: past.fact.live.to_string(),
            phase: wire::LivePhase::Ended.into(),
            host: Some(effect::user(&past.fact.host, &past.profile)),
            started_ms: past.fact.started.millis_i64(),
            away_until_ms: 0,
            ended: Some(wire_ended(&past.fact)),
        })
    }

    fn counting(&mut self) -> Option<&mut stats::Stats> {
        let open = self.open.as_mut()?;
        match open.state {
            State::Ending { .. } => None,
            State::Starting { .. } | State::Live | State::Away(_) => Some(&mut open.stats),
        }
    }
}

fn refusal(result: CommitResult) -> Code {
    match result {
        CommitResult::Refused => Code::OVERLOADED,
        CommitResult::Failed | CommitResult::Recorded => Code::STORE_UNAVAILABLE,
    }
}
