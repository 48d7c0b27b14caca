//! Rooms: who is in them, what is said in them, in which order.
//!
//! [`Rooms`] finds and makes them; [`Room`] is the shell of one: it locks,
//! lets the pure core decide, hands facts to the store, and tells shards and
//! sessions after it has unlocked. [`driver::run`] feeds them the time and the
//! outcomes of their commits. What a backend is to be asked about first goes up
//! as a [`LikeWindow`].
//!
//! Invariants: one order of messages per room for everybody; the record
//! precedes the telling; nothing under a room's lock waits for anything.
//!
//! It knows sessions by id only, writes to no connection, and does not decide
//! what an app allows its users: actions do.

mod answer;
mod bells;
mod charter;
pub mod combos;
pub mod config;
mod core;
pub mod dedupe;
pub mod driver;
pub mod flash;
mod following;
pub mod limit;
mod listing;
pub mod live;
pub mod log;
mod members;
mod membership;
pub mod merge;
pub mod mic;
pub mod presence;
mod questions;
mod recording;
pub mod refusal;
mod registry;
mod room;
#[cfg(test)]
mod tests;
pub mod timers;

pub use config::RoomsConfig;
pub use core::{
    AttributesChange, BackendPush, By, CreateArgs, DestroyedBy, EnterArgs, LeaveCause, LiveReport,
    ProfileChange, Publish, Published, Pushed, RoomReport, StartLiveArgs,
};
pub use membership::{Entered, Membership};
pub use questions::LikeWindow;
pub use refusal::Refusal;
pub use registry::Rooms;
pub use room::{Room, Taken};
