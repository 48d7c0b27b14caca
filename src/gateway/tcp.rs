//! The TCP listener: accepts, counts, and leads each connection in.
//!
//! Invariants: the loop ends with the gateway and for nothing else; when the
//! system has no file left, one kept in reserve is given up to accept and close
//! whoever waits, so that a full table does not become a busy loop; a
//! connection that says nothing takes no handshake's place.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout_at;
use tokio_util::task::TaskTracker;

use super::admission::Seat;
use super::config::ListenConfig;
use super::door::{Door, Stranger};
use crate::shard::adopted::Transport;
use crate::shard::carrier::{NetCarrier, NetDetached, TcpCarrier};
use crate::shard::tls::Tls;
use crate::telemetry::{HandshakeFailure, RefusalCause};

/// Wait after the first error of accepting; doubles with each that follows.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// Longest wait between two attempts to accept.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Connections that are closed unseen at each attempt while the table of files
/// is full: they may try another gateway sooner than their own timeout.
const SHED_AT_ONCE: usize = 32;

/// Where connections come from; a seam for tests of the loop.
pub(crate) trait Accept {
    /// The next connection. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;

    /// The table of files is full: get rid of whoever waits.
    fn shed(&mut self);
}

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listener {
    inner: TcpListener,
    /// Given up for a moment when the table of files is full.
    spare: Option<File>,
}

impl Listener {
    /// Binds `address`. Must be called in a runtime.
    pub(crate) fn bind(address: SocketAddr, config: &ListenConfig) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        if config.send_buffer > 0 {
            // Whoever is accepted inherits it.
            socket.set_send_buffer_size(config.send_buffer as usize)?;
        }
        socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))?;
        Ok(Self {
            inner: TcpListener::from_std(socket.into())?,
            spare: spare(),
        })
    }

    /// The address that was bound.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

impl Accept for Listener {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        self.inner.accept().await
    }

    fn shed(&mut self) {
        if self.spare.take().is_none() {
            // Taken by others when it was given up last.
            self.spare = spare();
            return;
        }
        let listener = socket2::SockRef::from(&self.inner);
        // Accepts into the place of the spare file, and closes at once.
        for _ in 0..SHED_AT_ONCE {
            if listener.accept().is_err() {
                break;
            }
        }
        self.spare = spare();
    }
}

/// Waits between attempts that fail, longer each time.
#[derive(Debug)]
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(FIRST_WAIT)
    }

    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(LAST_WAIT);
        wait
    }
}

/// Accepts until the door stops.
pub(crate) async fn run(
    mut listener: impl Accept,
    door: Arc<Door<NetDetached>>,
    tls: Arc<ServerConfig>,
    tasks: TaskTracker,
) {
    let mut backoff = Backoff::new();
    loop {
        let (seat, accepted) = tokio::select! {
            biased;
            () = door.stop.cancelled() => return,
            next = next(&mut listener, &door) => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff = Backoff::new();
                if let Some(stranger) = let_in(&door, seat, peer) {
                    let (door, tls) = (Arc::clone(&door), Arc::clone(&tls));
                    tasks.spawn(async move { serve(&door, tls, stream, stranger).await });
                }
            }
            // The peer was gone again before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let wait = backoff.next();
                let cause = RefusalCause::AcceptError;
                door.metrics.gateway().refused(Transport::Tls, cause);
                tracing::warn!(%error, wait_ms = wait.as_millis(), "cannot accept");
                if is_out_of_files(&error) {
                    listener.shed();
                }
                tokio::select! {
                    () = door.stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}

/// A seat first: without one nothing is accepted and the kernel's queue fills.
async fn next(
    listener: &mut impl Accept,
    door: &Door<NetDetached>,
) -> (Seat, io::Result<(TcpStream, SocketAddr)>) {
    let seat = door.admission.seat().await;
    (seat, listener.accept().await)
}

fn let_in(door: &Door<NetDetached>, seat: Seat, peer: SocketAddr) -> Option<Stranger> {
    match door.admission.admit(seat, peer.ip()) {
        Ok(pending) => Some(door.stranger(peer, Transport::Tls, pending)),
        Err(cause) => {
            door.metrics.gateway().refused(Transport::Tls, cause);
            None
        }
    }
}

fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

async fn serve(
    door: &Door<NetDetached>,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    stranger: Stranger,
) {
    // Fails only when the peer is gone already.
    let _ = stream.set_nodelay(true);
    let deadline = door.handshake_deadline(stranger.since);
    let readable = tokio::select! {
        biased;
        () = door.stop.cancelled() => return,
        readable = timeout_at(deadline, stream.readable()) => readable,
    };
    if readable.is_err() {
        let cause = HandshakeFailure::Timeout;
        return door
            .metrics
            .gateway()
            .handshake_failed(Transport::Tls, cause);
    }
    let tls = match Tls::new(config) {
        Ok(tls) => tls,
        Err(error) => return tracing::error!(%error, "tls cannot start"),
    };
    let carrier = NetCarrier::Tcp(TcpCarrier::new(stream));
    // Boxed, so that a socket that says nothing does not pay for it.
    Box::pin(door.receive_tls(carrier, tls, stranger)).await;
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    async fn accepted_with(send_buffer: u32) -> usize {
        let config = ListenConfig {
            send_buffer,
            ..ListenConfig::default()
        };
        let mut listener = Listener::bind(([127, 0, 0, 1], 0).into(), &config).unwrap();
        let address = listener.address().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        SockRef::from(&stream).send_buffer_size().unwrap()
    }

    #[tokio::test]
    async fn what_the_kernel_holds_for_a_client_is_bounded() {
        let bounded = accepted_with(65_536).await;
        // Linux doubles it, others do not.
        assert!((65_536..=131_072).contains(&bounded), "{bounded}");
        assert!(accepted_with(0).await > bounded);
    }
}
