//! docs/protocol.md says what the contract says.
//!
//! The property: whoever writes a client from that page alone writes one that
//! works. So every message and enum on it is the contract's, every code of the
//! tables is there with its text and advice, the limits are the code's, and
//! every worked example is what the library encodes.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::collections::{BTreeMap, BTreeSet};

use livegate_proto::client::{
    ClientFrame, CloseCode, EndReason, EnterRoomReply, EnterRoomRequest, HistoryRequest, LiveEnded,
    LiveEvent, LivePhase, LiveState, LiveStats, LoginReply, LoginRequest, PingReply, PingRequest,
    Platform, Priority, Push, Reply, Role, RoomMessage, RoomSnapshot, RoomSummary, SendReply,
    SendRequest, ServerFrame, Text, Totals, User, client_frame, live_event, push, reply,
    room_message, send_request,
};
use livegate_proto::close::{self, Retry};
use livegate_proto::code::Code;
use livegate_proto::{Message, codec};

const PAGE: &str = include_str!("../../docs/protocol.md");
const CONTRACT: &str = include_str!("../livegate/client/v1/client.proto");

#[test]
fn every_message_on_the_page_is_the_contracts_and_none_is_missing() {
    let on_page: String = fenced("proto")
        .iter()
        .map(|(_, text)| text.as_str())
        .collect();
    let (page, contract) = (definitions(&on_page), definitions(CONTRACT));
    for (name, definition) in &contract {
        assert_eq!(page.get(name), Some(definition), "{name}");
    }
    let more: Vec<&String> = page
        .keys()
        .filter(|name| !contract.contains_key(*name))
        .collect();
    assert!(more.is_empty(), "not in the contract: {more:?}");
}

