//! The wish of the user or the system that a command stops.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears SIGINT and SIGTERM from its making on.
#[derive(Debug)]
pub(super) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// # Errors
    /// When the system lets no handler in.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    /// Waits until one of them came. May be cancelled.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
