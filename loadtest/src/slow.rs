//! `slow-backend`: what rooms feel when the backend of another app that is asked
//! before each message is slow, or down.
//!
//! One gateway, two apps. In one, rooms are measured; in the other, askers keep
//! saying what the backend must allow. Each round plays a block of every
//! [`Phase`], in an order that turns from round to round, so that whatever the
//! machine does meanwhile is done to all of them; ratios are taken within a
//! round. After a block in which the backend was disturbed it comes back, and the
//! time is taken until nothing is refused any more; the gateway is never
//! restarted. `on_timeout` is `refuse`, so that a message that passes was asked
//! about.
//!
//! Threads: one for those who are measured, one for the askers, one for the
//! backend, and this one, which only waits and looks.

mod backend;
mod cast;
mod counters;
mod guest;
mod record;
mod scene;
mod table;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use livegate_client::Roots;
use tokio::time::{Instant, sleep, sleep_until};

use self::backend::Backend;
use self::cast::Cast;
use self::counters::Asks;
use self::record::{Group, Phase};
use self::scene::{Scene, Span};
use self::verdict::{Felt, Figures, Limits, Report, Return};
use crate::clock::{Clock, Micros, micros};
use crate::compare::look;
use crate::dice::Dice;
use crate::doors::KEY;
use crate::gateway::{Gateway, app};
use crate::identity::{App, DEV_APP, DEV_KEY};
use crate::progress::{answer, complain};
use crate::run::{CALLBACK_SECRET, binary};
use crate::site::Site;
use crate::{finish, http, machine, report, span};

/// The app that asks; the development app does not.
const ASKING_APP: u32 = DEV_APP + 1;
/// How long the gateway leaves a backend alone that has failed too often: its
/// default, written down so that it is what recovery is judged by.
const BREAKER_REST: Duration = Duration::from_secs(5);
/// What is granted beyond the time after which the gateway must have noticed.
const GRANTED: Duration = Duration::from_millis(500);
/// Without a refusal for so long the askers are back to normal.
const CALM: Duration = Duration::from_millis(1_500);
/// Most time for that.
const RETURN_WITHIN: Duration = Duration::from_secs(20);
/// From a block to the next, for what it left behind.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages flow so long before the first block.
const WARM_UP: Duration = Duration::from_secs(2);
/// Most time for all to be in their rooms.
const RAMP_WITHIN: Duration = Duration::from_secs(60);
/// Most time for what is under way after the last block.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(20);

/// Arguments of `slow-backend`.
#[derive(Debug, Args)]
pub(crate) struct SlowArgs {
    /// How often each block is played.
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long a block lasts.
    #[arg(long, default_value = "6s", value_parser = span::parse)]
    block: Duration,
    /// Rooms of the app that asks nothing.
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rooms: u32,
    /// Listeners in each of these.
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    viewers: u32,
    /// Messages a second in each of these; a client may say 5.
    #[arg(long, default_value = "4", value_parser = clap::value_parser!(u32).range(1..=5))]
    rate: u32,
    /// Who says a message a second that is asked about: more than the places
    /// for questions (256) over the time of a slow answer.
    #[arg(long, default_value = "256", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    askers: u32,
    /// How long a slow backend takes for an answer.
    #[arg(long, default_value = "2s", value_parser = span::parse)]
    answer_after: Duration,
    /// How long the gateway waits for one; more than `--answer-after` keeps the
    /// places full, less opens the breaker.
    #[arg(long, default_value = "3s", value_parser = span::parse)]
    ask_timeout: Duration,
    /// Most growth of the gateway's memory since the first block, MiB.
    #[arg(long, default_value = "32")]
    growth_mib: u32,
    /// Judges only what must hold however busy the machine is.
    #[arg(long)]
    untimed: bool,
    /// The gateway to start; by default the `livegate` beside this program.
    #[arg(long, value_name = "FILE", env = "LIVEGATE_BIN")]
    gateway: Option<PathBuf>,
    /// Where the JSON report goes [default: loadtest-out/slow-backend-TIME.json].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Says nothing while it goes on.
    #[arg(long, short)]
    quiet: bool,
}

