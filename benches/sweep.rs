//! What a sweep of a room costs its shard, apart from the network:
//! `cargo bench --bench sweep`.
//!
//! A whole shard, whose subscribers' transports take every byte and do nothing
//! with it: once with nothing above them and once with TLS, so that the
//! difference is the sealing. The time is what the shard itself counts for its
//! sweeps; waiting for more messages is not in it. `cargo bench --bench sweep --
//! --quick` plays a small room once, to see that it works. Asserts nothing about
//! time, for a loaded machine would fail it.
#![allow(clippy::print_stdout, clippy::large_futures)]

mod hall;

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hall::Hall;
use livegate::actions::command::PushToRoom;
use livegate::actions::content::Content;
use livegate_proto::client::{Priority, Text};

/// So that a message is a frame of about 200 bytes.
const TEXT: usize = 140;
const WARM_UP: u64 = 5;

fn main() {
    // A test runner that asks for its list of tests gets an empty one.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rooms, batches): (&[(u64, u64)], &[u64]) = match quick {
        true => (&[(10, 1)], &[1, 16]),
        false => (&[(1_000, 200), (10_000, 40)], &[1, 16, 64]),
    };
    println!(
        "{:>11}  {:>5}  {:>5}  {:>13}  {:>11}  {:>14}  {:>12}",
        "subscribers",
        "layer",
        "batch",
        "bytes/message",
        "ns/delivery",
        "ns/subscriber",
        "bytes/write"
    );
    for (subscribers, rounds) in rooms {
        for tls in [false, true] {
            measure(*subscribers, *rounds, tls, batches);
        }
    }
}

fn measure(subscribers: u64, rounds: u64, tls: bool, batches: &[u64]) {
    hall::run(async {
        let hall = Talk {
            hall: Hall::open(subscribers, tls).await,
            said: Cell::new(0),
        };
        for batch in batches {
            hall.talk(WARM_UP, *batch).await;
            let before = hall.seen();
            hall.talk(rounds, *batch).await;
            let cost = hall.seen().since(before);
            let (deliveries, writes) = (cost.messages * subscribers as f64, cost.writes);
            println!(
                "{subscribers:>11}  {:>5}  {batch:>5}  {:>13.0}  {:>11.1}  {:>14.0}  {:>12.0}",
                if tls { "tls" } else { "none" },
                cost.bytes / deliveries,
                cost.seconds * 1e9 / deliveries,
                cost.seconds * 1e9 / writes,
                cost.bytes / writes,
            );
        }
        hall.hall.stop.cancel();
    });
}

/// A hall in which somebody talks.
struct Talk {
    hall: Hall,
    said: Cell<u64>,
}

impl Talk {
    /// Says `batch` messages at once, `rounds` times, each when all before it
    /// are delivered.
    async fn talk(&self, rounds: u64, batch: u64) {
        for _ in 0..rounds {
            for _ in 0..batch {
                let text = "x".repeat(TEXT);
                let push = PushToRoom {
                    room: self.hall.room(),
                    from: None,
                    operator: None,
                    random: None,
                    priority: Priority::Normal,
                    content: Content::Text(Text { text }),
                    bound: false,
                    quiet: false,
                    message_id: String::new(),
                };
                let pushed = self
                    .hall
                    .node
                    .actions
                    .push_to_room(push, self.hall.node.clock.now());
                pushed.expect("the shard keeps up");
            }
            self.said.set(self.said.get() + batch);
            let sweeps = self.seen().sweeps;
            while self.seen().sweeps == sweeps {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// What was said and what the shard has counted by now.
    fn seen(&self) -> Seen {
        let page = self.hall.node.metrics.render();
        let figure = |name: &str| {
            let values = page.lines().filter_map(|line| line.split_once(' '));
            let mut values = values.filter(|(found, _)| *found == name);
            let (_, value) = values.next().expect("the metric is served");
            value.parse().expect("a number")
        };
        Seen {
            messages: self.said.get() as f64,
            sweeps: figure("livegate_shard_sweeps_total"),
            seconds: figure("livegate_shard_sweep_seconds_sum"),
            writes: figure("livegate_shard_sweep_subscribers_sum"),
            bytes: self.hall.taken.load(Ordering::Relaxed) as f64,
        }
    }
}

#[derive(Clone, Copy)]
struct Seen {
    messages: f64,
    sweeps: f64,
    seconds: f64,
    writes: f64,
    bytes: f64,
}

impl Seen {
    fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            sweeps: self.sweeps - before.sweeps,
            seconds: self.seconds - before.seconds,
            writes: self.writes - before.writes,
            bytes: self.bytes - before.bytes,
        }
    }
}
