//! A backend that is asked before something happens.
//!
//! The property: its answer decides as documented, or `on_timeout` does when
//! there is none; who waits for it holds up nobody else, and the messages of one
//! sender keep their order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use livegate_client::{RoomEventKind, TransportPreference};
use livegate_proto::backend::{BanUsersRequest, MuteUsersRequest};
use livegate_proto::client::Elements;
use livegate_proto::code::Code;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

use crate::govern::govern;
use crate::people::{Login, Person};
use crate::running::{self, APP, Running, Setup};

const ALL: &str = r#"ask = ["Group.CallbackBeforeSendMsg", "C2C.CallbackBeforeSendMsg",
    "Group.CallbackBeforeCreateGroup", "Group.CallbackBeforeApplyJoinGroup", "login"]
tell = []"#;

/// Likes that the backend thinks about, and such as it refuses.
const HELD_LIKES: u32 = 100;
const BAD_LIKES: u32 = 13;

/// A backend that decides by what is said, or by who.
struct Judge {
    address: std::net::SocketAddr,
    /// Questions, as they come in.
    asked: mpsc::Receiver<Value>,
    /// Lets go of the one that says "held".
    release: Arc<Notify>,
}

#[derive(Clone)]
struct Bench {
    asked: mpsc::Sender<Value>,
    release: Arc<Notify>,
}

impl Judge {
    async fn serve() -> Self {
        let (tell, asked) = mpsc::channel(1_000);
        let release = Arc::new(Notify::new());
        let bench = Bench {
            asked: tell,
            release: Arc::clone(&release),
        };
        let router = Router::new()
            .route("/hook", axum::routing::post(decide))
            .with_state(bench);
        let address = running::serve(router).await;
        Self {
            address,
            asked,
            release,
        }
    }

    /// The next question of this command.
    async fn asked(&mut self, command: &str) -> Value {
        let next = async {
            loop {
                let question = self.asked.recv().await.unwrap();
                if question["CallbackCommand"] == command {
                    return question;
                }
            }
        };
        let asked = tokio::time::timeout(Duration::from_secs(30), next);
        asked.await.expect("was not asked")
    }
}

async fn decide(State(bench): State<Bench>, uri: Uri, body: Bytes) -> String {
    let question: Value = serde_json::from_slice(&body).unwrap();
    if let Some(command) = question["CallbackCommand"].as_str() {
        let query = uri.query().unwrap();
        assert!(query.contains(&format!("CallbackCommand={command}&contenttype=json")));
    }
    bench.asked.send(question.clone()).await.unwrap();
    let said = question["MsgBody"][0]["MsgContent"]["Text"].as_str();
    let who = ["Requestor_Account", "Operator_Account", "user_id"];
    let who = who.iter().find_map(|key| question[key].as_str());
    let data = question["MsgBody"][0]["MsgContent"]["Data"].as_str();
    let likes = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    let likes = likes.and_then(|likes| likes["count"].as_u64());
    let code = match (said, who) {
        _ if likes == Some(HELD_LIKES.into()) => {
            bench.release.notified().await;
            0
        }
        _ if likes == Some(BAD_LIKES.into()) => 1,
        (Some("held"), _) => {
            bench.release.notified().await;
            0
        }
        (Some("never"), _) => std::future::pending().await,
        (Some("bad"), _) => 1,
        (Some("unseen"), _) => 2,
        (Some("custom"), _) => 10_123,
        (Some("plain"), _) => {
            return json!({"ErrorCode": 0, "CloudCustomData": "seen"}).to_string();
        }
        (Some("rude"), _) => {
            let polite = json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "polite"}}]);
            return json!({"ErrorCode": 0, "MsgBody": polite}).to_string();
        }
        (None, Some("mallory" | "eve")) => 10_101,
        _ => 0,
    };
    json!({"ActionStatus": "OK", "ErrorCode": code, "ErrorInfo": "because"}).to_string()
}

async fn person(user: &'static str, running: &Running) -> Person {
    let login = Login::new(user, TransportPreference::Tls);
    login.connect(running).await
}

fn setup(judge: &Judge, callback: &'static str) -> Setup {
    Setup {
        hook: Some(judge.address),
        callback,
        ..Setup::default()
    }
}

