//! A comparison as tables for a terminal.

use comfy_table::{Cell, Table};

use super::bootstrap::Interval;
use super::verdict::{Compared, Medians, Report};
use crate::report::{checks, number, right, table};

/// A row of the table of medians: its name, its figure, digits behind the point.
type Row = (&'static str, fn(&Medians) -> Option<Interval>, usize);

/// The rows of the table of medians.
pub(super) const ROWS: [Row; 16] = [
    ("CPU per delivery, us", |m| m.cpu_per_delivery_us, 3),
    ("CPU, % of a core", |m| m.cpu_percent, 1),
    ("of it in user mode, %", |m| m.user_percent, 0),
    ("ready without a core, %", |m| m.waited_percent, 1),
    ("deliveries/s", |m| m.per_second, 0),
    ("deliveries per write", |m| m.batch, 2),
    ("deliveries per read", |m| m.per_read, 2),
    ("p50, ms", |m| m.p50_ms, 2),
    ("p99, ms", |m| m.p99_ms, 2),
    ("last subscriber p50, ms", |m| m.last_p50_ms, 2),
    ("last subscriber p99, ms", |m| m.last_p99_ms, 2),
    ("CPU per connect, us", |m| m.cpu_per_connect_us, 0),
    ("RSS per connection, KiB", |m| m.rss_per_connection_kib, 2),
    ("99 % back after, ms", |m| m.back_99_ms, 0),
    ("99 % back / CPU it takes", |m| m.back_ratio, 2),
    ("context switches/s", |m| m.switches, 0),
];

/// A row that counts over all blocks.
type Count = (&'static str, fn(&Medians) -> u64);

/// The rows below it.
pub(super) const COUNTS: [Count; 2] = [
    ("lost, all blocks", |medians| medians.lost),
    ("faults, all blocks", |medians| medians.faults),
];

/// The report for people.
pub(super) fn render(report: &Report) -> String {
    let plan = &report.plan;
    let mut text = format!("{}: {}\n{}\n", report.name, plan.about, setting(report));
    if !report.release {
        text += "built without --release: figures of time and memory mean little\n";
    }
    text += &format!("{}\n", medians(report));
    if !report.ratios.is_empty() {
        text += &format!("{}\n", ratios(&report.ratios));
    }
    text += &checks(&report.checks).map_or_else(String::new, |table| format!("{table}\n"));
    for figures in &report.blocks {
        for (why, n) in &figures.errors {
            let block = figures.block + 1;
            text += &format!("{}, block {block}: {why} x {n}\n", figures.target);
        }
    }
    text
}

/// What was played, in a line.
pub(super) fn setting(report: &Report) -> String {
    let plan = &report.plan;
    let pace = match (plan.in_flight, plan.rate) {
        (0, 0.0) => "nothing said".to_owned(),
        (0, rate) => format!("{} messages/s", number(rate)),
        (in_flight, _) => format!("{in_flight} in flight"),
    };
    let held_to = |cpus: &[usize]| match cpus {
        [] => "any core".to_owned(),
        cpus => format!("{} core(s)", cpus.len()),
    };
    format!(
        "{} subscribers, {} bytes, {pace}, {} blocks of {}; server on {}, subscribers on {}, \
         of {} cores",
        plan.subscribers,
        plan.payload_bytes,
        plan.blocks,
        crate::span::print(plan.steady),
        held_to(&plan.server_cpus),
        held_to(&plan.worker_cpus),
        report.cores
    )
}

/// `n` with `digits` behind the point.
pub(super) fn shown(n: Option<f64>, digits: usize) -> String {
    n.map_or_else(|| "-".to_owned(), |n| format!("{n:.digits$}"))
}

fn medians(report: &Report) -> Table {
    let mut header = vec!["median"];
    header.extend(report.targets.iter().map(|medians| medians.target.name()));
    let mut table = table(&header);
    for (name, figure, digits) in ROWS {
        let mut row = vec![Cell::new(name)];
        row.extend(report.targets.iter().map(|medians| {
            let median = figure(medians).map(|figure| figure.median);
            right(shown(median, digits))
        }));
        table.add_row(row);
    }
    for (name, count) in COUNTS {
        let mut row = vec![Cell::new(name)];
        row.extend(report.targets.iter().map(|medians| right(count(medians))));
        table.add_row(row);
    }
    table
}

fn ratios(ratios: &[Compared]) -> Table {
    let mut table = table(&["ratio within a block", "median", "95 % interval", "at most"]);
    for ratio in ratios {
        table.add_row([
            Cell::new(name(ratio)),
            right(shown(Some(ratio.ratio.median), 3)),
            right(format!("{:.3} to {:.3}", ratio.ratio.low, ratio.ratio.high)),
            right(ratio.at_most.map_or_else(String::new, number)),
        ]);
    }
    table
}

/// A ratio in words.
pub(super) fn name(ratio: &Compared) -> String {
    format!("{} / {}, {}", ratio.of, ratio.by, ratio.figure.name())
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Judge, Target};
    use super::super::verdict::tests::{plan, played};
    use super::*;

    #[test]
    fn every_target_has_its_column_and_every_ratio_its_line() {
        let blocks = vec![
            played(Target::Livegate, 0, 2.0),
            played(Target::Limit, 0, 1.0),
        ];
        let report = Report::new(4, "p", plan(Judge::Median, 1.25), 0, blocks);
        let text = render(&report);
        for part in [
            "livegate / limit",
            "2.000",
            "NOT HELD",
            "deliveries per write",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
