//! The tables and what a transaction does to them.
//!
//! Invariant: a live is in `OPEN` or in `ENDED`, never in both, and never
//! goes back. A commit about a live that says what is recorded already writes
//! nothing, so a repeated end has one outbox row.

mod reading;

use prost::Message;
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

pub(super) use reading::{
    Meta, dead_letters, ended_lives, keys, meta, open_lives, rooms, rows, users, waiting,
};

use super::StoreError;
use crate::clock::Unix;
use crate::engine::outbox::{DEAD_LIMIT, Fate};
use crate::engine::record::{LiveRecord, RoomRecord, UserRecord};
use crate::engine::{
    Commit, DeadLetter, Fact, OrderKey, OutboxRow, Row, RowKind, Settlement, Which,
};
use crate::event::LiveStats;
use crate::id::{AppId, LiveId, RoomKey, UserKey};

/// Version of the tables; a file with a greater one is refused.
pub(super) const FORMAT: u64 = 1;

/// Single numbers: see the names below.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// `META`: [`FORMAT`].
const META_FORMAT: &str = "format";
/// `META`: when the process was last known to be alive, Unix milliseconds.
const META_ALIVE: &str = "alive";
/// `META`: the number of the last transaction. After an error it tells
/// whether the transaction in doubt is on disk.
const META_COMMIT: &str = "commit";
/// `META`: bytes of what waits in the outbox and of dead letters; not there in
/// files of earlier versions.
const META_BYTES: &str = "outbox_bytes";
/// `META`: the last place given in the outbox.
const META_SEQ: &str = "outbox_seq";

/// App and room to `RoomRecord`.
const ROOMS: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("rooms");
/// Live to `LiveRecord`, not ended.
const OPEN: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("lives_open");
/// Live to `LiveRecord`, ended.
const ENDED: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("lives_ended");
/// When a live ended (Unix milliseconds) and which: for pruning.
const ENDED_AT: TableDefinition<'_, (u64, u128), ()> = TableDefinition::new("lives_ended_at");
/// App and user to Unix seconds.
const USERS: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("users");
/// Place to `QueuedRecord`.
const OUTBOX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outbox");
/// App, order key and place.
const ORDER: TableDefinition<'_, (u32, &str, u64), ()> = TableDefinition::new("outbox_order");
/// Place to `QueuedRecord` of what was given up.
const DEAD: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead_letters");

/// A row of the outbox, waiting or dead, as it lies on disk.
#[derive(Clone, PartialEq, Message)]
struct QueuedRecord {
    #[prost(uint32, tag = "1")]
    app: u32,
    #[prost(string, tag = "2")]
    order_key: String,
    #[prost(string, tag = "3")]
    event_id: String,
    #[prost(bytes = "bytes", tag = "4")]
    body: bytes::Bytes,
    #[prost(uint64, tag = "5")]
    queued_ms: u64,
    #[prost(uint64, tag = "6")]
    dead_ms: u64,
    #[prost(string, tag = "7")]
    cause: String,
    /// The place of its kind in [`RowKind::ALL`].
    #[prost(uint32, tag = "8")]
    kind: u32,
    #[prost(string, tag = "9")]
    query: String,
}

/// What a row takes beside its record: places, its part of the order.
const ROW_BYTES: u64 = 64;

impl QueuedRecord {
    /// What it counts for in the budget, the same from its first to its last
    /// day: of what is written later, nothing is counted.
    fn bytes(&self) -> u64 {
        let texts = 2 * self.order_key.len() + self.event_id.len() + self.query.len();
        let bytes = texts + self.body.len();
        u64::try_from(bytes)
            .unwrap_or(u64::MAX)
            .saturating_add(ROW_BYTES)
    }

    fn order(&self) -> OrderKey {
        OrderKey {
            app: AppId(self.app),
            key: self.order_key.as_str().into(),
        }
    }
}

