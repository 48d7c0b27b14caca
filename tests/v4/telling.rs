//! What a backend is told of what it did itself by this API, and of what its
//! users did.
//!
//! The property: the URL says from where it came, the body who did it, and the
//! numbers of a message are those of the call.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Uri;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::api::{Site, text};
use crate::running::{self, Setup};

/// A backend that takes everything.
struct Hook {
    address: SocketAddr,
    told: mpsc::Receiver<(Value, String)>,
}

impl Hook {
    async fn serve() -> Self {
        let (tell, told) = mpsc::channel(100);
        let hear = move |uri: Uri, body: Bytes| {
            let tell = tell.clone();
            async move {
                let query = uri.query().unwrap_or_default().to_owned();
                let body = serde_json::from_slice(&body).unwrap();
                tell.send((body, query)).await.unwrap();
            }
        };
        let router = axum::Router::new().route("/hook", axum::routing::post(hear));
        let address = running::serve(router).await;
        Self { address, told }
    }

    /// A gateway that tells it of this.
    async fn site(&self, callback: &'static str) -> Site {
        let setup = Setup {
            hook: Some(self.address),
            callback,
            ..Setup::default()
        };
        Site::start_with(&setup).await
    }

    /// The body and the query of the next event, which must be this one.
    async fn told(&mut self, command: &str) -> (Value, String) {
        let told = tokio::time::timeout(Duration::from_secs(30), self.told.recv());
        let (body, query) = told.await.expect("nothing was told").unwrap();
        assert_eq!(body["CallbackCommand"], command, "{body}");
        (body, query)
    }
}

#[tokio::test]
async fn a_message_of_an_admin_names_the_admin_and_its_own_numbers() {
    let mut hook = Hook::serve().await;
    let tell = r#"tell = ["Group.CallbackAfterSendMsg", "C2C.CallbackAfterSendMsg"]"#;
    let site = hook.site(tell).await;
    site.room("show").await;
    let said = json!({
        "GroupId": "show", "Random": 4_294_967_295_u32, "MsgBody": text("hi"),
        "From_Account": "jared",
    });
    let send = "group_open_http_svc/send_group_msg";
    let answer = site.api.ok(send, &said).await;
    let (told, query) = hook.told("Group.CallbackAfterSendMsg").await;
    assert_eq!(told["From_Account"], "jared");
    assert_eq!(told["Operator_Account"], "administrator");
    assert_eq!(told["Random"], 4_294_967_295_u32);
    assert_eq!(told["MsgSeq"], answer["MsgSeq"]);
    assert!(query.contains("OptPlatform=RESTAPI"), "{query}");
    let said = json!({
        "To_Account": "anna", "MsgSeq": 9, "MsgRandom": 7, "MsgBody": text("hi"),
        "From_Account": "jared",
    });
    let answer = site.api.ok("openim/sendmsg", &said).await;
    let (told, _) = hook.told("C2C.CallbackAfterSendMsg").await;
    assert_eq!(
        (&told["MsgSeq"], &told["MsgRandom"]),
        (&json!(9), &json!(7))
    );
    assert_eq!(told["MsgKey"], answer["MsgKey"]);
    site.stop().await;
}

#[tokio::test]
async fn a_room_that_is_made_or_destroyed_says_from_where() {
    let mut hook = Hook::serve().await;
    let tell = r#"tell = ["Group.CallbackAfterCreateGroup", "Group.CallbackAfterGroupDestroyed"]"#;
    let site = hook.site(tell).await;
    let anna = site.person("anna").await;
    anna.client.create_room("hers", "").await.unwrap();
    let (told, query) = hook.told("Group.CallbackAfterCreateGroup").await;
    assert_eq!(told["Operator_Account"], "anna");
    assert!(query.contains("OptPlatform=Linux"), "{query}");
    let stage = anna.client.enter("hers").await.unwrap();
    stage.destroy().await.unwrap();
    let (_, query) = hook.told("Group.CallbackAfterGroupDestroyed").await;
    assert!(query.contains("OptPlatform=Linux"), "{query}");
    let made = json!({
        "Type": "AVChatRoom", "Name": "n", "GroupId": "show", "Owner_Account": "anna",
    });
    site.api.ok("group_open_http_svc/create_group", &made).await;
    let (told, query) = hook.told("Group.CallbackAfterCreateGroup").await;
    assert_eq!(told["Operator_Account"], "administrator");
    assert_eq!(told["Owner_Account"], "anna");
    assert!(query.contains("OptPlatform=RESTAPI"), "{query}");
    let room = json!({"GroupId": "show"});
    site.api
        .ok("group_open_http_svc/destroy_group", &room)
        .await;
    let (_, query) = hook.told("Group.CallbackAfterGroupDestroyed").await;
    assert!(query.contains("OptPlatform=RESTAPI"), "{query}");
    site.stop().await;
}

#[tokio::test]
async fn a_room_that_was_changed_says_who_changed_it() {
    let mut hook = Hook::serve().await;
    let site = hook
        .site(r#"tell = ["Group.CallbackAfterGroupInfoChanged"]"#)
        .await;
    site.room("show").await;
    let renamed = json!({"GroupId": "show", "Name": "late show"});
    let modify = "group_open_http_svc/modify_group_base_info";
    site.api.ok(modify, &renamed).await;
    let (told, query) = hook.told("Group.CallbackAfterGroupInfoChanged").await;
    assert_eq!(told["Operator_Account"], "administrator");
    assert_eq!(told["Name"], "late show");
    assert!(query.contains("OptPlatform=RESTAPI"), "{query}");
    site.stop().await;
}
