//! What a run tells: a table for people, JSON for programs, one verdict.

mod table;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::hostile;
use crate::latency::Summary;
use crate::plan::Plan;
use crate::tally::Tally;

pub(crate) use self::table::{checks, render};

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
    /// Clients that logged in and entered.
    pub(crate) entered: u64,
    /// Messages that the plan wanted sent.
    pub(crate) planned: u64,
    /// Messages sent.
    pub(crate) sent: u64,
    /// Messages and likes accepted.
    pub(crate) accepted: u64,
    /// Messages that the room's rate limit discarded.
    pub(crate) discarded: u64,
    /// Messages delivered.
    pub(crate) deliveries: u64,
    /// Those of the steady phase.
    pub(crate) measured: u64,
    /// Pushes of every kind.
    pub(crate) pushes: u64,
    /// Bytes of frames that came.
    pub(crate) bytes_in: u64,
    /// Sequenced pushes that a client never got.
    pub(crate) lost: u64,
    /// Of these, announced by the gateway.
    pub(crate) announced: u64,
    /// Jumps.
    pub(crate) gaps: u64,
    /// Repeats.
    pub(crate) duplicates: u64,
    /// Late ones.
    pub(crate) out_of_order: u64,
    /// Wrong content.
    pub(crate) corrupt: u64,
    /// Pushes of other rooms.
    pub(crate) foreign: u64,
    /// Clients with a wrong running total.
    pub(crate) wrong_totals: u64,
    /// Errors by kind.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Ends of connections by reason.
    pub(crate) closes: BTreeMap<String, u64>,
    /// What became of stopped readers.
    pub(crate) slow: BTreeMap<String, u64>,
    /// What clients were told about lives.
    pub(crate) lives: Lives,
    /// From the intended send time to the delivery, no reader stopped.
    pub(crate) latency: Option<Summary>,
    /// The same while one was.
    pub(crate) disturbed: Option<Summary>,
    /// To each message's last delivery.
    pub(crate) last: Option<Summary>,
    /// From dial to snapshot.
    pub(crate) entering: Option<Summary>,
    /// From send to reply.
    pub(crate) replies: Option<Summary>,
    /// How late messages left.
    pub(crate) lateness: Option<Summary>,
    /// Memory of the gateway.
    pub(crate) memory: Option<Memory>,
    /// CPU of the gateway in the steady phase.
    pub(crate) cpu: Option<Cpu>,
    /// Hostile connections by kind.
    pub(crate) hostile: Vec<hostile::Figures>,
    /// What the backend was told.
    pub(crate) callbacks: Option<Callbacks>,
}

/// What clients were told about lives.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Lives {
    /// Starts told.
    pub(crate) started: u64,
    /// Hosts told away.
    pub(crate) away: u64,
    /// Hosts told back.
    pub(crate) back: u64,
    /// Ends told.
    pub(crate) ended: u64,
    /// Ends that were to be told.
    pub(crate) ends_expected: u64,
    /// Clients that were told wrongly.
    pub(crate) ends_wrong: u64,
    /// From the crash to host-away.
    pub(crate) away_after: Option<Summary>,
    /// Between the announced end of the grace and the end told.
    pub(crate) end_off: Option<Summary>,
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
    pub(crate) name: &'static str,
    /// The limit, with its sense.
    pub(crate) limit: String,
    /// What was seen.
    pub(crate) seen: f64,
    /// Whether it held.
    pub(crate) held: bool,
}

impl Check {
    /// Holds while `seen` is not above `limit`.
    pub(crate) fn at_most(name: &'static str, limit: f64, seen: f64) -> Self {
        Self {
            name,
            limit: format!("<= {}", table::number(limit)),
            seen,
            held: seen <= limit,
        }
    }

    /// Holds while `seen` is not below `limit`.
    pub(crate) fn at_least(name: &'static str, limit: f64, seen: f64) -> Self {
        Self {
            name,
            limit: format!(">= {}", table::number(limit)),
            seen,
            held: seen >= limit,
        }
    }
}

impl Figures {
    /// The figures that a tally holds.
    pub(crate) fn of(tally: &Tally) -> Self {
        let lives = &tally.lives;
        Self {
            entered: tally.entered,
            planned: tally.planned,
            sent: tally.sent,
            accepted: tally.accepted,
            discarded: tally.discarded,
            deliveries: tally.deliveries,
            measured: tally.measured,
            pushes: tally.pushes,
            bytes_in: tally.bytes_in,
            lost: tally.lost,
            announced: tally.announced,
            gaps: tally.gaps,
            duplicates: tally.duplicates,
            out_of_order: tally.out_of_order,
            corrupt: tally.corrupt,
            foreign: tally.foreign,
            wrong_totals: tally.wrong_totals,
            errors: tally.errors.clone(),
            closes: tally.closes.clone(),
            slow: tally.slow.clone(),
            lives: Lives {
                started: lives.started,
                away: lives.away,
                back: lives.back,
                ended: lives.ended,
                ends_expected: lives.ends_expected,
                ends_wrong: lives.ends_wrong,
                away_after: lives.away_after.summary(),
                end_off: lives.end_off.summary(),
            },
            latency: tally.latency.summary(),
            disturbed: tally.disturbed.summary(),
            entering: tally.entering.summary(),
            replies: tally.replies.summary(),
            lateness: tally.lateness.summary(),
            ..Self::default()
        }
    }
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
                deliveries: 1_234_567,
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
        assert_eq!(json["plan"]["phases"]["steady"], "10s");
    }
}
