//! The reference Rust SDK of livegate.
//!
//! Two levels:
//! - [`Client`]: one logged-in user. It keeps the connection (QUIC raced with
//!   TLS), sends heartbeats, renews the signature, comes back after a loss as
//!   the gateway advises, re-enters its rooms and says what was missed in
//!   between. What happens arrives as typed [`Event`]s on [`Events`].
//! - [`Connection`]: one connection under manual control, for load generators
//!   and tools: no task, no channel, no buffer while it rests.
//!
//! Invariants:
//! - a room's sequenced events reach the app in the order of their `seq`,
//!   without duplicates; what is missing is told as [`Event::Gap`];
//! - the end of a live is told once per `live_id`, from the push or, after a
//!   reconnect, from the room's snapshot;
//! - every queue is bounded; an app that does not read its events slows down
//!   nobody but itself;
//! - signatures and message bodies are never logged.
//!
//! What it does not do: it keeps nothing on disk and signs nothing, signatures
//! come from a [`SigProvider`].
//!
//! ```no_run
//! use livegate_client::{Client, Config, Event, Roots, RoomEventKind, SigProvider};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let roots = Roots::pem_file("certs/livegate.pem")?;
//! let sig = SigProvider::from_fn(|| std::env::var("LIVEGATE_SIG").map_err(Into::into));
//! let config = Config::new("127.0.0.1:7443", 1_400_000_000, "ada", sig, roots);
//!
//! let (client, mut events) = Client::connect(config).await?;
//! let room = client.enter("demo").await?;
//! room.send_text("hello").await?;
//! room.like(3).await?;
//!
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Room(event) => match event.kind {
//!             RoomEventKind::Message(message) => println!("{} {message:?}", event.seq),
//!             RoomEventKind::LiveEnded { ended, .. } => println!("over: {ended:?}"),
//!             _ => {}
//!         },
//!         Event::Disconnected(gone) => println!("{}, back in {:?}", gone.cause, gone.retry_in),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod config;
mod connection;
mod dial;
mod error;
mod event;
mod inbox;
mod link;
mod online;
mod outbox;
mod pulse;
mod queue;
mod race;
mod reconnect;
mod requests;
mod room;
mod rooms;
mod supervisor;
mod tls;
mod tracker;

pub use client::{Client, State};
pub use config::{BoxError, Config, Limits, Login, SigProvider};
pub use connection::{Connection, DEFAULT_OUTBOX_LIMIT, FIRST_REQUEST_ID, Heartbeat};
pub use dial::{DialConfig, Dialer, Target};
pub use error::{
    AttemptError, ConnectError, DialError, Disconnect, LoginError, Refusal, RequestError,
};
pub use event::{
    Connected, DirectMessage, Disconnected, Entered, Event, Gap, GapCause, RoomEvent,
    RoomEventKind, Source,
};
pub use link::{Link, Transport};
pub use livegate_proto::client as wire;
pub use livegate_proto::code::Code;
pub use outbox::{Outbox, OutboxFull};
pub use queue::Events;
pub use race::TransportPreference;
pub use reconnect::{Backoff, BackoffConfig, Decision, Retry};
pub use room::{Outgoing, RoomHandle};
pub use supervisor::Connector;
pub use tls::{Roots, TlsError};
