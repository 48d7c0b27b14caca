//! Rooms: who is in them, what is said in them, in which order.

pub mod live;
pub mod log;
