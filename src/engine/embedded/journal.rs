//! The journal's table.

use prost::Message;
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};

use super::StoreError;
use crate::clock::Unix;
use crate::engine::journal::{Entry, JournalFact, Stretch};
use crate::engine::record::{LiveRecord, RoomRecord};
use crate::engine::{Commit, Fact};
use crate::id::{AppId, RoomId};

/// Place to `JournalRecord`.
const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
/// The last place that was given, under 0.
const HEAD: TableDefinition<'_, u64, u64> = TableDefinition::new("journal_head");

type Result<T> = std::result::Result<T, StoreError>;

/// An entry as it lies on disk.
#[derive(Clone, PartialEq, Message)]
struct JournalRecord {
    #[prost(uint32, tag = "1")]
    app: u32,
    #[prost(uint64, tag = "2")]
    time_ms: u64,
    #[prost(message, optional, tag = "3")]
    room: Option<RoomRecord>,
    #[prost(string, tag = "4")]
    gone: String,
    #[prost(message, optional, tag = "5")]
    live: Option<LiveRecord>,
}

/// What an open transaction writes entries to.
pub(super) struct Pages<'txn> {
    journal: Table<'txn, u64, &'static [u8]>,
    head: Table<'txn, u64, u64>,
}

impl<'txn> Pages<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self> {
        Ok(Self {
            journal: txn.open_table(JOURNAL)?,
            head: txn.open_table(HEAD)?,
        })
    }

    /// Enters the facts of a commit that are told.
    pub(super) fn enter(&mut self, commit: &Commit, now: Unix) -> Result<()> {
        for fact in &commit.facts {
            let Some(record) = record(fact, now) else {
                continue;
            };
            let place = self.place()? + 1;
            let bytes = record.encode_to_vec();
            self.journal.insert(place, bytes.as_slice())?;
            self.head.insert(0, place)?;
        }
        Ok(())
    }

    /// The last place that was given; 0: none.
    pub(super) fn place(&self) -> Result<u64> {
        Ok(self.head.get(0)?.map_or(0, |head| head.value()))
    }

    /// Forgets what was recorded before `kept`, at most `limit` entries.
    pub(super) fn prune(&mut self, kept: Unix, limit: usize) -> Result<()> {
        let mut old = Vec::new();
        for entry in self.journal.iter()?.take(limit) {
            let (place, value) = entry?;
            let record = decode(value.value())?;
            if record.time_ms >= kept.0 {
                break;
            }
            old.push(place.value());
        }
        for place in old {
            self.journal.remove(place)?;
        }
        Ok(())
    }
}

fn record(fact: &Fact, now: Unix) -> Option<JournalRecord> {
    let at = |app: AppId| JournalRecord {
        app: app.0,
        time_ms: now.0,
        ..JournalRecord::default()
    };
    Some(match fact {
        Fact::Room(key, room) => JournalRecord {
            room: Some(room.clone()),
            ..at(key.app)
        },
        Fact::RoomGone(key) => JournalRecord {
            gone: key.room.to_string(),
            ..at(key.app)
        },
        Fact::Live(_, live) => JournalRecord {
            live: Some(live.clone()),
            ..at(AppId(live.app))
        },
        Fact::LiveStats(..) | Fact::User(..) => return None,
    })
}

/// The last place that was given; 0: none.
pub(super) fn head(txn: &ReadTransaction) -> Result<u64> {
    match txn.open_table(HEAD) {
        Ok(table) => Ok(table.get(0)?.map_or(0, |head| head.value())),
        // A file of before there was a journal.
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Up to `limit` entries after a place.
pub(super) fn read(txn: &ReadTransaction, after: u64, limit: usize) -> Result<Stretch> {
    let journal = txn.open_table(JOURNAL)?;
    let head = head(txn)?;
    let mut entries = Vec::new();
    for entry in journal.range(after.saturating_add(1)..)?.take(limit) {
        let (place, value) = entry?;
        let record = decode(value.value())?;
        entries.push(read_entry(place.value(), record)?);
    }
    let oldest = match journal.len()? {
        0 => head + 1,
        _ => journal
            .first()?
            .map_or(head + 1, |(place, _)| place.value()),
    };
    Ok(Stretch {
        entries,
        head,
        missed: after + 1 < oldest && after < head,
    })
}

fn read_entry(place: u64, record: JournalRecord) -> Result<Entry> {
    let fact = if let Some(room) = record.room {
        JournalFact::Room(room)
    } else if let Some(live) = record.live {
        JournalFact::Live(live)
    } else {
        JournalFact::RoomGone(RoomId::new(&record.gone)?)
    };
    Ok(Entry {
        place,
        app: AppId(record.app),
        time: Unix(record.time_ms),
        fact,
    })
}

fn decode(bytes: &[u8]) -> Result<JournalRecord> {
    JournalRecord::decode(bytes).map_err(StoreError::Record)
}
