//! What is said in rooms, to all rooms, and taken back.

use livegate_client::wire::{Elements, Priority, RoomMessage, broadcast, room_message};
use livegate_client::{RoomEventKind, wire};
use serde_json::{Value, json};

use crate::api::{Site, text};
use crate::people::Person;

const SEND: &str = "group_open_http_svc/send_group_msg";
const NOTIFY: &str = "group_open_http_svc/send_group_system_notification";
const BROADCAST: &str = "group_open_http_svc/send_broadcast_msg";
const RECALL: &str = "group_open_http_svc/group_msg_recall";
const READ: &str = "group_open_http_svc/group_msg_get_simple";
const DELETE: &str = "group_open_http_svc/delete_group_msg_by_sender";
const PROFILE: &str = "profile/portrait_set";

async fn here(site: &Site) -> Person {
    site.room("show").await;
    let anna = site.person("anna").await;
    anna.client.enter("show").await.unwrap();
    anna
}

fn say(random: u32, said: &str) -> Value {
    json!({"GroupId": "show", "Random": random, "MsgBody": text(said)})
}

fn said(message: &RoomMessage) -> Elements {
    Elements::from(message.content.as_ref().unwrap())
}

#[tokio::test]
async fn a_text_arrives_as_a_text_from_who_is_named_as_they_are_shown() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    let nick = json!({
        "From_Account": "jared",
        "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": "Jared"}],
    });
    site.api.ok(PROFILE, &nick).await;
    let mut body = say(1, "hi");
    body["From_Account"] = "jared".into();
    body["MsgPriority"] = "High".into();
    body["OnlineOnlyFlag"] = 1.into();
    body["ForbidCallbackControl"] = json!(["ForbidBeforeSendMsgCallback"]);
    let answer = site.api.ok(SEND, &body).await;
    let (seq, message) = anna.message().await;
    assert_eq!(answer["MsgSeq"], seq);
    assert!(answer["MsgTime"].is_i64());
    assert!(answer["MsgDropReason"].is_null());
    let from = message.from.clone().unwrap();
    assert_eq!(from.user_id, "jared");
    assert_eq!(from.profile.unwrap().nick, "Jared");
    assert_eq!(message.priority(), Priority::High);
    let text = wire::Text { text: "hi".into() };
    assert_eq!(message.content, Some(room_message::Content::Text(text)));
    site.api.ok(SEND, &say(2, "by the admin")).await;
    let (_, message) = anna.message().await;
    assert_eq!(message.from.unwrap().user_id, "administrator");
    site.stop().await;
}

#[tokio::test]
async fn elements_of_every_type_and_custom_data_pass_through() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    let parts = json!([
        {"MsgType": "TIMTextElem", "MsgContent": {"Text": "a\u{0}b"}},
        {"MsgType": "TIMCustomElem", "MsgContent": {"Data": "{\"gift\":1}", "Desc": "", "Ext": "e", "Sound": ""}},
        {"MsgType": "TIMFaceElem", "MsgContent": {"Index": 1, "Data": "d"}},
        {"MsgType": "TIMLocationElem", "MsgContent": {"Desc": "s", "Latitude": 29.340656774469956, "Longitude": 116.77497920478824}},
        {"MsgType": "TIMImageElem", "MsgContent": {"UUID": "u", "ImageFormat": 1, "ImageInfoArray": [{"Type": 1, "Size": 9, "Width": 1, "Height": 1, "URL": "http://x"}]}},
        {"MsgType": "TIMSoundElem", "MsgContent": {"UUID": "u", "Size": 1, "Second": 2}},
        {"MsgType": "TIMFileElem", "MsgContent": {"UUID": "u", "FileSize": 1, "FileName": "f"}},
        {"MsgType": "TIMVideoFileElem", "MsgContent": {"VideoUUID": "v"}},
        {"MsgType": "TIMRelayElem", "MsgContent": {"Title": "t", "MsgList": []}},
        {"MsgType": "TIMUnheardOf", "MsgContent": {"x": [null, {"y": 1e300}]}},
    ]);
    let body = json!({
        "GroupId": "show", "Random": 5, "MsgBody": parts, "CloudCustomData": "cloud",
    });
    site.api.ok(SEND, &body).await;
    let (_, message) = anna.message().await;
    let elements = said(&message);
    assert_eq!(elements.cloud_custom_data, "cloud");
    for (element, part) in elements.elements.iter().zip(parts.as_array().unwrap()) {
        assert_eq!(element.r#type, part["MsgType"].as_str().unwrap());
        let content: Value = serde_json::from_str(&element.content).unwrap();
        assert_eq!(content, part["MsgContent"]);
    }
    let read = json!({"GroupId": "show", "ReqMsgNumber": 1});
    let answer = site.api.ok(READ, &read).await;
    assert_eq!(answer["RspMsgList"][0]["MsgBody"], parts);
    assert_eq!(answer["RspMsgList"][0]["CloudCustomData"], "cloud");
    site.stop().await;
}

