//! From the kubelet's summary to a report in the queue, again and again. Sending is somebody else's: scrapes go on while that is stuck.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::imds::InstanceId;
use super::kubelet::{Kubelet, ScrapeError};
use super::metrics::CollectMetrics;
use super::post::seal;
use super::queue::Queue;
use super::report::{Report, timestamp};
use crate::time::Clock;

/// Asks the kubelet.
pub(super) struct Scraper {
    pub(super) kubelet: Kubelet,
    pub(super) instance: InstanceId,
    pub(super) node_name: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) interval: Duration,
    /// Part of the interval.
    pub(super) jitter: f64,
    pub(super) max_consecutive_failures: u32,
    pub(super) metrics: CollectMetrics,
    pub(super) board: Arc<Board>,
    pub(super) clock: Clock,
    /// When the last measurement was, by a clock that nobody sets.
    pub(super) before: Option<Instant>,
}

impl Scraper {
    /// Asks until `stop`.
    ///
    /// # Errors
    /// After too many failures in a row: a kubelet that is reached by other means than those at the start needs another start.
    pub(super) async fn run(mut self, queue: Arc<Queue>, stop: CancellationToken) -> anyhow::Result<()> {
        stop.clone().run_until_cancelled(self.repeat(&queue)).await.unwrap_or(Ok(()))
    }

    async fn repeat(&mut self, queue: &Queue) -> anyhow::Result<()> {
        let mut failures = 0;
        // All nodes may have been started at once.
        let mut next = Instant::now() + self.interval.mul_f64(self.jitter * fastrand::f64());
        loop {
            sleep_until(next).await;
            next = Instant::now() + spread(self.interval, self.jitter, fastrand::f64());
            match self.scrape().await {
                Ok(report) => {
                    failures = 0;
                    self.enqueue(&report, queue)?;
                }
                Err(error) => {
                    failures += 1;
                    let of = self.max_consecutive_failures;
                    tracing::warn!(%error, failures, "the kubelet gave no report (the process ends after {of} failures in a row)");
                    if failures >= of {
                        return Err(anyhow!("the kubelet has failed {failures} times in a row, last with: {error}"));
                    }
                }
            }
            self.metrics.failures.set(failures.into());
        }
    }

    /// Asks once and makes a report.
    pub(super) async fn scrape(&mut self) -> Result<Report, ScrapeError> {
        let start = Instant::now();
        let scraped = self.report().await;
        self.metrics.scrape_duration.observe(start.elapsed().as_secs_f64());
        let outcome = if scraped.is_ok() { "success" } else { "failure" };
        self.metrics.scrapes.with_label_values(&[outcome]).inc();
        let pods = scraped.as_ref().map(|report| report.pods.len()).map_err(ToString::to_string);
        self.board.scraped(self.clock.now(), pods);
        scraped
    }

    async fn report(&mut self) -> Result<Report, ScrapeError> {
        let summary = self.kubelet.summary(self.interval).await?;
        let (now, at) = (Instant::now(), self.clock.now());
        let node_name = summary.node_name.or_else(|| self.node_name.clone()).ok_or(ScrapeError::NoNode)?;
        if summary.nameless > 0 {
            self.metrics.nameless.inc_by(u64::try_from(summary.nameless).unwrap_or(u64::MAX));
            tracing::debug!(pods = summary.nameless, "pods without a UID, a namespace or a name are left out");
        }
        let interval = self.before.replace(now).map(|before| now - before);
        let pods = summary.pods.len();
        self.metrics.pods.set(i64::try_from(pods).unwrap_or(i64::MAX));
        self.metrics.last_scrape.set(at.as_duration().as_secs_f64());
        Ok(Report {
            timestamp: timestamp(at),
            hostname: self.hostname.clone().unwrap_or_else(|| node_name.clone()),
            node_name,
            ec2_instance_id: self.instance.get().await,
            // Microseconds, as the timestamps have them.
            interval_seconds: interval.map(|interval| (interval.as_secs_f64() * 1e6).round() / 1e6),
            pods: summary.pods,
        })
    }

    fn enqueue(&self, report: &Report, queue: &Queue) -> anyhow::Result<()> {
        let gone = queue.push(seal(report)?);
        if let (Some(oldest), Some(newest)) = (gone.first(), gone.last()) {
            self.metrics.drop_reports("queue_full", gone.len());
            let (reports, oldest, newest) = (gone.len(), &oldest.timestamp, &newest.timestamp);
            tracing::warn!(reports, oldest, newest, "the queue is full: the oldest reports are dropped");
        }
        Ok(())
    }
}

/// The interval, longer or shorter by at most `jitter` of it; `random` is from 0 to 1. Never shorter than a tenth.
fn spread(interval: Duration, jitter: f64, random: f64) -> Duration {
    interval.mul_f64((1.0 + jitter * (2.0 * random - 1.0)).max(0.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_spread_around_what_was_asked_for() {
        let spread = |percent: f64, random| spread(Duration::from_secs(30), percent / 100.0, random).as_secs_f64();
        assert_eq!((spread(0.0, 0.0), spread(0.0, 1.0)), (30.0, 30.0));
        assert_eq!((spread(20.0, 0.0), spread(20.0, 0.5), spread(20.0, 1.0)), (24.0, 30.0, 36.0));
        assert_eq!((spread(100.0, 0.0), spread(100.0, 1.0)), (3.0, 60.0));
    }
}
