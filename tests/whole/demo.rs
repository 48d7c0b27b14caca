//! What the README tells a newcomer to do, done: the gateway in development
//! mode, a watcher, a host, each a process; the host is killed and stays away,
//! is killed and comes back; the gateway is told to stop.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// A process of a test, ended with it, and the lines that it prints.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_livegate"))
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("said nothing more")
    }

    /// The next JSON object of a type; others are dropped.
    fn object(&self, kind: &str) -> Value {
        loop {
            let object: Value = serde_json::from_str(&self.line()).unwrap();
            if object["type"] == kind {
                return object;
            }
        }
    }

    fn types(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// Asks it to stop and waits until it has; its exit status.
    fn terminate(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

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
    let first = gateway.line();
    let addr = first.split(' ').find_map(|word| word.parse().ok());
    (
        gateway,
        addr.unwrap_or_else(|| panic!("no address in {first:?}")),
    )
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
    let mut gateway = Process::start(dir.path(), &["serve", "--dev", "--public", "0.0.0.0:0"]);
    assert_eq!(gateway.child.wait().unwrap().code(), Some(78));
}
