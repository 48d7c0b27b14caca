//! Rooms: members, attributes, a log, and the live.

pub mod live;
