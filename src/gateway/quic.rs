//! The QUIC endpoint: one connection, one bidirectional stream that the client
//! opens, frames as over TCP.
//!
//! Invariants: quinn's defaults, made for bulk transfer, are replaced by
//! windows of a signaling connection; an address that is not proven counts
//! against nobody and, when many handshakes are in flight, must be proven
//! first (Retry); when the gateway is full nothing is sent back at all.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use livegate_proto::client::CloseCode;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, RecvStream, Runtime as _, SendStream, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout_at;
use tokio_util::task::TaskTracker;

use super::admission::Slot;
use super::config::GatewayConfig;
use super::door::{Door, Stranger};
use super::quic_socket::SmallBatches;
use crate::shard::adopted::Transport;
use crate::shard::carrier::{NetCarrier, NetDetached};
use crate::shard::quic::{Closer, QuicCarrier};
use crate::telemetry::{CloseReason, HandshakeFailure, RefusalCause};

/// Bidirectional streams that a client may have open. Only the first is read;
/// the others are room for later versions.
const STREAMS: u32 = 4;

/// Bytes of a stream that a client may send before they are read: one frame of
/// the largest size.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 128 * 1024;

/// Bytes sent and not acknowledged. A frame that does not fit waits in the
/// connection's own limits.
const SEND_WINDOW: u64 = 64 * 1024;

/// A client that can (draft-ietf-quic-ack-frequency) acknowledges every so many
/// packets, or after this time: of a burst of messages one acknowledgement
/// comes back instead of one for every second packet.
const ACK_EVERY: u32 = 10;
const ACK_WITHIN: Duration = Duration::from_millis(50);

/// Connections that wait to be looked at, and bytes that they may send before.
const MAX_INCOMING: usize = 4_096;
const INCOMING_BUFFER: u64 = 16 * 1024;
const INCOMING_BUFFER_TOTAL: u64 = 16 * 1024 * 1024;

/// Kernel buffers of the one socket that carries every connection; the system
/// may grant less.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// quinn's view of the limits.
pub(crate) fn server_config(
    config: &GatewayConfig,
    crypto: QuicServerConfig,
) -> quinn::ServerConfig {
    let mut transport = quinn::TransportConfig::default();
    let mut acks = quinn::AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(ACK_EVERY.into())
        .max_ack_delay(Some(ACK_WITHIN));
    let idle = quinn::IdleTimeout::try_from(config.quic_idle).ok();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(0u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .ack_frequency_config(Some(acks))
        .max_idle_timeout(idle);
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL)
        .migration(true);
    server
}

/// Binds a UDP socket.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // The system grants what it allows.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// An endpoint on `socket`. Its packets are handled by the current runtime.
pub(crate) fn endpoint(
    socket: UdpSocket,
    identity: EndpointConfig,
    server: quinn::ServerConfig,
) -> io::Result<Endpoint> {
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = Arc::new(SmallBatches(runtime.wrap_udp_socket(socket)?));
    Endpoint::new_with_abstract_socket(identity, Some(server), socket, runtime)
}

