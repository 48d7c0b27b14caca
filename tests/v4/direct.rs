//! Messages to users, and who of them is online.

use livegate_client::Event;
use livegate_client::wire::{UserMessage, user_message};
use serde_json::{Value, json};

use crate::api::{Site, text};
use crate::people::Person;

const SEND: &str = "openim/sendmsg";
const BATCH: &str = "openim/batchsendmsg";
const STATUS: &str = "openim/query_online_status";
const MUTE: &str = "openconfigsvr/setnospeaking";

async fn heard(person: &mut Person) -> UserMessage {
    person
        .until(|event| match event {
            Event::Direct(direct) => Some(direct.message.clone()),
            _ => None,
        })
        .await
}

fn say(to: &str) -> Value {
    json!({
        "SyncOtherMachine": 2, "To_Account": to, "MsgRandom": 7, "MsgSeq": "93847636",
        "MsgTimeStamp": 1, "MsgLifeTime": 60, "MsgBody": text("hi"),
        "From_Account": "jared",
    })
}

#[tokio::test]
async fn a_message_reaches_its_user_and_nobody_else_is_an_error() {
    let site = Site::start().await;
    let mut anna = site.person("anna").await;
    let answer = site.api.ok(SEND, &say("anna")).await;
    let key = answer["MsgKey"].as_str().unwrap();
    assert!(key.starts_with("93847636_7_"), "{key}");
    assert!(key.len() <= 50);
    assert!(answer["MsgTime"].is_i64());
    let message = heard(&mut anna).await;
    assert_eq!(message.from.unwrap().user_id, "jared");
    let Some(user_message::Content::Text(said)) = message.content else {
        panic!("a text arrives as a text");
    };
    assert_eq!(said.text, "hi");
    site.api.ok(SEND, &say("never-here")).await;
    let mut batch = say("");
    batch["To_Account"] = json!(["anna", "never-here"]);
    let answer = site.api.ok(BATCH, &batch).await;
    assert!(answer["ErrorList"].is_null());
    assert!(answer["MsgKey"].is_string());
    heard(&mut anna).await;
    site.stop().await;
}

#[tokio::test]
async fn a_message_is_refused_with_the_code_for_what_is_wrong() {
    let site = Site::start().await;
    let with = |name: &str, value: Value| {
        let mut body = say("anna");
        body[name] = value;
        body
    };
    for (body, code) in [
        (with("To_Account", "".into()), 90003),
        (with("To_Account", 7.into()), 60015),
        (with("To_Account", "a\nb".into()), 90012),
        (with("MsgRandom", Value::Null), 90005),
        (with("MsgRandom", "x".into()), 90005),
        (with("MsgTimeStamp", "x".into()), 90006),
        (with("MsgBody", json!({})), 90007),
        (with("MsgBody", Value::Null), 90007),
        (with("MsgBody", json!([])), 90002),
        (with("MsgBody", json!([{"MsgType": "T"}])), 90002),
        (with("From_Account", "a\nb".into()), 90008),
        (with("MsgLifeTime", "x".into()), 90044),
        (with("MsgLifeTime", 604_801.into()), 90026),
        (with("SyncOtherMachine", "x".into()), 90031),
        (with("MsgSeq", "x".into()), 90010),
        (with("MsgBody", text(&"x".repeat(12 << 10))), 93000),
    ] {
        assert_eq!(site.api.refused(SEND, &body).await, code, "{body}");
    }
    let many = with("To_Account", json!(vec!["a"; 501]));
    assert_eq!(site.api.refused(BATCH, &many).await, 90011);
    let nobody = with("To_Account", Value::Null);
    assert_eq!(site.api.refused(BATCH, &nobody).await, 90003);
    let query = site.api.query();
    let answer = site.api.raw(SEND, &query, b"{").await;
    assert_eq!(answer["ErrorCode"], 90001);
    let mute = json!({"Set_Account": "jared", "C2CmsgNospeakingTime": 60});
    site.api.ok(MUTE, &mute).await;
    assert_eq!(site.api.refused(SEND, &say("anna")).await, 20012);
    site.stop().await;
}

#[tokio::test]
async fn who_is_online_is_told_in_both_spellings_on_every_path() {
    let site = Site::start().await;
    let _anna = site.person("anna").await;
    for path in [
        STATUS,
        "openim/querystate",
        "im_open_login_svc/query_online_status",
        "im_open_login_svc/querystate",
    ] {
        let asked = json!({"To_Account": ["anna", "bert"], "IsNeedDetail": 1});
        let answer = site.api.ok(path, &asked).await;
        let online = json!({
            "To_Account": "anna", "Status": "Online", "State": "Online",
            "Detail": [{"Platform": "PC", "Status": "Online"}],
        });
        assert_eq!(answer["QueryResult"][0], online, "{path}");
        assert_eq!(answer["QueryResult"][1]["Status"], "Offline");
    }
    let many = json!({"To_Account": vec!["a"; 501]});
    assert_eq!(site.api.refused(STATUS, &many).await, 90011);
    site.stop().await;
}
