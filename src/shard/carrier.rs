//! What a transport offers to the shard that owns a connection.
//!
//! Production, tests and the simulation share the shard's loop by this one
//! trait. Invariants: nothing here blocks; a refused write has registered the
//! caller's waker (poll-based writers) or is followed by
//! [`Carrier::poll_writable`] (readiness-based ones), so no wake-up is lost;
//! bytes leave in the order in which they were given.
//!
//! It knows nothing of TLS or frames: that is [`super::io`].

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

use super::quic::QuicCarrier;

/// A connection's bytes, both ways.
pub trait Carrier: Sized + 'static {
    /// What travels from the thread that accepted to the shard.
    type Detached: Send + 'static;

    /// Lets go of this thread's reactor.
    ///
    /// # Errors
    /// When the socket cannot be taken out of the reactor.
    fn detach(self) -> io::Result<Self::Detached>;

    /// Takes a connection over on the current thread's reactor. Until the
    /// reactor has turned once, a write may be refused though there is room:
    /// flush once before the first sweep.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    fn attach(detached: Self::Detached) -> io::Result<Self>;

    /// Reads into `buf`; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes what fits now. Never spends the task's cooperative budget, so a
    /// sweep gets no false refusal after 128 writes.
    ///
    /// # Errors
    /// `WouldBlock` when nothing fits: poll-based writers then wake `cx`.
    fn try_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize>;

    /// Resolves when a write is worth another try. A poll-based writer stays
    /// pending after a refusal: the waker given to the refused write is called,
    /// and that write is to be tried again then.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending side; what was written is still delivered. The
    /// carrier is dropped afterwards.
    fn close(&mut self);
}

/// Bytes of unread input that a closing socket swallows, so that the kernel
/// sends a FIN and not a reset, which could overtake the closing word.
const DRAIN_ON_CLOSE: usize = 64 * 1024;

/// A TCP connection on tokio's reactor.
#[derive(Debug)]
pub struct TcpCarrier(TcpStream);

impl TcpCarrier {
    /// Takes an accepted connection.
    pub fn new(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl Carrier for TcpCarrier {
    type Detached = std::net::TcpStream;

    fn detach(self) -> io::Result<Self::Detached> {
        self.0.into_std()
    }

    fn attach(detached: Self::Detached) -> io::Result<Self> {
        TcpStream::from_std(detached).map(Self)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        read_into(&mut self.0, cx, buf)
    }

    /// Asks the socket, not the reactor: what the reactor believes of it is one
    /// more place in memory, and in a sweep it is nearly always writable.
    fn try_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        match socket2::SockRef::from(&self.0).send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The reactor is told, so that it waits for the next readiness.
                self.0.try_io(Interest::WRITABLE, || Err(error))
            }
            sent => sent,
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_write_ready(cx)
    }

    fn close(&mut self) {
        let mut drained = 0;
        let mut sink = [0; 4096];
        while drained < DRAIN_ON_CLOSE {
            match self.0.try_read(&mut sink) {
                Ok(0) | Err(_) => break,
                Ok(n) => drained += n,
            }
        }
        // Fails only when the peer is gone already.
        let _ = socket2::SockRef::from(&self.0).shutdown(Shutdown::Write);
    }
}

/// Whether a poll-based writer refused its last write; if so, it holds the waker
/// that the write was given.
#[derive(Debug, Default)]
pub(super) struct Refusal(bool);

impl Refusal {
    /// [`Carrier::try_write`] of a poll-based writer.
    pub(super) fn try_write(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let write = poll_fn(|cx| Pin::new(&mut *writer).poll_write(cx, bytes));
        let written = pin!(unconstrained(write)).poll(cx);
        self.0 = written.is_pending();
        match written {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// [`Carrier::poll_writable`] of a poll-based writer.
    pub(super) fn poll_writable(&self) -> Poll<io::Result<()>> {
        match self.0 {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }
}

/// Any byte stream with tokio's I/O traits: in-memory pipes in tests, the
/// simulation's sockets. The stream itself travels.
#[derive(Debug)]
pub struct StreamCarrier<S> {
    stream: S,
    refusal: Refusal,
}

impl<S: AsyncRead + AsyncWrite + Unpin> StreamCarrier<S> {
    /// Takes a connected stream.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            refusal: Refusal::default(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Carrier for StreamCarrier<S> {
    type Detached = S;

    fn detach(self) -> io::Result<S> {
        Ok(self.stream)
    }

    fn attach(detached: S) -> io::Result<Self> {
        Ok(Self::new(detached))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        read_into(&mut self.stream, cx, buf)
    }

    fn try_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        self.refusal.try_write(&mut self.stream, cx, bytes)
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.refusal.poll_writable()
    }

    fn close(&mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // In-memory streams shut down at once.
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut cx);
    }
}

/// What the public transports carry: TCP or QUIC.
#[derive(Debug)]
pub enum NetCarrier {
    /// TLS over TCP.
    Tcp(TcpCarrier),
    /// The one bidirectional stream of a QUIC connection.
    Quic(Box<QuicCarrier>),
}

/// A [`NetCarrier`] on its way to a shard.
#[derive(Debug)]
pub enum NetDetached {
    /// The socket, out of any reactor.
    Tcp(std::net::TcpStream),
    /// QUIC's driver stays where the connection was accepted.
    Quic(Box<QuicCarrier>),
}

impl Carrier for NetCarrier {
    type Detached = NetDetached;

