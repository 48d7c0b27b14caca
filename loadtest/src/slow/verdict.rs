//! Figures of a run, their ratios within a round, and whether limits held. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::counters::Asks;
use super::record::{Heard, Phase};
use crate::compare::{Interval, interval, median};
use crate::latency::Summary;
use crate::report::Check;

/// What a run must keep to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Limits {
    /// The others' p99 beside a disturbed backend, of that beside a quick one:
    /// the interval's lower end.
    pub(super) ratio: f64,
    /// Growth of the gateway's memory against the end of the first block, MiB.
    pub(super) growth_mib: f64,
    /// From the end of a slow backend to the last refusal.
    #[serde(with = "crate::span")]
    pub(super) slow_settles: Duration,
    /// From the end of a backend's absence to the last refusal.
    #[serde(with = "crate::span")]
    pub(super) down_settles: Duration,
    /// Whether the others' p99 and memory are judged.
    pub(super) timed: bool,
}

/// What one group heard.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Felt {
    /// Deliveries that should have come and did not, or came twice.
    pub(super) lost: u64,
    /// From when a message was due to each delivery; `None`: nothing came.
    pub(super) latency: Option<Summary>,
}

impl From<&Heard> for Felt {
    fn from(heard: &Heard) -> Self {
        Self {
            lost: heard.due.abs_diff(heard.came),
            latency: heard.latency.summary(),
        }
    }
}

impl Felt {
    /// The figure of `percentile`, ms.
    pub(super) fn at(&self, percentile: Percentile) -> Option<f64> {
        let latency = self.latency?;
        Some(match percentile {
            Percentile::P50 => latency.p50_ms,
            Percentile::P99 => latency.p99_ms,
        })
    }
}

/// A percentile that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Percentile {
    /// The median.
    P50,
    /// What 99 % do not exceed.
    P99,
}

impl Percentile {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
        }
    }
}

/// Who feels it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Who {
    /// Rooms without questions.
    Plain,
    /// Rooms of the asking app into which its backend pushes.
    Pushed,
}

impl Who {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "rooms without questions",
            Self::Pushed => "pushes in the asking app",
        }
    }
}

/// One block.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    /// Counted from 0.
    pub(super) round: usize,
    /// What the backend did.
    pub(super) phase: Phase,
    /// Rooms without questions.
    pub(super) plain: Felt,
    /// Rooms of the asking app into which its backend pushes.
    pub(super) pushed: Felt,
    /// What became of the questions.
    pub(super) asks: Asks,
    /// The gateway's memory at the end, KiB.
    pub(super) rss_kib: u64,
    /// The gateway's CPU, percent of one core.
    pub(super) cpu_percent: f64,
    /// Time that its threads were ready and had no core, percent: above a few
    /// the machine was busy with something else.
    pub(super) waited_percent: f64,
    /// How it came back from a disturbance.
    pub(super) back: Option<Return>,
}

impl Figures {
    fn felt(&self, who: Who) -> &Felt {
        match who {
            Who::Plain => &self.plain,
            Who::Pushed => &self.pushed,
        }
    }
}

/// How the askers fared once the backend was back, seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Return {
    /// To the first message said since that passed; `None`: none did in time.
    pub(super) passes_s: Option<f64>,
    /// To the last refusal, or the first message that passed.
    pub(super) settles_s: Option<f64>,
}

/// A percentile in one phase, of that in another, within a round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ratio {
    pub(super) who: Who,
    pub(super) of: Phase,
    pub(super) by: Phase,
    pub(super) percentile: Percentile,
    pub(super) ratio: Interval,
}

impl Ratio {
    /// Whether a limit is on it.
    fn is_judged(&self) -> bool {
        let of_quick = self.of.is_disturbed() && self.by == Phase::Quick;
        of_quick && self.who == Who::Plain && self.percentile == Percentile::P99
    }
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// What was played, in words.
    pub(super) setting: String,
    /// Whether this program was built for speed.
    pub(super) release: bool,
    /// What it must keep to.
    pub(super) limits: Limits,
    /// Block by block.
    pub(super) blocks: Vec<Figures>,
    /// Within a round.
    pub(super) ratios: Vec<Ratio>,
    /// What went wrong that should not.
    pub(super) faults: BTreeMap<String, u64>,
    /// The limits, one by one.
    pub(super) checks: Vec<Check>,
    /// Whether all of them held.
    pub(super) held: bool,
}

