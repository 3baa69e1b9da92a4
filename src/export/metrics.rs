//! What Prometheus is told of the export, per endpoint.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use super::manifest::Entry;
use crate::job::{JobMetrics, TargetMetrics};
use crate::promapi::RequestMeter;

const PREFIX: &str = "s3exporter_export";
const LABEL: &str = "alias";
/// Of a window; see [`super::board`].
pub(super) const STATES: [&str; 6] = ["pending", "running", "sealed", "suspect", "failed", "empty"];
const PARTIAL: [&str; 5] = ["status", "warnings", "malformed", "truncated", "vanished"];
const LOST: [&str; 2] = ["retention", "max_backfill"];
/// From a quick answer to the deadline.
const BUCKETS: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0];

/// Stages of an export that are timed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// Reading the bucket and planning.
    Plan,
    /// One metric of one window, from the question to the stored object.
    Fetch,
    /// Writing one manifest.
    Seal,
}

/// Their names, in their order.
const STAGES: [&str; 3] = ["plan", "fetch", "seal"];

/// Metrics of all endpoints.
pub(super) struct ExportMetrics {
    runs: JobMetrics,
    completion: GaugeVec,
    windows: IntGaugeVec,
    sealed_until: GaugeVec,
    due_until: GaugeVec,
    objects: IntCounterVec,
    bytes: IntCounterVec,
    samples: IntCounterVec,
    requests: IntCounterVec,
    retries: IntCounterVec,
    partial: IntCounterVec,
    lost: IntCounterVec,
    stages: HistogramVec,
}

/// Metrics of one endpoint.
#[derive(Debug, Clone)]
pub(super) struct AliasMetrics {
    alias: String,
    completion: Gauge,
    windows: IntGaugeVec,
    sealed_until: GaugeVec,
    due_until: GaugeVec,
    objects: IntCounter,
    bytes: IntCounter,
    samples: IntCounter,
    pub(super) retries: IntCounter,
    partial: IntCounterVec,
    lost: IntCounterVec,
    stages: [Histogram; 3],
}

impl ExportMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        fn registered<C: Collector + Clone + 'static>(
            registry: &Registry,
            metric: prometheus::Result<C>,
        ) -> prometheus::Result<C> {
            let metric = metric?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }
        let options = |name: &str, help: &str| Opts::new(format!("{PREFIX}_{name}"), help);
        let counter = |name, help, labels: &[&str]| registered(registry, IntCounterVec::new(options(name, help), labels));
        let gauge = |name, help| registered(registry, GaugeVec::new(options(name, help), &[LABEL]));
        Ok(Self {
            runs: JobMetrics::register(registry, PREFIX, LABEL, "export of the endpoint")?,
            completion: gauge(
                "last_completion_timestamp_seconds",
                "End of the last export of the endpoint, complete or not, in seconds since the Unix epoch; 0 before the first.",
            )?,
            windows: registered(
                registry,
                IntGaugeVec::new(
                    options("windows", "Hours within the backfill by state; an hour without any series is sealed as empty."),
                    &[LABEL, "state"],
                ),
            )?,
            sealed_until: gauge(
                "sealed_until_timestamp_seconds",
                "Until when nothing is missing: end of the last sealed hour without a gap before it, or the beginning of what is due, in seconds since the Unix epoch; absent before the bucket has been read.",
            )?,
            due_until: gauge(
                "due_until_timestamp_seconds",
                "End of the newest hour that has settled, as of the last plan, in seconds since the Unix epoch.",
            )?,
            objects: counter("objects_total", "Objects written, manifests not counted.", &[LABEL])?,
            bytes: counter("bytes_total", "Bytes in the objects written.", &[LABEL])?,
            samples: counter("samples_total", "Samples in the objects written.", &[LABEL])?,
            requests: counter(
                "requests_total",
                "Requests to the endpoint by class of the status code; `error` without an answer.",
                &[LABEL, "code"],
            )?,
            retries: counter("retries_total", "Attempts at a metric of an hour beyond the first.", &[LABEL])?,
            partial: counter(
                "partial_answers_total",
                "Answers of 200 that were not, or perhaps not, the whole: an error in them, warnings, no JSON, cut off, or no series where there were some the hour before.",
                &[LABEL, "reason"],
            )?,
            lost: counter(
                "windows_lost_total",
                "Hours that could not be exported before the source dropped their samples, or before they were older than the backfill.",
                &[LABEL, "reason"],
            )?,
            stages: registered(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        format!("{PREFIX}_stage_duration_seconds"),
                        "How long stages took: reading the bucket and planning, fetching and storing a metric of an hour, writing a manifest.",
                    )
                    .buckets(BUCKETS.to_vec()),
                    &[LABEL, "stage"],
                ),
            )?,
        })
    }

    /// Metrics of one endpoint; counters exist from now on.
    pub(super) fn alias(&self, alias: &str) -> (TargetMetrics, AliasMetrics, RequestMeter) {
        for reason in PARTIAL {
            self.partial.with_label_values(&[alias, reason]);
        }
        for reason in LOST {
            self.lost.with_label_values(&[alias, reason]);
        }
        self.completion.with_label_values(&[alias]).set(0.0);
        let metrics = AliasMetrics {
            alias: alias.to_owned(),
            completion: self.completion.with_label_values(&[alias]),
            windows: self.windows.clone(),
            sealed_until: self.sealed_until.clone(),
            due_until: self.due_until.clone(),
            objects: self.objects.with_label_values(&[alias]),
            bytes: self.bytes.with_label_values(&[alias]),
            samples: self.samples.with_label_values(&[alias]),
            retries: self.retries.with_label_values(&[alias]),
            partial: self.partial.clone(),
            lost: self.lost.clone(),
            stages: STAGES.map(|stage| self.stages.with_label_values(&[alias, stage])),
        };
        let by_class = RequestMeter::CLASSES.map(|class| self.requests.with_label_values(&[alias, class]));
        (self.runs.target(alias), metrics, RequestMeter { by_class })
    }
}

impl AliasMetrics {
    pub(super) fn completed(&self, at: f64) {
        self.completion.set(at);
    }

    /// Hours by state, in the order of [`STATES`].
    pub(super) fn windows(&self, counts: [i64; 6]) {
        for (state, count) in STATES.iter().zip(counts) {
            self.windows.with_label_values(&[self.alias.as_str(), state]).set(count);
        }
    }

    /// Ends in Unix seconds.
    #[expect(clippy::cast_precision_loss, reason = "seconds fit for millions of years")]
    pub(super) fn progress(&self, sealed_until: i64, due_until: i64) {
        self.sealed_until.with_label_values(&[&self.alias]).set(sealed_until as f64);
        self.due_until.with_label_values(&[&self.alias]).set(due_until as f64);
    }

    pub(super) fn stored(&self, entry: &Entry) {
        self.objects.inc();
        self.bytes.inc_by(entry.bytes);
        self.samples.inc_by(entry.samples);
    }

    pub(super) fn partial(&self, reason: &str) {
        self.partial.with_label_values(&[self.alias.as_str(), reason]).inc();
    }

    pub(super) fn lost(&self, reason: &str, hours: u64) {
        self.lost.with_label_values(&[self.alias.as_str(), reason]).inc_by(hours);
    }

    pub(super) fn stage(&self, stage: Stage, took: Duration) {
        self.stages[stage as usize].observe(took.as_secs_f64());
    }
}
