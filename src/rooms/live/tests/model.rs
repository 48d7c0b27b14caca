//! Any history against a model of a host, a store and a clock.

mod effects;

use std::collections::{HashMap, HashSet, VecDeque};

use proptest::prelude::*;

use super::*;

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
}
