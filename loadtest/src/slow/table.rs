//! A run as tables for a terminal.

use comfy_table::{Cell, Table};

use super::record::Phase;
use super::verdict::{Figures, Percentile, Report};
use crate::report::{checks, right, table};

/// A row of the table of medians: its name, its figure, digits behind the point.
type Row = (&'static str, fn(&Figures) -> Option<f64>, usize);

const ROWS: [Row; 12] = [
    (
        "rooms without questions, p50, ms",
        |b| b.plain.at(Percentile::P50),
        2,
    ),
    (
        "rooms without questions, p99, ms",
        |b| b.plain.at(Percentile::P99),
        2,
    ),
    (
        "pushes in the asking app, p50, ms",
        |b| b.pushed.at(Percentile::P50),
        2,
    ),
    (
        "pushes in the asking app, p99, ms",
        |b| b.pushed.at(Percentile::P99),
        2,
    ),
    ("questions answered", |b| Some(b.asks.answered as f64), 0),
    (
        "questions without an answer",
        |b| Some((b.asks.timed_out + b.asks.failed) as f64),
        0,
    ),
    ("not put, no place", |b| Some(b.asks.overloaded as f64), 0),
    ("not put, breaker open", |b| Some(b.asks.open as f64), 0),
    ("gateway CPU, % of a core", |b| Some(b.cpu_percent), 1),
    ("ready without a core, %", |b| Some(b.waited_percent), 1),
    (
        "gateway RSS at the end, MiB",
        |b| Some(b.rss_kib as f64 / 1_024.0),
        1,
    ),
    ("settled after the return, s", |b| b.back?.settles_s, 2),
];

/// The report for people.
pub(super) fn render(report: &Report) -> String {
    let mut text = format!("{}\n", report.setting);
    if !report.release {
        text += "built without --release: figures of time and memory mean little\n";
    }
    text += &format!("{}\n{}\n", medians(report), ratios(report));
    text += &checks(&report.checks).map_or_else(String::new, |table| format!("{table}\n"));
    if report.is_undecided() {
        text += "an interval reaches beyond its limit: not refuted, and not shown either; more \
                 rounds, or a quieter machine, would tell\n";
    }
    for (what, n) in &report.faults {
        text += &format!("fault: {what} x {n}\n");
    }
    text
}

fn medians(report: &Report) -> Table {
    let mut header = vec!["median of the rounds; the backend:"];
    header.extend(Phase::ALL.map(Phase::name));
    let mut table = table(&header);
    for (name, figure, digits) in ROWS {
        let mut row = vec![Cell::new(name)];
        row.extend(Phase::ALL.map(|phase| {
            let median = report.median(phase, figure);
            right(median.map_or_else(|| "-".to_owned(), |n| format!("{n:.digits$}")))
        }));
        table.add_row(row);
    }
    table
}

fn ratios(report: &Report) -> Table {
    let mut table = table(&["ratio within a round", "", "median", "95 % interval"]);
    for ratio in &report.ratios {
        let (of, by) = (ratio.of, ratio.by);
        let seen = ratio.ratio;
        table.add_row([
            Cell::new(format!("{}, {}", ratio.who.name(), ratio.percentile.name())),
            Cell::new(format!("{of} / {by}")),
            right(format!("{:.3}", seen.median)),
            right(format!("{:.3} to {:.3}", seen.low, seen.high)),
        ]);
    }
    table
}

/// What is said when a block is over.
pub(super) fn line(figures: &Figures, rounds: usize) -> String {
    let ms = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.2}"));
    let asks = &figures.asks;
    let mut line = format!(
        "round {} of {rounds}  {:<11}  p50 {:>6}  p99 {:>6}  pushes p99 {:>6} ms  asked {:>5} \
         (+{} in vain)  no place {:>5}  breaker {:>5}  without a core \
         {:>4.1} %  RSS {:>5.1} MiB",
        figures.round + 1,
        figures.phase,
        ms(figures.plain.at(Percentile::P50)),
        ms(figures.plain.at(Percentile::P99)),
        ms(figures.pushed.at(Percentile::P99)),
        asks.answered,
        asks.timed_out + asks.failed,
        asks.overloaded,
        asks.open,
        figures.waited_percent,
        figures.rss_kib as f64 / 1_024.0,
    );
    if let Some(back) = figures.back {
        let s = |n: Option<f64>| n.map_or_else(|| "never".to_owned(), |n| format!("{n:.2} s"));
        let (passes, settles) = (s(back.passes_s), s(back.settles_s));
        line += &format!("  passes after {passes}, settled {settles}");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::verdict::tests::{limits, played};
    use super::*;

    #[test]
    fn every_phase_has_its_column_and_what_did_not_hold_is_named() {
        let faults = BTreeMap::from([("closed: why".to_owned(), 2)]);
        let report = Report::new("played".to_owned(), limits(), played(5, 1.2), faults);
        let text = render(&report);
        for part in [
            "nobody asks",
            "slow / at once",
            "1.200",
            "NOT HELD",
            "closed: why x 2",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let line = line(&report.blocks[2], 5);
        assert!(line.contains("settled 2.00 s"), "{line}");
    }
}
