//! What backends are told of users outside of rooms.

use livegate_proto::client::{Elements, Platform, room_message};
use smallvec::SmallVec;

use super::Actions;
use super::content::Content;
use crate::callback::tell::{self, Event, Said, SessionState, Tell};
use crate::clock::Unix;
use crate::event::Origin;
use crate::id::{AppId, UserKey};

impl Actions {
    fn tells(&self, app: AppId, tell: Tell) -> bool {
        self.teller.chosen(app).is_some_and(|tells| tells.has(tell))
    }

    fn event(&self, app: AppId, time: Unix, origin: Origin) -> Event {
        Event {
            app,
            id: self.teller.event_id(),
            time,
            origin,
        }
    }

    /// A session began; `displaced` are the platforms of those that its login
    /// displaced.
    pub fn report_login(&self, user: &UserKey, origin: Origin, displaced: &[i32], now: Unix) {
        self.report_state(user, origin, SessionState::Login, displaced, now);
    }

    /// A session ended.
    pub fn report_logout(&self, user: &UserKey, origin: Origin, state: SessionState, now: Unix) {
        self.report_state(user, origin, state, &[], now);
    }

    fn report_state(
        &self,
        user: &UserKey,
        origin: Origin,
        state: SessionState,
        displaced: &[i32],
        now: Unix,
    ) {
        if !self.tells(user.app, Tell::StateChange) {
            return;
        }
        let loopback = Origin::Unknown.address();
        let name = |platform: &i32| {
            let platform = Platform::try_from(*platform).unwrap_or_default();
            Origin::Client(platform, loopback).platform()
        };
        let kicked: SmallVec<[&str; 2]> = displaced.iter().map(name).collect();
        let event = self.event(user.app, now, origin);
        let row = tell::state_changed(event, &user.user, state, &kicked);
        self.teller.tell(vec![row]);
    }

    /// The parts of a message to a user, if its backend is told of such.
    pub(super) fn parts_to_report(&self, app: AppId, content: &Content) -> Option<Elements> {
        let wanted = self.tells(app, Tell::DirectAfterSendMsg);
        wanted.then(|| Elements::from(&room_message::Content::from(content.clone())))
    }

    /// Something was said to a user.
    pub(super) fn report_direct(
        &self,
        said: &Said<'_>,
        to: &UserKey,
        (origin, seq): (Origin, u32),
        now: Unix,
    ) {
        let event = self.event(to.app, now, origin);
        let row = tell::said_to_user(event, said, &to.user, seq);
        self.teller.tell(vec![row]);
    }
}
