//! The server is killed under load, at moments that dice choose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use crate::crew::Crew;
use crate::gateway::{Gateway, launch, prepare};
use crate::moody::{Backend, Mood};
use crate::running::Setup;
use crate::script::Script;
use crate::seed::dice;
use crate::trials::rounds;
use crate::verdict::Trial;

/// Starts of the server that are killed, too, percent.
const DURING_START: u64 = 25;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_no_fact_untold_and_no_hole_in_what_it_accepted() {
    let mut dice = dice();
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let backend = Backend::serve().await;
    prepare(home.path(), &Setup::under_load(backend.address));
    let script = Arc::new(Script::new());
    let mut kills = BTreeMap::new();
    let last = rounds(3, 100);
    for round in 0..last {
        let gateway = Gateway::start(home.path(), &data);
        let crew = Crew::start(&gateway, &script, round, 10..1_000, &dice.fork(round));
        script.goes_on(dice.within(100..500)).await;
        // Not always at an answer.
        tokio::time::sleep(Duration::from_micros(dice.within(0..20_000))).await;
        kills.insert(round, Instant::now());
        gateway.kill();
        crew.killed().await;
        if dice.chance(DURING_START) {
            let starting = launch(home.path());
            tokio::time::sleep(Duration::from_millis(dice.within(0..150))).await;
            starting.kill();
        }
    }
    let gateway = Gateway::start(home.path(), &data);
    let crew = Crew::start(&gateway, &script, last, 10..1_000, &dice.fork(last));
    script.goes_on(50).await;
    let (ends, _hosts) = crew.finish().await;
    backend.is_now(Mood::Well);
    backend.has_heard(&ends).await;
    let recorded = gateway.recorded().await;
    backend.read(|told| {
        let trial = Trial::new(script.read(), told, recorded.clone());
        trial.judge();
        trial.judge_visits();
        let lost = trial.judge_rounds(&kills);
        let events = told.count(|_| true);
        eprintln!(
            "{last} kills: {} starts and ends recorded, {lost:?}; {events} events in {} tellings",
            recorded.len(),
            told.heard
        );
        assert!(told.heard > events, "nothing was told again");
        assert!(lost.lost * 2 < lost.accepted, "{lost:?}");
    });
    assert_eq!(gateway.terminate(), Some(0));
}
