//! A receiver in Python hears what livegate tells, and verifies it.
//!
//! The property: what another language computes from the documentation alone
//! agrees with what is sent, for livegate's own form and the vendor's, also
//! while secrets rotate; and what livegate did not sign is refused.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use livegate::auth::SecretText;
use livegate::callback::tell::{self, Event, Site};
use livegate::callback::{AppCallback, CallbackConfig, Delivery, Dispatcher, payload};
use livegate::clock::{Clock, Unix};
use livegate::engine::{Commit, Engine, EngineConfig, OutboxRow, Subject};
use livegate::event::{LiveStarted, Origin};
use livegate::id::{AppId, LiveId, RoomId, UserId};
use livegate::telemetry::Metrics;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const NEW: &str = "the secret that comes next";
const TOKEN: &str = "the vendor's token";

struct Receiver {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Receiver {
    /// `None` where there is no Python.
    fn start(secrets: &str) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receiver/receiver.py");
        let started = Command::new("python3")
            .arg(script)
            .env("LIVEGATE_SECRETS", secrets)
            .env("LIVEGATE_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut process) = started else {
            eprintln!("left out: there is no python3");
            return None;
        };
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Some(Self {
            process,
            lines,
            port,
        })
    }

    fn heard(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?own=1", self.port)
    }
}

#[tokio::test]
async fn python_verifies_what_livegate_tells_and_nothing_else() {
    let Some(mut receiver) = Receiver::start(NEW) else {
        return;
    };
    let url = receiver.url();
    let dir = tempfile::tempdir().unwrap();
    let store = EngineConfig {
        dir: dir.path().to_owned(),
        ..EngineConfig::default()
    };
    let secret = |text: &str| SecretText::new(text.to_owned());
    let config = CallbackConfig {
        apps: vec![AppCallback {
            sdk_app_id: 7,
            url: url.clone(),
            // Python knows the second one only.
            secrets: vec![secret("the secret that goes away"), secret(NEW)],
            token: Some(secret(TOKEN)),
            ..AppCallback::default()
        }],
        ..CallbackConfig::default()
    };
    let (clock, metrics) = (Clock::system(), Metrics::new(1));
    let (engine, _, _outcomes) = Engine::open(&store, clock.clone(), metrics.clone()).unwrap();
    let delivery = Delivery::open(&config, dir.path()).unwrap();
    let dispatcher = Dispatcher::new(engine.outbox(), delivery, config, clock, metrics);
    let stop = CancellationToken::new();
    let running = TaskTracker::new().spawn(dispatcher.run(stop.clone()));
    let room = RoomId::new("an evening").unwrap();
    for row in rows(&room) {
        let commit = Commit {
            subject: Subject::Quiet,
            facts: Vec::new(),
            outbox: vec![row],
            reserve: false,
        };
        engine.submit(commit).unwrap();
    }
    let mut receiver = tokio::task::spawn_blocking(move || {
        let (own, vendor) = (receiver.heard(), receiver.heard());
        assert_eq!(own["body"]["event"], "live_started");
        assert_eq!(own["command"], Value::Null);
        assert_eq!(vendor["command"], "Group.CallbackAfterGroupDestroyed");
        assert_eq!(vendor["body"]["Name"], "an evening");
        for heard in [own, vendor] {
            assert_eq!(
                (&heard["again"], &heard["same"]),
                (&false.into(), &true.into())
            );
        }
        receiver
    })
    .await
    .unwrap();
    stop.cancel();
    running.await.unwrap();
    tokio::task::spawn_blocking(move || engine.close())
        .await
        .unwrap();
    let forged = post_unsigned(receiver.port).await;
    assert!(forged.starts_with("HTTP/1.1 401"), "{forged}");
    receiver.process.kill().unwrap();
}

fn rows(room: &RoomId) -> [OutboxRow; 2] {
    let started = LiveStarted {
        app: AppId(7),
        room: room.clone(),
        live: LiveId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
        host: UserId::new("ännä").unwrap(),
        started: Unix(1_000),
    };
    let event = Event {
        app: AppId(7),
        id: "2a:1".to_owned(),
        time: Unix(2_000),
        origin: Origin::Unknown,
    };
    let site = Site { room, kind: "" };
    let destroyed = tell::destroyed(event, &site, "ännä", "an evening");
    [payload::live_started(&started), destroyed]
}

/// An event that nobody signed; returns the answer's head.
async fn post_unsigned(port: u16) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let now = livegate::clock::unix_now().seconds();
    let request = format!(
        "POST /hook HTTP/1.1\r\nhost: x\r\nconnection: close\r\nlivegate-event-id: e\r\n\
         livegate-timestamp: {now}\r\nlivegate-signature: v1=00\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
