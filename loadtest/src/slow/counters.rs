//! The gateway's own counters of questions. Pure.

use serde::Serialize;

/// What became of the questions of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Asks {
    /// Answered in time.
    pub(super) answered: u64,
    /// Not answered in time.
    pub(super) timed_out: u64,
    /// No connection, or one that broke.
    pub(super) failed: u64,
    /// Not put: as many are under way as may be.
    pub(super) overloaded: u64,
    /// Not put: the breaker is open.
    pub(super) open: u64,
}

impl Asks {
    /// Reads them from Prometheus text.
    pub(super) fn parse(text: &str) -> Self {
        let of = |result: &str| {
            let label = format!("result=\"{result}\"");
            let lines = text.lines().filter(|line| {
                line.starts_with("livegate_asks_total{") && line.contains(label.as_str())
            });
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum::<f64>() as u64
        };
        Self {
            answered: of("allowed") + of("refused") + of("swallowed"),
            timed_out: of("timed_out"),
            failed: of("failed"),
            overloaded: of("overloaded"),
            open: of("open"),
        }
    }

    /// What came since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(before.answered),
            timed_out: self.timed_out.saturating_sub(before.timed_out),
            failed: self.failed.saturating_sub(before.failed),
            overloaded: self.overloaded.saturating_sub(before.overloaded),
            open: self.open.saturating_sub(before.open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_by_what_became_of_them() {
        let text = "# TYPE livegate_asks counter\n\
                    livegate_asks_total{result=\"allowed\"} 90\n\
                    livegate_asks_total{result=\"refused\"} 1\n\
                    livegate_asks_total{result=\"overloaded\"} 7\n\
                    livegate_asks_total{result=\"open\"} 3\n\
                    livegate_callbacks_total{result=\"refused\"} 50\n";
        let asks = Asks::parse(text);
        assert_eq!((asks.answered, asks.overloaded, asks.open), (91, 7, 3));
        let before = Asks {
            answered: 90,
            ..Asks::default()
        };
        assert_eq!(asks.since(before).answered, 1);
    }
}