impl Report {
    /// Judges `blocks`.
    pub(super) fn new(
        setting: String,
        limits: Limits,
        blocks: Vec<Figures>,
        faults: BTreeMap<String, u64>,
    ) -> Self {
        let ratios = ratios(&blocks);
        let wrong = faults.values().sum();
        let checks = checks(&limits, &blocks, &ratios, wrong);
        Self {
            setting,
            release: !cfg!(debug_assertions),
            limits,
            held: checks.iter().all(|check| check.held),
            blocks,
            ratios,
            faults,
            checks,
        }
    }

    /// Whether an interval reaches beyond the limit that its lower end keeps:
    /// then nothing is refuted, and nothing shown.
    pub(super) fn is_undecided(&self) -> bool {
        let limit = self.limits.ratio;
        let mut judged = self.ratios.iter().filter(|ratio| ratio.is_judged());
        judged.any(|ratio| ratio.ratio.low <= limit && ratio.ratio.high > limit)
    }

    /// The median over rounds of a figure in `phase`.
    pub(super) fn median(
        &self,
        phase: Phase,
        figure: impl Fn(&Figures) -> Option<f64>,
    ) -> Option<f64> {
        let blocks = self.blocks.iter().filter(|block| block.phase == phase);
        median(&blocks.filter_map(figure).collect::<Vec<_>>())
    }
}

fn ratios(blocks: &[Figures]) -> Vec<Ratio> {
    let pairs = [
        (Who::Plain, Phase::Slow, Phase::Quick),
        (Who::Plain, Phase::Down, Phase::Quick),
        (Who::Pushed, Phase::Slow, Phase::Quick),
        (Who::Pushed, Phase::Down, Phase::Quick),
        // A backend that answers at once costs something, too.
        (Who::Plain, Phase::Quick, Phase::Unasked),
        (Who::Plain, Phase::Slow, Phase::Unasked),
        (Who::Plain, Phase::Down, Phase::Unasked),
    ];
    let mut ratios = Vec::new();
    for (who, of, by) in pairs {
        for percentile in [Percentile::P50, Percentile::P99] {
            let seen = within_rounds(blocks, who, (of, by), percentile);
            ratios.extend(interval(&seen).map(|ratio| Ratio {
                who,
                of,
                by,
                percentile,
                ratio,
            }));
        }
    }
    ratios
}

fn within_rounds(
    blocks: &[Figures],
    who: Who,
    (of, by): (Phase, Phase),
    percentile: Percentile,
) -> Vec<f64> {
    let dividends = blocks.iter().filter(|block| block.phase == of);
    let ratio = |block: &Figures| {
        let mut others = blocks.iter().filter(|other| other.round == block.round);
        let other = others.find(|other| other.phase == by)?;
        let other = other.felt(who).at(percentile)?;
        Some(block.felt(who).at(percentile)? / other)
    };
    dividends.filter_map(ratio).collect()
}

fn checks(limits: &Limits, blocks: &[Figures], ratios: &[Ratio], faults: u64) -> Vec<Check> {
    let lost: u64 = blocks.iter().map(|b| b.plain.lost + b.pushed.lost).sum();
    let mut checks = vec![
        Check::at_most("deliveries lost or doubled", 0.0, lost as f64),
        Check::at_most("faults", 0.0, faults as f64),
        Check::at_least(
            "slow: fewest questions beyond the app's places in a block",
            1.0,
            fewest(blocks, Phase::Slow, |asks| asks.overloaded),
        ),
        Check::at_least(
            "down: fewest questions at the open breaker in a block",
            1.0,
            fewest(blocks, Phase::Down, |asks| asks.open),
        ),
    ];
    for (phase, within) in [
        (Phase::Slow, limits.slow_settles),
        (Phase::Down, limits.down_settles),
    ] {
        checks.push(returned(blocks, phase, within));
    }
    if limits.timed {
        checks.extend(
            ratios
                .iter()
                .filter(|ratio| ratio.is_judged())
                .map(|ratio| {
                    let name = format!(
                        "p99 without questions, {} / {}, low end",
                        ratio.of, ratio.by
                    );
                    Check::at_most(name, limits.ratio, ratio.ratio.low)
                }),
        );
        let name = "growth of memory since the first block, MiB";
        checks.push(Check::at_most(name, limits.growth_mib, growth_mib(blocks)));
    }
    checks
}

fn fewest(blocks: &[Figures], phase: Phase, of: impl Fn(&Asks) -> u64) -> f64 {
    let blocks = blocks.iter().filter(|block| block.phase == phase);
    let fewest = blocks.map(|block| of(&block.asks)).min();
    fewest.unwrap_or_default() as f64
}

