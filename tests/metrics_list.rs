//! The list of metrics in docs/operations.md is the one that is served.
//!
//! The property: an operator finds every metric with its labels in the
//! documentation, and nothing there that does not exist. Run with
//! `UPDATE_DOCS=1` to write the list anew.

#![allow(clippy::unwrap_used, reason = "a test may fail so")]

use std::collections::BTreeSet;
use std::path::Path;

use livegate::telemetry::Metrics;

const BEGIN: &str = "<!-- metrics: written by tests/metrics_list.rs -->\n";
const END: &str = "<!-- end of metrics -->";

#[test]
fn the_documented_metrics_are_those_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (documented, after) = rest.split_once(END).unwrap();
    let served = list(&Metrics::new(1).render());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{served}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(documented, served, "run with UPDATE_DOCS=1");
}

/// The families of an exposition as a table.
fn list(exposition: &str) -> String {
    let mut table = String::from("| metric | kind | labels | tells |\n| --- | --- | --- | --- |\n");
    for line in exposition.lines() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        let kind = kind_of(exposition, name);
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels = labels_of(exposition, name, kind);
        let help = help.trim_end_matches('.');
        table += &format!("| `{name}{suffix}` | {kind} | {labels} | {help} |\n");
    }
    table
}

fn kind_of<'a>(exposition: &'a str, name: &str) -> &'a str {
    let head = format!("# TYPE {name} ");
    exposition
        .lines()
        .find_map(|line| line.strip_prefix(&head))
        .unwrap()
}

/// Names of the labels of a family's samples, without a histogram's own `le`.
fn labels_of(exposition: &str, name: &str, kind: &str) -> String {
    let sample = match kind {
        "counter" => format!("{name}_total{{"),
        "info" => format!("{name}_info{{"),
        "histogram" => format!("{name}_bucket{{"),
        _ => format!("{name}{{"),
    };
    let mut names = BTreeSet::new();
    for line in exposition.lines() {
        let Some(labels) = line.strip_prefix(&sample) else {
            continue;
        };
        let labels = labels.split('}').next().unwrap();
        names.extend(
            labels
                .split("\",")
                .map(|label| label.split('=').next().unwrap()),
        );
    }
    names.remove("le");
    let names: Vec<&str> = names.into_iter().collect();
    names.join(", ")
}