#[tokio::test]
async fn priorities_are_told_and_read_back_as_numbers() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    let names = ["High", "Normal", "Low", "Lowest", ""];
    let expected = [
        (Priority::High, 1),
        (Priority::Normal, 2),
        (Priority::Low, 3),
        (Priority::Lowest, 4),
        (Priority::Normal, 2),
    ];
    for (n, name) in (0..).zip(names) {
        let mut body = say(n, "x");
        body["MsgPriority"] = name.into();
        site.api.ok(SEND, &body).await;
    }
    let read = json!({"GroupId": "show", "ReqMsgNumber": 20});
    let answer = site.api.ok(READ, &read).await;
    let list = answer["RspMsgList"].as_array().unwrap();
    for ((told, number), read) in expected.iter().zip(list.iter().rev()) {
        let (_, message) = anna.message().await;
        assert_eq!(message.priority(), *told);
        assert_eq!(read["MsgPriority"], *number);
    }
    site.stop().await;
}

#[tokio::test]
async fn a_repeat_is_the_same_sender_random_and_content() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    let first = site.api.ok(SEND, &say(7, "once")).await;
    let again = site.api.ok(SEND, &say(7, "once")).await;
    assert_eq!(first["MsgSeq"], again["MsgSeq"]);
    let mut other = say(7, "once");
    other["From_Account"] = "other".into();
    let sent = [say(7, "twice"), say(8, "once"), other];
    for body in &sent {
        site.api.ok(SEND, body).await;
    }
    let mut heard = Vec::new();
    for _ in 0..=sent.len() {
        heard.push(anna.text().await);
    }
    let admin = |text: &str| ("administrator".to_owned(), text.to_owned());
    let theirs = ("other".to_owned(), "once".to_owned());
    assert_eq!(
        heard,
        [admin("once"), admin("twice"), admin("once"), theirs]
    );
    site.stop().await;
}

#[tokio::test]
async fn what_the_rooms_rate_discards_is_a_success_with_a_reason() {
    let site = Site::start_with(&crate::running::Setup {
        sections: "[rooms.rate]\nper_second = 1\nburst = 3\nnormal_needs = 1\nlow_needs = 1\nlowest_needs = 1\n",
        ..Default::default()
    })
    .await;
    let mut anna = here(&site).await;
    let mut dropped = Vec::new();
    for n in 0..8 {
        let answer = site.api.ok(SEND, &say(n, &n.to_string())).await;
        if !answer["MsgDropReason"].is_null() {
            assert_eq!(answer["MsgSeq"], 0);
            dropped.push(n);
        }
    }
    assert!(!dropped.is_empty());
    // System notifications are exempt, and come after all that was let through.
    let notice = json!({"GroupId": "show", "Content": "end"});
    site.api.ok(NOTIFY, &notice).await;
    let mut heard = 0;
    loop {
        let done = anna
            .room(|kind| match kind {
                RoomEventKind::Message(_) => Some(false),
                RoomEventKind::Notice(_) => Some(true),
                _ => None,
            })
            .await;
        if done {
            break;
        }
        heard += 1;
    }
    assert_eq!(heard + dropped.len(), 8);
    site.stop().await;
}