/// What applying commits came to, beside the tables.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// Keys that got rows.
    pub(super) fresh: Vec<OrderKey>,
    /// Rows that were let go for the budget, by the order of [`RowKind::ALL`].
    pub(super) shed: [u64; RowKind::ALL.len()],
    /// The journal's newest place.
    pub(super) place: u64,
}

/// What an open transaction works on.
pub(super) struct Tables<'txn> {
    meta: Table<'txn, &'static str, u64>,
    rooms: Table<'txn, (u32, &'static str), &'static [u8]>,
    open: Table<'txn, u128, &'static [u8]>,
    ended: Table<'txn, u128, &'static [u8]>,
    ended_at: Table<'txn, (u64, u128), ()>,
    users: Table<'txn, (u32, &'static str), &'static [u8]>,
    outbox: Table<'txn, u64, &'static [u8]>,
    order: Table<'txn, (u32, &'static str, u64), ()>,
    dead: Table<'txn, u64, &'static [u8]>,
}

/// How the outbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    pub(super) rows: u64,
    pub(super) oldest: Option<Unix>,
    pub(super) bytes: u64,
}

type Result<T> = std::result::Result<T, StoreError>;

impl<'txn> Tables<'txn> {
    /// Opens every table, making those that are not there yet.
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self> {
        Ok(Self {
            meta: txn.open_table(META)?,
            rooms: txn.open_table(ROOMS)?,
            open: txn.open_table(OPEN)?,
            ended: txn.open_table(ENDED)?,
            ended_at: txn.open_table(ENDED_AT)?,
            users: txn.open_table(USERS)?,
            outbox: txn.open_table(OUTBOX)?,
            order: txn.open_table(ORDER)?,
            dead: txn.open_table(DEAD)?,
        })
    }

    /// Marks a new file as one of this version.
    pub(super) fn stamp_format(&mut self) -> Result<()> {
        self.meta.insert(META_FORMAT, FORMAT)?;
        Ok(())
    }

    /// Numbers the transaction and notes that the process is alive.
    pub(super) fn stamp(&mut self, number: u64, now: Unix) -> Result<()> {
        self.meta.insert(META_COMMIT, number)?;
        self.meta.insert(META_ALIVE, now.0)?;
        Ok(())
    }

    /// Applies a commit, unless it repeats what is recorded: then false. Rows
    /// that go beyond their share of `budget` bytes are let go.
    pub(super) fn apply(
        &mut self,
        commit: &Commit,
        now: Unix,
        budget: u64,
        applied: &mut Applied,
    ) -> Result<bool> {
        for fact in &commit.facts {
            if let Fact::Live(live, record) = fact
                && self.is_recorded(*live, record)?
            {
                return Ok(false);
            }
        }
        for fact in &commit.facts {
            self.apply_fact(fact)?;
        }
        for row in &commit.outbox {
            if self.enqueue(row, now, budget)? {
                applied.fresh.push(OrderKey {
                    app: row.app,
                    key: row.order_key.as_str().into(),
                });
            } else {
                applied.shed[row.kind as usize] += 1;
            }
        }
        Ok(true)
    }

    fn is_recorded(&self, live: LiveId, record: &LiveRecord) -> Result<bool> {
        let key = live.0.as_u128();
        Ok(self.ended.get(key)?.is_some() || (record.is_open() && self.open.get(key)?.is_some()))
    }

    fn apply_fact(&mut self, fact: &Fact) -> Result<()> {
        match fact {
            Fact::Room(key, record) => self.put_room(key, record),
            Fact::RoomGone(key) => {
                self.rooms.remove((key.app.0, key.room.as_str()))?;
                Ok(())
            }
            Fact::Live(live, record) => self.put_live(*live, record),
            Fact::LiveStats(live, stats) => self.put_stats(*live, *stats),
            Fact::User(user, record) => self.put_user(user, record),
        }
    }

