//! The replies to requests that had to wait.

use livegate_proto::client::{CreateRoomReply, EndLiveReply, Reply, StartLiveReply, reply::Body};

use crate::rooms::core::Done;
use crate::rooms::live::{Answer, wire_ended};
use crate::rooms::refusal::Refusal;

/// The reply to `request_id`. The session fills in its heartbeat interval.
pub(crate) fn reply(request_id: u64, result: Result<Done, Refusal>) -> Reply {
    let done = match result {
        Ok(done) => done,
        Err(refusal) => return refusal.reply(request_id),
    };
    let body = match done {
        Done::Live(Answer::Started { live, started }) => Some(Body::StartLive(StartLiveReply {
            live_id: live.to_string(),
            started_ms: started.millis_i64(),
            heartbeat_ms: 0,
        })),
        Done::Live(Answer::Ended(fact)) => Some(Body::EndLive(EndLiveReply {
            ended: Some(wire_ended(&fact)),
            live_id: fact.live.to_string(),
        })),
        Done::Created(room) => Some(Body::CreateRoom(CreateRoomReply {
            room_id: room.to_string(),
        })),
        Done::Destroyed => None,
    };
    Reply {
        request_id,
        body,
        ..Reply::default()
    }
}
