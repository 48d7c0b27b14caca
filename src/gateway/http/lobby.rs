//! What the RoomService door does: logins, and pushers that heartbeat by HTTP.
//!
//! A pusher is a member of the room without a connection. In a live_room its
//! creator hosts the live, so that a creator whose heartbeats stop is a host
//! that is lost, with everything that follows; the others are on the mic.
//!
//! Invariants: no lock is held over an await; a guard leaves a room only outside
//! of the lobby's lock.

mod pushing;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::answer::{Outcome, Problem};
use super::config::RoomServiceConfig;
use super::pushers::{HttpRoom, HttpRooms, Kind};
use super::tokens::Tokens;
use crate::actions::Actions;
use crate::actions::pushers::Pusher;
use crate::auth::HmacKey;
use crate::auth::usersig::{Grant, issue};
use crate::clock::{Clock, Instant};
use crate::id::{AppId, RoomId, RoomKey, UserId, UserKey};
use crate::rooms::{AttributesChange, LeaveCause};

/// Told to the apps in a room when pushers came or went (the vendor's text).
const PUSHERS_CHANGED: &str = r#"{"cmd":"notifyPusherChange","data":""}"#;
/// Most fields of a room's own, as attributes.
const MAX_FIELDS: usize = 16;

/// An app and the key that signs for its users.
pub type Signer = (AppId, HmacKey);

/// How long a signature holds that was made for whoever asked (the vendor's
/// figure).
const SIGNED_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The state of the RoomService door.
#[derive(Debug)]
pub struct Lobby {
    actions: Arc<Actions>,
    clock: Clock,
    config: RoomServiceConfig,
    /// Signs for whoever asks, in development.
    signer: Option<Signer>,
    tokens: Mutex<Tokens>,
    rooms: Mutex<HttpRooms<Pusher>>,
}

/// One who asks to push.
#[derive(Debug, Clone)]
pub(super) struct Applicant {
    pub(super) name: String,
    pub(super) avatar: String,
    pub(super) url: String,
    pub(super) info: Option<String>,
}

impl Lobby {
    /// With nobody in it.
    pub fn new(
        actions: Arc<Actions>,
        clock: Clock,
        config: RoomServiceConfig,
        signer: Option<Signer>,
    ) -> Self {
        let tokens = Tokens::new(config.token_lifetime, config.tokens);
        Self {
            actions,
            clock,
            config,
            signer,
            tokens: Mutex::new(tokens),
            rooms: Mutex::default(),
        }
    }

    pub(super) fn config(&self) -> &RoomServiceConfig {
        &self.config
    }

