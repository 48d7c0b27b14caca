//! What a run tells: a table for people, JSON for programs, one verdict.

mod table;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::hostile;
use crate::latency::Latency;
use crate::plan::Plan;
use crate::tally::Tally;

pub(crate) use self::table::{checks, number, render, right, table};

/// A run, for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Name of the plan.
    pub(crate) name: String,
    /// The plan itself.
    pub(crate) plan: Plan,
    /// When it began, Unix milliseconds.
    pub(crate) began_ms: u64,
    /// Cores of the machine.
    pub(crate) cores: usize,
    /// Whether this program and the gateway were built for release.
    pub(crate) release: bool,
    /// What was seen.
    pub(crate) figures: Figures,
    /// What was judged.
    pub(crate) checks: Vec<Check>,
    /// Whether every check held.
    pub(crate) held: bool,
    /// The gateway's own counters at the end of the steady phase.
    pub(crate) gateway: BTreeMap<String, f64>,
}

/// Figures of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figures {
    /// Clients of the plan.
    pub(crate) clients: u64,
    /// What the clients counted.
    #[serde(flatten)]
    pub(crate) tally: Tally,
    /// To each message's last delivery.
    pub(crate) last: Latency,
    /// Memory of the gateway.
    pub(crate) memory: Option<Memory>,
    /// CPU of the gateway in the steady phase.
    pub(crate) cpu: Option<Cpu>,
    /// Hostile connections by kind.
    pub(crate) hostile: Vec<hostile::Figures>,
    /// What the backend was told.
    pub(crate) callbacks: Option<Callbacks>,
}

/// Memory of the gateway's process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    /// RSS before the first client, KiB.
    pub(crate) before_kib: u64,
    /// RSS when all had entered, KiB.
    pub(crate) steady_kib: u64,
    /// RSS at the end of the steady phase, KiB.
    pub(crate) end_kib: u64,
    /// The most RSS seen while steady, KiB.
    pub(crate) peak_kib: u64,
    /// How much more the most RSS of the second half is than that of the first,
    /// KiB.
    pub(crate) late_growth_kib: u64,
    /// (steady - before) / connections, KiB.
    pub(crate) per_connection_kib: f64,
    /// Longest kernel send queue of a connection while a reader was stopped, bytes.
    pub(crate) longest_send_queue: u64,
}

/// CPU of the gateway's process in the steady phase.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Cpu {
    /// In user mode, seconds.
    pub(crate) user_s: f64,
    /// In the kernel, seconds.
    pub(crate) system_s: f64,
    /// Cores kept busy.
    pub(crate) cores: f64,
    /// For each delivery, microseconds.
    pub(crate) per_delivery_us: f64,
}

/// What the backend of straw was told.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Callbacks {
    /// Lives told started.
    pub(crate) started: u64,
    /// Lives told ended.
    pub(crate) ended: u64,
    /// Tellings in all.
    pub(crate) attempts: u64,
    /// Lives of which it should have been told and was not.
    pub(crate) missing: u64,
    /// Tellings that were wrong.
    pub(crate) wrong: u64,
    /// The first of these in words.
    pub(crate) complaints: Vec<String>,
}

/// One figure held against its limit.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    /// What is judged.
    pub(crate) name: String,
    /// The limit, with its sense.
    pub(crate) limit: String,
    /// What was seen.
    pub(crate) seen: f64,
    /// Whether it held.
    pub(crate) held: bool,
}

impl Check {
    /// Holds while `seen` is not above `limit`.
    pub(crate) fn at_most(name: impl Into<String>, limit: f64, seen: f64) -> Self {
        Self {
            name: name.into(),
            limit: format!("<= {}", number(limit)),
            seen,
            held: seen <= limit,
        }
    }

    /// Holds while `seen` is not below `limit`.
    pub(crate) fn at_least(name: impl Into<String>, limit: f64, seen: f64) -> Self {
        Self {
            name: name.into(),
            limit: format!(">= {}", number(limit)),
            seen,
            held: seen >= limit,
        }
    }
}

/// The last line of a run: whether its limits held, and where the report is.
pub(crate) fn verdict(held: bool, place: impl std::fmt::Display) -> String {
    let held = match held {
        true => "all limits held",
        false => "NOT all limits held",
    };
    format!("{held}; {place}")
}

/// Writes `report` as JSON, making the directory if need be.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_json(report: &impl Serialize, file: &Path) -> Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    let json = serde_json::to_vec_pretty(report)?;
    std::fs::write(file, json).with_context(|| format!("writing {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: Vec<Check>) -> Report {
        Report {
            name: "p".to_owned(),
            plan: Plan::default(),
            began_ms: 1,
            cores: 4,
            release: true,
            figures: Figures {
                tally: Tally {
                    deliveries: 1_234_567,
                    ..Tally::default()
                },
                ..Figures::default()
            },
            held: checks.iter().all(|check| check.held),
            checks,
            gateway: BTreeMap::new(),
        }
    }

    #[test]
    fn a_limit_that_did_not_hold_stands_out() {
        let report = report(vec![
            Check::at_most("lost", 0.0, 3.0),
            Check::at_least("sent", 99.0, 100.0),
        ]);
        let text = render(&report);
        assert!(text.contains("1,234,567"), "{text}");
        assert!(text.contains("NOT HELD"), "{text}");
        assert!(!report.held);
    }

    #[test]
    fn the_json_has_the_plan_the_figures_and_the_verdict() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out/p.json");
        write_json(&report(Vec::new()), &file).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(json["held"], true);
        assert_eq!(json["figures"]["deliveries"], 1_234_567);
        assert!(json["figures"]["latency"].is_null(), "nothing was measured");
        assert_eq!(json["plan"]["phases"]["steady"], "10s");
    }
}