/// How long the slowest return took; one that did not come in time is never.
fn returned(blocks: &[Figures], phase: Phase, within: Duration) -> Check {
    let blocks = blocks.iter().filter(|block| block.phase == phase);
    let took = blocks.map(|block| {
        let settled = block.back.and_then(|back| back.settles_s);
        settled.unwrap_or(f64::INFINITY)
    });
    let longest = took.fold(0.0, f64::max);
    let name = format!("{phase}: longest return without a restart, s");
    Check::at_most(name, within.as_secs_f64(), longest)
}

/// The most memory at the end of a block, against the end of the first.
fn growth_mib(blocks: &[Figures]) -> f64 {
    let rss = |block: &Figures| block.rss_kib as f64 / 1_024.0;
    let first = blocks.first().map_or(0.0, rss);
    blocks.iter().map(rss).fold(0.0, f64::max) - first
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn limits() -> Limits {
        Limits {
            ratio: 1.1,
            growth_mib: 32.0,
            slow_settles: Duration::from_millis(2_500),
            down_settles: Duration::from_millis(5_500),
            timed: true,
        }
    }

    fn felt(p99_ms: f64) -> Felt {
        let latency = Summary {
            count: 1_000,
            mean_ms: 0.5,
            p50_ms: 0.5,
            p90_ms: 0.8,
            p99_ms,
            p999_ms: p99_ms,
            max_ms: p99_ms,
        };
        Felt {
            lost: 0,
            latency: Some(latency),
        }
    }

    /// Rounds in which a disturbed block's p99 is `ratio` of a quick one's.
    pub(in super::super) fn played(rounds: usize, ratio: f64) -> Vec<Figures> {
        let block = |round: usize, phase: Phase| Figures {
            round,
            phase,
            plain: felt(if phase.is_disturbed() { ratio } else { 1.0 } * (1.0 + round as f64)),
            pushed: felt(2.0),
            asks: Asks {
                overloaded: 100,
                open: 100,
                ..Asks::default()
            },
            rss_kib: 40_960,
            cpu_percent: 10.0,
            waited_percent: 0.5,
            back: phase.is_disturbed().then_some(Return {
                passes_s: Some(0.1),
                settles_s: Some(2.0),
            }),
        };
        let rounds = (0..rounds).flat_map(|round| Phase::ALL.map(|phase| block(round, phase)));
        rounds.collect()
    }

    fn judged(blocks: Vec<Figures>) -> Report {
        Report::new(String::new(), limits(), blocks, BTreeMap::new())
    }

    #[test]
    fn ratios_are_taken_within_a_round_however_rounds_differ() {
        let report = judged(played(5, 1.05));
        let ratio = report.ratios.iter().find(|ratio| {
            (ratio.who, ratio.of) == (Who::Plain, Phase::Slow)
                && (ratio.by, ratio.percentile) == (Phase::Quick, Percentile::P99)
        });
        let ratio = ratio.unwrap().ratio;
        assert!((ratio.low - 1.05).abs() < 1e-9 && (ratio.high - 1.05).abs() < 1e-9);
        assert!(report.held && !report.is_undecided());
        assert!(!judged(played(5, 1.2)).held);
    }

    #[test]
    fn rounds_that_disagree_are_held_but_decide_nothing() {
        let mut blocks = played(2, 1.0);
        blocks.extend(played(3, 1.5).into_iter().map(|mut block| {
            block.round += 2;
            block
        }));
        let report = judged(blocks);
        assert!(report.held && report.is_undecided());
    }

    #[test]
    fn memory_that_grows_is_found() {
        let mut blocks = played(2, 1.0);
        blocks[5].rss_kib += 33 << 10;
        assert!(!judged(blocks).held);
    }

    #[test]
    fn a_return_that_is_late_or_never_came_does_not_hold() {
        for settles_s in [Some(6.0), None] {
            let mut blocks = played(2, 1.0);
            let last = blocks.last_mut().unwrap();
            last.back = Some(Return {
                passes_s: Some(0.1),
                settles_s,
            });
            assert!(!judged(blocks).held);
        }
    }

    #[test]
    fn a_run_that_filled_no_places_shows_nothing() {
        let mut blocks = played(2, 1.0);
        blocks[2].asks.overloaded = 0;
        assert!(!judged(blocks).held);
    }

    #[test]
    fn untimed_only_what_any_machine_must_keep_is_judged() {
        let mut blocks = played(2, 3.0);
        blocks[5].rss_kib += 33 << 10;
        let limits = Limits {
            timed: false,
            ..limits()
        };
        let report = |blocks| Report::new(String::new(), limits.clone(), blocks, BTreeMap::new());
        assert!(report(blocks.clone()).held);
        blocks[6].back = None;
        assert!(!report(blocks).held);
    }
}
