//! What is known of a bucket: its last complete result, and how its scans have been going.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::config::TargetConfig;
use super::results::{Rendered, compose, query_success, render};
use super::scan::ScanError;
use super::stats::Inventory;
use crate::listing::Meter;
use crate::server::Fragment;
use crate::time::Clock;

/// After so many failures a bucket no longer holds up readiness.
const SETTLED_FAILURES: u32 = 3;

/// A bucket that is being scanned.
pub(super) struct Bucket {
    target: TargetConfig,
    location: String,
    meter: Meter,
    clock: Clock,
    state: RwLock<State>,
}

/// How a bucket's scans have been going.
#[derive(Clone, Default)]
pub(super) struct State {
    /// The last complete result.
    pub(super) result: Option<Arc<ScanResult>>,
    /// Of the scan that is running or ran last.
    pub(super) last_start: Option<(Timestamp, Instant)>,
    pub(super) running: bool,
    pub(super) consecutive_failures: u32,
    /// Of the last finished scan, if it failed.
    pub(super) error: Option<(Timestamp, Arc<ScanError>)>,
    failures: u32,
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
    pub(super) fn new(target: TargetConfig, location: String, meter: Meter, clock: Clock) -> Self {
        Self { target, location, meter, clock, state: RwLock::default() }
    }

    pub(super) fn target(&self) -> &TargetConfig {
        &self.target
    }

    /// Where the bucket is, for people.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// Objects seen by the scan that is running or ran last.
    pub(super) fn objects_seen(&self) -> i64 {
        self.meter.objects_seen.get()
    }

    pub(super) fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Scanned completely once, or failed three times.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.state();
        state.result.is_some() || state.failures >= SETTLED_FAILURES
    }

    pub(super) fn scan_started(&self) {
        let now = self.clock.now();
        self.update(|state| {
            state.last_start = Some((now, Instant::now()));
            state.running = true;
        });
    }

    /// Publishes a complete result, or notes and logs the error. True for a complete one.
    pub(super) fn scan_finished(&self, result: Result<Inventory, ScanError>) -> bool {
        let now = self.clock.now();
        let took = self.state().last_start.map(|(_, start)| start.elapsed()).unwrap_or_default();
        let bucket = self.target.name.as_str();
        match result {
            Ok(inventory) => {
                let objects = self.objects_seen();
                tracing::debug!(bucket, objects, clusters = inventory.clusters.len(), seconds = took.as_secs_f64(), "scanned");
                let rendered = render(&inventory, bucket, self.target.kubermatic_metrics);
                let result = Arc::new(ScanResult { inventory, at: now, took, rendered });
                let recovered = self.update(|state| {
                    state.result = Some(result);
                    state.error = None;
                    std::mem::take(&mut state.consecutive_failures)
                });
                if recovered > 0 {
                    tracing::info!(bucket, failures = recovered, "scanned completely again");
                }
                self.finish(true)
            }
            Err(error) => {
                let consecutive = self.update(|state| {
                    state.failures = state.failures.saturating_add(1);
                    state.consecutive_failures = state.consecutive_failures.saturating_add(1);
                    state.consecutive_failures
                });
                tracing::warn!(bucket, reason = error.reason, %error, consecutive, "the scan failed; the last complete result stays");
                self.update(|state| state.error = Some((now, Arc::new(error))));
                self.finish(false)
            }
        }
    }

    fn finish(&self, success: bool) -> bool {
        let fragment = self.target.kubermatic_metrics.then(|| query_success(success));
        self.update(|state| {
            state.success = fragment;
            state.running = false;
        });
        success
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
