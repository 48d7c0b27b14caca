//! What a user or a backend may do, each written once.
//!
//! Verbs are typed and checked before they come here ([`verb`], [`content`]);
//! an action authorises, limits, decides and tells. Sessions and the backend's
//! doors call the same ones.
//!
//! Invariants: nothing here awaits or touches a disk; what must be recorded
//! first is answered later, as a session event; an id of one app never reaches
//! a room or a user of another, because every key is made from the caller's
//! own app.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use livegate_proto::client::{Profile, reply};
use livegate_proto::code::Code;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::auth::{KeyRing, Privileges};
use crate::callback::Teller;
use crate::callback::ask::Asks;
use crate::callback::call::Calls;
use crate::clock::Unix;
use crate::directory::Directory;
use crate::dispatch::Dispatch;
use crate::event::Origin;
use crate::id::{AppId, RoomId, RoomKey, SessionId, UserKey};
use crate::online::{DeviceConfig, Online};
use crate::rooms::dedupe::Dedupe;
use crate::rooms::{Entered, Refusal, Room, Rooms};

mod asking;
pub mod backend;
mod calling;
mod client;
pub mod command;
pub mod content;
pub mod governing;
mod mic;
pub mod outcome;
pub mod pushers;
mod reporting;
pub mod verb;

use asking::Asking;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Its session.
    pub session: SessionId,
    /// App and user.
    pub key: &'a UserKey,
    /// What the user shows.
    pub profile: &'a Arc<Profile>,
    /// Signed privileges, when the signature carries them.
    pub privileges: Option<&'a Privileges>,
    /// From where it came in.
    pub origin: Origin,
}

/// What an action came to.
#[derive(Debug)]
pub enum Done {
    /// Carried out; the reply's body, where the verb has one.
    Reply(Option<reply::Body>),
    /// The answer comes as [`SessionEvent::Answered`](crate::dispatch::SessionEvent).
    Deferred,
    /// The session is a member now.
    Entered(Box<Entry>),
    /// The signature is renewed.
    Renewed(Renewed),
}

/// A membership that was just made.
#[derive(Debug)]
pub struct Entry {
    /// The room.
    pub room: Arc<Room>,
    /// Guard, place in the room's order, and whether the session hosts its live.
    pub entered: Entered,
    /// Grows with every entry into any room.
    pub number: u64,
}

/// A signature that took the place of the one before.
#[derive(Debug)]
pub struct Renewed {
    /// When it ends.
    pub expires: Unix,
    /// What it carries.
    pub privileges: Option<Box<Privileges>>,
    /// The reply's body.
    pub reply: reply::Body,
}

/// How many rooms a user may be in at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomsPerUser {
    /// One, on all devices together: entering another leaves it.
    One,
    /// As many as each session may be in.
    #[default]
    Many,
}

/// An app's own policies.
#[derive(Debug, Clone)]
pub struct AppPolicy {
    /// Who the backend speaks as when it does not say.
    pub admin: String,
    /// How many sessions a user may hold.
    pub devices: DeviceConfig,
    /// Whether clients may list rooms.
    pub list_rooms: bool,
    /// Whether clients may create rooms; else only the backend may.
    pub create_rooms: bool,
    /// How many rooms a user may be in at once.
    pub rooms_per_user: RoomsPerUser,
}

impl Default for AppPolicy {
    fn default() -> Self {
        Self {
            admin: "administrator".to_owned(),
            devices: DeviceConfig::default(),
            list_rooms: true,
            create_rooms: true,
            rooms_per_user: RoomsPerUser::default(),
        }
    }
}

/// What is kept per app.
#[derive(Debug)]
struct App {
    policy: AppPolicy,
    /// Messages to users that were sent lately: a retry is no second message.
    sent: Mutex<Dedupe>,
}

impl App {
    fn new(policy: AppPolicy) -> Self {
        let sent = Mutex::new(Dedupe::new(SENT_WINDOW, SENT_ENTRIES));
        Self { policy, sent }
    }
}

/// The ways to the apps' backends.
#[derive(Debug)]
pub struct Backends {
    /// What they are told.
    pub teller: Arc<Teller>,
    /// What they are asked before it happens.
    pub asks: Arc<Asks>,
    /// What clients ask of them.
    pub calls: Calls,
}

/// What users and backends may do. Shared by every shard and door.
#[derive(Debug)]
pub struct Actions {
    rooms: Arc<Rooms>,
    online: Online,
    dispatch: Dispatch,
    keys: Arc<KeyRing>,
    directory: Arc<Directory>,
    teller: Arc<Teller>,
    /// `None`: no app is asked anything.
    asking: Option<Asking>,
    apps: HashMap<AppId, App, foldhash::fast::RandomState>,
    /// For apps without a policy of their own.
    unknown: AppPolicy,
    /// Entries into rooms so far.
    entries: AtomicU64,
    calls: Calls,
}

/// Client message ids of messages to users that an app remembers.
const SENT_ENTRIES: usize = 65_536;
/// How long they are remembered.
const SENT_WINDOW: Duration = Duration::from_secs(120);

impl Actions {
    /// Puts the parts together.
    pub fn new(
        rooms: Arc<Rooms>,
        online: Online,
        dispatch: Dispatch,
        keys: Arc<KeyRing>,
        directory: Arc<Directory>,
        backends: Backends,
        policies: HashMap<AppId, AppPolicy>,
    ) -> Self {
        Self {
            asking: Asking::new(backends.asks, &rooms),
            rooms,
            online,
            dispatch,
            keys,
            directory,
            teller: backends.teller,
            unknown: AppPolicy::default(),
            entries: AtomicU64::new(0),
            calls: backends.calls,
            apps: policies
                .into_iter()
                .map(|(id, policy)| (id, App::new(policy)))
                .collect(),
        }
    }

    /// Whether the app is configured.
    pub fn knows(&self, app: AppId) -> bool {
        self.keys.knows(app)
    }

    /// Who is online.
    pub fn online(&self) -> &Online {
        &self.online
    }

    /// What the backend said of users.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The rooms.
    pub fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// How many sessions a user of this app may hold.
    pub fn devices(&self, app: AppId) -> DeviceConfig {
        self.policy(app).devices
    }

    fn policy(&self, app: AppId) -> &AppPolicy {
        self.apps.get(&app).map_or(&self.unknown, |app| &app.policy)
    }

    fn room(&self, app: AppId, room: &RoomId) -> Result<Arc<Room>, Refusal> {
        let key = RoomKey {
            app,
            room: room.clone(),
        };
        self.rooms.get(&key).ok_or_else(|| Code::NO_ROOM.into())
    }
}