impl SlowArgs {
    /// From the first connection to the end of everything, at most.
    fn longest(&self) -> Duration {
        let round = (self.block + PAUSE * 2) * 4 + RETURN_WITHIN * 2;
        round * self.rounds + RAMP_WITHIN + WARM_UP + DRAIN_WITHIN + Duration::from_secs(60)
    }

    fn limits(&self) -> Limits {
        // With answers that are too late the breaker opens.
        let slow = match self.answer_after < self.ask_timeout {
            true => self.answer_after,
            false => self.ask_timeout.max(BREAKER_REST),
        };
        let within = |noticed: Duration| match self.untimed {
            true => RETURN_WITHIN,
            false => noticed + GRANTED,
        };
        Limits {
            ratio: 1.1,
            growth_mib: self.growth_mib.into(),
            slow_settles: within(slow),
            down_settles: within(BREAKER_REST),
            timed: !self.untimed,
        }
    }

    fn setting(&self, places: &Places) -> String {
        let cores = |cpus: &[usize]| match cpus {
            [] => "any core".to_owned(),
            cpus => format!("{} core(s)", cpus.len()),
        };
        format!(
            "{} rooms of {} without questions, {} messages/s each; {} askers, one message/s \
             each; slow: {} an answer, waited for {}; {} rounds, blocks of {}; gateway on {} \
             of {}",
            self.rooms,
            self.viewers,
            self.rate,
            self.askers,
            span::print(self.answer_after),
            span::print(self.ask_timeout),
            self.rounds,
            span::print(self.block),
            cores(&places.gateway),
            places.cores,
        )
    }
}

/// Which cores whose threads are held to; none: to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Places {
    /// Of the machine, asked before this thread was held to some of them.
    cores: usize,
    gateway: Vec<usize>,
    measured: Vec<usize>,
    others: Vec<usize>,
}

impl Places {
    fn of(cores: usize) -> Self {
        let (gateway, measured, others) = match cores {
            0 | 1 => (0..0, 0..0, 0..0),
            2 => (0..1, 1..2, 1..2),
            3 => (0..1, 1..2, 2..3),
            more => (0..2, 2..3, 3..more),
        };
        Self {
            cores,
            gateway: gateway.collect(),
            measured: measured.collect(),
            others: others.collect(),
        }
    }
}

/// Plays all rounds; whether the limits held.
///
/// # Errors
/// When the gateway cannot be started, or the run broke.
pub(crate) fn main(args: &SlowArgs) -> Result<bool> {
    machine::allow_files(u64::from(
        args.rooms * (args.viewers + 1) + args.askers * 2 + 1_000,
    ))?;
    let places = Places::of(machine::cores());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let held = runtime.block_on(finish::within(args.longest(), play(args, &places)));
    // Dropping the runtime kills a gateway that is still there.
    runtime.shutdown_background();
    held
}

async fn play(args: &SlowArgs, places: &Places) -> Result<bool> {
    let clock = Clock::start();
    let began = clock.unix();
    let mut dice = Dice::new(clock.unix_ms());
    let backend = Backend::new(&mut dice, &places.others)?;
    machine::pin(&places.gateway)?;
    let binary = binary(args.gateway.as_deref())?;
    let settings = settings(&backend.url(), args.ask_timeout);
    let gateway = Gateway::start(&binary, &settings, &mut dice).await?;
    machine::pin(&places.others)?;
    let mut stage = Stage::open(args, places, &gateway, backend, clock).await?;
    let blocks = stage.rounds().await?;
    let faults = stage.scene.record.lock().faults().clone();
    stage.close()?;
    gateway.stop().await?;
    let report = Report::new(args.setting(places), args.limits(), blocks, faults);
    let default = || PathBuf::from(format!("loadtest-out/slow-backend-{began}.json"));
    let file = args.out.clone().unwrap_or_else(default);
    report::write_json(&report, &file)?;
    answer(table::render(&report))?;
    answer(report::verdict(report.held, file.display()))?;
    Ok(report.held)
}

