//! `livegate certs`: makes a certificate for development.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{exit, print};
use crate::gateway::CertFiles;

/// Makes a self-signed certificate for development.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to write it.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// A name or address that it is good for, besides this machine's local
    /// ones. May be repeated.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Replaces files that are there.
    #[arg(long)]
    force: bool,
}

/// Makes the files, unless they are there.
pub(super) fn run(args: &Args) -> ExitCode {
    let files = CertFiles::in_dir(&args.dir);
    let there = files.cert.exists() || files.key.exists();
    if there && !args.force {
        let dir = args.dir.display();
        print::complain(format_args!(
            "{dir} holds a certificate already: --force replaces it"
        ));
        return ExitCode::from(exit::FAILED);
    }
    if let Err(error) = files.make(&args.name) {
        print::complain(error);
        return ExitCode::from(exit::FAILED);
    }
    let (cert, key) = (files.cert.display(), files.key.display());
    match print::line(format_args!("{cert}\n{key}")) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(_) => ExitCode::from(exit::FAILED),
    }
}
