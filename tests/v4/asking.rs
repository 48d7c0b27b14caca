//! A backend that is asked about what it does itself by this API.
//!
//! The property: its answer decides as it does for a client's message, with the
//! code that the vendor documents; who waits for it holds up nobody else; what
//! forbids the callback is not asked about.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use livegate_client::Event;
use livegate_client::wire::user_message;
use livegate_proto::backend::{PushToRoomRequest, push_to_room_request};
use livegate_proto::client::Text;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use crate::api::{Site, text};
use crate::running::{self, APP, Setup};

const SEND: &str = "group_open_http_svc/send_group_msg";
const DIRECT: &str = "openim/sendmsg";
const BATCH: &str = "openim/batchsendmsg";
const CREATE: &str = "group_open_http_svc/create_group";

const ALL: &str = r#"ask = ["Group.CallbackBeforeSendMsg", "C2C.CallbackBeforeSendMsg",
    "Group.CallbackBeforeCreateGroup"]
tell = []"#;

/// A backend that decides by what is said, to whom or what a room is called.
struct Judge {
    address: SocketAddr,
    /// Questions as they come in, with the query of their URL.
    asked: mpsc::Receiver<(Value, String)>,
    /// Lets go of the one that says "held".
    release: Arc<Semaphore>,
}

#[derive(Clone)]
struct Bench {
    asked: mpsc::Sender<(Value, String)>,
    release: Arc<Semaphore>,
}

impl Judge {
    async fn serve() -> Self {
        let (tell, asked) = mpsc::channel(1_000);
        let release = Arc::new(Semaphore::new(0));
        let bench = Bench {
            asked: tell,
            release: Arc::clone(&release),
        };
        let router = axum::Router::new()
            .route("/hook", axum::routing::post(decide))
            .with_state(bench);
        let address = running::serve(router).await;
        Self {
            address,
            asked,
            release,
        }
    }

    /// A gateway whose backend it is.
    async fn site(&self, callback: &'static str) -> Site {
        let sections = "[callback]\nask_timeout = \"1s\"";
        self.site_with(callback, sections).await
    }

    async fn site_with(&self, callback: &'static str, sections: &'static str) -> Site {
        let setup = Setup {
            hook: Some(self.address),
            callback,
            sections,
            ..Setup::default()
        };
        Site::start_with(&setup).await
    }

    async fn asked(&mut self) -> (Value, String) {
        let asked = tokio::time::timeout(Duration::from_secs(30), self.asked.recv());
        asked.await.expect("was not asked").unwrap()
    }

    /// What the next question quotes, which must be one of `command`.
    async fn quoted(&mut self, command: &str) -> String {
        let (asked, _) = self.asked().await;
        assert_eq!(asked["CallbackCommand"], command);
        let said = &asked["MsgBody"][0]["MsgContent"]["Text"];
        said.as_str().unwrap().to_owned()
    }
}

async fn decide(State(bench): State<Bench>, uri: Uri, body: Bytes) -> String {
    let question: Value = serde_json::from_slice(&body).unwrap();
    let query = uri.query().unwrap().to_owned();
    bench.asked.send((question.clone(), query)).await.unwrap();
    let said = question["MsgBody"][0]["MsgContent"]["Text"].as_str();
    let code = match said.or_else(|| question["Name"].as_str()) {
        _ if question["To_Account"] == "mallory" => 120_007,
        Some("held") => {
            bench.release.acquire().await.unwrap().forget();
            0
        }
        Some("never") => std::future::pending().await,
        Some("bad") => 1,
        Some("unseen") => 2,
        Some("custom") => 10_123,
        Some("rude") => {
            let polite = text("polite");
            return json!({"ErrorCode": 0, "MsgBody": polite}).to_string();
        }
        _ => 0,
    };
    json!({"ActionStatus": "OK", "ErrorCode": code, "ErrorInfo": "because"}).to_string()
}

fn say(random: u32, said: &str) -> Value {
    json!({
        "GroupId": "show", "Random": random, "MsgBody": text(said), "From_Account": "jared",
    })
}

fn to(user: Value, said: &str) -> Value {
    json!({
        "To_Account": user, "MsgSeq": 9, "MsgRandom": 7, "MsgBody": text(said),
        "From_Account": "jared",
    })
}

