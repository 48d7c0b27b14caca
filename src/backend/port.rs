//! The internal port's listener and its connections.
//!
//! Invariant: every connection either gets on with a request within its
//! deadline or is closed, so that the permits that bound them come back.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::config::{BackendConfig, BadBackendConfig};
use super::deadline;
use super::leftover;
use super::tls::{BadInternalTls, Secured};
use crate::telemetry::Metrics;

/// How long to wait after the system gave no socket.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(200);

/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// Why the internal port is not there.
#[derive(Debug, Error)]
pub enum NotBound {
    /// The settings do not allow it.
    #[error(transparent)]
    Config(#[from] BadBackendConfig),
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] BadInternalTls),
    /// The system refuses the address.
    #[error("the internal port cannot listen on {address}")]
    Address {
        /// As configured.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// The bound internal port, not yet serving.
#[derive(Debug)]
pub struct InternalPort {
    listener: TcpListener,
    address: SocketAddr,
    config: BackendConfig,
    tls: Option<Arc<Secured>>,
    reload: Arc<Notify>,
}

impl InternalPort {
    /// Checks the settings and listens. Files of the settings are relative to
    /// `base`.
    ///
    /// # Errors
    /// Settings that cannot be used; an address that the system refuses.
    pub async fn bind(config: &BackendConfig, base: &Path) -> Result<Self, NotBound> {
        config.validate()?;
        let tls = config.tls.as_ref().map(|tls| Secured::open(tls, base));
        let tls = tls.transpose()?.map(Arc::new);
        let address = config.bind;
        let refused = |source| NotBound::Address { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self {
            listener,
            address,
            config: config.clone(),
            tls,
            reload: Arc::default(),
        })
    }

    /// Where it listens; the port is the system's choice when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Notify it to have the certificate files looked at.
    pub fn reload(&self) -> Arc<Notify> {
        Arc::clone(&self.reload)
    }

    /// Serves `routes` until `stop`, then waits for requests in flight, but
    /// not longer than the configured grace. `metrics` count how often the
    /// certificate was read again.
    pub async fn run(self, routes: Router, metrics: Arc<Metrics>, stop: CancellationToken) {
        let connections = TaskTracker::new();
        if let Some(tls) = self.tls.clone() {
            connections.spawn(tls.watch(self.reload, metrics, stop.clone()));
        }
        let permits = Arc::new(Semaphore::new(self.config.max_connections));
        let server = Arc::new(Server {
            protocol: protocol(&self.config),
            routes,
            tls: self.tls,
            header_deadline: self.config.header_deadline,
            request_deadline: self.config.request_deadline,
            max_body_bytes: self.config.max_body_bytes,
            stop: stop.clone(),
        });
        loop {
            let permit = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let Ok(permit) = permit else { break };
            let Some(stream) = accept(&self.listener, &stop).await else {
                break;
            };
            let server = Arc::clone(&server);
            connections.spawn(async move {
                Box::pin(server.receive(stream)).await;
                drop(permit);
            });
        }
        drop(self.listener);
        connections.close();
        let grace = self.config.stop_grace;
        if tokio::time::timeout(grace, connections.wait())
            .await
            .is_err()
        {
            warn!(
                left = connections.len(),
                "internal port: requests cut off at the end of the grace"
            );
        }
    }
}

/// The next connection, or None when it is time to stop. An error of accept
/// never ends the listener.
async fn accept(listener: &TcpListener, stop: &CancellationToken) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Answers are small; a socket that is gone says so when read.
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
            Err(error) => {
                warn!(%error, "internal port: accept failed");
                tokio::time::sleep(ACCEPT_BACK_OFF).await;
            }
        }
    }
}

fn protocol(config: &BackendConfig) -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_deadline)
        .max_buf_size(MAX_HEAD);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams)
        .max_header_list_size(u32::try_from(MAX_HEAD).expect("16 KiB"))
        .keep_alive_interval(config.header_deadline)
        .keep_alive_timeout(config.header_deadline);
    protocol
}

/// What every connection shares.
struct Server {
    protocol: auto::Builder<TokioExecutor>,
    routes: Router,
    tls: Option<Arc<Secured>>,
    header_deadline: Duration,
    request_deadline: Duration,
    max_body_bytes: usize,
    stop: CancellationToken,
}

impl Server {
    /// Serves a connection, after its handshake where there is TLS.
    async fn receive(self: Arc<Self>, stream: TcpStream) {
        let Some(tls) = &self.tls else {
            return self.serve(stream).await;
        };
        let handshake = tokio::time::timeout(self.header_deadline, tls.accept(stream));
        let stopped = self.stop.cancelled();
        let shaken = tokio::select! {
            biased;
            () = stopped => return,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => Box::pin(self.serve(stream)).await,
            Ok(Err(error)) => debug!(%error, "internal port: handshake failed"),
            Err(_) => debug!("internal port: no handshake within the deadline"),
        }
    }

    async fn serve<S>(self: Arc<Self>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let begun = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            begun.store(true, Ordering::Relaxed);
            Arc::clone(&self).answer(request)
        });
        let connection = self
            .protocol
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // hyper's own deadline begins only when it knows which HTTP is spoken.
        let mut first_request = pin!(tokio::time::sleep(self.header_deadline));
        let mut waiting = true;
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "internal port: connection failed");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = first_request.as_mut(), if waiting => {
                    waiting = false;
                    if !begun.load(Ordering::Relaxed) {
                        debug!("internal port: no request within the deadline");
                        return;
                    }
                }
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let is_grpc = deadline::is_grpc(&request);
        let within = deadline::of(&request, self.request_deadline);
        let (request, leftover) = leftover::lend(request.map(Body::new));
        let answer = self.routes.clone().oneshot(request);
        let answer = match within {
            None => answer.await,
            Some(within) => match tokio::time::timeout(within, answer).await {
                Ok(answer) => answer,
                Err(_) => return Ok(deadline::late(is_grpc)),
            },
        };
        leftover.drain(self.max_body_bytes).await;
        answer
    }
}
