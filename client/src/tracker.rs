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
mod tests {
    use livegate_proto::client::{
        Dropped, LiveEvent, PresenceDigest, RoomMessage, RoomSummary, live_event, push,
    };
    use proptest::prelude::*;

    use super::*;

    const LIMITS: FillLimits = FillLimits { gap: 50, held: 20 };

    type Seen<'a> = Option<(&'a str, LivePhase)>;

    fn snapshot(epoch: u64, seq: u64, live: Seen<'_>) -> RoomSnapshot {
        let live = live.map(|(live_id, phase)| LiveState {
            live_id: live_id.to_owned(),
            phase: phase.into(),
            ended: (phase == LivePhase::Ended).then(LiveEnded::default),
            ..LiveState::default()
        });
        RoomSnapshot {
            room_id: "r".to_owned(),
            epoch,
            seq,
            summary: Some(RoomSummary {
                live,
                ..RoomSummary::default()
            }),
            ..RoomSnapshot::default()
        }
    }

    fn push_of(epoch: u64, seq: u64, body: push::Body) -> Push {
        Push {
            room_id: "r".to_owned(),
            epoch,
            seq,
            time_ms: 1,
            body: Some(body),
        }
    }

    fn said(epoch: u64, seq: u64) -> Push {
        push_of(epoch, seq, push::Body::RoomMessage(RoomMessage::default()))
    }

    fn ended(seq: u64, live_id: &str) -> Push {
        let event = LiveEvent {
            live_id: live_id.to_owned(),
            kind: Some(live_event::Kind::Ended(LiveEnded::default())),
        };
        push_of(1, seq, push::Body::Live(event))
    }

    fn dropped(from_seq: u64, to_seq: u64) -> Push {
        let body = Dropped {
            count: 1,
            from_seq,
            to_seq,
        };
        push_of(1, 0, push::Body::Dropped(body))
    }

    fn history(epoch: u64, seqs: &[u64]) -> Option<HistoryReply> {
        Some(HistoryReply {
            epoch,
            pushes: seqs.iter().map(|seq| said(epoch, *seq)).collect(),
            ..HistoryReply::default()
        })
    }

    fn words(out: &[Event]) -> Vec<String> {
        out.iter().map(word).collect()
    }

    fn word(event: &Event) -> String {
        match event {
            Event::Gap(gap) => format!("gap {}-{}", gap.from_seq, gap.to_seq),
            Event::Room(event) => {
                let what = match &event.kind {
                    RoomEventKind::LiveStarted { live_id, .. } => format!("started {live_id}"),
                    RoomEventKind::HostAway { live_id, .. } => format!("away {live_id}"),
                    RoomEventKind::HostBack { live_id, .. } => format!("back {live_id}"),
                    RoomEventKind::LiveEnded { live_id, .. } => format!("ended {live_id}"),
                    RoomEventKind::Dropped(_) => "dropped".to_owned(),
                    RoomEventKind::Digest(_) => "digest".to_owned(),
                    _ => "said".to_owned(),
                };
                match event.source {
                    Source::Push => format!("{what} {}", event.seq),
                    Source::History => format!("{what} {} from history", event.seq),
                    Source::Snapshot => format!("{what} from snapshot"),
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    #[test]
    fn duplicates_are_silent_and_jumps_are_gaps() {
        let mut tracker = Tracker::new(&snapshot(1, 10, None), LIMITS);
        let mut out = Vec::new();
        for seq in [10, 11, 11, 14, 12] {
            tracker.push(said(1, seq), &mut out);
        }
        assert_eq!(words(&out), ["said 11", "gap 12-13", "said 14"]);
    }

    #[test]
    fn what_a_dropped_tells_is_no_gap_besides() {
        let mut tracker = Tracker::new(&snapshot(1, 0, None), LIMITS);
        let mut out = Vec::new();
        tracker.push(said(1, 1), &mut out);
        tracker.push(dropped(2, 6), &mut out);
        for seq in [4, 7, 9] {
            tracker.push(said(1, seq), &mut out);
        }
        assert_eq!(
            words(&out),
            [
                "said 1",
                "dropped 0",
                "said 4",
                "said 7",
                "gap 8-8",
                "said 9"
            ]
        );
    }

    #[test]
    fn a_dropped_that_comes_late_is_told_after_the_gap_it_speaks_of() {
        let mut tracker = Tracker::new(&snapshot(1, 0, None), LIMITS);
        let mut out = Vec::new();
        for seq in [1, 4, 7] {
            tracker.push(said(1, seq), &mut out);
        }
        tracker.push(dropped(2, 6), &mut out);
        tracker.push(said(1, 8), &mut out);
        assert_eq!(
            words(&out),
            [
                "said 1",
                "gap 2-3",
                "said 4",
                "gap 5-6",
                "said 7",
                "dropped 0",
                "said 8"
            ]
        );
    }

    #[test]
    fn states_pass_at_any_time() {
        let mut tracker = Tracker::new(&snapshot(1, 5, None), LIMITS);
        let mut out = Vec::new();
        let digest = push::Body::PresenceDigest(PresenceDigest::default());
        assert!(
            tracker
                .again(&snapshot(1, 8, None), true, &mut out)
                .is_some()
        );
        tracker.push(push_of(1, 0, digest), &mut out);
        assert_eq!(words(&out), ["digest 0"]);
    }

    #[test]
    fn a_gap_is_filled_from_history_before_what_was_held_back() {
        let mut tracker = Tracker::new(&snapshot(1, 5, None), LIMITS);
        let mut out = Vec::new();
        let fetch = tracker.again(&snapshot(1, 8, None), true, &mut out);
        assert_eq!(
            fetch,
            Some(Fetch {
                after_seq: 5,
                limit: 3
            })
        );
        tracker.push(said(1, 9), &mut out);
        assert_eq!(tracker.page(history(1, &[6, 7, 8, 9]), &mut out), None);
        assert_eq!(
            words(&out),
            [
                "said 6 from history",
                "said 7 from history",
                "said 8 from history",
                "said 9"
            ]
        );
    }

    #[test]
    fn what_history_lacks_is_a_gap() {
        let mut tracker = Tracker::new(&snapshot(1, 5, None), LIMITS);
        let mut out = Vec::new();
        tracker.again(&snapshot(1, 10, None), true, &mut out);
        let fetch = tracker.page(history(1, &[8]), &mut out);
        assert_eq!(fetch.map(|fetch| fetch.after_seq), Some(8));
        assert_eq!(tracker.page(None, &mut out), None);
        assert_eq!(words(&out), ["gap 6-7", "said 8 from history", "gap 9-10"]);
    }

    #[test]
    fn a_gap_too_long_to_fetch_and_a_new_epoch_are_told() {
        let mut tracker = Tracker::new(&snapshot(1, 5, None), LIMITS);
        let mut out = Vec::new();
        assert_eq!(tracker.again(&snapshot(1, 60, None), true, &mut out), None);
        assert_eq!(tracker.again(&snapshot(2, 3, None), true, &mut out), None);
        tracker.push(said(2, 4), &mut out);
        tracker.push(said(3, 1), &mut out);
        assert_eq!(
            words(&out),
            ["gap 6-60", "gap 0-0", "said 4", "gap 0-0", "said 1"]
        );
    }

    #[test]
    fn the_end_of_a_live_is_told_once_from_the_push_or_from_the_snapshot() {
        let live = Some(("a", LivePhase::Live));
        let over = Some(("a", LivePhase::Ended));
        let mut tracker = Tracker::new(&snapshot(1, 5, live), LIMITS);
        let mut out = Vec::new();
        tracker.again(&snapshot(1, 5, over), true, &mut out);
        tracker.push(ended(6, "a"), &mut out);
        tracker.again(&snapshot(1, 6, over), true, &mut out);
        assert_eq!(words(&out), ["ended a from snapshot"]);

        let mut tracker = Tracker::new(&snapshot(1, 5, live), LIMITS);
        let mut out = Vec::new();
        tracker.push(ended(6, "a"), &mut out);
        tracker.again(&snapshot(1, 6, over), true, &mut out);
        assert_eq!(words(&out), ["ended a 6"]);
    }

    #[test]
    fn every_change_of_the_live_while_disconnected_is_told() {
        let cases: [(Seen<'_>, Seen<'_>, &[&str]); 7] = [
            (None, Some(("a", LivePhase::Live)), &["started a"]),
            (None, Some(("a", LivePhase::Away)), &["started a", "away a"]),
            (None, Some(("a", LivePhase::Ended)), &[]),
            (
                Some(("a", LivePhase::Live)),
                Some(("a", LivePhase::Away)),
                &["away a"],
            ),
            (
                Some(("a", LivePhase::Away)),
                Some(("a", LivePhase::Live)),
                &["back a"],
            ),
            (Some(("a", LivePhase::Live)), None, &["ended a"]),
            (
                Some(("a", LivePhase::Away)),
                Some(("b", LivePhase::Live)),
                &["ended a", "started b"],
            ),
        ];
        for (before, after, expected) in cases {
            let mut tracker = Tracker::new(&snapshot(1, 5, before), LIMITS);
            let mut out = Vec::new();
            tracker.again(&snapshot(1, 5, after), true, &mut out);
            let expected: Vec<String> = expected
                .iter()
                .map(|text| format!("{text} from snapshot"))
                .collect();
            assert_eq!(words(&out), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_live_seen_in_history_is_not_told_again_from_the_snapshot() {
        let mut tracker = Tracker::new(&snapshot(1, 5, Some(("a", LivePhase::Live))), LIMITS);
        let mut out = Vec::new();
        tracker.again(
            &snapshot(1, 6, Some(("a", LivePhase::Ended))),
            true,
            &mut out,
        );
        let page = HistoryReply {
            epoch: 1,
            pushes: vec![ended(6, "a")],
            ..HistoryReply::default()
        };
        tracker.page(Some(page), &mut out);
        assert_eq!(words(&out), ["ended a 6 from history"]);
    }

    proptest! {
        /// Reference model: the set of seqs. Whatever is lost, repeated or
        /// fetched, what goes out ascends, and every seq up to the newest went
        /// out or lies in a told gap.
        #[test]
        fn every_seq_goes_out_once_or_is_told_missing(
            steps in prop::collection::vec((0u8..4, 1u64..15, any::<bool>()), 1..60),
        ) {
            let mut tracker = Tracker::new(&snapshot(1, 0, None), LIMITS);
            let (mut out, mut head, mut asked) = (Vec::new(), 0u64, None::<Fetch>);
            for (what, n, flag) in steps {
                match what {
                    // The room says n more; the connection brings them, or only the last.
                    0 => {
                        let first = if flag { head + 1 } else { head + n };
                        head += n;
                        (first..=head).for_each(|seq| tracker.push(said(1, seq), &mut out));
                    }
                    // An old one again.
                    1 => {
                        let seq = head.saturating_sub(n).max(1);
                        if head > 0 {
                            tracker.push(said(1, seq), &mut out);
                        }
                    }
                    // Reconnect after n more.
                    2 => {
                        head += n;
                        tracker.lost();
                        asked = tracker.again(&snapshot(1, head, None), flag, &mut out);
                    }
                    // History answers, without its oldest n where flagged.
                    _ => {
                        if let Some(fetch) = asked.take() {
                            let from = fetch.after_seq + if flag { n } else { 1 };
                            let to = head.min(fetch.after_seq + u64::from(fetch.limit));
                            let seqs: Vec<u64> = (from..=to).collect();
                            asked = tracker.page(history(1, &seqs), &mut out);
                        }
                    }
                }
            }
            while let Some(fetch) = asked.take() {
                let to = head.min(fetch.after_seq + u64::from(fetch.limit));
                let seqs: Vec<u64> = (fetch.after_seq + 1..=to).collect();
                asked = tracker.page(history(1, &seqs), &mut out);
            }
            let mut next = 1;
            for event in &out {
                let (from, to) = match event {
                    Event::Gap(gap) => (gap.from_seq, gap.to_seq),
                    Event::Room(event) => (event.seq, event.seq),
                    other => panic!("unexpected {other:?}"),
                };
                prop_assert_eq!(from, next, "{:?}", words(&out));
                next = to + 1;
            }
            prop_assert_eq!(next, head + 1);
        }
    }
}
