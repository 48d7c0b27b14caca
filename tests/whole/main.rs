//! A whole gateway on real sockets: its own configuration file, certificate,
//! store, shards and internal port; people with the SDK over TLS and over
//! QUIC; a backend that calls over gRPC and is called over HTTP.
//!
//! Nothing here is faster than the clock on the wall, so these tests wait for
//! what happens and never for a time to pass; the limits are there to end a
//! test that hangs.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]
#![allow(clippy::large_futures, reason = "one future a test")]

mod asking;
mod certificates;
mod dead_letters;
mod demo;
mod devices;
mod drain;
#[path = "../../examples/gift_backend/shop.rs"]
mod gift_shop;
mod gifts;
mod govern;
mod hook;
mod longest_call;
mod mic;
mod one_room;
mod people;
mod privileges;
mod processes;
mod renewal;
mod resets;
mod room_service;
mod running;
mod scenario;
