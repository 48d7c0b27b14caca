//! `run`: plays a plan from the first client to the verdict.
//!
//! Coordinates only: clients live in the workers' threads, the gateway in a
//! process of its own. Every wait has an end.

mod carry;
mod child;
mod children;
mod crew;
mod phases;
mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use livegate_client::Roots;
use tokio::time::{Instant, sleep};

pub(crate) use self::child::main as clients;
use self::crew::Crew;
use self::phases::{drain, look, ramp, steady, window};
use crate::board::{Board, Stage};
use crate::cli::{Failure, RunArgs, TargetArgs};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::finish;
use crate::gateway::{Gateway, trusted};
use crate::http;
use crate::identity::App;
use crate::judge::{self, Catch};
use crate::machine;
use crate::plan::{self, Plan};
use crate::progress::{Progress, answer};
use crate::report::{self, Callbacks, Report};
use crate::sink::{Sink, Told};
use crate::site::{Site, Sources};
use crate::worker::{Orders, Processes};

/// How often the coordinator looks.
const LOOK: Duration = Duration::from_millis(100);

/// Most time for callbacks that are still to come when everything else is over.
const CALLBACKS_WITHIN: Duration = Duration::from_secs(10);

/// The secret that callbacks to the sink are signed with.
pub(crate) const CALLBACK_SECRET: &str = "loadtest-callback-secret-0123456789";

