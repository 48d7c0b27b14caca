//! `curve`: what the window of livegate does as the rate grows, beside windows
//! that are fixed.
//!
//! A plan with a rate is played at several rates with each setting in turn;
//! the answer is a table and one drawing: rate against CPU and latency.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tokio::time::timeout;

use super::block::{self, Figures};
use super::plan::{self, Plan, Target};
use super::plot::{Axis, Line, colour, escaped, lines};
use super::until_interrupted;
use crate::cli::Failure;
use crate::clock::Clock;
use crate::dice::Dice;
use crate::machine;
use crate::progress::{answer, complain};
use crate::run::binary;

/// Windows that are fixed, milliseconds.
const FIXED: [u32; 3] = [0, 10, 50];

/// Height of one panel of the drawing, with its title.
const PANEL: usize = 290;

/// Arguments of `curve`.
#[derive(Debug, Args)]
pub(crate) struct CurveArgs {
    /// The plan; its rate is replaced.
    plan: PathBuf,
    /// Messages a second.
    #[arg(long, value_delimiter = ',', default_values_t = [10.0, 25.0, 50.0, 100.0, 200.0, 400.0])]
    rates: Vec<f64>,
    /// How often each is played.
    #[arg(long, default_value_t = 5)]
    blocks: u32,
    /// The gateway to start; by default the `livegate` beside this program.
    #[arg(long, value_name = "FILE", env = "LIVEGATE_BIN")]
    gateway: Option<PathBuf>,
    /// Where the drawing goes.
    #[arg(long, value_name = "FILE", default_value = "loadtest-out/window.svg")]
    out: PathBuf,
}

/// One setting and what it came to at each rate.
struct Curve {
    name: String,
    other: Option<String>,
    points: Vec<Point>,
}

/// Medians over the blocks.
#[derive(Debug, Clone, Copy)]
struct Point {
    rate: f64,
    cpu_percent: f64,
    p50_ms: f64,
    last_p99_ms: f64,
    batch: f64,
}

/// Plays what `args` say; true unless a message was lost.
///
/// # Errors
/// When the plan cannot be read or done, or a run broke.
pub(crate) fn main(args: &CurveArgs) -> Result<bool, Failure> {
    let plan = plan::read(&args.plan).map_err(|error| Failure::Plan(error.to_string()))?;
    if let Some(what) = super::too_small(&plan, machine::cores()) {
        complain(format!("skipped: {what}"));
        return Ok(true);
    }
    Ok(until_interrupted(play(args, &plan))?)
}

async fn play(args: &CurveArgs, plan: &Plan) -> Result<bool> {
    let mut dice = Dice::new(Clock::start().unix_ms());
    machine::pin(&plan.worker_cpus)?;
    let gateway = binary(args.gateway.as_deref())?;
    let mut curves = settings();
    let mut faults = 0;
    for rate in &args.rates {
        let mut seen: Vec<Vec<Figures>> = curves.iter().map(|_| Vec::new()).collect();
        for block in 0..args.blocks.max(1) {
            for (curve, seen) in curves.iter().zip(&mut seen) {
                let plan = with(plan, *rate, curve);
                let target = plan.targets[0];
                let played = block::play(&plan, target, block, &gateway, 1.0, &mut dice);
                let figures = timeout(block::longest(&plan), played).await;
                let figures = figures.with_context(|| format!("{} did not end", curve.name))??;
                faults += figures.faults();
                seen.push(figures);
            }
        }
        for (curve, seen) in curves.iter_mut().zip(&seen) {
            curve.points.push(medians(*rate, seen));
            complain(row(curve));
        }
    }
    answer(table(&curves))?;
    let dir = args.out.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Some(dir) = dir {
        fs::create_dir_all(dir)?;
    }
    fs::write(&args.out, drawing(&curves))?;
    answer(format!("{faults} faults; {}", args.out.display()))?;
    Ok(faults == 0)
}

/// The window as it is, and fixed ones.
fn settings() -> Vec<Curve> {
    let fixed = FIXED.iter().map(|ms| Curve {
        name: format!("fixed at {ms} ms"),
        other: Some(format!(
            "[fanout]\nmax_delay = \"{ms}ms\"\nmin_delay = \"{ms}ms\"\n"
        )),
        points: Vec::new(),
    });
    let adaptive = Curve {
        name: "adaptive".to_owned(),
        other: None,
        points: Vec::new(),
    };
    std::iter::once(adaptive).chain(fixed).collect()
}

fn with(plan: &Plan, rate: f64, curve: &Curve) -> Plan {
    let mut plan = plan.clone();
    plan.rate = rate;
    plan.in_flight = 0;
    plan.targets = vec![match &curve.other {
        None => Target::Livegate,
        Some(other) => {
            plan.other.clone_from(other);
            Target::LivegateOther
        }
    }];
    plan
}

