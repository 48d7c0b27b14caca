//! Drawings as inline SVG: bars with intervals, and lines over an axis.

use std::fmt::Write;

/// Colours of targets, in their order; told apart by people who see colours
/// otherwise, too.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

/// Width of a drawing.
const WIDTH: f64 = 760.0;
/// Height of a drawing with axes.
const HEIGHT: f64 = 260.0;
/// Room on the left of a drawing with axes.
const LEFT: f64 = 62.0;
/// Room below it.
const BELOW: f64 = 40.0;
/// Room above it.
const ABOVE: f64 = 12.0;

/// The colour of the n-th target.
pub(super) fn colour(n: usize) -> &'static str {
    COLOURS[n % COLOURS.len()]
}

/// One bar.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    /// What it is.
    pub(super) name: String,
    /// How long.
    pub(super) value: f64,
    /// The ends of its interval.
    pub(super) interval: (f64, f64),
    /// Its number, written.
    pub(super) label: String,
    /// Its colour.
    pub(super) colour: &'static str,
    /// The most that it may be.
    pub(super) limit: Option<f64>,
}

/// Bars below each other.
pub(super) fn bars(bars: &[Bar]) -> String {
    let ends = bars.iter().flat_map(|bar| {
        let ends = [bar.value, bar.interval.1, bar.limit.unwrap_or(0.0)];
        ends.into_iter().filter(|end| end.is_finite())
    });
    let most = ends.fold(f64::MIN_POSITIVE, f64::max);
    let (name, number) = (230.0, 90.0);
    let scale = |value: f64| name + (WIDTH - name - number) * value.clamp(0.0, most) / most;
    let height = 30.0 * bars.len() as f64 + 4.0;
    let mut svg = open(height);
    for (at, bar) in (0..).zip(bars) {
        let y = 30.0 * f64::from(at) + 4.0;
        let (end, middle) = (scale(bar.value), y + 11.0);
        let text = middle + 4.0;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{name:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"22\" fill=\"{}\"/>",
            name - 8.0,
            escaped(&bar.name),
            (end - name).max(1.0),
            bar.colour
        );
        let (low, high) = (scale(bar.interval.0), scale(bar.interval.1));
        let _ = write!(
            svg,
            "<path d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {a:.1}V{b:.1}M{high:.1} {a:.1}V{b:.1}\" \
             class=\"axis\"/>",
            a = middle - 5.0,
            b = middle + 5.0
        );
        if let Some(limit) = bar.limit {
            let x = scale(limit);
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {:.1}V{:.1}\" class=\"limit\"/>",
                y - 3.0,
                y + 25.0
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{text:.1}\">{}</text>",
            end.max(high) + 6.0,
            escaped(&bar.label)
        );
    }
    svg + "</svg>"
}

/// One line of a drawing.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// What it is.
    pub(super) name: String,
    /// Where it goes.
    pub(super) points: Vec<(f64, f64)>,
    /// Its colour.
    pub(super) colour: &'static str,
}

/// An axis: where its marks are and what they say, and whether it counts in
/// powers of ten.
#[derive(Debug, Clone, Default)]
pub(super) struct Axis {
    /// What it measures.
    pub(super) name: &'static str,
    /// Marks; none: they are found.
    pub(super) marks: Vec<(f64, String)>,
    /// In powers of ten.
    pub(super) log: bool,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        if self.log {
            value.max(1e-3).log10()
        } else {
            value
        }
    }

    /// From where to where it goes, and its marks.
    fn range(&self, values: impl Iterator<Item = f64>) -> (f64, f64, Vec<(f64, String)>) {
        let values = values.filter(|value| value.is_finite());
        let (mut low, mut high) = values
            .map(|value| self.place(value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        if !low.is_finite() {
            (low, high) = (0.0, 1.0);
        }
        if self.log {
            (low, high) = (low.floor(), high.ceil().max(low.floor() + 1.0));
        } else {
            (low, high) = (low.min(0.0), high.max(low + 1e-9));
        }
        let marks = match (self.marks.is_empty(), self.log) {
            (false, _) => self.marks.clone(),
            (true, true) => (low as i32..=high as i32)
                .map(|ten| (10f64.powi(ten), plain(10f64.powi(ten))))
                .collect(),
            (true, false) => (0..=4)
                .map(|part| low + (high - low) * f64::from(part) / 4.0)
                .map(|value| (value, plain(value)))
                .collect(),
        };
        (low, high, marks)
    }
}

/// Lines over two axes.
pub(super) fn lines(lines: &[Line], x: &Axis, y: &Axis) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (left, right, across) = x.range(points().map(|point| point.0));
    let (low, high, up) = y.range(points().map(|point| point.1));
    let at_x = |value: f64| {
        let share = (x.place(value) - left) / (right - left);
        LEFT + (WIDTH - LEFT - 12.0) * share.clamp(0.0, 1.0)
    };
    let at_y = |value: f64| {
        let share = (y.place(value) - low) / (high - low);
        HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * share.clamp(0.0, 1.0)
    };
    let mut svg = open(HEIGHT);
    for (value, text) in &up {
        let y = at_y(*value);
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{:.1}\" class=\"grid\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            WIDTH - 12.0,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (value, text) in &across {
        let x = at_x(*value);
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            HEIGHT - BELOW + 16.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"name\">{}</text>\
         <text x=\"4\" y=\"10\" class=\"name\">{}</text>",
        WIDTH - 12.0,
        HEIGHT - 6.0,
        x.name,
        y.name
    );
    for line in lines.iter().filter(|line| !line.points.is_empty()) {
        let points = line
            .points
            .iter()
            .filter(|point| point.0.is_finite() && point.1.is_finite());
        let path: Vec<String> = points
            .map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y)))
            .collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"><title>{}</title></polyline>",
            path.join(" "),
            line.colour,
            escaped(&line.name)
        );
    }
    svg + "</svg>"
}

fn open(height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">")
}

/// A number on an axis.
fn plain(value: f64) -> String {
    match value.abs() {
        big if big >= 1e6 => format!("{:.1}M", value / 1e6),
        thousands if thousands >= 1e4 => format!("{:.0}k", value / 1e3),
        whole if whole >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        small if small >= 0.1 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Text that is safe within HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_outside_or_at_no_place() {
        let line = Line {
            name: "a<b".to_owned(),
            points: vec![(0.0, 0.0), (1.0, f64::INFINITY), (2.0, 5e9)],
            colour: colour(0),
        };
        for log in [false, true] {
            let axis = Axis {
                log,
                ..Axis::default()
            };
            let svg = lines(std::slice::from_ref(&line), &Axis::default(), &axis);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("a&lt;b"), "{svg}");
        }
        let empty = lines(&[], &Axis::default(), &Axis::default());
        assert!(empty.ends_with("</svg>"));
    }

    #[test]
    fn the_longest_bar_fills_the_width_and_no_more() {
        let bar = |value: f64| Bar {
            name: "n".to_owned(),
            value,
            interval: (value, value),
            label: String::new(),
            colour: colour(1),
            limit: None,
        };
        let svg = bars(&[bar(2.0), bar(4.0)]);
        assert!(
            svg.contains("width=\"220.0\"") && svg.contains("width=\"440.0\""),
            "{svg}"
        );
    }
}
