//! A comparison as files: JSON for programs, and one HTML page that needs
//! nothing but itself, to mail to a colleague.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::block::Figures;
use super::plan::Target;
use super::plot::{Axis, Bar, Line, bars, colour, escaped, lines};
use super::spread::Spread;
use super::table::{COUNTS, ROWS, name, setting, shown};
use super::track::BIN;
use super::verdict::{Medians, Report};
use crate::report::{number, write_json};

/// Tenths of nines that a percentile curve shows: 50 is 99.999 %.
const NINES: u32 = 40;

/// The look of the page.
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:780px;margin:2em auto;\
    padding:0 1em;color:#222}table{border-collapse:collapse;margin:1em 0;width:100%}\
    td,th{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right}\
    td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto;margin:.4em 0}\
    svg text{font:12px system-ui,sans-serif;fill:#333}svg .name{fill:#777}\
    .grid{stroke:#e4e4e4}.axis{stroke:#333;fill:none}.limit{stroke:#c00;stroke-width:2;\
    stroke-dasharray:4 3}.held{color:#060}.not{color:#b00;font-weight:bold}\
    .key span{display:inline-block;width:.8em;height:.8em;margin:0 .4em 0 1em}";

/// Writes `FILE.json` and `FILE.html`; their names.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(report: &Report, file: &Path) -> Result<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let json = file.with_file_name(format!("{name}.json"));
    let html = file.with_file_name(format!("{name}.html"));
    write_json(report, &json)?;
    std::fs::write(&html, page(report)).with_context(|| format!("writing {}", html.display()))?;
    Ok(format!("{}, {}", json.display(), html.display()))
}

/// The page.
fn page(report: &Report) -> String {
    let (class, verdict) = if report.held {
        ("held", "all limits held")
    } else {
        ("not", "NOT all limits held")
    };
    let title = escaped(&report.name);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1><p>{}</p><p>{}</p><p class=\"{class}\">{verdict}</p>",
        escaped(&report.plan.about),
        escaped(&setting(report)),
    );
    if !report.release {
        page += "<p class=\"not\">Built without --release: figures mean little.</p>";
    }
    page += &medians(report);
    page += &checks(report);
    let section = |page: &mut String, title: &str, what: &str, drawing: String| {
        let _ = write!(page, "<h2>{title}</h2><p>{what}</p>{drawing}");
    };
    let by_cpu = "Median over the blocks, with its 95 % bootstrap interval; lower is better.";
    section(
        &mut page,
        "Server CPU per delivery, µs",
        by_cpu,
        cpu(report),
    );
    let by_ratio = "Taken within each block, where both saw the same machine. Dashed: the limit.";
    section(&mut page, "Ratios", by_ratio, ratios(report));
    page += &key(report);
    let all = "Each line is one target, all blocks together.";
    let p = percentiles(report, |figures| &figures.latency);
    section(&mut page, "Latency of deliveries by percentile, ms", all, p);
    let last = percentiles(report, |figures| &figures.last);
    section(
        &mut page,
        "Latency of the last subscriber by percentile, ms",
        all,
        last,
    );
    let shares = "Share of deliveries, in steps of a tenth of a power of ten.";
    section(&mut page, "Latency histogram", shares, histogram(report));
    let first = "The first block; 100 ms a point.";
    section(&mut page, "Deliveries over time", first, throughput(report));
    section(
        &mut page,
        "Server CPU over time, cores",
        first,
        cpu_over_time(report),
    );
    let plan = toml::to_string(&report.plan).unwrap_or_default();
    let _ = write!(page, "<h2>Plan</h2><pre>{}</pre></html>", escaped(&plan));
    page
}

fn medians(report: &Report) -> String {
    let mut table = "<table><tr><th>median".to_owned();
    for medians in &report.targets {
        let _ = write!(table, "<th>{}", medians.target);
    }
    for (name, figure, digits) in ROWS {
        let _ = write!(table, "<tr><td>{name}");
        for medians in &report.targets {
            let median = figure(medians).map(|figure| figure.median);
            let _ = write!(table, "<td>{}", shown(median, digits));
        }
    }
    for (name, count) in COUNTS {
        let _ = write!(table, "<tr><td>{name}");
        for medians in &report.targets {
            let _ = write!(table, "<td>{}", count(medians));
        }
    }
    table + "</table>"
}

fn checks(report: &Report) -> String {
    let mut table = "<table><tr><th>limit<th><th>seen<th>".to_owned();
    for check in &report.checks {
        let (class, verdict) = if check.held {
            ("held", "held")
        } else {
            ("not", "NOT HELD")
        };
        let _ = write!(
            table,
            "<tr><td>{}<td>{}<td>{}<td class=\"{class}\">{verdict}",
            escaped(&check.name),
            escaped(&check.limit),
            number(check.seen)
        );
    }
    table + "</table>"
}

fn cpu(report: &Report) -> String {
    let of = |(at, medians): (usize, &Medians)| {
        let cpu = medians.cpu_per_delivery_us?;
        Some(Bar {
            name: medians.target.name().to_owned(),
            value: cpu.median,
            interval: (cpu.low, cpu.high),
            label: shown(Some(cpu.median), 3),
            colour: colour(at),
            limit: None,
        })
    };
    bars(
        &report
            .targets
            .iter()
            .enumerate()
            .filter_map(of)
            .collect::<Vec<_>>(),
    )
}

