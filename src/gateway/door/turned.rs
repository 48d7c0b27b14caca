//! Those who do not get in: why, and how they are told.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use livegate_proto::client::{CloseCode, Reply, ServerFrame};
use livegate_proto::close::Retry;
use livegate_proto::code::Code;
use livegate_proto::codec;
use tokio::time::timeout_at;

use super::{Door, SCRATCH, say};
use crate::shard::adopted::Transport;
use crate::shard::carrier::Carrier;
use crate::shard::io::{FrameIo, ReadOutcome};
use crate::telemetry::CloseReason;

/// How long one who is turned away may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection does not get in.
pub(super) enum Turned {
    /// It has gone by itself, or cannot be spoken to.
    Gone,
    /// It is sent away.
    Away {
        reply: Option<Box<Reply>>,
        close: CloseCode,
        retry_after_ms: u32,
    },
}

impl Turned {
    pub(super) fn away(close: CloseCode) -> Self {
        Self::Away {
            reply: None,
            close,
            retry_after_ms: 0,
        }
    }
}

impl<D> Door<D> {
    /// Counts one who does not get in, and says goodbye.
    pub(super) async fn turn_away<C: Carrier>(
        &self,
        io: &mut FrameIo<C>,
        turned: Turned,
        transport: Transport,
        peer: SocketAddr,
    ) {
        let reason = match &turned {
            Turned::Gone => CloseReason::Lost,
            Turned::Away { close, .. } => CloseReason::Code(*close),
        };
        self.metrics.gateway().closed(transport, reason);
        tracing::debug!(%peer, reason = reason.as_str(), "turned away before login");
        let until = self.clock.deadline(self.clock.now().instant + LINGER);
        send_away(io, turned, until).await;
    }

    pub(super) fn refuse(
        &self,
        request_id: u64,
        code: Code,
        text: String,
        close: CloseCode,
    ) -> Turned {
        self.metrics.gateway().login(code);
        let retry_after_ms = match close.retry() {
            Retry::Later => self.spread_ms(),
            Retry::Now | Retry::Final => 0,
        };
        let reply = Reply {
            request_id,
            code: code.0,
            message: text,
            retry_after_ms,
            body: None,
        };
        Turned::Away {
            reply: Some(Box::new(reply)),
            close,
            retry_after_ms,
        }
    }

    pub(super) fn later(&self, close: CloseCode) -> Turned {
        Turned::Away {
            reply: None,
            close,
            retry_after_ms: self.spread_ms(),
        }
    }

    /// 1 to 5 s, different for those who come at different moments.
    fn spread_ms(&self) -> u32 {
        1_000 + u32::try_from(self.clock.now().instant.0 % 4_000).expect("below 4,000")
    }
}

/// Says why, and waits a moment until it was read.
async fn send_away<C: Carrier>(io: &mut FrameIo<C>, turned: Turned, until: tokio::time::Instant) {
    let Turned::Away {
        reply,
        close,
        retry_after_ms,
    } = turned
    else {
        return;
    };
    let frame = ServerFrame {
        reply: reply.map(|reply| *reply),
        close: Some(close.close(retry_after_ms)),
        ..ServerFrame::default()
    };
    let mut bytes = Vec::new();
    codec::append(&frame, &mut bytes);
    let goodbye = async {
        say(io, &bytes).await?;
        poll_fn(|cx| io.poll_close(cx))
            .await
            .map_err(|_| Turned::Gone)?;
        poll_fn(|cx| drain_step(io, cx)).await;
        Ok::<(), Turned>(())
    };
    // Whoever does not read it in time goes without.
    let _ = timeout_at(until, goodbye).await;
}

/// Reads and forgets until the peer has closed: a socket that is dropped with
/// unread input resets, and takes the closing word with it.
fn drain_step<C: Carrier>(io: &mut FrameIo<C>, cx: &mut Context<'_>) -> Poll<()> {
    SCRATCH.with_borrow_mut(|scratch| {
        loop {
            let read = io.poll_read(cx, scratch);
            scratch.clear();
            match ready!(read) {
                Ok(ReadOutcome::Data(_)) => {}
                Ok(ReadOutcome::Closed) | Err(_) => return Poll::Ready(()),
            }
        }
    })
}
