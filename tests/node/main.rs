//! A node without its sockets: store, rooms, a shard and its clients in one
//! process, on simulated time.

mod one_shard;
mod sim;
mod support;
