//! What a room decides, without locks, threads or disks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use livegate_proto::Message;
use livegate_proto::client::room_message::Content;
use livegate_proto::client::{
    self as wire, LeaveReason, LivePhase, Priority, Push, ServerFrame, live_event, push,
};
use proptest::prelude::*;

use super::*;
use crate::clock::Unix;
use crate::dispatch::Class;
use crate::event::EndReason;
use crate::event::Origin;
use crate::id::{AppId, UserId};
use crate::rooms::live::CommitResult;

mod combos;
mod governing;
mod liking;
mod mic;
mod reporting;

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
fn the_lives_own_user_takes_it_over_from_a_session_that_seems_alive() {
    let mut room = Room::new();
    let old = room.live("host");
    let live = room.core.live.id();
    let admission = room.enter(2, "host").unwrap();
    assert!(admission.hosting);
    assert_eq!(room.core.live.id(), live);
    assert!(room.core.live.hosted_by(session(2)));
    assert_eq!(room.take_hosting(), [(old, false)]);
    room.leave_session(old, LeaveCause::Displaced);
    assert_eq!(room.core.live.phase(), Phase::Live, "its loss is no loss");
    assert!(!room.live_events().contains(&"ended".to_owned()));
}

#[test]
fn a_lost_host_is_away_then_back_with_the_same_live() {
    let mut room = Room::new();
    room.live("host");
    let live = room.core.live.id();
    room.leave(1, LeaveCause::Silent);
    assert_eq!(room.core.live.phase(), Phase::Away);
    room.advance(9_999);
    room.tick();
    assert!(room.enter(2, "host").unwrap().hosting);
    assert_eq!(
        (room.core.live.id(), room.core.live.phase()),
        (live, Phase::Live)
    );
    assert_eq!(room.live_events(), ["started", "away", "back"]);
}

#[test]
fn a_host_displaced_by_its_own_login_takes_over_and_the_room_is_told_nothing() {
    let mut room = Room::new();
    room.live("host");
    let live = room.core.live.id();
    room.leave(1, LeaveCause::Displaced);
    room.advance(900);
    room.tick();
    assert!(room.enter(2, "host").unwrap().hosting);
    room.advance(60_000);
    room.tick();
    let found = (room.core.live.id(), room.core.live.phase());
    assert_eq!(found, (live, Phase::Live));
    assert_eq!(room.live_events(), ["started"]);
}

#[test]
fn a_displaced_host_who_stays_out_is_away_and_the_live_ends_after_the_grace() {
    let mut room = Room::new();
    room.live("host");
    room.leave(1, LeaveCause::Displaced);
    assert_eq!(room.live_events(), ["started"]);
    let due = room.core.deadline().unwrap();
    assert!(due <= at_ms(room.now + 1_000));
    room.advance(1_000);
    room.tick();
    assert_eq!(room.live_events(), ["started", "away"]);
    room.advance(8_999);
    room.tick();
    assert_eq!(room.core.live.phase(), Phase::Away);
    room.advance(1);
    room.tick();
    room.commit(CommitResult::Recorded);
    room.advance(60_000);
    room.tick();
    let told = ["started", "away", "ended host_crashed"];
    assert_eq!(room.live_events(), told);
}

#[test]
fn a_host_who_does_not_come_back_ends_the_live_at_the_end_of_the_grace() {
    let mut room = Room::new();
    room.live("host");
    room.leave(1, LeaveCause::ConnectionLost);
    assert!(
        room.core
            .deadline()
            .is_some_and(|at| at <= at_ms(room.now + 10_000))
    );
    room.advance(10_000);
    room.tick();
    assert_eq!(room.live_events(), ["started", "away"], "not yet recorded");
    room.commit(CommitResult::Recorded);
    assert_eq!(
        room.live_events(),
        ["started", "away", "ended host_crashed"]
    );
}

