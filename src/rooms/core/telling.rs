//! How a room tells: what it stamps, what it keeps as state, what it records.

use livegate_proto::Encoded;
use livegate_proto::client::{self as wire, Push, ServerFrame, push};

use super::{Core, Done, Out, Record, Standing};
use crate::clock::Moment;
use crate::dispatch::{Class, SessionEvent};
use crate::event::LiveStats;
use crate::id::UserId;
use crate::rooms::live::{self, Notice};
use crate::rooms::log::Refused;
use crate::rooms::merge::Due;
use crate::rooms::presence::Telling;
use crate::rooms::refusal::Refusal;
use crate::telemetry::DropCause;

impl Core {
    /// Tells what is due to be told and goes on with what was begun. Every
    /// input ends with it.
    pub(super) fn settle(&mut self, now: Moment, out: &mut Out) {
        match self.presence.due(now.instant) {
            Some(Telling::Exact(told)) => self.tell_exact(told, now, out),
            Some(Telling::Digest(digest)) => {
                self.metrics.rooms().presence_digest();
                let room = self.key.room.as_str();
                self.flash.set_digest(room, digest, now.unix);
            }
            None => {}
        }
        match self.likes.due(now.instant) {
            Some(Due::Tell(window)) => self.tell_likes(window, now, out),
            Some(Due::Ask(window)) => out.question = Some(self.like_window(window, now)),
            None => {}
        }
        self.tell_combos(false, now, out);
        self.report_due(now, out);
        if self.standing == Standing::Closing {
            self.go_on_closing(now, out);
        }
        self.catch_up(now, out);
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
    pub(super) fn stamp(
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
    pub(super) fn apply(&mut self, effects: live::Effects, now: Moment, out: &mut Out) {
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
        self.report_host(notice, now, out);
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
    pub(super) fn viewers(&self, host: Option<&UserId>) -> u32 {
        let host_is_here = host.is_some_and(|host| self.members.get(host).is_some());
        let viewers = self.members.len() - usize::from(host_is_here);
        u32::try_from(viewers).unwrap_or(u32::MAX)
    }

    pub(super) fn record_stats(&mut self, now: Moment, out: &mut Out) {
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

    /// A frame of one push for one session of the room, outside its order.
    pub(super) fn aside(&self, body: push::Body, now: Moment) -> Encoded {
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
pub(super) fn hash(user: &UserId) -> u64 {
    use std::hash::BuildHasher;

    foldhash::quality::FixedState::default().hash_one(user.as_str())
}