#[tokio::test]
async fn a_notification_reaches_the_apps_and_a_broadcast_all_rooms() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    site.room("other").await;
    let mut bert = site.person("bert").await;
    bert.client.enter("other").await.unwrap();
    let content = r#"{"cmd":"notifyPusherChange","data":""}"#;
    let notice = json!({"GroupId": "show", "Content": content});
    site.api.ok(NOTIFY, &notice).await;
    let heard = anna
        .room(|kind| match kind {
            RoomEventKind::Notice(notice) => Some(notice.content.clone()),
            _ => None,
        })
        .await;
    assert_eq!(heard, content);
    let body = json!({"Random": 3, "MsgBody": text("to all"), "From_Account": "jared"});
    let answer = site.api.ok(BROADCAST, &body).await;
    assert!(answer["MsgSeq"].is_u64());
    for person in [&mut anna, &mut bert] {
        let said = person
            .room(|kind| match kind {
                RoomEventKind::Broadcast(said) => Some(said.clone()),
                _ => None,
            })
            .await;
        assert_eq!(said.from.unwrap().user_id, "jared");
        let text = wire::Text {
            text: "to all".into(),
        };
        assert_eq!(said.content, Some(broadcast::Content::Text(text)));
    }
    site.stop().await;
}

#[tokio::test]
async fn a_message_is_read_back_and_taken_back() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    for n in 0..3 {
        site.api.ok(SEND, &say(n, &format!("m{n}"))).await;
    }
    let read = json!({"GroupId": "show", "ReqMsgNumber": 2});
    let newest = site.api.ok(READ, &read).await;
    let list = newest["RspMsgList"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["MsgBody"], text("m2"));
    assert_eq!(list[0]["MsgPriority"], 2);
    assert_eq!(newest["IsFinished"], 1);
    let seq = &list[1]["MsgSeq"];
    let recall = json!({
        "GroupId": "show", "MsgSeqList": [{"MsgSeq": seq}, {"MsgSeq": "999999"}],
        "Reason": "wrong price",
    });
    let answer = site.api.ok(RECALL, &recall).await;
    assert_eq!(answer["RecallRetList"][0]["RetCode"], 0);
    assert_eq!(answer["RecallRetList"][1]["RetCode"], 10030);
    assert_eq!(answer["Results"], answer["RecallRetList"]);
    let recalled = anna
        .room(|kind| match kind {
            RoomEventKind::Recalled(recalled) => Some(recalled.clone()),
            _ => None,
        })
        .await;
    assert_eq!(recalled.seqs, [seq.as_u64().unwrap()]);
    assert_eq!(recalled.reason, "wrong price");
    let with = json!({"GroupId": "show", "ReqMsgNumber": 20, "WithRecalledMsg": 1});
    let all = site.api.ok(READ, &with).await;
    assert_eq!(all["RspMsgList"][1]["IsPlaceMsg"], 2);
    let without = json!({"GroupId": "show", "ReqMsgNumber": 25, "ReqMsgSeq": seq});
    let older = site.api.ok(READ, &without).await;
    assert_eq!(older["RspMsgList"][0]["IsPlaceMsg"], 1);
    assert_eq!(older["RspMsgList"][0]["MsgBody"], json!([]));
    assert_eq!(older["RspMsgList"][1]["MsgBody"], text("m0"));
    site.stop().await;
}

