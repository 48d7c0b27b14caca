//! One open transport: a stream of bytes both ways.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf, join};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::error::Disconnect;

/// Which transport a connection uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TLS 1.3 over TCP.
    Tls,
    /// QUIC.
    Quic,
    /// A stream that was given, in tests and simulations.
    Other,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Other => "other",
        })
    }
}

/// An open transport, ready for frames.
pub struct Link(Inner);

enum Inner {
    Tls(Box<TlsStream<TcpStream>>),
    Quic(Box<Quic>),
    Other(Box<dyn Stream>),
}

struct Quic {
    connection: quinn::Connection,
    stream: Join<quinn::RecvStream, quinn::SendStream>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Link {
    /// Takes any stream, such as one end of an in-memory pipe.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Inner::Other(Box::new(stream)))
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self(Inner::Tls(Box::new(stream)))
    }

    pub(crate) fn quic(
        connection: quinn::Connection,
        send: quinn::SendStream,
        recv: quinn::RecvStream,
    ) -> Self {
        Self(Inner::Quic(Box::new(Quic {
            connection,
            stream: join(recv, send),
        })))
    }

    /// Which transport this is.
    pub fn transport(&self) -> Transport {
        match &self.0 {
            Inner::Tls(_) => Transport::Tls,
            Inner::Quic(_) => Transport::Quic,
            Inner::Other(_) => Transport::Other,
        }
    }

    /// The peer's address, where the transport has one.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Inner::Tls(stream) => stream.get_ref().0.peer_addr().ok(),
            Inner::Quic(quic) => Some(quic.connection.remote_address()),
            Inner::Other(_) => None,
        }
    }

    /// The close that the transport itself carries: QUIC's application code.
    pub(crate) fn closed_with(&self) -> Option<Disconnect> {
        let Inner::Quic(quic) = &self.0 else {
            return None;
        };
        let quinn::ConnectionError::ApplicationClosed(closed) = quic.connection.close_reason()?
        else {
            return None;
        };
        let code = i32::try_from(closed.error_code.into_inner()).ok()?;
        // Codes outside the table's bands are not of this contract.
        (3000..4000).contains(&code).then(|| Disconnect::Closed {
            code,
            reason: String::from_utf8_lossy(&closed.reason).into_owned(),
            retry_after: Duration::ZERO,
        })
    }

    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match &mut self.0 {
            Inner::Tls(stream) => Pin::new(stream.as_mut()),
            Inner::Quic(quic) => Pin::new(&mut quic.stream),
            Inner::Other(stream) => Pin::new(stream.as_mut()),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.transport())
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
