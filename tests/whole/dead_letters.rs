//! Callbacks that were given up, and what an operator does with them.
//!
//! The property: they are listed without their bodies, told again under their
//! ids when asked for, forgotten when asked for, and all that only with an API
//! key.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use livegate::callback::EVENT_ID;
use livegate_client::TransportPreference;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::people::Login;
use crate::running::{self, API_KEY, Running, Setup};

const AT_ONCE: &str = "[callback]\nfirst_backoff = \"1ms\"\nlongest_backoff = \"1ms\"\n\
                       give_up_after = \"1ms\"";

#[derive(Clone)]
struct Backend {
    is_well: Arc<AtomicBool>,
    told: mpsc::Sender<String>,
}

async fn hook(State(backend): State<Backend>, headers: HeaderMap) -> StatusCode {
    if !backend.is_well.load(Ordering::Relaxed) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let event = headers[EVENT_ID].to_str().unwrap().to_owned();
    backend.told.send(event).await.unwrap();
    StatusCode::OK
}

#[tokio::test]
async fn what_was_given_up_is_listed_told_again_or_forgotten() {
    let (tell, mut told) = mpsc::channel(100);
    let is_well = Arc::new(AtomicBool::new(false));
    let backend = Backend {
        is_well: Arc::clone(&is_well),
        told: tell,
    };
    let router = Router::new()
        .route("/hook", axum::routing::post(hook))
        .with_state(backend);
    let address = running::serve(router).await;
    let dir = TempDir::new().unwrap();
    let setup = Setup {
        sections: AT_ONCE,
        hook: Some(address),
        ..Setup::default()
    };
    let running = Running::start(&dir, &setup).await;
    let url = format!("http://{}", running.internal);
    let host = Login::new("host", TransportPreference::Tls)
        .connect(&running)
        .await;
    host.client.create_room("demo", "").await.unwrap();
    let stage = host.client.enter("demo").await.unwrap();
    let live = stage.start_live("take 1", None).await.unwrap().live_id;
    stage.end_live(&live).await.unwrap();

    let letters = listed(&url, 2).await;
    let ids: Vec<&str> = letters
        .iter()
        .map(|it| it["event_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [format!("{live}:started"), format!("{live}:ended")]);
    assert_eq!(letters[0]["order"], "demo");
    assert_eq!(letters[0]["cause"], "status 500");
    assert!(letters[0].get("body").is_none());

    let place = letters[0]["place"].to_string();
    assert_eq!(lines(&callbacks(&url, &["drop", &place]).await), ["1"]);
    is_well.store(true, Ordering::Relaxed);
    assert_eq!(lines(&callbacks(&url, &["replay", "--all"]).await), ["1"]);
    assert_eq!(told.recv().await.unwrap(), format!("{live}:ended"));
    assert!(listed(&url, 0).await.is_empty());

    let keyless = callbacks_with(&url, "another-key-of-tests", &["list"]).await;
    assert_eq!(keyless.status.code(), Some(1));
    assert!(keyless.stdout.is_empty());
    running.stop();
    running.stopped().await;
}

/// What is listed, once it is so much.
async fn listed(url: &str, count: usize) -> Vec<Value> {
    let wait = async {
        loop {
            let listed = lines(&callbacks(url, &["list"]).await);
            if listed.len() == count {
                return listed;
            }
        }
    };
    let limit = std::time::Duration::from_secs(30);
    let listed = tokio::time::timeout(limit, wait).await.expect("not listed");
    let read = |line: &String| serde_json::from_str(line).unwrap();
    listed.iter().map(read).collect()
}

fn lines(output: &Output) -> Vec<String> {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn callbacks(url: &str, args: &[&str]) -> Output {
    callbacks_with(url, API_KEY, args).await
}

async fn callbacks_with(url: &str, key: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_livegate"));
    command.args(["callbacks", "--url", url]).args(args);
    command.env("LIVEGATE_API_KEY", key);
    let done = tokio::task::spawn_blocking(move || command.output());
    done.await.unwrap().unwrap()
}
