//! `run`: plays a plan from the first client to the verdict.
//!
//! Coordinates only: clients live in the workers' threads, the gateway in a
//! process of its own. Every wait has an end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use livegate_client::Roots;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::board::{Board, Stage, Window};
use crate::cli::{Failure, RunArgs, TargetArgs};
use crate::clock::{Clock, Micros, micros};
use crate::dice::Dice;
use crate::gateway::{Gateway, trusted};
use crate::identity::App;
use crate::judge::{self, Catch, Looks};
use crate::machine::{self, Usage};
use crate::plan::{self, Plan};
use crate::progress::{Progress, answer, complain};
use crate::report::{self, Callbacks, Report};
use crate::sink::{Sink, Told};
use crate::site::{Site, Sources};
use crate::worker::{self, Harvest, Orders};
use crate::{hostile, http};

/// How often the coordinator looks.
const LOOK: Duration = Duration::from_millis(100);

/// From the decision to begin to the first message: workers hear of it within.
const COUNTDOWN: Duration = Duration::from_millis(300);

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
    let connections = u64::from(plan.clients()) + u64::from(plan.hostile.connections);
    machine::allow_files(connections).map_err(|error| Failure::Plan(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let held = runtime.block_on(async {
        let longest = plan.longest();
        tokio::select! {
            biased;
            ended = timeout(longest, play(args, plan)) => match ended {
                Ok(held) => held,
                Err(_) => bail!("the run did not end within {longest:?}"),
            },
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                bail!("interrupted")
            }
        }
    });
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
    let orders = orders(plan, site, clock, began_ms);
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
    let verdict = if report.held {
        "all limits held"
    } else {
        "NOT all limits held"
    };
    answer(format!("{verdict}; {}", file.display()))?;
    Ok(report.held)
}

fn orders(plan: Plan, site: Site, clock: Clock, began_ms: u64) -> Arc<Orders> {
    let workers = match plan.workers {
        0 => (machine::cores() / 2).max(1),
        n => n as usize,
    };
    Arc::new(Orders {
        board: Arc::new(Board::new(plan.rooms, workers)),
        sources: Sources::new(&site, plan.clients_per_address),
        run: format!("lt{:x}", began_ms & 0xff_ffff),
        plan,
        site,
        clock,
    })
}

async fn start_own(args: &RunArgs, plan: &Plan, clock: Clock, progress: &Progress) -> Result<Own> {
    let mut dice = Dice::new(clock.unix_ms());
    let sink = Sink::start(CALLBACK_SECRET, clock, dice.fork(1), 0).await?;
    let settings = format!(
        "{}\n{}",
        plan.gateway.settings,
        callbacks(&sink.url(), CALLBACK_SECRET)
    );
    let binary = binary(args.gateway.as_deref())?;
    let gateway = Gateway::start(&binary, &settings, &mut dice).await?;
    progress.say(format!(
        "gateway {} on {}",
        binary.display(),
        gateway.public
    ));
    Ok(Own { gateway, sink })
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
        roots: Roots::pem_file(certificate)?,
        app: App::new(target.app, &target.key),
    })
}

/// Threads that clients run on; told to stop when dropped.
struct Crew {
    board: Arc<Board>,
    workers: Vec<std::thread::JoinHandle<Result<Harvest>>>,
    hostile: Option<std::thread::JoinHandle<Result<Vec<hostile::Figures>>>>,
}

impl Crew {
    fn start(orders: &Arc<Orders>) -> Result<Self> {
        let of = u32::try_from(orders.board.behind.len())?;
        let workers = (0..of).map(|index| {
            let orders = orders.clone();
            std::thread::Builder::new()
                .name(format!("clients-{index}"))
                .spawn(move || worker::work(&orders, index, of))
        });
        let workers = workers.collect::<std::io::Result<_>>()?;
        let attack = orders.clone();
        let hostile = (orders.plan.hostile.connections > 0).then(|| {
            std::thread::Builder::new()
                .name("hostile".to_owned())
                .spawn(move || hostile::work(&attack))
        });
        Ok(Self {
            board: orders.board.clone(),
            workers,
            hostile: hostile.transpose()?,
        })
    }

    fn has_lost_one(&self) -> bool {
        self.workers
            .iter()
            .any(std::thread::JoinHandle::is_finished)
    }

    /// Waits for the hostile part, then ends the rest.
    async fn end(mut self) -> Result<(Vec<Harvest>, Vec<hostile::Figures>)> {
        let mut attacks = Vec::new();
        if let Some(hostile) = self.hostile.take() {
            while !hostile.is_finished() {
                sleep(LOOK).await;
            }
            attacks = hostile
                .join()
                .map_err(|_| anyhow!("the hostile thread panicked"))??;
        }
        self.board.go(Stage::Stop);
        let workers = std::mem::take(&mut self.workers);
        let join = |worker: std::thread::JoinHandle<Result<Harvest>>| {
            worker.join().map_err(|_| anyhow!("a worker panicked"))?
        };
        let harvests = tokio::task::spawn_blocking(move || workers.into_iter().map(join).collect());
        let harvests: Result<Vec<Harvest>> = harvests.await?;
        Ok((harvests?, attacks))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.board.go(Stage::Stop);
    }
}

