//! Metrics of requests, scrapes and what is known of pods.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::discover::Discovery;
use super::reason::Reason;
use super::target::MalformedReason;

/// What can become of a request; a closed set.
pub(super) const OUTCOMES: [&str; 7] =
    ["success", "unknown_job", "not_listed", "too_many_targets", "overloaded", "busy", "internal"];

/// Why samples are left out; a closed set.
pub(super) const LEFT_OUT: [&str; 5] = ["type_conflict", "duplicate", "reserved_name", "timestamp", "repeated"];

/// Metrics of requests and scrapes.
#[derive(Debug, Clone)]
pub(super) struct ScrapeMetrics {
    pub(super) requests: IntCounterVec,
    pub(super) request_duration: Histogram,
    pub(super) shared: IntCounter,
    pub(super) scrapes: IntCounter,
    pub(super) errors: IntCounterVec,
    pub(super) scrape_duration: Histogram,
    pub(super) in_progress: IntGauge,
    pub(super) samples: IntCounter,
    pub(super) left_out: IntCounterVec,
    pub(super) received: IntCounter,
    pub(super) held: IntGauge,
}

fn name(name: &str) -> String {
    format!("s3exporter_podmetrics_{name}")
}

impl ScrapeMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |metric: &str, help: &str| IntCounter::new(name(metric), help);
        let vector = |metric: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name(metric), help), &[label]);
        let seconds = |metric: &str, help: &str| {
            let buckets = vec![0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
            Histogram::with_opts(HistogramOpts::new(name(metric), help).buckets(buckets))
        };
        let metrics = Self {
            requests: vector(
                "requests_total",
                "Requests for the metrics of a job by outcome; `internal` is a bug of the exporter.",
                "outcome",
            )?,
            request_duration: seconds("request_duration_seconds", "From a request to its merged answer, sending not included.")?,
            shared: counter("shared_requests_total", "Requests that were answered by the scrapes of another.")?,
            scrapes: counter(
                "scrapes_total",
                "Scrapes of pods that were begun, those that failed included; not pods that were not even connected to.",
            )?,
            errors: vector(
                "scrape_errors_total",
                "Targets that were down by reason, those included that were not even connected to.",
                "reason",
            )?,
            scrape_duration: seconds(
                "scrape_duration_seconds",
                "How long scrapes of pods took from connecting to the last byte.",
            )?,
            in_progress: IntGauge::new(name("scrapes_in_progress"), "Scrapes of pods that are running.")?,
            samples: counter("samples_total", "Samples in the answers of pods.")?,
            left_out: vector(
                "samples_left_out_total",
                "Samples that were left out by reason: their TYPE lost against another, the same pod had the series before, their name is that of \
                 a sample of the scrape, their time is before 1970 or absurdly far ahead, or another pod had the series (honoured labels).",
                "reason",
            )?,
            received: counter("received_bytes_total", "Bytes in the answers of pods, once unpacked.")?,
            held: IntGauge::new(name("held_bytes"), "Bytes of pods' answers that are held for requests.")?,
        };
        for outcome in OUTCOMES {
            metrics.requests.with_label_values(&[outcome]);
        }
        for reason in Reason::ALL {
            metrics.errors.with_label_values(&[reason.as_str()]);
        }
        for reason in LEFT_OUT {
            metrics.left_out.with_label_values(&[reason]);
        }
        for vector in [&metrics.requests, &metrics.errors, &metrics.left_out] {
            registry.register(Box::new(vector.clone()))?;
        }
        for counter in [&metrics.shared, &metrics.scrapes, &metrics.samples, &metrics.received] {
            registry.register(Box::new(counter.clone()))?;
        }
        for histogram in [&metrics.request_duration, &metrics.scrape_duration] {
            registry.register(Box::new(histogram.clone()))?;
        }
        registry.register(Box::new(metrics.in_progress.clone()))?;
        registry.register(Box::new(metrics.held.clone()))?;
        Ok(metrics)
    }
}

/// What is known of pods, looked up at each scrape.
pub(super) struct PodsCollector {
    discovery: Discovery,
    jobs: IntGauge,
    pods: IntGaugeVec,
    malformed: IntGaugeVec,
}

impl PodsCollector {
    pub(super) fn register(registry: &Registry, discovery: Discovery) -> prometheus::Result<()> {
        let collector = Self {
            discovery,
            jobs: IntGauge::new(name("jobs"), "Jobs that pods belong to.")?,
            pods: IntGaugeVec::new(
                Opts::new(
                    name("pods"),
                    "Pods of jobs by state; those that wait do not run, have no address or are being deleted.",
                ),
                &["state"],
            )?,
            malformed: IntGaugeVec::new(
                Opts::new(name("malformed_pods"), "Pods with a label or annotation that cannot be read, by its name."),
                &["label"],
            )?,
        };
        registry.register(Box::new(collector))
    }
}

impl Collector for PodsCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.jobs.desc(), self.pods.desc(), self.malformed.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let narrow = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let counts = self.discovery.counts();
        self.jobs.set(narrow(self.discovery.jobs().len()));
        for (state, count) in
            [("scrapable", counts.scrapable), ("waiting", counts.waiting), ("malformed", counts.all_malformed())]
        {
            self.pods.with_label_values(&[state]).set(narrow(count));
        }
        for reason in MalformedReason::ALL {
            self.malformed.with_label_values(&[reason.as_str()]).set(narrow(counts.malformed(reason)));
        }
        [self.jobs.collect(), self.pods.collect(), self.malformed.collect()].concat()
    }
}
