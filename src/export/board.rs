//! Where each window stands: for the metrics, the status page, the progress of a single run, and the table at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::manifest::Manifest;
use super::metrics::AliasMetrics;
use super::plan::{Bucket, Plan, sealed_until};
use crate::time::UtcHour;

/// Where a window stands; the names are those in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WindowState {
    /// Due, and not begun.
    Pending,
    Running,
    Sealed,
    /// Stored, to be fetched again.
    Suspect,
    Failed,
    /// Sealed, and without a series.
    Empty,
}

impl WindowState {
    pub(super) fn is_sealed(self) -> bool {
        matches!(self, Self::Sealed | Self::Empty)
    }
}

/// A window, and why it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) state: WindowState,
    /// What went wrong, or why it is suspect or was sealed with a mark.
    pub(super) reasons: Vec<String>,
    /// A metric has no object.
    pub(super) incomplete: bool,
}

impl Cell {
    pub(super) fn new(state: WindowState) -> Self {
        Self { state, reasons: Vec::new(), incomplete: false }
    }
}

/// A listener to the progress of a run.
pub(super) type Watcher = Box<dyn Fn(UtcHour, &Cell, usize) + Send + Sync>;

/// The windows of one endpoint.
pub(super) struct Board {
    metrics: AliasMetrics,
    inner: Mutex<View>,
    watcher: Option<Watcher>,
}

/// What is known at some time.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) plan: Option<Plan>,
    pub(super) cells: BTreeMap<UtcHour, Cell>,
    /// Metrics that have no series in any hour that is known: perhaps misspelt.
    pub(super) never_seen: Vec<String>,
    /// Why the bucket could not be read, in the last run.
    pub(super) unread: Option<String>,
    /// Read completely once.
    pub(super) was_read: bool,
    pub(super) last_run: Option<Timestamp>,
    /// End of the last run in which nothing failed.
    pub(super) last_success: Option<Timestamp>,
    pub(super) running: bool,
}

impl Board {
    pub(super) fn new(metrics: AliasMetrics, watcher: Option<Watcher>) -> Self {
        Self { metrics, inner: Mutex::default(), watcher }
    }

    pub(super) fn view(&self) -> View {
        self.lock().clone()
    }

    pub(super) fn started(&self) {
        self.lock().running = true;
    }

    /// Takes in what the bucket has and what is due.
    pub(super) fn planned(&self, plan: &Plan, bucket: &Bucket) {
        let mut view = self.lock();
        let due: BTreeSet<UtcHour> = plan.due.iter().map(|due| due.hour).collect();
        view.cells = (0..=plan.until.since(plan.since))
            .map(|count| plan.since.plus(count))
            .map(|hour| {
                if let Some(why) = bucket.get(hour).and_then(|found| found.unreadable.clone()) {
                    return (hour, Cell { state: WindowState::Failed, reasons: vec![why], incomplete: true });
                }
                let manifest = bucket.manifest(hour);
                let state = match manifest {
                    _ if due.contains(&hour) => WindowState::Pending,
                    Some(manifest) => manifest.window_state(),
                    None => WindowState::Pending,
                };
                let incomplete = manifest.is_some_and(|manifest| !manifest.missing.is_empty());
                (hour, Cell { state, reasons: manifest.map(Manifest::reasons).unwrap_or_default(), incomplete })
            })
            .collect();
        view.plan = Some(plan.clone());
        (view.unread, view.was_read) = (None, true);
        self.publish(&view);
    }

    pub(super) fn never_seen(&self, metrics: Vec<String>) {
        self.lock().never_seen = metrics;
    }

    pub(super) fn unread(&self, why: String) {
        self.lock().unread = Some(why);
    }

    pub(super) fn set(&self, hour: UtcHour, cell: Cell) {
        let mut view = self.lock();
        let left = view.cells.values().filter(|cell| matches!(cell.state, WindowState::Pending | WindowState::Running)).count();
        if let Some(watcher) = &self.watcher {
            watcher(hour, &cell, left);
        }
        view.cells.insert(hour, cell);
        self.publish(&view);
    }

    pub(super) fn finished(&self, now: Timestamp, success: bool) {
        let mut view = self.lock();
        view.running = false;
        view.last_run = Some(now);
        if success {
            view.last_success = Some(now);
        }
        self.metrics.completed(now.as_duration().as_secs_f64());
    }

    fn publish(&self, view: &View) {
        let mut counts = [0; 6];
        view.cells.values().for_each(|cell| counts[cell.state as usize] += 1);
        self.metrics.windows(counts);
        if let Some(plan) = &view.plan {
            let sealed = |hour| view.cells.get(&hour).is_some_and(|cell| cell.state.is_sealed());
            self.metrics.progress(sealed_until(plan, sealed), plan.until.end());
        }
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
