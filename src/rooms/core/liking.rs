//! Likes in a room: counted, asked about, told.

use livegate_proto::client as wire;

use super::{Core, Out};
use crate::clock::Moment;
use crate::dispatch::Class;
use crate::id::{LiveId, SessionId};
use crate::rooms::merge::Window;
use crate::rooms::questions::LikeWindow;
use crate::rooms::refusal::Refusal;

impl Core {
    /// Counts likes of a member.
    pub(crate) fn like(
        &mut self,
        session: SessionId,
        count: u32,
        now: Moment,
        out: &mut Out,
    ) -> Result<(), Refusal> {
        self.must_be_open()?;
        self.member(session)?;
        self.metrics.rooms().taken(Class::Low);
        self.likes.add(count.into());
        self.live.like(count.into());
        self.settle(now, out);
        Ok(())
    }

    /// A window is over, and may be told.
    pub(super) fn tell_likes(&mut self, window: Window, now: Moment, out: &mut Out) {
        self.report_likes(window, now, out);
        let totals = wire::Totals {
            likes: window.total,
        };
        let room = self.key.room.as_str();
        self.flash.set_totals(room, totals, now.unix);
    }

    pub(super) fn like_window(&self, window: Window, now: Moment) -> LikeWindow {
        LikeWindow {
            room: self.key.clone(),
            uid: self.uid,
            kind: self.kind().to_owned(),
            window,
            time: now.unix,
            live: self.live.id(),
        }
    }

    /// The backend was asked about a window of likes: it is told, or it never
    /// was, in the figures of the live too.
    pub(crate) fn likes_answered(
        &mut self,
        live: Option<LiveId>,
        may: bool,
        now: Moment,
        out: &mut Out,
    ) {
        match self.likes.answered(may, now.instant) {
            Some(window) if may => self.tell_likes(window, now, out),
            Some(window) if self.live.id() == live => self.live.unlike(window.count),
            Some(_) | None => {}
        }
        self.settle(now, out);
    }

    /// The backend could not be asked now: the window goes on.
    pub(crate) fn likes_put_off(&mut self) {
        self.likes.put_off();
    }
}
