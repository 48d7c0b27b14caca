//! `livegate config`: prints the commented sample, checks a file.
//!
//! `check` goes as far as a start can go without binding or writing: the file
//! is read and held to every rule, and so are the keys and certificates that it
//! names.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{exit, print};
use crate::config::{self, ConfigError, Ground};

/// Prints or checks configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Prints every key at its default, with what it means.
    Default,
    /// Says whether a file can be used, with the environment laid over it.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// Does what was asked.
pub(super) fn run(args: &Args) -> ExitCode {
    let answer = match &args.action {
        Action::Default => print::text(config::SAMPLE),
        Action::Check { file } => match check(file) {
            Ok(()) => print::line(format_args!("{} can be used", file.display())),
            Err(problem) => {
                print::complain(problem);
                return ExitCode::from(exit::CONFIG);
            }
        },
    };
    match answer {
        Ok(()) => ExitCode::from(exit::OK),
        Err(_) => ExitCode::from(exit::FAILED),
    }
}

fn check(file: &Path) -> Result<(), ConfigError> {
    config::load(Ground::File(file), config::environment(), Vec::new())?.check_files()
}
