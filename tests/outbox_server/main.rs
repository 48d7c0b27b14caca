//! What backends are told, through a whole server: the binary as a process,
//! people with the SDK and the v4 API who talk, come, go, start and end lives,
//! and a backend that fails, hangs and answers late, while the server is
//! killed (SIGKILL), while its disk is full and while its outbox is.
//!
//! The property: each fact that is recorded is told at least once; of what was
//! said, and who came and went, all is told that was accepted before anything
//! that is told was even asked for, so that a kill takes an end and leaves no
//! hole; what is told is in order per room and writer and by the rooms'
//! sequence, in the same bytes each time, signed, and was done by somebody;
//! what is let go is counted to the event. `LIVEGATE_LONG` takes 100 kills and
//! 30 rounds of a full disk; `LIVEGATE_SEED` takes the dice of another run.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]
#![allow(clippy::large_futures, reason = "one future a test")]
#![allow(clippy::print_stderr, reason = "the seed and the figures are said")]
#![allow(dead_code, reason = "the gateway and the people of tests/whole")]

mod crew;
#[path = "../../loadtest/src/dice.rs"]
mod dice;
mod full;
mod gateway;
#[path = "../whole/hook.rs"]
mod hook;
mod kills;
mod load;
mod moody;
#[path = "../whole/people.rs"]
mod people;
#[path = "../whole/processes.rs"]
mod processes;
#[path = "../whole/running.rs"]
mod running;
mod script;
mod seed;
mod small_disk;
mod told;
mod trials;
mod verdict;
