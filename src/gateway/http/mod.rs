//! HTTP on the public port: the RoomService door.
//!
//! A client that offers ALPN `http/1.1` in place of `livegate/1` is served here,
//! under the public limits: it had a handshake's place, it counts for its
//! address, its requests are bounded in size and time.
//!
//! [`stream`] makes bytes of the same TLS that carries frames, [`service`] reads
//! requests and writes answers, [`lobby`] holds who pushes where. What is done
//! in a room is done by actions, as for everybody else.

mod answer;
mod config;
mod lobby;
mod pushers;
mod service;
mod stream;
mod tokens;

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use config::RoomServiceConfig;
pub use lobby::{Lobby, Signer};

use crate::shard::carrier::Carrier;
use crate::shard::io::FrameIo;

/// The ALPN protocol name of HTTP.
pub(crate) const ALPN: &[u8] = b"http/1.1";

/// Most bytes of a request's head.
const MAX_HEAD: usize = 16 << 10;

/// Serves requests of one connection until it is idle for too long, was used for
/// long enough, or the gateway stops.
pub(crate) async fn serve<C: Carrier>(io: FrameIo<C>, lobby: Arc<Lobby>, stop: CancellationToken) {
    let config = lobby.config().clone();
    let router = service::router(lobby);
    let service = service_fn(move |request| router.clone().oneshot(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_deadline)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream::Bytes::new(io)), service);
    let mut connection = pin!(connection);
    let mut lifetime = pin!(tokio::time::sleep(config.connection_lifetime));
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "an HTTP connection failed");
                }
                return;
            }
            () = stop.cancelled(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = lifetime.as_mut(), if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
