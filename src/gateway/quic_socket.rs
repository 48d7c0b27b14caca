//! The UDP socket below quinn, with fewer datagrams to one call.
//!
//! quinn keeps a buffer of (datagrams per call x MTU) for every connection from
//! its first packet on. With its own limit of ten an idle connection held 42.6
//! KiB, with two 37.5 (4,000 connections); with six as little as with two within
//! the noise, and a run of 64 messages costs a fifth less than with two, for the
//! sake of segmentation offload (docs/performance.md).

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Most datagrams that one call hands to the kernel (UDP_SEGMENT).
const SEGMENTS: usize = 6;

/// A socket that takes at most [`SEGMENTS`] datagrams at once.
#[derive(Debug)]
pub(crate) struct SmallBatches(pub(crate) Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for SmallBatches {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments().min(SEGMENTS)
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}
