//! What is known of a bucket: its last complete result, and how its scans have been going.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::config::TargetConfig;
use super::results::{Rendered, compose, query_success, render};
use super::scan::ScanError;
use super::stats::Inventory;
use crate::listing::{Listing, Meter};
use crate::server::Fragment;
use crate::time::Clock;

/// After so many failures in a row a bucket is unhealthy, and no longer holds up readiness.
pub(super) const MANY_FAILURES: u32 = 3;

/// A bucket that is being scanned.
pub(super) struct Bucket {
    target: TargetConfig,
    listing: Arc<Listing>,
    meter: Meter,
    clock: Clock,
    state: RwLock<State>,
}

/// How a bucket's scans have been going.
#[derive(Clone, Default)]
pub(super) struct State {
    /// The last complete result.
    pub(super) result: Option<Arc<ScanResult>>,
    /// Start of the scan that is running or ran last.
    pub(super) last_start: Option<Timestamp>,
    pub(super) running: bool,
    pub(super) consecutive_failures: u32,
    /// Of the last finished scan, if it failed.
    pub(super) error: Option<(Timestamp, Arc<ScanError>)>,
    /// Scanned completely once, or failed three times: no longer a reason to wait.
    settled: bool,
    /// `kubermatic_s3_query_success`, where the bucket has it and a scan has finished.
    success: Option<Fragment>,
}

/// A complete scan's result.
pub(super) struct ScanResult {
    pub(super) inventory: Inventory,
    /// When the scan ended.
    pub(super) at: Timestamp,
    pub(super) took: Duration,
    rendered: Rendered,
}

impl Bucket {
    pub(super) fn new(target: TargetConfig, listing: Arc<Listing>, meter: Meter, clock: Clock) -> Self {
        Self { target, listing, meter, clock, state: RwLock::default() }
    }

    pub(super) fn target(&self) -> &TargetConfig {
        &self.target
    }

    /// Where the bucket is, for people.
    pub(super) fn location(&self) -> String {
        self.listing.location()
    }

    /// Objects seen by the scan that is running or ran last.
    pub(super) fn objects_seen(&self) -> i64 {
        self.meter.objects_seen.get()
    }

    pub(super) fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).settled
    }

    pub(super) fn scan_started(&self) {
        let now = self.clock.now();
        self.update(|state| {
            state.last_start = Some(now);
            state.running = true;
        });
    }

    /// Renders and publishes a complete result.
    pub(super) fn scan_completed(&self, inventory: Inventory, took: Duration) {
        let bucket = self.target.name.as_str();
        let (objects, clusters) = (self.objects_seen(), inventory.clusters.len());
        let rendered = render(&inventory, bucket, self.target.kubermatic_metrics);
        let result = Arc::new(ScanResult { inventory, at: self.clock.now(), took, rendered });
        let failures = self.update(|state| {
            state.result = Some(result);
            state.error = None;
            state.running = false;
            state.settled = true;
            state.success = self.success(true);
            std::mem::take(&mut state.consecutive_failures)
        });
        tracing::debug!(bucket, objects, clusters, seconds = took.as_secs_f64(), "scanned");
        if failures > 0 {
            tracing::info!(bucket, failures, "scanned completely again");
        }
    }

    /// Notes and logs the error; the last complete result stays.
    pub(super) fn scan_failed(&self, error: ScanError) {
        let error = Arc::new(error);
        let now = self.clock.now();
        let (consecutive, first) = self.update(|state| {
            state.error = Some((now, Arc::clone(&error)));
            state.running = false;
            state.consecutive_failures = state.consecutive_failures.saturating_add(1);
            state.settled |= state.consecutive_failures >= MANY_FAILURES;
            state.success = self.success(false);
            (state.consecutive_failures, state.result.is_none())
        });
        let bucket = self.target.name.as_str();
        let rest = if first { "there is no complete result yet" } else { "the last complete result stays" };
        tracing::warn!(bucket, reason = error.reason, %error, consecutive, "the scan failed; {rest}");
    }

    fn success(&self, success: bool) -> Option<Fragment> {
        self.target.kubermatic_metrics.then(|| query_success(success))
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rendered results of all buckets.
pub(super) fn fragments(buckets: &[Arc<Bucket>]) -> Vec<Fragment> {
    let states: Vec<State> = buckets.iter().map(|bucket| bucket.state()).collect();
    let mut fragments = compose(states.iter().filter_map(|state| state.result.as_ref()).map(|result| &result.rendered));
    fragments.extend(states.into_iter().filter_map(|state| state.success));
    fragments
}
