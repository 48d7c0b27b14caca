//! What a session asks the owner of its connection to do.

use std::time::Duration;

use livegate_proto::Encoded;
use livegate_proto::client::{CloseCode, Push, Reply, push, reply};
use livegate_proto::code::Code;
use smallvec::{SmallVec, smallvec};

use crate::actions::outcome::Outcome;
use crate::actions::verb::Verb;
use crate::clock::Moment;
use crate::dispatch::Class;

/// What the owner of the connection does.
#[derive(Debug)]
pub enum Action {
    /// Send the one reply to a request.
    Reply(Box<Reply>),
    /// Send this on the gateway's own account.
    Push(Box<Push>),
    /// Send a frame that somebody else encoded.
    Forward(Encoded, Class),
    /// Carry this out; its outcome comes back by
    /// [`Session::on_outcome`](super::Session::on_outcome), or as
    /// [`SessionEvent::Answered`](crate::dispatch::SessionEvent::Answered).
    Perform {
        /// Names the request until it is answered.
        request_id: u64,
        /// What to do.
        verb: Verb,
    },
    /// Send the closing word and end the connection. The last action.
    Close {
        /// Why.
        code: CloseCode,
        /// When the client may come back; 0: as the code's band says.
        retry_after_ms: u32,
    },
}

/// Actions, in the order in which they are to be taken.
pub type Actions = SmallVec<[Action; 2]>;

pub(super) fn reply_with(request_id: u64, body: reply::Body) -> Action {
    Action::Reply(Box::new(Reply {
        request_id,
        body: Some(body),
        ..Reply::default()
    }))
}

pub(super) fn refuse(
    request_id: u64,
    code: Code,
    message: &'static str,
    retry: Option<Duration>,
) -> Actions {
    let mut reply = Outcome::refused(code, message, retry).reply;
    reply.request_id = request_id;
    smallvec![Action::Reply(Box::new(reply))]
}

pub(super) fn push_with(room_id: String, body: push::Body, now: Moment) -> Action {
    Action::Push(Box::new(Push {
        room_id,
        time_ms: now.unix.millis_i64(),
        body: Some(body),
        ..Push::default()
    }))
}