#[tokio::test]
async fn the_answer_decides_what_becomes_of_a_backends_own_message() {
    let mut judge = Judge::serve().await;
    let site = judge.site(ALL).await;
    site.room("show").await;
    judge.asked().await;
    let mut anna = site.person("anna").await;
    anna.client.enter("show").await.unwrap();
    assert_eq!(site.api.refused(SEND, &say(1, "bad")).await, 10016);
    let (asked, query) = judge.asked().await;
    assert_eq!(asked["CallbackCommand"], "Group.CallbackBeforeSendMsg");
    assert_eq!(
        (&asked["GroupId"], &asked["Random"]),
        (&json!("show"), &json!(1))
    );
    assert_eq!(asked["From_Account"], "jared");
    assert_eq!(asked["Operator_Account"], "administrator");
    assert!(asked.get("MsgSeq").is_none());
    assert!(query.contains("OptPlatform=RESTAPI"), "{query}");
    let refused = site.api.call(SEND, &say(2, "custom")).await;
    assert_eq!(refused["ErrorCode"], 10123);
    assert_eq!(refused["ErrorInfo"], "because");
    assert_eq!(site.api.ok(SEND, &say(3, "unseen")).await["MsgSeq"], 0);
    site.api.ok(SEND, &say(4, "rude")).await;
    assert_eq!(anna.text().await, ("jared".into(), "polite".into()));
    let mut forbids = say(5, "bad");
    forbids["ForbidCallbackControl"] = json!(["ForbidBeforeSendMsgCallback"]);
    site.api.ok(SEND, &forbids).await;
    assert_eq!(anna.text().await, ("jared".into(), "bad".into()));
    for said in ["custom", "unseen", "rude"] {
        assert_eq!(judge.quoted("Group.CallbackBeforeSendMsg").await, said);
    }
    assert!(judge.asked.try_recv().is_err(), "it forbids the question");
    site.stop().await;
}

#[tokio::test]
async fn a_call_that_waits_for_its_answer_holds_up_no_other() {
    let mut judge = Judge::serve().await;
    let site = judge
        .site("ask = [\"Group.CallbackBeforeSendMsg\"]\ntell = []")
        .await;
    site.room("show").await;
    let mut anna = site.person("anna").await;
    anna.client.enter("show").await.unwrap();
    let api = site.api.clone();
    let held = TaskTracker::new().spawn(async move { api.ok(SEND, &say(1, "held")).await });
    assert_eq!(judge.quoted("Group.CallbackBeforeSendMsg").await, "held");
    let first = site.api.ok(SEND, &say(2, "meanwhile")).await;
    assert_eq!(anna.text().await.1, "meanwhile");
    judge.release.add_permits(1);
    let second = held.await.unwrap();
    assert!(first["MsgSeq"].as_u64() < second["MsgSeq"].as_u64());
    assert_eq!(anna.text().await.1, "held");
    site.stop().await;
}

#[tokio::test]
async fn a_message_to_users_is_asked_about_for_each_of_them() {
    let mut judge = Judge::serve().await;
    let site = judge.site(ALL).await;
    let mut anna = site.person("anna").await;
    assert_eq!(
        site.api.refused(DIRECT, &to("anna".into(), "bad")).await,
        20006
    );
    judge.asked().await;
    site.api.ok(DIRECT, &to("anna".into(), "unseen")).await;
    judge.asked().await;
    let answer = site.api.ok(DIRECT, &to("anna".into(), "rude")).await;
    let (asked, query) = judge.asked().await;
    assert_eq!(asked["CallbackCommand"], "C2C.CallbackBeforeSendMsg");
    assert_eq!(asked["To_Account"], "anna");
    assert_eq!(asked["MsgKey"], answer["MsgKey"]);
    assert!(query.contains("OptPlatform=RESTAPI"), "{query}");
    let heard = |event: &Event| match event {
        Event::Direct(direct) => direct.message.content.clone(),
        _ => None,
    };
    let said = |text: &str| user_message::Content::Text(Text { text: text.into() });
    assert_eq!(anna.until(heard).await, said("polite"));
    let many = to(json!(["mallory", "anna", "ben"]), "fine");
    let answer = site.api.ok(BATCH, &many).await;
    let failed = json!([{"To_Account": "mallory", "ErrorCode": 120_007}]);
    assert_eq!(answer["ErrorList"], failed);
    assert_eq!(anna.until(heard).await, said("fine"));
    for _ in 0..3 {
        assert_eq!(judge.quoted("C2C.CallbackBeforeSendMsg").await, "fine");
    }
    let mut forbids = to("anna".into(), "bad");
    forbids["ForbidCallbackControl"] = json!(["ForbidBeforeSendMsgCallback"]);
    site.api.ok(DIRECT, &forbids).await;
    assert_eq!(anna.until(heard).await, said("bad"));
    assert!(judge.asked.try_recv().is_err(), "it forbids the question");
    site.stop().await;
}

