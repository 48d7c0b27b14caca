//! Backends are told over real HTTP.
//!
//! The property: whatever a backend answers, each event reaches it in order
//! per room with a signature that verifies, the same id and the same bytes in
//! every attempt, until it says 2xx; and what was not settled when the gateway
//! stopped is told by the next one.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

mod backend;
mod gateway;

use std::path::Path;

use axum::http::StatusCode;
use livegate::auth::SecretText;
use livegate::callback::tell::{self, Event, Site};
use livegate::callback::{AppCallback, CallbackConfig, Delivery, vendor_sign};
use livegate::clock::Unix;
use livegate::event::Origin;
use livegate::id::RoomId;
use tempfile::TempDir;

use crate::backend::{Answer, Backend};
use crate::gateway::{APP, Gateway, app, config, live, url};

#[tokio::test]
async fn an_event_is_told_until_2xx_signed_anew_with_the_same_bytes() {
    let answers = [
        Answer::Status(500),
        Answer::Busy,
        Answer::Redirect,
        Answer::BreakOff,
        Answer::Status(204),
    ];
    let (mut backend, address) = Backend::serve(answers).await;
    let gateway = Gateway::start(&TempDir::new().unwrap(), &url(address));
    gateway.tell_start("demo", 1);
    let first = backend.told().await;
    assert_eq!(first.event_id, format!("{}:started", live(1)));
    for _ in 0..4 {
        let again = backend.told().await;
        assert_eq!(again.event_id, first.event_id);
        assert_eq!(again.body, first.body);
    }
    gateway.tell_start("demo", 2);
    let next = backend.told().await;
    assert_eq!(next.event_id, format!("{}:started", live(2)));
    gateway.stop().await;
}

