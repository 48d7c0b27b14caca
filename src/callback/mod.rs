//! Tells business backends what happened, at least once and in order per room;
//! and sends up what apps ask of them ([`call`]).
//!
//! What is told is recorded with its fact (`engine`); here it is turned into
//! bytes ([`payload`]), signed and posted ([`Delivery`]), and tried again until
//! the backend answers 2xx ([`Dispatcher`]).
//!
//! Invariants:
//! - every attempt at an event has the same body and the same event id;
//! - events of one room leave in the order of their records, and one that the
//!   backend refuses holds up its room only;
//! - an event is settled only by a 2xx, by having been tried for as long as
//!   `give_up_after` says (then it is kept as a dead letter), or because its
//!   app has no callback;
//! - bodies, secrets and the query of a URL are never logged.
//!
//! It does not decide what happened, and nobody waits for what is told.

pub mod ask;
mod body;
mod breaker;
pub mod call;
mod config;
mod delivery;
mod dispatcher;
mod networks;
pub mod payload;
pub mod question;
mod retry;
mod sign;
mod target;
pub mod tell;
mod teller;

pub use config::{AppCallback, CallbackConfig};
pub use delivery::{CallbackError, Delivery, Problem};
pub use dispatcher::{Attempt, Deliver, Dispatcher};
pub use sign::{EVENT_ID, SIGNATURE, Signer, TIMESTAMP, vendor_sign};
pub use target::operator_client;
pub use teller::Teller;
