//! The wire contract of livegate.
//!
//! Owns the messages (generated from `livegate/{client,backend}/v1`), the
//! framing of stream transports, the encode-once frame, and the tables of
//! reply codes and close codes. Knows nothing of sockets, rooms or time.
//!
//! Invariant: a length prefix is checked before anything is reserved for it,
//! so that four bytes from a stranger never cost memory.

pub mod close;
pub mod code;
pub mod codec;
pub mod elements;
pub mod encoded;

#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::use_self,
    clippy::or_fun_call,
    clippy::too_many_lines,
    clippy::large_types_passed_by_value
)]
mod generated {
    pub mod client {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/livegate.client.v1.rs"));
        }
    }
    pub mod backend {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/livegate.backend.v1.rs"));
        }
    }
}

/// The contract between a business backend and livegate, `livegate.backend.v1`.
pub use generated::backend::v1 as backend;
/// The contract between an app and livegate, `livegate.client.v1`.
pub use generated::client::v1 as client;

pub use bytes::Bytes;
pub use client::CloseCode;
pub use encoded::Encoded;
pub use prost::Message;

/// The contract, described: a serialized `FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/livegate.bin"));

/// The ALPN protocol name of the native framing, over TLS and over QUIC.
pub const ALPN: &[u8] = b"livegate/1";
