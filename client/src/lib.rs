//! The reference Rust SDK of livegate.
