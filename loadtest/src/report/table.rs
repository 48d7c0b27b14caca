//! Reports as tables for a terminal.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, Table};

use super::{Check, Figures, Memory, Report};
use crate::latency::Summary;

/// The report for people.
pub(crate) fn render(report: &Report) -> String {
    let mut text = format!("{}: {}\n", report.name, report.plan.about);
    if !report.release {
        text += "built without --release: figures of time and memory mean little\n";
    }
    for table in [
        figures(&report.figures),
        latencies(&report.figures),
        hostile_table(&report.figures),
        checks(&report.checks),
    ] {
        text += &table.map(|table| format!("{table}\n")).unwrap_or_default();
    }
    for (what, kinds) in [
        ("error", &report.figures.tally.errors),
        ("stopped", &report.figures.tally.slow),
    ] {
        for (kind, n) in kinds {
            text += &format!("{what}: {kind} x {n}\n");
        }
    }
    if let Some(callbacks) = &report.figures.callbacks {
        for complaint in &callbacks.complaints {
            text += &format!("callback: {complaint}\n");
        }
    }
    text
}

/// A table with `header`.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(header.iter().map(Cell::new));
    table
}

/// A cell whose text stands on the right.
pub(crate) fn right(text: impl ToString) -> Cell {
    Cell::new(text.to_string()).set_alignment(CellAlignment::Right)
}

fn figures(figures: &Figures) -> Option<Table> {
    let tally = &figures.tally;
    let mut table = table(&["figure", "seen"]);
    let counts = [
        ("clients entered", tally.entered),
        ("messages and likes sent", tally.sent),
        ("accepted", tally.accepted),
        ("discarded by the room's limit", tally.discarded),
        ("deliveries", tally.deliveries),
        ("bytes received", tally.bytes_in),
        ("lost", tally.lost),
        (
            "gaps / duplicates / out of order",
            tally.gaps + tally.duplicates + tally.out_of_order,
        ),
        (
            "host-away, host-back told",
            tally.lives.away + tally.lives.back,
        ),
        ("live-ended told", tally.lives.ended),
    ];
    for (name, n) in counts {
        table.add_row([Cell::new(name), right(grouped(n))]);
    }
    let mut figure = |name: &str, text: String| {
        table.add_row([Cell::new(name), right(text)]);
    };
    if let Some(memory) = &figures.memory {
        figure("gateway RSS before / steady / end, MiB", mib(memory));
        figure("RSS per connection, KiB", number(memory.per_connection_kib));
        if memory.longest_send_queue > 0 {
            let bytes = grouped(memory.longest_send_queue);
            figure("longest send queue in the kernel, bytes", bytes);
        }
    }
    if let Some(cpu) = &figures.cpu {
        let text = format!(
            "{} ({} user, {} system)",
            number(cpu.cores),
            number(cpu.user_s),
            number(cpu.system_s)
        );
        figure("gateway CPU, cores (s, s)", text);
        figure("CPU per delivery, us", number(cpu.per_delivery_us));
    }
    if let Some(callbacks) = &figures.callbacks {
        let text = format!(
            "{} / {} in {}",
            callbacks.started, callbacks.ended, callbacks.attempts
        );
        figure("callbacks: lives started / ended, in tellings", text);
    }
    Some(table)
}

fn mib(memory: &Memory) -> String {
    let mib = |kib: u64| number(kib as f64 / 1024.0);
    let Memory {
        before_kib,
        steady_kib,
        end_kib,
        ..
    } = memory;
    format!(
        "{} / {} / {}",
        mib(*before_kib),
        mib(*steady_kib),
        mib(*end_kib)
    )
}

fn latencies(figures: &Figures) -> Option<Table> {
    let mut table = table(&["latency, ms", "count", "p50", "p90", "p99", "p99.9", "max"]);
    let tally = &figures.tally;
    let rows = [
        ("delivery, from the intended send", &tally.latency),
        ("delivery while a reader is stopped", &tally.disturbed),
        ("last delivery of each message", &figures.last),
        ("reply to a send", &tally.replies),
        ("dial, login and enter", &tally.entering),
        ("publisher late by", &tally.lateness),
        ("crash to host-away", &tally.lives.away_after),
        ("live-ended off the end of the grace", &tally.lives.end_off),
    ];
    for (name, latency) in rows {
        if let Some(summary) = latency.summary() {
            table.add_row(latency_row(name, &summary));
        }
    }
    (table.row_count() > 0).then_some(table)
}

fn latency_row(name: &str, summary: &Summary) -> Vec<Cell> {
    let figures = [
        summary.p50_ms,
        summary.p90_ms,
        summary.p99_ms,
        summary.p999_ms,
        summary.max_ms,
    ];
    let mut row = vec![Cell::new(name), right(grouped(summary.count))];
    row.extend(figures.map(|figure| right(number(figure))));
    row
}

fn hostile_table(figures: &Figures) -> Option<Table> {
    let mut table = table(&[
        "hostile",
        "opened",
        "turned away",
        "left open",
        "ended p50, s",
        "max, s",
    ]);
    for kind in &figures.hostile {
        let seconds = |pick: fn(&Summary) -> f64| {
            let ms = kind.ended.as_ref().map(pick);
            right(ms.map(|ms| number(ms / 1_000.0)).unwrap_or_default())
        };
        table.add_row([
            Cell::new(kind.kind),
            right(grouped(kind.opened)),
            right(grouped(kind.refused)),
            right(grouped(kind.left_open)),
            seconds(|s| s.p50_ms),
            seconds(|s| s.max_ms),
        ]);
    }
    (table.row_count() > 0).then_some(table)
}

/// The table of a verdict.
pub(crate) fn checks(checks: &[Check]) -> Option<Table> {
    let mut table = table(&["limit", "", "seen", ""]);
    for check in checks {
        table.add_row([
            Cell::new(&check.name),
            right(&check.limit),
            right(number(check.seen)),
            Cell::new(if check.held { "held" } else { "NOT HELD" }),
        ]);
    }
    (table.row_count() > 0).then_some(table)
}

/// A number with as many digits as mean something.
pub(crate) fn number(n: f64) -> String {
    if n.fract() == 0.0 && n.abs() < 1e15 {
        return format!("{n:.0}");
    }
    match n.abs() {
        small if small < 10.0 => format!("{n:.2}"),
        middle if middle < 1_000.0 => format!("{n:.1}"),
        _ => format!("{n:.0}"),
    }
}

/// An integer with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(3.0), "3");
        assert_eq!(number(0.123_4), "0.12");
        assert_eq!(number(123.456), "123.5");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12), "12");
    }
}