/// A backend that says 200 to everything: the bodies that it was told.
async fn hook() -> (std::net::SocketAddr, tokio::sync::mpsc::Receiver<Value>) {
    let (tell, told) = tokio::sync::mpsc::channel(100);
    let hear = move |body: axum::body::Bytes| {
        let tell = tell.clone();
        async move {
            let body = serde_json::from_slice(&body).unwrap();
            tell.send(body).await.unwrap();
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}"#
        }
    };
    let router = axum::Router::new().route("/", axum::routing::post(hear));
    let address = crate::running::serve(router).await;
    (address, told)
}

#[tokio::test]
async fn a_message_that_forbids_its_callback_is_not_told() {
    let (address, mut told) = hook().await;
    let app = format!(
        "[apps.callback]\nurl = \"http://{address}/\"\nsecrets = [\"0123456789abcdef\"]\n\
         tell = [\"Group.CallbackAfterSendMsg\", \"C2C.CallbackAfterSendMsg\"]\n"
    );
    let setup = crate::running::Setup {
        app: app.leak(),
        ..Default::default()
    };
    let site = Site::start_with(&setup).await;
    site.room("show").await;
    let quiet = json!(["ForbidAfterSendMsgCallback"]);
    let mut body = say(1, "quiet");
    body["ForbidCallbackControl"] = quiet.clone();
    site.api.ok(SEND, &body).await;
    let mut direct = json!({"To_Account": "anna", "MsgRandom": 1, "MsgBody": text("quiet")});
    direct["ForbidCallbackControl"] = quiet;
    site.api.ok("openim/sendmsg", &direct).await;
    direct["ForbidCallbackControl"] = json!([]);
    direct["MsgBody"] = text("loud");
    site.api.ok("openim/sendmsg", &direct).await;
    site.api.ok(SEND, &say(2, "loud")).await;
    for _ in 0..2 {
        let told = tokio::time::timeout(std::time::Duration::from_secs(30), told.recv());
        let told = told.await.expect("nothing was told").unwrap();
        assert_eq!(told["MsgBody"], text("loud"), "{told}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_message_is_refused_with_the_code_for_what_is_wrong() {
    let site = Site::start().await;
    site.room("show").await;
    let with = |name: &str, value: Value| {
        let mut body = say(1, "hi");
        body[name] = value;
        body
    };
    for (body, code) in [
        (with("GroupId", "nowhere".into()), 10010),
        (with("GroupId", "".into()), 10004),
        (with("GroupId", "a\nb".into()), 10015),
        (with("Random", Value::Null), 10004),
        (with("Random", "x".into()), 10004),
        (with("Random", 4_294_967_296_u64.into()), 10004),
        (with("MsgPriority", "high".into()), 10004),
        (with("MsgBody", json!([])), 10004),
        (with("MsgBody", json!({})), 10004),
        (with("MsgBody", text(&"x".repeat(12 << 10))), 80002),
        (with("CloudCustomData", "x".repeat(12 << 10).into()), 80002),
        (with("From_Account", 7.into()), 60015),
        (with("From_Account", "a\nb".into()), 10012),
        (with("To_Account", json!(["a"])), 10004),
        (with("ForbidCallbackControl", json!(["Other"])), 10004),
    ] {
        assert_eq!(site.api.refused(SEND, &body).await, code, "{body}");
    }
    let seqs: Vec<Value> = (1..12).map(|n| json!({"MsgSeq": n})).collect();
    let recall = json!({"GroupId": "show", "MsgSeqList": seqs});
    assert_eq!(site.api.refused(RECALL, &recall).await, 10004);
    let long = json!({"GroupId": "show", "Content": "x".repeat((12 << 10) + 1)});
    assert_eq!(site.api.refused(NOTIFY, &long).await, 80002);
    let one = json!({"GroupId": "show", "Content": "x", "ToMembers_Account": ["a"]});
    assert_eq!(site.api.refused(NOTIFY, &one).await, 10004);
    let delete = json!({"GroupId": "show", "Sender_Account": "a"});
    assert_eq!(site.api.refused(DELETE, &delete).await, 10035);
    site.stop().await;
}
