//! One run of an endpoint: read the bucket, plan, fetch what is due, seal what can be judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tokio::time::Instant;

use super::Endpoint;
use super::board::{Board, Cell, WindowState};
use super::fetch::Failure;
use super::keys::Item;
use super::manifest::Manifest;
use super::metrics::Stage;
use super::plan::{Bucket, Found, Plan, newest_settled, plan, range};
use super::status::name;
use super::window::{Draft, Known, ManifestRead, reasons, series};
use crate::promapi::MetricName;
use crate::store::StoreError;
use crate::time::UtcHour;

/// Days that are listed side by side.
const LISTINGS: usize = 8;
/// Manifests that are read side by side.
const READS: usize = 16;
/// After so many windows in a row about which the source has answered nothing, the rest is left to the next run.
const MOST_SILENT: usize = 2;

/// What a process remembers from run to run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Manifests by key, with the `ETag` under which they were read.
    manifests: BTreeMap<String, (Manifest, String)>,
    /// The oldest hour that was due.
    since: Option<UtcHour>,
    /// Due and not sealed at the end of the last run.
    unsealed: BTreeSet<UtcHour>,
    /// The newest settled hour of the last run that fetched suspect answers again.
    rechecked: Option<UtcHour>,
}

/// What is in flight.
enum Step {
    Fetched(Box<Draft>),
    Sealed(UtcHour, Cell),
}

impl Endpoint {
    /// Plans, and does nothing.
    pub(super) async fn preview(&self) -> Result<(Plan, Bucket), StoreError> {
        let memory = Mutex::default();
        self.plan(&memory).await
    }

    /// Does all that is due; true if nothing failed. What is suspect has not failed.
    pub(super) async fn run(&self, memory: &Mutex<Memory>, board: &Board) -> bool {
        board.started();
        let start = Instant::now();
        let planned = self.plan(memory).await;
        self.metrics.stage(Stage::Plan, start.elapsed());
        let success = match planned {
            Ok((plan, bucket)) => {
                board.planned(&plan, &bucket);
                self.work(&plan, &bucket, board).await;
                self.remember(memory, &plan, board)
            }
            Err(error) => {
                tracing::warn!(alias = self.config.alias, %error, "the bucket of the export cannot be read");
                board.unread(error.to_string());
                false
            }
        };
        board.finished(self.clock.now(), success);
        success
    }

    async fn plan(&self, memory: &Mutex<Memory>) -> Result<(Plan, Bucket), StoreError> {
        let now = self.clock.now();
        let bucket = self.survey(now, memory).await?;
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        // A run that follows a failed one in the same hour leaves suspect answers alone: they are to be looked at later.
        let recheck = memory.rechecked != Some(newest_settled(now, &self.rules));
        Ok((plan(now, &self.rules, &self.config.metrics, &bucket, memory.since, recheck), bucket))
    }

    /// What the bucket has: one listing per day, and the manifests that changed.
    async fn survey(&self, now: Timestamp, memory: &Mutex<Memory>) -> Result<Bucket, StoreError> {
        let (oldest, newest) = range(now, &self.rules);
        let mut days: BTreeMap<String, UtcHour> = BTreeMap::new();
        for count in 0..=newest.since(oldest) {
            days.entry(self.config.keys.day(oldest.plus(count))).or_insert(oldest);
        }
        let listings = days.into_keys().map(|day| async move { self.store.list(&day).await });
        let listed: Vec<_> = futures::stream::iter(listings).buffer_unordered(LISTINGS).try_collect().await?;
        let mut bucket = Bucket::default();
        let mut to_read = Vec::new();
        let mut seen = BTreeMap::new();
        {
            let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            for object in listed.into_iter().flatten() {
                let Some((hour, item)) = self.config.keys.parse(&object.key) else { continue };
                let found: &mut Found = bucket.windows.entry(hour).or_default();
                match item {
                    Item::File(name) => {
                        found.files.insert(name.to_owned(), object.etag);
                    }
                    Item::Manifest => match memory.manifests.get(&object.key).filter(|(_, etag)| *etag == object.etag) {
                        Some(known) => {
                            found.manifest = Some(known.clone());
                            seen.insert(object.key, known.clone());
                        }
                        None => to_read.push(hour),
                    },
                }
            }
        }
        let reads = to_read.into_iter().map(|hour| async move { (hour, self.manifest(hour).await) });
        let mut reads = futures::stream::iter(reads).buffer_unordered(READS);
        while let Some((hour, read)) = reads.next().await {
            let found = bucket.windows.entry(hour).or_default();
            match read? {
                ManifestRead::Nothing => {}
                ManifestRead::Known(manifest, etag) => {
                    seen.insert(self.config.keys.manifest(hour), ((*manifest).clone(), etag.clone()));
                    found.manifest = Some((*manifest, etag));
                }
                ManifestRead::Unreadable(why) => found.unreadable = Some(why),
            }
        }
        if bucket.manifests().next().is_none() {
            bucket.has_older = self.has_manifests_before(oldest).await?;
        }
        memory.lock().unwrap_or_else(PoisonError::into_inner).manifests = seen;
        Ok(bucket)
    }

