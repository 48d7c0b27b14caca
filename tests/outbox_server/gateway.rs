//! The server as a process, and what its internal port says.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use livegate_client::Roots;
use livegate_proto::backend::WatchRequest;
use livegate_proto::backend::stream_service_client::StreamServiceClient;
use livegate_proto::backend::watch_response::Event;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::processes::Process;
use crate::running::{APP, CERT, Setup, Site, WithKey, channel};

/// A server that runs.
pub(crate) struct Gateway {
    process: Process,
    pub(crate) site: Site,
    pub(crate) internal: SocketAddr,
}

/// Writes the configuration of a server in `dir`, and its certificate.
pub(crate) fn prepare(dir: &Path, setup: &Setup) {
    let file = setup.file("127.0.0.1:0".parse().unwrap());
    std::fs::write(dir.join("livegate.toml"), file).unwrap();
    assert_eq!(Process::start(dir, &["certs"]).ended(), Some(0));
}

/// Starts a server that nobody waits for.
pub(crate) fn launch(dir: &Path) -> Process {
    Process::start(dir, &["serve"])
}

impl Gateway {
    /// Starts a server with its files in `dir` and its store in `data`.
    pub(crate) fn start(dir: &Path, data: &Path) -> Self {
        let data = data.to_str().unwrap();
        let process = Process::start(dir, &["serve", "--data", data]);
        let addresses = process.addresses();
        let site = Site {
            public: addresses[0],
            roots: Roots::pem_file(dir.join(CERT)).unwrap(),
        };
        Self {
            process,
            site,
            internal: addresses[1],
        }
    }

    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Stops it as planned; its exit status.
    pub(crate) fn terminate(self) -> Option<i32> {
        self.process.terminate()
    }

    /// Whether `/readyz` says that it should be given traffic.
    pub(crate) async fn is_ready(&self) -> bool {
        let answer = ask(self.internal, "GET /readyz", "").await.unwrap();
        let body: Value = serde_json::from_str(&answer).unwrap();
        let ready = body["ready"].as_bool().unwrap();
        assert!(ready || body["faults"]["store"].is_string(), "{body}");
        ready
    }

    /// A metric, by its name and labels as they stand on the page.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let page = ask(self.internal, "GET /metrics", "").await.unwrap();
        let mut lines = page.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let line = line.unwrap_or_else(|| panic!("no metric {name}"));
        line.parse::<f64>().unwrap() as u64
    }

    /// Events of a kind that were let go.
    pub(crate) async fn shed(&self, kind: &str) -> u64 {
        let name = format!("livegate_outbox_shed_total{{kind=\"{kind}\"}}");
        self.metric(&name).await
    }

    /// Event ids of the lives that are recorded as started or ended.
    pub(crate) async fn recorded(&self) -> BTreeSet<String> {
        let channel = channel(self.internal).await;
        let mut streams = StreamServiceClient::with_interceptor(channel, WithKey);
        let request = WatchRequest {
            sdk_app_id: APP,
            cursor: "0".into(),
        };
        let mut watch = streams.watch(request).await.unwrap().into_inner();
        let mut recorded = BTreeSet::new();
        loop {
            match watch.message().await.unwrap().unwrap().event.unwrap() {
                Event::LiveStarted(live) => recorded.insert(format!("{}:started", live.live_id)),
                Event::LiveEnded(live) => recorded.insert(format!("{}:ended", live.live_id)),
                Event::RoomRecorded(_) | Event::RoomGone(_) => false,
                Event::CaughtUp(_) => return recorded,
                Event::Missed(_) => panic!("the journal begins too late"),
            };
        }
    }
}

/// The body of an answer over HTTP/1.1.
pub(crate) async fn ask(address: SocketAddr, what: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{what} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => Ok(body.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