/// Takes connections until the door stops.
pub(crate) async fn run(
    endpoint: Endpoint,
    door: Arc<Door<NetDetached>>,
    closer: Closer,
    tasks: TaskTracker,
) {
    loop {
        let incoming = tokio::select! {
            biased;
            () = door.stop.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        match judge(&door, &incoming) {
            Verdict::Enter(stranger, slot) => {
                let (door, closer) = (Arc::clone(&door), closer.clone());
                tasks.spawn(async move { serve(&door, incoming, *stranger, slot, closer).await });
            }
            // Fails only where the address is proven, which was asked.
            Verdict::Prove => drop(incoming.retry()),
            Verdict::Refuse(cause) => {
                door.metrics.gateway().refused(Transport::Quic, cause);
                // Any answer would be work, and traffic to somebody who may be
                // a victim.
                incoming.ignore();
            }
        }
    }
    // Those who are in stay; nobody else comes in.
    endpoint.set_server_config(None);
}

/// What becomes of one who knocks.
enum Verdict {
    Enter(Box<Stranger>, Slot),
    Prove,
    Refuse(RefusalCause),
}

fn judge(door: &Door<NetDetached>, incoming: &Incoming) -> Verdict {
    let (Some(slot), Some(seat)) = (door.admission.try_slot(), door.admission.try_seat()) else {
        return Verdict::Refuse(RefusalCause::Handshakes);
    };
    let peer = incoming.remote_address();
    let pending = if incoming.remote_address_validated() {
        match door.admission.admit(seat, peer.ip()) {
            Ok(pending) => pending,
            Err(cause) => return Verdict::Refuse(cause),
        }
    } else if door.admission.wants_proof() {
        return Verdict::Prove;
    } else {
        door.admission.admit_unproven(seat)
    };
    let stranger = door.stranger(peer, Transport::Quic, pending);
    Verdict::Enter(Box::new(stranger), slot)
}

async fn serve(
    door: &Door<NetDetached>,
    incoming: Incoming,
    mut stranger: Stranger,
    slot: Slot,
    closer: Closer,
) {
    let connection = match shake_hands(door, incoming, &stranger).await {
        Ok(connection) => connection,
        Err(cause) => {
            let peer = stranger.peer;
            tracing::debug!(%peer, cause = cause.as_str(), "handshake failed");
            return door
                .metrics
                .gateway()
                .handshake_failed(Transport::Quic, cause);
        }
    };
    drop(slot);
    let spent = door.clock.now().instant.since(stranger.since);
    door.metrics
        .gateway()
        .handshake(Transport::Quic, false, spent);
    if let Err(cause) = stranger.prove() {
        door.metrics.gateway().refused(Transport::Quic, cause);
        return close(&connection, CloseCode::Overloaded);
    }
    let stream = match first_stream(door, &connection).await {
        Ok(stream) => stream,
        Err(reason) => {
            door.metrics.gateway().closed(Transport::Quic, reason);
            if let CloseReason::Code(code) = reason {
                close(&connection, code);
            }
            return;
        }
    };
    let carrier = QuicCarrier::new(connection, stream, closer);
    let carrier = NetCarrier::Quic(Box::new(carrier));
    door.receive_plain(carrier, stranger).await;
}

async fn shake_hands(
    door: &Door<NetDetached>,
    incoming: Incoming,
    stranger: &Stranger,
) -> Result<Connection, HandshakeFailure> {
    let connecting = incoming.accept().map_err(|_| HandshakeFailure::Protocol)?;
    let deadline = door.handshake_deadline(stranger.since);
    let shaken = tokio::select! {
        biased;
        () = door.stop.cancelled() => return Err(HandshakeFailure::Timeout),
        shaken = timeout_at(deadline, connecting) => shaken,
    };
    match shaken {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(quinn::ConnectionError::TransportError(_))) => Err(HandshakeFailure::Protocol),
        Ok(Err(_)) => Err(HandshakeFailure::PeerGone),
        Err(_) => Err(HandshakeFailure::Timeout),
    }
}

/// The stream that carries the frames, within the login's deadline.
async fn first_stream(
    door: &Door<NetDetached>,
    connection: &Connection,
) -> Result<(SendStream, RecvStream), CloseReason> {
    let until = door.clock.now().instant + door.config.login_deadline;
    let until = door.clock.deadline(until);
    tokio::select! {
        biased;
        () = door.stop.cancelled() => Err(CloseReason::Code(CloseCode::ShuttingDown)),
        stream = timeout_at(until, connection.accept_bi()) => match stream {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(_)) => Err(CloseReason::Lost),
            Err(_) => Err(CloseReason::Code(CloseCode::LoginTimeout)),
        },
    }
}

/// Closes a connection that has no stream to say so on.
fn close(connection: &Connection, code: CloseCode) {
    let number = u32::try_from(i32::from(code)).unwrap_or_default();
    connection.close(VarInt::from_u32(number), code.reason().as_bytes());
}
