//! Apps that speak the vendor's RoomService over HTTPS on the public port, seen by
//! apps that speak natively.

use std::sync::Arc;
use std::time::Duration;

use livegate_client::wire::EndReason;
use livegate_client::{RoomEventKind, TransportPreference};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::people::{Login, Person};
use crate::running::{APP, CERT, Running, Setup};

/// What a mini program has.
struct MiniProgram {
    http: reqwest::Client,
    base: String,
    user: &'static str,
    token: String,
}

fn http(dir: &TempDir) -> reqwest::Client {
    let pem = std::fs::read(dir.path().join(CERT)).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut tls = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let client = reqwest::Client::builder().http1_only();
    client.tls_backend_preconfigured(tls).build().unwrap()
}

fn with_query(url: String, query: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    format!("{url}?{}", text.extend_pairs(query).finish())
}

impl MiniProgram {
    async fn login(running: &Running, dir: &TempDir, user: &'static str) -> Self {
        let sig = Login::new(user, TransportPreference::Tls).sig();
        let mut program = Self {
            http: http(dir),
            base: format!("https://localhost:{}/weapp", running.public.port()),
            user,
            token: String::new(),
        };
        let answer = program.log_in_with(&sig).await;
        assert_eq!(answer["code"], 0, "{answer}");
        program.token = answer["token"].as_str().unwrap().to_owned();
        program
    }

    async fn log_in_with(&self, sig: &str) -> Value {
        let url = format!("{}/live_room/login", self.base);
        let app = APP.to_string();
        let query = [
            ("sdkAppID", app.as_str()),
            ("accountType", "0"),
            ("userID", self.user),
            ("userSig", sig),
        ];
        let request = self.http.post(with_query(url, &query));
        read(request.send().await.unwrap()).await
    }

    /// A call with the caller's token.
    async fn call(&self, path: &str, body: Value) -> Value {
        let url = format!("{}/{path}", self.base);
        let query = [("userID", self.user), ("token", self.token.as_str())];
        let request = self.http.post(with_query(url, &query));
        let request = request.body(body.to_string());
        read(request.send().await.unwrap()).await
    }

    async fn push_in(&self, room: &str) -> Value {
        let body = json!({
            "userID": self.user, "roomID": room, "roomInfo": "an evening",
            "userName": self.user.to_uppercase(), "userAvatar": "", "pushURL": "rtmp://here/a",
        });
        self.call("live_room/add_pusher", body).await
    }
}

async fn read(response: reqwest::Response) -> Value {
    assert_eq!(response.status(), 200);
    let bytes = response.bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn viewer(running: &Running) -> Person {
    Login::new("viewer", TransportPreference::Tls)
        .connect(running)
        .await
}

const QUICK: Setup = Setup {
    sections: "[room_service]\nallowance = \"1s\"\nsweep_every = \"100ms\"\nidle_room = \"1s\"\n\
               [rooms]\ngrace = \"500ms\"\n",
    engine: "",
    app: "",
    hook: None,
    shop: None,
    callback: "",
};

#[tokio::test]
async fn pushers_over_http_are_seen_by_native_clients() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let host = MiniProgram::login(&running, &dir, "anna").await;
    let made = json!({ "userID": "anna", "roomInfo": "an evening" });
    let made = host.call("live_room/create_room", made).await;
    let room = made["roomID"].as_str().unwrap().to_owned();
    let mut viewer = viewer(&running).await;
    viewer.client.enter(room.clone()).await.unwrap();

    assert_eq!(host.push_in(&room).await["code"], 0);
    let started = viewer
        .room(|kind| match kind {
            RoomEventKind::LiveStarted { started, .. } => started.host.clone(),
            _ => None,
        })
        .await;
    assert_eq!(started.user_id, "anna");
    assert_eq!(started.profile.unwrap().nick, "ANNA");

    let guest = MiniProgram::login(&running, &dir, "ben").await;
    assert_eq!(guest.push_in(&room).await["code"], 0);
    let joined = |kind: &RoomEventKind| match kind {
        RoomEventKind::Publisher(told) => Some((told.joined, told.user.clone()?.user_id)),
        _ => None,
    };
    assert_eq!(viewer.room(joined).await, (true, "ben".to_owned()));
    let notice = |kind: &RoomEventKind| match kind {
        RoomEventKind::Notice(notice) => Some(notice.content.clone()),
        _ => None,
    };
    let notice = viewer.room(notice).await;
    assert_eq!(notice, r#"{"cmd":"notifyPusherChange","data":""}"#);

    let list = guest.call("live_room/get_room_list", json!({"cnt": 10, "index": 0}));
    let list = list.await;
    assert_eq!(list["rooms"][0]["roomID"], room.as_str());
    assert_eq!(list["rooms"][0]["pushers"][1]["userID"], "ben");
    let beat = json!({ "userID": "ben", "roomID": room });
    let beat = guest.call("live_room/pusher_heartbeat", beat).await;
    assert_eq!(beat["code"], 0);

    let stop = json!({ "userID": "ben", "roomID": room });
    guest.call("live_room/delete_pusher", stop).await;
    assert_eq!(viewer.room(joined).await, (false, "ben".to_owned()));
    let stop = json!({ "userID": "anna", "roomID": room });
    assert_eq!(host.call("live_room/delete_pusher", stop).await["code"], 0);
    viewer
        .room(|kind| matches!(kind, RoomEventKind::LiveEnded { .. }).then_some(()))
        .await;
    viewer
        .room(|kind| matches!(kind, RoomEventKind::Destroyed(_)).then_some(()))
        .await;
}

#[tokio::test]
async fn a_host_whose_heartbeats_stop_is_away_and_then_the_live_ends_once() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &QUICK).await;
    let mut viewer = viewer(&running).await;
    let host = MiniProgram::login(&running, &dir, "anna").await;
    let made = json!({ "userID": "anna", "roomID": "show", "roomInfo": "" });
    host.call("live_room/create_room", made).await;
    viewer.client.enter("show").await.unwrap();
    assert_eq!(host.push_in("show").await["code"], 0);
    viewer
        .room(|kind| matches!(kind, RoomEventKind::HostAway { .. }).then_some(()))
        .await;
    let reason = viewer
        .room(|kind| match kind {
            RoomEventKind::LiveEnded { ended, .. } => Some(ended.reason()),
            _ => None,
        })
        .await;
    assert_eq!(reason, EndReason::HostCrashed);
    // Nobody pushes any more: the room goes, too.
    viewer
        .room(|kind| matches!(kind, RoomEventKind::Destroyed(_)).then_some(()))
        .await;
    let beat = json!({ "userID": "anna", "roomID": "show" });
    let beat = host.call("live_room/pusher_heartbeat", beat).await;
    assert_eq!(beat["code"], 3);
}

