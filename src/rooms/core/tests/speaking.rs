//! What members say, and what becomes of it in a room that is spoken full.

use super::*;

#[test]
fn a_retried_message_is_one_message() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    room.enter(2, "b").unwrap();
    let first = room.publish(1, "hello", Priority::Normal, "m1").unwrap();
    let again = room.publish(1, "hello", Priority::Normal, "m1").unwrap();
    assert_eq!(first, again);
    let other = room.publish(2, "hello", Priority::Normal, "m1").unwrap();
    assert_ne!(first.seq, other.seq);
    room.advance(120_000);
    let late = room.publish(1, "hello", Priority::Normal, "m1").unwrap();
    assert!(late.seq > other.seq);
}

#[test]
fn a_room_that_is_spoken_full_discards_the_least_urgent_first() {
    let mut room = Room::new();
    room.enter(1, "viewer").unwrap();
    room.enter_with(2, "admin", Role::Admin, None).unwrap();
    let mut count = |slot, priority| {
        let mut passed = 0;
        while let Ok(published) = room.publish(slot, "x", priority, "") {
            if !published.drop_reason.is_empty() {
                assert_eq!((published.drop_reason, published.seq), ("room_rate", 0));
                break;
            }
            passed += 1;
        }
        passed
    };
    assert_eq!(count(1, Priority::Lowest), 17);
    assert_eq!(count(1, Priority::Low), 8);
    assert_eq!(count(1, Priority::High), 8, "a viewer's high is normal");
    assert_eq!(count(2, Priority::High), 7, "an admin's is high");
}

#[test]
fn gifts_are_high_unless_only_the_backend_may_give() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    assert_eq!(room.gift(1, 3).unwrap().class, Class::High);
    room.configure(|config| config.client_gifts = false);
    let refused = room.gift(1, 3).unwrap_err();
    assert_eq!(refused.code, Code::NO_PERMISSION);
}
