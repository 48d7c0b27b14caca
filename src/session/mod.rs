//! One logged-in connection's protocol, without its socket.
//!
//! Owns what a client may say when ([`Prelogin`], [`Session`]), how often
//! ([`quota`]), how long it may be silent ([`heartbeat`]), and what waits for
//! it when it does not read ([`mailbox`]).
//!
//! Invariants: everything is pure and told the time; each request gets exactly
//! one reply; nothing is performed after a close; whatever a client sends, no
//! frame panics and nothing here grows beyond its limit.
//!
//! Not here: sockets and rooms' logs (the shard's), what a verb does and who
//! may do it (the actions').

mod config;
mod expiry;
mod flight;
pub mod heartbeat;
mod machine;
pub mod mailbox;
pub mod prelogin;
pub mod quota;

pub use config::{BadSessionConfig, SessionConfig};
pub use heartbeat::Heartbeat;
pub use machine::{Action, Actions, Identity, Opening, Session};
pub use mailbox::Mailbox;
pub use prelogin::{Prelogin, PreloginStep};

pub use crate::actions::outcome::{Change, Joined, Outcome};
