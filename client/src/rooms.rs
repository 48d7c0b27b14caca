//! The rooms that the app wants to be in.
//!
//! Pure. A room is wanted from the success of the first enter until the app
//! leaves, is kicked, or the room is gone; while it is wanted it is entered
//! again on every connection.

use std::collections::HashMap;
use std::time::Duration;

use livegate_proto::client::{EnterRoomReply, EnterRoomRequest, HistoryReply, Push};

use crate::error::RequestError;
use crate::event::{Entered, Event, RoomEvent, RoomEventKind, Source};
use crate::reconnect::Retry;
use crate::tracker::{Fetch, FillLimits, Tracker};

/// Shortest time before a room that could not be entered is tried again.
const REENTER_PAUSE: Duration = Duration::from_secs(1);

/// Rooms and what was seen of each.
#[derive(Debug)]
pub(crate) struct Rooms {
    wanted: HashMap<String, Wanted>,
    fill: bool,
    limits: FillLimits,
}

#[derive(Debug)]
struct Wanted {
    request: EnterRoomRequest,
    tracker: Tracker,
    /// Entered on the present connection.
    here: bool,
}

impl Rooms {
    pub(crate) fn new(fill: bool, limits: FillLimits) -> Self {
        Self {
            wanted: HashMap::new(),
            fill,
            limits,
        }
    }

    /// Wanted rooms that are not entered on the present connection.
    pub(crate) fn to_enter(&self) -> Vec<EnterRoomRequest> {
        let missing = self.wanted.values().filter(|wanted| !wanted.here);
        missing.map(|wanted| wanted.request.clone()).collect()
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self) {
        for wanted in self.wanted.values_mut() {
            wanted.here = false;
            wanted.tracker.lost();
        }
    }

    /// A room was entered; answers with history to fetch.
    pub(crate) fn entered(
        &mut self,
        request: EnterRoomRequest,
        reply: EnterRoomReply,
        out: &mut Vec<Event>,
    ) -> Option<Fetch> {
        let room_id = request.room_id.clone();
        let snapshot = reply.room.clone().unwrap_or_default();
        let known = self.wanted.get_mut(&room_id);
        out.push(Event::Entered(Box::new(Entered {
            room_id: room_id.clone(),
            reply,
            again: known.is_some(),
        })));
        match known {
            // Entered twice on one connection: the sequence goes on.
            Some(wanted) if wanted.here => None,
            Some(wanted) => {
                wanted.here = true;
                wanted.tracker.again(&snapshot, self.fill, out)
            }
            None => {
                let wanted = Wanted {
                    request,
                    tracker: Tracker::new(&snapshot, self.limits),
                    here: true,
                };
                self.wanted.insert(room_id, wanted);
                None
            }
        }
    }

    /// A wanted room could not be entered again: answers when to try once more,
    /// or gives it up.
    pub(crate) fn refused(
        &mut self,
        room_id: String,
        error: RequestError,
        out: &mut Vec<Event>,
    ) -> Option<Duration> {
        let retry = match &error {
            RequestError::Refused(refusal) => refusal.retry(),
            RequestError::WrongReply => Retry::Final,
            RequestError::NotConnected
            | RequestError::Lost
            | RequestError::Timeout
            | RequestError::TooMany
            | RequestError::Backlogged => Retry::Now,
        };
        match retry {
            Retry::Now => Some(REENTER_PAUSE),
            Retry::Later(after) => Some(after.max(REENTER_PAUSE)),
            Retry::Final => {
                if self.wanted.remove(&room_id).is_some() {
                    out.push(Event::ReenterFailed { room_id, error });
                }
                None
            }
        }
    }

    /// The app wants to be in it no longer.
    pub(crate) fn forget(&mut self, room_id: &str) {
        self.wanted.remove(room_id);
    }

