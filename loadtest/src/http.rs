//! One HTTP/1.1 GET, enough for health and metrics of the internal port.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most bytes of an answer.
const MAX_ANSWER: u64 = 8 << 20;

/// Most time for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Gets `path` from `addr`: the status and the body.
///
/// # Errors
/// When nobody answers in time, or what answers is not HTTP.
pub(crate) async fn get(addr: SocketAddr, path: &str) -> Result<(u16, String)> {
    let answer = tokio::time::timeout(TIMEOUT, exchange(addr, path));
    let answer = answer.await.context("no answer within 5 s")??;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("not an HTTP answer")?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .context("not an HTTP/1.1 status")?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Ok((
        status,
        if chunked {
            join_chunks(body)?
        } else {
            body.to_owned()
        },
    ))
}

async fn exchange(addr: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer)?)
}

fn join_chunks(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (size, tail) = rest.split_once("\r\n").context("chunk without a size")?;
        let size = usize::from_str_radix(size.trim(), 16).context("chunk size")?;
        if size == 0 {
            return Ok(body);
        }
        ensure!(tail.is_char_boundary(size), "chunk shorter than it says");
        body.push_str(&tail[..size]);
        rest = tail[size..]
            .strip_prefix("\r\n")
            .context("chunk without an end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(
            join_chunks("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap(),
            "abcde"
        );
        assert!(join_chunks("9\r\nabc\r\n").is_err());
    }
}
