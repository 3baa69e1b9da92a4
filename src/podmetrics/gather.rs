//! All scrapes of one request: side by side, within its deadline, in a stable order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::Service;
use super::budget::{Share, Spent};
use super::guard::Refused;
use super::merge::Source;
use super::page::Page;
use super::reason::{Failure, Reason};
use super::scrape::{Errand, Scraped, Unscraped, scrape};
use super::target::{Pod, Settings};
use super::token::Token;
use super::unchecked::Unchecked;
use crate::exposition::Answer;

/// Why there is no merged answer.
#[derive(Debug)]
pub(super) enum Ungathered {
    /// There is no room for the answers of the pods.
    Spent,
    /// A scrape or the merge panicked: its words.
    Panicked(String),
}

impl From<Spent> for Ungathered {
    fn from(_: Spent) -> Self {
        Self::Spent
    }
}

/// A task that was lost, which only a panic or the end of the program does.
pub(super) fn lost(error: &JoinError) -> Ungathered {
    Ungathered::Panicked(error.to_string())
}

/// What all scrapes of a request have in common.
struct Round {
    service: Arc<Service>,
    job: String,
    answer: Answer,
    deadline: Instant,
    token: Option<Token>,
}

/// What came of asking a pod: nothing for one that was not even asked.
struct Attempt {
    scraped: Result<Scraped, Unscraped>,
    /// From connecting to the last byte.
    took: Duration,
}

/// Scrapes that are running are counted until they end, also if they are dropped.
struct InProgress<'a>(&'a IntGauge);

impl<'a> InProgress<'a> {
    fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Scrapes `pods` and merges what they say.
///
/// # Errors
/// When there is no room for their answers, or something panics.
pub(super) async fn gather(
    service: &Arc<Service>,
    job: &str,
    pods: Vec<Arc<Pod>>,
    answer: Answer,
    deadline: Instant,
) -> Result<Page, Ungathered> {
    let token = match &service.config.token {
        Some(config) => Some(Token::read(config).await),
        None => None,
    };
    let round = Arc::new(Round { service: Arc::clone(service), job: job.to_owned(), answer, deadline, token });
    // Whoever drops this future, drops the scrapes with it.
    let mut scrapes = JoinSet::new();
    let mut count = 0;
    for pod in pods {
        for port in ports(&pod) {
            let (at, round, pod) = (count, Arc::clone(&round), Arc::clone(&pod));
            scrapes.spawn(async move { round.target(&pod, port).await.map(|source| (at, source)) });
            count += 1;
        }
    }
    let sources = in_order(scrapes, count).await?;
    let honor_labels = service.config.honor_labels;
    // A thousand targets take tens of milliseconds of work without a pause.
    spawn_blocking(move || Page::new(sources, answer, honor_labels)).await.map_err(|error| lost(&error))
}

/// Waits for `count` tasks, and puts what they give where it belongs.
async fn in_order<T: Send + 'static>(
    mut tasks: JoinSet<Result<(usize, T), Ungathered>>,
    count: usize,
) -> Result<Vec<T>, Ungathered> {
    let mut all: Vec<Option<T>> = Vec::new();
    all.resize_with(count, || None);
    while let Some(joined) = tasks.join_next().await {
        // A task that panics must not be taken for a target that does not exist.
        match joined.map_err(|error| lost(&error)).and_then(|result| result) {
            Ok((at, one)) => all[at] = Some(one),
            Err(ungathered) => {
                // Only when they have ended, what they hold is given back.
                tasks.shutdown().await;
                return Err(ungathered);
            }
        }
    }
    Ok(all.into_iter().flatten().collect())
}

/// What is scraped of a pod; a pod whose labels cannot be read has one place in the answer.
pub(super) fn ports(pod: &Pod) -> Vec<Option<u16>> {
    match &pod.settings {
        Ok(settings) => settings.ports.iter().copied().map(Some).collect(),
        Err(_) => vec![None],
    }
}

