//! Two apps with the same names for rooms and users never see each other.
//!
//! The property: whatever the other app does on the same gateway, an app is
//! answered as it would be alone on a gateway of its own; and what is said in
//! one app is heard by nobody of the other, whichever door it came through.

use livegate_client::wire::{Text, room_message};
use livegate_client::{Event, RoomEventKind};
use livegate_proto::backend::{PushToRoomRequest, push_to_room_request};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::api::{Api, OVER, Site, connector, post, secured, sig, text};
use crate::people::Login;
use crate::running::{APP, SECRET, Setup};

const OTHER: u32 = 1_400_000_001;
/// The second app; its key is the first one's, so that nothing but the app's
/// number keeps them apart.
const SECOND: &str = "[[apps]]\nsdk_app_id = 1400000001\nadmins = [\"administrator\"]\n\
    keys = [\"a-secret-of-tests-of-32-characters-or-more\"]\n";

/// Far more calls than a backend makes; a call is never refused for its rate.
const FAST: &str = "[internal.v4]\ncalls_per_second = 100000\nbroadcasts_per_second = 100000\n\
    [rooms.rate]\nper_second = 100000\nburst = 100000\n";

fn setup() -> Setup {
    assert!(SECOND.contains(SECRET));
    Setup {
        sections: FAST,
        app: SECOND,
        ..Setup::default()
    }
}

/// One call: the path and its body.
type Step = (&'static str, Value);

fn step() -> impl Strategy<Value = Step> {
    let room = prop::sample::select(vec!["r1", "r2", "r3"]);
    let user = prop::sample::select(vec!["anna", "bert"]);
    (0..18_usize, room, user, 0..3_u32).prop_map(|(kind, room, user, n)| {
        let group = "group_open_http_svc";
        let path = |name: &str| -> &'static str {
            let all = [
                "create_group", "destroy_group", "get_group_info", "modify_group_base_info",
                "send_group_msg", "group_msg_get_simple", "forbid_send_msg",
                "get_group_muted_account", "ban_group_member", "get_group_ban_member",
                "set_group_attr", "modify_group_member_info", "get_role_in_group",
                "get_appid_group_list", "get_group_attr",
            ];
            assert!(all.contains(&name));
            Box::leak(format!("{group}/{name}").into_boxed_str())
        };
        let attributes = json!([{"key": "k", "value": n.to_string()}]);
        match kind {
            0 | 1 => (path("create_group"), json!({
                "GroupId": room, "Type": "AVChatRoom", "Name": n.to_string(), "Owner_Account": user,
            })),
            2 => (path("destroy_group"), json!({"GroupId": room})),
            3 => (path("get_group_info"), json!({"GroupIdList": [room]})),
            4 => (path("modify_group_base_info"), json!({"GroupId": room, "Name": user})),
            5 | 6 => (path("send_group_msg"), json!({
                "GroupId": room, "Random": n, "MsgBody": text(user), "From_Account": user,
            })),
            7 => (path("group_msg_get_simple"), json!({"GroupId": room, "ReqMsgNumber": 5})),
            8 => (path("forbid_send_msg"), json!({
                "GroupId": room, "Members_Account": [user], "MuteTime": if n == 0 { 0 } else { u32::MAX },
            })),
            9 => (path("get_group_muted_account"), json!({"GroupId": room})),
            10 => (path("ban_group_member"), json!({
                "GroupId": room, "Members_Account": [user], "Duration": u32::MAX,
            })),
            11 => (path("get_group_ban_member"), json!({"GroupId": room})),
            12 => (path("set_group_attr"), json!({"GroupId": room, "GroupAttr": attributes})),
            13 => (path("get_group_attr"), json!({"GroupId": room})),
            14 => (path("modify_group_member_info"), json!({
                "GroupId": room, "Member_Account": user, "Role": "Admin",
            })),
            15 => (path("get_appid_group_list"), json!({})),
            16 => ("profile/portrait_set", json!({
                "From_Account": user,
                "ProfileItem": [{"Tag": "Tag_Profile_IM_Nick", "Value": n.to_string()}],
            })),
            _ => ("profile/portrait_get", json!({"To_Account": ["anna", "bert"]})),
        }
    })
}

