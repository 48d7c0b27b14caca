//! A business backend of straw that is asked: answers at once, late, or is not
//! there.
//!
//! It has a thread and a runtime of its own. To be down is to drop that runtime:
//! the port refuses and every open connection breaks, as when a process dies.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tokio::runtime::Builder;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::dice::Dice;
use crate::gateway::free_port;
use crate::machine;

/// Allows what it is asked about.
const ALLOWED: &str = r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#;

/// The backend. Goes away when it is dropped.
#[derive(Debug)]
pub(super) struct Backend {
    addr: SocketAddr,
    cpus: Vec<usize>,
    /// Milliseconds from a question to its answer.
    delay: Arc<AtomicU64>,
    up: Option<Up>,
}

#[derive(Debug)]
struct Up {
    stop: DropGuard,
    thread: JoinHandle<Result<()>>,
}

impl Backend {
    /// Picks a port and is down. Its thread is held to `cpus`.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) fn new(dice: &mut Dice, cpus: &[usize]) -> Result<Self> {
        Ok(Self {
            addr: free_port(dice)?,
            cpus: cpus.to_vec(),
            delay: Arc::default(),
            up: None,
        })
    }

    /// Where it is asked.
    pub(super) fn url(&self) -> String {
        format!("http://{}/ask", self.addr)
    }

    /// Answers each question after `delay` from here on.
    ///
    /// # Errors
    /// When it was down and its port is taken.
    pub(super) fn answer_after(&mut self, delay: Duration) -> Result<()> {
        let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay.store(ms, Relaxed);
        if self.up.is_none() {
            self.up = Some(self.open()?);
        }
        Ok(())
    }

    /// Goes down: refuses connections, breaks those that are open.
    ///
    /// # Errors
    /// When it could not serve while it was up.
    pub(super) fn go_down(&mut self) -> Result<()> {
        let Some(Up { stop, thread }) = self.up.take() else {
            return Ok(());
        };
        drop(stop);
        let ended = thread.join();
        ended.map_err(|_| anyhow!("the backend's thread panicked"))?
    }

    fn open(&self) -> Result<Up> {
        let listener = TcpListener::bind(self.addr).context("binding the backend's port")?;
        listener.set_nonblocking(true)?;
        let (delay, cpus) = (Arc::clone(&self.delay), self.cpus.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("backend".to_owned());
        let thread = thread.spawn(move || {
            machine::pin(&cpus)?;
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let router = Router::new().route("/ask", post(answer)).with_state(delay);
                let serve = axum::serve(listener, router).into_future();
                let served = stopped.run_until_cancelled(serve).await;
                served.unwrap_or(Ok(())).context("serving the backend")
            })
        })?;
        Ok(Up {
            stop: stop.drop_guard(),
            thread,
        })
    }
}

async fn answer(State(delay): State<Arc<AtomicU64>>) -> &'static str {
    let delay = delay.load(Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    ALLOWED
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn connect(backend: &Backend) -> std::io::Result<TcpStream> {
        TcpStream::connect(backend.addr).await
    }

    async fn ask(stream: &mut TcpStream) -> String {
        let request = "POST /ask HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let n = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..n]).into_owned()
    }

    #[tokio::test]
    async fn it_answers_goes_down_with_its_connections_and_comes_back() {
        let mut backend = Backend::new(&mut Dice::new(91), &[]).unwrap();
        assert!(connect(&backend).await.is_err());
        for _ in 0..2 {
            backend.answer_after(Duration::ZERO).unwrap();
            let mut stream = connect(&backend).await.unwrap();
            assert!(ask(&mut stream).await.ends_with(ALLOWED));
            backend.go_down().unwrap();
            assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
            assert!(connect(&backend).await.is_err());
        }
    }
}