#[tokio::test]
async fn the_answer_decides_what_becomes_of_a_message() {
    let dir = TempDir::new().unwrap();
    let mut judge = Judge::serve().await;
    let running = Running::start(&dir, &setup(&judge, ALL)).await;
    let anna = person("anna", &running).await;
    let mut ben = person("ben", &running).await;
    let stage = anna.client.enter("demo").await.unwrap();
    ben.client.enter("demo").await.unwrap();
    let code = |text: &'static str| {
        let stage = &stage;
        async move { stage.send_text(text).await.map_err(|error| error.code()) }
    };
    assert_eq!(code("bad").await.unwrap_err(), Some(Code::BACKEND_REFUSED));
    assert_eq!(code("custom").await.unwrap_err(), Some(Code(10_123)));
    assert_eq!(code("unseen").await.unwrap().seq, 0);
    assert!(code("rude").await.unwrap().seq > 0);
    assert!(code("fine").await.unwrap().seq > 0);
    assert_eq!(ben.text().await, ("anna".into(), "polite".into()));
    assert_eq!(ben.text().await, ("anna".into(), "fine".into()));
    code("plain").await.unwrap();
    let said = ben
        .room(|kind| match kind {
            RoomEventKind::Message(said) => said.content.clone(),
            _ => None,
        })
        .await;
    let said = Elements::from(&said);
    assert_eq!(said.cloud_custom_data, "seen");
    assert_eq!(said.elements[0].content, r#"{"Text":"plain"}"#);
    let asked = judge.asked("Group.CallbackBeforeSendMsg").await;
    assert_eq!(asked["GroupId"], "demo");
    assert_eq!(asked["From_Account"], "anna");
    assert!(asked.get("MsgSeq").is_none());
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn a_question_holds_up_its_sender_s_messages_in_their_order_and_nobody_else() {
    let dir = TempDir::new().unwrap();
    let mut judge = Judge::serve().await;
    let running = Running::start(&dir, &setup(&judge, ALL)).await;
    let anna = person("anna", &running).await;
    let mut ben = person("ben", &running).await;
    let stage = anna.client.enter("demo").await.unwrap();
    let other = ben.client.enter("demo").await.unwrap();
    let held = stage.clone();
    let held = TaskTracker::new().spawn(async move { held.send_text("held").await });
    judge.asked("Group.CallbackBeforeSendMsg").await;
    let after = stage.clone();
    let after = TaskTracker::new().spawn(async move { after.send_text("after").await });
    let second = judge.asked("Group.CallbackBeforeSendMsg").await;
    assert_eq!(second["MsgBody"][0]["MsgContent"]["Text"], "after");
    // Another user of the room, and the sender's other requests, go on.
    other.send_text("meanwhile").await.unwrap();
    stage.info().await.unwrap();
    assert_eq!(ben.text().await.1, "meanwhile");
    judge.release.notify_one();
    let held = held.await.unwrap().unwrap();
    let after = after.await.unwrap().unwrap();
    assert!(held.seq < after.seq);
    assert_eq!(ben.text().await.1, "held");
    assert_eq!(ben.text().await.1, "after");
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn logins_entries_rooms_and_messages_to_users_are_asked_about() {
    let dir = TempDir::new().unwrap();
    let mut judge = Judge::serve().await;
    let setup = Setup {
        callback: r#"ask = ["C2C.CallbackBeforeSendMsg", "Group.CallbackBeforeCreateGroup",
            "Group.CallbackBeforeApplyJoinGroup"]"#,
        ..setup(&judge, "")
    };
    let running = Running::start(&dir, &setup).await;
    let eve = person("eve", &running).await;
    let refused = eve.client.create_room("hers", "").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code(10_101)));
    let anna = person("anna", &running).await;
    anna.client.create_room("hers", "").await.unwrap();
    let refused = eve.client.enter("hers").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code(10_101)));
    let stage = anna.client.enter("hers").await.unwrap();
    stage.send_text("bad").await.unwrap();
    let asked = judge.asked("Group.CallbackBeforeApplyJoinGroup").await;
    assert_eq!(asked["Requestor_Account"], "eve");
    let message = livegate_client::Outgoing::text("bad");
    let refused = anna.client.send_to_user("eve", message).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::DIRECT_REFUSED));
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn what_is_refused_anyhow_is_refused_without_asking_and_once_more_after_it() {
    let dir = TempDir::new().unwrap();
    let mut judge = Judge::serve().await;
    let setup = Setup {
        app: "create_rooms = false",
        sections: "[callback]\nask_timeout = \"60s\"",
        ..setup(
            &judge,
            r#"ask = ["Group.CallbackBeforeSendMsg", "Group.CallbackBeforeCreateGroup",
                "Group.CallbackBeforeApplyJoinGroup"]"#,
        )
    };
    let running = Running::start(&dir, &setup).await;
    let anna = person("anna", &running).await;
    let stage = anna.client.enter("demo").await.unwrap();
    let held = stage.clone();
    let held = TaskTracker::new().spawn(async move { held.send_text("held").await });
    judge.asked("Group.CallbackBeforeSendMsg").await;
    let mute = MuteUsersRequest {
        sdk_app_id: APP,
        room_id: "demo".into(),
        user_ids: vec!["anna".into()],
        seconds: 600,
    };
    govern(&running).await.mute_users(mute).await.unwrap();
    let refused = stage.send_text("again").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::MUTED));
    let refused = anna.client.create_room("hers", "").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::NO_PERMISSION));
    let ban = BanUsersRequest {
        sdk_app_id: APP,
        room_id: "demo".into(),
        user_ids: vec!["ben".into()],
        seconds: 600,
        reason: "spam".into(),
    };
    govern(&running).await.ban_users(ban).await.unwrap();
    let ben = person("ben", &running).await;
    let refused = ben.client.enter("demo").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::BANNED));
    assert!(judge.asked.try_recv().is_err(), "it was asked");
    judge.release.notify_one();
    let refused = held.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Some(Code::MUTED));
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn a_login_that_the_backend_refuses_is_told_its_code() {
    let dir = TempDir::new().unwrap();
    let judge = Judge::serve().await;
    let running = Running::start(&dir, &setup(&judge, ALL)).await;
    let mallory = Login::new("mallory", TransportPreference::Quic);
    let refused = mallory.try_connect(&running, running.roots.clone()).await;
    let error = refused.map(drop).unwrap_err();
    assert!(format!("{error}").contains("because"), "{error}");
    person("anna", &running).await;
    running.stop();
    running.stopped().await;
}

