//! From what the workers bring home to figures, and from figures to a verdict.
//! Pure.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::board::Board;
use crate::hostile;
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::machine::Usage;
use crate::member::Remains;
use crate::plan::Plan;
use crate::report::{Callbacks, Check, Cpu, Figures, Memory};
use crate::tally::Tally;
use crate::worker::Harvest;

/// Everything that a run brought home.
#[derive(Debug)]
pub(crate) struct Catch {
    /// Of each worker.
    pub(crate) harvests: Vec<Harvest>,
    /// Of the hostile part.
    pub(crate) hostile: Vec<hostile::Figures>,
    /// Looks at the gateway's process, if it could be looked at.
    pub(crate) looks: Option<Looks>,
    /// What the backend of straw was told, if there was one.
    pub(crate) callbacks: Option<Callbacks>,
}

/// What the gateway's process had used at the turns of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Looks {
    /// Before the first client.
    pub(crate) before: Usage,
    /// At the beginning of the steady phase.
    pub(crate) steady: Usage,
    /// At its end.
    pub(crate) end: Usage,
    /// The most memory seen in between, KiB: in the first half, in the second.
    pub(crate) peak_rss_kib: [u64; 2],
    /// The longest kernel send queue of one connection while a reader was
    /// stopped, bytes.
    pub(crate) longest_queue: u64,
    /// Length of the steady phase as it was.
    pub(crate) lasted: Duration,
}

/// Sums up a run.
pub(crate) fn sum_up(plan: &Plan, board: &Board, run: Catch) -> Figures {
    let mut tally = Tally::default();
    let mut ledgers = vec![Ledger::default(); board.rooms.len()];
    for harvest in &run.harvests {
        tally.add(&harvest.tally);
        for (sum, ledger) in ledgers.iter_mut().zip(&harvest.ledgers) {
            sum.merge(ledger);
        }
    }
    for ledger in &ledgers {
        tally.corrupt += ledger.disagreements() + ledger.broken_promises();
    }
    for remains in run.harvests.iter().flat_map(|harvest| &harvest.remains) {
        settle(&mut tally, board, &ledgers, remains);
    }
    let mut last = Latency::default();
    for ledger in &ledgers {
        ledger.last_latencies(&mut last);
    }
    Figures {
        clients: u64::from(plan.clients()),
        memory: run.looks.map(|looks| memory(&looks, tally.entered)),
        cpu: run.looks.map(|looks| cpu(&looks, &tally)),
        tally,
        last,
        hostile: run.hostile,
        callbacks: run.callbacks,
    }
}

/// Adds what a client missed.
fn settle(tally: &mut Tally, board: &Board, ledgers: &[Ledger], remains: &Remains) {
    let Some((epoch, newest, missing)) = remains.view else {
        return;
    };
    let room = board.room(remains.room);
    let head = ledgers[remains.room as usize].newest(epoch);
    tally.lost += missing + head.saturating_sub(newest);
    tally.wrong_totals += u64::from(remains.likes != room.likes.load(Relaxed));
    let live = room.live.lock().clone();
    let ends = room.ends.load(Relaxed);
    let told = |id: &str| {
        let ends = remains.ends.iter().filter(|(live, _)| live == id);
        ends.map(|(_, n)| *n).sum::<u32>()
    };
    let expected = u32::from(ends);
    let of_ours = live.as_deref().map_or(0, told);
    let of_others = remains.ends.iter().map(|(_, n)| n).sum::<u32>() - of_ours;
    tally.lives.ends_expected += u64::from(expected);
    tally.lives.ends_wrong += u64::from(of_ours != expected || of_others > 0);
}

fn memory(looks: &Looks, connections: u64) -> Memory {
    let grown = looks.steady.rss_kib.saturating_sub(looks.before.rss_kib);
    let [first, second] = looks.peak_rss_kib;
    Memory {
        before_kib: looks.before.rss_kib,
        steady_kib: looks.steady.rss_kib,
        end_kib: looks.end.rss_kib,
        peak_kib: first.max(second),
        late_growth_kib: second.saturating_sub(first),
        per_connection_kib: ratio(grown as f64, connections as f64),
        longest_send_queue: looks.longest_queue,
    }
}

