//! What an action answers, and what it changes in the session that asked.

use std::borrow::Cow;
use std::time::Duration;

use livegate_proto::client::{Reply, Role, reply};
use livegate_proto::code::Code;

use crate::auth::Privileges;
use crate::clock::Unix;
use crate::id::{RoomId, RoomUid};

/// The answer to one verb.
#[derive(Debug)]
pub struct Outcome {
    /// What the client is told; the session puts the request's id in.
    pub reply: Reply,
    /// What is different now for the session.
    pub change: Option<Change>,
}

/// What an action changed in the session that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is a member of this room.
    Entered(Joined),
    /// It is no longer a member of this room.
    Left(RoomUid),
    /// Another signature holds instead.
    Renewed {
        /// When it ends.
        sig_expires: Unix,
        /// Rights that it is bound to.
        privileges: Option<Box<Privileges>>,
    },
}

/// A session's membership in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The room's incarnation.
    pub uid: RoomUid,
    /// Its id.
    pub room: RoomId,
    /// The role that it has when it does not host.
    pub role: Role,
    /// Whether it hosts the room's live.
    pub hosting: bool,
    /// Whether it is on the room's mic.
    pub publishing: bool,
}

impl Joined {
    /// The role that holds now, as a name.
    pub fn role_name(&self) -> &'static str {
        match self.role {
            _ if self.hosting => "host",
            Role::Host => "host",
            Role::Publisher => "publisher",
            Role::Admin => "admin",
            Role::Viewer | Role::Unspecified => "viewer",
        }
    }
}

impl Outcome {
    /// Carried out; `body` where the verb has an answer of its own.
    pub fn done(body: Option<reply::Body>) -> Self {
        let reply = Reply {
            body,
            ..Reply::default()
        };
        let change = None;
        Self { reply, change }
    }

    /// Refused with a code, a text for the developer at the other end, and
    /// when to try again where that helps.
    pub fn refused(
        code: Code,
        message: impl Into<Cow<'static, str>>,
        retry: Option<Duration>,
    ) -> Self {
        let millis = retry.map_or(0, |wait| wait.as_micros().div_ceil(1000));
        let reply = Reply {
            code: code.0,
            message: message.into().into_owned(),
            retry_after_ms: u32::try_from(millis).unwrap_or(u32::MAX),
            ..Reply::default()
        };
        let change = None;
        Self { reply, change }
    }

    /// The same answer, with what it changed.
    #[must_use]
    pub fn with(mut self, change: Change) -> Self {
        self.change = Some(change);
        self
    }
}
