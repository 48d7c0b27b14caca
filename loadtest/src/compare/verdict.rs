//! From blocks to medians, ratios and a verdict. Pure.

use serde::Serialize;

use super::block::Figures;
use super::bootstrap::{Interval, interval};
use super::plan::{Figure, Judge, Plan, Ratio, Target};
use crate::report::Check;

/// A comparison, for people and programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Name of the plan.
    pub(super) name: String,
    /// The plan itself.
    pub(super) plan: Plan,
    /// When it began, Unix milliseconds.
    pub(super) began_ms: u64,
    /// Cores of the machine.
    pub(super) cores: usize,
    /// Whether this program was built for release.
    pub(super) release: bool,
    /// Medians of each target.
    pub(super) targets: Vec<Medians>,
    /// Ratios between targets.
    pub(super) ratios: Vec<Compared>,
    /// What was judged.
    pub(super) checks: Vec<Check>,
    /// Whether all of it held.
    pub(super) held: bool,
    /// Everything that was seen.
    pub(super) blocks: Vec<Figures>,
}

/// Medians over the blocks of one target.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Medians {
    /// Who.
    pub(super) target: Target,
    /// Server CPU for one delivery, microseconds.
    pub(super) cpu_per_delivery_us: Option<Interval>,
    /// Server CPU while steady, percent of one core.
    pub(super) cpu_percent: Option<Interval>,
    /// Part of it in user mode, percent.
    pub(super) user_percent: Option<Interval>,
    /// Time that threads of the server were ready and had no core, percent.
    pub(super) waited_percent: Option<Interval>,
    /// Deliveries a second.
    pub(super) per_second: Option<Interval>,
    /// Deliveries of one write.
    pub(super) batch: Option<Interval>,
    /// Deliveries of one read of a subscriber.
    pub(super) per_read: Option<Interval>,
    /// Median latency of a delivery, ms.
    pub(super) p50_ms: Option<Interval>,
    /// 99th percentile, ms.
    pub(super) p99_ms: Option<Interval>,
    /// Median latency of each message's last delivery, ms.
    pub(super) last_p50_ms: Option<Interval>,
    /// 99th percentile, ms.
    pub(super) last_p99_ms: Option<Interval>,
    /// Server CPU for one client to come in, microseconds.
    pub(super) cpu_per_connect_us: Option<Interval>,
    /// From the kill to 99 % back, ms.
    pub(super) back_99_ms: Option<Interval>,
    /// That time divided by the CPU time it takes at least.
    pub(super) back_ratio: Option<Interval>,
    /// Growth of the server's memory by one subscriber, KiB.
    pub(super) rss_per_connection_kib: Option<Interval>,
    /// Context switches of the server a second.
    pub(super) switches: Option<Interval>,
    /// Deliveries that never came, over all blocks.
    pub(super) lost: u64,
    /// Everything that went wrong, over all blocks.
    pub(super) faults: u64,
}

/// A ratio between two targets, over the blocks.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Compared {
    /// What is divided.
    pub(super) of: Target,
    /// By what.
    pub(super) by: Target,
    /// Which figure of both.
    pub(super) figure: Figure,
    /// What came out.
    pub(super) ratio: Interval,
    /// The most that it may be, if that is judged.
    pub(super) at_most: Option<f64>,
}

impl Report {
    /// What `blocks` of `plan`, played on `cores`, come to.
    pub(super) fn new(
        cores: usize,
        name: &str,
        plan: Plan,
        began_ms: u64,
        blocks: Vec<Figures>,
    ) -> Self {
        let targets = medians(&plan, &blocks);
        let ratios = ratios(&plan, &blocks);
        let checks = checks(&plan, &targets, &blocks);
        Self {
            name: name.to_owned(),
            began_ms,
            cores,
            release: !cfg!(debug_assertions),
            held: checks.iter().all(|check| check.held),
            plan,
            targets,
            ratios,
            checks,
            blocks,
        }
    }
}