fn cpu(looks: &Looks, tally: &Tally) -> Cpu {
    let user = looks.end.user.saturating_sub(looks.steady.user);
    let system = looks.end.system.saturating_sub(looks.steady.system);
    let used = (user + system).as_secs_f64();
    Cpu {
        user_s: user.as_secs_f64(),
        system_s: system.as_secs_f64(),
        cores: ratio(used, looks.lasted.as_secs_f64()),
        per_delivery_us: ratio(used * 1e6, tally.measured as f64),
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Holds the figures of a run against the plan's limits.
pub(crate) fn judge(plan: &Plan, figures: &Figures) -> Vec<Check> {
    let (limits, tally) = (&plan.limits, &figures.tally);
    let most = |name, limit: u64, seen: u64| Check::at_most(name, limit as f64, seen as f64);
    let mut checks = vec![
        most(
            "clients missing",
            0,
            figures.clients.saturating_sub(tally.entered),
        ),
        most("lost", limits.lost, tally.lost),
        most("gaps", limits.gaps, tally.gaps),
        most("duplicates", limits.duplicates, tally.duplicates),
        most("out of order", limits.out_of_order, tally.out_of_order),
        most(
            "corrupt or foreign",
            limits.corrupt,
            tally.corrupt + tally.foreign,
        ),
        most("errors", limits.errors, tally.errors.values().sum()),
        most("wrong totals", limits.wrong_totals, tally.wrong_totals),
        Check::at_least(
            "sent, % of planned",
            limits.sent_percent,
            match tally.planned {
                0 => 100.0,
                planned => 100.0 * tally.sent as f64 / planned as f64,
            },
        ),
    ];
    if limits.ended_exactly_once && plan.host.live {
        checks.push(most("ends told wrongly", 0, tally.lives.ends_wrong));
    }
    latencies(plan, figures, &mut checks);
    slow_readers(plan, tally, &mut checks);
    if plan.hostile.connections > 0 {
        let open = figures.hostile.iter().map(|kind| kind.left_open).sum();
        checks.push(most("hostile left open", limits.hostile_open, open));
    }
    process(plan, figures, &mut checks);
    if let Some(callbacks) = &figures.callbacks {
        checks.push(most("callbacks missing", 0, callbacks.missing));
        checks.push(most("callbacks wrong", 0, callbacks.wrong));
    }
    checks
}

fn latencies(plan: &Plan, figures: &Figures, checks: &mut Vec<Check>) {
    let limits = &plan.limits;
    let of = |name, limit: Option<f64>, seen: Option<f64>| {
        limit.map(|limit| Check::at_most(name, limit, seen.unwrap_or(f64::INFINITY)))
    };
    let all = figures.tally.latency.summary();
    let last = figures.last.summary();
    checks.extend(of("p50, ms", limits.p50_ms, all.map(|l| l.p50_ms)));
    checks.extend(of("p99, ms", limits.p99_ms, all.map(|l| l.p99_ms)));
    checks.extend(of(
        "last p99, ms",
        limits.last_p99_ms,
        last.map(|l| l.p99_ms),
    ));
    let entering = figures.tally.entering.summary();
    checks.extend(of(
        "entering p99, ms",
        limits.enter_p99_ms,
        entering.map(|l| l.p99_ms),
    ));
    let disturbed = figures.tally.disturbed.summary();
    let ratio = disturbed
        .zip(all)
        .map(|(with, without)| with.p99_ms / without.p99_ms);
    checks.extend(of(
        "p99 with a stopped reader / without",
        limits.disturbed_p99_ratio,
        ratio,
    ));
}

fn slow_readers(plan: &Plan, tally: &Tally, checks: &mut Vec<Check>) {
    let planned = u64::from(plan.slow_readers.count);
    if planned == 0 || !plan.limits.slow_closed {
        return;
    }
    let open = tally.slow.get("still open").copied().unwrap_or_default();
    let closed = tally.slow.values().sum::<u64>() - open;
    checks.push(Check::at_least(
        "stopped readers closed",
        planned as f64,
        closed as f64,
    ));
}

fn process(plan: &Plan, figures: &Figures, checks: &mut Vec<Check>) {
    let limits = &plan.limits;
    if let (Some(limit), Some(memory)) = (limits.rss_per_connection_kib, &figures.memory) {
        let seen = memory.per_connection_kib;
        checks.push(Check::at_most("RSS per connection, KiB", limit, seen));
    }
    if let (Some(limit), Some(memory)) = (limits.rss_growth_mib, &figures.memory) {
        let grown = memory.peak_kib.saturating_sub(memory.steady_kib) as f64 / 1024.0;
        checks.push(Check::at_most("RSS growth while steady, MiB", limit, grown));
    }
    if let (Some(limit), Some(memory)) = (limits.rss_late_growth_mib, &figures.memory) {
        let grown = memory.late_growth_kib as f64 / 1024.0;
        checks.push(Check::at_most(
            "RSS growth, first half to second, MiB",
            limit,
            grown,
        ));
    }
    if let (Some(limit), Some(cpu)) = (limits.cpu_per_delivery_us, &figures.cpu) {
        checks.push(Check::at_most(
            "CPU per delivery, us",
            limit,
            cpu.per_delivery_us,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Stamp;

    fn harvest(remains: Remains, newest: u64) -> Harvest {
        let mut ledger = Ledger::default();
        let stamp = Stamp {
            publisher: 0,
            number: 0,
            intended: 1,
        };
        ledger.note(1, newest, 7, 10).is(&stamp, true);
        Harvest {
            tally: Tally::default(),
            ledgers: vec![ledger],
            remains: vec![remains],
        }
    }

    fn remains(newest: u64, ends: &[(&str, u32)]) -> Remains {
        Remains {
            room: 0,
            view: Some((1, newest, 0)),
            ends: ends.iter().map(|(l, n)| ((*l).to_owned(), *n)).collect(),
            likes: 0,
        }
    }

    fn figures(board: &Board, harvests: Vec<Harvest>) -> Figures {
        let plan = Plan::default();
        let run = Catch {
            harvests,
            hostile: Vec::new(),
            looks: None,
            callbacks: None,
        };
        sum_up(&plan, board, run)
    }

    fn board(ends: bool) -> Board {
        let board = Board::new(1, 1);
        *board.room(0).live.lock() = Some("L".to_owned());
        board.room(0).ends.store(ends, Relaxed);
        board
    }

    #[test]
    fn a_tail_that_one_client_missed_is_lost() {
        let all = harvest(remains(9, &[]), 9);
        let short = harvest(remains(7, &[]), 7);
        assert_eq!(figures(&board(false), vec![all, short]).tally.lost, 2);
    }

    #[test]
    fn an_end_must_be_told_once_when_there_was_one_and_never_when_not() {
        let wrong = |ends, told: &[(&str, u32)]| {
            let harvests = vec![harvest(remains(1, told), 1)];
            figures(&board(ends), harvests).tally.lives.ends_wrong
        };
        assert_eq!(wrong(true, &[("L", 1)]), 0);
        assert_eq!(wrong(true, &[]), 1);
        assert_eq!(wrong(true, &[("L", 2)]), 1);
        assert_eq!(wrong(true, &[("L", 1), ("M", 1)]), 1);
        assert_eq!(wrong(false, &[]), 0);
        assert_eq!(wrong(false, &[("L", 1)]), 1);
    }

    #[test]
    fn a_limit_that_cannot_be_judged_does_not_hold() {
        let mut plan = Plan::default();
        plan.limits.p99_ms = Some(100.0);
        let figures = figures(&board(false), Vec::new());
        let checks = judge(&plan, &figures);
        let p99 = checks.iter().find(|c| c.name.starts_with("p99")).unwrap();
        assert!(!p99.held);
    }
}
