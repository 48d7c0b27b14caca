//! Where the bytes of an idle connection go: `cargo bench --bench idle`.
//!
//! A whole shard with everybody in one room and nobody talking, as in
//! `benches/sweep.rs`. What Rust's allocator hands out is counted exactly; the
//! contexts of AES, which the C library allocates, show in the resident memory
//! only, together with what the allocator itself needs. The kernel's part and
//! QUIC need real sockets: `loadtest/plans/idle.toml`. `-- --quick` plays a few
//! connections, to see that it works.
#![allow(clippy::print_stdout, clippy::large_futures)]

mod hall;

use std::alloc::System;

use hall::{Hall, tls_pair};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    // A test runner that asks for its list of tests gets an empty one.
    if std::env::args().any(|arg| arg == "--list") {
        return;
    }
    let quick = std::env::args().any(|arg| arg == "--quick");
    let connections = if quick { 10 } else { 10_000 };
    // What the first of all connections sets up is of no single one.
    drop(tls_pair::connected());
    let before = held();
    let tls: Vec<_> = (0..connections).map(|_| tls_pair::connected().1).collect();
    let rustls = held().since(before, connections);
    drop(tls);
    let plain = shard(connections, false);
    let whole = shard(connections, true);
    println!("bytes per idle connection, {connections} in one room");
    let line = |what: &str, bytes: i64| println!("{what:<48} {bytes:>8}");
    line("rustls after the handshake", rustls.counted);
    line("session, task, room, maps", plain.counted);
    line("both", whole.counted);
    // Memory that was given back is used again, so only the first is told.
    line(
        "rustls, resident, with the C library's part",
        rustls.resident,
    );
    println!("sizes in place:");
    for (what, bytes) in livegate::shard::footprint() {
        println!("  {what:<46} {bytes:>8}");
    }
}

/// What a shard holds for each of its connections.
fn shard(connections: u64, tls: bool) -> Bytes {
    hall::run(async {
        let before = held();
        let hall = Hall::open(connections, tls).await;
        let part = held().since(before, connections);
        hall.stop.cancel();
        part
    })
}

#[derive(Clone, Copy)]
struct Bytes {
    counted: i64,
    resident: i64,
}

impl Bytes {
    fn since(self, before: Self, connections: u64) -> Self {
        let each = |bytes: i64| bytes / i64::try_from(connections).expect("a few thousand");
        Self {
            counted: each(self.counted - before.counted),
            resident: each(self.resident - before.resident),
        }
    }
}

/// What the process holds now.
fn held() -> Bytes {
    let stats = Region::new(COUNTING).initial();
    let counted = stats.bytes_allocated as i64 - stats.bytes_deallocated as i64;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<i64>().ok())
        .unwrap_or(0);
    Bytes {
        counted,
        resident: resident * 1024,
    }
}
