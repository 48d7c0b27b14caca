//! What survives a kill: facts and the outbox, recorded together.
//!
//! This module owns the records as they lie on disk.

pub mod record;
