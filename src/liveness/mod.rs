//! When to look again at something that may have gone silent.
//!
//! Owns the wheel that shards and rooms keep their deadlines in. Invariant: no
//! deadline is told before its time, whatever the caller's ticks do. Does not
//! read a clock, run a timer or judge anybody: an entry that fires is a reason
//! to look, and who was heard meanwhile is put in again.

pub mod wheel;

pub use wheel::{Token, Wheel};