    /// Whether this program has ever sealed anything before `oldest`: after a long absence the bucket is not new.
    async fn has_manifests_before(&self, oldest: UtcHour) -> Result<bool, StoreError> {
        let days = self.store.folders(self.config.keys.folder()).await?;
        let first = oldest.day();
        let Some(last) = days.into_iter().filter(|day| *day < first && UtcHour::from_key(day, "00").is_some()).max() else {
            return Ok(false);
        };
        let listed = self.store.list(&format!("{}/{last}", self.config.keys.folder())).await?;
        Ok(listed.iter().any(|object| matches!(self.config.keys.parse(&object.key), Some((_, Item::Manifest)))))
    }

    /// Fetches windows, newest first and several at a time, and seals each as soon as the one before it is known.
    async fn work(&self, plan: &Plan, bucket: &Bucket, board: &Board) {
        let nothing = Found::default();
        let mut known: Known = bucket.manifests().map(|(hour, manifest)| (hour, series(manifest))).collect();
        // What is fetched again is not known until then.
        for due in &plan.due {
            let series = known.entry(due.hour).or_default();
            series.retain(|metric, _| due.metrics.iter().all(|other| other.as_str() != metric));
        }
        let mut open: BTreeMap<UtcHour, BTreeSet<&MetricName>> =
            plan.due.iter().map(|due| (due.hour, due.metrics.iter().collect())).collect();
        let mut retention = None;
        let mut held: BTreeMap<UtcHour, Draft> = BTreeMap::new();
        let mut queue = plan.due.iter();
        let mut silent = 0;
        let mut fetching = FuturesUnordered::new();
        let mut sealing = FuturesUnordered::new();
        loop {
            while silent < MOST_SILENT
                && fetching.len() < self.config.concurrency
                && let Some(due) = queue.next()
            {
                board.set(due.hour, Cell::new(WindowState::Running));
                let found = bucket.get(due.hour).unwrap_or(&nothing);
                fetching.push(async move { Step::Fetched(Box::new(self.fetch_window(due, found, plan.since).await)) });
            }
            let step = tokio::select! {
                Some(step) = fetching.next() => step,
                Some(step) = sealing.next() => step,
                else => break,
            };
            match step {
                Step::Sealed(hour, cell) => self.ended(board, hour, cell),
                Step::Fetched(draft) => {
                    known.entry(draft.hour).or_default().extend(draft.series());
                    let failed = |metric: &&MetricName| draft.failures.contains_key(metric.as_str());
                    let left: BTreeSet<&MetricName> =
                        open.remove(&draft.hour).unwrap_or_default().into_iter().filter(failed).collect();
                    if !left.is_empty() {
                        open.insert(draft.hour, left);
                    }
                    if draft.is_empty() && retention.is_none() {
                        retention = Some(self.prometheus.retention().await);
                    }
                    silent = if draft.is_unanswered() { silent + 1 } else { 0 };
                    held.insert(draft.hour, *draft);
                    let is_open = |hour, metric: &str| {
                        open.get(&hour)
                            .is_some_and(|metrics: &BTreeSet<&MetricName>| metrics.iter().any(|other| other.as_str() == metric))
                    };
                    for (hour, vanished) in decided(&held, plan, &known, &is_open) {
                        let Some(mut draft) = held.remove(&hour) else { continue };
                        self.note(&mut draft, &vanished, retention.flatten());
                        sealing.push(async move { Step::Sealed(hour, cell(self.seal(draft).await)) });
                    }
                }
            }
        }
        for (hour, draft) in held {
            let mut reasons: Vec<String> = draft.failures.into_values().map(|failure| failure.message).collect();
            let state = if reasons.is_empty() { WindowState::Pending } else { WindowState::Failed };
            reasons.push("sealed once the hours before it are known".to_owned());
            self.ended(board, hour, Cell { state, reasons });
        }
        for due in queue {
            let reasons = vec!["not asked for, since the source has answered nothing about other hours".to_owned()];
            board.set(due.hour, Cell { state: WindowState::Failed, reasons });
        }
    }

