//! The bytes that backends are sent: one JSON object per event.
//!
//! Invariant: fields are only ever added, and `event_id` is the same in every
//! attempt, by which a backend knows repeats.

use bytes::Bytes;
use serde::Serialize;

use crate::clock::Unix;
use crate::engine::{OutboxRow, RowKind};
use crate::event::{EndReason, LiveEnded, LiveStarted, LiveStats};
use crate::id::{LiveId, RoomKey, UserId};

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    event_id: &'a str,
    sdk_app_id: u32,
    room_id: &'a str,
    live_id: String,
    host: &'a str,
    started_ms: u64,
}

#[derive(Serialize)]
struct Ended<'a> {
    #[serde(flatten)]
    live: Started<'a>,
    ended_ms: u64,
    reason: EndReason,
    detection_ms: u32,
    stats: LiveStats,
}

/// A live has started: `<live_id>:started`.
pub fn live_started(fact: &LiveStarted) -> OutboxRow {
    let event_id = format!("{}:started", fact.live);
    let body = Started {
        event: "live_started",
        event_id: &event_id,
        sdk_app_id: fact.app.0,
        room_id: fact.room.as_str(),
        live_id: fact.live.to_string(),
        host: fact.host.as_str(),
        started_ms: fact.started.0,
    };
    let body = bytes(&body);
    OutboxRow {
        order_key: fact.room.to_string(),
        event_id,
        app: fact.app,
        body,
        kind: RowKind::Fact,
        query: String::new(),
    }
}

#[derive(Serialize)]
struct Away<'a> {
    event: &'static str,
    event_id: &'a str,
    sdk_app_id: u32,
    room_id: &'a str,
    live_id: String,
    host: &'a str,
    time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

/// The host of an open live was lost, or came back.
#[derive(Debug, Clone, Copy)]
pub struct HostMoved<'a> {
    /// Where.
    pub room: &'a RoomKey,
    /// Which live.
    pub live: LiveId,
    /// Who.
    pub host: &'a UserId,
    /// When.
    pub time: Unix,
    /// By which the backend knows repeats.
    pub event_id: &'a str,
    /// Lost: until when the room waits, and how they were lost. Else back.
    pub away: Option<(Unix, &'a str)>,
}

/// The host of an open live was lost, or came back.
pub fn host_moved(moved: &HostMoved<'_>) -> OutboxRow {
    let body = Away {
        event: if moved.away.is_some() {
            "host_away"
        } else {
            "host_back"
        },
        event_id: moved.event_id,
        sdk_app_id: moved.room.app.0,
        room_id: moved.room.room.as_str(),
        live_id: moved.live.to_string(),
        host: moved.host.as_str(),
        time_ms: moved.time.0,
        until_ms: moved.away.map(|(until, _)| until.0),
        cause: moved.away.map(|(_, cause)| cause),
    };
    own(moved.room, moved.event_id, &body)
}

#[derive(Serialize)]
struct Publisher<'a> {
    event: &'static str,
    event_id: &'a str,
    sdk_app_id: u32,
    room_id: &'a str,
    user_id: &'a str,
    time_ms: u64,
}

/// Somebody has begun to publish in a room, or has ceased to.
pub fn publisher(
    room: &RoomKey,
    user: &UserId,
    joined: bool,
    event_id: &str,
    time: Unix,
) -> OutboxRow {
    let body = Publisher {
        event: if joined {
            "publisher_joined"
        } else {
            "publisher_left"
        },
        event_id,
        sdk_app_id: room.app.0,
        room_id: room.room.as_str(),
        user_id: user.as_str(),
        time_ms: time.0,
    };
    own(room, event_id, &body)
}

fn own(room: &RoomKey, event_id: &str, body: &impl Serialize) -> OutboxRow {
    OutboxRow {
        order_key: room.room.to_string(),
        event_id: event_id.to_owned(),
        app: room.app,
        body: bytes(body),
        kind: RowKind::Fact,
        query: String::new(),
    }
}

/// A live has ended: `<live_id>:ended`.
pub fn live_ended(fact: &LiveEnded) -> OutboxRow {
    let event_id = format!("{}:ended", fact.live);
    let body = Ended {
        live: Started {
            event: "live_ended",
            event_id: &event_id,
            sdk_app_id: fact.app.0,
            room_id: fact.room.as_str(),
            live_id: fact.live.to_string(),
            host: fact.host.as_str(),
            started_ms: fact.started.0,
        },
        ended_ms: fact.ended.0,
        reason: fact.reason,
        detection_ms: fact.detection_ms,
        stats: fact.stats,
    };
    let body = bytes(&body);
    OutboxRow {
        order_key: fact.room.to_string(),
        event_id,
        app: fact.app,
        body,
        kind: RowKind::Fact,
        query: String::new(),
    }
}

pub(super) fn bytes(body: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(body).expect("numbers and texts are always JSON");
    Bytes::from(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Unix;
    use crate::id::{AppId, LiveId, RoomId, UserId};

    /// Backends rely on this text.
    #[test]
    fn the_two_events_read_as_documented() {
        let document = include_str!("../../docs/callbacks.md");
        let live = LiveId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let started = LiveStarted {
            app: AppId(7),
            room: RoomId::new("demo").unwrap(),
            live,
            host: UserId::new("anna").unwrap(),
            started: Unix(1_000),
        };
        let row = live_started(&started);
        assert!(document.contains(std::str::from_utf8(&row.body).unwrap()));
        assert_eq!(row.event_id, "01890a5d-ac96-774b-bcce-b302099a8057:started");
        assert_eq!(row.order_key, "demo");
        assert_eq!(
            row.body,
            concat!(
                r#"{"event":"live_started","#,
                r#""event_id":"01890a5d-ac96-774b-bcce-b302099a8057:started","#,
                r#""sdk_app_id":7,"room_id":"demo","#,
                r#""live_id":"01890a5d-ac96-774b-bcce-b302099a8057","#,
                r#""host":"anna","started_ms":1000}"#
            )
        );
        let ended = LiveEnded {
            app: started.app,
            room: started.room,
            live,
            host: started.host,
            started: Unix(1_000),
            ended: Unix(61_000),
            reason: EndReason::HostCrashed,
            stats: LiveStats {
                duration_ms: 60_000,
                peak_viewers: 3,
                ..LiveStats::default()
            },
            detection_ms: 18_000,
        };
        let row = live_ended(&ended);
        assert!(document.contains(std::str::from_utf8(&row.body).unwrap()));
        assert_eq!(
            row.body,
            concat!(
                r#"{"event":"live_ended","#,
                r#""event_id":"01890a5d-ac96-774b-bcce-b302099a8057:ended","#,
                r#""sdk_app_id":7,"room_id":"demo","#,
                r#""live_id":"01890a5d-ac96-774b-bcce-b302099a8057","#,
                r#""host":"anna","started_ms":1000,"ended_ms":61000,"#,
                r#""reason":"host_crashed","detection_ms":18000,"#,
                r#""stats":{"duration_ms":60000,"peak_viewers":3,"total_viewers":0,"#,
                r#""messages":0,"likes":0,"gifts":0,"approximate":false}}"#
            )
        );
    }
}
