//! The live machine against a model of a host, a store and a clock.

use std::collections::{HashMap, HashSet, VecDeque};

use livegate_proto::client::LivePhase;
use proptest::prelude::*;

use super::open::detected;
use super::*;
use crate::id::{AppId, RoomId, RoomKey, ShardId};

const GRACE: Duration = Duration::from_secs(10);
const RESTART_GRACE: Duration = Duration::from_secs(15);

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
fn destroying_the_room_ends_a_start_that_waits() {
    let mut live = started();
    live.start(start(1, "b", 2), at(1));
    let effects = live.end(end(EndReason::RoomDestroyed, None), at(2));
    assert_eq!(answers(&effects), vec![Err(Code::NO_ROOM)]);
    live.end_committed(id(1), CommitResult::Recorded, at(3));
    assert!(!live.is_open());
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

#[test]
fn more_askers_than_may_wait_are_told_to_come_back() {
    let mut live = Live::default();
    live.start(start(1, "a", 1), at(0));
    let refused: Vec<_> = (0..20)
        .flat_map(|_| answers(&live.start(start(1, "a", 1), at(0))))
        .collect();
    assert_eq!(refused, vec![Err(Code::OVERLOADED); 5]);
}

#[derive(Clone, Debug)]
enum Op {
    Start {
        user: u8,
        start_id: u8,
    },
    End {
        which: u8,
        asked: bool,
        reason: u8,
    },
    Lose {
        session: u8,
        displaced: bool,
    },
    Enter {
        user: u8,
    },
    Outcome {
        recorded: u8,
    },
    StaleOutcome {
        live: u8,
        recorded: bool,
        start: bool,
    },
    Wait {
        ms: u16,
    },
    Deadline,
    Forgive {
        ms: u16,
    },
    Kill {
        recorded: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..2u8, 0..3u8).prop_map(|(user, start_id)| Op::Start { user, start_id }),
        2 => (0..3u8, any::<bool>(), 0..3u8)
            .prop_map(|(which, asked, reason)| Op::End { which, asked, reason }),
        4 => (0..6u8, any::<bool>())
            .prop_map(|(session, displaced)| Op::Lose { session, displaced }),
        4 => (0..3u8).prop_map(|user| Op::Enter { user }),
        8 => (0..6u8).prop_map(|recorded| Op::Outcome { recorded }),
        2 => (0..6u8, any::<bool>(), any::<bool>())
            .prop_map(|(live, recorded, start)| Op::StaleOutcome { live, recorded, start }),
        5 => (0..12_000u16).prop_map(|ms| Op::Wait { ms }),
        4 => Just(Op::Deadline),
        1 => (0..3_000u16).prop_map(|ms| Op::Forgive { ms }),
        1 => (0..4u8).prop_map(|recorded| Op::Kill { recorded }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn every_live_ends_once_and_never_while_its_host_may_come_back(
        ops in prop::collection::vec(op(), 1..80)
    ) {
        let mut world = World::default();
        for op in ops {
            world.step(op);
        }
        world.settle();
    }
}

/// 2,000 histories, or as many as the environment asks for.
fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

/// The reference model: what a store, a clock and the people would know.
#[derive(Default)]
struct World {
    live: Live,
    ms: u64,
    ids: u128,
    requests: u64,
    armed: Option<Instant>,
    /// Commits on their way to the disk.
    queue: VecDeque<Commitment>,
    /// What is on the disk, by live.
    disk: HashMap<LiveId, LiveRecord>,
    /// Order of starts on disk.
    order: Vec<LiveId>,
    /// Told since the last kill.
    told_started: HashSet<LiveId>,
    /// Told ever: an end may not be told twice.
    told_ended: HashSet<LiveId>,
    /// Requests without an answer yet.
    waiting: HashSet<Asker>,
    /// The first live that a start was answered with.
    answered: HashMap<(UserId, Box<str>), LiveId>,
    asked: HashMap<Asker, (UserId, Box<str>)>,
    /// Users by their sessions in the room, newest last.
    present: Vec<(SessionId, UserId)>,
    /// Ends decided since the last kill.
    decided: HashMap<LiveId, LiveRecord>,
    /// When the host of the open live was lost, and how long it may stay away;
    /// `None` once it came back.
    lost: Option<(u64, u64)>,
    /// The room is not to be told of that loss before.
    quiet_until: u64,
    /// The live that the room believes to be without its host.
    told_away: Option<LiveId>,
}

impl World {
    fn step(&mut self, op: Op) {
        let now = self.now();
        match op {
            Op::Start { user: u, start_id } => self.start(user(u), start_id),
            Op::End {
                which,
                asked,
                reason,
            } => self.end(which, asked, reason),
            Op::Lose { session, displaced } => self.lose(session, displaced),
            Op::Enter { user: u } => self.enter(user(u)),
            Op::Outcome { recorded } => self.outcome(recorded),
            Op::StaleOutcome {
                live,
                recorded,
                start,
            } => self.stale(live, recorded, start),
            Op::Wait { ms } => self.ms += u64::from(ms),
            Op::Deadline => {
                if self.armed.is_some_and(|armed| armed <= now.instant) {
                    self.armed = None;
                }
                let effects = self.live.deadline(now);
                self.take(effects);
            }
            Op::Forgive { ms } => {
                if let (Phase::Away, Some((_, grace))) = (self.live.phase(), &mut self.lost) {
                    *grace += u64::from(ms);
                    self.quiet_until += u64::from(ms);
                }
                let effects = self.live.forgive(Duration::from_millis(u64::from(ms)));
                self.take(effects);
            }
            Op::Kill { recorded } => self.kill(recorded),
        }
    }

    fn start(&mut self, who: UserId, start_id: u8) {
        let Some((session, _)) = self.present.iter().rfind(|(_, user)| *user == who) else {
            return;
        };
        let asker = self.asker(*session);
        let start_id: Box<str> = start_id.to_string().into();
        // Who repeats the start of a live that is over starts nothing.
        let over = self.disk.values().any(|record| {
            !record.is_open() && record.host == who.as_str() && *record.start_id == *start_id
        });
        if !over {
            self.host_is_here(&who);
        }
        self.ids += 1;
        let args = StartArgs {
            asker,
            user: who.clone(),
            start_id: start_id.clone(),
            ..start_args(LiveId(uuid::Uuid::from_u128(self.ids)))
        };
        self.waiting.insert(asker);
        self.asked.insert(asker, (who, start_id));
        let effects = self.live.start(args, self.now());
        self.take(effects);
    }

    fn end(&mut self, which: u8, asked: bool, reason: u8) {
        let live = match which {
            0 => None,
            1 => self.live.id(),
            _ => self.order.first().copied(),
        };
        let reasons = [
            EndReason::HostEnded,
            EndReason::Kicked,
            EndReason::RoomDestroyed,
        ];
        let asker = asked.then(|| self.asker(session(0)));
        self.waiting.extend(asker);
        let args = EndArgs {
            reason: reasons[usize::from(reason)],
            live,
            asker,
        };
        let effects = self.live.end(args, self.now());
        self.take(effects);
    }

    fn lose(&mut self, index: u8, displaced: bool) {
        let Some((session, _)) = self.present.get(usize::from(index)).cloned() else {
            return;
        };
        self.present.remove(usize::from(index));
        if self.live.hosted_by(session) {
            self.lost = Some((self.ms, millis(GRACE)));
            self.quiet_until = self.ms + if displaced { millis(TAKE_OVER) } else { 0 };
        }
        let now = self.now();
        let cause = AwayCause::ConnectionClosed;
        let effects = match displaced {
            true => self.live.host_displaced(session, now.instant, now),
            false => self.live.host_lost(session, cause, now.instant, now),
        };
        self.take(effects);
    }

    fn enter(&mut self, who: UserId) {
        self.requests += 1;
        let session = SessionId(self.requests);
        self.present.push((session, who.clone()));
        self.host_is_here(&who);
        let effects = self.live.host_entered(&who, session, &profile());
        self.take(effects);
    }

    fn outcome(&mut self, recorded: u8) {
        let Some(commit) = self.queue.pop_front() else {
            return;
        };
        let result = match recorded {
            0 => CommitResult::Failed,
            1 => CommitResult::Refused,
            _ => CommitResult::Recorded,
        };
        let now = self.now();
        if result == CommitResult::Recorded {
            self.record(&commit);
            // A loss while starting counts from the commit.
            if let (Phase::Starting, Some((lost, _))) = (self.live.phase(), &mut self.lost) {
                *lost = self.ms;
            }
        }
        let effects = match &commit {
            Commitment::Started { fact, .. } => self.live.start_committed(fact.live, result, now),
            Commitment::Ended { fact, .. } => self.live.end_committed(fact.live, result, now),
        };
        self.take(effects);
    }

    /// An outcome of a live that is over, or of the other kind of commit than
    /// the one under way, changes nothing.
    fn stale(&mut self, index: u8, recorded: bool, start: bool) {
        let Some(live) = self.order.get(usize::from(index)).copied() else {
            return;
        };
        let open = self.live.id() == Some(live);
        if open && (start == (self.live.phase() == Phase::Starting)) {
            return;
        }
        let result = match recorded {
            true => CommitResult::Recorded,
            false => CommitResult::Failed,
        };
        let now = self.now();
        let effects = match start {
            true => self.live.start_committed(live, result, now),
            false => self.live.end_committed(live, result, now),
        };
        assert!(effects.is_empty(), "a stale outcome did {effects:?}");
    }

    /// The process dies with some of its commits on disk, and comes back.
    fn kill(&mut self, recorded: u8) {
        for _ in 0..recorded {
            if let Some(commit) = self.queue.pop_front() {
                self.record(&commit);
            }
        }
        let alive = self.now().unix;
        self.ms += 1_000;
        self.queue.clear();
        self.present.clear();
        self.waiting.clear();
        self.told_started.clear();
        self.armed = None;
        self.decided.clear();
        self.told_away = None;
        self.quiet_until = 0;
        self.live = Live::default();
        for live in self.order.clone() {
            let record = self.disk[&live].clone();
            if record.is_open() {
                self.told_started.insert(live);
                self.lost = Some((self.ms, millis(RESTART_GRACE)));
            } else {
                self.told_ended.insert(live);
            }
            let effects = self.live.recover(record, alive, self.now(), RESTART_GRACE);
            self.take(effects.unwrap());
        }
    }

    fn record(&mut self, commit: &Commitment) {
        match commit {
            Commitment::Started { fact, record } => {
                assert!(self.disk.values().all(|record| !record.is_open()));
                self.order.push(fact.live);
                let before = self.disk.insert(fact.live, record.clone());
                assert!(before.is_none(), "a live was started twice");
            }
            Commitment::Ended { fact, record } => {
                let before = self.disk.insert(fact.live, record.clone()).unwrap();
                assert!(before.is_open() || before == *record, "an end was changed");
            }
        }
    }

    fn take(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Commit(commit) => self.commit(*commit),
                Effect::Tell(notice) => self.tell(notice),
                Effect::Answer { asker, result } => self.answer(asker, result),
                Effect::Arm(at) => self.armed = Some(at),
                Effect::Disarm => self.armed = None,
                Effect::Hosting { .. } => {}
            }
        }
        let timed = self.live.phase() == Phase::Away;
        assert!(!timed || self.armed.is_some(), "away without a deadline");
        let seen = self.live.wire_state();
        let away = seen.is_some_and(|live| live.phase() == LivePhase::Away);
        assert_eq!(away, self.told_away.is_some(), "late joiners see otherwise");
    }

    fn commit(&mut self, commit: Commitment) {
        if let Commitment::Ended { fact, record } = &commit {
            if let Some(decided) = self.decided.get(&fact.live) {
                assert_eq!(decided, record, "a decided end was changed");
            } else if detected(fact.reason) {
                let (lost, grace) = self.lost.expect("ended though the host came back");
                assert_eq!(self.told_away, Some(fact.live), "ended before told away");
                let waited = fact.ended.0 - lost;
                assert!(waited >= grace, "ended {waited} ms after the loss");
            }
            self.decided.insert(fact.live, record.clone());
        }
        self.queue.push_back(commit);
    }

    fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Started { fact, .. } => {
                assert!(self.disk.contains_key(&fact.live), "told before recorded");
                assert!(self.told_started.insert(fact.live), "started twice");
            }
            Notice::Away { live, .. } => {
                assert!(self.told_started.contains(&live));
                assert!(self.lost.is_some(), "told away though the host is here");
                assert!(self.ms >= self.quiet_until, "told away too early");
                assert_eq!(self.told_away.replace(live), None, "told away twice");
            }
            Notice::Back { live, .. } => {
                assert_eq!(self.told_away.take(), Some(live), "back, not told away");
            }
            Notice::Ended(fact) => {
                self.told_away = None;
                assert!(!self.disk[&fact.live].is_open(), "told before recorded");
                assert!(self.told_started.contains(&fact.live), "end without start");
                assert!(self.told_ended.insert(fact.live), "ended twice");
            }
        }
    }

    fn answer(&mut self, asker: Asker, result: Result<Answer, Code>) {
        assert!(self.waiting.remove(&asker), "answered twice or unasked");
        let Ok(Answer::Started { live, .. }) = result else {
            return;
        };
        assert!(self.disk.contains_key(&live), "answered before recorded");
        let first = *self
            .answered
            .entry(self.asked[&asker].clone())
            .or_insert(live);
        // Only so many ended lives are remembered.
        let since = self.order.iter().rev().position(|other| *other == first);
        if since.unwrap() < MAX_PAST {
            assert_eq!(first, live, "a repeat of a start was another live");
        }
    }

    /// Everybody is gone, the disk works, time passes: all is over.
    fn settle(&mut self) {
        while !self.present.is_empty() {
            self.lose(0, false);
        }
        for _ in 0..200 {
            while !self.queue.is_empty() {
                self.outcome(9);
            }
            self.ms += 1_000;
            if self.armed.is_some_and(|at| at <= self.now().instant) {
                self.armed = None;
                let effects = self.live.deadline(self.now());
                self.take(effects);
            }
        }
        assert!(!self.live.is_open(), "a live never ended");
        assert!(self.waiting.is_empty(), "a request was never answered");
        assert!(self.disk.values().all(|record| !record.is_open()));
        assert_eq!(self.told_ended.len(), self.disk.len());
    }

    fn host_is_here(&mut self, who: &UserId) {
        if self.live.host().is_some_and(|(host, _)| host == who) {
            self.lost = None;
        }
    }

    fn asker(&mut self, session: SessionId) -> Asker {
        self.requests += 1;
        Asker {
            session,
            request_id: self.requests,
        }
    }

    fn now(&self) -> Moment {
        Moment {
            instant: Instant::from_millis(self.ms),
            unix: Unix(self.ms),
        }
    }
}

