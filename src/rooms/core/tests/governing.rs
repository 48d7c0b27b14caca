//! What the backend and the owner change in a room.

use bytes::Bytes;

use super::*;

fn set(key: &str, value: &[u8]) -> AttributesChange {
    AttributesChange {
        set: vec![(key.to_owned(), Bytes::copy_from_slice(value))],
        ..AttributesChange::default()
    }
}

impl Room {
    fn set(&mut self, by: &By, change: AttributesChange) -> Result<u64, Refusal> {
        let now = self.moment();
        self.core.set_attributes(by, change, now, &mut self.out)
    }

    fn changes(&mut self) -> usize {
        let records = std::mem::take(&mut self.out.records);
        let changed = records.iter().filter(|r| matches!(r, Record::Changed(_)));
        changed.count()
    }

    fn push(&mut self, text: &str, id: &str, bound: bool) -> Result<Pushed, Refusal> {
        let push = BackendPush {
            from: wire::User {
                user_id: "shop".into(),
                profile: None,
            },
            content: Content::Text(wire::Text { text: text.into() }),
            priority: Priority::Normal,
            bound,
            quiet: false,
            operator: "administrator".into(),
            random: None,
            message_id: id.into(),
        };
        self.core.push(push, self.moment(), &mut self.out)
    }

    fn mute(&mut self, name: &str, until: Unix) {
        let now = self.moment();
        self.core
            .mute(&user(name), until, now, &mut self.out)
            .unwrap();
    }
}

#[test]
fn attributes_are_told_to_those_here_and_found_by_those_who_come() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    assert_eq!(room.set(&By::Backend, set("item", b"7")).unwrap(), 1);
    assert_eq!(room.set(&By::Backend, set("item", b"8")).unwrap(), 2);
    assert_eq!(room.set(&By::Backend, set("item", b"8")).unwrap(), 2);
    let told = room
        .pushes()
        .into_iter()
        .filter_map(|push| match push.body {
            Some(push::Body::Attributes(told)) => Some(told.version),
            _ => None,
        });
    assert_eq!(told.collect::<Vec<_>>(), [1, 2]);
    let found = room.enter(2, "b").unwrap().snapshot.room.unwrap();
    let found = found.attributes.unwrap();
    assert_eq!(found.version, 2);
    assert_eq!(found.attributes[0].value, b"8"[..]);
}

#[test]
fn attributes_have_their_limits_and_a_refused_change_changes_nothing() {
    let mut room = Room::new();
    for n in 0..16 {
        let key = format!("k{n}");
        room.set(&By::Backend, set(&key, b"v")).unwrap();
    }
    for change in [
        set("k16", b"v"),
        set("k0", &[0; 4097]),
        set("", b"v"),
        set(&"k".repeat(33), b"v"),
    ] {
        let refused = room.set(&By::Backend, change).unwrap_err();
        assert_eq!(refused.code, Code::BAD_PARAMETER);
    }
    assert_eq!(room.core.attributes().version, 16);
    let clear = AttributesChange {
        replace: true,
        ..AttributesChange::default()
    };
    room.set(&By::Backend, clear).unwrap();
    assert!(room.core.attributes().attributes.is_empty());
}

#[test]
fn a_viewer_does_not_govern_and_the_owner_does() {
    let mut room = Room::new();
    room.own("owner");
    room.enter(1, "viewer").unwrap();
    room.enter(2, "owner").unwrap();
    let viewer = By::Member(session(1));
    let refused = room.set(&viewer, set("item", b"7")).unwrap_err();
    assert_eq!(refused.code, Code::NO_PERMISSION);
    let owner = By::Member(session(2));
    assert!(room.set(&owner, set("item", b"7")).is_ok());
}

#[test]
fn changes_of_a_room_that_lasts_are_recorded_one_at_a_time_the_latest_last() {
    let mut room = Room::new();
    room.set(&By::Backend, set("item", b"0")).unwrap();
    assert_eq!(room.changes(), 0, "nothing of a passing room is recorded");
    room.own("owner");
    room.out.records.clear();
    let now = room.moment();
    room.core.caught_up(true, now, &mut room.out);
    room.out.records.clear();
    for n in 1..=5u8 {
        room.set(&By::Backend, set("item", &[n])).unwrap();
    }
    assert_eq!(room.changes(), 1);
    room.core.caught_up(true, now, &mut room.out);
    let Some(Record::Changed(last)) = room.out.records.pop() else {
        panic!("the changes since are due");
    };
    assert_eq!(last.attributes["item"], [5][..]);
    room.core.caught_up(true, now, &mut room.out);
    assert_eq!(room.changes(), 0);
}

