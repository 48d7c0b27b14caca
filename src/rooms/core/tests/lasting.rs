//! How long a room is there: its record, its retention, its end.

use super::*;

#[test]
fn a_room_lasts_once_its_record_is_there() {
    let mut room = Room::new();
    room.create("owner").unwrap();
    assert!(room.out.answers.is_empty());
    room.core.recorded(true, room.moment(), &mut room.out);
    assert_eq!(room.answer_codes(), [Code::OK]);
    assert_eq!(code(room.create("owner")), Code::ROOM_ALREADY_OWNED);
    assert_eq!(code(room.create("other")), Code::ROOM_ID_IN_USE);
    room.advance(3_600_000);
    room.tick();
    assert_eq!(room.core.standing(), Standing::Open);
}

#[test]
fn a_room_whose_record_failed_is_as_it_was() {
    let mut room = Room::new();
    room.create("owner").unwrap();
    room.core.recorded(false, room.moment(), &mut room.out);
    assert_eq!(room.answer_codes(), [Code::STORE_UNAVAILABLE]);
    assert!(room.create("other").is_ok());
}

#[test]
fn an_empty_passing_room_is_dropped_after_its_retention() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    room.advance(100_000);
    room.tick();
    room.leave(1, LeaveCause::Left);
    room.advance(59_999);
    room.tick();
    assert_eq!(room.core.standing(), Standing::Open);
    room.advance(1);
    room.tick();
    assert_eq!(room.core.standing(), Standing::Gone);
    assert!(room.enter(2, "b").is_err());
}

#[test]
fn a_destroyed_room_ends_its_live_first_and_tells_everybody() {
    let mut room = Room::new();
    room.own("host");
    room.live("host");
    room.enter(2, "viewer").unwrap();
    let asker = asker(1, 77);
    let by = DestroyedBy::User(user("viewer"), asker, Origin::Unknown);
    let moment = room.moment();
    let refused = room.core.destroy(by, moment, &mut room.out).unwrap_err();
    assert_eq!(refused.code, Code::NO_PERMISSION);
    let by = DestroyedBy::User(user("host"), asker, Origin::Unknown);
    room.core.destroy(by, moment, &mut room.out).unwrap();
    assert!(room.enter(3, "late").is_err());
    room.commit(CommitResult::Recorded);
    assert!(
        room.live_events()
            .contains(&"ended room_destroyed".to_owned())
    );
    assert!(matches!(room.out.records.pop(), Some(Record::Gone)));
    assert!(room.removed().is_empty(), "the record comes first");
    room.core.recorded(true, moment, &mut room.out);
    assert_eq!(room.removed(), [session(1), session(2)]);
    assert_eq!(room.answer_codes(), [Code::OK]);
    assert_eq!(room.core.standing(), Standing::Gone);
}
