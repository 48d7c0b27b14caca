//! How large the parts of a connection are where they lie.

use super::carrier::NetCarrier;
use super::connection::{Connection, Joined};
use super::io::FrameIo;
use super::tls::Tls;
use crate::session::Session;
use crate::session::mailbox::Mailbox;

/// Name and bytes of what a shard holds for one connection in one room, apart
/// from what these point to.
pub fn footprint() -> [(&'static str, usize); 6] {
    [
        (
            "connection, with the following",
            size_of::<Connection<NetCarrier>>(),
        ),
        ("  session", size_of::<Session>()),
        ("  transport and frames", size_of::<FrameIo<NetCarrier>>()),
        ("  mailbox", size_of::<Mailbox>()),
        ("  one room", size_of::<Joined>()),
        ("TLS, with rustls's connection", size_of::<Tls>()),
    ]
}
