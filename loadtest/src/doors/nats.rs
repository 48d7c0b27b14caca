//! NATS request and reply over plain TCP, by its text protocol.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{PAYLOAD, Seen};
use crate::clock::monotonic;
use crate::compare::ran_us;
use crate::dice::Dice;
use crate::gateway::free_port;

/// A server that runs; killed when it is dropped.
pub(super) struct Nats {
    child: Child,
    addr: SocketAddr,
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one with a core for itself.
pub(super) fn start() -> Result<Nats> {
    let addr = free_port(&mut Dice::new(13))?;
    let child = Command::new("nats-server")
        .args(["-a", &addr.ip().to_string(), "-p", &addr.port().to_string()])
        .env("GOMAXPROCS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("nats-server (apt-get install -y --no-install-recommends nats-server)")?;
    Ok(Nats { child, addr })
}

impl Nats {
    /// Asks for `seconds` with `parallel` requests under way, each on its own
    /// connection; one connection answers them all.
    pub(super) async fn play(self, parallel: usize, seconds: u64) -> Result<Seen> {
        let mut replier = self.connect().await?;
        replier.write_all(b"SUB svc 1\r\nPING\r\n").await?;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { reply(replier).await.map(|()| 0) });
        let pid = self.child.id();
        let (begun, before) = (monotonic(), ran_us(pid)?);
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut askers = tokio::task::JoinSet::new();
        for asker in 0..parallel {
            let stream = self.connect().await?;
            askers.spawn(ask(stream, asker, end));
        }
        let mut calls = 0;
        while let Some(done) = askers.join_next().await {
            calls += done??;
        }
        Ok(Seen {
            name: "NATS request-reply",
            calls,
            seconds: (monotonic() - begun) as f64 / 1e6,
            cpu_us: ran_us(pid)?.saturating_sub(before),
        })
    }

    async fn connect(&self) -> Result<BufReader<TcpStream>> {
        let until = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match TcpStream::connect(self.addr).await {
                Ok(stream) => break stream,
                Err(error) => ensure!(Instant::now() < until, "nats-server: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let mut info = String::new();
        stream.read_line(&mut info).await?;
        let connect = b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
        stream.write_all(connect).await?;
        Ok(stream)
    }
}

/// Answers until the server is gone.
async fn reply(mut stream: BufReader<TcpStream>) -> Result<()> {
    while let Some((subject, _)) = message(&mut stream).await? {
        let answer = format!("PUB {subject} 2\r\nok\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

async fn ask(mut stream: BufReader<TcpStream>, asker: usize, end: Instant) -> Result<u64> {
    let inbox = format!("SUB inbox.{asker} 1\r\n");
    stream.write_all(inbox.as_bytes()).await?;
    let payload = "x".repeat(PAYLOAD);
    let request = format!("PUB svc inbox.{asker} {PAYLOAD}\r\n{payload}\r\n");
    let mut calls = 0;
    while Instant::now() < end {
        stream.write_all(request.as_bytes()).await?;
        message(&mut stream).await?.context("nats-server closed")?;
        calls += 1;
    }
    Ok(calls)
}

/// The next message: where to answer, and its length; none at the end.
async fn message(stream: &mut BufReader<TcpStream>) -> Result<Option<(String, usize)>> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["PING"] => stream.write_all(b"PONG\r\n").await?,
            ["MSG", _, _, rest @ ..] => {
                let (length, subject) = rest.split_last().context("a message's length")?;
                let length: usize = length.parse()?;
                let mut body = vec![0; length + 2];
                stream.read_exact(&mut body).await?;
                let subject = subject.first().copied().unwrap_or_default();
                return Ok(Some((subject.to_owned(), length)));
            }
            _ => {}
        }
    }
}
