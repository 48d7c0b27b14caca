//! The load generator of livegate.
//!
//! `run` plays a plan against a gateway and says whether the plan's limits
//! held; `chaos` kills hosts and gateways and checks what viewers and the
//! backend were told; `compare` plays one fan-out against livegate, peers and
//! the bare loop in turn; `slow-backend` looks what other rooms feel of a backend
//! that is slow or down. Exit status: 0 held, 1 did not hold, 64 bad arguments,
//! 78 a plan that is wrong or more than the machine can do.
//!
//! How a run is built: [`run`] coordinates, [`worker`]s drive clients in
//! threads of their own, a [`member`] checks what one client sees, [`judge`]
//! turns it into figures and a verdict. What is judged is pure: [`sequence`],
//! [`ledger`], [`member`], [`schedule`], [`judge`] and the [`sink`]'s book take
//! inputs and the time.

mod board;
mod chaos;
mod cli;
mod client;
mod clock;
mod compare;
mod dice;
mod doors;
#[cfg(test)]
mod faulty;
mod finish;
mod gateway;
mod host;
mod hostile;
mod http;
mod identity;
mod judge;
mod latency;
mod ledger;
mod machine;
mod member;
mod payload;
mod plan;
mod progress;
mod pusher;
mod report;
mod run;
mod scan;
mod schedule;
mod sequence;
mod sink;
mod site;
mod slow;
mod span;
mod tally;
mod viewer;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
