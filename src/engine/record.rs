//! The records as they lie on disk.
//!
//! They are protobuf messages, so that a later version reads what an earlier
//! one wrote: fields are only ever added, numbers never reused. Ids are kept
//! as text and checked again when they are read, because a file is input.

use std::time::Duration;

use livegate_proto::client as wire;
use thiserror::Error;

use crate::clock::Unix;
use crate::event::{EndReason, LiveEnded, LiveStarted, LiveStats};
use crate::id::{AppId, BadId, LiveId, RoomId, RoomKey, UserId, UserKey};

/// Why a record on disk cannot be used.
#[derive(Debug, Error)]
pub enum BadRecord {
    /// The bytes are no such message.
    #[error("cannot decode record")]
    Decode(#[from] prost::DecodeError),
    /// An id in it breaks its bounds.
    #[error("id in record")]
    Id(#[from] BadId),
    /// An ended live has no reason that this version knows.
    #[error("end reason {0} is unknown")]
    Reason(i32),
}

/// A room that outlives the process: made by the API or by an owner.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RoomRecord {
    /// The tenant.
    #[prost(uint32, tag = "1")]
    pub app: u32,
    /// The room's id.
    #[prost(string, tag = "2")]
    pub room: String,
    /// The owner's id; empty: nobody.
    #[prost(string, tag = "3")]
    pub owner: String,
    /// Opaque to livegate, at most 4,096 bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub room_info: bytes::Bytes,
    /// Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub created_ms: u64,
    /// Roles given in this room.
    #[prost(message, repeated, tag = "6")]
    pub roles: Vec<RoleRecord>,
    /// The room's attributes.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<AttributeRecord>,
    /// Who may not speak.
    #[prost(message, repeated, tag = "8")]
    pub mutes: Vec<UntilRecord>,
    /// Who may not enter.
    #[prost(message, repeated, tag = "9")]
    pub bans: Vec<UntilRecord>,
    /// How long lives of this room wait for a lost host, milliseconds.
    #[prost(uint32, optional, tag = "10")]
    pub grace_ms: Option<u32>,
    /// What it shows of itself.
    #[prost(message, optional, tag = "11")]
    pub profile: Option<wire::RoomProfile>,
    /// How often the attributes were changed.
    #[prost(uint64, tag = "12")]
    pub attributes_version: u64,
}

impl RoomRecord {
    /// The room's key, checked.
    ///
    /// # Errors
    /// [`BadId`] when the file holds an id that could not have been given.
    pub fn key(&self) -> Result<RoomKey, BadId> {
        Ok(RoomKey {
            app: AppId(self.app),
            room: RoomId::new(&self.room)?,
        })
    }
}

/// What is kept of a user: set by the backend.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserRecord {
    /// Shown in place of what the client says; empty: not fixed.
    #[prost(string, tag = "1")]
    pub nick: String,
    /// Shown in place of what the client says; empty: not fixed.
    #[prost(string, tag = "2")]
    pub avatar_url: String,
    /// The backend made the account known.
    #[prost(bool, tag = "3")]
    pub imported: bool,
    /// Until when the user may not speak in rooms, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub rooms_muted_ms: u64,
    /// Until when the user may not speak to users, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub direct_muted_ms: u64,
    /// Signatures issued before this are void, Unix seconds.
    #[prost(uint64, tag = "6")]
    pub revoked_s: u64,
}

/// A role that a user was given in a room.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RoleRecord {
    /// Who.
    #[prost(string, tag = "1")]
    pub user: String,
    /// As `Role` of the client contract numbers it.
    #[prost(int32, tag = "2")]
    pub role: i32,
}

/// One attribute of a room.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AttributeRecord {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: bytes::Bytes,
}

/// Something that holds for a user until a time.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UntilRecord {
    /// Whom.
    #[prost(string, tag = "1")]
    pub user: String,
    /// Unix milliseconds; `u64::MAX`: for good.
    #[prost(uint64, tag = "2")]
    pub until_ms: u64,
}

/// Signatures of a user issued before a time are no longer taken.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RevocationRecord {
    /// The tenant.
    #[prost(uint32, tag = "1")]
    pub app: u32,
    /// Whose.
    #[prost(string, tag = "2")]
    pub user: String,
    /// Unix seconds.
    #[prost(uint64, tag = "3")]
    pub not_before: u64,
}

impl RevocationRecord {
    /// Whose signatures, checked.
    ///
    /// # Errors
    /// [`BadId`] when the file holds an id that could not have been given.
    pub fn key(&self) -> Result<UserKey, BadId> {
        Ok(UserKey {
            app: AppId(self.app),
            user: UserId::new(&self.user)?,
        })
    }
}

/// One live, from its recorded start on. Once ended it is never changed again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LiveRecord {
    /// The tenant.
    #[prost(uint32, tag = "1")]
    pub app: u32,
    /// The room's id.
    #[prost(string, tag = "2")]
    pub room: String,
    /// The live's id, text form.
    #[prost(string, tag = "3")]
    pub live: String,
    /// Who broadcasts.
    #[prost(string, tag = "4")]
    pub host: String,
    /// What the host shows of themselves.
    #[prost(message, optional, tag = "5")]
    pub profile: Option<wire::Profile>,
    /// The client's id of the request that started it.
    #[prost(string, tag = "6")]
    pub start_id: String,
    /// How long the room waits for a lost host.
    #[prost(uint32, tag = "7")]
    pub grace_ms: u32,
    /// Unix milliseconds.
    #[prost(uint64, tag = "8")]
    pub started_ms: u64,
    /// Figures: of the last snapshot, or of the end.
    #[prost(message, optional, tag = "9")]
    pub stats: Option<StatsRecord>,
    /// There once the live has ended.
    #[prost(message, optional, tag = "10")]
    pub end: Option<EndRecord>,
}

