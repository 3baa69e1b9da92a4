//! A job: something done again and again, with the same metrics whoever owns it.
//!
//! The owner gives the metrics' prefix and the label of its targets. Runs of one target never overlap; a failed run is tried again sooner than
//! the next regular one, with back-off.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::http::jitter;
use crate::time::Clock;

/// First wait after a failure; doubled with each further one, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// Metrics of all targets of a kind of job.
#[derive(Debug, Clone)]
pub struct JobMetrics {
    last_success: GaugeVec,
    last_attempt: GaugeVec,
    duration: GaugeVec,
    in_progress: IntGaugeVec,
    runs: IntCounterVec,
}

impl JobMetrics {
    /// Registers `{prefix}_last_success_timestamp_seconds` and the like, with the label `target_label`. `what` names a run in the help texts.
    ///
    /// # Errors
    /// When a name is taken already.
    pub fn register(registry: &Registry, prefix: &str, target_label: &str, what: &str) -> prometheus::Result<Self> {
        let options = |name: &str, help: String| Opts::new(format!("{prefix}_{name}"), help);
        let gauge = |name, help| GaugeVec::new(options(name, help), &[target_label]);
        let metrics = Self {
            last_success: gauge(
                "last_success_timestamp_seconds",
                format!("End of the last {what} that was complete, in seconds since the Unix epoch; 0 before the first."),
            )?,
            last_attempt: gauge(
                "last_attempt_timestamp_seconds",
                format!("Start of the last {what}, complete or not, in seconds since the Unix epoch; 0 before the first."),
            )?,
            duration: gauge("duration_seconds", format!("How long the last finished {what} took."))?,
            in_progress: IntGaugeVec::new(options("in_progress", format!("1 while the {what} is running.")), &[target_label])?,
            runs: IntCounterVec::new(
                options("runs_total", format!("Finished runs of the {what} by outcome.")),
                &[target_label, "outcome"],
            )?,
        };
        registry.register(Box::new(metrics.last_success.clone()))?;
        registry.register(Box::new(metrics.last_attempt.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.in_progress.clone()))?;
        registry.register(Box::new(metrics.runs.clone()))?;
        Ok(metrics)
    }

    /// The metrics of one target; its counters and its state exist from now on.
    pub fn target(&self, target: &str) -> TargetMetrics {
        self.last_success.with_label_values(&[target]).set(0.0);
        self.last_attempt.with_label_values(&[target]).set(0.0);
        let metrics = TargetMetrics {
            all: self.clone(),
            target: target.to_owned(),
            in_progress: self.in_progress.with_label_values(&[target]),
        };
        for outcome in ["success", "failure"] {
            metrics.all.runs.with_label_values(&[target, outcome]);
        }
        metrics
    }
}

/// Metrics of one target.
#[derive(Debug, Clone)]
pub struct TargetMetrics {
    all: JobMetrics,
    target: String,
    in_progress: IntGauge,
}

impl TargetMetrics {
    fn started(&self, clock: &Clock) -> Running<'_> {
        self.all.last_attempt.with_label_values(&[&self.target]).set(clock.unix_seconds());
        self.in_progress.set(1);
        Running(&self.in_progress)
    }

    fn finished(&self, clock: &Clock, took: Duration, success: bool) {
        let target = self.target.as_str();
        self.all.duration.with_label_values(&[target]).set(took.as_secs_f64());
        if success {
            self.all.last_success.with_label_values(&[target]).set(clock.unix_seconds());
        }
        let outcome = if success { "success" } else { "failure" };
        self.all.runs.with_label_values(&[target, outcome]).inc();
    }
}

/// Sets the gauge back however the run ends, cancellation included.
struct Running<'a>(&'a IntGauge);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(0);
    }
}

/// When a run follows another.
pub trait Pause: Sync {
    /// Waits, after a run that succeeded, until the next is due. The run began at `start`, which was `at` by the wall clock.
    fn until_next(&self, start: Instant, at: Timestamp) -> impl Future<Output = ()> + Send;

    /// Longest wait after a run that failed.
    fn longest_retry(&self) -> Duration;
}

/// From the start of a run to the start of the next, jittered by a tenth.
#[derive(Debug, Clone, Copy)]
pub struct Interval(pub Duration);

impl Pause for Interval {
    async fn until_next(&self, start: Instant, _: Timestamp) {
        let next = self.0.mul_f64(0.9 + fastrand::f64() / 5.0);
        sleep(next.saturating_sub(start.elapsed())).await;
    }

    fn longest_retry(&self) -> Duration {
        self.0
    }
}

/// Runs `run` again and again until `stop`, with a `pause` in between, or a shorter one after a failure. The first run starts at once.
///
/// `run` says whether it succeeded, and logs and counts its own errors. A run in progress is dropped at `stop`.
pub async fn repeat<Run: Future<Output = bool>>(
    pause: &impl Pause,
    metrics: &TargetMetrics,
    clock: &Clock,
    stop: &CancellationToken,
    mut run: impl FnMut() -> Run,
) {
    let longest = pause.longest_retry();
    let mut retry = FIRST_RETRY;
    let cycle = async {
        loop {
            let (start, at) = (Instant::now(), clock.now());
            let running = metrics.started(clock);
            let success = run().await;
            drop(running);
            metrics.finished(clock, start.elapsed(), success);
            if success {
                retry = FIRST_RETRY;
                pause.until_next(start, at).await;
            } else {
                let wait = jitter(retry.min(longest));
                retry = (retry * 2).min(longest.max(FIRST_RETRY));
                sleep(wait).await;
            }
        }
    };
    stop.run_until_cancelled(cycle).await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    async fn starts(outcomes: &[bool], interval: Duration) -> Vec<f64> {
        let registry = Registry::new();
        let metrics = JobMetrics::register(&registry, "t", "bucket", "scan").unwrap().target("b");
        let (stop, begin) = (CancellationToken::new(), Instant::now());
        let starts = RefCell::new(Vec::new());
        repeat(&Interval(interval), &metrics, &Clock::system(), &stop, || {
            starts.borrow_mut().push(begin.elapsed().as_secs_f64());
            let count = starts.borrow().len();
            if count == outcomes.len() {
                stop.cancel();
            }
            std::future::ready(outcomes[count - 1])
        })
        .await;
        assert_eq!(metrics.in_progress.get(), 0);
        starts.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn runs_come_at_the_interval_and_sooner_after_a_failure() {
        let starts = starts(&[true, false, false, true, true], Duration::from_secs(60)).await;
        let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let expected = [54.0..=66.0, 2.5..=5.0, 5.0..=10.0, 54.0..=66.0];
        assert_eq!(starts[0], 0.0);
        for (gap, range) in gaps.iter().zip(expected) {
            assert!(range.contains(&(gap.floor())) || range.contains(gap), "{gaps:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_interval_is_not_stretched_by_the_back_off() {
        let starts = starts(&[false, false, false], Duration::from_secs(1)).await;
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] <= 1.0), "{starts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_in_progress_ends_with_the_stop() {
        let registry = Registry::new();
        let metrics = JobMetrics::register(&registry, "t", "bucket", "scan").unwrap().target("b");
        let stop = CancellationToken::new();
        let clock = Clock::system();
        let every = Interval(Duration::from_secs(1));
        let run = repeat(&every, &metrics, &clock, &stop, std::future::pending);
        tokio::join!(run, async {
            sleep(Duration::from_secs(3)).await;
            assert_eq!(metrics.in_progress.get(), 1);
            stop.cancel();
        });
        assert_eq!(metrics.in_progress.get(), 0);
    }
}
