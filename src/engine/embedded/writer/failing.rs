//! What becomes of a transaction that failed, and of the file.
//!
//! Invariant: of a commit is said what is true: after an error nothing is, until
//! the file is open again and tells whether the transaction is in it.

use super::*;

impl Writer {
    /// After the file was opened again: is the transaction in doubt there?
    pub(super) fn resolve(&mut self, now: Moment, outcomes: &mut Vec<Outcome>) {
        let Some(batch) = self.doubt.take() else {
            return;
        };
        match self.last_number() {
            Ok(last) if last == self.number => self.recorded(batch, now, outcomes),
            Ok(_) => self.not_recorded(batch, now, outcomes),
            Err(error) => {
                self.complain(now, "read", &error);
                self.doubt = Some(batch);
                self.give_up(now);
            }
        }
    }

    /// What has a reserve is tried once more, on its own; the rest has failed.
    fn not_recorded(&mut self, batch: Batch, now: Moment, outcomes: &mut Vec<Outcome>) {
        let alone = batch.commits.is_empty() && batch.dead.is_empty() && !batch.prune;
        let again = |commit: &Commit| commit.reserve && !batch.last_try;
        let (again, failed): (Vec<_>, Vec<_>) = batch.commits.into_iter().partition(again);
        let failed = self.keep_facts(failed);
        outcomes.extend(
            failed
                .into_iter()
                .filter_map(|c| outcome(c, Err(CommitFailed))),
        );
        self.owed_at = now.instant + RETRY;
        if !batch.settled.is_empty() {
            self.carry_at = match alone {
                true => now.instant + RETRY,
                false => now.instant,
            };
            self.carry.extend(batch.settled);
        }
        if batch.prune {
            self.pruned = now.instant;
        }
        // An idle turn must not write at once again what just failed.
        self.marked = now.instant;
        if !again.is_empty() {
            let batch = Batch {
                commits: again,
                last_try: true,
                ..Batch::default()
            };
            self.write(batch, now, outcomes);
        }
    }

    /// Keeps what nobody waits for and backends must hear of, to be recorded
    /// with the next transaction; counts what is let go. Returns the rest.
    fn keep_facts(&mut self, failed: Vec<Commit>) -> Vec<Commit> {
        let mut rest = Vec::new();
        for commit in failed {
            let is_fact = |kind| kind == RowKind::Fact;
            let quiet = commit.subject == Subject::Quiet;
            let owes = commit.outbox.iter().any(|row| is_fact(row.kind));
            if quiet && owes && self.owed.len() < self.config.queue {
                self.owed.push(commit);
                continue;
            }
            // Of any other, whoever submitted it is told.
            for row in commit.outbox.iter().filter(|_| quiet) {
                self.metrics.outbox().shed(row.kind.into(), 1);
            }
            rest.push(commit);
        }
        rest
    }

    /// Counts an error, and says it now and then.
    pub(super) fn complain(
        &mut self,
        now: Moment,
        step: &'static str,
        error: &dyn std::fmt::Display,
    ) {
        self.metrics.engine().failed();
        let said = self.complained;
        if said.is_some_and(|at| now.instant.since(at) < COMPLAIN_EVERY) {
            tracing::debug!(%error, step, "store fails");
        } else {
            self.complained = Some(now.instant);
            tracing::error!(%error, step, "store fails, trying again");
        }
    }

    fn last_number(&self) -> Result<u64, StoreError> {
        let db = self
            .db
            .as_ref()
            .expect("resolved after the file was opened");
        Ok(tables::meta(&db.begin_read()?)?.commit)
    }

    pub(super) fn give_up(&mut self, now: Moment) {
        self.db = None;
        self.reopen_at = now.instant;
        self.shared.writable.store(false, Ordering::Relaxed);
    }

    pub(super) fn reopen(&mut self, now: Moment) -> bool {
        if now.instant < self.reopen_at {
            return false;
        }
        match self.source.open_again() {
            Ok(db) => {
                self.db = Some(db);
                tracing::debug!("store is open again");
                true
            }
            Err(error) => {
                self.complain(now, "open", &error);
                self.reopen_at = now.instant + self.backoff;
                self.backoff = (self.backoff * 2).min(self.config.reopen_backoff);
                false
            }
        }
    }
}
