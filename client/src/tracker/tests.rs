//! What a subscriber hears by case, and against the set of all seqs.

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