/// How a live ended.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct EndRecord {
    /// Unix milliseconds.
    #[prost(uint64, tag = "1")]
    pub ended_ms: u64,
    /// As `EndReason` of the client contract numbers it.
    #[prost(int32, tag = "2")]
    pub reason: i32,
    /// From the host's last sign of life to the decision.
    #[prost(uint32, tag = "3")]
    pub detection_ms: u32,
}

/// Figures of a live.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StatsRecord {
    /// From the start to the end or the snapshot.
    #[prost(uint64, tag = "1")]
    pub duration_ms: u64,
    /// Most distinct viewers at one time.
    #[prost(uint32, tag = "2")]
    pub peak_viewers: u32,
    /// Distinct viewers in all.
    #[prost(uint64, tag = "3")]
    pub total_viewers: u64,
    /// Messages stamped.
    #[prost(uint64, tag = "4")]
    pub messages: u64,
    /// Likes.
    #[prost(uint64, tag = "5")]
    pub likes: u64,
    /// Gifts.
    #[prost(uint64, tag = "6")]
    pub gifts: u64,
    /// Counts may miss some.
    #[prost(bool, tag = "7")]
    pub approximate: bool,
}

impl From<LiveStats> for StatsRecord {
    fn from(stats: LiveStats) -> Self {
        Self {
            duration_ms: stats.duration_ms,
            peak_viewers: stats.peak_viewers,
            total_viewers: stats.total_viewers,
            messages: stats.messages,
            likes: stats.likes,
            gifts: stats.gifts,
            approximate: stats.approximate,
        }
    }
}

impl From<StatsRecord> for LiveStats {
    fn from(record: StatsRecord) -> Self {
        Self {
            duration_ms: record.duration_ms,
            peak_viewers: record.peak_viewers,
            total_viewers: record.total_viewers,
            messages: record.messages,
            likes: record.likes,
            gifts: record.gifts,
            approximate: record.approximate,
        }
    }
}

impl LiveRecord {
    /// Whether the live has not ended.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// The room's key, checked.
    ///
    /// # Errors
    /// [`BadId`] when the file holds an id that could not have been given.
    pub fn key(&self) -> Result<RoomKey, BadId> {
        Ok(RoomKey {
            app: AppId(self.app),
            room: RoomId::new(&self.room)?,
        })
    }

    /// How long the room waits for a lost host.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(u64::from(self.grace_ms))
    }

    /// The fact of its start.
    ///
    /// # Errors
    /// [`BadId`] when the file holds an id that could not have been given.
    pub fn started(&self) -> Result<LiveStarted, BadId> {
        Ok(LiveStarted {
            app: AppId(self.app),
            room: RoomId::new(&self.room)?,
            live: LiveId::parse(&self.live)?,
            host: UserId::new(&self.host)?,
            started: Unix(self.started_ms),
        })
    }

    /// The fact of its end; `None` while it is open.
    ///
    /// # Errors
    /// [`BadRecord`] for a bad id or a reason that this version does not know.
    pub fn ended(&self) -> Result<Option<LiveEnded>, BadRecord> {
        let Some(end) = self.end else {
            return Ok(None);
        };
        let start = self.started()?;
        Ok(Some(LiveEnded {
            app: start.app,
            room: start.room,
            live: start.live,
            host: start.host,
            started: start.started,
            ended: Unix(end.ended_ms),
            reason: reason(end.reason).ok_or(BadRecord::Reason(end.reason))?,
            stats: self.stats.map(LiveStats::from).unwrap_or_default(),
            detection_ms: end.detection_ms,
        }))
    }
}

impl From<&LiveEnded> for EndRecord {
    fn from(ended: &LiveEnded) -> Self {
        Self {
            ended_ms: ended.ended.0,
            reason: ended.reason.wire().into(),
            detection_ms: ended.detection_ms,
        }
    }
}

fn reason(number: i32) -> Option<EndReason> {
    EndReason::ALL
        .into_iter()
        .find(|reason| i32::from(reason.wire()) == number)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn an_ended_live_comes_back_from_its_bytes_as_it_went_in() {
        for reason in EndReason::ALL {
            let record = ended(reason);
            let read = LiveRecord::decode(record.encode_to_vec().as_slice()).unwrap();
            assert_eq!(read, record);
            let fact = read.ended().unwrap().unwrap();
            assert_eq!(fact.reason, reason);
            assert_eq!(EndRecord::from(&fact), record.end.unwrap());
        }
    }

    #[test]
    fn a_reason_of_a_later_version_is_an_error_and_no_panic() {
        let mut record = ended(EndReason::Kicked);
        record.end.as_mut().unwrap().reason = 99;
        assert!(matches!(record.ended(), Err(BadRecord::Reason(99))));
    }

    fn ended(reason: EndReason) -> LiveRecord {
        LiveRecord {
            app: 7,
            room: "demo".into(),
            live: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
            host: "h".into(),
            started_ms: 5,
            stats: Some(StatsRecord {
                likes: 3,
                ..StatsRecord::default()
            }),
            end: Some(EndRecord {
                ended_ms: 9,
                reason: reason.wire().into(),
                detection_ms: 4,
            }),
            ..LiveRecord::default()
        }
    }
}
