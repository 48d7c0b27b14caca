//! The mic on its own, and against a model of it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::id::ShardId;

#[test]
fn an_invitation_waits_thirty_seconds_and_ends_once() {
    let mut mic = Mic::new(MicConfig::default(), Instant(0));
    let (first, new) = invite(&mut mic, "host", "a", 0).unwrap();
    assert!(new);
    assert_eq!(first.expires, at(30_000));
    assert_eq!(mic.deadline(), Some(at(30_000).instant));
    assert!(mic.expire(at(29_999).instant).is_empty());
    let ended = mic.expire(at(30_000).instant);
    assert_eq!(ended, std::slice::from_ref(&first));
    assert!(mic.expire(at(99_000).instant).is_empty());
    assert_eq!(mic.close(first.number), None);
    assert_eq!(mic.deadline(), None);
}

#[test]
fn a_repeat_while_one_is_open_is_the_same_one() {
    let mut mic = Mic::new(MicConfig::default(), Instant(0));
    let (first, _) = invite(&mut mic, "host", "a", 0).unwrap();
    let (again, new) = invite(&mut mic, "host", "a", 9_000).unwrap();
    assert_eq!((again, new), (first.clone(), false));
    mic.close(first.number).unwrap();
    let (next, new) = invite(&mut mic, "host", "a", 9_000).unwrap();
    assert!(new && next.number != first.number);
}

#[test]
fn a_user_and_a_room_have_so_many_open() {
    let config = MicConfig {
        invitations: 3,
        invitations_per_user: 2,
        ..MicConfig::default()
    };
    let mut mic = Mic::new(config, Instant(0));
    invite(&mut mic, "host", "a", 0).unwrap();
    invite(&mut mic, "host", "b", 0).unwrap();
    assert_eq!(invite(&mut mic, "host", "c", 0), Err(Full));
    invite(&mut mic, "admin", "c", 0).unwrap();
    assert_eq!(invite(&mut mic, "owner", "d", 0), Err(Full));
    assert_eq!(mic.close_where(|it| it.concerns(&user("a"))).len(), 1);
    invite(&mut mic, "owner", "d", 0).unwrap();
}

#[test]
fn asking_and_taking_it_back_has_a_pace() {
    let mut mic = Mic::new(MicConfig::default(), Instant(0));
    let mut again = |ms| {
        let (it, _) = invite(&mut mic, "host", "a", ms)?;
        mic.close(it.number).ok_or(Full)
    };
    assert!((0..40).all(|_| again(0).is_ok()));
    assert_eq!(again(0), Err(Full));
    assert!(again(100).is_ok());
    assert_eq!(again(100), Err(Full));
}

#[test]
fn the_right_is_kept_for_a_while_by_who_is_lost_and_not_by_who_leaves() {
    let mut mic = Mic::new(MicConfig::default(), Instant(0));
    mic.give(&user("a")).unwrap();
    mic.went(&user("a"), true, at(1_000).instant);
    assert_eq!(mic.deadline(), Some(at(61_000).instant));
    assert!(mic.came(&user("a"), at(60_999).instant));
    assert_eq!(mic.deadline(), None);
    mic.went(&user("a"), true, at(70_000).instant);
    assert!(!mic.came(&user("a"), at(130_000).instant), "too late");
    mic.give(&user("a")).unwrap();
    mic.went(&user("a"), false, at(130_000).instant);
    assert!(!mic.came(&user("a"), at(130_000).instant));
}

#[test]
fn a_user_takes_the_mic_from_their_own_other_session() {
    let mut mic = Mic::new(MicConfig::default(), Instant(0));
    assert_eq!(mic.start(&user("a"), session(1)), Ok(None));
    assert_eq!(mic.start(&user("a"), session(2)), Ok(Some(session(1))));
    assert_eq!(mic.lose(session(1)), None, "it has it no longer");
    assert_eq!(mic.lose(session(2)).unwrap().user, user("a"));
    assert_eq!(mic.stop(&user("a")), None);
}