#[test]
fn a_stopping_gateway_gives_no_host_up() {
    let mut room = Room::new();
    room.live("host");
    room.leave(1, LeaveCause::Draining);
    assert_eq!(room.core.live.phase(), Phase::Live);
    let mut room = Room::new();
    room.live("host");
    room.leave(1, LeaveCause::ConnectionLost);
    room.advance(60_000);
    room.core.tick(room.moment(), false, &mut room.out);
    assert_eq!(room.core.live.phase(), Phase::Away);
}

#[test]
fn how_a_host_goes_decides_why_the_live_ends() {
    for (cause, reason) in [
        (LeaveCause::Left, EndReason::HostEnded),
        (LeaveCause::Kicked, EndReason::Kicked),
        (LeaveCause::SigExpired, EndReason::SignatureExpired),
    ] {
        let mut room = Room::new();
        room.live("host");
        room.leave(1, cause);
        room.commit(CommitResult::Recorded);
        let ended = format!("ended {}", reason.as_str());
        assert_eq!(room.live_events(), ["started".to_owned(), ended]);
    }
}

#[test]
fn a_second_host_is_refused() {
    let mut room = Room::new();
    room.live("host");
    room.enter(2, "other").unwrap();
    room.start(2, "s2").unwrap();
    assert_eq!(room.answer_codes(), [Code::LIVE_EXISTS]);
}

#[test]
fn who_may_host_is_decided_by_signature_then_role_then_owner() {
    let mut room = Room::new();
    room.configure(|config| config.open_hosting = false);
    let denied = Err(Code::NO_PERMISSION);
    let code = |result: Result<(), Refusal>| result.map_err(|refusal| refusal.code);
    room.enter(1, "viewer").unwrap();
    assert_eq!(code(room.start(1, "s")), denied);
    room.enter_with(2, "signed", Role::Viewer, Some(true))
        .unwrap();
    assert_eq!(code(room.start(2, "s")), Ok(()));
    let mut room = Room::new();
    room.own("owner");
    room.enter(1, "viewer").unwrap();
    assert_eq!(code(room.start(1, "s")), denied);
    room.enter_with(2, "owner", Role::Viewer, Some(false))
        .unwrap();
    assert_eq!(code(room.start(2, "s")), denied);
    room.enter_with(3, "publisher", Role::Publisher, None)
        .unwrap();
    assert_eq!(code(room.start(3, "s")), Ok(()));
    assert_eq!(code(room.start(9, "s")), Err(Code::NOT_IN_ROOM));
}

#[test]
fn a_start_that_the_store_cannot_take_is_refused() {
    let mut room = Room::new();
    room.enter(1, "host").unwrap();
    room.start(1, "s").unwrap();
    let Some(Record::Live(commitment)) = room.out.records.pop() else {
        panic!("a live is to be recorded");
    };
    room.core
        .not_submitted(&commitment, room.moment(), &mut room.out);
    assert_eq!(room.answer_codes(), [Code::OVERLOADED]);
    assert_eq!(room.core.live.phase(), Phase::Idle);
}

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

#[test]
fn a_recovered_live_waits_for_its_host_and_goes_on() {
    let mut room = Room::new();
    room.live("host");
    let record = room.core.live.record(room.moment()).unwrap();
    let mut next = Room::new();
    let moment = next.moment();
    next.core
        .recover_live(record, Unix(0), moment, &mut next.out)
        .unwrap();
    let state = next.core.summary().live.unwrap();
    assert_eq!(state.phase(), LivePhase::Away);
    assert!(next.enter(1, "host").unwrap().hosting);
    assert_eq!(next.live_events(), ["away", "back"]);
}

