//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    livegate::cli::main(std::env::args_os())
}
