//! Kills the gateway under live load and checks that every acknowledged live
//! ends exactly once or is still live, and that the backend hears of each end
//! under one event id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use livegate_proto::backend::ListLivesRequest;
use livegate_proto::backend::backend_service_client::BackendServiceClient;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::Request;

use super::bounds::Bounds;
use super::caller::Ground;
use super::deeds::{Deeds, Testimony};
use super::killer;
use super::lives::{Aired, GRACE, Host, Scene};
use super::watcher::{Watcher, What};
use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::latency::Summary;
use crate::progress::Progress;
use crate::report::Check;
use crate::sink::{Sink, Told};

/// The API key of the gateways that are killed.
pub(crate) const API_KEY: &str = "loadtest-api-key-0123456789";

/// Percent of the tellings that the backend refuses at first.
pub(crate) const REFUSED_PERCENT: u64 = 10;

/// Most time for the first live.
const LIVE_WITHIN: Duration = Duration::from_secs(20);

/// Most time for one answer about what is live.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Most time for everything to come to rest.
const REST_WITHIN: Duration = Duration::from_secs(40);

/// Lives whose watcher is waiting to start.
const MAX_AIRED: usize = 4_096;

/// Watchers at a time; lives beyond it are not watched, only judged.
const MAX_WATCHERS: usize = 512;

/// Every so many hosts one is steadfast.
const STEADFAST_EVERY: u32 = 4;

/// What this part saw.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Times that the gateway was killed.
    pub(crate) kills: u32,
    /// From the start of the process until it is ready.
    pub(crate) ready_after: Option<Summary>,
    /// Lives whose start was acknowledged.
    pub(crate) acknowledged: u64,
    /// Lives told ended to the backend.
    pub(crate) told_ended: u64,
    /// Lives that were still live when the killing stopped.
    pub(crate) still_live: u64,
    /// Times that a host found its live again.
    pub(crate) returns: u64,
    /// Ends that viewers were told.
    pub(crate) ends_seen: u64,
    /// The same by reason, each live once.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// Tellings that the backend got, repeated ones too.
    pub(crate) tellings: u64,
}

/// Plays the part with `hosts` hosts and `kills` kills.
///
/// # Errors
/// When the gateway does not come back, or cannot be asked what is live.
pub(crate) async fn play(
    gateway: &mut Gateway,
    ground: &Arc<Ground>,
    sink: &Sink,
    (kills, hosts, bounds): (u32, u32, Bounds),
    dice: &Dice,
    progress: &mut Progress,
) -> Result<(Figures, Vec<Check>, Vec<String>)> {
    let deeds = Arc::new(Mutex::new(Deeds::default()));
    let (scene, _) = watch::channel(Scene::Storm);
    let (aired, on_air) = mpsc::channel(MAX_AIRED);
    let mut actors = JoinSet::new();
    for number in 0..hosts {
        let host = Host {
            ground: ground.clone(),
            deeds: deeds.clone(),
            user: format!("chaos-live-{number}"),
            quic: number % 3 == 1,
            steadfast: number % STEADFAST_EVERY == 0,
            dice: dice.fork(number.into()),
            scene: scene.subscribe(),
            aired: aired.clone(),
        };
        actors.spawn(host.play());
    }
    drop(aired);
    let mut audience = JoinSet::new();
    audience.spawn(watch_all(ground.clone(), deeds.clone(), on_air));
    wait_for_a_live(&deeds, bounds.wait(LIVE_WITHIN)).await?;
    progress.begin("kills", kills.into());
    let rage = dice.fork(u64::MAX);
    let ready_after = killer::rage(gateway, kills, rage, |n| progress.at(n.into(), "")).await?;
    scene.send_replace(Scene::Calm);
    progress.begin("rest", 2);
    let within = bounds.wait(REST_WITHIN);
    let calm = rest(ground, sink, &deeds, within).await?;
    let still_live = calm.listed.len() as u64;
    let mut wrong = deeds.lock().check(&calm);
    scene.send_replace(Scene::End);
    let ended = async { while actors.join_next().await.is_some() {} };
    if timeout(within, ended).await.is_err() {
        wrong.push("a host did not come to its end".to_owned());
    }
    let end = rest(ground, sink, &deeds, within).await?;
    let deeds = deeds.lock();
    wrong.extend(deeds.check(&end));
    wrong.extend(
        end.listed
            .iter()
            .map(|live| format!("{live}: live after the end")),
    );
    wrong.sort();
    wrong.dedup();
    Ok(sum_up(
        kills,
        ready_after.summary(),
        still_live,
        &deeds,
        &end,
        sink,
        wrong,
    ))
}

