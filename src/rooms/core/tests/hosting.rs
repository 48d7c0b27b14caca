//! A room's live and its host: who may start it, who takes it over, how it ends.

use super::*;

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