#[derive(Debug, Clone)]
enum Step {
    Enter(u32, u8),
    Leave(u32),
    Say(u32),
    Kick(u8),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u32..12, 0u8..6).prop_map(|(slot, user)| Step::Enter(slot, user)),
        3 => (0u32..12).prop_map(Step::Leave),
        3 => (0u32..12).prop_map(Step::Say),
        1 => (0u8..6).prop_map(Step::Kick),
        2 => (0u64..2_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    /// Reference model: which session is whose. Members, sessions and the
    /// online count follow it; everything stamped has the next seq; messages
    /// come out in the order in which they were said.
    #[test]
    fn a_room_is_its_sessions_and_one_order_for_all(steps in steps()) {
        let mut room = Room::new();
        let mut model: BTreeMap<u32, u8> = BTreeMap::new();
        let mut owners: BTreeMap<u32, u8> = BTreeMap::new();
        let mut said = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Enter(slot, name) => {
                    let name = *owners.entry(slot).or_insert(name);
                    let entered = room.enter(slot, &format!("u{name}"));
                    prop_assert!(entered.is_ok());
                    model.insert(slot, name);
                }
                Step::Leave(slot) => {
                    let left = room.leave(slot, LeaveCause::Left);
                    prop_assert_eq!(left, model.remove(&slot).is_some());
                }
                Step::Say(slot) => {
                    let text = format!("m{n}");
                    match room.publish(slot, &text, Priority::Normal, "") {
                        Ok(published) => {
                            prop_assert!(model.contains_key(&slot));
                            if published.seq > 0 {
                                prop_assert_eq!(published.seq, room.core.log.head());
                                said.push(text);
                            }
                        }
                        Err(_) => prop_assert!(!model.contains_key(&slot)),
                    }
                }
                Step::Kick(name) => {
                    let sessions = model.values().filter(|n| **n == name).count();
                    let moment = room.moment();
                    let user = user(&format!("u{name}"));
                    let kicked = room.core.kick(&user, "", moment, &mut room.out);
                    prop_assert_eq!(kicked, sessions);
                    model.retain(|_, n| *n != name);
                }
                Step::Wait(ms) => {
                    room.advance(ms);
                    room.tick();
                }
            }
            let users: BTreeSet<u8> = model.values().copied().collect();
            prop_assert_eq!(room.core.online() as usize, users.len());
            prop_assert_eq!(room.core.held().members, model.len());
            let page = room.core.page(200, "").unwrap();
            let names: BTreeSet<String> =
                page.members.into_iter().map(|m| m.user.unwrap().user_id).collect();
            let expected: BTreeSet<String> = users.iter().map(|n| format!("u{n}")).collect();
            prop_assert_eq!(names, expected);
        }
        prop_assert_eq!(room.texts_after(0), said);
        room.rest();
        let present: BTreeSet<String> = room.presence().iter().fold(BTreeSet::new(), |mut set, change| {
            let name = change[1..].split(' ').next().unwrap_or_default().to_owned();
            if change.starts_with('+') { set.insert(name); } else { set.remove(&name); }
            set
        });
        let users: BTreeSet<String> = model.values().map(|n| format!("u{n}")).collect();
        prop_assert_eq!(present, users);
    }
}

/// A room with the moment and everything that came out of it.
struct Room {
    core: Core,
    out: Out,
    now: u64,
    tickets: BTreeMap<SessionId, u64>,
}

impl Room {
    fn new() -> Self {
        let config = Arc::new(RoomsConfig {
            open_hosting: true,
            ..RoomsConfig::default()
        });
        let budget = Arc::new(Budget::new(config.log_budget));
        let birth = Birth {
            key: RoomKey {
                app: AppId(7),
                room: RoomId::new("demo").unwrap(),
            },
            uid: RoomUid(1),
            epoch: 42,
            charter: Charter::passing(Unix(1_000)),
            tells: Tells::LIVES,
            asks: false,
        };
        let metrics = Metrics::new(1);
        let core = Core::new(birth, &config, &budget, &metrics, Moment::default());
        Self {
            core,
            out: Out::default(),
            now: 0,
            tickets: BTreeMap::new(),
        }
    }

    fn configure(&mut self, change: impl FnOnce(&mut RoomsConfig)) {
        let mut config = RoomsConfig::clone(&self.core.config);
        change(&mut config);
        self.core.config = Arc::new(config);
    }

    fn own(&mut self, owner: &str) {
        self.create(owner).unwrap();
        self.out.records.clear();
        self.core.recorded(true, self.moment(), &mut self.out);
        self.out.answers.clear();
    }

