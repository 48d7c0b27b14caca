//! What `watch` and `host` print: one line per event, for humans or for
//! scripts.

mod human;
mod line;
mod telling;

use std::io;

use serde::Serialize;

pub(super) use self::line::{Shown, What};
use super::print;
use crate::clock;

/// Writes lines to stdout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer {
    json: bool,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    #[serde(flatten)]
    shown: &'a Shown,
    /// When this line was written, by this machine's clock.
    at_ms: i64,
}

impl Printer {
    /// Prints JSON, or else for humans.
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints one line.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub(super) fn print(self, shown: impl Into<Shown>) -> io::Result<()> {
        let shown = shown.into();
        let now = clock::unix_now();
        if !self.json {
            return print::line(human::line(&shown, now));
        }
        let line = JsonLine {
            shown: &shown,
            at_ms: now.millis_i64(),
        };
        print::line(serde_json::to_string(&line).expect("texts and numbers serialise"))
    }
}

#[cfg(test)]
mod tests;
