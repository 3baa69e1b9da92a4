//! Metrics of reports, of the journal, and of what becomes of both.

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// What can become of a report; a closed set.
pub(super) const OUTCOMES: [&str; 12] = [
    "added",
    "repeated",
    "empty",
    "not_json",
    "invalid",
    "too_large",
    "unknown_encoding",
    "unauthorized",
    "forbidden",
    "full",
    "unavailable",
    "aborted",
];

/// What can become of an upload; a closed set.
pub(super) const UPLOADS: [&str; 4] = ["done", "already_there", "conflict", "failed"];

fn name(name: &str) -> String {
    format!("s3exporter_usage_{name}")
}

fn counter(registry: &Registry, metric: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name(metric), help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn counters(registry: &Registry, metric: &str, help: &str, label: &str, values: &[&str]) -> prometheus::Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name(metric), help), &[label])?;
    for value in values {
        counters.with_label_values(&[*value]);
    }
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauge(registry: &Registry, metric: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name(metric), help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn timestamp(registry: &Registry, metric: &str, help: &str) -> prometheus::Result<Gauge> {
    let gauge = Gauge::new(name(metric), help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn histogram(registry: &Registry, metric: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name(metric), help).buckets(buckets.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

/// Metrics of reports as they come.
#[derive(Debug, Clone)]
pub struct IngestMetrics {
    pub(super) reports: IntCounterVec,
    pub(super) rows: IntCounter,
    pub(super) dead_letters: IntCounter,
    pub(super) received: IntCounter,
    pub(super) duration: Histogram,
    pub(super) delay: Histogram,
    pub(super) ahead: IntCounter,
}

impl IngestMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            reports: counters(
                registry,
                "reports_total",
                "Reports by what became of them: `added` to the journal, `repeated` and dropped, `empty` (no pods), or refused.",
                "outcome",
                &OUTCOMES,
            )?,
            rows: counter(registry, "rows_received_total", "Entries of pods in reports that were added to the journal.")?,
            dead_letters: counter(
                registry,
                "dead_letters_total",
                "Entries of pods that could not be read, in reports that were added; they go to dead-letter objects.",
            )?,
            received: counter(registry, "received_bytes_total", "Bytes of bodies of reports, as they were sent.")?,
            duration: histogram(
                registry,
                "request_duration_seconds",
                "From the head of a request to its answer, for reports that are on disk.",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0],
            )?,
            delay: histogram(
                registry,
                "report_delay_seconds",
                "From the time that a report tells to its coming.",
                &[0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0],
            )?,
            ahead: counter(
                registry,
                "reports_ahead_total",
                "Reports that tell a time more than a minute in the future: a clock is wrong.",
            )?,
        })
    }
}

/// Metrics of the journal.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    pub(super) live_bytes: IntGauge,
    pub(super) entries: IntGauge,
    pub(super) seals: IntGauge,
    pub(super) file_bytes: IntGauge,
    pub(super) budget: IntGauge,
    pub(super) oldest: Gauge,
    pub(super) commit_seconds: Histogram,
    pub(super) batch: Histogram,
    pub(super) errors: IntCounter,
    pub(super) set_aside: IntCounter,
}

impl JournalMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            live_bytes: gauge(
                registry,
                "journal_live_bytes",
                "Bytes that are not in the bucket yet: of entries and of sealed files.",
            )?,
            entries: gauge(registry, "journal_entries", "Reports that are not in the bucket yet.")?,
            seals: gauge(registry, "journal_seals", "Seals whose files are not all in the bucket yet.")?,
            file_bytes: gauge(registry, "journal_file_bytes", "Size of the journal's store on disk.")?,
            budget: gauge(registry, "journal_budget_bytes", "Live bytes from which on reports are refused.")?,
            oldest: timestamp(
                registry,
                "journal_oldest_timestamp_seconds",
                "When the oldest report that is not in the bucket yet was taken, in seconds since the Unix epoch; 0 without any.",
            )?,
            commit_seconds: histogram(
                registry,
                "journal_commit_duration_seconds",
                "How long transactions of the journal take, fsync included.",
                &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0],
            )?,
            batch: histogram(
                registry,
                "journal_commit_reports",
                "Reports in a transaction of the journal.",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0],
            )?,
            errors: counter(registry, "journal_errors_total", "Failures of the journal's disk.")?,
            set_aside: counter(registry, "journal_set_aside_total", "Entries that were damaged on disk and set aside.")?,
        })
    }
}

/// Metrics of seals and uploads.
#[derive(Debug, Clone)]
pub struct SealMetrics {
    pub(super) files: IntCounter,
    pub(super) files_again: IntCounter,
    pub(super) rows: IntCounter,
    pub(super) unmatched: IntCounter,
    pub(super) seal_seconds: Histogram,
    pub(super) seal_errors: IntCounter,
    pub(super) uploads: IntCounterVec,
    pub(super) uploaded_bytes: IntCounter,
    pub(super) last_upload: Gauge,
    pub(super) silent_nodes: IntGauge,
}

impl SealMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            files: counter(registry, "files_sealed_total", "Files that were sealed.")?,
            files_again: counter(
                registry,
                "files_sealed_again_total",
                "Files that were damaged before they were in the bucket, and were made again from the journal.",
            )?,
            rows: counter(registry, "rows_sealed_total", "Rows in sealed files.")?,
            unmatched: counter(registry, "rows_unmatched_total", "Rows in sealed files whose pod Kubernetes does not know.")?,
            seal_seconds: histogram(
                registry,
                "seal_duration_seconds",
                "How long it takes to join reports and to write their files.",
                &[0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0],
            )?,
            seal_errors: counter(registry, "seal_errors_total", "Attempts to seal that failed.")?,
            uploads: counters(
                registry,
                "uploads_total",
                "Uploads by outcome; `conflict` is an object of the same key that is another file.",
                "outcome",
                &UPLOADS,
            )?,
            uploaded_bytes: counter(registry, "uploaded_bytes_total", "Bytes of files that are in the bucket.")?,
            last_upload: timestamp(
                registry,
                "last_upload_timestamp_seconds",
                "When a file last arrived in the bucket, in seconds since the Unix epoch; 0 before the first.",
            )?,
            silent_nodes: gauge(
                registry,
                "silent_nodes",
                "Nodes that Kubernetes knows and that have sent no report for ten minutes, since the start of the process.",
            )?,
        })
    }
}