fn medians(plan: &Plan, blocks: &[Figures]) -> Vec<Medians> {
    let seconds = plan.steady.as_secs_f64();
    let of_target = |target: &Target| {
        let own = || blocks.iter().filter(|block| block.target == *target);
        let over = |figure: &dyn Fn(&Figures) -> Option<f64>| {
            interval(&own().filter_map(figure).collect::<Vec<f64>>())
        };
        let p = |last: bool, p99: bool| {
            over(&|figures: &Figures| {
                let spread = if last {
                    &figures.last
                } else {
                    &figures.latency
                };
                let summary = spread.summary()?;
                Some(if p99 { summary.p99_ms } else { summary.p50_ms })
            })
        };
        Medians {
            target: *target,
            cpu_per_delivery_us: over(&|f| f.cpu_per_delivery_us),
            cpu_percent: over(&|f| Some(f.cpu_percent)),
            user_percent: over(&|f| Some(f.user_percent)),
            waited_percent: over(&|f| Some(f.waited_percent)),
            per_second: over(&|f| Some(f.deliveries as f64 / seconds)),
            batch: over(&|f| f.batch),
            per_read: over(&|f| f.per_read),
            p50_ms: p(false, false),
            p99_ms: p(false, true),
            last_p50_ms: p(true, false),
            last_p99_ms: p(true, true),
            cpu_per_connect_us: over(&|f| Some(f.cpu_per_connect_us)),
            back_99_ms: over(&|f| Some(f.back.as_ref()?.back_99_ms)),
            back_ratio: over(&|f| Some(f.back.as_ref()?.ratio)),
            rss_per_connection_kib: over(&|f| Some(f.rss_per_connection_kib)),
            switches: over(&|f| Some(f.switches.0 + f.switches.1)),
            lost: own().map(|figures| figures.lost).sum(),
            faults: own().map(Figures::faults).sum(),
        }
    };
    plan.targets.iter().map(of_target).collect()
}

/// The plan's ratios, and CPU per delivery against every other target.
fn ratios(plan: &Plan, blocks: &[Figures]) -> Vec<Compared> {
    let mut asked = plan.ratios.clone();
    let first = plan.targets.first().copied().unwrap_or(Target::Livegate);
    for by in &plan.targets[1.min(plan.targets.len())..] {
        let known = |ratio: &Ratio| {
            ratio.of == first && ratio.by == *by && ratio.figure == Figure::CpuPerDelivery
        };
        if !asked.iter().any(known) {
            asked.push(Ratio {
                of: first,
                by: *by,
                figure: Figure::CpuPerDelivery,
                at_most: f64::INFINITY,
                judge: Judge::Median,
            });
        }
    }
    let compared = asked.into_iter().filter_map(|ratio| {
        Some(Compared {
            of: ratio.of,
            by: ratio.by,
            figure: ratio.figure,
            ratio: within_blocks(&ratio, blocks)?,
            at_most: ratio.at_most.is_finite().then_some(ratio.at_most),
        })
    });
    compared.collect()
}

fn within_blocks(ratio: &Ratio, blocks: &[Figures]) -> Option<Interval> {
    let of = blocks.iter().filter(|figures| figures.target == ratio.of);
    let divided = of.filter_map(|of| {
        let mut others = blocks.iter();
        let by = others.find(|by| by.target == ratio.by && by.block == of.block)?;
        let by = figure(ratio.figure, by).filter(|by| *by > 0.0)?;
        Some(figure(ratio.figure, of)? / by)
    });
    interval(&divided.collect::<Vec<f64>>())
}

fn figure(which: Figure, figures: &Figures) -> Option<f64> {
    match which {
        Figure::CpuPerDelivery => figures.cpu_per_delivery_us,
        Figure::CpuPerConnect => Some(figures.cpu_per_connect_us),
        Figure::LastP99 => figures.last.summary().map(|last| last.p99_ms),
        Figure::RssPerConnection => Some(figures.rss_per_connection_kib),
    }
}

fn checks(plan: &Plan, targets: &[Medians], blocks: &[Figures]) -> Vec<Check> {
    let mut checks = Vec::new();
    for medians in targets
        .iter()
        .filter(|medians| medians.target.is_livegate())
    {
        own(plan, medians, blocks, &mut checks);
    }
    for ratio in &plan.ratios {
        let played = |target| plan.targets.contains(&target);
        if !played(ratio.of) || !played(ratio.by) {
            continue;
        }
        let name = format!("{} / {}, {}", ratio.of, ratio.by, ratio.figure.name());
        let seen = within_blocks(ratio, blocks);
        let (name, seen) = match ratio.judge {
            Judge::Median => (name, seen.map(|seen| seen.median)),
            Judge::LowerEnd => (name + ", lower end", seen.map(|seen| seen.low)),
        };
        let seen = seen.unwrap_or(f64::INFINITY);
        checks.push(Check::at_most(name, ratio.at_most, seen));
    }
    checks
}

