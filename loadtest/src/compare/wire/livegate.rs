//! The client protocol of livegate, as much as a fan-out needs.

use std::cell::Cell;

use livegate_proto::Message as _;
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::send_request::{Content, Target};
use livegate_proto::client::{self as wire, reply};
use livegate_proto::codec::{self, MAX_SERVER_FRAME, Split};

use super::{Event, Malformed, Role, Wire};
use crate::clock::Clock;
use crate::identity::{App, DEV_APP, DEV_KEY};
use crate::scan::{self, Part, Push};

/// Request id of the login.
const LOGIN: u64 = 1;
/// Request id of the entering.
const ENTER: u64 = 2;

/// A heartbeat that wants no answer.
const BEAT: &[u8] = &[0, 0, 0, 2, 0x6a, 0];

/// The protocol.
#[derive(Debug)]
pub(super) struct Livegate {
    room: String,
    app: App,
    clock: Clock,
    request: Cell<u64>,
}

impl Livegate {
    /// Everybody in `room`.
    pub(super) fn new(room: &str) -> Self {
        Self {
            room: room.to_owned(),
            app: App::new(DEV_APP, DEV_KEY),
            clock: Clock::start(),
            request: Cell::new(ENTER),
        }
    }
}

fn append(request_id: u64, body: Body, out: &mut Vec<u8>) {
    let frame = wire::ClientFrame {
        request_id,
        body: Some(body),
    };
    codec::append(&frame, out);
}

impl Wire for Livegate {
    fn alpn(&self) -> Option<&'static [u8]> {
        Some(b"livegate/1")
    }

    fn open(&self, user: &str, _role: Role, out: &mut Vec<u8>) {
        let login = wire::LoginRequest {
            sdk_app_id: self.app.id,
            user_id: user.to_owned(),
            user_sig: self.app.sign(user, self.clock.unix()),
            platform: wire::Platform::Linux.into(),
            ..wire::LoginRequest::default()
        };
        append(LOGIN, Body::Login(login), out);
        let enter = wire::EnterRoomRequest {
            room_id: self.room.clone(),
            profile: None,
        };
        append(ENTER, Body::EnterRoom(enter), out);
    }

    fn publish(&self, payload: &str, out: &mut Vec<u8>) {
        self.request.set(self.request.get() + 1);
        let send = wire::SendRequest {
            target: Some(Target::RoomId(self.room.clone())),
            content: Some(Content::Text(wire::Text {
                text: payload.to_owned(),
            })),
            ..wire::SendRequest::default()
        };
        append(self.request.get(), Body::Send(send), out);
    }

    fn beat(&self) -> &'static [u8] {
        BEAT
    }

    fn take(&self, input: &[u8], each: &mut dyn FnMut(Event<'_>)) -> Result<usize, Malformed> {
        let mut used = 0;
        loop {
            let split = codec::split(&input[used..], MAX_SERVER_FRAME);
            let Split::Frame { end } = split.map_err(|_| Malformed("length"))? else {
                return Ok(used);
            };
            let body = &input[used + codec::PREFIX_LEN..used + end];
            let parts = scan::scan(body, |part| match part {
                Part::Push(Push {
                    body: scan::Body::Message(content),
                    ..
                }) => each(Event::Delivery(content)),
                Part::Push(_) => {}
                Part::Reply(reply) => replied(reply, each),
                Part::Close(close) => closed(close, each),
            });
            parts.map_err(|_| Malformed("frame"))?;
            used += end;
        }
    }
}

/// Only what is not 0 is told, but for the answer to the entering.
fn replied(reply: &[u8], each: &mut dyn FnMut(Event<'_>)) {
    let Ok(reply) = wire::Reply::decode(reply) else {
        return each(Event::Refused(-1));
    };
    let discarded = match &reply.body {
        Some(reply::Body::Send(send)) => !send.drop_reason.is_empty(),
        _ => false,
    };
    match reply.code {
        0 if discarded => each(Event::Refused(0)),
        0 if reply.request_id == ENTER => each(Event::Ready),
        0 => {}
        code => each(Event::Refused(code)),
    }
}

fn closed(close: &[u8], each: &mut dyn FnMut(Event<'_>)) {
    let code = wire::Close::decode(close).map_or(-1, |close| close.code);
    each(Event::Refused(code));
}

#[cfg(test)]
mod tests {
    use livegate_proto::client::{push, room_message};

    use super::super::tests::said;
    use super::*;

    fn text(text: &str) -> wire::Push {
        wire::Push {
            body: Some(push::Body::RoomMessage(wire::RoomMessage {
                content: Some(room_message::Content::Text(wire::Text {
                    text: text.into(),
                })),
                ..wire::RoomMessage::default()
            })),
            ..wire::Push::default()
        }
    }

    #[test]
    fn what_the_gateway_says_is_told_apart() {
        let mut input = Vec::new();
        for (request_id, code) in [(LOGIN, 0), (ENTER, 0), (3, 30_001)] {
            let reply = wire::Reply {
                request_id,
                code,
                ..wire::Reply::default()
            };
            let frame = wire::ServerFrame {
                reply: Some(reply),
                ..wire::ServerFrame::default()
            };
            codec::append(&frame, &mut input);
        }
        let frame = wire::ServerFrame {
            pushes: vec![text("one"), wire::Push::default(), text("two")],
            ..wire::ServerFrame::default()
        };
        codec::append(&frame, &mut input);
        let expected = ["Ready", "Refused(30001)", "one", "two"];
        for step in [1, 5, input.len()] {
            assert_eq!(said(&Livegate::new("room"), &input, step), expected);
        }
    }
}
