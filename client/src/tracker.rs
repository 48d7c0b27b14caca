//! What one room's subscriber has seen: order, gaps, and its live.
//!
//! Pure. Invariants: what goes out is in the order of seq without duplicates;
//! every seq between the first snapshot and the newest event either went out
//! or lies in a gap that was told (or in a stretch that a Dropped told); the
//! end of a live goes out once.

use livegate_proto::client::{
    HistoryReply, HostAway, HostBack, LiveEnded, LivePhase, LiveStarted, LiveState, Push,
    RoomSnapshot,
};

use crate::event::{Event, Gap, GapCause, RoomEvent, RoomEventKind, Source};

/// Most pushes asked for at once.
const PAGE: u32 = 100;

/// A page of history to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetch {
    pub(crate) after_seq: u64,
    pub(crate) limit: u32,
}

/// Bounds of filling a gap; see [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy)]
pub(crate) struct FillLimits {
    pub(crate) gap: u64,
    pub(crate) held: usize,
}

#[derive(Debug)]
pub(crate) struct Tracker {
    room_id: String,
    epoch: u64,
    seq: u64,
    /// Stretches up to here were told by a Dropped.
    dropped_to: u64,
    live: Option<Known>,
    last_ended: Option<String>,
    filling: Option<Filling>,
    limits: FillLimits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    live_id: String,
    away: bool,
}

/// Pushes are held back while the stretch before them is fetched.
#[derive(Debug)]
struct Filling {
    target: u64,
    live: Option<LiveState>,
    held: Vec<Push>,
}

impl Tracker {
    /// Starts after a first snapshot.
    pub(crate) fn new(room: &RoomSnapshot, limits: FillLimits) -> Self {
        let mut tracker = Self {
            room_id: room.room_id.clone(),
            epoch: room.epoch,
            seq: room.seq,
            dropped_to: 0,
            live: None,
            last_ended: None,
            filling: None,
            limits,
        };
        tracker.learn(live_of(room));
        tracker
    }

    /// Goes on after a snapshot that a new connection brought: tells what is
    /// missing, or asks for it.
    pub(crate) fn again(
        &mut self,
        room: &RoomSnapshot,
        fill: bool,
        out: &mut Vec<Event>,
    ) -> Option<Fetch> {
        self.filling = None;
        if room.epoch != self.epoch || room.seq < self.seq {
            self.begin_anew(room.epoch, room.seq, out);
        } else if fill && room.seq > self.seq && room.seq - self.seq <= self.limits.gap {
            self.filling = Some(Filling {
                target: room.seq,
                live: live_of(room).cloned(),
                held: Vec::new(),
            });
            return self.next_page();
        } else {
            self.skip_to(room.seq, GapCause::Reconnect, out);
        }
        self.reconcile(live_of(room), out);
        None
    }

    /// The connection is gone; what was held back comes from history later.
    pub(crate) fn lost(&mut self) {
        self.filling = None;
    }

    /// Takes a push of this room.
    pub(crate) fn push(&mut self, push: Push, out: &mut Vec<Event>) {
        let sequenced = push.seq > 0;
        if let Some(filling) = &mut self.filling
            && sequenced
        {
            filling.held.push(push);
            if filling.held.len() > self.limits.held {
                self.filled_up(out);
            }
            return;
        }
        if sequenced {
            self.deliver(push, Source::Push, out);
        } else {
            self.state(push, out);
        }
    }

    /// Takes the answer to a page that was asked for; `None` when it failed.
    pub(crate) fn page(
        &mut self,
        reply: Option<HistoryReply>,
        out: &mut Vec<Event>,
    ) -> Option<Fetch> {
        let target = self.filling.as_ref()?.target;
        let before = self.seq;
        if let Some(reply) = reply.filter(|reply| reply.epoch == self.epoch) {
            // Later ones come as pushes; the snapshot is the state at `target`.
            for push in reply.pushes {
                if push.seq > 0 && push.seq <= target {
                    self.deliver(push, Source::History, out);
                }
            }
        }
        if self.seq > before && self.seq < target {
            return self.next_page();
        }
        self.filled_up(out);
        None
    }

    fn next_page(&self) -> Option<Fetch> {
        let missing = self.filling.as_ref()?.target - self.seq;
        Some(Fetch {
            after_seq: self.seq,
            limit: u32::try_from(missing).unwrap_or(PAGE).min(PAGE),
        })
    }

    /// Filling is over: tells what is still missing, then what was held back.
    fn filled_up(&mut self, out: &mut Vec<Event>) {
        let Some(filling) = self.filling.take() else {
            return;
        };
        self.skip_to(filling.target, GapCause::Reconnect, out);
        self.reconcile(filling.live.as_ref(), out);
        for push in filling.held {
            self.deliver(push, Source::Push, out);
        }
    }

    /// Sends a sequenced push out, unless it went out before.
    fn deliver(&mut self, push: Push, source: Source, out: &mut Vec<Event>) {
        if push.epoch != self.epoch {
            self.begin_anew(push.epoch, push.seq - 1, out);
        }
        if push.seq <= self.seq {
            return;
        }
        if push.seq - 1 <= self.dropped_to {
            self.seq = push.seq - 1;
        }
        let cause = match source {
            Source::Push => GapCause::Skipped,
            Source::History | Source::Snapshot => GapCause::Reconnect,
        };
        self.skip_to(push.seq - 1, cause, out);
        self.seq = push.seq;
        if let Some(event) = RoomEvent::of(push, source)
            && self.is_news(&event.kind)
        {
            out.push(Event::Room(event));
        }
    }