fn medians(rate: f64, seen: &[Figures]) -> Point {
    let of = |figure: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = seen.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Point {
        rate,
        cpu_percent: of(|figures| figures.cpu_percent),
        p50_ms: of(|figures| figures.latency.summary().map_or(0.0, |all| all.p50_ms)),
        last_p99_ms: of(|figures| figures.last.summary().map_or(0.0, |last| last.p99_ms)),
        batch: of(|figures| figures.batch.unwrap_or_default()),
    }
}

fn row(curve: &Curve) -> String {
    let Some(point) = curve.points.last() else {
        return String::new();
    };
    format!(
        "{:<16} {:>6} messages/s  {:>6.1} % CPU  batch {:>5.2}  p50 {:>7.2} ms  last p99 {:>7.1} ms",
        curve.name, point.rate, point.cpu_percent, point.batch, point.p50_ms, point.last_p99_ms
    )
}

/// As Markdown, to be put beside the drawing.
fn table(curves: &[Curve]) -> String {
    let mut text = "| messages/s |".to_owned();
    for curve in curves {
        let _ = write!(text, " {} |", curve.name);
    }
    text += "\n| --- |";
    text += &" --- |".repeat(curves.len());
    let rates = curves.first().map_or(0, |curve| curve.points.len());
    for at in 0..rates {
        let _ = write!(text, "\n| {} |", curves[0].points[at].rate);
        for curve in curves {
            let point = curve.points[at];
            let _ = write!(
                text,
                " {:.0} %, {:.1} ms, {:.0} ms |",
                point.cpu_percent, point.p50_ms, point.last_p99_ms
            );
        }
    }
    text
}

/// A figure of a point.
type Measure = fn(&Point) -> f64;

fn drawing(curves: &[Curve]) -> String {
    let panels: [(&str, bool, Measure); 3] = [
        ("server CPU, % of a core", false, |point| point.cpu_percent),
        ("delivery p50, ms", true, |point| point.p50_ms),
        ("last subscriber p99, ms", true, |point| point.last_p99_ms),
    ];
    let height = PANEL * panels.len() + 24;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\"><style>.grid{{stroke:#ddd}}\
         .name{{font-weight:bold}}</style><rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    for (at, curve) in curves.iter().enumerate() {
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"16\" fill=\"{}\">{}</text>",
            62 + at * 150,
            colour(at),
            escaped(&curve.name)
        );
    }
    for (at, (name, log, measure)) in panels.into_iter().enumerate() {
        let drawn: Vec<Line> = curves
            .iter()
            .enumerate()
            .map(|(at, curve)| Line {
                name: curve.name.clone(),
                points: curve.points.iter().map(|p| (p.rate, measure(p))).collect(),
                colour: colour(at),
            })
            .collect();
        let x = Axis {
            name: "messages/s",
            ..Axis::default()
        };
        let y = Axis {
            name,
            log,
            ..Axis::default()
        };
        let place = format!(
            "<svg y=\"{}\" width=\"760\" height=\"270\" viewBox=",
            24 + at * PANEL
        );
        svg += &lines(&drawn, &x, &y).replacen("<svg viewBox=", &place, 1);
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves() -> Vec<Curve> {
        let mut curves = settings();
        for (at, curve) in (1..).zip(&mut curves) {
            for rate in [10.0, 20.0] {
                curve.points.push(Point {
                    rate,
                    cpu_percent: rate * f64::from(at),
                    p50_ms: 1.0,
                    last_p99_ms: 50.0,
                    batch: 1.0,
                });
            }
        }
        curves
    }

    #[test]
    fn every_setting_has_a_column_and_a_line_in_each_panel() {
        let curves = curves();
        let table = table(&curves);
        assert!(table.starts_with("| messages/s | adaptive | fixed at 0 ms |"));
        assert!(table.ends_with("| 20 | 20 %, 1.0 ms, 50 ms | 40 %, 1.0 ms, 50 ms | 60 %, 1.0 ms, 50 ms | 80 %, 1.0 ms, 50 ms |"));
        assert_eq!(drawing(&curves).matches("<polyline").count(), 12);
    }

    #[test]
    fn a_fixed_window_is_played_as_the_other_setting() {
        let curves = settings();
        let plan = with(&Plan::default(), 50.0, &curves[2]);
        assert_eq!(plan.targets, [Target::LivegateOther]);
        assert!(plan.other.contains("min_delay = \"10ms\""));
        assert_eq!(
            with(&Plan::default(), 50.0, &curves[0]).targets,
            [Target::Livegate]
        );
    }
}
