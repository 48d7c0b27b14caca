//! Names of things, each a type of its own with its bounds.
//!
//! Invariant: a value of one of these types has been checked; nothing behind
//! the doors checks again. Ids of two apps never compare equal, because
//! [`RoomKey`] and [`UserKey`] carry the app.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// An app (tenant): Tencent's `sdk_app_id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AppId(pub u32);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadId {
    /// No characters.
    #[error("id is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("id of {len} bytes exceeds {max}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character that an id may not have.
    #[error("id contains a character that is not allowed")]
    Character,
}

/// A user's identifier: 1 to 64 bytes of UTF-8 without control characters and
/// white space.
///
/// Tencent allows 32 bytes; a longer limit loses nobody. Control characters
/// are refused because the text that a UserSig signs is joined by newlines.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Most bytes of a [`UserId`].
pub const MAX_USER_ID: usize = 64;

impl UserId {
    /// Checks and takes `text`.
    ///
    /// # Errors
    /// [`BadId`] says which bound it breaks.
    pub fn new(text: &str) -> Result<Self, BadId> {
        check(text, MAX_USER_ID, |c| !c.is_control() && !c.is_whitespace())?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A room's id: 1 to 48 bytes of printable ASCII (Tencent's GroupId).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(Arc<str>);

/// Most bytes of a [`RoomId`].
pub const MAX_ROOM_ID: usize = 48;

impl RoomId {
    /// Checks and takes `text`.
    ///
    /// # Errors
    /// [`BadId`] says which bound it breaks.
    pub fn new(text: &str) -> Result<Self, BadId> {
        check(text, MAX_ROOM_ID, |c| (' '..='~').contains(&c))?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str, max: usize, allowed: impl Fn(char) -> bool) -> Result<(), BadId> {
    if text.is_empty() {
        return Err(BadId::Empty);
    }
    if text.len() > max {
        return Err(BadId::TooLong {
            len: text.len(),
            max,
        });
    }
    if !text.chars().all(allowed) {
        return Err(BadId::Character);
    }
    Ok(())
}

macro_rules! text_id {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}
text_id!(UserId, RoomId);

/// A user of an app: the key of everything that is kept per user.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UserKey {
    /// The tenant.
    pub app: AppId,
    /// The user within it.
    pub user: UserId,
}

/// A room of an app: the key of everything that is kept per room.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RoomKey {
    /// The tenant.
    pub app: AppId,
    /// The room within it.
    pub room: RoomId,
}

/// One incarnation of a room in this process; never given twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RoomUid(pub u64);

/// A shard: one thread that owns connections. Counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// Of sessions that have no connection of their own: those of the
    /// RoomService door and of calls of the backend. Nothing is delivered to
    /// them.
    pub const NOWHERE: Self = Self(0xfff);
}

impl From<ShardId> for usize {
    fn from(shard: ShardId) -> Self {
        Self::from(shard.0)
    }
}

/// A logged-in connection. Names its shard and its slot there, and is never
/// given twice while the process runs, so that a late exit cannot be taken for
/// its successor's.
///
/// Layout: shard 12 bits, slot 24 bits, generation 28 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SessionId(pub u64);

impl SessionId {
    const SLOT_BITS: u32 = 24;
    const GENERATION_BITS: u32 = 28;

    /// Most slots of a shard.
    pub const MAX_SLOTS: usize = 1 << Self::SLOT_BITS;

    /// Puts an id together. `generation` wraps at 28 bits.
    pub fn new(shard: ShardId, slot: u32, generation: u32) -> Self {
        let slot = u64::from(slot) & ((1 << Self::SLOT_BITS) - 1);
        let generation = u64::from(generation) & ((1 << Self::GENERATION_BITS) - 1);
        let shard = u64::from(shard.0) << (Self::SLOT_BITS + Self::GENERATION_BITS);
        Self(shard | slot << Self::GENERATION_BITS | generation)
    }

    /// The shard that owns the session.
    pub fn shard(self) -> ShardId {
        let shard = self.0 >> (Self::SLOT_BITS + Self::GENERATION_BITS);
        ShardId(u16::try_from(shard & 0xfff).expect("masked to 12 bits"))
    }

    /// The slot on that shard.
    pub fn slot(self) -> u32 {
        let slot = self.0 >> Self::GENERATION_BITS & ((1 << Self::SLOT_BITS) - 1);
        u32::try_from(slot).expect("masked to 24 bits")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One broadcast in a room by one user, a UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LiveId(pub uuid::Uuid);

impl LiveId {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`BadId::Character`] when it is no UUID.
    pub fn parse(text: &str) -> Result<Self, BadId> {
        uuid::Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| BadId::Character)
    }
}

impl fmt::Display for LiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_newline_is_refused_in_every_text_id() {
        assert_eq!(UserId::new("a\nb"), Err(BadId::Character));
        assert_eq!(RoomId::new("a\nb"), Err(BadId::Character));
    }

    #[test]
    fn users_may_have_names_of_any_script() {
        assert!(UserId::new("用户_测试01").is_ok());
        assert!(UserId::new("host😀-1").is_ok());
        assert_eq!(RoomId::new("房间"), Err(BadId::Character));
    }

    #[test]
    fn bounds_are_in_bytes() {
        assert!(UserId::new(&"x".repeat(64)).is_ok());
        let refused = UserId::new(&"x".repeat(65));
        assert_eq!(refused, Err(BadId::TooLong { len: 65, max: 64 }));
        assert_eq!(RoomId::new(""), Err(BadId::Empty));
    }

    proptest! {
        #[test]
        fn a_session_id_names_its_shard_and_slot(shard in 0u16..4096, slot in 0u32..1 << 24, generation: u32) {
            let id = SessionId::new(ShardId(shard), slot, generation);
            prop_assert_eq!(id.shard(), ShardId(shard));
            prop_assert_eq!(id.slot(), slot);
        }
    }
}
