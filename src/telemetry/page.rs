//! The page of an exposition: writes families, one call each.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::cell::Snapshot;
use super::labels::{CODES, Label, code_text};

/// What a family is called, what it tells and in which unit.
#[derive(Clone, Copy)]
pub(super) struct About(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) Option<&'static Unit>,
);

/// The page being written.
pub(super) struct Page<'a>(pub(super) DescriptorEncoder<'a>);

impl Page<'_> {
    fn begin(&mut self, about: About, kind: MetricType) -> Result<MetricEncoder<'_>, fmt::Error> {
        let About(name, help, unit) = about;
        self.0.encode_descriptor(name, help, unit, kind)
    }

    pub(super) fn counter(&mut self, about: About, value: impl EncodeCounterValue) -> fmt::Result {
        let mut metric = self.begin(about, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    pub(super) fn gauge(&mut self, about: About, value: impl EncodeGaugeValue) -> fmt::Result {
        self.begin(about, MetricType::Gauge)?.encode_gauge(&value)
    }

    pub(super) fn histogram(&mut self, about: About, read: &Snapshot) -> fmt::Result {
        write_histogram(&mut self.begin(about, MetricType::Histogram)?, read)
    }

    /// A counter for each value of a label.
    pub(super) fn counters<L: Label>(
        &mut self,
        about: About,
        read: impl Fn(usize) -> u64,
    ) -> fmt::Result {
        let rows = (0..L::VALUES).map(|n| (L::text(n), read(n)));
        self.named_counters(about, L::KEY, rows)
    }

    /// A counter for each of `rows`, told apart by the label `key`.
    pub(super) fn named_counters<T: AsRef<str>>(
        &mut self,
        about: About,
        key: &'static str,
        rows: impl Iterator<Item = (T, u64)>,
    ) -> fmt::Result {
        let mut metric = self.begin(about, MetricType::Counter)?;
        for (text, value) in rows {
            let labels = [(key, text.as_ref())];
            write_counter(&mut metric.encode_family(&labels)?, value)?;
        }
        Ok(())
    }

    /// A counter for each reply code that was ever answered, and for 0.
    pub(super) fn by_code(&mut self, about: About, read: impl Fn(usize) -> u64) -> fmt::Result {
        let rows = (0..CODES).map(|n| (n, read(n)));
        let rows = rows.filter(|(n, count)| *count > 0 || *n == 0);
        self.named_counters(about, "code", rows.map(|(n, count)| (code_text(n), count)))
    }

    /// A counter for each pair of values of two labels.
    pub(super) fn counter_grid<A: Label, B: Label>(
        &mut self,
        about: About,
        read: impl Fn(usize, usize) -> u64,
    ) -> fmt::Result {
        let mut metric = self.begin(about, MetricType::Counter)?;
        for (a, b) in pairs::<A, B>() {
            let labels = [(A::KEY, A::text(a)), (B::KEY, B::text(b))];
            write_counter(&mut metric.encode_family(&labels)?, read(a, b))?;
        }
        Ok(())
    }

    /// A gauge for each value of a label.
    pub(super) fn gauges<L: Label>(
        &mut self,
        about: About,
        read: impl Fn(usize) -> i64,
    ) -> fmt::Result {
        let rows = (0..L::VALUES).map(|n| (L::text(n), read(n)));
        self.named_gauges(about, L::KEY, rows)
    }

    /// A gauge for each of `rows`, told apart by the label `key`.
    pub(super) fn named_gauges<T: AsRef<str>>(
        &mut self,
        about: About,
        key: &'static str,
        rows: impl Iterator<Item = (T, i64)>,
    ) -> fmt::Result {
        let mut metric = self.begin(about, MetricType::Gauge)?;
        for (text, value) in rows {
            let labels = [(key, text.as_ref())];
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A histogram for each pair of values of two labels.
    pub(super) fn histogram_grid<A: Label, B: Label>(
        &mut self,
        about: About,
        read: impl Fn(usize, usize) -> Snapshot,
    ) -> fmt::Result {
        let mut metric = self.begin(about, MetricType::Histogram)?;
        for (a, b) in pairs::<A, B>() {
            let labels = [(A::KEY, A::text(a)), (B::KEY, B::text(b))];
            write_histogram(&mut metric.encode_family(&labels)?, &read(a, b))?;
        }
        Ok(())
    }

    /// A family that says something in its labels.
    pub(super) fn info(&mut self, about: About, labels: &impl EncodeLabelSet) -> fmt::Result {
        self.begin(about, MetricType::Info)?.encode_info(labels)
    }
}

fn write_counter(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn write_histogram(metric: &mut MetricEncoder<'_>, read: &Snapshot) -> fmt::Result {
    metric.encode_histogram::<NoLabelSet>(read.sum(), read.count(), &read.buckets(), None)
}

fn pairs<A: Label, B: Label>() -> impl Iterator<Item = (usize, usize)> {
    (0..A::VALUES).flat_map(|a| (0..B::VALUES).map(move |b| (a, b)))
}
