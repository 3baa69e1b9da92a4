//! What runs in the background: sealing when there is enough, sending what is sealed, and the end of both.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::ingest::Ingest;
use super::journal::Roll;
use super::journal::seal::Seal;
use super::seal::Sealer;
use super::upload::{UploadError, Uploader};
use crate::http::jitter;
use crate::time::Clock;

/// How often it is looked whether there is enough for a seal; a quarter of the age at which there is, if that is less.
const TICK: Duration = Duration::from_secs(1);
/// Between attempts that fail; doubled with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often reports that were taken a day ago are forgotten, and silent nodes are counted.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// How sealing and sending are doing.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Troubles>);

#[derive(Debug, Default, Clone)]
pub struct Troubles {
    /// Why the latest attempt to seal failed.
    pub seal: Option<String>,
    /// Why the latest round of uploads was not complete: a reason for each seal.
    pub uploads: Vec<String>,
    /// When a file last arrived.
    pub last_upload: Option<Timestamp>,
}

impl Progress {
    /// As it is now.
    pub fn troubles(&self) -> Troubles {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Troubles)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What sealing and sending share.
pub struct Pipeline {
    pub(super) sealer: Sealer,
    pub(super) uploader: Uploader,
    pub(super) roll: Roll,
    pub(super) progress: Progress,
    pub(super) sealed: Notify,
    pub(super) clock: Clock,
}

impl Pipeline {
    /// Seals whatever is due, until the stop. Nothing is joined before everything has been listed once.
    pub(super) async fn seal(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        let tick = TICK.min(self.roll.age / 4);
        let mut wait = FIRST_WAIT;
        while stop.run_until_cancelled(sleep(tick)).await.is_some() {
            if !self.sealer.index.all_synced() {
                continue;
            }
            let Some(plan) = self.sealer.journal.plan(self.roll) else { continue };
            let sealing = Arc::clone(&self);
            let sealed = spawn_blocking(move || sealing.sealer.seal(&plan)).await?;
            self.progress.change(|troubles| troubles.seal = sealed.as_ref().err().map(|error| format!("{error:#}")));
            match sealed {
                Ok(_) => {
                    wait = FIRST_WAIT;
                    self.sealed.notify_one();
                }
                Err(error) => {
                    self.sealer.metrics.seal_errors.inc();
                    tracing::error!(error = format!("{error:#}"), "reports could not be sealed; they stay in the journal");
                    stop.run_until_cancelled(sleep(jitter(wait))).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        Ok(())
    }

    /// Sends what is sealed, until the stop. One seal that cannot be sent does not keep the others.
    pub(super) async fn upload(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut wait = FIRST_WAIT;
        // How often each seal has failed: those that have done so least come first.
        let mut failed: HashMap<u64, u32> = HashMap::new();
        loop {
            let mut seals = self.uploader.journal.seals();
            failed.retain(|first, _| seals.iter().any(|seal| seal.first == *first));
            seals.sort_by_key(|seal| (failed.get(&seal.first).copied().unwrap_or_default(), seal.first));
            let (mut failures, mut away) = (Vec::new(), 0);
            for seal in seals {
                // In the middle of a file it may be left too: what arrives of it is what was to arrive.
                match stop.run_until_cancelled(self.send(&seal)).await {
                    None => return Ok(()),
                    Some(Ok(())) => self.progress.change(|troubles| troubles.last_upload = Some(self.clock.now())),
                    Some(Err(error)) => {
                        let (bucket, first, last) = (self.uploader.store.location(), seal.first, seal.last);
                        tracing::error!(%error, bucket, first, last, "files could not be uploaded; they stay in the journal and are tried again");
                        failures.push(error.to_string());
                        *failed.entry(seal.first).or_default() += 1;
                        away += u32::from(matches!(error, UploadError::Store(_)));
                        // Two seals that the bucket does not take: the others would most likely meet the same.
                        if away == 2 {
                            break;
                        }
                    }
                }
            }
            let (some_failed, next) = (!failures.is_empty(), self.sealed.notified());
            self.progress.change(|troubles| troubles.uploads = failures);
            let next = async {
                if some_failed {
                    sleep(jitter(wait)).await;
                } else {
                    next.await;
                }
            };
            if stop.run_until_cancelled(next).await.is_none() {
                return Ok(());
            }
            wait = if some_failed { (wait * 2).min(LONGEST_WAIT) } else { FIRST_WAIT };
        }
    }

    async fn send(self: &Arc<Self>, seal: &Seal) -> Result<(), UploadError> {
        let sent = self.uploader.upload(seal).await;
        let Err(UploadError::Damaged(reason)) = &sent else { return sent };
        if !self.sealer.index.all_synced() {
            return Err(UploadError::NotMade(format!("{reason}; it is made again once Kubernetes has been listed")));
        }
        tracing::error!(reason, "a sealed file is not in the bucket and damaged; it is made again from the journal");
        let whole = self.uploader.whole(seal).await?;
        let (sealing, damaged) = (Arc::clone(self), seal.clone());
        let again =
            spawn_blocking(move || sealing.sealer.seal_again(&damaged, &whole)).await.map_err(anyhow::Error::from).flatten();
        let seal = again.map_err(|error| UploadError::NotMade(format!("{reason}; it cannot be made again: {error:#}")))?;
        self.uploader.upload(&seal).await
    }

    /// Forgets old reports and counts silent nodes, until the stop.
    pub(super) async fn keep_house(self: Arc<Self>, ingest: Arc<Ingest>, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(sleep(HOUSEKEEPING)).await.is_some() {
            let journal = self.sealer.journal.clone();
            // A failure is told by the journal itself.
            let _ = spawn_blocking(move || journal.forget()).await?;
            let silent = self.silent_nodes(&ingest.board).len();
            self.sealer.metrics.silent_nodes.set(i64::try_from(silent).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    /// Nodes that Kubernetes knows and that have not reported lately.
    pub(super) fn silent_nodes(&self, board: &Board) -> Vec<String> {
        self.sealer.index.read(|index| board.silent(index.node_names(), self.clock.now()))
    }
}

/// Waits for the end of the journal's writer, and ends it at the stop, when the reports that are on their way have been answered and `users` have
/// ended.
pub(super) async fn journal(
    ingest: Arc<Ingest>,
    users: TaskTracker,
    ended: oneshot::Receiver<anyhow::Result<()>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut ended = ended;
    tokio::select! {
        told = &mut ended => return told.unwrap_or_else(|_| Err(anyhow::anyhow!("the journal's writer died"))),
        () = stop.cancelled() => {}
    }
    ingest.drain().await;
    users.close();
    users.wait().await;
    let ((waiting, _), seals) = (ingest.journal.unsealed(), ingest.journal.seals().len());
    spawn_blocking(move || ingest.journal.close()).await?;
    ended.await.unwrap_or_else(|_| Err(anyhow::anyhow!("the journal's writer died")))?;
    tracing::info!(reports = waiting.entries, seals, "the journal is closed; what is in it waits for the next start");
    Ok(())
}
