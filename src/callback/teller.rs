//! Puts what is to be told into the outbox, for whoever has something to tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;

use super::CallbackConfig;
use super::tell::Tells;
use crate::engine::{Commit, Engine, OutboxRow, RowKind, Subject};
use crate::id::AppId;
use crate::telemetry::Metrics;

/// Knows what each app wants to be told, and hands it to the store's writer.
/// Never waits.
#[derive(Debug)]
pub struct Teller {
    engine: Arc<Engine>,
    apps: HashMap<AppId, Tells, RandomState>,
    metrics: Arc<Metrics>,
    /// Of this process, random: with a number, an event's id.
    prefix: u64,
    told: AtomicU64,
}

impl Teller {
    /// Tells the apps of `config` what they chose, and nobody else anything.
    pub fn new(config: &CallbackConfig, engine: Arc<Engine>, metrics: Arc<Metrics>) -> Self {
        let mut prefix = [0; 8];
        aws_lc_rs::rand::fill(&mut prefix).expect("the system has randomness");
        let apps = config.apps.iter();
        let chosen = apps.map(|app| (AppId(app.sdk_app_id), app.tells()));
        Self {
            engine,
            apps: chosen.collect(),
            metrics,
            prefix: u64::from_le_bytes(prefix),
            told: AtomicU64::new(0),
        }
    }

    /// What the app is told; `None`: it has no callback.
    pub fn chosen(&self, app: AppId) -> Option<Tells> {
        self.apps.get(&app).copied()
    }

    /// A fresh event id.
    pub fn event_id(&self) -> String {
        let number = self.told.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}:{number}", self.prefix)
    }

    /// A fresh number for a message that has no place in a room's order.
    pub fn number(&self) -> u32 {
        let number = self.told.fetch_add(1, Ordering::Relaxed);
        u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default()
    }

    /// Queues events for the outbox. What the full queue has no place for is
    /// counted as let go.
    pub fn tell(&self, rows: Vec<OutboxRow>) {
        if rows.is_empty() {
            return;
        }
        let kinds: smallvec::SmallVec<[RowKind; 4]> = rows.iter().map(|row| row.kind).collect();
        let commit = Commit {
            subject: Subject::Quiet,
            facts: Vec::new(),
            reserve: kinds.contains(&RowKind::Fact),
            outbox: rows,
        };
        if self.engine.submit(commit).is_err() {
            for kind in kinds {
                self.metrics.outbox().shed(kind.into(), 1);
            }
        }
    }
}
