//! How watches are doing, by resource: registered once, and shared by all of them.

use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// What a watch can fail of; a closed set.
const REASONS: [&str; 6] = ["access_denied", "not_found", "expired", "throttled", "server_error", "connection"];

/// How watches are doing, by resource.
#[derive(Debug, Clone)]
pub struct WatchMetrics {
    synced: IntGaugeVec,
    objects: IntGaugeVec,
    last_contact: GaugeVec,
    errors: IntCounterVec,
}

impl WatchMetrics {
    /// Registers `s3exporter_watch_*`.
    ///
    /// # Errors
    /// When a name is taken already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = |name: &str, help: &str| Opts::new(format!("s3exporter_watch_{name}"), help);
        let metrics = Self {
            synced: IntGaugeVec::new(
                options("synced", "1 once the Kubernetes resource has been listed completely."),
                &["resource"],
            )?,
            objects: IntGaugeVec::new(
                options("objects", "Objects of the Kubernetes resource that are known now."),
                &["resource"],
            )?,
            last_contact: GaugeVec::new(
                options(
                    "last_contact_timestamp_seconds",
                    "When the Kubernetes API last answered a list or watch, in seconds since the Unix epoch; 0 before the first.",
                ),
                &["resource"],
            )?,
            errors: IntCounterVec::new(options("errors_total", "Failed lists and watches by reason."), &["resource", "reason"])?,
        };
        registry.register(Box::new(metrics.synced.clone()))?;
        registry.register(Box::new(metrics.objects.clone()))?;
        registry.register(Box::new(metrics.last_contact.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        Ok(metrics)
    }

    /// When the API last answered the watch of `resource`, in seconds since the Unix epoch; 0 before the first answer.
    pub fn last_contact(&self, resource: &str) -> f64 {
        self.last_contact.with_label_values(&[resource]).get()
    }

    /// The series of one watch, from now on there.
    pub(super) fn meter(&self, resource: &str) -> WatchMeter {
        for reason in REASONS {
            self.errors.with_label_values(&[resource, reason]);
        }
        let meter = WatchMeter {
            synced: self.synced.with_label_values(&[resource]),
            objects: self.objects.with_label_values(&[resource]),
            last_contact: self.last_contact.with_label_values(&[resource]),
            errors: self.errors.clone(),
            resource: resource.to_owned(),
        };
        meter.synced.set(0);
        meter.objects.set(0);
        meter
    }
}

/// The series of one watch.
#[derive(Debug)]
pub(super) struct WatchMeter {
    pub(super) synced: IntGauge,
    pub(super) objects: IntGauge,
    pub(super) last_contact: Gauge,
    errors: IntCounterVec,
    /// The `resource` label.
    pub(super) resource: String,
}

impl WatchMeter {
    /// Counts a failure; `reason` is one of [`REASONS`].
    pub(super) fn failed(&self, reason: &str) {
        self.errors.with_label_values(&[self.resource.as_str(), reason]).inc();
    }
}
