//! What is read out of the tables: at the start, and for who follows the outbox.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::RandomState;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::*;

/// What `META` says of the last process.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::engine::embedded) struct Meta {
    pub(in crate::engine::embedded) format: Option<u64>,
    pub(in crate::engine::embedded) alive: Option<Unix>,
    pub(in crate::engine::embedded) commit: u64,
}

pub(in crate::engine::embedded) fn meta(txn: &ReadTransaction) -> Result<Meta> {
    let table = txn.open_table(META)?;
    let get = |name: &str| -> Result<Option<u64>> { Ok(table.get(name)?.map(|v| v.value())) };
    Ok(Meta {
        format: get(META_FORMAT)?,
        alive: get(META_ALIVE)?.map(Unix),
        commit: get(META_COMMIT)?.unwrap_or_default(),
    })
}

pub(in crate::engine::embedded) fn rooms(txn: &ReadTransaction) -> Result<Vec<RoomRecord>> {
    let table = txn.open_table(ROOMS)?;
    table
        .iter()?
        .map(|entry| decode(entry?.1.value()))
        .collect()
}

pub(in crate::engine::embedded) fn open_lives(txn: &ReadTransaction) -> Result<Vec<LiveRecord>> {
    let table = txn.open_table(OPEN)?;
    table
        .iter()?
        .map(|entry| decode(entry?.1.value()))
        .collect()
}

/// The newest ended lives, in the order of their starts.
pub(in crate::engine::embedded) fn ended_lives(
    txn: &ReadTransaction,
    limit: usize,
) -> Result<Vec<LiveRecord>> {
    let table = txn.open_table(ENDED)?;
    let newest_first = table.iter()?.rev().take(limit);
    let mut lives: Vec<LiveRecord> = newest_first
        .map(|entry| decode(entry?.1.value()))
        .collect::<Result<_>>()?;
    lives.reverse();
    Ok(lives)
}

/// App, user and what is kept of them.
pub(in crate::engine::embedded) fn users(
    txn: &ReadTransaction,
) -> Result<Vec<(AppId, String, UserRecord)>> {
    let table = match txn.open_table(USERS) {
        Ok(table) => table,
        // A file of before anything was kept of users.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let (app, user) = key.value();
        all.push((AppId(app), user.to_owned(), decode(value.value())?));
    }
    Ok(all)
}

pub(in crate::engine::embedded) fn waiting(txn: &ReadTransaction) -> Result<u64> {
    Ok(txn.open_table(OUTBOX)?.len()?)
}

/// Keys that have rows, from after `after` on: one look per key.
pub(in crate::engine::embedded) fn keys(
    txn: &ReadTransaction,
    after: Option<&OrderKey>,
    limit: usize,
) -> Result<Vec<OrderKey>> {
    let table = txn.open_table(ORDER)?;
    let mut keys: Vec<OrderKey> = Vec::new();
    while keys.len() < limit {
        let last = keys.last().or(after);
        let start = last.map_or(Bound::Unbounded, |key| {
            Bound::Excluded((key.app.0, &*key.key, u64::MAX))
        });
        let Some(entry) = table
            .range::<(u32, &str, u64)>((start, Bound::Unbounded))?
            .next()
        else {
            break;
        };
        let (found, _) = entry?;
        let (app, key, _) = found.value();
        keys.push(OrderKey {
            app: AppId(app),
            key: key.into(),
        });
    }
    Ok(keys)
}

/// The oldest rows of a key after a place, without those of `settled`.
pub(in crate::engine::embedded) fn rows(
    txn: &ReadTransaction,
    key: &OrderKey,
    (after, limit): (u64, usize),
    settled: &HashSet<u64, RandomState>,
) -> Result<Vec<Row>> {
    let order = txn.open_table(ORDER)?;
    let outbox = txn.open_table(OUTBOX)?;
    let first = (key.app.0, &*key.key, after.saturating_add(1));
    let last = (key.app.0, &*key.key, u64::MAX);
    let mut rows = Vec::new();
    for entry in order.range(first..=last)? {
        let (place, _) = entry?;
        let (_, _, seq) = place.value();
        if settled.contains(&seq) {
            continue;
        }
        if rows.len() == limit {
            break;
        }
        if let Some(value) = outbox.get(seq)? {
            rows.push(row(seq, decode(value.value())?));
        }
    }
    Ok(rows)
}

/// The oldest dead letters after a place.
pub(in crate::engine::embedded) fn dead_letters(
    txn: &ReadTransaction,
    after: u64,
    limit: usize,
) -> Result<Vec<DeadLetter>> {
    let table = txn.open_table(DEAD)?;
    let mut letters = Vec::new();
    for entry in table.range(after.saturating_add(1)..)?.take(limit) {
        let (seq, value) = entry?;
        let mut record: QueuedRecord = decode(value.value())?;
        letters.push(DeadLetter {
            order: OrderKey {
                app: AppId(record.app),
                key: Arc::from(record.order_key.as_str()),
            },
            dead: Unix(record.dead_ms),
            cause: std::mem::take(&mut record.cause),
            row: row(seq.value(), record),
        });
    }
    Ok(letters)
}

fn row(seq: u64, record: QueuedRecord) -> Row {
    Row {
        seq,
        query: record.query,
        event_id: record.event_id,
        body: record.body,
        queued: Unix(record.queued_ms),
    }
}
