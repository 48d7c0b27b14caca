//! Whether a plan can be done: bounds of single values and what must fit
//! together.

use std::time::Duration;

use super::{From, Plan};
use crate::payload;

/// The key that is wrong, dotted, and what is wrong with it.
pub(crate) type Wrong = (&'static str, String);

/// Most clients of a plan: far beyond one machine, small enough for `u32` sums.
const MAX_CLIENTS: u64 = 1_000_000;

/// Most bytes of content: a frame of 64 KiB with its envelope.
const MAX_PAYLOAD: usize = 60 * 1024;

/// Most time of a phase.
const MAX_PHASE: Duration = Duration::from_secs(24 * 3_600);

/// Checks all of `plan`; the first wrong key is told.
pub(super) fn check(plan: &Plan) -> Result<(), Wrong> {
    sizes(plan)?;
    phases(plan)?;
    messages(plan)?;
    host(plan)?;
    slow_readers(plan)?;
    hostile(plan)?;
    gateway(plan)
}

/// `what` is wrong with `key` unless it `holds`.
pub(crate) fn need(holds: bool, key: &'static str, what: &str) -> Result<(), Wrong> {
    if holds {
        Ok(())
    } else {
        Err((key, what.to_owned()))
    }
}

fn sizes(plan: &Plan) -> Result<(), Wrong> {
    need(plan.rooms > 0, "rooms", "at least one room is needed")?;
    let per_room = u64::from(plan.viewers) + u64::from(plan.messages.publishers) + 1;
    let clients = u64::from(plan.rooms).saturating_mul(per_room);
    need(
        clients <= MAX_CLIENTS,
        "viewers",
        "more than 1,000,000 clients in all",
    )?;
    let sharing = plan.clients_per_address;
    need(
        (1..=25_000).contains(&sharing),
        "clients_per_address",
        "1 to 25,000: an address has about 28,000 free ports",
    )?;
    need(plan.workers <= 256, "workers", "at most 256")?;
    need(plan.processes <= 64, "processes", "at most 64")?;
    let sum = plan.transport.tls.checked_add(plan.transport.quic);
    need(
        sum.is_some_and(|sum| sum > 0),
        "transport",
        "a share must be above 0",
    )
}

fn phases(plan: &Plan) -> Result<(), Wrong> {
    let phases = &plan.phases;
    need(
        phases.ramp > 0,
        "phases.ramp",
        "at least one client a second",
    )?;
    need(
        !phases.steady.is_zero(),
        "phases.steady",
        "must not be empty",
    )?;
    for (key, phase) in [
        ("phases.warm_up", phases.warm_up),
        ("phases.steady", phases.steady),
        ("phases.drain", phases.drain),
    ] {
        need(phase <= MAX_PHASE, key, "at most 24h")?;
    }
    Ok(())
}

fn messages(plan: &Plan) -> Result<(), Wrong> {
    let messages = &plan.messages;
    for (key, rate) in [
        ("messages.text", messages.text),
        ("messages.custom", messages.custom),
        ("messages.gift", messages.gift),
        ("messages.like", messages.like),
    ] {
        need(
            (0.0..=1_000_000.0).contains(&rate),
            key,
            "0 to 1,000,000 a second",
        )?;
    }
    let publishers = messages.publishers;
    need(
        publishers > 0 || messages.per_second() == 0.0 || messages.from == From::Host,
        "messages.publishers",
        "somebody must send the messages",
    )?;
    need(
        (payload::MIN_LEN..=MAX_PAYLOAD).contains(&messages.payload_bytes),
        "messages.payload_bytes",
        &format!(
            "{} to {MAX_PAYLOAD}: the send time and a checksum ride in it",
            payload::MIN_LEN
        ),
    )
}

fn host(plan: &Plan) -> Result<(), Wrong> {
    let host = &plan.host;
    need(
        host.grace <= Duration::from_secs(120),
        "host.grace",
        "at most 120s",
    )?;
    let Some(crash) = &host.crash else {
        return Ok(());
    };
    need(host.live, "host.crash", "needs host.live = true")?;
    need(
        crash.at < plan.phases.steady,
        "host.crash.at",
        "must lie in the steady phase",
    )?;
    let back = crash.returns_after.unwrap_or_default();
    need(
        crash.at + back < plan.phases.steady,
        "host.crash.returns_after",
        "the return must lie in the steady phase",
    )
}

fn slow_readers(plan: &Plan) -> Result<(), Wrong> {
    let slow = &plan.slow_readers;
    if slow.count == 0 {
        return Ok(());
    }
    let viewers = u64::from(plan.viewers) * u64::from(plan.rooms);
    need(
        u64::from(slow.count) < viewers,
        "slow_readers.count",
        "fewer than viewers",
    )?;
    need(
        slow.stopped_for < slow.every,
        "slow_readers.stopped_for",
        "less than slow_readers.every, else nothing undisturbed is left",
    )?;
    let end = slow.first_at + slow.every * slow.count;
    need(
        end <= plan.phases.steady,
        "slow_readers.count",
        "first_at + count x every must lie in the steady phase",
    )
}

fn hostile(plan: &Plan) -> Result<(), Wrong> {
    let hostile = &plan.hostile;
    if hostile.connections == 0 {
        return Ok(());
    }
    need(
        hostile.per_second > 0,
        "hostile.per_second",
        "at least one a second",
    )?;
    let shares = [
        hostile.silent,
        hostile.half_hello,
        hostile.no_login,
        hostile.drip,
        hostile.half_frame,
    ];
    let sum = shares
        .iter()
        .try_fold(0u32, |sum, share| sum.checked_add(*share));
    need(
        sum.is_some_and(|sum| sum > 0),
        "hostile",
        "a share must be above 0",
    )
}

fn gateway(plan: &Plan) -> Result<(), Wrong> {
    toml::from_str::<toml::Table>(&plan.gateway.settings)
        .map(drop)
        .map_err(|error| ("gateway.settings", error.message().to_owned()))
}
