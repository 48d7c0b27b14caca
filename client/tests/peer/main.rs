//! The SDK against a gateway by hand: the test says what the other side
//! answers.

mod client;
mod connection;
mod support;
mod transports;
