//! The work of a run: windows fetched newest first, several at a time, and each sealed as soon as the one before it is known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::OnceCell;

use super::Endpoint;
use super::board::{Board, Cell, WindowState};
use super::plan::{Bucket, Due, Found, Plan, newest_settled};
use super::status::name;
use super::window::{Draft, Known, series};
use crate::promapi::MetricName;
use crate::time::UtcHour;

/// After so many windows in a row about which the source has said nothing, it is not asked for the same metrics of others in this run.
const MOST_SILENT: usize = 2;
/// No source keeps samples for less; so the one that answers about a recent window need not be asked how long.
const SHORTEST_RETENTION: Duration = Duration::from_secs(2 * 3_600);
/// The source has other things to do than to tell how long it keeps samples.
const RETENTION_TIMEOUT: Duration = Duration::from_secs(10);

/// What is in flight.
enum Step {
    Fetched(Box<Draft>),
    /// With the word whether it is lost to the source's retention.
    Sealed(UtcHour, Cell, bool),
}

/// What a run knows while it works.
struct Work<'a> {
    plan: &'a Plan,
    known: Known,
    /// Due and not known yet.
    open: BTreeMap<UtcHour, BTreeSet<String>>,
    /// Fetched, and waiting for the window before.
    held: BTreeMap<UtcHour, Draft>,
    /// Windows in a row without an answer, and the metrics they were asked about.
    silent: usize,
    unanswered: BTreeSet<String>,
}

impl Endpoint {
    /// Does what is planned. With `replan` it stops taking up windows when another hour has settled, which comes first.
    pub(super) async fn work(&self, plan: &Plan, bucket: &Bucket, board: &Board, replan: bool) {
        let nothing = Found::default();
        let retention = OnceCell::new();
        let mut work = Work::new(plan, bucket);
        let mut queue = plan.due.iter();
        let mut not_asked = Vec::new();
        let mut fetching = FuturesUnordered::new();
        let mut sealing = FuturesUnordered::new();
        loop {
            let stale = replan && newest_settled(self.clock.now(), &self.rules) > plan.until;
            while !stale
                && fetching.len() < self.config.concurrency
                && let Some(due) = queue.next()
            {
                if work.is_hopeless(due) {
                    not_asked.push(due.hour);
                    continue;
                }
                board.set(due.hour, Cell::new(WindowState::Running));
                let (found, retention) = (bucket.get(due.hour).unwrap_or(&nothing), &retention);
                fetching.push(async move {
                    let draft = self.fetch_window(due, found, plan.since).await;
                    self.learn_retention(&draft, retention).await;
                    Step::Fetched(Box::new(draft))
                });
            }
            let step = tokio::select! {
                Some(step) = fetching.next() => step,
                Some(step) = sealing.next() => step,
                else => break,
            };
            match step {
                Step::Sealed(hour, cell, lost) => {
                    if lost && cell.state.is_sealed() {
                        self.metrics.lost("retention", 1);
                    }
                    self.ended(board, hour, cell);
                }
                Step::Fetched(draft) => {
                    work.fetched(*draft);
                    let kept = retention.get().copied().flatten();
                    for (mut draft, vanished) in work.decided() {
                        let lost = self.mark(&mut draft, &vanished, kept);
                        sealing.push(async move { Step::Sealed(draft.hour, self.seal(draft).await, lost) });
                    }
                }
            }
        }
        board.never_seen(work.never_seen(&self.config.metrics));
        for (hour, draft) in work.held {
            let mut reasons: Vec<String> = draft.failures.into_values().map(|failure| failure.message).collect();
            let state = if reasons.is_empty() { WindowState::Pending } else { WindowState::Failed };
            reasons.push("sealed once the hours before it are known".to_owned());
            self.ended(board, hour, Cell { state, reasons, incomplete: true });
        }
        for hour in not_asked {
            let reasons = vec!["not asked for, since the source has said nothing about other hours".to_owned()];
            board.set(hour, Cell { state: WindowState::Failed, reasons, incomplete: true });
        }
    }

    /// Asks how long the source keeps samples, once in a run, where that matters for a window.
    async fn learn_retention(&self, draft: &Draft, known: &OnceCell<Option<Duration>>) {
        let age = self.clock.now().as_second() - draft.hour.start();
        let old = age > i64::try_from(SHORTEST_RETENTION.as_secs()).unwrap_or(i64::MAX);
        if old && draft.has_fresh_without_series() {
            let ask = || async { tokio::time::timeout(RETENTION_TIMEOUT, self.prometheus.retention()).await.unwrap_or(None) };
            known.get_or_init(ask).await;
        }
    }

