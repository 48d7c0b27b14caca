//! How often a host or a publisher is to be heard, and that it is told.

use super::*;

#[test]
fn becoming_and_ceasing_to_be_the_host_changes_the_heartbeat_and_is_told() {
    let mut session = session();
    enter(&mut session, 3, false);
    let on = session.on_event(SessionEvent::Hosting(RoomUid(3), true), at(0));
    assert_eq!(role_told(&on[0]), (Role::Host, 3_000, "room-3"));
    assert_eq!(session.heartbeat().allowance, Duration::from_secs(8));
    assert_eq!(session.max_frame_bytes(), 65_536);
    let again = session.on_event(SessionEvent::Hosting(RoomUid(3), true), at(0));
    assert!(again.is_empty());
    let off = session.on_event(SessionEvent::Hosting(RoomUid(3), false), at(0));
    assert_eq!(role_told(&off[0]), (Role::Viewer, 30_000, "room-3"));
}

#[test]
fn a_publisher_is_heard_as_often_as_a_host_while_on_the_mic() {
    let mut session = session();
    enter(&mut session, 3, false);
    let role = |role, publishing| SessionEvent::Role {
        room: RoomUid(3),
        role,
        publishing,
    };
    let given = session.on_event(role(Role::Publisher, false), at(0));
    assert_eq!(role_told(&given[0]), (Role::Publisher, 30_000, "room-3"));
    let on = session.on_event(role(Role::Publisher, true), at(0));
    assert_eq!(role_told(&on[0]), (Role::Publisher, 3_000, "room-3"));
    assert_eq!(session.heartbeat().allowance, Duration::from_secs(8));
    let again = session.on_event(role(Role::Publisher, true), at(0));
    assert!(again.is_empty());
    let taken = session.on_event(role(Role::Viewer, false), at(0));
    assert_eq!(role_told(&taken[0]), (Role::Viewer, 30_000, "room-3"));
    let nowhere = SessionEvent::Role {
        room: RoomUid(4),
        role: Role::Admin,
        publishing: true,
    };
    assert!(session.on_event(nowhere, at(0)).is_empty());
}

#[test]
fn a_host_who_enters_again_reads_its_heartbeat_from_the_reply() {
    let mut session = session();
    let actions = enter(&mut session, 0, true);
    let Some(reply::Body::EnterRoom(enter)) = &the_reply(&actions).body else {
        panic!("no enter reply");
    };
    assert_eq!(enter.heartbeat_ms, 3_000);
}

#[test]
fn a_host_who_leaves_or_is_removed_is_told_its_slower_heartbeat() {
    let mut session = session();
    enter(&mut session, 0, true);
    enter(&mut session, 1, true);
    let frame = Encoded::new(&wire::ServerFrame::default());
    let removed = session.on_event(SessionEvent::Removed(RoomUid(0), frame), at(0));
    assert!(matches!(removed[..], [Action::Forward(..)]));
    let now = 100_000_000_000;
    ask(&mut session, 5, leave_room(1), now);
    let left = Outcome::done(None).with(Change::Left(RoomUid(1)));
    let actions = session.on_outcome(5, left, at(now));
    assert!(matches!(actions[0], Action::Reply(_)));
    assert_eq!(role_told(&actions[1]), (Role::Viewer, 30_000, ""));
    assert!(session.rooms().is_empty());
}
