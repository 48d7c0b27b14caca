//! What a room is apart from who is in it: the part that may outlive the
//! process.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use livegate_proto::client::{self as wire, Role};

use crate::clock::Unix;
use crate::engine::record::{AttributeRecord, RoleRecord, RoomRecord, UntilRecord};
use crate::id::{BadId, RoomKey, UserId};

/// Owner, info and roles of a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Charter {
    /// Who made it; only they may host without being given a role.
    pub(crate) owner: Option<UserId>,
    /// Opaque to livegate.
    pub(crate) info: Bytes,
    /// When it was made.
    pub(crate) created: Unix,
    /// How long its lives wait for a lost host; `None`: as configured.
    pub(crate) grace: Option<Duration>,
    /// Roles that the backend or the owner gave.
    pub(crate) roles: BTreeMap<UserId, Role>,
    /// What it shows of itself.
    pub(crate) profile: wire::RoomProfile,
    /// The app's own state, by key.
    pub(crate) attributes: BTreeMap<String, Bytes>,
    /// How often the attributes were changed.
    pub(crate) attributes_version: u64,
    /// Who may not speak, until when; `Unix(u64::MAX)`: for good.
    pub(crate) mutes: BTreeMap<UserId, Unix>,
    /// Who may not enter, until when.
    pub(crate) bans: BTreeMap<UserId, Unix>,
    /// Whether it is recorded and so outlives the process and its emptiness.
    pub(crate) durable: bool,
}

impl Charter {
    /// Of a room that came to be because somebody entered it.
    pub(crate) fn passing(created: Unix) -> Self {
        Self {
            owner: None,
            info: Bytes::new(),
            created,
            grace: None,
            roles: BTreeMap::new(),
            profile: wire::RoomProfile::default(),
            attributes: BTreeMap::new(),
            attributes_version: 0,
            mutes: BTreeMap::new(),
            bans: BTreeMap::new(),
            durable: false,
        }
    }

    /// As it was recorded.
    ///
    /// # Errors
    /// [`BadId`] when the record holds an id that could not have been given.
    pub(crate) fn recorded(record: RoomRecord) -> Result<Self, BadId> {
        let owner = Some(record.owner.as_str()).filter(|id| !id.is_empty());
        let role = |given: RoleRecord| {
            let role = Role::try_from(given.role).unwrap_or(Role::Viewer);
            Ok((UserId::new(&given.user)?, role))
        };
        Ok(Self {
            owner: owner.map(UserId::new).transpose()?,
            info: record.room_info,
            created: Unix(record.created_ms),
            grace: record.grace_ms.map(|ms| Duration::from_millis(ms.into())),
            roles: record
                .roles
                .into_iter()
                .map(role)
                .collect::<Result<_, _>>()?,
            profile: record.profile.unwrap_or_default(),
            attributes: record
                .attributes
                .into_iter()
                .map(|it| (it.key, it.value))
                .collect(),
            attributes_version: record.attributes_version,
            mutes: untils(record.mutes)?,
            bans: untils(record.bans)?,
            durable: true,
        })
    }

    /// As it is to be recorded.
    pub(crate) fn record(&self, key: &RoomKey) -> RoomRecord {
        let grace = self.grace.map(|grace| grace.as_millis());
        let role = |(user, role): (&UserId, &Role)| RoleRecord {
            user: user.to_string(),
            role: (*role).into(),
        };
        RoomRecord {
            app: key.app.0,
            room: key.room.to_string(),
            owner: self.owner_text(),
            room_info: self.info.clone(),
            created_ms: self.created.0,
            roles: self.roles.iter().map(role).collect(),
            grace_ms: grace.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
            profile: Some(self.profile.clone()),
            attributes: self.attributes.iter().map(attribute).collect(),
            attributes_version: self.attributes_version,
            mutes: self.mutes.iter().map(until).collect(),
            bans: self.bans.iter().map(until).collect(),
        }
    }

    /// The attributes as they are told.
    pub(crate) fn wire_attributes(&self) -> wire::Attributes {
        let attribute = |(key, value): (&String, &Bytes)| wire::Attribute {
            key: key.clone(),
            value: value.clone(),
        };
        wire::Attributes {
            version: self.attributes_version,
            attributes: self.attributes.iter().map(attribute).collect(),
        }
    }

    /// Until when `user` may not speak; `None`: may.
    pub(crate) fn muted_until(&self, user: &UserId, now: Unix) -> Option<Unix> {
        self.mutes.get(user).copied().filter(|until| *until > now)
    }

    /// Until when `user` may not enter; `None`: may.
    pub(crate) fn banned_until(&self, user: &UserId, now: Unix) -> Option<Unix> {
        self.bans.get(user).copied().filter(|until| *until > now)
    }

    /// Forgets mutes and bans that are over.
    pub(crate) fn forget_past(&mut self, now: Unix) {
        self.mutes.retain(|_, until| *until > now);
        self.bans.retain(|_, until| *until > now);
    }

    /// Whether `user` owns the room.
    pub(crate) fn is_owned_by(&self, user: &UserId) -> bool {
        self.owner.as_ref() == Some(user)
    }

    /// The owner's id; empty: nobody.
    pub(crate) fn owner_text(&self) -> String {
        let owner = self.owner.as_ref();
        owner.map(UserId::to_string).unwrap_or_default()
    }
}

fn untils(records: Vec<UntilRecord>) -> Result<BTreeMap<UserId, Unix>, BadId> {
    let read = |it: UntilRecord| Ok((UserId::new(&it.user)?, Unix(it.until_ms)));
    records.into_iter().map(read).collect()
}

fn until((user, until): (&UserId, &Unix)) -> UntilRecord {
    UntilRecord {
        user: user.to_string(),
        until_ms: until.0,
    }
}

fn attribute((key, value): (&String, &Bytes)) -> AttributeRecord {
    AttributeRecord {
        key: key.clone(),
        value: value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AppId, RoomId};

    #[test]
    fn a_charter_comes_back_from_its_record() {
        let key = RoomKey {
            app: AppId(7),
            room: RoomId::new("demo").unwrap(),
        };
        let charter = Charter {
            owner: Some(UserId::new("o").unwrap()),
            info: Bytes::from_static(b"info"),
            created: Unix(5),
            grace: Some(Duration::from_secs(3)),
            roles: BTreeMap::from([(UserId::new("p").unwrap(), Role::Publisher)]),
            profile: wire::RoomProfile {
                name: "evening show".into(),
                ..wire::RoomProfile::default()
            },
            attributes: BTreeMap::from([("item".into(), Bytes::from_static(b"7"))]),
            attributes_version: 3,
            mutes: BTreeMap::from([(UserId::new("m").unwrap(), Unix(9))]),
            bans: BTreeMap::from([(UserId::new("b").unwrap(), Unix(u64::MAX))]),
            durable: true,
        };
        let record = charter.record(&key);
        assert_eq!(record.key().unwrap(), key);
        assert_eq!(Charter::recorded(record).unwrap(), charter);
    }
}
