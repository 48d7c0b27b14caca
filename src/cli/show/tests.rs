//! Lines keep what docs/events.md says of them.

use std::collections::{BTreeMap, BTreeSet};

use livegate_client::Event;
use serde_json::{Value, json};

use super::line::{Content, Live, Place};
use super::*;

const PAGE: &str = include_str!("../../../docs/events.md");
const EVERYWHERE: [&str; 2] = ["type", "at_ms"];

fn place() -> Place {
    Place {
        room: "demo".to_owned(),
        epoch: 1,
        seq: 17,
        time_ms: 1_000,
        source: "push",
    }
}

fn as_json(shown: &Shown) -> Value {
    serde_json::to_value(JsonLine { shown, at_ms: 5 }).unwrap()
}

#[test]
fn a_message_is_one_flat_object() {
    let shown = Shown {
        place: Some(place()),
        what: message(Content::Text {
            text: "hello".to_owned(),
        }),
    };
    let expected = json!({
        "type": "message", "room": "demo", "epoch": 1, "seq": 17, "time_ms": 1000,
        "source": "push", "from": "ada", "nick": "", "role": "viewer",
        "priority": "normal", "kind": "text", "text": "hello", "at_ms": 5,
    });
    assert_eq!(as_json(&shown), expected);
}

#[test]
fn what_is_of_no_room_has_no_place() {
    let shown = Shown::from(&Event::Lagged { skipped: 3 });
    let expected = json!({ "type": "lagged", "skipped": 3, "at_ms": 5 });
    assert_eq!(as_json(&shown), expected);
}

#[test]
fn every_line_has_the_fields_that_are_documented_and_no_others() {
    let types = rows("| type | place | fields |");
    let kinds = rows("| kind | fields |");
    let objects = rows("| object | fields |");
    let mut seen = BTreeSet::new();
    for what in samples() {
        let json = as_json(&Shown::from(what));
        let name = json["type"].as_str().unwrap();
        let mut expected = types.get(name).expect(name).clone();
        expected.extend(EVERYWHERE.map(str::to_owned));
        if let Some(kind) = json.get("kind") {
            let kind = kind.as_str().unwrap();
            expected.extend(kinds.get(kind).expect(kind).clone());
        }
        if let Some(live) = json.get("live") {
            assert_eq!(Some(&keys(live)), objects.get("live"));
        }
        assert_eq!(keys(&json), expected, "{name}");
        seen.insert(name.to_owned());
    }
    let documented: BTreeSet<String> = types.into_keys().collect();
    assert_eq!(seen, documented, "a type without a sample or without a row");
}

#[test]
fn a_place_has_the_fields_that_are_documented() {
    let place = serde_json::to_value(place()).unwrap();
    let documented = rows("| field | what |").into_keys();
    let documented: BTreeSet<String> = documented
        .flat_map(|cell| cell.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(keys(&place), documented);
}

fn keys(json: &Value) -> BTreeSet<String> {
    json.as_object().unwrap().keys().cloned().collect()
}

/// The rows under `header`: what is quoted in the first cell, joined, and what
/// is quoted in the last.
fn rows(header: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, table) = PAGE.split_once(header).unwrap();
    let lines = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let inner = line.trim_start_matches('|').trim_end_matches('|');
        let first = inner.split('|').next().unwrap();
        let last = inner.rsplit('|').next().unwrap();
        (quoted(first).join(" "), quoted(last).into_iter().collect())
    };
    lines.map(row).collect()
}

fn quoted(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// One line of every type, and a message of every kind.
fn samples() -> Vec<What> {
    let text = || Content::Text {
        text: String::new(),
    };
    let mut all = vec![
        message(text()),
        message(Content::Custom {
            custom_type: String::new(),
            bytes: 0,
        }),
        message(Content::Gift {
            gift_id: String::new(),
            count: 1,
            combo_id: String::new(),
            combo_total: 0,
            combo_ended: false,
        }),
        message(Content::Empty {}),
        What::Direct {
            time_ms: 1,
            from: String::new(),
            nick: String::new(),
            content: text(),
        },
        What::Broadcast {
            from: String::new(),
            content: text(),
        },
    ];
    all.extend(of_the_connection());
    all.extend(of_the_room());
    all.extend(of_the_live());
    all
}

fn of_the_connection() -> [What; 13] {
    let error = String::new;
    [
        What::Connected {
            session_id: String::new(),
            transport: String::new(),
            again: false,
        },
        What::Disconnected {
            cause: String::new(),
            code: None,
            retry_in_ms: None,
        },
        What::ConnectFailed {
            error: error(),
            retry_in_ms: None,
        },
        What::Waiting {
            room: String::new(),
        },
        What::ReenterFailed {
            room: String::new(),
            error: error(),
        },
        What::Gap {
            room: String::new(),
            epoch: 1,
            from_seq: 1,
            to_seq: 1,
            cause: "skipped",
        },
        What::Lagged { skipped: 1 },
        What::SigExpiring { expires_at: 1 },
        What::SigRenewed { expires_at: 1 },
        What::SigRenewFailed { error: error() },
        What::GoAway {
            reason: String::new(),
            reconnect_after_ms: 1,
        },
        What::Unknown {},
        What::Entered {
            room: String::new(),
            epoch: 1,
            seq: 1,
            again: false,
            role: "viewer",
            online: 1,
            exact_presence: true,
            likes: 1,
            live: Some(Live {
                live_id: String::new(),
                phase: "live",
                host: String::new(),
                started_ms: 1,
                away_until_ms: 0,
            }),
        },
    ]
}

fn of_the_room() -> [What; 11] {
    let nobody = Vec::new;
    [
        What::Presence {
            entered: nobody(),
            left: nobody(),
            online: 1,
        },
        What::PresenceDigest {
            online: 1,
            entered_total: 1,
            left_total: 1,
            newest: nobody(),
        },
        What::Totals { likes: 1 },
        What::Attributes {
            version: 1,
            attributes: nobody(),
        },
        What::Publisher {
            user: String::new(),
            joined: true,
        },
        What::Invitation {
            from: String::new(),
            invitation_id: String::new(),
        },
        What::Muted { until_ms: 1 },
        What::Kicked {
            reason: String::new(),
        },
        What::Dropped {
            count: 1,
            from_seq: 1,
            to_seq: 1,
        },
        What::RoleChanged { role: "host" },
        What::RoomDestroyed {
            reason: String::new(),
        },
    ]
}

fn of_the_live() -> [What; 4] {
    let live_id = String::new;
    [
        What::LiveStarted {
            live_id: live_id(),
            host: String::new(),
            started_ms: 1,
        },
        What::HostAway {
            live_id: live_id(),
            until_ms: 1,
            grace_ms: 1,
            cause: "connection_closed",
            last_seen_ms: 1,
        },
        What::HostBack {
            live_id: live_id(),
            host: String::new(),
        },
        What::LiveEnded {
            live_id: live_id(),
            reason: "host_crashed",
            ended_ms: 1,
            detection_ms: 1,
            duration_ms: 1,
            peak_viewers: 1,
            total_viewers: 1,
            messages: 1,
            likes: 1,
            gifts: 1,
            approximate: false,
        },
    ]
}

fn message(content: Content) -> What {
    What::Message {
        from: "ada".to_owned(),
        nick: String::new(),
        role: "viewer",
        priority: "normal",
        content,
    }
}
