//! The store is killed with SIGKILL while it writes.
//!
//! The property: what was acknowledged is there after a restart, a fact and
//! its outbox row are there together or not at all, and nothing that was
//! recorded goes back. Process death only: the kernel lives on.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]
#![allow(clippy::print_stdout, reason = "the child tells its parent so")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use livegate::callback::payload;
use livegate::clock::{Clock, Unix};
use livegate::engine::record::{EndRecord, LiveRecord};
use livegate::engine::{Commit, Engine, EngineConfig, Fact, Recovered, Subject};
use livegate::event::{EndReason, LiveEnded, LiveStarted, LiveStats};
use livegate::id::{AppId, LiveId, RoomId, RoomKey, UserId};
use livegate::telemetry::Metrics;
use tempfile::TempDir;

const ROUNDS: u64 = 12;
const CHILD: &str = "LIVEGATE_TEST_STORE";

#[tokio::test]
async fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        // Killed after some acknowledgements, a different number each time.
        let enough = 5 + round * 37 % 101;
        acknowledged.extend(run_and_kill(dir.path(), round, enough));
        let (engine, recovered, _outcomes) = open(dir.path());
        check(&engine, &recovered, &acknowledged).await;
        engine.close();
    }
    assert!(acknowledged.len() > 100);
}

/// What the parent starts; does nothing in a plain run.
#[tokio::test]
async fn child() {
    let Ok(job) = std::env::var(CHILD) else {
        return;
    };
    let (round, dir) = job.split_once(' ').unwrap();
    let (engine, _, mut outcomes) = open(Path::new(dir));
    let first = round.parse::<u128>().unwrap() << 64;
    // Several under way at once, so that a kill meets groups.
    for number in 0..8 {
        engine.submit(start(first + number)).unwrap();
    }
    let mut next = first + 8;
    while let Some(outcome) = outcomes.recv().await {
        outcome.result.unwrap();
        match outcome.subject {
            Subject::LiveStarted(_, live) => {
                println!("acknowledged {live} started");
                engine.submit(end(live.0.as_u128())).unwrap();
            }
            Subject::LiveEnded(_, live) => {
                println!("acknowledged {live} ended");
                engine.submit(start(next)).unwrap();
                next += 1;
            }
            Subject::Room(_) | Subject::RoomChanged(_) | Subject::Quiet => {}
        }
    }
}

/// Lines that the child acknowledged before it was killed.
fn run_and_kill(dir: &Path, round: u64, enough: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, format!("{round} {}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let acknowledged = |line: std::io::Result<String>| {
        let line = line.ok()?;
        line.strip_prefix("acknowledged ").map(str::to_owned)
    };
    let mut told: Vec<String> = Vec::new();
    while (told.len() as u64) < enough {
        let line = lines.next().expect("the child ended by itself");
        told.extend(acknowledged(line));
    }
    child.kill().unwrap();
    // What it wrote before the kill came through counts, too.
    told.extend(lines.filter_map(acknowledged));
    child.wait().unwrap();
    told
}

async fn check(engine: &Engine, recovered: &Recovered, acknowledged: &BTreeSet<String>) {
    let open: BTreeSet<&str> = recovered.open.iter().map(|live| &*live.live).collect();
    let ended: BTreeSet<&str> = recovered.ended.iter().map(|live| &*live.live).collect();
    assert!(open.is_disjoint(&ended));
    for line in acknowledged {
        let (live, what) = line.split_once(' ').unwrap();
        match what {
            "started" => assert!(open.contains(live) || ended.contains(live), "{line}"),
            _ => assert!(ended.contains(live), "{line}"),
        }
    }
    let outbox = engine.outbox();
    let keys = outbox.keys(None, 100_000).await.unwrap();
    assert_eq!(keys.len(), open.len() + ended.len());
    for key in keys {
        let rows = outbox.rows(key.clone(), 0, 9).await.unwrap();
        let events: Vec<_> = rows.iter().map(|row| &*row.event_id).collect();
        let live = &*key.key;
        let all = [format!("{live}:started"), format!("{live}:ended")];
        let expected = if ended.contains(live) {
            &all[..]
        } else {
            &all[..1]
        };
        assert_eq!(events, expected);
    }
}

fn open(
    dir: &Path,
) -> (
    Engine,
    Recovered,
    tokio::sync::mpsc::Receiver<livegate::engine::Outcome>,
) {
    let config = EngineConfig {
        dir: dir.to_owned(),
        ..EngineConfig::default()
    };
    Engine::open(&config, Clock::system(), Metrics::new(1)).unwrap()
}

fn start(number: u128) -> Commit {
    let fact = started(number);
    Commit {
        subject: Subject::LiveStarted(key(&fact), fact.live),
        facts: vec![Fact::Live(fact.live, record(&fact))],
        outbox: vec![payload::live_started(&fact)],
        reserve: false,
    }
}

fn end(number: u128) -> Commit {
    let started = started(number);
    let ended = LiveEnded {
        app: started.app,
        room: started.room.clone(),
        live: started.live,
        host: started.host.clone(),
        started: started.started,
        ended: livegate::clock::unix_now(),
        reason: EndReason::HostEnded,
        stats: LiveStats::default(),
        detection_ms: 0,
    };
    let record = LiveRecord {
        end: Some(EndRecord::from(&ended)),
        ..record(&started)
    };
    Commit {
        subject: Subject::LiveEnded(key(&started), started.live),
        facts: vec![Fact::Live(started.live, record)],
        outbox: vec![payload::live_ended(&ended)],
        reserve: true,
    }
}

/// A live in a room of its own name.
fn started(number: u128) -> LiveStarted {
    let live = LiveId(uuid::Uuid::from_u128(number));
    LiveStarted {
        app: AppId(1),
        room: RoomId::new(&live.to_string()).unwrap(),
        live,
        host: UserId::new("host").unwrap(),
        started: Unix(1_700_000_000_000),
    }
}

fn record(fact: &LiveStarted) -> LiveRecord {
    LiveRecord {
        app: fact.app.0,
        room: fact.room.to_string(),
        live: fact.live.to_string(),
        host: fact.host.to_string(),
        started_ms: fact.started.0,
        ..LiveRecord::default()
    }
}

fn key(fact: &LiveStarted) -> RoomKey {
    RoomKey {
        app: fact.app,
        room: fact.room.clone(),
    }
}