/// Plays the plan that `args` name; whether its limits held.
///
/// # Errors
/// When the plan cannot be read or done, or the run broke.
pub(crate) fn main(args: &RunArgs) -> Result<bool, Failure> {
    let plan = plan::read(&args.plan).map_err(|error| Failure::Plan(error.to_string()))?;
    let own = match args.processes.unwrap_or(plan.processes) {
        0 => plan.sockets(),
        _ => plan.hostile.connections.into(),
    };
    machine::allow_files(own).map_err(|error| Failure::Plan(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let held = runtime.block_on(finish::within(plan.longest(), play(args, plan)));
    // Dropping the runtime kills a gateway that is still there.
    runtime.shutdown_background();
    Ok(held?)
}

/// A gateway of our own with the backend that it tells.
struct Own {
    gateway: Gateway,
    sink: Sink,
}

async fn play(args: &RunArgs, plan: Plan) -> Result<bool> {
    let clock = Clock::start();
    let mut progress = Progress::new(args.quiet);
    let own = match args.spawn {
        true => Some(start_own(args, &plan, clock, &progress).await?),
        false => None,
    };
    let site = match &own {
        Some(own) => site_of(&own.gateway, &args.target)?,
        None => site(&args.target)?,
    };
    let began_ms = clock.unix_ms();
    let processes = processes(args, &plan);
    let orders = orders(plan, site, clock, (began_ms, processes));
    let (catch, gateway) = drive(&orders, own.as_ref().map(|own| &own.sink), &mut progress).await?;
    if let Some(own) = own {
        own.gateway.stop().await?;
    }
    let figures = judge::sum_up(&orders.plan, &orders.board, catch);
    let checks = judge::judge(&orders.plan, &figures);
    let name = args.plan.file_stem().unwrap_or_default().to_string_lossy();
    let report = Report {
        name: name.clone().into_owned(),
        plan: orders.plan.clone(),
        began_ms,
        cores: machine::cores(),
        release: !cfg!(debug_assertions),
        held: checks.iter().all(|check| check.held),
        figures,
        checks,
        gateway,
    };
    let default = || PathBuf::from(format!("loadtest-out/{name}-{}.json", began_ms / 1_000));
    let file = args.out.clone().unwrap_or_else(default);
    report::write_json(&report, &file)?;
    answer(report::render(&report))?;
    answer(report::verdict(report.held, file.display()))?;
    Ok(report.held)
}

/// The processes that clients run in, if they are to run in some.
fn processes(args: &RunArgs, plan: &Plan) -> Option<Processes> {
    let count = args.processes.unwrap_or(plan.processes);
    (count > 0).then_some(Processes { count })
}

fn orders(
    plan: Plan,
    site: Site,
    clock: Clock,
    (began_ms, processes): (u64, Option<Processes>),
) -> Arc<Orders> {
    let workers = match plan.workers {
        0 => (machine::cores() / 2).max(1),
        n => n as usize,
    };
    // Every process has a worker at least.
    let least = processes.as_ref().map_or(1, |it| it.count as usize);
    let workers = workers.max(least);
    Arc::new(Orders {
        board: Arc::new(Board::new(plan.rooms, workers)),
        sources: Sources::new(&site, plan.clients_per_address),
        run: format!("lt{:x}", began_ms & 0xff_ffff),
        plan,
        site,
        clock,
        processes,
    })
}

async fn start_own(args: &RunArgs, plan: &Plan, clock: Clock, progress: &Progress) -> Result<Own> {
    let mut dice = Dice::new(clock.unix_ms());
    let (server, clients) = cores_apart(args.server_cores)?;
    let sink = Sink::start(CALLBACK_SECRET, clock, dice.fork(1), 0).await?;
    let settings = format!(
        "{}\n{}",
        plan.gateway.settings,
        callbacks(&sink.url(), CALLBACK_SECRET)
    );
    let binary = binary(args.gateway.as_deref())?;
    // What is started next inherits the cores.
    machine::pin(&server)?;
    let gateway = Gateway::start(&binary, &settings, &mut dice).await;
    machine::pin(&clients)?;
    let gateway = gateway?;
    progress.say(format!(
        "gateway {} on {}",
        binary.display(),
        gateway.public
    ));
    Ok(Own { gateway, sink })
}

/// The cores of the gateway and those of the clients, where they are to be
/// held apart.
fn cores_apart(server: Option<usize>) -> Result<(Vec<usize>, Vec<usize>)> {
    let Some(server) = server else {
        return Ok((Vec::new(), Vec::new()));
    };
    let all = machine::cores();
    ensure!(
        (1..all).contains(&server),
        "of {all} cores 1 to {} may be the gateway's",
        all - 1
    );
    Ok(((0..server).collect(), (server..all).collect()))
}

/// The last part of a configuration: the development app, which tells its lives
/// to `url`.
pub(crate) fn callbacks(url: &str, secret: &str) -> String {
    let app = crate::gateway::app();
    format!("{app}[apps.callback]\nurl = \"{url}\"\nsecrets = [\"{secret}\"]\n")
}

/// The gateway to start: the one named, or the one beside this program.
///
/// # Errors
/// When this program does not know where it is.
pub(crate) fn binary(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(named) => Ok(named.to_owned()),
        None => Ok(std::env::current_exe()?.with_file_name("livegate")),
    }
}

/// The site of a gateway of our own.
fn site_of(gateway: &Gateway, target: &TargetArgs) -> Result<Site> {
    Ok(Site {
        public: gateway.public,
        internal: Some(gateway.internal),
        pid: gateway.pid(),
        server_name: target.server_name.clone(),
        roots: Roots::pem_file(gateway.certificate()?)?,
        certificate: gateway.certificate()?,
        app: App::new(target.app, &target.key),
    })
}

fn site(target: &TargetArgs) -> Result<Site> {
    let certificate = match &target.ca {
        Some(file) => file.clone(),
        None => trusted(Path::new(".")).context("name it with --ca, or use --spawn")?,
    };
    Ok(Site {
        public: target.server,
        internal: target.internal,
        pid: target.pid,
        server_name: target.server_name.clone(),
        roots: Roots::pem_file(&certificate)?,
        certificate,
        app: App::new(target.app, &target.key),
    })
}

/// The run itself; the gateway's own counters come along.
pub(crate) async fn drive(
    orders: &Arc<Orders>,
    sink: Option<&Sink>,
    progress: &mut Progress,
) -> Result<(Catch, BTreeMap<String, f64>)> {
    let before = look(orders);
    let crew = Crew::start(orders).await?;
    ramp(orders, &crew, progress).await?;
    let window = window(orders);
    orders.board.go(Stage::Run(window));
    let watch = steady(orders, &crew, window, progress).await?;
    let counters = counters(orders).await;
    drain(orders, progress).await;
    let callbacks = match sink {
        Some(sink) => Some(settle_callbacks(orders, sink).await),
        None => None,
    };
    let (harvests, hostile) = crew.end().await?;
    progress.end();
    let looks = before.zip(watch).map(|(before, watch)| watch.looks(before));
    let catch = Catch {
        harvests,
        hostile,
        looks,
        callbacks,
    };
    Ok((catch, counters))
}

/// Waits for the callbacks that must come, and reads the book.
async fn settle_callbacks(orders: &Orders, sink: &Sink) -> Callbacks {
    let deadline = Instant::now() + CALLBACKS_WITHIN;
    loop {
        let missing = sink.read(|book| {
            let rooms = orders.board.rooms.iter();
            let missing = rooms.filter_map(|room| {
                let live = room.live.lock().clone()?;
                let ended = !room.ends.load(Relaxed) || book.is_told(&live, Told::Ended);
                Some(!(ended && book.is_told(&live, Told::Started)))
            });
            missing.filter(|missing| *missing).count() as u64
        });
        if missing == 0 || Instant::now() > deadline {
            return sink.read(|book| {
                let (wrong, complaints) = book.complaints();
                Callbacks {
                    started: book.lives(Told::Started).count() as u64,
                    ended: book.lives(Told::Ended).count() as u64,
                    attempts: book.attempts(),
                    missing,
                    wrong,
                    complaints: complaints.to_vec(),
                }
            });
        }
        sleep(LOOK).await;
    }
}

/// The gateway's own counters, as its metrics tell them.
async fn counters(orders: &Orders) -> BTreeMap<String, f64> {
    let Some(internal) = orders.site.internal else {
        return BTreeMap::new();
    };
    match http::get(internal, "/metrics").await {
        Ok((200, text)) => text.lines().filter_map(counter).collect(),
        Ok(_) | Err(_) => BTreeMap::new(),
    }
}

fn counter(line: &str) -> Option<(String, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (name, value) = line.rsplit_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_prometheus_text() {
        let line = "livegate_messages_total{class=\"normal\"} 12";
        let (name, value) = counter(line).unwrap();
        assert_eq!(name, "livegate_messages_total{class=\"normal\"}");
        assert_eq!(value, 12.0);
        assert_eq!(counter("# HELP x y"), None);
    }
}
