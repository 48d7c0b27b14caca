//! Exit codes, after sysexits where it has one.

/// Done, or the answer is yes.
pub const OK: u8 = 0;
/// It failed, or the answer is no.
pub const FAILED: u8 = 1;
/// The arguments are wrong.
pub const USAGE: u8 = 64;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;