/// Logs of rooms keep ten seconds, so that memory does not grow by them for two
/// minutes; the rest is as it is by default but for what is asked.
fn settings(hook: &str, ask_timeout: Duration) -> String {
    let (timeout, rest) = (span::print(ask_timeout), span::print(BREAKER_REST));
    format!(
        "[rooms.log]\nage = \"10s\"\n[internal]\napi_keys = [\"{KEY}\"]\n\
         [callback]\nask_timeout = \"{timeout}\"\nbreaker_rest = \"{rest}\"\n\
         {}[[apps]]\nsdk_app_id = {ASKING_APP}\nkeys = [\"{DEV_KEY}\"]\n\
         [apps.callback]\nurl = \"{hook}\"\nsecrets = [\"{CALLBACK_SECRET}\"]\n\
         ask = [\"Group.CallbackBeforeSendMsg\"]\non_timeout = \"refuse\"\ntell = []\n",
        app()
    )
}

/// All that runs while blocks are played.
struct Stage<'a> {
    args: &'a SlowArgs,
    gateway: &'a Gateway,
    pid: u32,
    backend: Backend,
    scene: Arc<Scene>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.scene.stop.cancel();
    }
}

impl<'a> Stage<'a> {
    /// Brings everybody into their rooms and lets messages flow.
    async fn open(
        args: &'a SlowArgs,
        places: &Places,
        gateway: &'a Gateway,
        mut backend: Backend,
        clock: Clock,
    ) -> Result<Self> {
        backend.answer_after(Duration::ZERO)?;
        let site = |app| {
            Ok::<_, anyhow::Error>(Site {
                public: gateway.public,
                internal: Some(gateway.internal),
                pid: gateway.pid(),
                server_name: "localhost".to_owned(),
                roots: Roots::pem_file(gateway.certificate()?)?,
                certificate: gateway.certificate()?,
                app: App::new(app, DEV_KEY),
            })
        };
        let cast = Cast {
            rooms: args.rooms,
            viewers: args.viewers,
            rate: args.rate.into(),
            askers: args.askers,
            plain: site(DEV_APP)?,
            asking: site(ASKING_APP)?,
            internal: gateway.internal,
        };
        let connections = cast.connections();
        let mut stage = Self {
            args,
            gateway,
            pid: gateway.pid().context("the gateway runs")?,
            backend,
            scene: Arc::new(Scene::new(clock)),
            threads: Vec::new(),
        };
        let (measured, askers) = (cast.clone(), cast);
        let scene = &stage.scene;
        let threads = [
            cast::start("measured", &places.measured, scene, |scene| {
                cast::measured(scene, measured)
            })?,
            cast::start("askers", &places.others, scene, |scene| {
                cast::askers(scene, askers)
            })?,
        ];
        stage.threads.extend(threads);
        stage.ramp(connections).await?;
        Ok(stage)
    }

    async fn ramp(&self, connections: usize) -> Result<()> {
        let deadline = Instant::now() + RAMP_WITHIN;
        while self.scene.entered.load(Relaxed) < connections {
            self.sound()?;
            ensure!(Instant::now() < deadline, "not all entered in time");
            sleep(LOOK).await;
        }
        let from = self.scene.clock.now() + micros(PAUSE);
        let to = from + micros(self.args.longest());
        self.scene.begin(Span { from, to });
        sleep(WARM_UP).await;
        self.sound()
    }

    /// Breaks off at the first fault: figures of a scene that lacks somebody
    /// are none.
    fn sound(&self) -> Result<()> {
        let record = self.scene.record.lock();
        match record.faults().iter().next() {
            Some((what, _)) => bail!(
                "{what}; the gateway said last:\n{}",
                self.gateway.log_tail()
            ),
            None => Ok(()),
        }
    }

    /// Plays all blocks. What is late is waited for before anything is counted.
    async fn rounds(&mut self) -> Result<Vec<Figures>> {
        let rounds = self.args.rounds as usize;
        let mut blocks = Vec::new();
        for round in 0..rounds {
            let mut phases = Phase::ALL;
            phases.rotate_left(round % Phase::ALL.len());
            for phase in phases {
                let mut figures = self.block(round, phase).await?;
                self.felt(blocks.len(), &mut figures);
                if !self.args.quiet {
                    complain(table::line(&figures, rounds));
                }
                blocks.push(figures);
                self.sound()?;
                sleep(PAUSE).await;
            }
        }
        let deadline = Instant::now() + DRAIN_WITHIN;
        // The last message that was due may be on its way still.
        while self.scene.record.lock().under_way() > 0 && Instant::now() < deadline {
            sleep(LOOK).await;
        }
        for (index, figures) in blocks.iter_mut().enumerate() {
            self.felt(index, figures);
        }
        Ok(blocks)
    }