#[test]
fn every_reply_code_is_in_the_table_with_its_text() {
    let expected: BTreeSet<(String, String)> = Code::TABLE
        .iter()
        .map(|(code, text)| (code.0.to_string(), (*text).to_owned()))
        .collect();
    let found: BTreeSet<(String, String)> = rows("| code | text |")
        .into_iter()
        .map(|cells| (cells[0].clone(), cells[1].clone()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_close_code_is_in_the_table_with_its_reason_and_advice() {
    let advice = |code: CloseCode| match code.retry() {
        Retry::Now => "now",
        Retry::Later => "later",
        Retry::Final => "final",
    };
    let expected: BTreeSet<[String; 3]> = close::TABLE
        .iter()
        .map(|(code, reason)| {
            let number = (*code as i32).to_string();
            [number, (*reason).to_owned(), advice(*code).to_owned()]
        })
        .collect();
    let found: BTreeSet<[String; 3]> = rows("| code | reason | advice |")
        .into_iter()
        .map(|cells| [cells[0].clone(), cells[1].clone(), cells[2].clone()])
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_frame_limits_are_the_codecs() {
    let limits = [
        codec::MAX_PRELOGIN_FRAME,
        codec::MAX_CLIENT_FRAME,
        codec::MAX_SERVER_FRAME,
    ];
    for limit in limits {
        let digits = limit.to_string();
        let (thousands, rest) = digits.split_at(digits.len() - 3);
        let text = format!("{thousands},{rest} bytes");
        assert!(PAGE.contains(&text), "{text} is not on the page");
    }
}

#[test]
fn every_worked_example_is_what_the_library_writes_and_reads() {
    let expected = examples();
    let found: BTreeMap<String, Vec<u8>> = fenced("hex")
        .into_iter()
        .map(|(name, text)| (name, bytes(&text)))
        .collect();
    for (name, frame) in &expected {
        let on_page = found.get(*name).map(|bytes| spaced(bytes));
        assert_eq!(on_page, Some(spaced(&frame.encoded())), "{name}");
        assert_eq!(frame.recoded(), frame.encoded(), "{name}");
    }
    assert_eq!(found.len(), expected.len(), "an example is not known here");
}

/// A frame of either side.
enum Frame {
    Client(ClientFrame),
    Server(Box<ServerFrame>),
}

impl Frame {
    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Client(frame) => codec::append(frame, &mut out),
            Self::Server(frame) => codec::append(frame.as_ref(), &mut out),
        }
        out
    }

    /// What becomes of its bytes when they are read and written again.
    fn recoded(&self) -> Vec<u8> {
        let bytes = self.encoded();
        let body = &bytes[codec::PREFIX_LEN..];
        match self {
            Self::Client(_) => Self::Client(ClientFrame::decode(body).unwrap()).encoded(),
            Self::Server(_) => Self::Server(Box::new(ServerFrame::decode(body).unwrap())).encoded(),
        }
    }
}

fn examples() -> BTreeMap<&'static str, Frame> {
    BTreeMap::from([
        ("ping", asks(0, client_frame::Body::Ping(PingRequest {}))),
        (
            "measured ping",
            asks(1, client_frame::Body::Ping(PingRequest {})),
        ),
        (
            "pong",
            answers(1, reply::Body::Ping(PingReply { time_ms: TIME })),
        ),
        ("login", asks(2, login())),
        ("login reply", answers(2, login_reply())),
        ("login refused", refused_login()),
        ("enter", asks(3, enter())),
        ("enter reply", answers(3, entered())),
        ("send", asks(4, send())),
        ("send reply", answers(4, sent())),
        ("batch", says(vec![message(), totals()])),
        ("live ended", says(vec![live_ended()])),
        ("history", asks(5, history())),
        ("close", closes()),
    ])
}

const TIME: i64 = 1_764_000_000_000;

fn asks(request_id: u64, body: client_frame::Body) -> Frame {
    Frame::Client(ClientFrame {
        request_id,
        body: Some(body),
    })
}

fn answers(request_id: u64, body: reply::Body) -> Frame {
    Frame::Server(Box::new(ServerFrame {
        reply: Some(Reply {
            request_id,
            body: Some(body),
            ..Reply::default()
        }),
        ..ServerFrame::default()
    }))
}

fn says(pushes: Vec<Push>) -> Frame {
    Frame::Server(Box::new(ServerFrame {
        pushes,
        ..ServerFrame::default()
    }))
}

fn login() -> client_frame::Body {
    client_frame::Body::Login(LoginRequest {
        sdk_app_id: 1_400_000_000,
        user_id: "ada".into(),
        user_sig: "SIG".into(),
        platform: Platform::Web.into(),
        client_version: "demo/1".into(),
        ..LoginRequest::default()
    })
}

fn login_reply() -> reply::Body {
    reply::Body::Login(LoginReply {
        session_id: 4_294_967_297,
        heartbeat_ms: 28_500,
        time_ms: TIME,
        sig_expires_at: TIME / 1000 + 86_400,
        max_frame_bytes: 16_384,
        max_rooms: 8,
    })
}

fn refused_login() -> Frame {
    Frame::Server(Box::new(ServerFrame {
        reply: Some(Reply {
            request_id: 2,
            code: Code::SIG_EXPIRED.0,
            message: Code::SIG_EXPIRED.text().into(),
            ..Reply::default()
        }),
        close: Some(CloseCode::LoginRefused.close(0)),
        ..ServerFrame::default()
    }))
}

fn enter() -> client_frame::Body {
    client_frame::Body::EnterRoom(EnterRoomRequest {
        room_id: "demo".into(),
        profile: None,
    })
}

fn entered() -> reply::Body {
    let live = LiveState {
        live_id: "0193".into(),
        phase: LivePhase::Live.into(),
        host: Some(user("eve")),
        started_ms: TIME - 60_000,
        ..LiveState::default()
    };
    let summary = RoomSummary {
        room_id: "demo".into(),
        online: 2,
        created_ms: TIME - 90_000,
        live: Some(live),
        ..RoomSummary::default()
    };
    let room = RoomSnapshot {
        room_id: "demo".into(),
        epoch: 7,
        seq: 41,
        summary: Some(summary),
        totals: Some(Totals { likes: 12 }),
        exact_presence: true,
        ..RoomSnapshot::default()
    };
    reply::Body::EnterRoom(EnterRoomReply {
        room: Some(Box::new(room)),
        role: Role::Viewer.into(),
        muted_until_ms: 0,
        heartbeat_ms: 28_500,
    })
}

fn send() -> client_frame::Body {
    client_frame::Body::Send(SendRequest {
        target: Some(send_request::Target::RoomId("demo".into())),
        client_message_id: "m1".into(),
        priority: Priority::Normal.into(),
        content: Some(send_request::Content::Text(text())),
    })
}

fn sent() -> reply::Body {
    reply::Body::Send(SendReply {
        seq: 42,
        epoch: 7,
        time_ms: TIME,
        ..SendReply::default()
    })
}

fn message() -> Push {
    let message = RoomMessage {
        from: Some(user("ada")),
        role: Role::Viewer.into(),
        client_message_id: "m1".into(),
        priority: Priority::Normal.into(),
        content: Some(room_message::Content::Text(text())),
    };
    in_room(42, push::Body::RoomMessage(message))
}

fn totals() -> Push {
    in_room(0, push::Body::Totals(Totals { likes: 15 }))
}

fn live_ended() -> Push {
    let ended = LiveEnded {
        reason: EndReason::HostCrashed.into(),
        stats: Some(LiveStats {
            duration_ms: 75_000,
            peak_viewers: 2,
            total_viewers: 3,
            messages: 1,
            likes: 15,
            gifts: 0,
            approximate: false,
        }),
        ended_ms: TIME + 15_000,
        detection_ms: 10_004,
    };
    let event = LiveEvent {
        live_id: "0193".into(),
        kind: Some(live_event::Kind::Ended(ended)),
    };
    in_room(43, push::Body::Live(event))
}

fn history() -> client_frame::Body {
    client_frame::Body::History(HistoryRequest {
        room_id: "demo".into(),
        after_seq: 41,
        limit: 100,
    })
}

fn closes() -> Frame {
    Frame::Server(Box::new(ServerFrame {
        close: Some(CloseCode::ShuttingDown.close(2_500)),
        ..ServerFrame::default()
    }))
}

fn in_room(seq: u64, body: push::Body) -> Push {
    Push {
        room_id: "demo".into(),
        epoch: 7,
        seq,
        time_ms: TIME,
        body: Some(body),
    }
}

fn user(id: &str) -> User {
    User {
        user_id: id.into(),
        profile: None,
    }
}

fn text() -> Text {
    Text { text: "hi".into() }
}

/// Blocks of the page fenced as ```` ```kind name ````, with their names.
fn fenced(kind: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some(name) = info.strip_prefix(kind) {
            found.push((name.trim().to_owned(), block.join("\n") + "\n"));
        }
    }
    found
}