/// Without what tells the time or the app.
fn timeless(answer: &mut Value) {
    match answer {
        Value::Object(map) => {
            for name in [
                "MsgTime",
                "MsgTimeStamp",
                "CreateTime",
                "LastInfoTime",
                "Next",
                "Appid",
            ] {
                map.remove(name);
            }
            map.values_mut().for_each(timeless);
        }
        Value::Array(list) => list.iter_mut().for_each(timeless),
        _ => {}
    }
}

async fn answer(api: &Api, (path, body): &Step) -> Value {
    let mut answer = api.call(path, body).await;
    timeless(&mut answer);
    answer
}

#[tokio::test]
async fn an_app_is_answered_as_if_it_were_alone() {
    let long = std::env::var_os("LIVEGATE_LONG").is_some();
    let steps = if long { 20_000 } else { 600 };
    let together = Site::start_with(&setup()).await;
    let alone = [
        Site::start_with(&setup()).await,
        Site::start_with(&setup()).await,
    ];
    let apps = [APP, OTHER];
    let mut runner = TestRunner::default();
    let strategy = (0..2_usize, step());
    for n in 0..steps {
        let (which, step) = strategy.new_tree(&mut runner).unwrap().current();
        let here = Api::of(together.running.internal, apps[which]);
        let there = Api::of(alone[which].running.internal, apps[which]);
        let (seen, expected) = (answer(&here, &step).await, answer(&there, &step).await);
        assert_eq!(seen, expected, "step {n}: app {} {step:?}", apps[which]);
    }
    together.stop().await;
    for site in alone {
        site.stop().await;
    }
}

#[tokio::test]
async fn what_is_said_in_one_app_is_heard_by_nobody_of_the_other() {
    let site = Site::start_with(&setup()).await;
    let theirs = Api::of(site.running.internal, OTHER);
    site.room("show").await;
    let made = json!({"Type": "AVChatRoom", "Name": "n", "GroupId": "show"});
    theirs.ok("group_open_http_svc/create_group", &made).await;
    let anna = site.person("anna").await;
    let ours = anna.client.enter("show").await.unwrap();
    let mut login = Login::new("anna", OVER);
    login.app = OTHER;
    let mut other = login.connect(&site.running).await;
    let _there = other.client.enter("show").await.unwrap();
    other.rest();

    let say = |said: &str| json!({"GroupId": "show", "Random": 1, "MsgBody": text(said)});
    ours.send_text("secret").await.unwrap();
    for (path, body) in everything() {
        site.api.ok(path, &body).await;
    }
    let mut backend = site.running.backend().await;
    let text_of = |said: &str| Text { text: said.into() };
    let push = PushToRoomRequest {
        sdk_app_id: OTHER,
        room_id: "show".into(),
        content: Some(push_to_room_request::Content::Text(text_of("by gRPC"))),
        ..PushToRoomRequest::default()
    };
    backend.push_to_room(push).await.unwrap();
    theirs
        .ok("group_open_http_svc/send_group_msg", &say("mark"))
        .await;
    other
        .client
        .room("show")
        .send_text("still here")
        .await
        .unwrap();
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("still here") {
        heard.push(other.until(said).await);
    }
    assert_eq!(heard, ["by gRPC", "mark", "still here"]);
    site.stop().await;
}

