//! The bytes that backends are sent: one JSON object per event.
//!
//! Invariant: fields are only ever added, and `event_id` is the same in every
//! attempt, by which a backend knows repeats.

use bytes::Bytes;
use serde::Serialize;

use crate::engine::OutboxRow;
use crate::event::{EndReason, LiveEnded, LiveStarted, LiveStats};

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
    }
}

fn bytes(body: &impl Serialize) -> Bytes {
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
