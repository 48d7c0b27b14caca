//! A disk that fails at any one of its operations, or at all of them for a
//! while: what is said of a commit is true, and nothing that was acknowledged
//! is lost.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;
use redb::{Database, DatabaseError, ReadableDatabase, StorageBackend};

use super::*;
use crate::clock::Instant;
use crate::engine::embedded::space::Space;
use crate::engine::embedded::tables::{self, Tables};
use crate::engine::embedded::writer::Source;
use crate::telemetry::RowClass;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_said_of_a_commit_is_true_wherever_the_disk_fails(
        groups in prop::collection::vec(1..5_usize, 1..8),
        fail_after in 0..120_i64,
        fail_for in 1..40_i64,
        applied in any::<bool>(),
    ) {
        let disk = Disk::default();
        let mut bench = Bench::new(&disk);
        disk.break_down(fail_after, fail_for, applied);
        let mut number = 0;
        let (mut said_yes, mut said_no) = (Vec::new(), Vec::new());
        for group in groups {
            for _ in 0..group {
                number += 1;
                bench.shared.queue.submit(commit_of(number)).unwrap();
            }
            for outcome in bench.drain() {
                let Subject::LiveStarted(_, live) = outcome.subject else {
                    panic!("a subject that was not submitted");
                };
                match outcome.result {
                    Ok(()) => said_yes.push(live.0.as_u128()),
                    Err(CommitFailed) => said_no.push(live.0.as_u128()),
                }
            }
        }
        prop_assert_eq!(said_yes.len() + said_no.len(), number as usize);
        disk.repair();
        drop(bench);
        let found = disk.lives();
        prop_assert_eq!(found, said_yes);
    }
}

#[test]
fn while_the_file_cannot_be_opened_nothing_is_answered_and_nothing_is_lost() {
    let disk = Disk::default();
    let mut bench = Bench::new(&disk);
    disk.break_down(0, i64::MAX, false);
    bench.shared.queue.submit(commit_of(1)).unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..50 {
        bench.turn(&mut outcomes);
    }
    bench.shared.queue.submit(commit_of(2)).unwrap();
    assert!(outcomes.is_empty());
    assert!(!bench.shared.writable.load(Ordering::Relaxed));
    disk.repair();
    let outcomes = bench.drain();
    assert_eq!(outcomes.len(), 2);
    assert!(bench.shared.writable.load(Ordering::Relaxed));
}

#[test]
fn an_end_is_tried_again_on_its_own_when_its_group_failed() {
    let disk = Disk::default();
    let mut bench = Bench::new(&disk);
    bench.shared.queue.submit(commit_of(1)).unwrap();
    assert_eq!(bench.drain()[0].result, Ok(()));
    bench.shared.queue.submit(started(2)).unwrap();
    bench.shared.queue.submit(ended(1)).unwrap();
    disk.break_down(0, 1, false);
    let outcomes = bench.drain();
    let of = |subject: fn(&Subject) -> bool| {
        let found = outcomes.iter().find(|outcome| subject(&outcome.subject));
        found.unwrap().result
    };
    assert_eq!(
        of(|subject| matches!(subject, Subject::LiveStarted(..))),
        Err(CommitFailed)
    );
    assert_eq!(
        of(|subject| matches!(subject, Subject::LiveEnded(..))),
        Ok(())
    );
}

#[test]
fn a_settlement_that_could_not_be_recorded_is_recorded_later() {
    let disk = Disk::default();
    let mut bench = Bench::new(&disk);
    bench.shared.queue.submit(commit_of(1)).unwrap();
    bench.drain();
    assert_eq!(disk.waiting(&bench), 1);
    let settlement = Settlement::Done;
    bench.shared.queue.push(Job::Settle { seq: 1, settlement });
    bench.drain();
    bench.ms += 50;
    disk.break_down(0, 1, false);
    bench.drain();
    assert_eq!(disk.waiting(&bench), 1);
    bench.ms += 2_000;
    bench.drain();
    assert_eq!(disk.waiting(&bench), 0);
}

