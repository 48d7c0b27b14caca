//! Arguments and exit codes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::chaos::ChaosArgs;
use crate::compare::{CompareArgs, CurveArgs, LimitArgs, UnderArgs};
use crate::doors::DoorsArgs;
use crate::identity::{DEV_APP, DEV_KEY};
use crate::slow::SlowArgs;

/// The limits held.
const HELD: u8 = 0;
/// They did not, or the run could not be finished.
const NOT_HELD: u8 = 1;
/// The arguments are wrong.
const USAGE: u8 = 64;
/// The plan is wrong, or the machine cannot do it.
const PLAN: u8 = 78;

/// Drives livegate with many clients and checks what each of them sees.
#[derive(Debug, Parser)]
#[command(
    name = "livegate-loadtest",
    version,
    about,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays a plan and says whether its limits held.
    Run(Box<RunArgs>),
    /// Kills hosts and gateways and checks what viewers and the backend are told.
    Chaos(ChaosArgs),
    /// Plays one fan-out against livegate, peers and the bare loop in turn.
    Compare(CompareArgs),
    /// Draws what livegate's window does as the rate grows.
    Curve(CurveArgs),
    /// Measures what the backend's doors take on one core.
    Doors(DoorsArgs),
    /// Looks what other rooms feel of an asked backend that is slow or down.
    SlowBackend(SlowArgs),
    /// A process of subscribers; `compare` starts it.
    #[command(hide = true)]
    Worker,
    /// A process of clients; `run` starts it.
    #[command(hide = true)]
    Clients,
    /// The bare loop; `compare` starts it.
    #[command(hide = true)]
    LimitServer(LimitArgs),
    /// Turns into another program, held to some cores; `compare` starts it.
    #[command(hide = true)]
    Under(UnderArgs),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The plan, a TOML file such as loadtest/plans/live-room.toml.
    pub(crate) plan: PathBuf,
    /// Starts a gateway of its own in dev mode on free loopback ports and stops
    /// it afterwards; its memory and CPU are read from outside.
    #[arg(long)]
    pub(crate) spawn: bool,
    /// The gateway to start; by default the `livegate` beside this program.
    #[arg(long, value_name = "FILE", env = "LIVEGATE_BIN")]
    pub(crate) gateway: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Drives the clients from so many processes in place of threads of one: each
    /// may have as many files open as the system allows [default: the plan's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) processes: Option<u32>,
    /// Holds the gateway to the first N cores and the clients to the others.
    #[arg(long, value_name = "N", requires = "spawn")]
    pub(crate) server_cores: Option<usize>,
    /// Where the JSON report goes [default: loadtest-out/PLAN-TIME.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Shows no progress.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// A gateway that runs already.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Its public port.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:7443",
        conflicts_with = "spawn"
    )]
    pub(crate) server: SocketAddr,
    /// Its internal port, for its own counters.
    #[arg(long, value_name = "ADDR", conflicts_with = "spawn")]
    pub(crate) internal: Option<SocketAddr>,
    /// Its process, when it runs on this machine: memory and CPU are read.
    #[arg(long, conflicts_with = "spawn")]
    pub(crate) pid: Option<u32>,
    /// The certificate to trust [default: certs/livegate.pem or
    /// certs/dev-ca.pem].
    #[arg(long, value_name = "FILE", conflicts_with = "spawn")]
    pub(crate) ca: Option<PathBuf>,
    /// The name in its certificate.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub(crate) server_name: String,
    /// The sdk_app_id to log in to.
    #[arg(long, value_name = "ID", default_value_t = DEV_APP)]
    pub(crate) app: u32,
    /// The app's key; the development app's by default.
    #[arg(long, value_name = "KEY", env = "LIVEGATE_KEY", default_value = DEV_KEY, hide_default_value = true, hide_env_values = true)]
    pub(crate) key: String,
}

/// Why a command failed, apart from limits that did not hold.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The plan is wrong, or the machine cannot do it.
    Plan(String),
    /// It broke on the way.
    Broken(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

/// Does what the arguments say.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let done = match cli.command {
        Command::Run(args) => crate::run::main(&args),
        Command::Chaos(args) => crate::chaos::main(&args),
        Command::Compare(args) => crate::compare::main(&args),
        Command::Curve(args) => crate::compare::curve(&args),
        Command::Doors(args) => crate::doors::main(&args).map_err(Failure::Broken),
        Command::SlowBackend(args) => crate::slow::main(&args).map_err(Failure::Broken),
        Command::Worker => crate::compare::worker().map_err(Failure::Broken),
        Command::Clients => crate::run::clients().map_err(Failure::Broken),
        Command::LimitServer(args) => crate::compare::limit_server(&args).map_err(Failure::Broken),
        Command::Under(args) => crate::compare::under(&args).map_err(Failure::Broken),
    };
    ExitCode::from(match done {
        Ok(true) => HELD,
        Ok(false) => NOT_HELD,
        Err(Failure::Plan(what)) => {
            crate::progress::complain(what);
            PLAN
        }
        Err(Failure::Broken(error)) => {
            crate::progress::complain(format!("livegate-loadtest: {error:#}"));
            NOT_HELD
        }
    })
}

/// Prints what clap has to say: help and version are answers, all else is a
/// usage error.
fn explain(error: &clap::Error) -> ExitCode {
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    // Nobody is left to tell when this fails: the pipe is closed.
    let _ = error.print();
    ExitCode::from(if asked { HELD } else { USAGE })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Cli::command().debug_assert();
    }
}
