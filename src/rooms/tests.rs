//! Rooms with their store, their clock and the shards' inboxes: what the shell
//! adds to the core's decisions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use livegate_proto::client::reply;
use livegate_proto::client::room_message::Content;
use livegate_proto::code::Code;
use livegate_proto::{Message, client as wire};

use super::*;
use crate::dispatch::{Input, SessionEvent};
use crate::engine::OrderKey;
use crate::event::EndReason;
use crate::event::Origin;
use crate::id::{AppId, RoomId, SessionId, ShardId};

mod world;

use world::*;

const APP: AppId = AppId(7);

#[tokio::test(start_paused = true)]
async fn a_start_is_answered_and_told_when_it_is_recorded_and_not_before() {
    let mut world = World::new();
    let host = world.enter("demo", 1, "host");
    world.start(&host, 1, "s1");
    assert!(world.replies(0).is_empty());
    assert!(live_events(&host).is_empty());
    world.run();
    world.settle().await;
    let replies = world.replies(0);
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0].request_id, replies[0].code), (9, 0));
    assert_eq!(live_events(&host), ["started"]);
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_guard_is_dropped_is_away_at_once_and_ends_after_the_grace() {
    let mut world = World::new();
    let viewer = world.enter("demo", 2, "viewer");
    let host = world.enter("demo", 1, "host");
    world.run();
    world.start(&host, 1, "s1");
    world.settle().await;
    drop(host);
    assert_eq!(live_events(&viewer), ["started", "away"]);
    tokio::time::sleep(Duration::from_millis(9_990)).await;
    assert_eq!(live_events(&viewer).len(), 2);
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(
        live_events(&viewer),
        ["started", "away", "ended host_crashed"]
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(live_events(&viewer).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_standstill_of_the_process_is_given_back_before_a_host_is_judged() {
    let mut world = World::new();
    let viewer = world.enter("demo", 2, "viewer");
    let host = world.enter("demo", 1, "host");
    let task = world.run_store();
    world.start(&host, 1, "s1");
    world.outcomes().await;
    drop(host);
    world.rooms.tick(world.now());
    // Nobody ticks: the machine sleeps.
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.rooms.tick(world.now());
    assert_eq!(live_events(&viewer), ["started", "away"]);
    for _ in 0..99 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.rooms.tick(world.now());
    }
    assert_eq!(live_events(&viewer).len(), 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.rooms.tick(world.now());
    world.outcomes().await;
    assert_eq!(live_events(&viewer).len(), 3);
    drop(task);
}

#[tokio::test(start_paused = true)]
async fn an_open_live_waits_for_its_host_after_a_restart_and_then_ends() {
    let mut world = World::new();
    let host = world.enter("demo", 1, "host");
    world.run();
    world.start(&host, 1, "s1");
    world.settle().await;
    let live = host.membership.room().summary().live.unwrap().live_id;
    let mut world = world.restart(host).await;
    world.run();
    let viewer = world.enter("demo", 2, "viewer");
    let state = viewer.membership.room().summary().live.unwrap();
    assert_eq!(
        (state.live_id, state.phase),
        (live, wire::LivePhase::Away.into())
    );
    tokio::time::sleep(Duration::from_millis(14_900)).await;
    assert_eq!(live_events(&viewer), ["away"]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(live_events(&viewer), ["away", "ended host_lost_in_restart"]);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_was_made_outlives_the_process_and_others_do_not() {
    let mut world = World::new();
    world.run();
    world.create(Some("kept"), "owner").unwrap();
    let passing = world.enter("passing", 1, "somebody");
    world.settle().await;
    let replies = world.replies(0);
    let Some(reply::Body::CreateRoom(created)) = &replies[0].body else {
        panic!("a room is created: {replies:?}");
    };
    assert_eq!(created.room_id, "kept");
    let world = world.restart(passing).await;
    let kept = world.rooms.get(&key("kept")).unwrap().summary();
    assert_eq!(
        (kept.owner_id.as_str(), kept.room_info),
        ("owner", Bytes::from("info"))
    );
    assert!(world.rooms.get(&key("passing")).is_none());
    let refused = world.create(Some("kept"), "owner").unwrap_err();
    assert_eq!(refused.code, Code::ROOM_ALREADY_OWNED);
}

#[tokio::test(start_paused = true)]
async fn a_destroyed_room_is_gone_for_its_members_the_registry_and_the_next_process() {
    let mut world = World::new();
    world.run();
    world.create(Some("demo"), "owner").unwrap();
    world.settle().await;
    let owner = world.enter("demo", 1, "owner");
    world.replies(0);
    let room = Arc::clone(owner.membership.room());
    let by = DestroyedBy::User(user("owner"), asker(1), Origin::Unknown);
    room.destroy(by, world.now()).unwrap();
    world.settle().await;
    let inputs = world.inputs(0);
    let removed = inputs.iter().any(|input| {
        matches!(input, Input::Event(id, SessionEvent::Removed(uid, _))
            if *id == session(1) && *uid == room.uid())
    });
    assert!(removed, "{inputs:?}");
    assert!(world.rooms.is_empty());
    let world = world.restart(owner).await;
    assert!(world.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn assigned_ids_are_the_gateways_own() {
    let mut world = World::new();
    world.run();
    world.create(None, "owner").unwrap();
    world.settle().await;
    let Some(reply::Body::CreateRoom(created)) = &world.replies(0)[0].body else {
        panic!("a room is created");
    };
    assert!(created.room_id.starts_with("@TGS#a"));
    let refused = world.create(Some("@TGS#mine"), "owner").unwrap_err();
    assert_eq!(refused.code, Code::BAD_ROOM_ID);
    let refused = world.rooms.find_or_open(&key("@TGS#none"), world.now());
    assert_eq!(refused.unwrap_err().code, Code::NO_ROOM);
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_rung_once_until_it_has_everything() {
    let world = World::new();
    let one = world.enter("demo", 1, "a");
    let room = Arc::clone(one.membership.room());
    let cursor = room.subscribe(ShardId(0));
    assert_eq!(cursor, one.seq);
    world.inputs(0);
    say(&room, 1, "one", world.now());
    say(&room, 1, "two", world.now());
    assert_eq!(rings(&world.inputs(0)), 1);
    let mut run = Vec::new();
    let taken = room.take(ShardId(0), cursor, 1, &mut run);
    assert_eq!(
        (taken.frames, taken.cursor, taken.head),
        (1, cursor + 1, cursor + 2)
    );
    say(&room, 1, "three", world.now());
    assert_eq!(rings(&world.inputs(0)), 0, "it knows that there is more");
    let taken = room.take(ShardId(0), taken.cursor, usize::MAX, &mut run);
    assert_eq!((taken.frames, taken.cursor), (2, taken.head));
    say(&room, 1, "four", world.now());
    assert_eq!(rings(&world.inputs(0)), 1);
    assert_eq!(rings(&world.inputs(1)), 0, "nobody is there");
}

#[tokio::test(start_paused = true)]
async fn what_was_said_between_entering_and_subscribing_is_taken_and_rung() {
    let world = World::new();
    let one = world.enter("demo", 1, "a");
    let room = Arc::clone(one.membership.room());
    let other = SessionId::new(ShardId(1), 5, 1);
    let entered = world.enter_as("demo", other, "b");
    say(&room, 1, "between", world.now());
    let cursor = room.subscribe(ShardId(1));
    assert_eq!(cursor, entered.seq);
    assert!(rings(&world.inputs(1)) >= 1);
    let mut run = Vec::new();
    room.take(ShardId(1), cursor, usize::MAX, &mut run);
    say(&room, 1, "after", world.now());
    assert_eq!(rings(&world.inputs(1)), 1, "the bell was heard");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_dropped_late_removes_nobody() {
    let world = World::new();
    let old = world.enter("demo", 1, "a");
    let new = world.enter("demo", 1, "a");
    drop(old);
    assert_eq!(new.membership.room().online(), 1);
    let room = Arc::clone(new.membership.room());
    assert_eq!(room.kick(&user("a"), "", world.now()), 1);
    let again = world.enter("demo", 1, "a");
    drop(new);
    assert_eq!(room.online(), 1);
    again
        .membership
        .leave(LeaveCause::Left, world.now().instant, world.now());
    assert_eq!(room.online(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_room_is_dropped_and_the_next_of_its_name_is_another() {
    let mut world = World::new();
    world.run();
    let first = world.enter("demo", 1, "a");
    let (uid, epoch) = (first.membership.room().uid(), first.epoch);
    drop(first);
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(world.rooms.len(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.rooms.is_empty());
    let second = world.enter("demo", 1, "a");
    assert_ne!(second.membership.room().uid(), uid);
    assert_ne!(second.epoch, epoch);
}

#[tokio::test(start_paused = true)]
async fn an_app_has_only_so_many_rooms() {
    let world = World::with(RoomsConfig {
        per_app: 2,
        ..config()
    });
    let one = world.enter("one", 1, "a");
    let _two = world.enter("two", 2, "a");
    let refused = world.rooms.find_or_open(&key("three"), world.now());
    assert_eq!(refused.unwrap_err().code, Code::ROOM_COUNT_LIMIT);
    let room = Arc::clone(one.membership.room());
    room.destroy_for_backend(world.now()).await.unwrap();
    assert!(world.rooms.find_or_open(&key("three"), world.now()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn rooms_with_a_live_are_listed_first_then_by_online_count() {
    let mut world = World::new();
    world.run();
    let mut guards = Vec::new();
    for (n, name) in (0..).zip(["a", "b", "b", "c", "c", "c", "d"]) {
        guards.push(world.enter(name, 10 + n, &format!("u{n}")));
    }
    let host = world.enter("live", 1, "host");
    world.start(&host, 1, "s1");
    world.settle().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.rooms.list(APP, 2, &cursor, world.now()).unwrap();
        assert!(page.rooms.len() <= 2);
        listed.extend(page.rooms.into_iter().map(|room| room.room_id));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ["live", "c", "b", "a", "d"]);
    let other = world.rooms.list(AppId(8), 20, "", world.now()).unwrap();
    assert!(other.rooms.is_empty(), "rooms of another app");
    let refused = world.rooms.list(APP, 2, "nonsense", world.now());
    assert_eq!(refused.unwrap_err().code, Code::BAD_PARAMETER);
    let lives = world.rooms.lives(APP, None, 10, world.now());
    assert_eq!(lives.len(), 1);
    let after = Some(lives[0].1.live);
    assert!(world.rooms.lives(APP, after, 10, world.now()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_page_of_rooms_fits_a_frame_however_much_they_say_of_themselves() {
    let mut world = World::new();
    world.run();
    for n in 0..100 {
        let id = RoomId::new(&format!("r{n}")).unwrap();
        let args = CreateArgs {
            asker: asker(1),
            origin: Origin::Unknown,
            operator: "owner".into(),
            owner: Some(user("owner")),
            info: Bytes::from(vec![7; 4096]),
            profile: ProfileChange::default(),
            kind: String::new(),
        };
        world
            .rooms
            .create(APP, Some(id), args, world.now())
            .unwrap();
    }
    let mut cursor = String::new();
    let mut listed = 0;
    loop {
        let page = world.rooms.list(APP, 100, &cursor, world.now()).unwrap();
        assert!(page.encoded_len() < livegate_proto::codec::MAX_SERVER_FRAME);
        listed += page.rooms.len();
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(listed, 100);
}

#[tokio::test(start_paused = true)]
async fn the_backend_ends_a_live_and_hears_how_it_ended() {
    let mut world = World::new();
    world.run();
    let host = world.enter("demo", 1, "host");
    let room = Arc::clone(host.membership.room());
    let refused = room.end_for_backend(None, world.now()).await.unwrap_err();
    assert_eq!(refused.code, Code::NO_LIVE);
    world.start(&host, 1, "s1");
    world.settle().await;
    let fact = room.end_for_backend(None, world.now()).await.unwrap();
    assert_eq!(fact.reason, EndReason::BackendEnded);
    let again = room.end_for_backend(Some(fact.live), world.now()).await;
    assert_eq!(again.unwrap(), fact);
}

#[tokio::test(start_paused = true)]
async fn what_the_backend_is_told_is_recorded_with_the_fact() {
    let mut world = World::new();
    world.run();
    let host = world.enter("demo", 1, "host");
    world.start(&host, 1, "s1");
    world.settle().await;
    let room = Arc::clone(host.membership.room());
    let fact = room.end_for_backend(None, world.now()).await.unwrap();
    let outbox = world.engine.outbox();
    let order = OrderKey {
        app: APP,
        key: "demo".into(),
    };
    let rows = outbox.rows(order, 0, 9).await.unwrap();
    let events: Vec<_> = rows.into_iter().map(|row| row.event_id).collect();
    let live = fact.live;
    assert_eq!(events, [format!("{live}:started"), format!("{live}:ended")]);
}

#[tokio::test(start_paused = true)]
async fn a_start_is_refused_while_the_stores_queue_is_full_or_the_gateway_stops() {
    let world = World::with_queue(0);
    let host = world.enter("demo", 1, "host");
    world.start(&host, 1, "s1");
    assert_eq!(world.replies(0)[0].code, Code::OVERLOADED.0);
    world.rooms.stop();
    let args = StartLiveArgs {
        asker: asker(1),
        start_id: "s2".into(),
        grace: None,
    };
    let refused = host.membership.room().start_live(args, world.now());
    assert_eq!(refused.unwrap_err().code, Code::SHUTTING_DOWN);
}

#[tokio::test(start_paused = true)]
async fn history_gives_what_the_log_holds_to_members_only() {
    let world = World::new();
    let one = world.enter("demo", 1, "a");
    let room = one.membership.room();
    for text in ["one", "two", "three"] {
        say(room, 1, text, world.now());
    }
    let history = room.history(session(1), one.seq, 2).unwrap();
    assert_eq!(history.pushes.len(), 2);
    assert_eq!(history.pushes[0].seq, one.seq + 1);
    assert_eq!((history.head_seq, history.truncated), (one.seq + 3, false));
    let refused = room.history(session(2), 0, 2).unwrap_err();
    assert_eq!(refused.code, Code::NOT_IN_ROOM);
}

#[tokio::test(start_paused = true)]
async fn what_rooms_hold_is_shown_until_they_hold_it_no_more() {
    let mut world = World::new();
    world.run();
    let shown = |name: &str| {
        let page = world.metrics.render();
        let name = format!("livegate_rooms_{name} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().parse::<u32>().unwrap()
    };
    let all = || ["members", "invitations", "publishers", "combos"].map(shown);
    let host = world.enter("demo", 1, "host");
    let anna = world.enter("demo", 2, "anna");
    world.start(&host, 1, "s1");
    world.settle().await;
    let room = host.membership.room();
    let invited = room.invite(session(1), &user("anna"), world.now()).unwrap();
    let gift = Publish {
        session: session(2),
        content: Content::Gift(wire::Gift {
            gift_id: "rose".into(),
            count: 1,
            combo_id: "c".into(),
            ..wire::Gift::default()
        }),
        priority: wire::Priority::High,
        message_id: "".into(),
    };
    room.publish(gift, world.now()).unwrap();
    assert_eq!(all(), [2, 1, 0, 1]);
    let (id, now) = (invited.invitation_id, world.now());
    room.answer(session(2), &id, true, now).unwrap();
    room.start_publishing(session(2), now).unwrap();
    assert_eq!(all(), [2, 0, 1, 1]);
    drop(anna);
    assert_eq!(all(), [1, 0, 0, 1]);
    // The combo's last word, then the live's and the room's end.
    drop(host);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(all(), [0, 0, 0, 0]);
    assert!(world.rooms.is_empty());
}
