//! What is counted of a live and recorded while it goes on.

use super::*;

#[test]
fn figures_of_a_live_count_viewers_messages_likes_and_gifts() {
    let mut room = Room::new();
    room.enter(7, "early").unwrap();
    room.live("host");
    for (slot, user) in [(10, "a"), (11, "b"), (12, "a")] {
        room.enter(slot, user).unwrap();
    }
    room.leave(11, LeaveCause::Left);
    room.enter(13, "b").unwrap();
    room.say(10, "hi");
    room.gift(10, 5).unwrap();
    room.core
        .like(session(10), 9, room.moment(), &mut room.out)
        .unwrap();
    let (_, stats) = room.core.live.stats(room.moment()).unwrap();
    assert_eq!((stats.total_viewers, stats.peak_viewers), (3, 3));
    assert_eq!((stats.messages, stats.gifts, stats.likes), (2, 5, 9));
}

#[test]
fn likes_are_one_running_total() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    for _ in 0..100 {
        room.advance(10);
        room.core
            .like(session(1), 2, room.moment(), &mut room.out)
            .unwrap();
    }
    room.rest();
    let (version, frame) = room.core.flash().read(0).unwrap();
    assert!(version >> 32 <= 3, "told {} times", version >> 32);
    let frame = ServerFrame::decode(frame.payload()).unwrap();
    let Some(push::Body::Totals(totals)) = &frame.pushes[0].body else {
        panic!("totals are told");
    };
    assert_eq!(totals.likes, 200);
    assert_eq!(room.texts_after(0).len(), 0, "likes are not in the log");
}

#[test]
fn figures_are_recorded_every_five_seconds_while_they_change() {
    let mut room = Room::new();
    room.live("host");
    room.enter(2, "a").unwrap();
    room.advance(5_000);
    room.tick();
    assert!(
        matches!(room.out.records.pop(), Some(Record::Stats(_, stats)) if stats.total_viewers == 1)
    );
    room.advance(5_000);
    room.tick();
    assert!(room.out.records.is_empty());
}
