//! Starts and ends, and the store that records them or cannot.

use super::*;

#[test]
fn a_start_is_told_and_answered_only_when_it_is_recorded() {
    let mut live = Live::default();
    let effects = live.start(start(1, "a", 1), at(0));
    assert!(matches!(&effects[..], [Effect::Commit(_)]));
    assert!(live.wire_state().is_none());
    let effects = live.start_committed(id(1), CommitResult::Recorded, at(5));
    assert!(matches!(
        &effects[..],
        [
            Effect::Tell(Notice::Started { .. }),
            Effect::Answer { result: Ok(_), .. },
            Effect::Hosting { on: true, .. }
        ]
    ));
    assert_eq!(live.phase(), Phase::Live);
}

#[test]
fn a_start_that_cannot_be_recorded_leaves_no_live_behind() {
    for (result, code) in [
        (CommitResult::Failed, Code::STORE_UNAVAILABLE),
        (CommitResult::Refused, Code::OVERLOADED),
    ] {
        let mut live = Live::default();
        live.start(start(1, "a", 1), at(0));
        let effects = live.start_committed(id(1), result, at(5));
        assert_eq!(answers(&effects), vec![Err(code)]);
        assert_eq!(live.phase(), Phase::Idle);
    }
}

#[test]
fn another_user_cannot_start_while_a_live_is_open() {
    let mut live = started();
    let effects = live.start(start(2, "b", 2), at(1));
    assert_eq!(answers(&effects), vec![Err(Code::LIVE_EXISTS)]);
}

#[test]
fn another_start_by_the_host_replaces_the_live() {
    let mut live = started();
    let effects = live.start(start(1, "b", 2), at(1));
    assert_eq!(ended_fact(&effects).unwrap().reason, EndReason::Replaced);
    let effects = live.end_committed(id(1), CommitResult::Recorded, at(2));
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Commit(commit) if matches!(&**commit, Commitment::Started { fact, .. } if fact.live == id(2))
    )));
    let effects = live.start_committed(id(2), CommitResult::Recorded, at(3));
    assert!(matches!(answers(&effects)[..], [Ok(Answer::Started { live, .. })] if live == id(2)));
}

#[test]
fn an_end_asked_for_while_starting_comes_after_the_start() {
    let mut live = Live::default();
    live.start(start(1, "a", 1), at(0));
    assert!(
        live.end(end(EndReason::HostEnded, Some(9)), at(1))
            .is_empty()
    );
    let effects = live.start_committed(id(1), CommitResult::Recorded, at(2));
    assert_eq!(ended_fact(&effects).unwrap().reason, EndReason::HostEnded);
    let effects = live.end_committed(id(1), CommitResult::Recorded, at(3));
    assert!(matches!(answers(&effects)[..], [Ok(Answer::Ended(_))]));
}

#[test]
fn an_end_that_cannot_be_recorded_is_submitted_again_with_the_same_bytes() {
    let mut live = started();
    let first = live.end(end(EndReason::Kicked, None), at(1));
    let effects = live.end_committed(id(1), CommitResult::Failed, at(2));
    assert_eq!(&effects[..], [Effect::Arm(at(3).instant)]);
    let again = live.deadline(at(3));
    assert_eq!(again[0], first[0]);
}

#[test]
fn destroying_the_room_ends_a_start_that_waits() {
    let mut live = started();
    live.start(start(1, "b", 2), at(1));
    let effects = live.end(end(EndReason::RoomDestroyed, None), at(2));
    assert_eq!(answers(&effects), vec![Err(Code::NO_ROOM)]);
    live.end_committed(id(1), CommitResult::Recorded, at(3));
    assert!(!live.is_open());
}

#[test]
fn more_askers_than_may_wait_are_told_to_come_back() {
    let mut live = Live::default();
    live.start(start(1, "a", 1), at(0));
    let refused: Vec<_> = (0..20)
        .flat_map(|_| answers(&live.start(start(1, "a", 1), at(0))))
        .collect();
    assert_eq!(refused, vec![Err(Code::OVERLOADED); 5]);
}