    fn put_room(&mut self, key: &RoomKey, record: &RoomRecord) -> Result<()> {
        let bytes = record.encode_to_vec();
        self.rooms
            .insert((key.app.0, key.room.as_str()), bytes.as_slice())?;
        Ok(())
    }

    fn put_live(&mut self, live: LiveId, record: &LiveRecord) -> Result<()> {
        let key = live.0.as_u128();
        let bytes = record.encode_to_vec();
        let Some(end) = record.end else {
            self.open.insert(key, bytes.as_slice())?;
            return Ok(());
        };
        self.open.remove(key)?;
        self.ended.insert(key, bytes.as_slice())?;
        self.ended_at.insert((end.ended_ms, key), ())?;
        Ok(())
    }

    fn put_stats(&mut self, live: LiveId, stats: LiveStats) -> Result<()> {
        let key = live.0.as_u128();
        let Some(mut record) = self
            .open
            .get(key)?
            .map(|old| decode(old.value()))
            .transpose()?
        else {
            return Ok(());
        };
        let record: &mut LiveRecord = &mut record;
        record.stats = Some(stats.into());
        self.open.insert(key, record.encode_to_vec().as_slice())?;
        Ok(())
    }

    fn put_user(&mut self, user: &UserKey, record: &UserRecord) -> Result<()> {
        let key = (user.app.0, user.user.as_str());
        if *record == UserRecord::default() {
            self.users.remove(key)?;
        } else {
            let bytes = record.encode_to_vec();
            self.users.insert(key, bytes.as_slice())?;
        }
        Ok(())
    }

    /// Puts a row in; false when there is no place for one of its kind.
    fn enqueue(&mut self, row: &OutboxRow, now: Unix, budget: u64) -> Result<bool> {
        let record = QueuedRecord {
            app: row.app.0,
            order_key: row.order_key.clone(),
            event_id: row.event_id.clone(),
            body: row.body.clone(),
            queued_ms: now.0,
            kind: row.kind as u32,
            query: row.query.clone(),
            ..QueuedRecord::default()
        };
        let bytes = self.bytes()?.saturating_add(record.bytes());
        if bytes > share(row.kind, budget) {
            return Ok(false);
        }
        self.meta.insert(META_BYTES, bytes)?;
        self.put_row(&record)?;
        Ok(true)
    }

    /// Gives a record the next place in its order.
    fn put_row(&mut self, record: &QueuedRecord) -> Result<()> {
        let last = self.meta.get(META_SEQ)?.map_or(0, |seq| seq.value());
        let seq = last + 1;
        self.meta.insert(META_SEQ, seq)?;
        self.outbox.insert(seq, record.encode_to_vec().as_slice())?;
        let place = (record.app, record.order_key.as_str(), seq);
        self.order.insert(place, ())?;
        Ok(())
    }

    /// Bytes that count for the budget. A file of an earlier version is counted
    /// once.
    pub(super) fn bytes(&mut self) -> Result<u64> {
        if let Some(bytes) = self.meta.get(META_BYTES)? {
            return Ok(bytes.value());
        }
        let mut bytes = 0_u64;
        for entry in self.outbox.iter()?.chain(self.dead.iter()?) {
            let record: QueuedRecord = decode(entry?.1.value())?;
            bytes = bytes.saturating_add(record.bytes());
        }
        self.meta.insert(META_BYTES, bytes)?;
        Ok(bytes)
    }

    fn give_back(&mut self, record: &QueuedRecord) -> Result<()> {
        let bytes = self.bytes()?.saturating_sub(record.bytes());
        self.meta.insert(META_BYTES, bytes)?;
        Ok(())
    }

