//! What the README tells a newcomer to do, done: the gateway in development
//! mode, a watcher, a host, each a process; the host is killed and stays away,
//! is killed and comes back; the gateway is told to stop.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::processes::Process;

/// `serve --dev` on free ports, and where it listens.
fn serve(dir: &Path) -> (Process, SocketAddr) {
    let args = [
        "--public",
        "127.0.0.1:0",
        "--internal",
        "127.0.0.1:0",
        "--data",
        "state",
    ];
    let gateway = Process::start(dir, &[&["serve", "--dev"], &args[..]].concat());
    let addr = gateway.address();
    (gateway, addr)
}

#[test]
fn a_newcomer_kills_the_host_and_sees_the_live_end() {
    let dir = TempDir::new().unwrap();
    let (gateway, addr) = serve(dir.path());
    assert!(dir.path().join("certs/livegate.pem").exists());
    assert!(dir.path().join("state").is_dir());
    let addr = addr.to_string();
    let join = ["--room", "demo", "--addr", &addr, "--json"];
    let watcher = Process::start(dir.path(), &[&["watch"], &join[..]].concat());
    watcher.object("entered");
    let host = || {
        Process::start(
            dir.path(),
            &[&["host", "--grace", "3s"], &join[..]].concat(),
        )
    };

    let mut killed = host();
    let started = watcher.object("live_started");
    killed.types("good evening");
    killed.types("/like 5");
    assert_eq!(watcher.object("message")["text"], "good evening");
    assert_eq!(watcher.object("totals")["likes"], 5);
    drop(killed);
    let away = watcher.object("host_away");
    assert_eq!(away["cause"], "connection_closed");
    assert_eq!(away["live_id"], started["live_id"]);

    let returned = host();
    assert_eq!(watcher.object("host_back")["live_id"], started["live_id"]);
    drop(returned);
    assert_eq!(watcher.object("host_away")["live_id"], started["live_id"]);
    let ended = watcher.object("live_ended");
    assert_eq!(ended["live_id"], started["live_id"]);
    assert_eq!(ended["reason"], "host_crashed");
    assert_eq!(ended["likes"], 5);
    assert_eq!(ended["messages"], 1);
    assert_eq!(
        (&ended["peak_viewers"], &ended["total_viewers"]),
        (&1.into(), &1.into())
    );
    assert!(ended["duration_ms"].as_i64().unwrap() > 0);

    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(watcher.object("go_away")["type"], "go_away");
    assert!(watcher.object("disconnected")["retry_in_ms"].is_number());
}

#[test]
fn development_mode_listens_on_loopback_only() {
    let dir = TempDir::new().unwrap();
    let gateway = Process::start(dir.path(), &["serve", "--dev", "--public", "0.0.0.0:0"]);
    assert_eq!(gateway.ended(), Some(78));
}
