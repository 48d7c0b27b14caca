//! The v4 JSON API against a whole running gateway: real HTTP in, the effect
//! seen by people with the SDK.
//!
//! The property: what a backend asks for in the vendor's words, the clients in
//! the room see at once, and what is wrong with a call is told with the code
//! that the vendor documents for it.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]
#![allow(clippy::large_futures, reason = "one future a test")]
#![allow(dead_code, reason = "the gateway and the people of tests/whole")]

mod accounts;
mod api;
mod apps;
mod asking;
mod attributes;
mod direct;
mod messages;
#[path = "../whole/people.rs"]
mod people;
mod ports;
mod refusals;
mod rooms;
#[path = "../whole/running.rs"]
mod running;
mod speaking;
mod telling;