    /// Takes a row out of the outbox; one that is not there any more is fine.
    pub(super) fn settle(&mut self, seq: u64, settlement: &Settlement, now: Unix) -> Result<()> {
        // Counted before it is taken out, where nothing was counted yet.
        self.bytes()?;
        let Some(old) = self.outbox.remove(seq)?.map(|old| decode(old.value())) else {
            return Ok(());
        };
        let mut record: QueuedRecord = old?;
        self.order
            .remove((record.app, record.order_key.as_str(), seq))?;
        match settlement {
            Settlement::Done => self.give_back(&record)?,
            Settlement::Dead { cause } => {
                record.dead_ms = now.0;
                record.cause.clone_from(cause);
                self.dead.insert(seq, record.encode_to_vec().as_slice())?;
            }
        }
        Ok(())
    }

    /// Replays or forgets dead letters; adds the keys that got rows to
    /// `applied`. Returns how many.
    pub(super) fn bury(
        &mut self,
        which: &Which,
        fate: Fate,
        now: Unix,
        applied: &mut Applied,
    ) -> Result<u64> {
        let mut count = 0;
        for seq in self.find_dead(which)? {
            self.bytes()?;
            let Some(old) = self.dead.remove(seq)?.map(|old| decode(old.value())) else {
                continue;
            };
            let mut record: QueuedRecord = old?;
            count += 1;
            match fate {
                Fate::Forgotten => self.give_back(&record)?,
                Fate::Replayed => {
                    // Tried for as long again as a new one.
                    record.queued_ms = now.0;
                    record.dead_ms = 0;
                    record.cause.clear();
                    self.put_row(&record)?;
                    applied.fresh.push(record.order());
                }
            }
        }
        Ok(count)
    }

    fn find_dead(&self, which: &Which) -> Result<Vec<u64>> {
        let app = match which {
            Which::Places(places) => return Ok(places.iter().copied().take(DEAD_LIMIT).collect()),
            Which::Oldest(app) => app,
        };
        let mut found = Vec::new();
        for entry in self.dead.iter()? {
            let (seq, value) = entry?;
            let record: QueuedRecord = decode(value.value())?;
            if app.is_none_or(|app| app.0 == record.app) {
                found.push(seq.value());
            }
            if found.len() == DEAD_LIMIT {
                break;
            }
        }
        Ok(found)
    }

    /// Forgets what ended before `ended` and what was given up before `dead`,
    /// at most `limit` of each.
    pub(super) fn prune(&mut self, ended: Unix, dead: Unix, limit: usize) -> Result<()> {
        let old: Vec<(u64, u128)> = self
            .ended_at
            .range(..(ended.0, 0))?
            .take(limit)
            .map(|entry| entry.map(|(key, _)| key.value()))
            .collect::<std::result::Result<_, _>>()?;
        for key in old {
            self.ended_at.remove(key)?;
            self.ended.remove(key.1)?;
        }
        let mut old = Vec::new();
        for entry in self.dead.iter()?.take(limit) {
            let (seq, value) = entry?;
            let record: QueuedRecord = decode(value.value())?;
            if record.dead_ms >= dead.0 {
                break;
            }
            old.push(seq.value());
        }
        for seq in old {
            self.bytes()?;
            let record = self.dead.remove(seq)?.map(|old| decode(old.value()));
            if let Some(record) = record {
                self.give_back(&record?)?;
            }
        }
        Ok(())
    }

    /// How many rows wait, since when, and what they take on disk.
    pub(super) fn backlog(&mut self) -> Result<Backlog> {
        let oldest = match self.outbox.first()? {
            Some((_, value)) => Some(Unix(decode::<QueuedRecord>(value.value())?.queued_ms)),
            None => None,
        };
        Ok(Backlog {
            rows: self.outbox.len()?,
            oldest,
            bytes: self.bytes()?,
        })
    }
}

/// Up to how many bytes in all a row of this kind is taken: a reserve is left
/// for what matters more, and facts are always taken.
fn share(kind: RowKind, budget: u64) -> u64 {
    match kind {
        RowKind::Fact => u64::MAX,
        RowKind::Message => budget / 8 * 7,
        RowKind::Presence => budget / 4 * 3,
    }
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(StoreError::Record)
}
