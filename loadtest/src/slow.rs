//! `slow-backend`: what rooms feel when the backend of another app that is asked
//! before each message is slow, or down.
//!
//! One gateway, two apps. In one, rooms are measured; in the other, askers keep
//! saying what the backend must allow. Each round plays a block of every
//! [`Phase`](record::Phase), in an order that turns from round to round, so that whatever the
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
mod stage;
mod table;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use self::backend::Backend;
use self::stage::Stage;
use self::verdict::{Limits, Report};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::doors::KEY;
use crate::gateway::{Gateway, app};
use crate::identity::{DEV_APP, DEV_KEY};
use crate::progress::answer;
use crate::run::{CALLBACK_SECRET, binary};
use crate::{finish, machine, report, span};

/// The app that asks; the development app does not.
const ASKING_APP: u32 = DEV_APP + 1;
/// How long the gateway leaves a backend alone that has failed too often: its
/// default, written down so that it is what recovery is judged by.
const BREAKER_REST: Duration = Duration::from_secs(5);
/// What is granted beyond the time after which the gateway must have noticed.
const GRANTED: Duration = Duration::from_millis(500);
/// Most time until the askers are back to normal.
const RETURN_WITHIN: Duration = Duration::from_secs(20);
/// From a block to the next, for what it left behind.
const PAUSE: Duration = Duration::from_millis(500);
/// Messages flow so long before the first block.
const WARM_UP: Duration = Duration::from_secs(2);
/// Most time for all to be in their rooms.
const RAMP_WITHIN: Duration = Duration::from_secs(60);
/// Most time for what is under way after the last block.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

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