    /// Looks after pushers that stop, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut look = tokio::time::interval(self.config.sweep_every);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.drain(),
                _ = look.tick() => self.look().await,
            }
        }
    }

    /// Everybody is sent away by a planned stop: nothing is decided about their
    /// lives.
    fn drain(&self) {
        let now = self.clock.now();
        let rooms = std::mem::take(&mut *self.rooms.lock());
        for pushing in rooms.into_pushers() {
            let membership = pushing.guard.entered.membership;
            membership.leave(LeaveCause::Draining, pushing.heard, now);
        }
    }

    /// Verifies a signature and gives a token for it.
    pub(super) fn login(&self, user: &UserKey, sig: &str) -> Result<String, Problem> {
        let now = self.clock.now();
        let refused = |refusal: crate::rooms::Refusal| {
            let message = format!("{} ({})", refusal.message, refusal.code.0);
            Problem::new(Outcome::Authentication, message)
        };
        self.actions.verify_sig(user, sig, now).map_err(refused)?;
        Ok(self.tokens.lock().give(user, now.instant))
    }

    pub(super) fn logout(&self, user: &UserKey) {
        self.tokens.lock().end(user);
    }

    /// Whose token this is, if it is that of the user named.
    pub(super) fn authenticate(&self, user: &str, token: &str) -> Result<UserKey, Problem> {
        let now = self.clock.now().instant;
        let tokens = self.tokens.lock();
        let found = tokens.user(token, now);
        let own = found.filter(|found| found.user.as_str() == user);
        own.cloned()
            .ok_or_else(|| Problem::new(Outcome::Authentication, "log in first"))
    }

    /// A sign of life of a pusher.
    pub(super) fn heartbeat(&self, user: &UserKey, kind: Kind, id: &RoomId) -> Result<(), Problem> {
        let key = key(user, id);
        let now = self.clock.now().instant;
        let gone = {
            let mut rooms = self.rooms.lock();
            let room = rooms.get_mut(&key, kind).ok_or_else(no_room)?;
            let pushing = room.pusher(&user.user).ok_or_else(no_member)?;
            let is_here = |pusher: &Pusher| {
                let room = pusher.entered.membership.room();
                room.role_of(&user.user).is_some()
            };
            if is_here(&pushing.guard) {
                pushing.heard = now;
                return Ok(());
            }
            // Kicked, or the room was destroyed, by another door.
            room.take(&user.user, now)
        };
        drop(gone);
        Err(no_member())
    }

    /// Reads a room.
    pub(super) fn read<T>(
        &self,
        user: &UserKey,
        kind: Kind,
        id: &RoomId,
        read: impl FnOnce(&RoomId, &HttpRoom<Pusher>) -> T,
    ) -> Result<T, Problem> {
        let rooms = self.rooms.lock();
        let room = rooms.get(&key(user, id), kind).ok_or_else(no_room)?;
        Ok(read(id, room))
    }

    /// Reads a page of the rooms in which somebody pushes.
    pub(super) fn list<T>(
        &self,
        user: &UserKey,
        kind: Kind,
        (index, count): (usize, usize),
        read: impl Fn(&RoomId, &HttpRoom<Pusher>) -> T,
    ) -> Vec<T> {
        let rooms = self.rooms.lock();
        let active = rooms.active(user.app, kind).into_iter();
        let page = active.skip(index.saturating_mul(count)).take(count);
        page.map(|(key, room)| read(&key.room, room)).collect()
    }

    /// Changes a field of a room's own and tells it as an attribute; returns
    /// all of them.
    pub(super) fn change_field(
        &self,
        user: &UserKey,
        kind: Kind,
        id: &RoomId,
        name: &str,
        change: impl FnOnce(i64) -> i64,
    ) -> Result<Vec<(String, i64)>, Problem> {
        let key = key(user, id);
        let fields = {
            let mut rooms = self.rooms.lock();
            let room = rooms.get_mut(&key, kind).ok_or_else(no_room)?;
            if room.fields.len() >= MAX_FIELDS && !room.fields.contains_key(name) {
                return Err(Problem::new(Outcome::Full, "too many fields"));
            }
            let field = room.fields.entry(name.to_owned()).or_default();
            *field = change(*field);
            room.fields.clone()
        };
        let value = fields.get(name).copied().unwrap_or_default().to_string();
        let change = AttributesChange {
            set: vec![(name.to_owned(), value.into())],
            ..AttributesChange::default()
        };
        let now = self.clock.now();
        self.actions.set_attributes(&key, change, now)?;
        Ok(fields.into_iter().collect())
    }

    /// Lists a member of the audience, or no longer.
    pub(super) fn audience(
        &self,
        user: &UserKey,
        kind: Kind,
        id: &RoomId,
        info: Option<String>,
    ) -> Result<(), Problem> {
        let mut rooms = self.rooms.lock();
        let room = rooms.get_mut(&key(user, id), kind).ok_or_else(no_room)?;
        room.audience.retain(|(listed, _)| *listed != user.user);
        let Some(info) = info else {
            return Ok(());
        };
        if room.audience.len() >= self.config.audience {
            return Err(Problem::new(Outcome::Full, "the audience list is full"));
        }
        room.audience.push((user.user.clone(), info));
        Ok(())
    }

    /// The push URL of a user, if the operator gave its shape.
    pub(super) fn push_url(&self, user: &UserKey) -> Result<String, Problem> {
        if self.config.push_url.is_empty() {
            let message = "livegate carries no media: room_service.push_url is not set";
            return Err(Problem::new(Outcome::Media, message));
        }
        let url = self.config.push_url.replace("{app}", &user.app.to_string());
        Ok(url.replace("{user}", user.user.as_str()))
    }

    fn tell_change(&self, key: &RoomKey) {
        let now = self.clock.now();
        // A room that is gone has nobody to tell.
        let _ = self.actions.notify(key, PUSHERS_CHANGED.to_owned(), now);
    }

    /// Takes out who was not heard, and rooms in which nobody pushes any more.
    async fn look(&self) {
        let now = self.clock.now();
        let (allowance, idle) = (self.config.allowance, self.config.idle_room);
        self.tokens.lock().forget(now.instant);
        let found = self.rooms.lock().look(allowance, idle, now.instant);
        for (key, pushing) in found.lost {
            tracing::info!(app = %key.app, room = %key.room, user = %pushing.user, "a pusher is silent");
            let (heard, membership) = (pushing.heard, pushing.guard.entered.membership);
            membership.leave(LeaveCause::Silent, heard, now);
            self.tell_change(&key);
        }
        for key in found.idle {
            self.drop_idle(&key, now.instant).await;
        }
    }

    /// Destroys a room in which nobody pushes, unless its live may yet go on.
    async fn drop_idle(&self, key: &RoomKey, now: Instant) {
        let room = self.actions.rooms().get(key);
        if room.is_some_and(|room| room.is_live()) {
            return;
        }
        let gone = {
            let mut rooms = self.rooms.lock();
            // Somebody may have come meanwhile.
            if !rooms.is_idle(key, self.config.idle_room, now) {
                return;
            }
            rooms.remove(key)
        };
        drop(gone);
        if let Err(refusal) = self.actions.destroy_room(key, self.clock.now()).await {
            tracing::debug!(code = refusal.code.0, "an idle room could not be destroyed");
        }
    }
}

fn key(user: &UserKey, room: &RoomId) -> RoomKey {
    RoomKey {
        app: user.app,
        room: room.clone(),
    }
}

fn no_room() -> Problem {
    Problem::new(Outcome::Room, "the room does not exist")
}

fn no_member() -> Problem {
    Problem::new(Outcome::Member, "not a pusher of the room")
}

impl Lobby {
    /// A user id for one who names none.
    pub(super) fn somebody(&self) -> UserId {
        let mut bytes = [0; 6];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        UserId::new(&format!("guest-{hex}")).expect("short and printable")
    }

    /// A signature for whoever asks: for development.
    pub(super) fn signature(&self, user: &UserId) -> Result<(AppId, String), Problem> {
        let Some((app, key)) = &self.signer else {
            return Err(Problem::new(Outcome::Failed, "the app has no key to sign"));
        };
        let grant = Grant {
            app: *app,
            user,
            issued_at: self.clock.now().unix,
            lifetime: SIGNED_FOR,
            userbuf: None,
        };
        let sig = issue(key, &grant).map_err(|_| Problem::missing("userID"))?;
        Ok((*app, sig))
    }
}
