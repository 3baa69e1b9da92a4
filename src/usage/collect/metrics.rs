//! Metrics of the collector.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What can become of an attempt to send; a closed set.
pub(super) const OUTCOMES: [&str; 4] = ["accepted", "refused", "unavailable", "unreachable"];
/// Why reports are dropped; a closed set.
pub(super) const DROPPED: [&str; 3] = ["queue_full", "refused", "stopped"];

/// Metrics of scrapes and sends.
#[derive(Debug, Clone)]
pub(super) struct CollectMetrics {
    pub(super) scrapes: IntCounterVec,
    pub(super) scrape_duration: Histogram,
    pub(super) last_scrape: Gauge,
    pub(super) failures: IntGauge,
    pub(super) pods: IntGauge,
    pub(super) nameless: IntCounter,
    pub(super) sends: IntCounterVec,
    pub(super) last_sent: Gauge,
    pub(super) sent: IntCounter,
    pub(super) dropped: IntCounterVec,
    pub(super) rejected: IntCounter,
    pub(super) queue: IntGauge,
    pub(super) queue_bytes: IntGauge,
}

impl CollectMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let name = |name: &str| format!("s3exporter_collect_{name}");
        let counter = |metric: &str, help: &str| IntCounter::new(name(metric), help);
        let vector = |metric: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name(metric), help), &[label]);
        let gauge = |metric: &str, help: &str| IntGauge::new(name(metric), help);
        let time = |metric: &str, help: &str| Gauge::new(name(metric), help);
        let buckets = vec![0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];
        let duration =
            HistogramOpts::new(name("scrape_duration_seconds"), "From asking the kubelet to a report, or to a failure.");
        let metrics = Self {
            scrapes: vector("scrapes_total", "Scrapes of the kubelet by outcome.", "outcome")?,
            scrape_duration: Histogram::with_opts(duration.buckets(buckets))?,
            last_scrape: time(
                "last_scrape_timestamp_seconds",
                "When the newest report was measured, in seconds since the Unix epoch; 0 before the first.",
            )?,
            failures: gauge("consecutive_failures", "Scrapes that have failed since the last that succeeded.")?,
            pods: gauge("pods", "Pods in the newest report.")?,
            nameless: counter(
                "unnamed_pods_total",
                "Pods left out of reports because the kubelet gave them no UID, namespace or name.",
            )?,
            sends: vector(
                "sends_total",
                "Attempts to send a report by outcome: accepted, refused for good, not taken now, and no answer at all.",
                "outcome",
            )?,
            last_sent: time(
                "last_sent_timestamp_seconds",
                "When a report was last accepted, in seconds since the Unix epoch; 0 before the first.",
            )?,
            sent: counter("reports_sent_total", "Reports that were accepted.")?,
            dropped: vector(
                "reports_dropped_total",
                "Reports that nobody has: the queue was full, the receiver refused them for good, or the collector was stopped.",
                "reason",
            )?,
            rejected: counter("rejected_pods_total", "Pods of accepted reports that the receiver could not read.")?,
            queue: gauge("queue_reports", "Reports that have not been accepted yet.")?,
            queue_bytes: gauge("queue_bytes", "Bytes of these reports.")?,
        };
        for outcome in ["success", "failure"] {
            metrics.scrapes.with_label_values(&[outcome]);
        }
        OUTCOMES.iter().for_each(|outcome| drop(metrics.sends.with_label_values(&[outcome])));
        DROPPED.iter().for_each(|reason| drop(metrics.dropped.with_label_values(&[reason])));
        registry.register(Box::new(metrics.scrapes.clone()))?;
        registry.register(Box::new(metrics.scrape_duration.clone()))?;
        registry.register(Box::new(metrics.last_scrape.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.pods.clone()))?;
        registry.register(Box::new(metrics.nameless.clone()))?;
        registry.register(Box::new(metrics.sends.clone()))?;
        registry.register(Box::new(metrics.last_sent.clone()))?;
        registry.register(Box::new(metrics.sent.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.rejected.clone()))?;
        registry.register(Box::new(metrics.queue.clone()))?;
        registry.register(Box::new(metrics.queue_bytes.clone()))?;
        Ok(metrics)
    }

    /// Counts reports that are lost.
    pub(super) fn drop_reports(&self, reason: &str, reports: usize) {
        self.dropped.with_label_values(&[reason]).inc_by(u64::try_from(reports).unwrap_or(u64::MAX));
    }

    /// Reports lost so far.
    pub(super) fn dropped_so_far(&self) -> u64 {
        DROPPED.iter().map(|reason| self.dropped.with_label_values(&[reason]).get()).sum()
    }
}