#[tokio::test]
async fn what_is_wrong_has_its_code() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let anna = MiniProgram::login(&running, &dir, "anna").await;
    assert_eq!(anna.log_in_with("no signature").await["code"], 7);
    let stolen = MiniProgram {
        http: http(&dir),
        base: anna.base.clone(),
        user: "ben",
        token: anna.token.clone(),
    };
    assert_eq!(stolen.push_in("show").await["code"], 7);
    let other = json!({ "userID": "ben", "roomID": "show" });
    let as_other = anna.call("live_room/add_pusher", other).await;
    assert_eq!(as_other["code"], 7);
    let nowhere = json!({ "userID": "anna", "roomID": "nowhere" });
    let beat = anna.call("live_room/pusher_heartbeat", nowhere.clone());
    assert_eq!(beat.await["code"], 3);
    let merge = anna.call("live_room/merge_stream", nowhere).await;
    assert_eq!(merge["code"], 8);
    let none = anna.call("live_room/get_pushers", json!({})).await;
    assert_eq!(none["code"], 2);
    anna.push_in("show").await;
    let kind = json!({ "userID": "anna", "roomID": "show" });
    let kind = anna.call("multi_room/pusher_heartbeat", kind).await;
    assert_eq!(kind["code"], 3);

    let url = format!("{}/live_room/get_pushers", anna.base);
    let query = [("userID", "anna"), ("token", anna.token.as_str())];
    let url = with_query(url, &query);
    let text = anna.http.post(&url).body("no json");
    assert_eq!(text.send().await.unwrap().status(), 415);
    let long = anna.http.post(&url).body(vec![b' '; 70_000]);
    assert_eq!(long.send().await.unwrap().status(), 413);
    let get = anna.http.get(&url);
    assert_eq!(get.send().await.unwrap().status(), 405);
    let info = format!("{}/utils/get_login_info", anna.base);
    // Only in development.
    assert_eq!(anna.http.get(info).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_room_has_so_many_places_and_an_audience() {
    let dir = TempDir::new().unwrap();
    let running = Running::start(&dir, &Setup::default()).await;
    let [anna, ben, cleo] = ["anna", "ben", "cleo"];
    let anna = MiniProgram::login(&running, &dir, anna).await;
    let ben = MiniProgram::login(&running, &dir, ben).await;
    let cleo = MiniProgram::login(&running, &dir, cleo).await;
    let push = |user: &str| json!({ "userID": user, "roomID": "two", "userName": user });
    for (person, code) in [(&anna, 0), (&ben, 0), (&cleo, 5001)] {
        let answer = person
            .call("double_room/add_pusher", push(person.user))
            .await;
        assert_eq!(answer["code"], code, "{answer}");
    }
    let listed = json!({ "userID": "cleo", "roomID": "two", "userInfo": "hi" });
    let listed = cleo.call("double_room/add_audience", listed).await;
    assert_eq!(listed["audiences"][0]["userID"], "cleo");
    let field = json!({ "roomID": "two", "fieldName": "likes", "operation": "inc" });
    anna.call("double_room/set_custom_field", field.clone())
        .await;
    let fields = anna.call("double_room/set_custom_field", field).await;
    assert_eq!(fields["customInfo"]["likes"], 2);
    let native = viewer(&running).await;
    let room = native.client.enter("two").await.unwrap();
    let snapshot = room.entered().unwrap().room.clone().unwrap();
    assert_eq!(snapshot.attributes.unwrap().attributes[0].value, b"2"[..]);
    assert_eq!(snapshot.publishers.len(), 2);
    tokio::time::timeout(Duration::from_secs(30), running_stops(running))
        .await
        .expect("stops with pushers in it");
}

async fn running_stops(running: Running) {
    running.stop();
    running.stopped().await;
}