/// One by one each would cost a transaction and a sync.
#[test]
fn settlements_are_recorded_together_and_meanwhile_their_rows_are_not_read() {
    let disk = Disk::default();
    let mut bench = Bench::new(&disk);
    let read = |bench: &mut Bench| {
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        bench.shared.queue.push(Job::Rows {
            key: order_key("r"),
            after: 0,
            limit: 9,
            reply,
        });
        bench.drain();
        let rows = answer.try_recv().unwrap();
        rows.iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    for event in ["1", "2", "3"] {
        bench.shared.queue.submit(tell("r", event)).unwrap();
    }
    assert_eq!(read(&mut bench), [1, 2, 3]);
    for seq in [1, 2] {
        let settlement = Settlement::Done;
        bench.shared.queue.push(Job::Settle { seq, settlement });
        bench.drain();
    }
    assert_eq!(read(&mut bench), [3]);
    assert_eq!(disk.waiting(&bench), 3, "not worth a sync each");
    bench.ms += 50;
    bench.drain();
    assert_eq!(disk.waiting(&bench), 1);
    let settlement = Settlement::Done;
    bench.shared.queue.push(Job::Settle { seq: 3, settlement });
    bench.shared.queue.submit(tell("r", "4")).unwrap();
    bench.drain();
    assert_eq!(disk.waiting(&bench), 1, "it went with the commit");
    assert_eq!(read(&mut bench), [4]);
}

/// A settlement gives space back; what comes in meanwhile must not keep it from
/// being recorded by failing beside it.
#[test]
fn a_settlement_is_recorded_on_its_own_when_what_came_with_it_fails() {
    let disk = Disk::default();
    let mut bench = Bench::new(&disk);
    bench.shared.queue.submit(commit_of(1)).unwrap();
    bench.drain();
    let settlement = Settlement::Done;
    bench.shared.queue.push(Job::Settle { seq: 1, settlement });
    bench.shared.queue.submit(started(2)).unwrap();
    disk.break_down(0, 1, false);
    let mut outcomes = Vec::new();
    bench.turn(&mut outcomes);
    bench.shared.queue.submit(started(3)).unwrap();
    bench.turn(&mut outcomes);
    assert_eq!(outcomes.len(), 1, "it is open again, and one has failed");
    bench.turn(&mut outcomes);
    assert_eq!(disk.waiting(&bench), 0);
    assert_eq!(outcomes.len(), 1, "something was recorded beside it");
}

/// The outbox is read while everything that comes in fails: else no backend
/// is told, and nothing is ever settled.
#[test]
fn reads_are_answered_while_all_writes_fail() {
    let disk = Disk::default();
    let mut bench = Bench::new(&disk);
    bench.shared.queue.submit(commit_of(1)).unwrap();
    bench.drain();
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    bench.shared.queue.push(Job::Keys {
        after: None,
        limit: 9,
        reply,
    });
    let mut outcomes = Vec::new();
    for number in 2..6 {
        bench.shared.queue.submit(started(number)).unwrap();
        disk.break_down(0, 1, false);
        bench.turn(&mut outcomes);
        disk.repair();
        bench.turn(&mut outcomes);
    }
    assert!(outcomes.iter().all(|outcome| outcome.result.is_err()));
    assert_eq!(answer.try_recv().unwrap(), [order_key("r1")]);
}

#[test]
fn a_fact_that_nobody_waits_for_is_recorded_later_and_a_message_is_counted_as_shed() {
    let disk = Disk::default();
    let mut bench = Bench::new(&disk);
    let metrics = Arc::clone(&bench.metrics);
    let shed = |class| metrics.outbox().shed_count(class);
    let message = OutboxRow {
        kind: RowKind::Message,
        ..row("r", "said")
    };
    bench.shared.queue.submit(tell("r", "away")).unwrap();
    let said = Commit {
        outbox: vec![message],
        ..tell("r", "")
    };
    bench.shared.queue.submit(said).unwrap();
    disk.break_down(0, 1, false);
    bench.drain();
    assert_eq!(disk.waiting(&bench), 0);
    assert_eq!((shed(RowClass::Fact), shed(RowClass::Message)), (0, 1));
    // It goes before what came later.
    bench.shared.queue.submit(tell("r", "back")).unwrap();
    bench.drain();
    let txn = bench.writer.database().begin_read().unwrap();
    let rows = tables::rows(&txn, &order_key("r"), (0, 10), &HashSet::default()).unwrap();
    assert_eq!(events(&rows), ["away", "back"]);
}

/// A writer and its queue, without a thread and with a time of their own.
struct Bench {
    writer: Writer,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    ms: u64,
}

impl Bench {
    fn new(disk: &Disk) -> Self {
        let db = disk.open().unwrap();
        let txn = db.begin_write().unwrap();
        Tables::open(&txn).unwrap().stamp_format().unwrap();
        txn.commit().unwrap();
        let shared = Shared::new(100, 100, 0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let clock = runtime.block_on(async { Clock::simulated(Unix(1)) });
        let metrics = Metrics::new(1);
        let writer = Writer::new(
            Box::new(disk.clone()),
            db,
            0,
            EngineConfig::default(),
            shared.clone(),
            Arc::clone(&metrics),
            clock,
        );
        Self {
            writer,
            shared,
            metrics,
            ms: 1,
        }
    }

    fn turn(&mut self, outcomes: &mut Vec<Outcome>) -> Next {
        self.ms += 7;
        let now = Moment {
            instant: Instant::from_millis(self.ms),
            unix: Unix(self.ms),
        };
        self.writer.turn(now, outcomes)
    }

    /// Turns until nothing is left to do.
    fn drain(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for _ in 0..5_000 {
            match self.turn(&mut outcomes) {
                Next::Idle(_) => return outcomes,
                Next::Turn => {}
                Next::Stuck(at) => self.ms = self.ms.max(at.0 / 1_000),
                Next::Done => panic!("nobody closed it"),
            }
        }
        panic!("the writer never came to rest");
    }
}

/// A disk in memory that outlives the handles on it, and fails when told.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Mutex<Vec<u8>>,
    /// Changes that still succeed; then as many fail.
    good: AtomicI64,
    bad: AtomicI64,
    /// The failing changes happen all the same.
    applied: std::sync::atomic::AtomicBool,
}

impl Disk {
    fn open(&self) -> Result<Database, DatabaseError> {
        Database::builder().create_with_backend(self.clone())
    }

    fn break_down(&self, after: i64, failures: i64, applied: bool) {
        self.0.good.store(after, Ordering::Relaxed);
        self.0.bad.store(failures, Ordering::Relaxed);
        self.0.applied.store(applied, Ordering::Relaxed);
    }

    fn repair(&self) {
        self.0.bad.store(0, Ordering::Relaxed);
    }

    /// The lives that a fresh look finds.
    fn lives(&self) -> Vec<u128> {
        let db = self.open().unwrap();
        let txn = db.begin_read().unwrap();
        let lives = tables::open_lives(&txn).unwrap();
        let id = |live: &LiveRecord| LiveId::parse(&live.live).unwrap().0.as_u128();
        lives.iter().map(id).collect()
    }

    fn waiting(&self, bench: &Bench) -> u64 {
        let txn = bench.writer.database().begin_read().unwrap();
        tables::waiting(&txn).unwrap()
    }

    /// Runs a change, or fails as told.
    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut bytes = self.0.bytes.lock();
        if self.0.bad.load(Ordering::Relaxed) > 0
            && self.0.good.fetch_sub(1, Ordering::Relaxed) <= 0
        {
            self.0.bad.fetch_sub(1, Ordering::Relaxed);
            if self.0.applied.load(Ordering::Relaxed) {
                change(&mut bytes);
            }
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        change(&mut bytes);
        Ok(())
    }
}

impl Source for Disk {
    fn open_again(&self) -> Result<Database, DatabaseError> {
        self.open()
    }

    fn space(&self) -> Option<Space> {
        None
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        out.copy_from_slice(&self.0.bytes.lock()[start..start + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|bytes| bytes.resize(len as usize, 0))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(|_| {})
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = offset as usize;
        self.change(|bytes| bytes[start..start + data.len()].copy_from_slice(data))
    }
}

fn commit_of(number: u128) -> Commit {
    Commit {
        reserve: number.is_multiple_of(3),
        ..started(number)
    }
}