impl Round {
    async fn target(&self, pod: &Pod, port: Option<u16>) -> Result<Source, Ungathered> {
        let service = &self.service;
        let added = service.added_labels(&self.job, pod, port, self.answer);
        let mut share = service.budget.share();
        let attempt = match (&pod.settings, port) {
            (Ok(settings), Some(port)) => self.in_turn(pod, settings, port, &mut share).await,
            (Err(malformed), _) => Err(Failure::new(Reason::BadLabel, malformed.to_string())),
            (Ok(_), None) => Err(Failure::new(Reason::BadLabel, "no port")),
        };
        let Attempt { scraped, took } =
            attempt.unwrap_or_else(|failure| Attempt { scraped: Err(failure.into()), took: Duration::ZERO });
        let metrics = &service.metrics;
        let (body, mut share) = match scraped {
            Err(Unscraped::Spent) => return Err(Ungathered::Spent),
            Err(Unscraped::Failed(failure)) => (Err(failure), share),
            Ok(scraped) => {
                metrics.received.inc_by(scraped.text.len() as u64);
                let names = added.iter().map(|(name, _)| name.clone()).collect();
                let (escaping, limits) = (self.answer.escaping, service.config.limits);
                let honor_labels = service.config.honor_labels;
                let unchecked = Unchecked { scraped, escaping, limits, names, honor_labels, share };
                match unchecked.check_by(self.deadline, &service.checks).await? {
                    Some(checked) => checked,
                    None => {
                        let text = "the answer came, but checking it took too long";
                        (Err(Failure::new(Reason::Timeout, text)), service.budget.share())
                    }
                }
            }
        };
        match &body {
            Ok(body) => {
                share.resize(body.bytes())?;
                metrics.samples.inc_by(u64::from(body.samples));
                metrics.left_out.with_label_values(&["duplicate"]).inc_by(u64::from(body.duplicates));
                metrics.left_out.with_label_values(&["reserved_name"]).inc_by(u64::from(body.reserved));
                metrics.left_out.with_label_values(&["timestamp"]).inc_by(u64::from(body.untimely));
            }
            Err(failure) => {
                share.resize(0)?;
                metrics.errors.with_label_values(&[failure.reason.as_str()]).inc();
                tracing::debug!(
                    job = self.job, namespace = %pod.namespace, pod = %pod.name, port, reason = failure.reason.as_str(), error = %failure,
                    "a pod is down"
                );
            }
        }
        Ok(Source { added, seconds: took.as_secs_f64(), body, share: Some(share) })
    }

    /// Waits for a slot and scrapes.
    ///
    /// # Errors
    /// When the pod is not even asked.
    async fn in_turn(&self, pod: &Pod, settings: &Settings, port: u16, share: &mut Share) -> Result<Attempt, Failure> {
        let service = &self.service;
        service.config.guard.check(pod.address, pod.host_network).map_err(|refused| {
            let reason = if refused == Refused::HostNetwork { Reason::HostNetwork } else { Reason::RefusedAddress };
            Failure::new(reason, format!("{}: {refused}", pod.address))
        })?;
        let token = match &self.token {
            Some(token) => token.for_pod(pod, settings)?,
            None => None,
        };
        let taken = timeout_at(self.deadline, service.slots.take(pod.node.as_ref(), self.deadline)).await;
        let Ok((turn, _open)) = taken else {
            return Err(Failure::new(Reason::Timeout, "too many others were scraped; there was no turn for it in time"));
        };
        let begun = Instant::now();
        let deadline = self.deadline.min(begun + settings.timeout);
        let errand = Errand {
            address: SocketAddr::new(pod.address, port),
            path: &settings.path,
            tls: settings.tls.as_ref(),
            answer: self.answer,
            timeout: deadline - begun,
            token,
            body_limit: service.config.body_limit,
        };
        service.metrics.scrapes.inc();
        let _in_progress = InProgress::new(&service.metrics.in_progress);
        let mut scraping = std::pin::pin!(scrape(&errand, &service.clients, share, deadline));
        let early = tokio::select! {
            biased;
            scraped = scraping.as_mut() => Some(scraped),
            () = turn.over() => None,
        };
        drop(turn);
        let scraped = match early {
            Some(scraped) => scraped,
            None => scraping.await,
        };
        let took = begun.elapsed();
        service.metrics.scrape_duration.observe(took.as_secs_f64());
        Ok(Attempt { scraped, took })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_are_in_order_and_panics_are_told() {
        let mut tasks = JoinSet::new();
        for at in (0..9).rev() {
            tasks.spawn(async move { Ok((at, at)) });
        }
        assert_eq!(in_order(tasks, 9).await.unwrap(), (0..9).collect::<Vec<_>>());
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending::<Result<(usize, ()), Ungathered>>());
        tasks.spawn(async { panic!("a bug") });
        assert!(matches!(in_order(tasks, 2).await, Err(Ungathered::Panicked(words)) if words.contains("a bug")));
    }

    #[tokio::test]
    async fn what_others_hold_is_given_back_before_there_is_no_room() {
        let held = Arc::new(());
        let mut tasks = JoinSet::new();
        for _ in 0..9 {
            let held = Arc::clone(&held);
            tasks.spawn(async move {
                std::future::pending::<()>().await;
                Ok((0, held))
            });
        }
        tasks.spawn(async { Err(Ungathered::Spent) });
        assert!(matches!(in_order(tasks, 10).await, Err(Ungathered::Spent)));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn scrapes_in_progress_are_counted_until_they_end() {
        let gauge = IntGauge::new("a", "b").unwrap();
        let two = [InProgress::new(&gauge), InProgress::new(&gauge)];
        assert_eq!(gauge.get(), 2);
        drop(two);
        assert_eq!(gauge.get(), 0);
    }
}
