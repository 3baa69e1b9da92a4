//! All scrapes of one request: side by side, within its deadline, in a stable order.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Service;
use super::budget::{Share, Spent};
use super::check::{Terms, check};
use super::guard::Refused;
use super::merge::Source;
use super::page::Page;
use super::reason::{Failure, Reason};
use super::scrape::{Errand, Scraped, Unscraped, scrape};
use super::target::{Pod, Settings};
use super::token::Token;
use crate::exposition::Answer;

/// What all scrapes of a request have in common.
struct Round {
    service: Arc<Service>,
    job: String,
    answer: Answer,
    deadline: Instant,
    token: Option<Token>,
}

/// Scrapes `pods` and merges what they say.
///
/// # Errors
/// When there is no room for their answers.
pub(super) async fn gather(
    service: &Arc<Service>,
    job: &str,
    pods: Vec<Arc<Pod>>,
    answer: Answer,
    deadline: Instant,
) -> Result<Page, Spent> {
    let token = match &service.config.token {
        Some(config) => Some(Token::read(config).await),
        None => None,
    };
    let round = Arc::new(Round { service: Arc::clone(service), job: job.to_owned(), answer, deadline, token });
    // Whoever drops this future, drops the scrapes with it.
    let mut scrapes = JoinSet::new();
    let mut sources: Vec<Option<Source>> = Vec::new();
    for pod in pods {
        for port in ports(&pod) {
            let at = sources.len();
            let (round, pod) = (Arc::clone(&round), Arc::clone(&pod));
            scrapes.spawn(async move { round.target(&pod, port).await.map(|source| (at, source)) });
            sources.push(None);
        }
    }
    while let Some(scraped) = scrapes.join_next().await {
        match scraped {
            Ok(Ok((at, source))) => sources[at] = Some(source),
            Ok(Err(spent)) => return Err(spent),
            // A scrape that panics must not be taken for a target that does not exist.
            Err(error) => std::panic::resume_unwind(error.try_into_panic().unwrap_or_else(|error| Box::new(error.to_string()))),
        }
    }
    let sources: Vec<Source> = sources.into_iter().flatten().collect();
    let honor_labels = service.config.honor_labels;
    // A thousand targets take tens of milliseconds of work without a pause.
    let merging = tokio::task::spawn_blocking(move || Page::new(sources, answer, honor_labels));
    Ok(merging.await.unwrap_or_else(|error| {
        std::panic::resume_unwind(error.try_into_panic().unwrap_or_else(|error| Box::new(error.to_string())))
    }))
}

/// What is scraped of a pod; a pod whose labels cannot be read has one place in the answer.
pub(super) fn ports(pod: &Pod) -> Vec<Option<u16>> {
    match &pod.settings {
        Ok(settings) => settings.ports.iter().copied().map(Some).collect(),
        Err(_) => vec![None],
    }
}

impl Round {
    async fn target(&self, pod: &Pod, port: Option<u16>) -> Result<Source, Spent> {
        let service = &self.service;
        let added = service.added_labels(&self.job, pod, port, self.answer);
        let mut share = service.budget.share();
        let begun = Instant::now();
        let scraped = match (&pod.settings, port) {
            (Ok(settings), Some(port)) => self.in_turn(pod, settings, port, &mut share).await,
            (Err(malformed), _) => Err(Failure::new(Reason::BadLabel, malformed.to_string()).into()),
            (Ok(_), None) => Err(Failure::new(Reason::BadLabel, "no port").into()),
        };
        let metrics = &service.metrics;
        metrics.scrapes.inc();
        let body = match scraped {
            Err(Unscraped::Spent) => return Err(Spent),
            Err(Unscraped::Failed(failure)) => Err(failure),
            Ok(Scraped { text, format }) => {
                metrics.received.inc_by(text.len() as u64);
                let names: Vec<&str> = added.iter().map(|(name, _)| name.as_str()).collect();
                let limits = service.config.limits;
                check(
                    text,
                    Terms {
                        format,
                        escaping: self.answer.escaping,
                        limits,
                        added: &names,
                        honor_labels: service.config.honor_labels,
                    },
                )
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
        Ok(Source { added, seconds: begun.elapsed().as_secs_f64(), body, share: Some(share) })
    }

    /// Waits for a slot and scrapes.
    async fn in_turn(&self, pod: &Pod, settings: &Settings, port: u16, share: &mut Share) -> Result<Scraped, Unscraped> {
        let service = &self.service;
        service.config.guard.check(pod.address, pod.host_network).map_err(|refused| {
            let reason = if refused == Refused::HostNetwork { Reason::HostNetwork } else { Reason::RefusedAddress };
            Failure::new(reason, format!("{}: {refused}", pod.address))
        })?;
        let token = match &self.token {
            Some(token) => token.for_pod(pod, settings)?,
            None => None,
        };
        let Ok(turn) = timeout_at(self.deadline, service.slots.take(pod.node.as_ref(), self.deadline)).await else {
            return Err(Failure::new(Reason::Timeout, "too many others were scraped; there was no turn for it in time").into());
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
        service.metrics.in_progress.inc();
        let _running = scopeguard(|| service.metrics.in_progress.dec());
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
        service.metrics.scrape_duration.observe(begun.elapsed().as_secs_f64());
        scraped
    }
}

/// Does something when it is dropped, however that comes.
struct Guard<F: FnMut()>(F);

fn scopeguard<F: FnMut()>(then: F) -> Guard<F> {
    Guard(then)
}

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