/// The run itself; the gateway's own counters come along.
pub(crate) async fn drive(
    orders: &Arc<Orders>,
    sink: Option<&Sink>,
    progress: &mut Progress,
) -> Result<(Catch, BTreeMap<String, f64>)> {
    let before = look(orders);
    let crew = Crew::start(orders)?;
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

fn look(orders: &Orders) -> Option<Usage> {
    machine::usage(orders.site.pid?)
}

async fn ramp(orders: &Orders, crew: &Crew, progress: &mut Progress) -> Result<()> {
    let clients = u64::from(orders.plan.clients());
    let paced = clients / u64::from(orders.plan.phases.ramp);
    let deadline = Instant::now() + Duration::from_secs(paced * 2 + 30);
    let begun = Instant::now();
    progress.begin("ramp", clients);
    loop {
        let board = &orders.board;
        let (entered, failed) = (board.entered.load(Relaxed), board.failed.load(Relaxed));
        progress.at(entered, format!("{failed} failed"));
        if entered + failed >= clients {
            break;
        }
        ensure!(!crew.has_lost_one(), "a worker ended during the ramp");
        if Instant::now() > deadline {
            complain(format!(
                "only {entered} of {clients} clients entered in time"
            ));
            break;
        }
        sleep(LOOK).await;
    }
    let entered = orders.board.entered.load(Relaxed);
    let took = begun.elapsed().as_secs_f64();
    progress.say(format!(
        "{entered} of {clients} clients entered in {took:.1} s"
    ));
    Ok(())
}

fn window(orders: &Orders) -> Window {
    let phases = &orders.plan.phases;
    let start = orders.clock.now() + micros(COUNTDOWN);
    let from = start + micros(phases.warm_up);
    Window {
        start,
        from,
        to: from + micros(phases.steady),
    }
}

/// What was seen of the gateway's process while messages flowed.
struct Watch {
    steady: Usage,
    end: Usage,
    peak_rss_kib: u64,
    longest_queue: u64,
    lasted: Duration,
}

impl Watch {
    fn looks(self, before: Usage) -> Looks {
        Looks {
            before,
            steady: self.steady,
            end: self.end,
            peak_rss_kib: self.peak_rss_kib,
            longest_queue: self.longest_queue,
            lasted: self.lasted,
        }
    }
}

async fn steady(
    orders: &Orders,
    crew: &Crew,
    window: Window,
    progress: &mut Progress,
) -> Result<Option<Watch>> {
    let seconds = |from: Micros, to: Micros| to.saturating_sub(from) / 1_000_000;
    progress.begin("warm-up", seconds(window.start, window.from));
    sleep_until(orders.clock.deadline(window.from)).await;
    let (steady, begun) = (look(orders), Instant::now());
    progress.begin("steady", seconds(window.from, window.to));
    let (mut peak_rss_kib, mut longest_queue) = (0, 0);
    let mut delivered = orders.board.deliveries.load(Relaxed);
    let mut second = begun;
    while orders.clock.now() < window.to {
        second += Duration::from_secs(1);
        sleep_until(second.min(orders.clock.deadline(window.to))).await;
        ensure!(!crew.has_lost_one(), "a worker ended while messages flowed");
        let board = &orders.board;
        let now = board.deliveries.load(Relaxed);
        let (gone, hostile) = (board.gone.load(Relaxed), board.hostile.load(Relaxed));
        let word = format!("{}/s, {gone} lost, {hostile} hostile", now - delivered);
        progress.at(seconds(window.from, orders.clock.now()), word);
        delivered = now;
        peak_rss_kib = look(orders)
            .map_or(0, |usage| usage.rss_kib)
            .max(peak_rss_kib);
        if board.disturbed.load(Relaxed) {
            let queues = machine::send_queues(orders.site.public.port());
            longest_queue = longest_queue.max(queues.map_or(0, |(longest, _)| longest));
        }
    }
    let lasted = begun.elapsed();
    Ok(steady.zip(look(orders)).map(|(steady, end)| Watch {
        steady,
        end,
        peak_rss_kib,
        longest_queue,
        lasted,
    }))
}

/// Waits until everything that is under way has arrived, or the time for it is
/// over.
async fn drain(orders: &Orders, progress: &mut Progress) {
    let plan = &orders.plan;
    let mut limit = plan.phases.drain;
    if let Some(crash) = &plan.host.crash {
        let end = crash.at + plan.host.told_within();
        limit += end.saturating_sub(plan.phases.steady);
    }
    let deadline = Instant::now() + limit;
    orders.board.go(Stage::Drain);
    progress.begin("drain", limit.as_secs());
    let begun = Instant::now();
    // What one worker sends another receives: only a look of every worker that
    // began after all had nothing left proves that nothing is under way.
    let mut quiet: Option<Vec<u64>> = None;
    while Instant::now() < deadline {
        if let Some((looks, left)) = orders.board.behind() {
            progress.at(begun.elapsed().as_secs(), format!("{left} clients behind"));
            let since = quiet.take().unwrap_or_else(|| looks.clone());
            let again = looks.iter().zip(&since).all(|(now, then)| *now >= then + 2);
            if left == 0 && again {
                return;
            }
            quiet = (left == 0).then_some(since);
        }
        sleep(LOOK).await;
    }
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