    fn create(&mut self, owner: &str) -> Result<(), Refusal> {
        let args = CreateArgs {
            asker: asker(0, 1),
            origin: Origin::Unknown,
            operator: owner.into(),
            owner: Some(user(owner)),
            info: bytes::Bytes::new(),
            profile: ProfileChange::default(),
            kind: String::new(),
        };
        self.core.create(args, self.moment(), &mut self.out)
    }

    fn enter(&mut self, slot: u32, name: &str) -> Result<Admission, Refusal> {
        self.enter_with(slot, name, Role::Viewer, None)
    }

    fn enter_with(
        &mut self,
        slot: u32,
        name: &str,
        role: Role,
        may_publish: Option<bool>,
    ) -> Result<Admission, Refusal> {
        let args = EnterArgs {
            session: session(slot),
            user: user(name),
            profile: Arc::default(),
            role,
            may_publish,
            origin: Origin::Unknown,
        };
        self.admit(&args)
    }

    fn enter_as(&mut self, session: SessionId, name: &str) -> Result<Admission, Refusal> {
        let args = EnterArgs {
            session,
            user: user(name),
            profile: Arc::default(),
            role: Role::Viewer,
            may_publish: None,
            origin: Origin::Unknown,
        };
        self.admit(&args)
    }

    fn admit(&mut self, args: &EnterArgs) -> Result<Admission, Refusal> {
        let admission = self.core.enter(args, self.moment(), &mut self.out)?;
        self.tickets.insert(args.session, admission.ticket);
        Ok(admission)
    }

    fn leave(&mut self, slot: u32, cause: LeaveCause) -> bool {
        self.leave_session(session(slot), cause)
    }

    fn leave_session(&mut self, session: SessionId, cause: LeaveCause) -> bool {
        let Some(ticket) = self.tickets.remove(&session) else {
            return false;
        };
        let now = self.moment();
        self.core
            .leave((session, ticket), cause, now.instant, now, &mut self.out)
    }

    /// Lets `host` enter on session 1 and start a live that is recorded.
    fn live(&mut self, host: &str) -> SessionId {
        self.enter(1, host).unwrap();
        self.start(1, "start").unwrap();
        self.commit(CommitResult::Recorded);
        assert_eq!(self.answer_codes(), [Code::OK]);
        self.out.events.clear();
        session(1)
    }

    fn start(&mut self, slot: u32, start_id: &str) -> Result<(), Refusal> {
        let args = StartLiveArgs {
            asker: asker(slot, 5),
            start_id: start_id.into(),
            grace: None,
        };
        let live = LiveId(uuid::Uuid::from_u128(1 + u128::from(slot)));
        self.core
            .start_live(args, live, self.moment(), &mut self.out)
    }

    fn commit(&mut self, result: CommitResult) {
        for record in std::mem::take(&mut self.out.records) {
            let Record::Live(commitment) = record else {
                continue;
            };
            let now = self.moment();
            match *commitment {
                Commitment::Started { fact, .. } => {
                    self.core
                        .start_committed(fact.live, result, now, &mut self.out);
                }
                Commitment::Ended { fact, .. } => {
                    self.core
                        .end_committed(fact.live, result, now, &mut self.out);
                }
            }
        }
    }

    fn publish(
        &mut self,
        slot: u32,
        text: &str,
        priority: Priority,
        id: &str,
    ) -> Result<Published, Refusal> {
        let publish = Publish {
            session: session(slot),
            content: Content::Text(wire::Text { text: text.into() }),
            priority,
            message_id: id.into(),
        };
        self.core.publish(publish, self.moment(), &mut self.out)
    }

    fn say(&mut self, slot: u32, text: &str) {
        let published = self.publish(slot, text, Priority::Normal, "").unwrap();
        assert_eq!(published.drop_reason, "");
    }

    fn gift(&mut self, slot: u32, count: u32) -> Result<Published, Refusal> {
        let gift = wire::Gift {
            gift_id: "rose".into(),
            count,
            ..wire::Gift::default()
        };
        let publish = Publish {
            session: session(slot),
            content: Content::Gift(gift),
            priority: Priority::Normal,
            message_id: "".into(),
        };
        self.core.publish(publish, self.moment(), &mut self.out)
    }

