//! What a frame costs: `cargo bench --bench codec`.
//!
//! Prints nanoseconds per operation; asserts nothing, for a loaded machine
//! would fail it.
#![allow(clippy::print_stdout)]

use std::hint::black_box;

use livegate::actions::verb::Verb;
use livegate::clock::{Clock, Instant};
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{
    ClientFrame, PingRequest, Priority, Profile, Push, RoomMessage, SendRequest, ServerFrame, Text,
    User, push, room_message, send_request,
};
use livegate_proto::codec::{self, PREFIX_LEN, Split};
use livegate_proto::{Encoded, Message};

const ROUNDS: u32 = 200_000;

fn main() {
    println!("{:>40}  {:>6}  {:>9}", "operation", "bytes", "ns each");
    let ping = client_frame(Body::Ping(PingRequest {}));
    let danmaku = client_frame(say(60));
    let longest = client_frame(say(12 * 1024));
    from_clients("ping", &ping);
    from_clients("danmaku", &danmaku);
    from_clients("text of 12 KiB", &longest);

    let message = server_frame(60);
    let encoded = Encoded::new(&message);
    measure("encode a danmaku once", encoded.len(), || {
        black_box(Encoded::new(black_box(&message)));
    });
    let mut run = Vec::with_capacity(encoded.len() * 16);
    measure("join 16 danmaku into a run", encoded.len() * 16, || {
        run.clear();
        for _ in 0..16 {
            run.extend_from_slice(black_box(&encoded).prefixed());
        }
        black_box(&run);
    });
}

fn from_clients(name: &str, frame: &[u8]) {
    measure(&format!("split {name}"), frame.len(), || {
        let _ = black_box(codec::split(black_box(frame), codec::MAX_CLIENT_FRAME));
    });
    measure(&format!("decode {name}"), frame.len(), || {
        black_box(decode(frame));
    });
    measure(&format!("decode and check {name}"), frame.len(), || {
        let _ = black_box(decode(frame).body.map(Verb::from_wire));
    });
}

fn decode(frame: &[u8]) -> ClientFrame {
    let Ok(Split::Frame { end }) = codec::split(frame, codec::MAX_CLIENT_FRAME) else {
        return ClientFrame::default();
    };
    codec::decode(&frame[PREFIX_LEN..end]).unwrap_or_default()
}

fn client_frame(body: Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frame = ClientFrame {
        request_id: 1,
        body: Some(body),
    };
    codec::append(&frame, &mut bytes);
    bytes
}

fn say(len: usize) -> Body {
    Body::Send(SendRequest {
        target: Some(send_request::Target::RoomId("demo".into())),
        client_message_id: "0192f0c1-7a".into(),
        content: Some(send_request::Content::Text(text(len))),
        ..SendRequest::default()
    })
}

fn server_frame(len: usize) -> ServerFrame {
    let profile = Profile {
        nick: "somebody".into(),
        level: 3,
        ..Profile::default()
    };
    let message = RoomMessage {
        from: Some(User {
            user_id: "viewer-000123".into(),
            profile: Some(profile),
        }),
        priority: Priority::Normal.into(),
        content: Some(room_message::Content::Text(text(len))),
        ..RoomMessage::default()
    };
    let push = Push {
        room_id: "demo".into(),
        epoch: 0x1234_5678_9abc_def0,
        seq: 4_711,
        time_ms: 1_790_000_000_000,
        body: Some(push::Body::RoomMessage(message)),
    };
    let frame = ServerFrame {
        pushes: vec![push],
        ..ServerFrame::default()
    };
    assert!(frame.encoded_len() < codec::MAX_SERVER_FRAME);
    frame
}

fn text(len: usize) -> Text {
    Text {
        text: "x".repeat(len),
    }
}

fn measure(name: &str, bytes: usize, mut operation: impl FnMut()) {
    let clock = Clock::system();
    (0..ROUNDS / 10).for_each(|_| operation());
    let started: Instant = clock.now().instant;
    (0..ROUNDS).for_each(|_| operation());
    let taken = clock.now().instant.since(started);
    let each = taken.as_nanos() as f64 / f64::from(ROUNDS);
    println!("{name:>40}  {bytes:>6}  {each:>9.1}");
}
