//! The internal port: the doors by which business backends, balancers and
//! operators reach the gateway.
//!
//! Owns the listener, its limits, the API keys, and the reading of each
//! dialect into the commands of [`crate::actions::command`]. Doors parse and
//! map errors; what is done, and who may, is decided in actions.
//!
//! Invariants: a gRPC call without a valid API key reaches no action, nor does a
//! v4 call without the signature of an admin; keys are compared in constant time
//! and never logged; a path that does not exist is never answered 200 (but below
//! `/v4`, where the vendor's rules hold); connections, headers, bodies and requests each have a
//! limit and a deadline, so that a careless neighbour cannot starve the health
//! checks for longer than those.
//!
//! Without TLS the port is bound to loopback, unless the configuration says
//! explicitly that the network is trusted.

mod auth;
mod command;
mod config;
mod dead;
mod deadline;
mod doors;
mod grpc;
mod leftover;
mod port;
mod routes;
mod status;
#[cfg(test)]
mod tests;
mod tls;
mod v4;

pub use auth::{ApiKeys, BadApiKey, KeyProblem};
pub use config::{BackendConfig, BadBackendConfig, InternalTls, V4Config};
pub use dead::{Count, Letter, Letters, Order, dead_letters};
pub use doors::Backend;
pub use grpc::BackendActions;
pub use port::{InternalPort, NotBound};
pub use routes::{Doors, Node, routes};
pub use tls::{BadInternalTls, InternalTlsProblem};
pub use v4::{V4, V4Parts};
