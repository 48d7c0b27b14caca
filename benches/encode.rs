//! What it costs to encode what a room tells, once for everybody:
//! `cargo bench --bench encode`.
//!
//! Prints nanoseconds and bytes per frame; asserts nothing, for a loaded
//! machine would fail it.
#![allow(clippy::print_stdout)]

use std::hint::black_box;

use livegate::clock::Clock;
use livegate_proto::Encoded;
use livegate_proto::client::{
    Presence, PresenceChange, Profile, Push, Role, RoomMessage, ServerFrame, Text, Totals, User,
    push, room_message,
};

const ROUNDS: u32 = 500_000;

fn main() {
    println!("{:>28}  {:>7}  {:>9}", "frame", "bytes", "ns each");
    measure("danmaku of 20 bytes", &message(20));
    measure("danmaku of 200 bytes", &message(200));
    measure("text of 4 KiB", &message(4_096));
    measure("totals", &totals());
    measure("presence of 1", &presence(1));
    measure("presence of 40", &presence(40));
}

fn measure(name: &str, frame: &ServerFrame) {
    let clock = Clock::system();
    let bytes = Encoded::new(frame).len();
    let rounds = ROUNDS / u32::try_from(frame_weight(bytes)).expect("small");
    let started = clock.now().instant;
    for _ in 0..rounds {
        black_box(Encoded::new(black_box(frame)));
    }
    let taken = clock.now().instant.since(started);
    let each = taken.as_nanos() as f64 / f64::from(rounds);
    println!("{name:>28}  {bytes:>7}  {each:>9.1}");
}

/// Larger frames are measured fewer times.
fn frame_weight(bytes: usize) -> usize {
    (bytes / 500).max(1)
}

fn message(size: usize) -> ServerFrame {
    let text = Text {
        text: "x".repeat(size),
    };
    of_room(push::Body::RoomMessage(RoomMessage {
        from: Some(user(1)),
        role: Role::Viewer.into(),
        client_message_id: "0189-4711".into(),
        priority: 2,
        content: Some(room_message::Content::Text(text)),
    }))
}

fn totals() -> ServerFrame {
    of_room(push::Body::Totals(Totals { likes: 1_234_567 }))
}

fn presence(changes: usize) -> ServerFrame {
    let change = |n| PresenceChange {
        user: Some(user(n)),
        role: Role::Viewer.into(),
        entered: true,
        reason: 0,
    };
    of_room(push::Body::Presence(Presence {
        changes: (0..changes).map(change).collect(),
        online: 40,
    }))
}

fn of_room(body: push::Body) -> ServerFrame {
    ServerFrame {
        pushes: vec![Push {
            room_id: "demo-room-1".into(),
            epoch: 1 << 50,
            seq: 123_456,
            time_ms: 1_700_000_000_000,
            body: Some(body),
        }],
        ..ServerFrame::default()
    }
}

fn user(n: usize) -> User {
    User {
        user_id: format!("user-{n:06}"),
        profile: Some(Profile {
            nick: "a nick of some length".into(),
            avatar_url: "https://example.com/avatars/0123456789abcdef.png".into(),
            level: 12,
            custom: livegate_proto::Bytes::new(),
        }),
    }
}
