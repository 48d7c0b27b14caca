//! The command line: one file per subcommand, each with its `Args` and its
//! `run(args) -> ExitCode`.
//!
//! Invariants: exit codes are [`exit`]'s and nothing else; what a script reads
//! goes to stdout, what a human reads besides goes to stderr, both through
//! writers, so that a closed pipe is an exit code and not a panic.
//!
//! A subcommand owns its runtime, its tracing and its signals; nothing here
//! starts any of these.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

mod callbacks;
mod certs;
mod config;
mod connect;
mod entering;
pub mod exit;
mod host;
mod interrupt;
pub mod print;
mod serve;
mod show;
mod typed;
mod usersig;
mod watch;

/// Self-hosted signaling access server for live rooms.
#[derive(Debug, Parser)]
#[command(name = "livegate", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Callbacks(callbacks::Args),
    Certs(certs::Args),
    Config(config::Args),
    Host(host::Args),
    Serve(serve::Args),
    Usersig(usersig::Args),
    Watch(watch::Args),
}

/// Runs the command that `args` name (the first is the program's own name)
/// and returns the process's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(args) {
        Ok(cli) => run(cli.command),
        Err(error) => explain(&error),
    }
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Callbacks(args) => callbacks::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Host(args) => host::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Usersig(args) => usersig::run(args),
        Command::Watch(args) => watch::run(&args),
    }
}

/// Runs a client's command to its end on this thread.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
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
    ExitCode::from(if asked { exit::OK } else { exit::USAGE })
}
