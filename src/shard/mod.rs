//! Shards: one thread per core, each owning its connections outright.

pub mod adopted;
pub mod carrier;
pub mod frames;
pub mod io;
pub mod quic;
pub mod tls;
pub mod window;
