//! `compare`: one fan-out played against several targets in turn, in one go.
//!
//! Each block plays every target once, so that whatever the machine does
//! meanwhile is done to all of them; ratios are taken within a block. A target
//! gets a new process for each block. Subscribers live in worker processes that
//! read every target with the same loop, see [`mod@worker`].

mod block;
mod bootstrap;
mod crew;
mod curve;
mod dial;
mod limit_server;
mod page;
mod plan;
mod plot;
mod publisher;
mod server;
mod spread;
mod storm;
mod table;
mod track;
mod under;
mod verdict;
mod watch;
mod wire;
mod worker;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use self::block::Figures;
use self::plan::{Plan, Target};
use self::verdict::Report;
use crate::cli::Failure;
use crate::clock::Clock;
use crate::dice::Dice;
use crate::machine;
use crate::progress::{answer, complain};
use crate::run::binary;

pub(crate) use self::bootstrap::{Interval, interval, median};
pub(crate) use self::curve::{CurveArgs, main as curve};
pub(crate) use self::limit_server::{LimitArgs, main as limit_server};
pub(crate) use self::under::{UnderArgs, main as under};
pub(crate) use self::watch::look;
pub(crate) use self::worker::main as worker;

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The plan, a TOML file such as loadtest/plans/compare/fanout-1k-1.toml.
    plan: PathBuf,
    /// What it is played against, instead of the plan's own list.
    #[arg(long, value_delimiter = ',', value_enum)]
    targets: Vec<Target>,
    /// How often each is played, instead of the plan's own count.
    #[arg(long)]
    blocks: Option<u32>,
    /// The gateway to start; by default the `livegate` beside this program.
    #[arg(long, value_name = "FILE", env = "LIVEGATE_BIN")]
    gateway: Option<PathBuf>,
    /// Where the reports go, without extension [default:
    /// loadtest-out/PLAN-TIME]: FILE.json and FILE.html.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Says nothing while it goes on.
    #[arg(long, short)]
    quiet: bool,
}

/// Plays what `args` say; whether the plan's limits held.
///
/// # Errors
/// When the plan cannot be read or done, or the run broke.
pub(crate) fn main(args: &CompareArgs) -> Result<bool, Failure> {
    let mut plan = plan::read(&args.plan).map_err(|error| Failure::Plan(error.to_string()))?;
    if !args.targets.is_empty() {
        plan.targets.clone_from(&args.targets);
    }
    plan.blocks = args.blocks.unwrap_or(plan.blocks).max(1);
    if let Some(what) = too_small(&plan, machine::cores()) {
        complain(format!("skipped: {what}"));
        return Ok(true);
    }
    Ok(until_interrupted(play(args, &plan))?)
}

/// Plays on a runtime of its own, to the end or to a signal.
fn until_interrupted(play: impl Future<Output = Result<bool>>) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let held = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            biased;
            held = play => held,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                bail!("interrupted")
            }
            _ = terminated.recv() => bail!("terminated"),
        }
    });
    // Dropping the runtime kills what is still there.
    runtime.shutdown_background();
    held
}

/// Why the plan cannot be played on so many cores.
fn too_small(plan: &Plan, cores: usize) -> Option<String> {
    let needed = plan.server_cpus.iter().chain(&plan.worker_cpus).max()? + 1;
    (cores < needed).then(|| format!("the plan needs {needed} cores, here are {cores}"))
}

async fn play(args: &CompareArgs, plan: &Plan) -> Result<bool> {
    let clock = Clock::start();
    let began_ms = clock.unix_ms();
    let mut dice = Dice::new(began_ms);
    let cores = machine::cores();
    machine::pin(&plan.worker_cpus)?;
    let gateway = binary(args.gateway.as_deref())?;
    let mut blocks = Vec::new();
    let mut batch = plan.limit_batch.unwrap_or(1.0);
    for block in 0..plan.blocks {
        for target in &plan.targets {
            let played = block::play(plan, *target, block, &gateway, batch, &mut dice);
            let figures = timeout(block::longest(plan), played)
                .await
                .with_context(|| format!("{target} did not end"))??;
            if !args.quiet {
                complain(line(&figures, plan.blocks));
            }
            // The limit joins what livegate joined just before it.
            if let (true, None, Some(seen)) =
                (target.is_livegate(), plan.limit_batch, figures.batch)
            {
                batch = seen.max(1.0);
            }
            blocks.push(figures);
        }
    }
    let name = args.plan.file_stem().unwrap_or_default().to_string_lossy();
    let report = Report::new(cores, &name, plan.clone(), began_ms, blocks);
    let default = || PathBuf::from(format!("loadtest-out/{name}-{}", began_ms / 1_000));
    let files = page::write(&report, &args.out.clone().unwrap_or_else(default))?;
    answer(table::render(&report))?;
    answer(crate::report::verdict(report.held, files))?;
    Ok(report.held)
}

/// What is said when a target was played.
fn line(figures: &Figures, blocks: u32) -> String {
    let cpu = figures.cpu_per_delivery_us.unwrap_or_default();
    let batch = figures.batch.unwrap_or_default();
    let last = figures.last.summary().map_or(0.0, |last| last.p99_ms);
    format!(
        "block {} of {blocks}  {:<13} {cpu:>8.3} us/delivery  batch {batch:>5.1}  \
         last p99 {last:>8.1} ms  {:>6.1} % CPU  faults {}",
        figures.block + 1,
        figures.target,
        figures.cpu_percent,
        figures.faults()
    )
}

/// CPU time that all threads of a process have had, microseconds.
///
/// # Errors
/// When it is gone.
pub(crate) fn ran_us(pid: u32) -> Result<u64> {
    Ok(look(pid)?.ran_us)
}