    fn moment(&self) -> Moment {
        Moment::default() + Duration::from_millis(self.now)
    }

    fn advance(&mut self, ms: u64) {
        self.now += ms;
    }

    fn tick(&mut self) {
        self.core.tick(self.moment(), true, &mut self.out);
    }

    /// Lets all windows pass.
    fn rest(&mut self) {
        for _ in 0..20 {
            self.advance(500);
            self.tick();
        }
    }

    fn pushes(&self) -> Vec<Push> {
        let frames = self.core.log.after(0);
        let decode = |entry: &crate::rooms::log::Entry| {
            let frame = ServerFrame::decode(entry.frame.payload()).unwrap();
            assert_eq!(frame.pushes.len(), 1);
            let push = frame.pushes.into_iter().next().unwrap();
            assert_eq!((push.epoch, push.seq), (42, entry.seq));
            assert_eq!(push.room_id, "demo");
            push
        };
        frames.map(decode).collect()
    }

    fn texts_after(&self, seq: u64) -> Vec<String> {
        let text = |push: Push| match push.body {
            Some(push::Body::RoomMessage(message)) if push.seq > seq => match message.content {
                Some(Content::Text(text)) => Some(text.text),
                _ => None,
            },
            _ => None,
        };
        self.pushes().into_iter().filter_map(text).collect()
    }

    fn presence(&self) -> Vec<String> {
        let changes = |push: Push| match push.body {
            Some(push::Body::Presence(presence)) => presence.changes,
            _ => Vec::new(),
        };
        let text = |change: wire::PresenceChange| {
            let reason = change.reason();
            let name = change.user.unwrap().user_id;
            match reason {
                LeaveReason::Unspecified => format!("+{name}"),
                reason => format!("-{name} {reason:?}"),
            }
        };
        self.pushes()
            .into_iter()
            .flat_map(changes)
            .map(text)
            .collect()
    }

    fn live_events(&self) -> Vec<String> {
        let text = |push: Push| match push.body {
            Some(push::Body::Live(event)) => Some(match event.kind.unwrap() {
                live_event::Kind::Started(_) => "started".to_owned(),
                live_event::Kind::Away(_) => "away".to_owned(),
                live_event::Kind::Back(_) => "back".to_owned(),
                live_event::Kind::Ended(ended) => {
                    let reason = EndReason::ALL
                        .into_iter()
                        .find(|r| r.wire() == ended.reason());
                    format!("ended {}", reason.unwrap().as_str())
                }
            }),
            _ => None,
        };
        self.pushes().into_iter().filter_map(text).collect()
    }

    fn answer_codes(&mut self) -> Vec<Code> {
        let code = |(_, result): (Asker, Result<Done, Refusal>)| match result {
            Ok(_) => Code::OK,
            Err(refusal) => refusal.code,
        };
        std::mem::take(&mut self.out.answers)
            .into_iter()
            .map(code)
            .collect()
    }

    fn take_hosting(&mut self) -> Vec<(SessionId, bool)> {
        let hosting = |(session, event)| match event {
            SessionEvent::Hosting(uid, on) => {
                assert_eq!(uid, RoomUid(1));
                Some((session, on))
            }
            _ => None,
        };
        std::mem::take(&mut self.out.events)
            .into_iter()
            .filter_map(hosting)
            .collect()
    }

    fn removed(&self) -> Vec<SessionId> {
        let removed = |(session, event): &(SessionId, SessionEvent)| {
            matches!(event, SessionEvent::Removed(..)).then_some(*session)
        };
        self.out.events.iter().filter_map(removed).collect()
    }
}

fn code(result: Result<(), Refusal>) -> Code {
    result.map_or_else(|refusal| refusal.code, |()| Code::OK)
}

fn asker(slot: u32, request_id: u64) -> Asker {
    Asker {
        session: session(slot),
        request_id,
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn session(slot: u32) -> SessionId {
    session_on(0, slot)
}

fn session_on(shard: u16, slot: u32) -> SessionId {
    SessionId::new(ShardId(shard), slot, 1)
}

fn at_ms(ms: u64) -> Instant {
    Instant::from_millis(ms)
}