/// The bytes of an annotated dump: pairs of hex digits up to two spaces.
fn bytes(dump: &str) -> Vec<u8> {
    let digits = dump.lines().flat_map(|line| {
        let line = line.trim_start();
        let end = line.find("  ").unwrap_or(line.len());
        line[..end].split(' ')
    });
    digits
        .filter(|pair| !pair.is_empty())
        .map(|pair| u8::from_str_radix(pair, 16).expect("a pair of hex digits"))
        .collect()
}

fn spaced(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

/// The cells of the table under `header`, without backquotes.
fn rows(header: &str) -> Vec<Vec<String>> {
    let (_, table) = PAGE.split_once(header).expect("the table is on the page");
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect()
    };
    // The rest of the header's line and the line of dashes are no rows.
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(cells).collect()
}

/// Messages and enums by name, without comments and with single spaces.
fn definitions(text: &str) -> BTreeMap<String, String> {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    let (mut found, mut at) = (BTreeMap::new(), 0);
    while at < words.len() {
        if !matches!(words[at], "message" | "enum") {
            at += 1;
            continue;
        }
        let end = end_of(&words, at);
        found.insert(words[at + 1].to_owned(), words[at..end].join(" "));
        at = end;
    }
    found
}

/// The place behind the definition that begins at `at`.
fn end_of(words: &[&str], at: usize) -> usize {
    let mut depth = 0;
    for (n, word) in words.iter().enumerate().skip(at) {
        depth += word.matches('{').count();
        depth -= word.matches('}').count();
        if depth == 0 && word.contains('}') {
            return n + 1;
        }
    }
    words.len()
}
