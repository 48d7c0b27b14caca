//! What backends read, against what the vendor documents.

use serde_json::{Value, json};

use super::*;

fn event() -> Event {
    Event {
        app: AppId(7),
        id: "2a:1".to_owned(),
        time: Unix(1_670_574_414_123),
        origin: Origin::Client(wire::Platform::Ios, [192, 0, 2, 7].into()),
    }
}

fn room() -> RoomId {
    RoomId::new("room_1001").unwrap()
}

fn users(names: &[&str]) -> Vec<UserId> {
    names
        .iter()
        .map(|name| UserId::new(name).unwrap())
        .collect()
}

fn body(row: &OutboxRow) -> Value {
    serde_json::from_slice(&row.body).unwrap()
}

fn text(text: &str) -> wire::Elements {
    let text = wire::Text { text: text.into() };
    wire::Elements::from(&wire::room_message::Content::Text(text))
}

#[test]
fn what_was_said_reads_as_the_vendor_documents_it() {
    let id = room();
    let site = Site {
        room: &id,
        kind: "",
    };
    let content = text("hi");
    let said_by = Said {
        from: "jared",
        operator: "jared",
        random: random_of("m1"),
        content: &content,
    };
    let row = said(event(), &site, &said_by, 12);
    let body = body(&row);
    assert!(body["Random"].is_u64());
    let expected = json!({
        "CallbackCommand": "Group.CallbackAfterSendMsg",
        "GroupId": "room_1001",
        "Type": "AVChatRoom",
        "From_Account": "jared",
        "Operator_Account": "jared",
        "Random": body["Random"],
        "OnlineOnlyFlag": 0,
        "MsgId": "2a:1",
        "MsgSeq": 12,
        "MsgTime": 1_670_574_414,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}],
        "EventTime": 1_670_574_414_123_u64,
    });
    assert_eq!(body, expected);
    assert_eq!(
        (row.kind, row.order_key.as_str()),
        (RowKind::Message, "room_1001")
    );
    let query = "CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json\
                 &ClientIP=192.0.2.7&OptPlatform=iOS";
    assert_eq!(row.query, query);
}

#[test]
fn comings_and_goings_name_everybody_of_their_window() {
    let id = room();
    let site = Site {
        room: &id,
        kind: "Meeting",
    };
    let users = users(&["a", "b"]);
    let row = moved(event(), &site, Moved::Joined, &users);
    let both = json!([{"Member_Account": "a"}, {"Member_Account": "b"}]);
    let joined = body(&row);
    assert_eq!(
        joined["CallbackCommand"],
        "Group.CallbackAfterNewMemberJoin"
    );
    assert_eq!(
        (&joined["NewMemberList"], &joined["JoinType"]),
        (&both, &json!("Apply"))
    );
    assert_eq!(
        (&joined["Type"], &joined["Operator_Account"]),
        (&json!("Meeting"), &json!("a"))
    );
    let left = body(&moved(event(), &site, Moved::Kicked, &users));
    assert_eq!(
        (&left["ExitMemberList"], &left["ExitType"]),
        (&both, &json!("Kicked"))
    );
    for (how, kind, cause) in [
        (Moved::Joined, "Online", "Join"),
        (Moved::Quit, "Offline", "Quit"),
        (Moved::Lost, "Offline", "HeartbeatInterrupt"),
    ] {
        let row = state_in_room(event(), &site, how, &users);
        let state = body(&row);
        assert_eq!(
            (&state["EventType"], &state["EventCause"]),
            (&json!(kind), &json!(cause))
        );
        assert_eq!((&state["MemberList"], row.kind), (&both, RowKind::Presence));
    }
}

#[test]
fn a_room_s_own_events_are_facts_and_name_what_changed() {
    let id = room();
    let site = Site {
        room: &id,
        kind: "",
    };
    let profile = wire::RoomProfile {
        name: "show".into(),
        app_defined: vec![wire::Attribute {
            key: "level".into(),
            value: "7".into(),
        }],
        ..wire::RoomProfile::default()
    };
    let made = created(event(), &site, ("administrator", "anna"), &profile);
    let fields = json!([{"Key": "level", "Value": "7"}]);
    assert_eq!(body(&made)["UserDefinedDataList"], fields);
    assert_eq!(body(&made)["Owner_Account"], "anna");
    assert_eq!(body(&made)["Operator_Account"], "administrator");
    let change = InfoChange {
        notification: Some("soon".into()),
        ..InfoChange::default()
    };
    let changed = info_changed(event(), &site, "", &change);
    let keys: Vec<String> = body(&changed)
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let expected = [
        "CallbackCommand",
        "EventTime",
        "GroupId",
        "Notification",
        "Operator_Account",
        "Type",
    ];
    assert_eq!(keys, expected);
    let gone = destroyed(event(), &site, "anna", "show");
    assert_eq!(body(&gone)["Name"], "show");
    for row in [made, changed, gone] {
        assert_eq!(row.kind, RowKind::Fact);
    }
}

#[test]
fn a_message_to_a_user_and_a_login_are_in_the_order_of_their_user() {
    let content = text("psst");
    let said_by = Said {
        from: "jared",
        operator: "jared",
        random: random_of("m1"),
        content: &content,
    };
    let to = UserId::new("anna").unwrap();
    let row = said_to_user(event(), &said_by, &to, 9);
    let said = body(&row);
    assert_eq!(said["CallbackCommand"], "C2C.CallbackAfterSendMsg");
    assert_eq!(
        (&said["To_Account"], &said["SendMsgResult"]),
        (&json!("anna"), &json!(0))
    );
    let key = format!("9_{}_1670574414", said["MsgRandom"]);
    assert_eq!(said["MsgKey"], key);
    let from = UserId::new("jared").unwrap();
    let login = state_changed(event(), &from, SessionState::Login, &["Web"]);
    assert_eq!(login.order_key, row.order_key);
    let expected = json!({
        "CallbackCommand": "State.StateChange",
        "EventTime": 1_670_574_414_123_u64,
        "Info": {"Action": "Login", "To_Account": "jared", "Reason": "Register"},
        "KickedDevice": [{"Platform": "Web"}],
    });
    assert_eq!(body(&login), expected);
}

#[test]
fn a_choice_is_what_was_chosen() {
    let chosen: Tells = [Tell::AfterSendMsg, Tell::LiveEnded].into_iter().collect();
    assert_eq!(chosen.list(), [Tell::LiveEnded, Tell::AfterSendMsg]);
    assert!(!chosen.has(Tell::LiveStarted));
    for tell in Tell::ALL {
        let json = serde_json::to_string(tell).unwrap();
        assert_eq!(json, format!("\"{}\"", tell.as_str()));
    }
}