#[tokio::test]
async fn the_vendor_s_form_says_in_its_url_what_it_is_and_signs_each_attempt() {
    let answers = [Answer::Status(500), Answer::Status(200)];
    let (mut backend, address) = Backend::serve(answers).await;
    let url = format!("{}?own=1", url(address));
    let config = CallbackConfig {
        apps: vec![AppCallback {
            token: Some(SecretText::new("xxxxyyyy".to_owned())),
            ..app(&url)
        }],
        ..config(&url)
    };
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::open(&dir, config, dir.path());
    let event = Event {
        app: APP,
        id: "2a:1".to_owned(),
        time: Unix(1_000),
        origin: Origin::Api,
    };
    let room = RoomId::new("demo").unwrap();
    let site = Site {
        room: &room,
        kind: "",
    };
    gateway.submit(tell::destroyed(event, &site, "anna", "show"));
    let (first, again) = (backend.told().await, backend.told().await);
    assert_eq!(first.body, again.body);
    for told in [first, again] {
        let (unsigned, signed) = told.query.split_once("&Sign=").unwrap();
        let expected = "own=1&SdkAppid=7&CallbackCommand=Group.CallbackAfterGroupDestroyed\
                        &contenttype=json&ClientIP=127.0.0.1&OptPlatform=RESTAPI";
        assert_eq!(unsigned, expected);
        let (sign, time) = signed.split_once("&RequestTime=").unwrap();
        let token = secrecy::SecretString::from("xxxxyyyy");
        assert_eq!(sign, vendor_sign(&token, time.parse().unwrap()));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_room_hears_of_its_start_before_its_end_and_rooms_do_not_wait_for_each_other() {
    let (mut backend, address) = Backend::serve([]).await;
    backend.shared.poison("poisoned");
    let gateway = Gateway::start(&TempDir::new().unwrap(), &url(address));
    gateway.tell_start("poisoned", 100);
    for number in 0..20 {
        let room = format!("room{number}");
        gateway.tell_start(&room, number);
        gateway.tell_end(&room, number);
    }
    let mut told = Vec::new();
    while told.len() < 40 {
        let event = backend.told().await;
        if event.room != "poisoned" {
            told.push(event.event_id);
        }
    }
    for number in 0..20 {
        let at = |what: &str| {
            let id = format!("{}:{what}", live(number));
            told.iter().position(|told| *told == id).unwrap()
        };
        assert!(at("started") < at("ended"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_not_settled_is_told_by_the_next_process_under_the_same_id() {
    let (mut backend, address) = Backend::serve([]).await;
    backend.shared.poison("demo");
    let dir = TempDir::new().unwrap();
    let gateway = Gateway::start(&dir, &url(address));
    gateway.tell_start("demo", 1);
    gateway.tell_end("demo", 1);
    let refused = backend.told().await;
    gateway.stop().await;
    backend.shared.poison("nobody");
    let gateway = Gateway::start(&dir, &url(address));
    let started = backend.told_other_than(StatusCode::BAD_GATEWAY).await;
    let ended = backend.told().await;
    assert_eq!(started.event_id, refused.event_id);
    assert_eq!(started.body, refused.body);
    assert_eq!(ended.event_id, format!("{}:ended", live(1)));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_without_an_end_holds_nothing_up() {
    let answers = [Answer::Endless, Answer::Status(200)];
    let (mut backend, address) = Backend::serve(answers).await;
    let gateway = Gateway::start(&TempDir::new().unwrap(), &url(address));
    gateway.tell_start("demo", 1);
    gateway.tell_end("demo", 1);
    assert!(backend.told().await.event_id.ends_with(":started"));
    assert!(backend.told().await.event_id.ends_with(":ended"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_backend_over_https_is_told_only_when_its_certificate_is_trusted() {
    let dir = TempDir::new().unwrap();
    let (mut backend, address, certificate) = Backend::serve_tls().await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.path().join("good.pem"), certificate).unwrap();
    std::fs::write(dir.path().join("other.pem"), other.cert.pem()).unwrap();
    let url = format!("https://localhost:{}/hook", address.port());
    for (file, trusted) in [("other.pem", false), ("good.pem", true)] {
        let config = CallbackConfig {
            apps: vec![AppCallback {
                ca_file: Some(file.into()),
                ..app(&url)
            }],
            ..config(&url)
        };
        let store = TempDir::new().unwrap();
        let gateway = Gateway::open(&store, config, dir.path());
        gateway.tell_start("demo", 1);
        if trusted {
            assert!(backend.told().await.event_id.ends_with(":started"));
        } else {
            backend.refused_handshake().await;
        }
        gateway.stop().await;
    }
}

#[test]
fn a_wrong_configuration_is_refused_by_the_name_of_its_key() {
    let secret = |text: &str| SecretText::new(text.to_owned());
    let wrong = [
        (
            "url",
            AppCallback {
                url: "ftp://x/".into(),
                ..app("")
            },
        ),
        (
            "url",
            AppCallback {
                url: "hook".into(),
                ..app("")
            },
        ),
        (
            "sdk_app_id",
            AppCallback {
                sdk_app_id: 0,
                ..app("http://x/")
            },
        ),
        (
            "secrets",
            AppCallback {
                secrets: vec![],
                ..app("http://x/")
            },
        ),
        (
            "secrets",
            AppCallback {
                secrets: vec![secret("short")],
                ..app("http://x/")
            },
        ),
        (
            "ca_file",
            AppCallback {
                ca_file: Some("gone.pem".into()),
                ..app("https://x/")
            },
        ),
    ];
    for (key, app) in wrong {
        let config = CallbackConfig {
            apps: vec![app],
            ..CallbackConfig::default()
        };
        let error = Delivery::open(&config, Path::new("/")).unwrap_err();
        assert_eq!(error.key, format!("apps[0].{key}"));
    }
    let config = CallbackConfig {
        apps: vec![app("http://x/"), app("http://y/")],
        ..CallbackConfig::default()
    };
    let error = Delivery::open(&config, Path::new("/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "apps[1].sdk_app_id: the app is there twice"
    );
}
