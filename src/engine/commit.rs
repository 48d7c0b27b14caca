//! What is submitted, what comes back, and what a restart finds.

use thiserror::Error;

use super::outbox::OutboxRow;
use super::record::{LiveRecord, RoomRecord, UserRecord};
use crate::clock::Unix;
use crate::event::LiveStats;
use crate::id::{LiveId, RoomKey, UserKey};

/// Facts and outbox rows that are recorded together.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Who wants to know.
    pub subject: Subject,
    /// What is kept.
    pub facts: Vec<Fact>,
    /// What backends are to be told.
    pub outbox: Vec<OutboxRow>,
    /// Uses the reserve when the queue is full, and is tried once more on its
    /// own when the transaction it was grouped into fails: for ends of lives.
    pub reserve: bool,
}

/// What a commit is about: how its owner knows the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The start of a live.
    LiveStarted(RoomKey, LiveId),
    /// The end of a live.
    LiveEnded(RoomKey, LiveId),
    /// The making or changing of a room.
    Room(RoomKey),
    /// A change of a room that was told already.
    RoomChanged(RoomKey),
    /// Nobody waits: no outcome is sent.
    Quiet,
}

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The room is as this record says.
    Room(RoomKey, RoomRecord),
    /// The room is no more.
    RoomGone(RoomKey),
    /// The live started (an open record) or ended (one with its end).
    Live(LiveId, LiveRecord),
    /// A snapshot of an open live's figures; ignored once it has ended.
    LiveStats(LiveId, LiveStats),
    /// What is kept of a user; a record of nothing is no record.
    User(UserKey, UserRecord),
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Of which.
    pub subject: Subject,
    /// Whether it is on disk.
    pub result: Result<(), CommitFailed>,
}

/// The commit is known not to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the store could not record it")]
pub struct CommitFailed;

/// As many commits wait as may; nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the store's queue is full")]
pub struct Full;

/// What an earlier process left.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Rooms that outlive the process.
    pub rooms: Vec<(RoomKey, RoomRecord)>,
    /// Lives that have not ended, in the order of their starts.
    pub open: Vec<LiveRecord>,
    /// Lives that ended within `EngineConfig::keep_ended`, in the order of
    /// their starts.
    pub ended: Vec<LiveRecord>,
    /// What is kept of users.
    pub users: Vec<(UserKey, UserRecord)>,
    /// When the earlier process last said that it was alive; `None`: there
    /// was none.
    pub alive: Option<Unix>,
    /// Rows that backends have not been told yet.
    pub outbox: u64,
}
