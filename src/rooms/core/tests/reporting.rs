//! What the backend is told of, in which order, and what it is not.

use super::*;
use crate::callback::tell::Tell;
use crate::engine::OutboxRow;

fn commands(rows: &[OutboxRow]) -> Vec<String> {
    let body = |row: &OutboxRow| serde_json::from_slice(&row.body).unwrap();
    let command = |body: serde_json::Value| {
        let name = body.get("CallbackCommand").or_else(|| body.get("event"));
        name.unwrap().as_str().unwrap().to_owned()
    };
    rows.iter().map(body).map(command).collect()
}

fn told(room: &mut Room) -> Vec<String> {
    commands(&std::mem::take(&mut room.out.tells))
}

fn rows_with(room: &mut Room, record: &Record) -> Vec<OutboxRow> {
    let mut rows = Vec::new();
    let now = room.moment();
    room.core.report_record(record, &mut rows, now);
    rows
}

#[test]
fn who_chose_nothing_is_told_nothing() {
    let mut room = Room::new();
    room.live("anna");
    room.enter(2, "ben").unwrap();
    room.say(2, "hi");
    room.leave(1, LeaveCause::ConnectionLost);
    assert!(told(&mut room).is_empty());
}

#[test]
fn what_is_said_and_done_is_told_in_its_order_under_ids_of_its_own() {
    let mut room = Room::new();
    room.core.reports = Reports::new(Tell::ALL.iter().copied().collect());
    room.enter(1, "anna").unwrap();
    room.say(1, "hi");
    room.leave(1, LeaveCause::Left);
    let ids: BTreeSet<_> = room
        .out
        .tells
        .iter()
        .map(|row| row.event_id.clone())
        .collect();
    let expected = [
        "Group.CallbackAfterNewMemberJoin",
        "Group.CallbackOnMemberStateChange",
        "Group.CallbackAfterSendMsg",
        "Group.CallbackAfterMemberExit",
        "Group.CallbackOnMemberStateChange",
    ];
    assert_eq!(told(&mut room), expected);
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_repeat_and_what_was_discarded_are_not_told() {
    let mut room = Room::new();
    room.core.reports = Reports::new(Tells::NONE.with(Tell::AfterSendMsg));
    room.enter(1, "anna").unwrap();
    let say = |room: &mut Room, id: &str| room.publish(1, "hi", Priority::Normal, id).unwrap();
    let first = say(&mut room, "m1");
    assert_eq!(say(&mut room, "m1").seq, first.seq);
    assert_eq!(told(&mut room).len(), 1);
    while say(&mut room, "").drop_reason.is_empty() {
        assert_eq!(told(&mut room).len(), 1);
    }
    assert!(told(&mut room).is_empty());
}

#[test]
fn a_window_of_likes_is_told_once_with_its_count() {
    let mut room = Room::new();
    room.core.reports = Reports::new(Tells::NONE.with(Tell::AfterSendMsg));
    room.enter(1, "anna").unwrap();
    for _ in 0..5 {
        let now = room.moment();
        room.core.like(session(1), 3, now, &mut room.out).unwrap();
    }
    room.advance(500);
    room.tick();
    let rows = std::mem::take(&mut room.out.tells);
    let counts: Vec<u64> = rows
        .iter()
        .map(|row| {
            let body: serde_json::Value = serde_json::from_slice(&row.body).unwrap();
            let data = body["MsgBody"][0]["MsgContent"]["Data"].as_str().unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            data["count"].as_u64().unwrap()
        })
        .collect();
    // The first is told at once, those that follow it together.
    assert_eq!(counts, [3, 12]);
}

#[test]
fn a_large_room_tells_of_many_at_once_and_of_all() {
    let mut room = Room::new();
    room.configure(|config| config.report_names = 30);
    room.core.reports = Reports::new(Tells::NONE.with(Tell::AfterNewMemberJoin));
    let mut named = 0;
    let mut events = 0;
    for slot in 0..200 {
        room.enter(slot, &format!("u{slot}")).unwrap();
    }
    room.advance(1_000);
    room.tick();
    for row in std::mem::take(&mut room.out.tells) {
        let body: serde_json::Value = serde_json::from_slice(&row.body).unwrap();
        named += body["NewMemberList"].as_array().unwrap().len();
        events += 1;
    }
    assert_eq!(named, 200);
    assert!(events < 60, "{events} events");
}

#[test]
fn a_lost_host_is_told_with_the_live_and_so_is_the_return() {
    let mut room = Room::new();
    room.core.reports = Reports::new(Tells::OWN);
    room.live("anna");
    room.leave(1, LeaveCause::ConnectionLost);
    room.enter(2, "anna").unwrap();
    assert_eq!(told(&mut room), ["host_away", "host_back"]);
}

#[test]
fn the_room_s_own_events_go_with_their_records() {
    let mut room = Room::new();
    room.core.reports = Reports::new(Tell::ALL.iter().copied().collect());
    room.create("anna").unwrap();
    let record = room.out.records.remove(0);
    let rows = rows_with(&mut room, &record);
    assert_eq!(commands(&rows), ["Group.CallbackAfterCreateGroup"]);
    let rows = rows_with(&mut room, &Record::Gone);
    assert_eq!(commands(&rows), ["Group.CallbackAfterGroupDestroyed"]);
    assert!(told(&mut room).is_empty());
}

#[test]
fn a_room_is_made_and_destroyed_from_where_its_session_came_in() {
    let mut room = Room::new();
    room.core.reports = Reports::new(Tell::ALL.iter().copied().collect());
    let address = std::net::IpAddr::from([192, 0, 2, 7]);
    let origin = Origin::Client(wire::Platform::Ipad, address);
    let args = CreateArgs {
        asker: asker(0, 1),
        origin,
        operator: "anna".into(),
        owner: Some(user("anna")),
        info: bytes::Bytes::new(),
        profile: ProfileChange::default(),
        kind: String::new(),
    };
    let now = room.moment();
    room.core.create(args, now, &mut room.out).unwrap();
    let record = room.out.records.remove(0);
    let made = rows_with(&mut room, &record);
    room.core.recorded(true, now, &mut room.out);
    let by = DestroyedBy::User(user("anna"), asker(0, 2), origin);
    room.core.destroy(by, now, &mut room.out).unwrap();
    let record = room.out.records.remove(0);
    let gone = rows_with(&mut room, &record);
    for row in [&made[0], &gone[0]] {
        let query = &row.query;
        assert!(
            query.contains("ClientIP=192.0.2.7&OptPlatform=iPad"),
            "{query}"
        );
    }
}

#[test]
fn an_admin_s_push_names_who_called_and_its_random() {
    let mut room = Room::new();
    room.core.reports = Reports::new(Tells::NONE.with(Tell::AfterSendMsg));
    let push = BackendPush {
        from: wire::User {
            user_id: "jared".into(),
            profile: None,
        },
        content: Content::Text(wire::Text { text: "hi".into() }),
        priority: Priority::Normal,
        bound: true,
        quiet: false,
        operator: "administrator".into(),
        random: Some(9),
        message_id: "".into(),
    };
    let now = room.moment();
    room.core.push(push, now, &mut room.out).unwrap();
    let row = room.out.tells.remove(0);
    let body: serde_json::Value = serde_json::from_slice(&row.body).unwrap();
    assert_eq!(body["From_Account"], "jared");
    assert_eq!(body["Operator_Account"], "administrator");
    assert_eq!(body["Random"], 9);
}

#[test]
fn a_change_that_could_not_be_recorded_is_told_with_the_next_record() {
    let mut room = Room::new();
    room.own("anna");
    room.core.reports = Reports::new(Tells::NONE.with(Tell::AfterGroupInfoChanged));
    room.rename("one");
    let record = room.out.records.remove(0);
    let first = rows_with(&mut room, &record);
    assert_eq!(commands(&first), ["Group.CallbackAfterGroupInfoChanged"]);
    room.rename("two");
    room.caught_up(false);
    room.advance(2_000);
    room.tick();
    let record = room.out.records.remove(0);
    let again = rows_with(&mut room, &record);
    assert_eq!(again.len(), 2);
    assert_eq!(again[0], first[0]);
    room.caught_up(true);
    room.rename("three");
    let record = room.out.records.remove(0);
    assert_eq!(rows_with(&mut room, &record).len(), 1);
}

impl Room {
    fn rename(&mut self, name: &str) {
        let change = ProfileChange {
            name: Some(name.into()),
            ..ProfileChange::default()
        };
        let now = self.moment();
        self.core.modify(change, "", now, &mut self.out).unwrap();
    }

    fn caught_up(&mut self, done: bool) {
        let now = self.moment();
        self.core.caught_up(done, now, &mut self.out);
    }
}
