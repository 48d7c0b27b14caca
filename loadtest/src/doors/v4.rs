//! Calls of the v4 API over connections that are kept.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{PAYLOAD, room};
use crate::clock::Clock;
use crate::identity::{App, DEV_APP, DEV_KEY};

/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 << 10;

/// Sends messages to rooms for `span` over `parallel` connections; returns how
/// many were accepted.
pub(super) async fn play(door: SocketAddr, parallel: usize, span: Duration) -> Result<u64> {
    let sig = App::new(DEV_APP, DEV_KEY).sign("administrator", Clock::start().unix());
    let path = format!(
        "/v4/group_open_http_svc/send_group_msg?sdkappid={DEV_APP}&identifier=administrator\
         &usersig={sig}&random=1&contenttype=json"
    );
    let end = Instant::now() + span;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..parallel as u64 {
        let path = path.clone();
        callers.spawn(async move { call(door, &path, caller, end).await });
    }
    let mut calls = 0;
    while let Some(done) = callers.join_next().await {
        calls += done??;
    }
    Ok(calls)
}

async fn call(door: SocketAddr, path: &str, caller: u64, end: Instant) -> Result<u64> {
    let stream = TcpStream::connect(door).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let text = "x".repeat(PAYLOAD);
    let mut calls = 0;
    while Instant::now() < end {
        let random = caller << 24 | calls;
        let body = format!(
            "{{\"GroupId\":\"{}\",\"Random\":{random},\"MsgBody\":[{{\"MsgType\":\"TIMTextElem\",\
             \"MsgContent\":{{\"Text\":\"{text}\"}}}}]}}",
            room(random)
        );
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {door}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let answer = read(&mut stream).await?;
        ensure!(answer.contains("\"ErrorCode\":0"), "refused: {answer}");
        calls += 1;
    }
    Ok(calls)
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut length = None;
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line).await? > 0, "the door closed");
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = Some(value.trim().parse::<usize>()?);
        }
    }
    let length = length.context("an answer without its length")?;
    ensure!(length <= MAX_ANSWER, "an answer of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8(body)?)
}
