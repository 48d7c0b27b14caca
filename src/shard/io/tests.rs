//! A connection's frames over in-memory streams, with TLS and without.

use std::future::poll_fn;

use livegate_proto::client::ClientFrame;
use livegate_proto::codec::append;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::shard::carrier::StreamCarrier;
use crate::shard::tls::tests::configs;

type Io = FrameIo<StreamCarrier<DuplexStream>>;
const MAX: usize = 64 * 1024;

fn frame(request_id: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let frame = ClientFrame {
        request_id,
        ..ClientFrame::default()
    };
    append(&frame, &mut out);
    out
}

fn body(request_id: u64) -> Vec<u8> {
    frame(request_id)[4..].to_vec()
}

/// A client that sends `first` as soon as it may, and the server after the
/// handshake.
async fn connected(pipe: usize, first: Vec<u8>) -> (TlsStream<DuplexStream>, Io, Scratch) {
    let (near, far) = duplex(pipe);
    let (server, client) = configs();
    let client = async move {
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(client);
        let mut client = connector.connect(name, far).await.unwrap();
        client.write_all(&first).await.unwrap();
        client.flush().await.unwrap();
        client
    };
    let tls = Layer::Tls(Box::new(Tls::new(server).unwrap()));
    let mut io = FrameIo::new(StreamCarrier::new(near), tls);
    let mut scratch = Scratch::default();
    let handshake = poll_fn(|cx| io.poll_handshake(cx, &mut scratch));
    let (client, done) = tokio::join!(client, handshake);
    done.unwrap();
    (client, io, scratch)
}

async fn next(io: &mut Io, scratch: &mut Scratch) -> Option<Vec<u8>> {
    loop {
        if let Some(body) = io.next_frame(scratch, MAX).unwrap() {
            return Some(body.to_vec());
        }
        let read = poll_fn(|cx| io.poll_read(cx, scratch)).await.unwrap();
        if read == ReadOutcome::Closed {
            return None;
        }
    }
}

async fn write(io: &mut Io, plain: &[u8], scratch: &mut Scratch) -> Wrote {
    poll_fn(|cx| Poll::Ready(io.write(cx, plain, scratch)))
        .await
        .unwrap()
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test]
async fn frames_sent_ahead_survive_the_change_of_threads() {
    let wire = [frame(1), frame(2), frame(3)].concat();
    let (half, rest) = wire.split_at(wire.len() - 1);
    let (mut client, mut io, mut scratch) = connected(1 << 16, half.to_vec()).await;
    assert_eq!(next(&mut io, &mut scratch).await, Some(body(1)));
    let parts = io.detach(&mut scratch).unwrap();
    let mut io = Io::attach(parts, &mut scratch).unwrap();
    assert_eq!(next(&mut io, &mut scratch).await, Some(body(2)));
    client.write_all(rest).await.unwrap();
    assert_eq!(next(&mut io, &mut scratch).await, Some(body(3)));
    assert_eq!(write(&mut io, b"reply", &mut scratch).await, Wrote::All);
    poll_fn(|cx| io.poll_close(cx)).await.unwrap();
    assert_eq!(read_all(&mut client).await, b"reply");
}

#[tokio::test]
async fn what_the_transport_refuses_waits_in_order_and_leaves_no_buffer() {
    let (mut client, mut io, mut scratch) = connected(4_096, Vec::new()).await;
    let sent: Vec<u8> = (0..200_000u32).flat_map(u32::to_be_bytes).collect();
    let (first, second) = sent.split_at(300_000);
    let partial = write(&mut io, first, &mut scratch).await;
    assert!(
        matches!(partial, Wrote::Partial(n) if n > 290_000),
        "{partial:?}"
    );
    write(&mut io, second, &mut scratch).await;
    let closing = poll_fn(|cx| io.poll_close(cx));
    let (closed, received) = tokio::join!(closing, read_all(&mut client));
    closed.unwrap();
    assert!(received == sent);
    assert_eq!(io.pending.capacity(), 0);
}

#[tokio::test]
async fn a_connection_at_rest_owns_no_buffer() {
    let (mut client, mut io, mut scratch) = connected(1 << 16, Vec::new()).await;
    for n in 0..10 {
        let wire = frame(n);
        let (first, second) = wire.split_at(3);
        client.write_all(first).await.unwrap();
        client.write_all(second).await.unwrap();
        assert_eq!(next(&mut io, &mut scratch).await, Some(body(n)));
        write(&mut io, &[0; 1_000], &mut scratch).await;
    }
    assert_eq!(io.next_frame(&mut scratch, MAX), Ok(None));
    assert_eq!(io.settle(Instant(5)), None);
    assert_eq!(io.pending.capacity(), 0);
    assert_eq!(io.frames.kept(), 0);
    let Layer::Tls(tls) = io.layer() else {
        unreachable!("made with TLS")
    };
    assert_eq!(tls.retained_capacity(), 0);
}

#[tokio::test]
async fn a_handshake_with_a_stranger_fails_with_an_error() {
    let (near, mut far) = duplex(1 << 16);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let tls = Layer::Tls(Box::new(Tls::new(configs().0).unwrap()));
    let mut io = FrameIo::new(StreamCarrier::new(near), tls);
    let mut scratch = Scratch::default();
    let failed = poll_fn(|cx| io.poll_handshake(cx, &mut scratch)).await;
    assert!(matches!(failed, Err(IoError::Tls(_))), "{failed:?}");
    drop(io);
    assert_eq!(read_all(&mut far).await[0], 21, "an alert");
}

#[tokio::test]
async fn the_plain_layer_carries_frames_as_they_are() {
    let (near, mut far) = duplex(64);
    let mut io = FrameIo::new(StreamCarrier::new(near), Layer::Plain);
    let mut scratch = Scratch::default();
    far.write_all(&frame(7)).await.unwrap();
    assert_eq!(next(&mut io, &mut scratch).await, Some(body(7)));
    let partial = write(&mut io, &[1; 100], &mut scratch).await;
    assert_eq!(partial, Wrote::Partial(36));
    let closing = poll_fn(|cx| io.poll_close(cx));
    let (closed, received) = tokio::join!(closing, read_all(&mut far));
    closed.unwrap();
    assert_eq!(received, [1; 100]);
}

#[test]
fn a_connection_is_small_and_may_change_threads() {
    fn sendable<T: Send>() {}
    sendable::<Parts<crate::shard::carrier::NetDetached>>();
    assert!(size_of::<FrameIo<crate::shard::carrier::NetCarrier>>() <= 200);
}
