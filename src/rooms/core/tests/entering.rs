//! Who comes into a room and goes, and what of it the others are told.

use super::*;

#[test]
fn entering_ten_thousand_costs_a_member_at_most_two_presence_frames_a_second() {
    let mut room = Room::new();
    let mut frames: Vec<u64> = Vec::new();
    let (mut head, mut flash) = (0, 0);
    for n in 0..10_000u32 {
        room.advance(1);
        room.enter(n, &format!("u{n}")).unwrap();
        if room.core.log.head() > head || room.core.flash_version() > flash {
            frames.push(room.now);
        }
        assert!(room.core.log.head() - head <= 1);
        (head, flash) = (room.core.log.head(), room.core.flash_version());
    }
    assert_eq!(room.core.online(), 10_000);
    assert!(frames.len() <= 21, "{} frames in ten seconds", frames.len());
    for three in frames.windows(3) {
        assert!(three[2] - three[0] >= 1000, "{three:?}");
    }
}

#[test]
fn a_snapshot_stays_small_however_many_are_in() {
    let mut room = Room::new();
    let host = room.live("host");
    for n in 10..200u32 {
        room.enter(n, &format!("u{n}")).unwrap();
    }
    let admission = room.enter(500, "late").unwrap();
    let snapshot = admission.snapshot.room.unwrap();
    assert!(!snapshot.exact_presence);
    assert_eq!(snapshot.members.len(), 1);
    assert_eq!(snapshot.members[0].role(), Role::Host);
    assert_eq!(snapshot.summary.unwrap().online, 192);
    assert!(room.core.live.hosted_by(host));
}

#[test]
fn what_is_stamped_after_the_snapshot_is_what_a_member_is_still_to_get() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    room.say(1, "before");
    let seq = room.enter(2, "b").unwrap().snapshot.room.unwrap().seq;
    assert_eq!(room.core.subscribe(ShardId(0)), 1, "of the first session");
    room.say(1, "after");
    let texts = room.texts_after(seq);
    assert_eq!(texts, ["after"]);
}

#[test]
fn a_shard_that_subscribes_after_more_was_said_misses_none_of_it() {
    let mut room = Room::new();
    let other = session_on(5, 1);
    room.enter(1, "a").unwrap();
    room.say(1, "before");
    let seq = room
        .enter_as(other, "b")
        .unwrap()
        .snapshot
        .room
        .unwrap()
        .seq;
    room.say(1, "between");
    assert_eq!(room.core.subscribe(ShardId(5)), seq);
    assert_eq!(room.texts_after(seq), ["between"]);
}

#[test]
fn a_user_on_two_sessions_is_told_once() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    room.enter(2, "b").unwrap();
    room.enter(3, "b").unwrap();
    assert_eq!(room.core.online(), 2);
    room.leave(2, LeaveCause::Left);
    room.rest();
    assert_eq!(room.presence(), ["+a", "+b"]);
    room.leave(3, LeaveCause::ConnectionLost);
    room.rest();
    assert_eq!(room.presence(), ["+a", "+b", "-b ConnectionLost"]);
}

#[test]
fn a_kicked_user_goes_with_all_sessions_and_the_live() {
    let mut room = Room::new();
    room.live("host");
    room.enter(2, "host").unwrap();
    room.enter(3, "viewer").unwrap();
    let moment = room.moment();
    let kicked = room.core.kick(&user("host"), "rude", moment, &mut room.out);
    assert_eq!(kicked, 2);
    assert_eq!(room.removed(), [session(1), session(2)]);
    room.commit(CommitResult::Recorded);
    assert!(room.live_events().contains(&"ended kicked".to_owned()));
    assert_eq!(room.core.online(), 1);
    room.leave(2, LeaveCause::ConnectionLost);
    assert_eq!(room.core.online(), 1, "a late exit removes nobody");
}
