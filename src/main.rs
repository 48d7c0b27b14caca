//! Arguments in, exit code out.

use std::process::ExitCode;

/// Returns memory of closed connections sooner than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    livegate::cli::main(std::env::args_os())
}
