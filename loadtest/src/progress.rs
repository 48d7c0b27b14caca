//! What a human sees while a run goes on: bars on a terminal, a line per phase
//! elsewhere. All of it on stderr; the report goes to stdout.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The bar of the phase that is going on.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
}

impl Progress {
    /// Nothing is going on yet; `quiet`: nothing is shown ever.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            terminal: !quiet && std::io::stderr().is_terminal(),
        }
    }

    /// Begins a phase of `len` steps.
    pub(crate) fn begin(&mut self, phase: &'static str, len: u64) {
        self.end();
        if !self.terminal {
            return;
        }
        let style = "{prefix:>10.bold} [{bar:32.cyan}] {pos}/{len} {msg}";
        let style = ProgressStyle::with_template(style);
        self.bar = ProgressBar::new(len)
            .with_style(style.expect("the template is well formed"))
            .with_prefix(phase);
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }

    /// Steps done so far, and a word on them.
    pub(crate) fn at(&self, position: u64, word: impl Display) {
        self.bar.set_position(position);
        self.bar.set_message(word.to_string());
    }

    /// Ends the phase; its bar goes.
    pub(crate) fn end(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }

    /// Says something that stays.
    pub(crate) fn say(&self, line: impl Display) {
        if self.terminal {
            self.bar.suspend(|| complain(line));
        } else {
            complain(line);
        }
    }
}

/// Writes one line to stderr. There is nobody to tell when that fails.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes an answer to stdout.
///
/// # Errors
/// When stdout is closed or full.
pub(crate) fn answer(text: impl Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