/// Livegate's own limits.
fn own(plan: &Plan, medians: &Medians, blocks: &[Figures], checks: &mut Vec<Check>) {
    let (target, limits) = (medians.target, &plan.limits);
    let faults = format!("{target}: faults");
    checks.push(Check::at_most(
        faults,
        limits.faults as f64,
        medians.faults as f64,
    ));
    let own = blocks.iter().filter(|figures| figures.target == target);
    let sent = own.filter(|figures| figures.due > 0).map(|figures| {
        let due = f64::from(figures.due);
        100.0 * f64::from(figures.sent) / due
    });
    let sent = sent.fold(100.0, f64::min);
    let name = format!("{target}: sent, % of due");
    checks.push(Check::at_least(name, limits.sent_percent, sent));
    let figures = [
        (
            "CPU per delivery, us",
            limits.cpu_per_delivery_us,
            medians.cpu_per_delivery_us,
        ),
        ("CPU, % of a core", limits.cpu_percent, medians.cpu_percent),
        (
            "CPU per connect, us",
            limits.cpu_per_connect_us,
            medians.cpu_per_connect_us,
        ),
        (
            "RSS per connection, KiB",
            limits.rss_per_connection_kib,
            medians.rss_per_connection_kib,
        ),
        (
            "99 % back / CPU it takes",
            limits.back_ratio,
            medians.back_ratio,
        ),
        ("p99, ms", limits.p99_ms, medians.p99_ms),
        ("last p99, ms", limits.last_p99_ms, medians.last_p99_ms),
    ];
    for (name, limit, seen) in figures {
        let seen = seen.map_or(f64::INFINITY, |seen| seen.median);
        checks.extend(limit.map(|limit| Check::at_most(format!("{target}: {name}"), limit, seen)));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::compare::spread::Spread;

    /// A block in which a delivery cost so much CPU.
    pub(in crate::compare) fn played(target: Target, block: u32, cpu: f64) -> Figures {
        let mut latency = Spread::default();
        [900, 1_100, 5_000]
            .into_iter()
            .for_each(|us| latency.record(us));
        Figures {
            target,
            block,
            subscribers: 10,
            sent: 100,
            due: 100,
            deliveries: 1_000,
            cpu_us: (cpu * 1_000.0) as u64,
            user_percent: 20.0,
            cpu_per_delivery_us: Some(cpu),
            cpu_percent: 40.0,
            waited_percent: 0.0,
            cpu_per_connect_us: 300.0,
            rss_per_connection_kib: 5.0,
            switches: (10.0, 1.0),
            batch: Some(1.5),
            per_read: Some(1.5),
            lost: 0,
            disordered: 0,
            corrupt: 0,
            refused: 0,
            stalled: 0,
            errors: Vec::new(),
            back: None,
            last: latency.clone(),
            latency,
            bins: vec![500, 500],
            looks: vec![crate::compare::watch::Look::default(); 3],
        }
    }

    /// A plan with one ratio that must hold.
    pub(in crate::compare) fn plan(judge: Judge, at_most: f64) -> Plan {
        Plan {
            subscribers: 10,
            ratios: vec![Ratio {
                of: Target::Livegate,
                by: Target::Limit,
                figure: Figure::CpuPerDelivery,
                at_most,
                judge,
            }],
            ..Plan::default()
        }
    }

    fn report(plan: Plan, pairs: &[(f64, f64)]) -> Report {
        let mut blocks = Vec::new();
        for (block, (of, by)) in (0..).zip(pairs) {
            blocks.push(played(Target::Livegate, block, *of));
            blocks.push(played(Target::Limit, block, *by));
        }
        Report::new(4, "test", plan, 0, blocks)
    }

    #[test]
    fn a_ratio_is_taken_within_each_block() {
        // The machine was ten times slower in the second block, for both.
        let pairs = [(12.0, 10.0), (120.0, 100.0), (1.2, 1.0)];
        let report = report(plan(Judge::Median, 1.25), &pairs);
        assert!((report.ratios[0].ratio.median - 1.2).abs() < 1e-9);
        assert!((report.ratios[0].ratio.high - 1.2).abs() < 1e-9);
        assert!(report.held);
    }

    #[test]
    fn the_median_or_the_lower_end_is_judged_as_the_plan_says() {
        let pairs = [(1.2, 1.0), (1.3, 1.0), (1.4, 1.0), (1.35, 1.0), (1.22, 1.0)];
        assert!(!report(plan(Judge::Median, 1.25), &pairs).held);
        assert!(report(plan(Judge::LowerEnd, 1.25), &pairs).held);
    }

    #[test]
    fn a_lost_delivery_does_not_hold_and_one_of_a_peer_does() {
        let loses = |target| {
            let mut blocks = vec![
                played(Target::Livegate, 0, 1.0),
                played(Target::Limit, 0, 1.0),
            ];
            for block in blocks.iter_mut().filter(|block| block.target == target) {
                block.lost = 1;
            }
            Report::new(4, "test", plan(Judge::Median, 1.25), 0, blocks).held
        };
        assert!(!loses(Target::Livegate));
        assert!(loses(Target::Limit));
    }

    #[test]
    fn a_figure_that_is_missing_does_not_hold() {
        let plan = Plan {
            limits: super::super::plan::Limits {
                p99_ms: Some(10.0),
                ..Default::default()
            },
            ..plan(Judge::Median, 1.25)
        };
        let mut blocks = vec![played(Target::Livegate, 0, 1.0)];
        blocks[0].latency = Spread::default();
        assert!(!Report::new(4, "test", plan, 0, blocks).held);
    }
}
