//! One run of an endpoint: read the bucket, plan, do what is due, and remember what the next run should know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::Endpoint;
use super::board::{Board, WindowState};
use super::manifest::Manifest;
use super::metrics::Stage;
use super::plan::{Bucket, Plan, newest_settled, plan};
use crate::store::StoreError;
use crate::time::UtcHour;

/// What a process remembers from run to run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Manifests by key, with the `ETag` under which they were read.
    pub(super) manifests: BTreeMap<String, (Manifest, String)>,
    /// The oldest hour that was due.
    since: Option<UtcHour>,
    /// Due and not sealed at the end of the last run.
    unsealed: BTreeSet<UtcHour>,
    /// The newest settled hour of the last run that fetched suspect answers again.
    rechecked: Option<UtcHour>,
}

impl Endpoint {
    /// Plans, and does nothing.
    pub(super) async fn preview(&self) -> Result<(Plan, Bucket), StoreError> {
        let memory = Mutex::default();
        self.plan(&memory).await
    }

    /// Does all that is due; true if nothing is missing. What is suspect is there. With `replan`, an hour that settles meanwhile has the run end early.
    pub(super) async fn run(&self, memory: &Mutex<Memory>, board: &Board, replan: bool) -> bool {
        board.started();
        let start = Instant::now();
        let planned = self.plan(memory).await;
        self.metrics.stage(Stage::Plan, start.elapsed());
        let success = match planned {
            Ok((plan, bucket)) => {
                board.planned(&plan, &bucket);
                self.work(&plan, &bucket, board, replan).await;
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
        let listed = self.survey(now, memory).await;
        let bucket =
            listed.map_err(|error| StoreError::new(format!("cannot read the bucket {}: {error}", self.store.location())))?;
        let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        // A run that follows a failed one in the same hour leaves suspect answers alone: they are to be looked at later.
        let recheck = memory.rechecked != Some(newest_settled(now, &self.rules));
        Ok((plan(now, &self.rules, &self.config.metrics, &bucket, memory.since, recheck), bucket))
    }

    /// Gives true if nothing is missing.
    fn remember(&self, memory: &Mutex<Memory>, plan: &Plan, board: &Board) -> bool {
        let view = board.view();
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nothing is sealed at all, perhaps the clock is wrong, and nothing can be said of what is too old.
        if view.cells.values().any(|cell| cell.state.is_sealed()) {
            let lost = memory.unsealed.iter().filter(|hour| **hour < plan.since).count();
            if lost > 0 {
                self.metrics.lost("max_backfill", lost as u64);
                tracing::error!(
                    alias = self.config.alias,
                    hours = lost,
                    "hours are older than the backfill and were never sealed"
                );
            }
            memory.unsealed.clear();
        }
        memory.unsealed.extend(view.cells.iter().filter(|(_, cell)| !cell.state.is_sealed()).map(|(hour, _)| *hour));
        memory.since = memory.since.into_iter().chain([plan.since]).min();
        memory.rechecked = Some(plan.until);
        let missing = view.cells.values().filter(|cell| {
            cell.incomplete || matches!(cell.state, WindowState::Failed | WindowState::Pending | WindowState::Running)
        });
        let missing = missing.count();
        if missing > 0 {
            tracing::warn!(alias = self.config.alias, hours = missing, "the export is not complete");
        }
        missing == 0
    }
}
