//! `under`: turns into another program that is held to some cores, may open
//! many files, and dies with who started it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::machine;

/// Arguments of `under`.
#[derive(Debug, Args)]
pub(crate) struct UnderArgs {
    /// Cores that it is held to.
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<usize>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The arguments that make this program turn into `command` on `cpus`.
pub(super) fn arguments(cpus: &[usize], command: &[OsString]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["under".into()];
    if !cpus.is_empty() {
        let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
        arguments.extend(["--cpus".into(), cpus.join(",").into()]);
    }
    arguments.push("--".into());
    arguments.extend_from_slice(command);
    arguments
}

/// Does not come back but with an error.
///
/// # Errors
/// When the program cannot be started as asked.
pub(crate) fn main(args: &UnderArgs) -> Result<bool> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    machine::pin(&args.cpus)?;
    machine::allow_files(0)?;
    let (program, rest) = args.command.split_first().context("a program is named")?;
    let failed = Command::new(program).args(rest).exec();
    Err(failed).with_context(|| format!("starting {}", program.display()))
}
