//! A host who is lost, comes back, or is displaced by its own login.

use super::*;

#[test]
fn the_host_who_does_not_come_back_ends_the_live_when_the_grace_is_over() {
    let mut live = started();
    live.host_lost(
        session(1),
        AwayCause::HeartbeatTimeout,
        at(2).instant,
        at(10),
    );
    assert_eq!(live.phase(), Phase::Away);
    assert!(live.deadline(at(19)).contains(&Effect::Arm(at(20).instant)));
    let effects = live.deadline(at(20));
    let fact = ended_fact(&effects).unwrap();
    assert_eq!(fact.reason, EndReason::HostCrashed);
    assert_eq!(fact.detection_ms, 18_000);
    assert_eq!(fact.stats.duration_ms, 20_000);
    assert_eq!(live.wire_state().unwrap().phase(), LivePhase::Away);
    let effects = live.end_committed(id(1), CommitResult::Recorded, at(21));
    assert!(effects.contains(&Effect::Tell(Notice::Ended(fact))));
    assert_eq!(live.wire_state().unwrap().phase(), LivePhase::Ended);
}

#[test]
fn the_host_who_comes_back_in_time_is_told_as_back_and_nothing_ends() {
    let mut live = started();
    live.host_lost(
        session(1),
        AwayCause::ConnectionClosed,
        at(9).instant,
        at(10),
    );
    let effects = live.host_entered(&user(1), session(2), &profile());
    assert!(matches!(
        &effects[..],
        [
            Effect::Disarm,
            Effect::Tell(Notice::Back { .. }),
            Effect::Hosting { on: true, .. }
        ]
    ));
    assert!(live.deadline(at(60)).is_empty());
}

#[test]
fn a_second_login_of_the_host_takes_over_and_the_first_ones_loss_means_nothing() {
    let mut live = started();
    let effects = live.host_entered(&user(1), session(2), &profile());
    assert_eq!(effects.len(), 2, "hosting off and on, nothing told");
    let lost = live.host_lost(
        session(1),
        AwayCause::ConnectionClosed,
        at(1).instant,
        at(2),
    );
    assert!(lost.is_empty());
    assert_eq!(live.host(), Some((&user(1), Some(session(2)))));
}

#[test]
fn a_displaced_host_who_enters_at_once_takes_over_and_nobody_is_told() {
    let mut live = started();
    let effects = live.host_displaced(session(1), at(10).instant, at(10));
    assert!(told(&effects).is_empty());
    assert!(effects.contains(&Effect::Arm(at(11).instant)));
    let seen = live.wire_state().unwrap();
    assert_eq!((seen.phase(), seen.away_until_ms), (LivePhase::Live, 0));
    let effects = live.host_entered(&user(1), session(2), &profile());
    assert!(told(&effects).is_empty());
    assert!(effects.contains(&Effect::Disarm));
    assert_eq!(live.id(), Some(id(1)));
    assert!(live.hosted_by(session(2)));
    assert!(live.deadline(at(60)).is_empty());
}

#[test]
fn a_displaced_host_who_does_not_enter_is_told_away_and_ends_when_any_lost_host_would() {
    let mut live = started();
    live.host_displaced(session(1), at(10).instant, at(10));
    let effects = live.deadline(at(11));
    let [
        Notice::Away {
            until,
            grace,
            last_seen,
            ..
        },
    ] = &told(&effects)[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((*until, *grace, *last_seen), (at(20), GRACE, at(10).unix));
    assert!(effects.contains(&Effect::Arm(at(20).instant)));
    assert!(told(&live.deadline(at(19))).is_empty());
    let effects = live.deadline(at(20));
    let fact = ended_fact(&effects).unwrap();
    assert_eq!(
        (fact.reason, fact.ended),
        (EndReason::HostCrashed, at(20).unix)
    );
    assert!(ended_fact(&live.deadline(at(21))).is_none());
    // Late, but in time for the grace: as any other host.
    let mut live = started();
    live.host_displaced(session(1), at(10).instant, at(10));
    live.deadline(at(11));
    let effects = live.host_entered(&user(1), session(2), &profile());
    assert!(matches!(told(&effects)[..], [Notice::Back { .. }]));
}

#[test]
fn a_room_that_waits_for_no_host_is_told_away_before_the_end() {
    let mut live = Live::default();
    let args = StartArgs {
        grace: Duration::ZERO,
        ..start(1, "a", 1)
    };
    live.start(args, at(0));
    live.start_committed(id(1), CommitResult::Recorded, at(0));
    let effects = live.host_displaced(session(1), at(1).instant, at(1));
    assert!(matches!(told(&effects)[..], [Notice::Away { .. }]));
    assert!(effects.contains(&Effect::Arm(at(1).instant)));
    assert!(ended_fact(&live.deadline(at(1))).is_some());
}

#[test]
fn a_host_lost_while_starting_is_told_as_started_and_then_as_away() {
    let mut live = Live::default();
    live.start(start(1, "a", 1), at(0));
    live.host_lost(
        session(1),
        AwayCause::ConnectionClosed,
        at(0).instant,
        at(1),
    );
    let effects = live.start_committed(id(1), CommitResult::Recorded, at(3));
    let told: Vec<_> = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Tell(_)))
        .collect();
    assert!(matches!(
        told[..],
        [
            Effect::Tell(Notice::Started { .. }),
            Effect::Tell(Notice::Away { .. })
        ]
    ));
    assert!(effects.contains(&Effect::Arm(at(13).instant)));
}

#[test]
fn the_host_who_comes_back_while_the_live_is_ending_learns_that_it_is_over() {
    let mut live = started();
    live.end(end(EndReason::Kicked, None), at(1));
    assert!(
        live.host_entered(&user(1), session(2), &profile())
            .is_empty()
    );
    let effects = live.start(start(1, "a", 7), at(2));
    assert_eq!(answers(&effects), vec![Err(Code::LIVE_ENDED)]);
    live.end_committed(id(1), CommitResult::Recorded, at(2));
    let effects = live.start(start(1, "a", 8), at(3));
    assert_eq!(answers(&effects), vec![Err(Code::LIVE_ENDED)]);
}

#[test]
fn a_restart_waits_for_the_host_and_says_that_it_was_the_restart() {
    let record = started().record(at(5)).unwrap();
    let mut live = Live::default();
    let effects = live
        .recover(record, at(5).unix, at(8), RESTART_GRACE)
        .unwrap();
    assert!(effects.contains(&Effect::Arm(at(23).instant)));
    let repeat = live.start(start(1, "a", 9), at(9));
    assert!(matches!(answers(&repeat)[..], [Ok(Answer::Started { live, .. })] if live == id(1)));
    live.host_lost(
        session(1),
        AwayCause::ConnectionClosed,
        at(9).instant,
        at(9),
    );
    let effects = live.deadline(at(19));
    let fact = ended_fact(&effects).unwrap();
    assert_eq!(fact.reason, EndReason::HostCrashed);
    assert!(fact.stats.approximate);

    let record = started().record(at(5)).unwrap();
    let mut live = Live::default();
    live.recover(record, at(5).unix, at(8), RESTART_GRACE)
        .unwrap();
    let fact = ended_fact(&live.deadline(at(23))).unwrap();
    assert_eq!(fact.reason, EndReason::HostLostInRestart);
    assert_eq!(fact.detection_ms, 18_000);
}
