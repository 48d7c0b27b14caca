//! The binary as processes, and the lines that they print.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a line is waited for.
const LIMIT: Duration = Duration::from_secs(30);

/// A process of a test, ended with it, and the lines that it prints.
pub(crate) struct Process {
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
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
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

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("said nothing more")
    }

    /// The next JSON object of a type; others are dropped.
    pub(crate) fn object(&self, kind: &str) -> Value {
        loop {
            let object: Value = serde_json::from_str(&self.line()).unwrap();
            if object["type"] == kind {
                return object;
            }
        }
    }

    pub(crate) fn types(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// Asks it to stop and waits until it has; its exit status.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Waits until it ends by itself; its exit status.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Kills it (kill -9) and waits until it is gone.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Where a gateway listens, as its first line says.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0]
    }

    /// The same, and then its internal port.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let first = self.line();
        let words = first.split(' ');
        let all: Vec<_> = words.filter_map(|word| word.parse().ok()).collect();
        assert!(!all.is_empty(), "no address in {first:?}");
        all
    }
}