    /// Sends a push without a place in the sequence out: the latest wins.
    fn state(&mut self, push: Push, out: &mut Vec<Event>) {
        let Some(event) = RoomEvent::of(push, Source::Push) else {
            return;
        };
        if let RoomEventKind::Dropped(dropped) = &event.kind {
            self.dropped_to = self.dropped_to.max(dropped.to_seq);
        }
        if self.is_news(&event.kind) {
            out.push(Event::Room(event));
        }
    }

    fn begin_anew(&mut self, epoch: u64, seq: u64, out: &mut Vec<Event>) {
        (self.epoch, self.seq, self.dropped_to) = (epoch, seq, 0);
        out.push(Event::Gap(Gap {
            room_id: self.room_id.clone(),
            epoch,
            from_seq: 0,
            to_seq: 0,
            cause: GapCause::NewEpoch,
        }));
    }

    /// Gives up everything up to `to_seq`.
    fn skip_to(&mut self, to_seq: u64, cause: GapCause, out: &mut Vec<Event>) {
        if to_seq <= self.seq {
            return;
        }
        out.push(Event::Gap(Gap {
            room_id: self.room_id.clone(),
            epoch: self.epoch,
            from_seq: self.seq + 1,
            to_seq,
            cause,
        }));
        self.seq = to_seq;
    }

    /// Follows the live through an event; false for what was told before.
    fn is_news(&mut self, kind: &RoomEventKind) -> bool {
        let known = |live_id: &String, away| {
            Some(Known {
                live_id: live_id.clone(),
                away,
            })
        };
        match kind {
            RoomEventKind::LiveStarted { live_id, .. }
            | RoomEventKind::HostBack { live_id, .. } => self.live = known(live_id, false),
            RoomEventKind::HostAway { live_id, .. } => self.live = known(live_id, true),
            RoomEventKind::LiveEnded { live_id, .. } => {
                if self.last_ended.as_ref() == Some(live_id) {
                    return false;
                }
                self.live = None;
                self.last_ended = Some(live_id.clone());
            }
            _ => {}
        }
        true
    }

    /// Takes over the live of a snapshot without telling.
    fn learn(&mut self, live: Option<&LiveState>) {
        self.live = live.filter(|live| is_running(live)).map(|live| Known {
            live_id: live.live_id.clone(),
            away: live.phase() == LivePhase::Away,
        });
    }

    /// Tells in events what differs between the live that was last seen and the
    /// live of a snapshot.
    fn reconcile(&mut self, live: Option<&LiveState>, out: &mut Vec<Event>) {
        if let Some(known) = self.live.clone()
            && !live.is_some_and(|live| live.live_id == known.live_id && is_running(live))
        {
            let same = live.filter(|live| live.live_id == known.live_id);
            let ended = same.and_then(|live| live.ended).unwrap_or_default();
            self.infer(ended_kind(known.live_id, ended), out);
        }
        let Some(live) = live.filter(|live| is_running(live)) else {
            return;
        };
        let away = live.phase() == LivePhase::Away;
        let before = self.live.clone();
        if before.is_none() {
            self.infer(started_kind(live), out);
        }
        match (before.is_some_and(|known| known.away), away) {
            (false, true) => self.infer(away_kind(live), out),
            (true, false) => self.infer(back_kind(live), out),
            (false, false) | (true, true) => {}
        }
    }

    fn infer(&mut self, kind: RoomEventKind, out: &mut Vec<Event>) {
        if self.is_news(&kind) {
            out.push(Event::Room(RoomEvent {
                room_id: self.room_id.clone(),
                epoch: self.epoch,
                seq: 0,
                time_ms: 0,
                source: Source::Snapshot,
                kind,
            }));
        }
    }
}

fn live_of(room: &RoomSnapshot) -> Option<&LiveState> {
    room.summary.as_ref()?.live.as_ref()
}

fn is_running(live: &LiveState) -> bool {
    matches!(live.phase(), LivePhase::Live | LivePhase::Away)
}

fn started_kind(live: &LiveState) -> RoomEventKind {
    RoomEventKind::LiveStarted {
        live_id: live.live_id.clone(),
        started: LiveStarted {
            host: live.host.clone(),
            started_ms: live.started_ms,
        },
    }
}

fn away_kind(live: &LiveState) -> RoomEventKind {
    RoomEventKind::HostAway {
        live_id: live.live_id.clone(),
        away: HostAway {
            until_ms: live.away_until_ms,
            ..HostAway::default()
        },
    }
}

fn back_kind(live: &LiveState) -> RoomEventKind {
    RoomEventKind::HostBack {
        live_id: live.live_id.clone(),
        back: HostBack {
            host: live.host.clone(),
        },
    }
}

fn ended_kind(live_id: String, ended: LiveEnded) -> RoomEventKind {
    RoomEventKind::LiveEnded { live_id, ended }
}

#[cfg(test)]
mod tests;
