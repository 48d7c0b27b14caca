//! livegate: the self-hosted signaling access server for live rooms.
//!
//! The library is the whole server; `main.rs` only reads arguments and turns
//! outcomes into exit codes. ARCHITECTURE.md has the map and the invariants;
//! `tests/layering.rs` holds the order in which modules may see each other.

pub mod actions;
pub mod auth;
pub mod backend;
pub mod callback;
pub mod cli;
pub mod clock;
pub mod config;
pub mod directory;
pub mod dispatch;
pub mod engine;
pub mod event;
pub mod gateway;
pub mod id;
pub mod liveness;
pub mod online;
pub mod rooms;
pub mod server;
pub mod session;
pub mod shard;
pub mod telemetry;
