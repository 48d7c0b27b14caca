//! Reads back what an earlier process left.

use redb::{Database, ReadableDatabase};

use super::StoreError;
use super::file::{Home, OpenError};
use super::tables::{self, FORMAT, Meta};
use crate::clock::Unix;
use crate::engine::record::{LiveRecord, RoomRecord};
use crate::engine::{EngineConfig, Recovered};
use crate::id::{RoomKey, UserId, UserKey};

/// Reads everything that is needed to go on, and the number of the last
/// transaction. A record that cannot be read refuses the file: going on
/// without it would lose a live.
pub(super) fn read(
    home: &Home,
    db: &Database,
    config: &EngineConfig,
    now: Unix,
) -> Result<(Recovered, u64), OpenError> {
    let meta = home.guarded(|| tables::meta(&db.begin_read()?))?;
    match meta.format {
        Some(found) if found <= FORMAT => {}
        Some(found) => return Err(home.newer(found)),
        None => return Err(home.damaged("it is not a state file of livegate")),
    }
    let keep = Unix(now.0.saturating_sub(millis(config.keep_ended)));
    let recovered = home.guarded(|| collect(db, &meta, config.recover_ended, keep))?;
    Ok((recovered, meta.commit))
}

/// The journal's newest place.
pub(super) fn place(db: &Database) -> Result<u64, StoreError> {
    super::journal::head(&db.begin_read()?)
}

fn collect(db: &Database, meta: &Meta, ended: usize, keep: Unix) -> Result<Recovered, StoreError> {
    let txn = db.begin_read()?;
    let mut recovered = Recovered {
        open: tables::open_lives(&txn)?,
        ended: tables::ended_lives(&txn, ended)?,
        outbox: tables::waiting(&txn)?,
        alive: meta.alive,
        ..Recovered::default()
    };
    recovered
        .ended
        .retain(|live| live.end.is_some_and(|end| end.ended_ms >= keep.0));
    for live in recovered.open.iter().chain(&recovered.ended) {
        check_live(live)?;
    }
    for room in tables::rooms(&txn)? {
        recovered.rooms.push(keyed(room)?);
    }
    for (app, user, record) in tables::users(&txn)? {
        let user = UserId::new(&user)?;
        recovered.users.push((UserKey { app, user }, record));
    }
    Ok(recovered)
}

fn keyed(room: RoomRecord) -> Result<(RoomKey, RoomRecord), StoreError> {
    Ok((room.key()?, room))
}

fn check_live(live: &LiveRecord) -> Result<(), StoreError> {
    live.started()?;
    live.ended()?;
    Ok(())
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