    fn note(&self, draft: &mut Draft, vanished: &[String], retention: Option<Duration>) {
        let oldest = retention.and_then(|kept| self.clock.now().checked_sub(kept).ok());
        let beyond = oldest.is_some_and(|oldest| draft.hour.start() < oldest.as_second());
        if beyond && draft.is_empty() {
            self.metrics.lost("retention", 1);
        }
        draft.mark(vanished, beyond);
        for metric in vanished {
            self.metrics.partial("vanished");
            tracing::warn!(alias = self.config.alias, hour = %draft.hour, metric, "no series, where the hour before has some");
        }
    }

    /// Shows and tells how a window has ended.
    fn ended(&self, board: &Board, hour: UtcHour, cell: Cell) {
        let (alias, state) = (self.config.alias.as_str(), name(cell.state));
        let reasons = (!cell.reasons.is_empty()).then(|| cell.reasons.join("; "));
        match cell.state {
            WindowState::Sealed | WindowState::Empty => tracing::info!(alias, %hour, state, reasons, "exported"),
            _ => tracing::warn!(alias, %hour, state, reasons, "not exported, or not for good"),
        }
        board.set(hour, cell);
    }

    /// Gives true if nothing failed.
    fn remember(&self, memory: &Mutex<Memory>, plan: &Plan, board: &Board) -> bool {
        let view = board.view();
        let unsealed: BTreeSet<UtcHour> =
            view.cells.iter().filter(|(_, cell)| !cell.state.is_sealed()).map(|(hour, _)| *hour).collect();
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = memory.unsealed.iter().filter(|hour| **hour < plan.since).count();
        if lost > 0 {
            self.metrics.lost("max_backfill", lost as u64);
            tracing::error!(alias = self.config.alias, hours = lost, "hours are older than the backfill and were never sealed");
        }
        memory.unsealed = unsealed;
        memory.since = Some(plan.since);
        memory.rechecked = Some(plan.until);
        let failed = view.cells.values().filter(|cell| matches!(cell.state, WindowState::Failed | WindowState::Pending)).count();
        let done = plan.due.len() - failed.min(plan.due.len());
        if failed > 0 {
            tracing::warn!(alias = self.config.alias, done, failed, "the export is not complete");
        }
        failed == 0
    }
}

/// The windows that can be judged now, with the metrics that have vanished in them.
fn decided(
    held: &BTreeMap<UtcHour, Draft>,
    plan: &Plan,
    known: &Known,
    open: &impl Fn(UtcHour, &str) -> bool,
) -> Vec<(UtcHour, Vec<String>)> {
    held.iter().filter_map(|(hour, draft)| Some((*hour, draft.judge(plan.since, known, open)?))).collect()
}

fn cell(sealed: Result<Manifest, Failure>) -> Cell {
    match sealed {
        Ok(manifest) => {
            let state = match (manifest.is_sealed(), manifest.is_empty()) {
                (true, true) => WindowState::Empty,
                (true, false) => WindowState::Sealed,
                (false, _) => WindowState::Suspect,
            };
            Cell { state, reasons: reasons(&manifest) }
        }
        Err(failure) => Cell { state: WindowState::Failed, reasons: vec![failure.message] },
    }
}
