//! The load generator of livegate.

fn main() {}