fn ratios(report: &Report) -> String {
    let of = |compared: &super::verdict::Compared| Bar {
        name: name(compared),
        value: compared.ratio.median,
        interval: (compared.ratio.low, compared.ratio.high),
        label: shown(Some(compared.ratio.median), 3),
        colour: colour(0),
        limit: compared.at_most,
    };
    bars(&report.ratios.iter().map(of).collect::<Vec<_>>())
}

fn key(report: &Report) -> String {
    let mut key = "<p class=\"key\">".to_owned();
    for (at, medians) in report.targets.iter().enumerate() {
        let (colour, target) = (colour(at), medians.target);
        let _ = write!(key, "<span style=\"background:{colour}\"></span>{target}");
    }
    key + "</p>"
}

/// One line a target, of what `points` makes of its blocks.
fn each(report: &Report, points: impl Fn(Target) -> Vec<(f64, f64)>) -> Vec<Line> {
    let of = |(at, medians): (usize, &Medians)| Line {
        name: medians.target.name().to_owned(),
        points: points(medians.target),
        colour: colour(at),
    };
    report.targets.iter().enumerate().map(of).collect()
}

/// All blocks of `target` together.
fn together(report: &Report, target: Target, part: fn(&Figures) -> &Spread) -> Spread {
    let mut sum = Spread::default();
    for figures in report
        .blocks
        .iter()
        .filter(|figures| figures.target == target)
    {
        sum.merge(part(figures));
    }
    sum
}

fn percentiles(report: &Report, part: fn(&Figures) -> &Spread) -> String {
    let drawn = each(report, |target| {
        let spread = together(report, target, part);
        match spread.summary() {
            Some(_) => spread.curve(NINES),
            None => Vec::new(),
        }
    });
    let marks = [
        (0.0, "0 %"),
        (3.0, "50 %"),
        (10.0, "90 %"),
        (20.0, "99 %"),
        (30.0, "99.9 %"),
    ];
    let mut marks: Vec<_> = marks.map(|(at, text)| (at, text.to_owned())).into();
    marks.push((40.0, "99.99 %".to_owned()));
    let x = Axis {
        name: "percentile",
        marks,
        log: false,
    };
    let y = Axis {
        name: "ms",
        log: true,
        ..Axis::default()
    };
    lines(&drawn, &x, &y)
}

fn histogram(report: &Report) -> String {
    let drawn = each(report, |target| {
        let bins = together(report, target, |figures| &figures.latency).bins(10);
        let all: u64 = bins.iter().map(|bin| bin.1).sum();
        let share = |(ms, n): (f64, u64)| (ms, 100.0 * n as f64 / all.max(1) as f64);
        bins.into_iter().map(share).collect()
    });
    let x = Axis {
        name: "ms",
        log: true,
        ..Axis::default()
    };
    let y = Axis {
        name: "% of deliveries",
        ..Axis::default()
    };
    lines(&drawn, &x, &y)
}

fn first(report: &Report, target: Target) -> Option<&Figures> {
    report
        .blocks
        .iter()
        .find(|figures| figures.target == target)
}

fn throughput(report: &Report) -> String {
    let width = BIN as f64 / 1e6;
    let drawn = each(report, |target| {
        let bins = first(report, target).map_or(&[][..], |figures| &figures.bins);
        let points = (0..).zip(bins);
        points
            .map(|(at, n)| (f64::from(at) * width, *n as f64 / width))
            .collect()
    });
    over_time(&drawn, "deliveries/s")
}

fn cpu_over_time(report: &Report) -> String {
    let drawn = each(report, |target| {
        let looks = first(report, target).map_or(&[][..], |figures| &figures.looks);
        let start = looks.first().map_or(0, |look| look.at);
        let cores = looks.windows(2).filter_map(|pair| {
            let lasted = pair[1].at.checked_sub(pair[0].at).filter(|us| *us > 0)?;
            let ran = pair[1].ran_us.saturating_sub(pair[0].ran_us);
            let at = (pair[1].at - start) as f64 / 1e6;
            Some((at, ran as f64 / lasted as f64))
        });
        cores.collect()
    });
    over_time(&drawn, "cores")
}

fn over_time(drawn: &[Line], name: &'static str) -> String {
    let x = Axis {
        name: "s",
        ..Axis::default()
    };
    let y = Axis {
        name,
        ..Axis::default()
    };
    lines(drawn, &x, &y)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Judge;
    use super::super::verdict::tests::{plan, played};
    use super::*;

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let blocks = vec![
            played(Target::Livegate, 0, 2.0),
            played(Target::Limit, 0, 1.0),
        ];
        let report = Report::new(4, "a<b", plan(Judge::Median, 1.25), 0, blocks);
        let page = page(&report);
        for outside in [
            "http:", "https:", "src=", "href=", "url(", "@import", "a<b", "NaN",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), 7);
        assert!(page.contains("NOT HELD"));
    }

    #[test]
    fn both_files_carry_the_name_even_with_a_point_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let report = Report::new(4, "p", plan(Judge::Median, 1.25), 0, Vec::new());
        write(&report, &dir.path().join("out/v1.2")).unwrap();
        for name in ["out/v1.2.json", "out/v1.2.html"] {
            assert!(dir.path().join(name).is_file(), "{name}");
        }
    }
}
