//! Takes up the rooms and lives of the process before.

use std::sync::Arc;

use super::Rooms;
use crate::clock::{Moment, Unix};
use crate::engine::Recovered;
use crate::engine::record::{BadRecord, LiveRecord, RoomRecord};
use crate::id::RoomKey;
use crate::rooms::charter::Charter;
use crate::rooms::room::Room;

/// Lives of the process before, until the gateway accepts connections.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    open: Vec<LiveRecord>,
    alive: Unix,
}

impl Rooms {
    /// Takes up the rooms of the process before, and its lives that ended.
    /// Those that are open follow when connections are
    /// [accepted](Self::accepting).
    ///
    /// # Errors
    /// [`BadRecord`] when a record could not have been written by livegate.
    pub fn recover(&self, recovered: &mut Recovered, now: Moment) -> Result<(), BadRecord> {
        for (key, record) in std::mem::take(&mut recovered.rooms) {
            self.inherit_room(key, record, now)?;
        }
        let alive = recovered.alive.unwrap_or(now.unix);
        for record in std::mem::take(&mut recovered.ended) {
            self.inherit_ended(record, alive, now)?;
        }
        let open = std::mem::take(&mut recovered.open);
        for record in &open {
            record.started()?;
        }
        *self.inheritance.lock() = Inheritance { open, alive };
        Ok(())
    }

    /// Connections are accepted from now on: the hosts of recovered lives have
    /// the restart grace from here to come back. Call it before anything can
    /// reach the rooms.
    ///
    /// # Errors
    /// [`BadRecord`] when a record could not have been written by livegate.
    pub fn accepting(&self, now: Moment) -> Result<(), BadRecord> {
        let inherited = std::mem::take(&mut *self.inheritance.lock());
        for record in inherited.open {
            let room = self.inherit(&record.key()?, None, now);
            room.recover_live(record, inherited.alive, now)?;
        }
        *self.ticked.lock() = now;
        Ok(())
    }

    /// A room of the process before, whatever the limit.
    fn inherit(&self, key: &RoomKey, charter: Option<Charter>, now: Moment) -> Arc<Room> {
        if let Some(room) = self.get(key) {
            return room;
        }
        self.reserve(key.app, usize::MAX);
        let charter = charter.unwrap_or_else(|| Charter::passing(now.unix));
        self.insert(key, charter, now)
    }

    fn inherit_room(&self, key: RoomKey, record: RoomRecord, now: Moment) -> Result<(), BadRecord> {
        let charter = Charter::recorded(record)?;
        self.inherit(&key, Some(charter), now);
        Ok(())
    }

    /// A room that nobody made durable is taken up for an ended live only if
    /// it would still be there: its members may come back and ask.
    fn inherit_ended(&self, record: LiveRecord, alive: Unix, now: Moment) -> Result<(), BadRecord> {
        let key = record.key()?;
        let Some(end) = record.end else {
            return Ok(());
        };
        let fresh = Unix(end.ended_ms) + self.parts.config.retention >= alive;
        let room = match self.get(&key) {
            Some(room) => room,
            None if fresh => self.inherit(&key, None, now),
            None => return Ok(()),
        };
        room.recover_live(record, alive, now)
    }
}
