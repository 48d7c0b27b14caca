//! Reads of the outbox, of dead letters and of the journal, which wait in the
//! writer's queue so that they see what was queued before them.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use redb::ReadTransaction;

use super::queue::Job;
use super::{StoreError, journal, tables};

/// Answers a read; somebody who no longer waits is no error. Rows of `settled`
/// are as good as gone.
pub(super) fn answer(
    txn: &ReadTransaction,
    job: Job,
    settled: &HashSet<u64, RandomState>,
) -> Result<(), StoreError> {
    match job {
        Job::Keys {
            after,
            limit,
            reply,
        } => {
            let _ = reply.send(tables::keys(txn, after.as_ref(), limit)?);
        }
        Job::Rows {
            key,
            after,
            limit,
            reply,
        } => {
            let _ = reply.send(tables::rows(txn, &key, (after, limit), settled)?);
        }
        Job::DeadLetters {
            after,
            limit,
            reply,
        } => {
            let _ = reply.send(tables::dead_letters(txn, after, limit)?);
        }
        Job::Journal {
            after,
            limit,
            reply,
        } => {
            let _ = reply.send(journal::read(txn, after, limit)?);
        }
        Job::Commit(_) | Job::Settle { .. } | Job::Dead { .. } => {}
    }
    Ok(())
}