    fn detach(self) -> io::Result<NetDetached> {
        Ok(match self {
            Self::Tcp(tcp) => NetDetached::Tcp(tcp.detach()?),
            Self::Quic(quic) => NetDetached::Quic(quic),
        })
    }

    fn attach(detached: NetDetached) -> io::Result<Self> {
        Ok(match detached {
            NetDetached::Tcp(tcp) => Self::Tcp(TcpCarrier::attach(tcp)?),
            NetDetached::Quic(quic) => Self::Quic(quic),
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read(cx, buf),
            Self::Quic(quic) => quic.poll_read(cx, buf),
        }
    }

    fn try_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_write(cx, bytes),
            Self::Quic(quic) => quic.try_write(cx, bytes),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => tcp.poll_writable(cx),
            Self::Quic(quic) => quic.poll_writable(cx),
        }
    }

    fn close(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.close(),
            Self::Quic(quic) => quic.close(),
        }
    }
}

fn read_into<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buf = ReadBuf::new(buf);
    ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_tcp_connection_goes_on_after_a_change_of_threads() {
        let (mut client, accepted) = tcp_pair().await;
        client.write_all(b"before").await.unwrap();
        let detached = TcpCarrier::new(accepted).detach().unwrap();
        let shard = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap();
            runtime.block_on(async {
                let mut carrier = TcpCarrier::attach(detached).unwrap();
                let mut buf = [0; 16];
                let n = poll_fn(|cx| carrier.poll_read(cx, &mut buf)).await.unwrap();
                poll_fn(|cx| carrier.poll_writable(cx)).await.unwrap();
                let sent = poll_fn(|cx| Poll::Ready(carrier.try_write(cx, b"after"))).await;
                carrier.close();
                (buf[..n].to_vec(), sent.unwrap())
            })
        });
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).await.unwrap();
        assert_eq!(reply, b"after");
        assert_eq!(shard.join().unwrap(), (b"before".to_vec(), 5));
    }

    #[tokio::test]
    async fn closing_with_unread_input_still_delivers_what_was_written() {
        let (mut client, accepted) = tcp_pair().await;
        client.write_all(&[7; 20_000]).await.unwrap();
        let mut carrier = TcpCarrier::new(accepted);
        carrier.0.readable().await.unwrap();
        poll_fn(|cx| carrier.poll_writable(cx)).await.unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        carrier.try_write(&mut cx, b"closing word").unwrap();
        carrier.close();
        drop(carrier);
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).await.unwrap();
        assert_eq!(reply, b"closing word");
    }

    #[tokio::test]
    async fn a_sweep_of_many_writes_gets_no_false_refusal() {
        let (near, _far) = tokio::io::duplex(1 << 20);
        let mut carrier = StreamCarrier::new(near);
        poll_fn(|cx| {
            for _ in 0..1_000 {
                assert_eq!(carrier.try_write(cx, b"x").unwrap(), 1);
            }
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_refused_write_is_woken_when_there_is_room() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut carrier = StreamCarrier::new(near);
        let refused = poll_fn(|cx| {
            carrier.try_write(cx, &[1; 8]).unwrap();
            Poll::Ready(carrier.try_write(cx, &[2; 8]))
        })
        .await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let written = poll_fn(|cx| match carrier.try_write(cx, &[2; 8]) {
            Ok(n) => Poll::Ready(n),
            Err(_) => carrier.poll_writable(cx).map(|_| 0),
        });
        let mut buf = [0; 16];
        let (written, _) = tokio::join!(written, far.read_exact(&mut buf));
        assert_eq!(written, 8);
        assert_eq!(buf[8..], [2; 8]);
    }
}
