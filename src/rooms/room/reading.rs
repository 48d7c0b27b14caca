//! What a room shows to who asks.

use livegate_proto::Encoded;
use livegate_proto::client::room_message::Content;
use livegate_proto::client::{self as wire, Push, ServerFrame, push};

use super::Room;
use crate::clock::Moment;
use crate::id::{SessionId, UserId};
use crate::rooms::core::{LiveReport, RoomReport};
use crate::rooms::refusal::Refusal;

impl Room {
    /// As the v4 API names the room's type, for what a session is to say.
    ///
    /// # Errors
    /// What [`publish`](Self::publish) would refuse it with now, but for the
    /// room's rate and its log.
    pub fn kind_to_say(
        &self,
        session: SessionId,
        content: &Content,
        now: Moment,
    ) -> Result<String, Refusal> {
        let inner = self.inner.lock();
        inner.core.must_take(session, content, now)?;
        Ok(inner.core.kind().to_owned())
    }

    /// As [`kind_to_say`](Self::kind_to_say), for what the backend is to say
    /// as `sender`; `None`: as one who is not bound as a user is.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    pub fn kind_to_push(&self, sender: Option<&UserId>, now: Moment) -> Result<String, Refusal> {
        let inner = self.inner.lock();
        inner.core.must_take_push(sender, now)?;
        Ok(inner.core.kind().to_owned())
    }

    /// As lists show it.
    pub fn summary(&self) -> wire::RoomSummary {
        self.inner.lock().core.summary()
    }

    /// As the backend sees it.
    pub fn report(&self) -> RoomReport {
        self.inner.lock().core.report()
    }

    /// Its live that is recorded and has not ended.
    pub fn live_report(&self, now: Moment) -> Option<LiveReport> {
        self.inner.lock().core.live_report(now)
    }

    /// Up to `limit` members after `cursor` (empty: from the first), in the
    /// order of entering.
    ///
    /// # Errors
    /// [`Code::BAD_PARAMETER`](livegate_proto::code::Code::BAD_PARAMETER) for a cursor that was not given out.
    pub fn members(&self, limit: u32, cursor: &str) -> Result<wire::MembersReply, Refusal> {
        self.inner.lock().core.page(limit, cursor)
    }

    /// Up to `limit` pushes after the seq `after` that the log still holds.
    ///
    /// # Errors
    /// [`Code::NOT_IN_ROOM`](livegate_proto::code::Code::NOT_IN_ROOM).
    pub fn history(
        &self,
        session: SessionId,
        after: u64,
        limit: u32,
    ) -> Result<wire::HistoryReply, Refusal> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let excerpt = self.inner.lock().core.excerpt(session, after, limit)?;
        let pushes = excerpt.frames.iter().flat_map(pushes).collect();
        Ok(wire::HistoryReply {
            epoch: excerpt.epoch,
            pushes,
            truncated: excerpt.truncated,
            head_seq: excerpt.head,
        })
    }
}

impl Room {
    /// Up to `limit` messages with a seq of at most `before` (0: the newest),
    /// newest first, with whether each was recalled; and whether the log holds
    /// none before the last of them.
    pub fn newest_messages(&self, before: u64, limit: usize) -> (Vec<(Push, bool)>, bool) {
        let frames = self.inner.lock().core.newest(before);
        let pushes = frames
            .iter()
            .flat_map(|(frame, recalled)| pushes(frame).into_iter().map(|p| (p, *recalled)));
        let said = |push: &Push| matches!(push.body, Some(push::Body::RoomMessage(_)));
        let mut messages = pushes.filter(|(push, _)| said(push));
        let newest: Vec<_> = messages.by_ref().take(limit).collect();
        let finished = messages.next().is_none();
        (newest, finished)
    }
}

/// The pushes of one frame of the log.
fn pushes(frame: &Encoded) -> Vec<Push> {
    use livegate_proto::Message;

    let frame = ServerFrame::decode(frame.payload()).expect("the log holds what was encoded");
    frame.pushes
}
