//! Rooms: who is in them, what is said in them, in which order.

pub mod config;
pub mod dedupe;
pub mod flash;
pub mod limit;
pub mod live;
pub mod log;
pub mod merge;
pub mod presence;
pub mod refusal;
