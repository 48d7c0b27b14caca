//! The public side: accepts, shakes hands, lets log in, hands over.

pub mod admission;
pub mod certs;
pub mod config;
pub mod tls;
