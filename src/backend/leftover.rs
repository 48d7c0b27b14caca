//! What an answer leaves unread of its request's body.
//!
//! Why it exists: a client that keeps its connection sends the head, then the
//! body. Where the head alone decides the answer (no such command, not an
//! admin), hyper closes a connection whose body has not arrived yet, and the
//! client's next request breaks on it.
//!
//! Invariant: what is read to keep a connection is bounded in bytes and time;
//! beyond that the connection is closed, as hyper does.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Version};
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

/// How long the rest of a body is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request's body on loan: comes back when whoever reads it drops it.
struct Lent {
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

/// The place to which a body comes back.
pub(super) struct Leftover(Option<oneshot::Receiver<Body>>);

/// Lends the request's body. Only HTTP/1 has bodies in the way of the next
/// request; others are handed on as they are.
pub(super) fn lend(request: Request<Body>) -> (Request<Body>, Leftover) {
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return (request, Leftover(None));
    }
    let (back, place) = oneshot::channel();
    let request = request.map(|body| {
        Body::new(Lent {
            body: Some(body),
            back: Some(back),
        })
    });
    (request, Leftover(Some(place)))
}

impl Leftover {
    /// Reads to the end what came back, up to `most` bytes.
    pub(super) async fn drain(self, most: usize) {
        let Some(body) = self.0.and_then(|mut place| place.try_recv().ok()) else {
            return;
        };
        let mut rest = body.into_data_stream();
        let all = async {
            let mut read = 0;
            while let Some(Ok(bytes)) = rest.next().await {
                read += bytes.len();
                if read > most {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            let _ = back.send(body);
        }
    }
}
