//! What the threads of a run share.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::record::Record;
use crate::clock::{Clock, Micros};

/// From when until when messages are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// The first.
    pub(super) from: Micros,
    /// None from here on.
    pub(super) to: Micros,
}

/// Shared by all threads of a run.
#[derive(Debug)]
pub(super) struct Scene {
    /// Of all of them.
    pub(super) clock: Clock,
    /// What they write down.
    pub(super) record: Mutex<Record>,
    /// Whether the askers say anything.
    pub(super) asking: AtomicBool,
    /// Connections that are in their rooms.
    pub(super) entered: AtomicUsize,
    /// Ends everything.
    pub(super) stop: CancellationToken,
    span: watch::Sender<Option<Span>>,
}

impl Scene {
    /// Nobody is here yet.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            record: Mutex::default(),
            asking: AtomicBool::new(true),
            entered: AtomicUsize::new(0),
            stop: CancellationToken::new(),
            span: watch::Sender::new(None),
        }
    }

    /// Messages flow.
    pub(super) fn begin(&self, span: Span) {
        self.span.send_replace(Some(span));
    }

    /// Waits until they do; `None`: never.
    pub(super) async fn begun(&self) -> Option<Span> {
        let mut span = self.span.subscribe();
        let told = span.wait_for(Option::is_some).await;
        told.ok().and_then(|span| *span)
    }

    /// One more is in its room.
    pub(super) fn enter(&self) {
        self.entered.fetch_add(1, Relaxed);
    }
}
