//! What a subcommand says, through writers: a closed pipe is an error here and
//! not a panic.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes one line of the answer to stdout and flushes it.
///
/// # Errors
/// When stdout is closed or full.
pub fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a text of lines to stdout as it is.
///
/// # Errors
/// When stdout is closed or full.
pub fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes one line for a human to stderr. There is nobody to tell when that
/// fails.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "livegate: {text}");
}
