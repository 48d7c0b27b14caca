//! The bodies of `fuzz/` hold over seeds and mutations of them.
//!
//! The property: no bytes of a stranger panic, and what each body states holds.
//! Mutations are the same at each run; `LIVEGATE_LONG` makes a hundred times as
//! many. A fuzzer that looks at coverage runs the same bodies: fuzz/README.md.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use livegate_proto::Message as _;
use livegate_proto::client::client_frame::Body;
use livegate_proto::client::{self as wire, ClientFrame};
use livegate_proto::codec;

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own when a fuzzer runs it")]
mod bodies;

#[test]
fn framing_holds() {
    let mut seed = Vec::new();
    for frame in frames() {
        codec::append(&frame, &mut seed);
    }
    let long_prefix = u32::MAX.to_be_bytes().to_vec();
    smoke(&[seed, long_prefix, Vec::new()], 20_000, bodies::frame);
}

#[test]
fn what_is_said_before_login_holds() {
    let seeds: Vec<Vec<u8>> = frames().iter().map(ClientFrame::encode_to_vec).collect();
    smoke(&seeds, 10_000, bodies::prelogin);
}

#[test]
fn a_cut_stream_gives_the_frames_of_the_uncut_one() {
    smoke(&kept("frame_stream"), 20_000, bodies::frame_stream);
}

#[test]
fn the_session_holds() {
    smoke(&kept("session_machine"), 10_000, bodies::session_machine);
}

#[test]
fn signatures_hold() {
    let vectors = include_str!("data/usersig-vectors.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let mut seeds = Vec::new();
    gather_signatures(&vectors, &mut seeds);
    assert!(
        seeds.len() > 10,
        "the vectors are not where this test looks"
    );
    smoke(&seeds, 20_000, bodies::signature);
}

#[test]
fn tls_before_the_handshake_holds() {
    let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    let plain = b"\x05GET / HTTP/1.1\r\n\r\n".to_vec();
    smoke(&[hello.to_vec(), plain, vec![0; 400]], 5_000, bodies::hello);
}

#[test]
fn tls_after_the_handshake_holds() {
    let seed = [
        0, 9, 2, 40, 1, 0, 2, 9, 3, 200, 2, 255, 0, 250, 4, 251, 2, 3, 3, 9,
    ]
    .repeat(4);
    smoke(&[seed], 300, bodies::record);
}

/// One frame of each kind that a client sends first.
fn frames() -> Vec<ClientFrame> {
    let room_id = "demo".to_owned();
    let text = wire::Text {
        text: "hello".to_owned(),
    };
    let send = wire::SendRequest {
        target: Some(wire::send_request::Target::RoomId(room_id.clone())),
        content: Some(wire::send_request::Content::Text(text)),
        client_message_id: "1".to_owned(),
        priority: wire::Priority::Normal.into(),
    };
    let login = wire::LoginRequest {
        sdk_app_id: bodies::APP.0,
        user_id: "administrator".to_owned(),
        user_sig: "eJw*".to_owned(),
        ..wire::LoginRequest::default()
    };
    let start = wire::StartLiveRequest {
        room_id: room_id.clone(),
        start_id: "s".to_owned(),
        grace_ms: Some(1000),
    };
    let enter = wire::EnterRoomRequest {
        room_id,
        profile: None,
    };
    let bodies = [
        Body::Ping(wire::PingRequest {}),
        Body::Login(login),
        Body::EnterRoom(enter),
        Body::Send(send),
        Body::StartLive(start),
        Body::Logout(wire::LogoutRequest {}),
    ];
    let numbered = bodies.into_iter().zip(1..);
    numbered
        .map(|(body, request_id)| ClientFrame {
            request_id,
            body: Some(body),
        })
        .collect()
}

/// The seeds of a target, in the order of their names.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Every string of the vectors that is long enough to be a signature.
fn gather_signatures(value: &serde_json::Value, found: &mut Vec<Vec<u8>>) {
    match value {
        serde_json::Value::String(text) if text.len() > 60 => found.push(text.clone().into()),
        serde_json::Value::Array(each) => each.iter().for_each(|v| gather_signatures(v, found)),
        serde_json::Value::Object(each) => each.values().for_each(|v| gather_signatures(v, found)),
        _ => {}
    }
}

/// Runs `body` over the seeds, then over `times` mutations of them.
fn smoke(seeds: &[Vec<u8>], times: usize, body: fn(&[u8])) {
    let factor = if std::env::var_os("LIVEGATE_LONG").is_some() {
        100
    } else {
        1
    };
    for seed in seeds {
        body(seed);
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..times * factor {
        let mut data = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(6) {
            mutate(&mut data, seeds, &mut dice);
        }
        body(&data);
    }
}

fn mutate(data: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'=', 16];
    let at = dice.below(data.len() + 1);
    match dice.below(6) {
        0 if at < data.len() => data[at] ^= 1 << dice.below(8),
        1 if at < data.len() => data[at] = TELLING[dice.below(TELLING.len())],
        2 => data.insert(at, TELLING[dice.below(TELLING.len())]),
        3 => data.truncate(at),
        4 => {
            let other = &seeds[dice.below(seeds.len())];
            let from = dice.below(other.len() + 1);
            data.truncate(at);
            data.extend_from_slice(&other[from..]);
        }
        _ => {
            let end = (at + dice.below(9)).min(data.len());
            data.drain(at..end);
        }
    }
    data.truncate(8192);
}

/// Numbers that are the same at each run (xorshift).
struct Dice(u64);

impl Dice {
    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }
}