fn started() -> Live {
    let mut live = Live::default();
    live.start(start(1, "a", 1), at(0));
    live.start_committed(id(1), CommitResult::Recorded, at(0));
    live
}

fn start(who: u8, start_id: &str, live: u128) -> StartArgs {
    StartArgs {
        asker: Asker {
            session: session(who),
            request_id: 1,
        },
        user: user(who),
        start_id: start_id.into(),
        ..start_args(id(live))
    }
}

fn start_args(live: LiveId) -> StartArgs {
    StartArgs {
        room: RoomKey {
            app: AppId(1),
            room: RoomId::new("demo").unwrap(),
        },
        asker: Asker {
            session: session(1),
            request_id: 1,
        },
        user: user(1),
        profile: profile(),
        start_id: "a".into(),
        grace: GRACE,
        live,
    }
}

fn end(reason: EndReason, request: Option<u64>) -> EndArgs {
    EndArgs {
        reason,
        live: None,
        asker: request.map(|request_id| Asker {
            session: session(1),
            request_id,
        }),
    }
}

fn answers(effects: &Effects) -> Vec<Result<Answer, Code>> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Answer { result, .. } => Some(result.clone()),
            _ => None,
        })
        .collect()
}

fn told(effects: &Effects) -> Vec<Notice> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tell(notice) => Some(notice.clone()),
            _ => None,
        })
        .collect()
}

fn ended_fact(effects: &Effects) -> Option<Arc<LiveEnded>> {
    effects.iter().find_map(|effect| match effect {
        Effect::Commit(commit) => match &**commit {
            Commitment::Ended { fact, .. } => Some(fact.clone()),
            Commitment::Started { .. } => None,
        },
        _ => None,
    })
}

fn at(seconds: u64) -> Moment {
    Moment {
        instant: Instant::from_millis(seconds * 1_000),
        unix: Unix(seconds * 1_000),
    }
}

fn id(number: u128) -> LiveId {
    LiveId(uuid::Uuid::from_u128(number))
}

fn session(number: u8) -> SessionId {
    SessionId::new(ShardId(1), u32::from(number), 1)
}

fn user(number: u8) -> UserId {
    UserId::new(&format!("user{number}")).unwrap()
}

fn profile() -> Arc<wire::Profile> {
    Arc::new(wire::Profile::default())
}

fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}