    async fn block(&mut self, round: usize, phase: Phase) -> Result<Figures> {
        let asking = phase != Phase::Unasked;
        self.scene.asking.store(asking, Relaxed);
        let (before, first) = (self.asks().await?, look(self.pid)?);
        let from = self.scene.clock.now();
        let to = from + micros(self.args.block);
        self.scene.record.lock().begin(from, to);
        match phase {
            Phase::Unasked | Phase::Quick => {}
            Phase::Slow => self.backend.answer_after(self.args.answer_after)?,
            Phase::Down => self.backend.go_down()?,
        }
        sleep_until(self.scene.clock.deadline(to)).await;
        let last = look(self.pid)?;
        let asks = self.asks().await?.since(before);
        let percent = |before: u64, after: u64| {
            let spent = after.saturating_sub(before);
            spent as f64 / (last.at - first.at).max(1) as f64 * 100.0
        };
        self.scene.asking.store(true, Relaxed);
        let back = match phase.is_disturbed() {
            true => Some(self.come_back().await?),
            false => None,
        };
        let silent = Felt {
            lost: 0,
            latency: None,
        };
        Ok(Figures {
            round,
            phase,
            plain: silent,
            pushed: silent,
            asks,
            rss_kib: last.rss_kib,
            cpu_percent: percent(first.ran_us, last.ran_us),
            waited_percent: percent(first.waited_us, last.waited_us),
            back,
        })
    }

    /// Takes over what was heard in block `index`.
    fn felt(&self, index: usize, figures: &mut Figures) {
        let record = self.scene.record.lock();
        if let Some(block) = record.blocks().get(index) {
            figures.plain = block.heard(Group::Plain).into();
            figures.pushed = block.heard(Group::Pushed).into();
        }
    }

    /// Lets the backend answer at once again and waits until nothing is refused.
    async fn come_back(&mut self) -> Result<Return> {
        self.backend.answer_after(Duration::ZERO)?;
        let clock = self.scene.clock;
        self.scene.record.lock().is_back(clock.now());
        let deadline = Instant::now() + RETURN_WITHIN;
        loop {
            sleep(LOOK).await;
            let back = self.scene.record.lock().back();
            if back.is_settled(clock.now(), micros(CALM)) || Instant::now() > deadline {
                let seconds = |us: Micros| us as f64 / 1e6;
                return Ok(Return {
                    passes_s: back.passes_after().map(seconds),
                    settles_s: back.settled_after().map(seconds),
                });
            }
        }
    }

    async fn asks(&self) -> Result<Asks> {
        let (status, text) = http::get(self.gateway.internal, "/metrics").await?;
        ensure!(status == 200, "/metrics answered {status}");
        Ok(Asks::parse(&text))
    }

    /// Ends the threads, then the backend.
    fn close(mut self) -> Result<()> {
        self.scene.stop.cancel();
        for thread in self.threads.drain(..) {
            ensure!(thread.join().is_ok(), "a thread of clients panicked");
        }
        self.backend.go_down()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: SlowArgs,
    }

    fn args(line: &str) -> SlowArgs {
        let words = std::iter::once("slow-backend").chain(line.split_ascii_whitespace());
        Line::try_parse_from(words).unwrap().args
    }

    #[test]
    fn nobody_shares_the_gateways_cores_where_there_are_two() {
        for cores in 2..=16 {
            let places = Places::of(cores);
            let clients = places.measured.iter().chain(&places.others);
            assert!(clients.clone().all(|cpu| !places.gateway.contains(cpu)));
            assert!(clients.chain(&places.gateway).all(|cpu| *cpu < cores));
        }
        assert!(Places::of(1).gateway.is_empty());
    }

    #[test]
    fn an_answer_too_late_for_the_gateway_is_granted_the_breakers_rest() {
        let limits = args("").limits();
        assert_eq!(limits.slow_settles, Duration::from_millis(2_500));
        assert_eq!(limits.down_settles, Duration::from_millis(5_500));
        let limits = args("--ask-timeout 2s").limits();
        assert_eq!(limits.slow_settles, Duration::from_millis(5_500));
        let limits = args("--untimed").limits();
        assert_eq!(limits.down_settles, RETURN_WITHIN);
    }
}