#[tokio::test]
async fn the_room_service_of_one_app_shows_nothing_of_the_other() {
    let site = Site::start_with(&setup()).await;
    let tls = connector(&site.certificate(), None);
    let public = site.running.public;
    let call = async |path: &str, query: String, body: Value| -> Value {
        let stream = secured(&tls, public).await.unwrap();
        let target = format!("/weapp/live_room/{path}?{query}");
        let response = post(stream, &target, body.to_string().as_bytes()).await;
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{response}"))
    };
    let login = async |app: u32| -> String {
        let sig = sig(app, "anna");
        let query = format!("sdkAppID={app}&accountType=0&userID=anna&userSig={sig}");
        let answer = call("login", query, json!({})).await;
        format!("userID=anna&token={}", answer["token"].as_str().unwrap())
    };
    let (ours, theirs) = (login(APP).await, login(OTHER).await);
    let pusher = json!({
        "userID": "anna", "roomID": "show", "roomInfo": "ours", "userName": "A",
        "userAvatar": "", "pushURL": "rtmp://x",
    });
    let answer = call("add_pusher", ours.clone(), pusher).await;
    assert_eq!(answer["code"], 0, "{answer}");
    let page = json!({"cnt": 10, "index": 0});
    let list = call("get_room_list", ours, page.clone()).await;
    assert_eq!(list["rooms"].as_array().unwrap().len(), 1, "{list}");
    let list = call("get_room_list", theirs.clone(), page).await;
    assert_eq!(list["rooms"].as_array().unwrap().len(), 0, "{list}");
    let room = json!({"roomID": "show", "userID": "anna"});
    for path in ["get_pushers", "destroy_room", "pusher_heartbeat"] {
        let answer = call(path, theirs.clone(), room.clone()).await;
        assert_ne!(answer["code"], 0, "{path}: {answer}");
    }
    let info = json!({"GroupIdList": ["show"]});
    let info_path = "group_open_http_svc/get_group_info";
    let answer = site.api.ok(info_path, &info).await;
    assert_eq!(answer["GroupInfo"][0]["MemberNum"], 1);
    let theirs = Api::of(site.running.internal, OTHER);
    let answer = theirs.ok(info_path, &info).await;
    assert_eq!(answer["GroupInfo"][0]["ErrorCode"], 10010);
    site.stop().await;
}

/// A text in a room; whatever else happens but who comes and goes, as it is.
fn said(event: &Event) -> Option<String> {
    let Event::Room(room) = event else {
        return Some(format!("{event:?}"));
    };
    match &room.kind {
        RoomEventKind::Presence(_) | RoomEventKind::Digest(_) => None,
        RoomEventKind::Message(message) => match message.content.as_ref() {
            Some(room_message::Content::Text(text)) => Some(text.text.clone()),
            other => Some(format!("{other:?}")),
        },
        other => Some(format!("{other:?}")),
    }
}

/// One command of each kind that somebody would hear of, about the room "show"
/// and the user "anna".
fn everything() -> Vec<Step> {
    let said = json!({"GroupId": "show", "Random": 1, "MsgBody": text("secret")});
    let direct = json!({"To_Account": "anna", "MsgRandom": 1, "MsgBody": text("secret")});
    let attributes = json!({"GroupId": "show", "GroupAttr": [{"key": "k", "value": "v"}]});
    let notice = json!({"GroupId": "show", "Content": "secret"});
    let mute = json!({"GroupId": "show", "Members_Account": ["anna"], "MuteTime": 600});
    let everywhere = json!({"Set_Account": "anna", "GroupmsgNospeakingTime": 600});
    let broadcast = json!({"Random": 1, "MsgBody": text("secret")});
    vec![
        ("group_open_http_svc/send_group_msg", said),
        ("group_open_http_svc/send_group_system_notification", notice),
        ("group_open_http_svc/set_group_attr", attributes),
        ("group_open_http_svc/send_broadcast_msg", broadcast),
        ("group_open_http_svc/forbid_send_msg", mute),
        ("openim/sendmsg", direct),
        ("openconfigsvr/setnospeaking", everywhere),
        ("im_open_login_svc/kick", json!({"UserID": "anna"})),
        (
            "group_open_http_svc/destroy_group",
            json!({"GroupId": "show"}),
        ),
    ]
}