#[test]
fn a_change_that_could_not_be_recorded_is_tried_again() {
    let mut room = Room::new();
    room.own("owner");
    room.set(&By::Backend, set("item", b"1")).unwrap();
    assert_eq!(room.changes(), 1);
    let now = room.moment();
    room.core.caught_up(false, now, &mut room.out);
    assert_eq!(room.changes(), 0);
    room.advance(1_000);
    room.tick();
    assert_eq!(room.changes(), 1);
}

#[test]
fn a_muted_user_does_not_speak_until_the_end_and_comes_back_muted() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    let until = room.moment().unix + Duration::from_secs(60);
    room.mute("a", until);
    let refused = room.publish(1, "hi", Priority::Normal, "").unwrap_err();
    assert_eq!(refused.code, Code::MUTED);
    room.leave(1, LeaveCause::Left);
    let reply = room.enter(2, "a").unwrap().snapshot;
    assert_eq!(reply.muted_until_ms, until.millis_i64());
    room.advance(60_000);
    room.say(2, "again");
    room.mute("a", Unix(u64::MAX));
    assert!(room.publish(2, "hi", Priority::Normal, "").is_err());
    room.mute("a", Unix(0));
    room.say(2, "free");
}

#[test]
fn while_all_are_muted_those_with_a_role_speak() {
    let mut room = Room::new();
    room.own("owner");
    room.enter(1, "viewer").unwrap();
    room.enter(2, "owner").unwrap();
    let change = ProfileChange {
        mute_all: Some(true),
        ..ProfileChange::default()
    };
    let now = room.moment();
    room.core.modify(change, "", now, &mut room.out).unwrap();
    let refused = room.publish(1, "hi", Priority::Normal, "").unwrap_err();
    assert_eq!(refused.code, Code::MUTED);
    room.say(2, "hi");
}

#[test]
fn a_banned_user_is_taken_out_and_kept_out_until_the_end() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    let now = room.moment();
    let until = now.unix + Duration::from_secs(60);
    let banned = room
        .core
        .ban(&user("a"), until, "spam", now, &mut room.out)
        .unwrap();
    assert_eq!(banned, 1);
    assert_eq!(room.removed(), [session(1)]);
    assert_eq!(room.enter(2, "a").unwrap_err().code, Code::BANNED);
    room.advance(60_000);
    assert!(room.enter(2, "a").is_ok());
}

#[test]
fn an_item_push_changes_one_field_and_is_told() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    let now = room.moment();
    for value in ["7", "8"] {
        let change = ProfileChange {
            app_defined: vec![("item".into(), Bytes::from(value))],
            ..ProfileChange::default()
        };
        room.core.modify(change, "", now, &mut room.out).unwrap();
    }
    let told = room
        .pushes()
        .into_iter()
        .filter_map(|push| match push.body {
            Some(push::Body::RoomInfoChanged(told)) => told.profile,
            _ => None,
        });
    let values: Vec<_> = told.map(|p| p.app_defined[0].value.clone()).collect();
    assert_eq!(values, [Bytes::from("7"), Bytes::from("8")]);
}

#[test]
fn a_message_is_recalled_within_two_minutes_and_once_it_is_there() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    let seq = room.publish(1, "oh", Priority::Normal, "").unwrap().seq;
    let now = room.moment();
    let result = room.core.recall(&[seq, 99], "sorry", now, &mut room.out);
    assert_eq!(result.unwrap(), [(seq, Code::OK), (99, Code::NO_MESSAGE)]);
    assert!(room.core.is_recalled(seq));
    assert!(!room.core.is_recalled(seq + 1));
}

#[test]
fn what_the_backend_repeats_is_one_message_and_a_bound_one_keeps_the_rate() {
    let mut room = Room::new();
    let first = room.push("hi", "r1", true).unwrap();
    let again = room.push("hi", "r1", true).unwrap();
    assert_eq!((first.seq, first.time), (again.seq, again.time));
    assert_ne!(room.push("hi", "", true).unwrap().seq, first.seq);
    let dropped = (0..100).filter(|_| room.push("x", "", true).unwrap().seq == 0);
    assert!(dropped.count() > 50);
    assert_ne!(room.push("x", "", false).unwrap().seq, 0);
}

#[test]
fn a_role_that_is_given_is_told_and_lasts() {
    let mut room = Room::new();
    room.enter(1, "a").unwrap();
    let now = room.moment();
    room.core
        .set_role(
            &By::Backend,
            &user("a"),
            Role::Publisher,
            now,
            &mut room.out,
        )
        .unwrap();
    assert_eq!(room.core.role_of_user(&user("a")), Some(Role::Publisher));
    room.leave(1, LeaveCause::Left);
    room.enter(2, "a").unwrap();
    assert_eq!(room.core.role_of_user(&user("a")), Some(Role::Publisher));
    assert_eq!(room.core.roles().1, [(user("a"), Role::Publisher)]);
}