fn sum_up(
    kills: u32,
    ready_after: Option<Summary>,
    still_live: u64,
    deeds: &Deeds,
    end: &Testimony,
    sink: &Sink,
    mut wrong: Vec<String>,
) -> (Figures, Vec<Check>, Vec<String>) {
    let (complaints, words) = sink.read(|book| {
        let (count, words) = book.complaints();
        (count, words.to_vec())
    });
    wrong.extend(words);
    let figures = Figures {
        kills,
        ready_after,
        acknowledged: deeds.acknowledged().len() as u64,
        told_ended: end.told_ended.len() as u64,
        still_live,
        returns: deeds.returns,
        ends_seen: deeds.ends_seen,
        reasons: deeds.reasons(),
        tellings: sink.read(crate::sink::Book::attempts),
    };
    let checks = vec![
        Check::at_most("server killed: violations", 0.0, wrong.len() as f64),
        Check::at_most("callbacks wrong", 0.0, complaints as f64),
        Check::at_least("lives acknowledged", 1.0, figures.acknowledged as f64),
    ];
    (figures, checks, wrong)
}

/// Watches every live that is told, within bounds.
async fn watch_all(
    ground: Arc<Ground>,
    deeds: Arc<Mutex<Deeds>>,
    mut on_air: mpsc::Receiver<Aired>,
) {
    let mut watchers = JoinSet::new();
    let mut number = 0;
    while let Some(aired) = on_air.recv().await {
        while watchers.try_join_next().is_some() {}
        if watchers.len() >= MAX_WATCHERS {
            continue;
        }
        number += 1;
        let (ground, deeds) = (ground.clone(), deeds.clone());
        watchers.spawn(watch_one(ground, deeds, aired, number));
    }
    watchers.join_all().await;
}

/// Watches one live until a while after its end.
async fn watch_one(ground: Arc<Ground>, deeds: Arc<Mutex<Deeds>>, aired: Aired, number: u32) {
    let who = format!("chaos-viewer-{number}");
    let mut watcher = Watcher::start(&ground, &aired.room, &who, number.is_multiple_of(4));
    let mut until = Instant::now() + Duration::from_secs(600);
    while let Some(sight) = watcher.next(until).await {
        match sight.what {
            What::Ended(reason) => {
                deeds
                    .lock()
                    .saw_end(&who, sight.connection, &sight.live, reason);
                until = Instant::now() + GRACE * 2;
            }
            What::Found(phase) if super::lives::is_over(phase) => {
                until = Instant::now() + GRACE * 2;
            }
            What::Found(_) | What::Started | What::Away { .. } | What::Back => {}
        }
    }
}

/// Waits until there is something to lose.
async fn wait_for_a_live(deeds: &Mutex<Deeds>, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    while deeds.lock().acknowledged().is_empty() {
        ensure!(
            Instant::now() < deadline,
            "no start was acknowledged within {within:?}"
        );
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Waits until backend, gateway and promises agree, or the time for it is over;
/// what they say then.
async fn rest(
    ground: &Ground,
    sink: &Sink,
    deeds: &Mutex<Deeds>,
    within: Duration,
) -> Result<Testimony> {
    let deadline = Instant::now() + within;
    loop {
        // A moment for what is just happening: a live that ends between the two
        // questions would look wrong.
        sleep(Duration::from_millis(250)).await;
        let testimony = testify(ground, sink).await?;
        let agreed = deeds.lock().check(&testimony).is_empty();
        if agreed && is_at_rest(&testimony) || Instant::now() > deadline {
            return Ok(testimony);
        }
    }
}

/// Whether all lives that were told started and are not listed were told ended.
fn is_at_rest(testimony: &Testimony) -> bool {
    let open: BTreeSet<_> = testimony
        .told_started
        .difference(&testimony.told_ended)
        .collect();
    open.into_iter().eq(testimony.listed.iter())
}

async fn testify(ground: &Ground, sink: &Sink) -> Result<Testimony> {
    let listed = list(ground).await?;
    let told = |what| sink.read(|book| book.lives(what).map(str::to_owned).collect());
    Ok(Testimony {
        told_started: told(Told::Started),
        told_ended: told(Told::Ended),
        listed,
    })
}

/// Asks the gateway which lives are open.
async fn list(ground: &Ground) -> Result<BTreeSet<String>> {
    let internal = ground.site.internal.context("the internal port is known")?;
    let endpoint = tonic::transport::Endpoint::new(format!("http://{internal}"))?;
    let channel = endpoint.timeout(ANSWER_WITHIN).connect().await?;
    let mut client = BackendServiceClient::new(channel);
    let (mut lives, mut cursor) = (BTreeSet::new(), String::new());
    for _ in 0..1_000 {
        let mut request = Request::new(ListLivesRequest {
            sdk_app_id: ground.site.app.id,
            limit: 1_000,
            cursor,
        });
        request.metadata_mut().insert("x-api-key", API_KEY.parse()?);
        let page = client.list_lives(request).await?.into_inner();
        lives.extend(
            page.lives
                .into_iter()
                .filter_map(|live| Some(live.state?.live_id)),
        );
        if page.next_cursor.is_empty() {
            return Ok(lives);
        }
        cursor = page.next_cursor;
    }
    bail!("the list of lives has no end")
}