#[test]
fn the_mic_has_so_many_places() {
    let config = MicConfig {
        publishers: 1,
        ..MicConfig::default()
    };
    let mut mic = Mic::new(config, Instant(0));
    mic.give(&user("a")).unwrap();
    assert_eq!(mic.give(&user("a")), Ok(()));
    assert_eq!(mic.give(&user("b")), Err(Full));
    mic.start(&user("a"), session(1)).unwrap();
    assert_eq!(mic.start(&user("b"), session(2)), Err(Full));
    mic.stop(&user("a")).unwrap();
    assert_eq!(mic.start(&user("b"), session(2)), Ok(None));
}

#[derive(Debug, Clone)]
enum Step {
    Invite(u8, u8),
    Close(u64),
    Gone(u8),
    Wait(u64),
    Start(u8, u32),
    Stop(u8),
    Lose(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..6, 0u8..6).prop_map(|(a, b)| Step::Invite(a, b)),
        2 => (1u64..40).prop_map(Step::Close),
        1 => (0u8..6).prop_map(Step::Gone),
        2 => (0u64..40_000).prop_map(Step::Wait),
        3 => (0u8..6, 0u32..8).prop_map(|(a, s)| Step::Start(a, s)),
        1 => (0u8..6).prop_map(Step::Stop),
        1 => (0u32..8).prop_map(Step::Lose),
    ]
}

proptest! {
    /// Reference: the set of numbers given and not yet returned, and the set
    /// of users on the mic.
    #[test]
    fn every_invitation_ends_once_and_in_time_and_nobody_is_on_the_mic_twice(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let config = MicConfig { invitations: 8, publishers: 3, ..MicConfig::default() };
        let mut mic = Mic::new(config, Instant(0));
        let (mut now, mut open, mut on) = (0, BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Invite(from, to) => {
                    let from = user(&format!("u{from}"));
                    let to = user(&format!("u{to}"));
                    if let Ok((it, new)) = mic.invite(Kind::Ask, &from, &to, at(now)) {
                        prop_assert_eq!(open.insert(it.number), new);
                    }
                }
                Step::Close(number) => {
                    prop_assert_eq!(mic.close(number).is_some(), open.remove(&number));
                }
                Step::Gone(who) => {
                    let who = user(&format!("u{who}"));
                    for it in mic.close_where(|it| it.concerns(&who)) {
                        prop_assert!(it.concerns(&who) && open.remove(&it.number));
                    }
                }
                Step::Wait(ms) => {
                    now += ms;
                    for it in mic.expire(at(now).instant) {
                        prop_assert!(it.expires.instant <= at(now).instant && open.remove(&it.number));
                    }
                    prop_assert!(mic.deadline().is_none_or(|due| due > at(now).instant));
                }
                Step::Start(who, by) => {
                    let name = format!("u{who}");
                    match mic.start(&user(&name), session(by)) {
                        Ok(before) => prop_assert_eq!(on.insert(name), before.is_none()),
                        Err(Full) => prop_assert!(on.len() == 3 && !on.contains(&name)),
                    }
                }
                Step::Stop(who) => {
                    let name = format!("u{who}");
                    prop_assert_eq!(mic.stop(&user(&name)).is_some(), on.remove(&name));
                }
                Step::Lose(by) => {
                    if let Some(lost) = mic.lose(session(by)) {
                        prop_assert!(on.remove(lost.user.as_str()));
                    }
                }
            }
            prop_assert!(open.len() <= 8 && on.len() <= 3);
            let shown: BTreeSet<_> = mic.publishers().map(|u| u.as_str().to_owned()).collect();
            prop_assert_eq!(shown, on.clone());
            prop_assert_eq!(mic.publishers().count(), on.len());
        }
    }
}

fn invite(mic: &mut Mic, from: &str, to: &str, ms: u64) -> Result<(Invitation, bool), Full> {
    mic.invite(Kind::Invite, &user(from), &user(to), at(ms))
}

fn at(ms: u64) -> Moment {
    Moment::default() + Duration::from_millis(ms)
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn session(slot: u32) -> SessionId {
    SessionId::new(ShardId(0), slot, 1)
}