#[tokio::test]
async fn without_an_answer_the_configuration_decides() {
    for (callback, allows) in [
        ("ask = [\"Group.CallbackBeforeSendMsg\"]", true),
        (
            "ask = [\"Group.CallbackBeforeSendMsg\"]\non_timeout = \"refuse\"",
            false,
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let judge = Judge::serve().await;
        let setup = Setup {
            sections: "[callback]\nask_timeout = \"200ms\"",
            ..setup(&judge, callback)
        };
        let running = Running::start(&dir, &setup).await;
        let anna = person("anna", &running).await;
        let stage = anna.client.enter("demo").await.unwrap();
        let sent = stage.send_text("never").await.map_err(|error| error.code());
        let expected = match allows {
            true => sent.as_ref().is_ok_and(|sent| sent.seq > 0),
            false => sent == Err(Some(Code::BACKEND_REFUSED)),
        };
        assert!(expected, "{sent:?}");
        running.stop();
        running.stopped().await;
    }
}

#[tokio::test]
async fn a_window_of_likes_is_asked_about_once_and_told_as_it_was_decided() {
    let dir = TempDir::new().unwrap();
    let mut judge = Judge::serve().await;
    let setup = Setup {
        sections: "[callback]\nask_timeout = \"60s\"",
        ..setup(&judge, "ask = [\"Group.CallbackBeforeSendMsg\"]\ntell = []")
    };
    let running = Running::start(&dir, &setup).await;
    let anna = person("anna", &running).await;
    let mut ben = person("ben", &running).await;
    let stage = anna.client.enter("demo").await.unwrap();
    ben.client.enter("demo").await.unwrap();
    // Likes are taken at once; the first window holds them all.
    stage.like(HELD_LIKES).await.unwrap();
    let asked = likes(&mut judge).await;
    assert_eq!(asked, (HELD_LIKES.into(), HELD_LIKES.into()));
    for _ in 0..3 {
        stage.like(2).await.unwrap();
    }
    // Nothing else of the room waits.
    stage.send_text("meanwhile").await.unwrap();
    assert_eq!(ben.text().await.1, "meanwhile");
    judge.release.notify_one();
    assert_eq!(totals(&mut ben).await, u64::from(HELD_LIKES));
    let next = u64::from(HELD_LIKES) + 6;
    assert_eq!(likes(&mut judge).await, (6, next));
    assert_eq!(totals(&mut ben).await, next);
    // A refused window is told to nobody, and is in no later total.
    stage.like(BAD_LIKES).await.unwrap();
    let refused = (u64::from(BAD_LIKES), next + u64::from(BAD_LIKES));
    assert_eq!(likes(&mut judge).await, refused);
    // Likes that come before the refusal would go with the next window too.
    stage.like(1).await.unwrap();
    assert_eq!(likes(&mut judge).await, (1, next + 1));
    assert_eq!(totals(&mut ben).await, next + 1);
    running.stop();
    running.stopped().await;
}

/// The count and the total of the next window that is asked about.
async fn likes(judge: &mut Judge) -> (u64, u64) {
    loop {
        let asked = judge.asked("Group.CallbackBeforeSendMsg").await;
        let content = &asked["MsgBody"][0]["MsgContent"];
        if content["Desc"] != "like" {
            continue;
        }
        assert_eq!(asked["From_Account"], "");
        assert!(asked.get("MsgSeq").is_none());
        let data: Value = serde_json::from_str(content["Data"].as_str().unwrap()).unwrap();
        return (
            data["count"].as_u64().unwrap(),
            data["total"].as_u64().unwrap(),
        );
    }
}

async fn totals(person: &mut Person) -> u64 {
    person
        .room(|kind| match kind {
            RoomEventKind::Totals(totals) => Some(totals.likes),
            _ => None,
        })
        .await
}