#[tokio::test]
async fn batches_take_half_of_the_places_and_leave_the_others() {
    let mut judge = Judge::serve().await;
    let callback = "ask = [\"C2C.CallbackBeforeSendMsg\"]\ntell = []\non_timeout = \"refuse\"";
    let sections = "[callback]\nask_parallel = 4\nask_timeout = \"60s\"\n\
                    [internal.v4]\ndeadline = \"30s\"";
    let site = judge.site_with(callback, sections).await;
    let batch = |users: Value| {
        let api = site.api.clone();
        TaskTracker::new().spawn(async move { api.ok(BATCH, &to(users, "held")).await })
    };
    let batches = [
        batch(json!(["anna", "ben", "cleo"])),
        batch(json!(["dora", "emil", "fay"])),
    ];
    for _ in 0..2 {
        assert_eq!(judge.quoted("C2C.CallbackBeforeSendMsg").await, "held");
    }
    // Whoever else has something to say has a place.
    for _ in 0..4 {
        site.api.ok(DIRECT, &to("anna".into(), "fine")).await;
        assert_eq!(judge.quoted("C2C.CallbackBeforeSendMsg").await, "fine");
    }
    for _ in 0..4 {
        judge.release.add_permits(1);
        assert_eq!(judge.quoted("C2C.CallbackBeforeSendMsg").await, "held");
    }
    judge.release.add_permits(2);
    for batch in batches {
        assert_eq!(batch.await.unwrap().get("ErrorList"), None);
    }
    site.stop().await;
}

#[tokio::test]
async fn who_is_muted_in_the_room_is_refused_without_asking_and_once_more_after_it() {
    let mut judge = Judge::serve().await;
    let site = judge
        .site("ask = [\"Group.CallbackBeforeSendMsg\"]\ntell = []")
        .await;
    site.room("show").await;
    let api = site.api.clone();
    let held = TaskTracker::new().spawn(async move { api.refused(SEND, &say(1, "held")).await });
    assert_eq!(judge.quoted("Group.CallbackBeforeSendMsg").await, "held");
    let mute = json!({"GroupId": "show", "Members_Account": ["jared"], "MuteTime": 600});
    let path = "group_open_http_svc/forbid_send_msg";
    site.api.ok(path, &mute).await;
    assert_eq!(site.api.refused(SEND, &say(2, "fine")).await, 10017);
    assert!(judge.asked.try_recv().is_err(), "it was asked");
    judge.release.add_permits(1);
    assert_eq!(held.await.unwrap(), 10017);
    site.stop().await;
}

#[tokio::test]
async fn a_room_that_a_backend_makes_is_asked_about() {
    let mut judge = Judge::serve().await;
    let site = judge.site(ALL).await;
    let room = |name: &str| json!({"Type": "ChatRoom", "Name": name, "GroupId": "show", "Owner_Account": "anna"});
    assert_eq!(site.api.refused(CREATE, &room("custom")).await, 10123);
    let (asked, _) = judge.asked().await;
    assert_eq!(asked["CallbackCommand"], "Group.CallbackBeforeCreateGroup");
    assert_eq!(asked["Operator_Account"], "administrator");
    assert_eq!(asked["Owner_Account"], "anna");
    assert_eq!(
        (&asked["Type"], &asked["Name"]),
        (&json!("ChatRoom"), &json!("custom"))
    );
    assert_eq!(site.api.refused(SEND, &say(1, "fine")).await, 10010);
    site.api.ok(CREATE, &room("fine")).await;
    judge.asked().await;
    site.stop().await;
}

#[tokio::test]
async fn what_is_no_message_of_the_vendors_api_is_not_asked_about() {
    let mut judge = Judge::serve().await;
    let site = judge
        .site("ask = [\"Group.CallbackBeforeSendMsg\"]\ntell = []")
        .await;
    site.room("show").await;
    let mut anna = site.person("anna").await;
    anna.client.enter("show").await.unwrap();
    let notice = json!({"GroupId": "show", "Content": "bad"});
    let notify = "group_open_http_svc/send_group_system_notification";
    site.api.ok(notify, &notice).await;
    let broadcast = json!({"Random": 1, "MsgBody": text("bad")});
    let send = "group_open_http_svc/send_broadcast_msg";
    site.api.ok(send, &broadcast).await;
    let push = PushToRoomRequest {
        sdk_app_id: APP,
        room_id: "show".into(),
        content: Some(push_to_room_request::Content::Text(Text {
            text: "bad".into(),
        })),
        ..PushToRoomRequest::default()
    };
    site.running
        .backend()
        .await
        .push_to_room(push)
        .await
        .unwrap();
    assert_eq!(anna.text().await.1, "bad");
    assert!(judge.asked.try_recv().is_err());
    site.stop().await;
}

#[tokio::test]
async fn without_an_answer_the_configuration_decides_of_a_backends_message_too() {
    for (callback, code) in [
        ("ask = [\"Group.CallbackBeforeSendMsg\"]", 0),
        (
            "ask = [\"Group.CallbackBeforeSendMsg\"]\non_timeout = \"refuse\"",
            10016,
        ),
    ] {
        let judge = Judge::serve().await;
        let site = judge.site(callback).await;
        site.room("show").await;
        let answer = site.api.call(SEND, &say(1, "never")).await;
        assert_eq!(answer["ErrorCode"], code, "{answer}");
        site.stop().await;
    }
}
