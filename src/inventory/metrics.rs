//! Metrics of the scans themselves. What they found is in [`super::results`].

use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::config::TargetConfig;
use crate::job::{JobMetrics, TargetMetrics};
use crate::listing::{Meter, Reason};

/// Reasons that are not the listing's.
pub(super) const CLUSTERS_UNKNOWN: &str = "clusters_unknown";
pub(super) const DEADLINE: &str = "deadline";

/// Metrics of the scans of all buckets.
#[derive(Debug, Clone)]
pub(super) struct ScanMetrics {
    jobs: JobMetrics,
    pages: IntCounterVec,
    requests: IntCounterVec,
    cost: CounterVec,
    concurrency: IntGaugeVec,
    fallbacks: IntCounterVec,
    objects_seen: IntGaugeVec,
    errors: IntCounterVec,
    backup_interval: GaugeVec,
}

impl ScanMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let by_bucket = ["bucket"];
        let metrics = Self {
            jobs: JobMetrics::register(registry, "s3exporter_scan", "bucket", "scan of the bucket")?,
            pages: IntCounterVec::new(Opts::new("s3exporter_scan_pages_total", "List pages read."), &by_bucket)?,
            requests: IntCounterVec::new(
                Opts::new("s3exporter_scan_requests_total", "List requests sent, retries included."),
                &by_bucket,
            )?,
            cost: CounterVec::new(
                Opts::new(
                    "s3exporter_scan_estimated_cost_dollars_total",
                    "What the list requests are estimated to cost, at the configured price of a thousand.",
                ),
                &by_bucket,
            )?,
            concurrency: IntGaugeVec::new(
                Opts::new(
                    "s3exporter_scan_concurrency",
                    "How many list requests may run side by side: the configured number, fewer while the server throttles or is slow.",
                ),
                &by_bucket,
            )?,
            fallbacks: IntCounterVec::new(
                Opts::new(
                    "s3exporter_scan_fallbacks_total",
                    "Scans that listed the bucket page after page, since the server could not be asked by key, or could not last time.",
                ),
                &by_bucket,
            )?,
            objects_seen: IntGaugeVec::new(
                Opts::new(
                    "s3exporter_scan_objects_seen",
                    "Objects seen so far by the running scan, or by the last one if none is running.",
                ),
                &by_bucket,
            )?,
            errors: IntCounterVec::new(
                Opts::new("s3exporter_scan_errors_total", "Failed scans by reason."),
                &["bucket", "reason"],
            )?,
            backup_interval: GaugeVec::new(
                Opts::new(
                    "s3exporter_inventory_backup_interval_seconds",
                    "How often a backup is expected, from the configuration.",
                ),
                &by_bucket,
            )?,
        };
        registry.register(Box::new(metrics.pages.clone()))?;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.cost.clone()))?;
        registry.register(Box::new(metrics.concurrency.clone()))?;
        registry.register(Box::new(metrics.fallbacks.clone()))?;
        registry.register(Box::new(metrics.objects_seen.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.backup_interval.clone()))?;
        Ok(metrics)
    }

    /// The run metrics and the meter of one bucket; its counters and its state exist from now on.
    pub(super) fn target(&self, target: &TargetConfig) -> (TargetMetrics, Meter) {
        let bucket = [target.name.as_str()];
        self.backup_interval.with_label_values(&bucket).set(target.backup_interval.as_secs_f64());
        for reason in Reason::ALL.iter().map(|reason| reason.as_str()).chain([CLUSTERS_UNKNOWN, DEADLINE]) {
            self.errors.with_label_values(&[bucket[0], reason]);
        }
        let meter = Meter {
            pages: self.pages.with_label_values(&bucket),
            requests: self.requests.with_label_values(&bucket),
            cost: self.cost.with_label_values(&bucket),
            price: target.list_price / 1_000.0,
            concurrency: self.concurrency.with_label_values(&bucket),
            fallbacks: self.fallbacks.with_label_values(&bucket),
            objects_seen: self.objects_seen.with_label_values(&bucket),
        };
        (self.jobs.target(bucket[0]), meter)
    }

    pub(super) fn failed(&self, bucket: &str, reason: &str) {
        self.errors.with_label_values(&[bucket, reason]).inc();
    }
}
