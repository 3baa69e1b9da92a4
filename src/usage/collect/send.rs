//! Empties the queue: one report after the other, oldest first, until the stop, and then as far as it goes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::metrics::CollectMetrics;
use super::post::Receiver;
use super::queue::{Queue, Sealed};
use crate::http::{Failed, Retry, jitter};
use crate::time::Clock;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// A receiver that has come back gets its first report within so much, and a node asks no more often than it would with every report.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// Between the reports of a backlog: all nodes have one when the receiver comes back.
const BETWEEN: Duration = Duration::from_millis(200);
/// For what is left at the stop. Within the grace of the process.
const LAST_TRY: Duration = Duration::from_secs(20);

/// Takes reports from the queue to the receiver.
pub(super) struct Sender {
    pub(super) receiver: Receiver,
    pub(super) queue: Arc<Queue>,
    pub(super) metrics: CollectMetrics,
    pub(super) board: Arc<Board>,
    pub(super) clock: Clock,
}

impl Sender {
    /// Sends until `stop`, and then once more what is left.
    pub(super) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let end = async {
            stop.cancelled().await;
            sleep(LAST_TRY).await;
        };
        tokio::select! {
            () = self.send_all(&stop) => {}
            () = end => {}
        }
        let (left, _) = self.queue.size();
        if left > 0 {
            self.metrics.drop_reports("stopped", left);
            tracing::warn!(reports = left, "stopped with reports that nobody has taken");
        }
        Ok(())
    }

    /// Ends after the stop: when nothing is left, or with the first failure.
    async fn send_all(&self, stop: &CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            // What comes after this may fail without having been a last try.
            let stopping = stop.is_cancelled();
            let Some(report) = self.queue.first() else {
                if stopping {
                    return;
                }
                stop.run_until_cancelled(self.queue.filled()).await;
                continue;
            };
            let wait = match self.send(&report).await {
                Retry::Never => {
                    self.queue.remove(&report);
                    if backoff > FIRST_BACKOFF {
                        tracing::info!(queued = self.queue.size().0, "the receiver answers again");
                    }
                    backoff = FIRST_BACKOFF;
                    if self.queue.size().0 == 0 { Duration::ZERO } else { jitter(BETWEEN) }
                }
                _ if stopping => return,
                retry => {
                    let wait = pause(retry, backoff);
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                    wait
                }
            };
            stop.run_until_cancelled(pin!(sleep(wait))).await;
        }
    }

    /// Sends a report once; says whether it is to be sent again.
    async fn send(&self, report: &Sealed) -> Retry {
        // Not `timestamp`, which every line of the log has for itself.
        let measured = report.timestamp.as_str();
        let sent = self.receiver.send(report).await;
        let (outcome, retry) = match &sent {
            Ok(_) => ("accepted", Retry::Never),
            Err(Failed { error, retry }) => (error.outcome, *retry),
        };
        self.metrics.sends.with_label_values(&[outcome]).inc();
        self.board.sent(self.clock.now(), sent.as_ref().map(|_| ()).map_err(|failed| failed.error.why.clone()));
        match sent {
            Ok((rejected, words)) => {
                self.metrics.sent.inc();
                self.metrics.last_sent.set(self.clock.unix_seconds());
                if rejected > 0 {
                    self.metrics.rejected.inc_by(rejected);
                    tracing::warn!(measured, rejected, "the receiver could not read some pods{words}");
                }
                tracing::debug!(measured, pods = report.pods, bytes = report.body.len(), "a report was accepted");
            }
            Err(failed) if retry == Retry::Never => {
                self.metrics.drop_reports("refused", 1);
                tracing::error!(measured, error = failed.error.why, "a report is dropped, since it was refused for good");
            }
            Err(failed) => {
                let (queued, _) = self.queue.size();
                tracing::warn!(measured, queued, error = failed.error.why, "a report was not accepted; it will be sent again");
            }
        }
        retry
    }
}

/// How long to wait. Who was told when to come back is not to come with all others at once.
fn pause(retry: Retry, backoff: Duration) -> Duration {
    match retry {
        Retry::After(least) => least + jitter(backoff),
        Retry::Never | Retry::Backoff => jitter(backoff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_comes_back_before_it_was_asked_to() {
        for _ in 0..100 {
            let wait = pause(Retry::After(Duration::from_secs(5)), Duration::from_secs(2));
            assert!((6_000..=7_000).contains(&wait.as_millis()), "{wait:?}");
            let wait = pause(Retry::Backoff, Duration::from_secs(2));
            assert!((1_000..=2_000).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