    /// Notes what the windows before and the source's retention make of a window; true if it is lost to the latter.
    fn mark(&self, draft: &mut Draft, vanished: &[String], kept: Option<Duration>) -> bool {
        let oldest = kept.and_then(|kept| self.clock.now().checked_sub(kept).ok());
        let beyond = oldest.is_some_and(|oldest| draft.hour.start() < oldest.as_second());
        draft.mark(vanished, beyond);
        for metric in vanished {
            self.metrics.partial("vanished");
            tracing::warn!(alias = self.config.alias, hour = %draft.hour, metric, "no series, where the hour before has some");
        }
        beyond && draft.has_fresh_without_series()
    }

    /// Shows and tells how a window has ended.
    fn ended(&self, board: &Board, hour: UtcHour, cell: Cell) {
        let (alias, state) = (self.config.alias.as_str(), name(cell.state));
        let reasons = (!cell.reasons.is_empty()).then(|| cell.reasons.join("; "));
        match cell.state {
            WindowState::Sealed | WindowState::Empty => tracing::info!(alias, %hour, state, reasons, "exported"),
            WindowState::Suspect => {
                tracing::warn!(alias, %hour, state, reasons, "exported in part or in doubt; it is fetched again");
            }
            _ => tracing::warn!(alias, %hour, state, reasons, "not exported"),
        }
        board.set(hour, cell);
    }
}

impl<'a> Work<'a> {
    fn new(plan: &'a Plan, bucket: &Bucket) -> Self {
        let mut known: Known = bucket.manifests().map(|(hour, manifest)| (hour, series(manifest))).collect();
        let mut open = BTreeMap::new();
        for due in &plan.due {
            let names: BTreeSet<String> = due.metrics.iter().map(ToString::to_string).collect();
            // What is fetched again is not known until then.
            known.entry(due.hour).or_default().retain(|metric, _| !names.contains(metric));
            open.insert(due.hour, names);
        }
        Self { plan, known, open, held: BTreeMap::new(), silent: 0, unanswered: BTreeSet::new() }
    }

    /// True if the source has said nothing, window after window, about all that is due here.
    fn is_hopeless(&self, due: &Due) -> bool {
        let unanswered = || due.metrics.iter().all(|metric| self.unanswered.contains(metric.as_str()));
        self.silent >= MOST_SILENT && !due.metrics.is_empty() && unanswered()
    }

    /// Takes in what has been learned of a window.
    fn fetched(&mut self, draft: Draft) {
        self.known.entry(draft.hour).or_default().extend(draft.series());
        if let Some(open) = self.open.get_mut(&draft.hour) {
            open.retain(|metric| draft.failures.contains_key(metric));
        }
        match draft.unanswered() {
            Some(metrics) => {
                self.silent += 1;
                self.unanswered.extend(metrics.cloned());
            }
            None => {
                self.silent = 0;
                self.unanswered.clear();
            }
        }
        self.held.insert(draft.hour, draft);
    }

    /// Metrics that have no series in any window that is known, if there is one.
    fn never_seen(&self, metrics: &[MetricName]) -> Vec<String> {
        let counts = |name: &str| self.known.values().filter_map(|window| window.get(name)).copied().collect::<Vec<_>>();
        let unseen = metrics.iter().filter(|metric| {
            let counts = counts(metric.as_str());
            !counts.is_empty() && counts.iter().all(|&series| series == 0)
        });
        unseen.map(ToString::to_string).collect()
    }

    /// The windows that can be judged now, with the metrics that have vanished in them.
    fn decided(&mut self) -> Vec<(Draft, Vec<String>)> {
        let open = |hour, metric: &str| self.open.get(&hour).is_some_and(|metrics: &BTreeSet<String>| metrics.contains(metric));
        let judged = |(hour, draft): (&UtcHour, &Draft)| Some((*hour, draft.judge(self.plan.since, &self.known, &open)?));
        let decided: Vec<(UtcHour, Vec<String>)> = self.held.iter().filter_map(judged).collect();
        decided.into_iter().filter_map(|(hour, vanished)| Some((self.held.remove(&hour)?, vanished))).collect()
    }
}
