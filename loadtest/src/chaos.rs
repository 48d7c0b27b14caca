//! `chaos`: kills hosts and gateways and checks what viewers and the backend
//! are told.
//!
//! Everything random comes from one seed, everything is bounded in time, and
//! only processes that were started here are killed, by their id.

mod bounds;
mod caller;
mod deeds;
mod host_kill;
mod killer;
mod lives;
mod server_kill;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use self::bounds::Bounds;
use self::caller::Ground;
use crate::cli::Failure;
use crate::clock::Clock;
use crate::dice::Dice;
use crate::finish;
use crate::gateway::Gateway;
use crate::identity::App;
use crate::progress::{Progress, answer};
use crate::report::{self, Check};
use crate::run::{CALLBACK_SECRET, binary, callbacks};
use crate::sink::Sink;
use crate::site::Site;

/// Arguments of `chaos`.
#[derive(Debug, Args)]
pub(crate) struct ChaosArgs {
    /// The gateway to start, also run as `livegate host`; by default the
    /// `livegate` beside this program.
    #[arg(long, value_name = "FILE", env = "LIVEGATE_BIN")]
    pub(crate) gateway: Option<PathBuf>,
    /// Hosts that are killed (SIGKILL); every fourth comes back in time first.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) host_kills: u32,
    /// Hosts that are stopped (SIGSTOP).
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) host_stops: u32,
    /// Times that the gateway is killed (SIGKILL) under live load.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) server_kills: u32,
    /// Hosts that play in parallel.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) parallel: u32,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Tells how soon things happened and judges only what must hold however
    /// busy the machine is: how often, in which order, and never too early.
    #[arg(long)]
    pub(crate) untimed: bool,
    /// Where the JSON report goes [default: loadtest-out/chaos-TIME.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// The name in the gateway's certificate.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub(crate) server_name: String,
}

impl ChaosArgs {
    fn bounds(&self) -> Bounds {
        match self.untimed {
            true => Bounds::Untimed,
            false => Bounds::Timed,
        }
    }
}

/// How long what was started may take to go when a run is over.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What a chaos run tells.
#[derive(Debug, Serialize)]
struct Report {
    began_ms: u64,
    seed: u64,
    timed: bool,
    release: bool,
    host_kill: Option<host_kill::Figures>,
    server_kill: Option<server_kill::Figures>,
    checks: Vec<Check>,
    violations: Vec<String>,
    held: bool,
}

impl Report {
    fn take<F>(&mut self, (figures, checks, violations): (F, Vec<Check>, Vec<String>)) -> F {
        self.checks.extend(checks);
        self.violations.extend(violations);
        figures
    }
}

/// Plays the parts that `args` ask for; whether everything held.
///
/// # Errors
/// When a part could not be played to its end.
pub(crate) fn main(args: &ChaosArgs) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let usual = Duration::from_secs(120)
        + Duration::from_secs(10) * (args.server_kills + args.host_kills + 3 * args.host_stops);
    let longest = args.bounds().wait(Duration::ZERO) + usual;
    let held = runtime.block_on(finish::within(longest, play(args)));
    // Its tasks hold the processes that are still there, and kill them when they
    // are dropped: wait for that.
    runtime.shutdown_timeout(END_WITHIN);
    Ok(held?)
}

async fn play(args: &ChaosArgs) -> Result<bool> {
    let clock = Clock::start();
    let mut progress = Progress::new(args.quiet);
    let mut report = Report {
        began_ms: clock.unix_ms(),
        seed: args.seed,
        timed: args.bounds().timed(),
        release: !cfg!(debug_assertions),
        host_kill: None,
        server_kill: None,
        checks: Vec::new(),
        violations: Vec::new(),
        held: false,
    };
    if args.host_kills + args.host_stops > 0 {
        let outcome = kill_hosts(args, clock, &progress).await?;
        report.host_kill = Some(report.take(outcome));
    }
    if args.server_kills > 0 {
        let outcome = kill_servers(args, clock, &mut progress).await?;
        report.server_kill = Some(report.take(outcome));
    }
    progress.end();
    report.held = report.checks.iter().all(|check| check.held);
    conclude(args, &report)
}

fn conclude(args: &ChaosArgs, report: &Report) -> Result<bool> {
    let default = || {
        PathBuf::from(format!(
            "loadtest-out/chaos-{}.json",
            report.began_ms / 1_000
        ))
    };
    let file = args.out.clone().unwrap_or_else(default);
    report::write_json(report, &file)?;
    for violation in &report.violations {
        answer(format!("violation: {violation}"))?;
    }
    if let Some(table) = report::checks(&report.checks) {
        answer(table)?;
    }
    let verdict = if report.held {
        "all held"
    } else {
        "NOT all held"
    };
    answer(format!(
        "{verdict}; seed {}; {}",
        report.seed,
        file.display()
    ))?;
    Ok(report.held)
}

/// A gateway of our own and the ground that it makes.
async fn ground(args: &ChaosArgs, clock: Clock, settings: &str) -> Result<(Gateway, Arc<Ground>)> {
    let binary = binary(args.gateway.as_deref())?;
    let mut dice = Dice::new(clock.unix_ms());
    let gateway = Gateway::start(&binary, settings, &mut dice).await?;
    let site = Site {
        public: gateway.public,
        internal: Some(gateway.internal),
        pid: None,
        server_name: args.server_name.clone(),
        roots: livegate_client::Roots::pem_file(gateway.certificate()?)?,
        certificate: gateway.certificate()?,
        app: App::new(crate::identity::DEV_APP, crate::identity::DEV_KEY),
    };
    let dialers = site.dialers()?;
    let ground = Ground {
        site,
        dialers,
        clock,
    };
    Ok((gateway, Arc::new(ground)))
}

type Outcome<F> = (F, Vec<Check>, Vec<String>);

async fn kill_hosts(
    args: &ChaosArgs,
    clock: Clock,
    progress: &Progress,
) -> Result<Outcome<host_kill::Figures>> {
    let (gateway, ground) = ground(args, clock, "").await?;
    progress.say(format!(
        "killing {} hosts and stopping {}",
        args.host_kills, args.host_stops
    ));
    let binary = binary(args.gateway.as_deref())?;
    let outcome = host_kill::play(
        &ground,
        (&binary, &gateway.certificate()?),
        (args.host_kills, args.host_stops),
        (args.parallel, args.bounds()),
        &Dice::new(args.seed),
    )
    .await;
    gateway.stop().await?;
    Ok(outcome)
}

async fn kill_servers(
    args: &ChaosArgs,
    clock: Clock,
    progress: &mut Progress,
) -> Result<Outcome<server_kill::Figures>> {
    let dice = Dice::new(args.seed).fork(u64::MAX - 1);
    let refused = server_kill::REFUSED_PERCENT;
    let sink = Sink::start(CALLBACK_SECRET, clock, dice.clone(), refused).await?;
    let grace = crate::span::print(lives::GRACE);
    let settings = format!(
        "[rooms]\ngrace = \"{grace}\"\nrestart_grace = \"{grace}\"\n[internal]\napi_keys = [\"{}\"]\n{}",
        server_kill::API_KEY,
        callbacks(&sink.url(), CALLBACK_SECRET)
    );
    let (mut gateway, ground) = ground(args, clock, &settings).await?;
    progress.say(format!("killing the gateway {} times", args.server_kills));
    let hosts = args.parallel * 2;
    let part = (args.server_kills, hosts, args.bounds());
    let outcome = server_kill::play(&mut gateway, &ground, &sink, part, &dice, progress).await?;
    gateway.stop().await?;
    Ok(outcome)
}