    /// A page of history, or its failure.
    pub(crate) fn page(
        &mut self,
        room_id: &str,
        reply: Option<HistoryReply>,
        out: &mut Vec<Event>,
    ) -> Option<Fetch> {
        self.wanted.get_mut(room_id)?.tracker.page(reply, out)
    }

    /// A push with a body that is of a room or of all.
    pub(crate) fn push(&mut self, push: Push, out: &mut Vec<Event>) {
        let room_id = push.room_id.clone();
        let before = out.len();
        match self.wanted.get_mut(&room_id) {
            Some(wanted) => wanted.tracker.push(push, out),
            None => out.extend(RoomEvent::of(push, Source::Push).map(Event::Room)),
        }
        if out[before..].iter().any(is_exit) {
            self.wanted.remove(&room_id);
        }
    }
}

fn is_exit(event: &Event) -> bool {
    let Event::Room(event) = event else {
        return false;
    };
    matches!(
        event.kind,
        RoomEventKind::Kicked(_) | RoomEventKind::Destroyed(_)
    )
}

#[cfg(test)]
mod tests {
    use livegate_proto::client::{Kicked, RoomMessage, RoomSnapshot, push};
    use livegate_proto::code::Code;

    use super::*;
    use crate::error::Refusal;

    const LIMITS: FillLimits = FillLimits { gap: 50, held: 20 };

    fn request() -> EnterRoomRequest {
        EnterRoomRequest {
            room_id: "r".to_owned(),
            profile: None,
        }
    }

    fn reply(seq: u64) -> EnterRoomReply {
        EnterRoomReply {
            room: Some(Box::new(RoomSnapshot {
                room_id: "r".to_owned(),
                epoch: 1,
                seq,
                ..RoomSnapshot::default()
            })),
            ..EnterRoomReply::default()
        }
    }

    fn push(seq: u64, body: push::Body) -> Push {
        Push {
            room_id: "r".to_owned(),
            epoch: 1,
            seq,
            time_ms: 0,
            body: Some(body),
        }
    }

    fn said(seq: u64) -> Push {
        push(seq, push::Body::RoomMessage(RoomMessage::default()))
    }

    #[test]
    fn a_room_is_entered_again_until_the_user_is_kicked() {
        let mut rooms = Rooms::new(true, LIMITS);
        let mut out = Vec::new();
        assert!(rooms.to_enter().is_empty());
        rooms.entered(request(), reply(0), &mut out);
        rooms.lost();
        assert_eq!(rooms.to_enter(), [request()]);
        rooms.entered(request(), reply(0), &mut out);
        rooms.push(push(0, push::Body::Kicked(Kicked::default())), &mut out);
        assert!(rooms.to_enter().is_empty());
    }

    #[test]
    fn entering_twice_on_one_connection_keeps_the_sequence() {
        let mut rooms = Rooms::new(true, LIMITS);
        let mut out = Vec::new();
        rooms.entered(request(), reply(5), &mut out);
        assert_eq!(rooms.entered(request(), reply(7), &mut out), None);
        out.clear();
        (6..=8).for_each(|seq| rooms.push(said(seq), &mut out));
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn a_refusal_that_may_pass_keeps_the_room_wanted() {
        let refused = |code: Code| {
            RequestError::Refused(Refusal {
                code,
                message: String::new(),
                retry_after: None,
            })
        };
        let mut rooms = Rooms::new(true, LIMITS);
        let mut out = Vec::new();
        rooms.entered(request(), reply(5), &mut out);
        rooms.lost();
        out.clear();
        let passing = rooms.refused("r".to_owned(), refused(Code::OVERLOADED), &mut out);
        assert_eq!(passing, Some(REENTER_PAUSE));
        assert_eq!((rooms.to_enter().len(), out.len()), (1, 0));
        let gone = rooms.refused("r".to_owned(), refused(Code::NO_ROOM), &mut out);
        assert_eq!(gone, None);
        assert_eq!((rooms.to_enter().len(), out.len()), (0, 1));
    }
}
