//! From a request for a job to its answer, within the time that there is.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use axum::response::Response;
use tokio::time::{Instant, timeout_at};

use super::Service;
use super::flights::Key;
use super::gather::{Ungathered, gather, ports};
use super::page::Page;
use super::refusal::Refusal;
use super::send::send;
use super::target::Pod;
use crate::exposition::negotiate;
use crate::server::JobRequest;

/// No request has more time, whatever it or the configuration says.
const LONGEST: Duration = Duration::from_secs(3600);
/// Bytes of an answer that are written, packed and sent within a second.
const SENT_PER_SECOND: u64 = 250_000_000;

/// Answers a request.
pub(super) async fn respond(service: Arc<Service>, request: JobRequest) -> Response {
    let begun = Instant::now();
    let result = service.page(&request, begun).await;
    service.metrics.request_duration.observe(begun.elapsed().as_secs_f64());
    let outcome = match &result {
        Ok(_) => "success",
        Err(refusal) => refusal.outcome(),
    };
    service.metrics.requests.with_label_values(&[outcome]).inc();
    match result {
        Ok(page) => send(&page, request.gzip),
        Err(refusal) => {
            let (response, text) = refusal.response(&service);
            // Anybody can ask for what does not exist.
            if !matches!(refusal, Refusal::UnknownJob(_)) {
                tracing::warn!(job = request.job, outcome, error = text, "a request for a job was refused");
                service.board.refused(&request.job, text, service.clock.now());
            }
            response
        }
    }
}

/// How much time a scraper says that there is.
fn time_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("x-prometheus-scrape-timeout-seconds")?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds.min(LONGEST.as_secs_f64())).ok().filter(|time| !time.is_zero())
}

/// What is left of `told` when an answer of `bytes` bytes is to be sent within it.
fn time_to_merge(told: Duration, margin: Duration, bytes: usize) -> Duration {
    let sending = Duration::from_millis(bytes as u64 / (SENT_PER_SECOND / 1000));
    told.saturating_sub(margin.saturating_add(sending).min(told / 2))
}

impl Service {
    async fn page(self: &Arc<Self>, request: &JobRequest, begun: Instant) -> Result<Page, Refusal> {
        let accepted = request.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let key = Key { job: request.job.clone(), answer: negotiate(accepted), time: time_of(&request.headers) };
        if let Some(page) = self.flights.kept(&key, self.config.max_age) {
            self.metrics.shared.inc();
            return Ok(page);
        }
        let deadline = begun + self.time(&key);
        let (flight, joined) = self.flights.join(key.clone(), || {
            let service = Arc::clone(self);
            async move {
                let page = service.work(&key, deadline).await?;
                service.flights.keep(&key, &page, service.config.max_age);
                Ok(page)
            }
        });
        if joined {
            self.metrics.shared.inc();
        }
        flight.await
    }

    /// From the request to the merged answer: what the scraper says less what sending takes, or as configured.
    fn time(&self, key: &Key) -> Duration {
        match key.time {
            Some(told) => time_to_merge(told, self.config.timeout_margin, self.board.bytes(&key.job)),
            None => self.config.timeout.min(LONGEST),
        }
    }

    /// The pods of a job that may be scraped.
    fn pods(&self, job: &str) -> Result<Vec<Arc<Pod>>, Refusal> {
        if !self.discovery.synced() {
            return Err(Refusal::NotListed);
        }
        let known = self.discovery.job(job).ok_or_else(|| Refusal::UnknownJob(job.to_owned()))?;
        let targets = known.pods.iter().map(|pod| ports(pod).len()).sum();
        if targets > self.config.targets_limit {
            return Err(Refusal::TooManyTargets(targets));
        }
        Ok(known.pods)
    }

    async fn work(self: &Arc<Self>, key: &Key, deadline: Instant) -> Result<Page, Refusal> {
        // What cannot be answered at all does not wait behind what can; and whoever waited gets the pods of afterwards.
        self.pods(&key.job)?;
        let Ok(Ok(_permit)) = timeout_at(deadline, self.requests.acquire()).await else { return Err(Refusal::Busy) };
        let begun = Instant::now();
        let pods = self.pods(&key.job)?;
        let mut gathered = gather(self, &key.job, pods.clone(), key.answer, deadline).await;
        // Answers that are only kept in case somebody asks again must not stand in the way.
        if matches!(gathered, Err(Ungathered::Spent)) && self.flights.forget() {
            gathered = gather(self, &key.job, pods, key.answer, deadline).await;
        }
        let page = gathered.map_err(|ungathered| match ungathered {
            Ungathered::Spent => Refusal::Overloaded,
            Ungathered::Panicked(error) => {
                tracing::error!(job = key.job, %error, "a scrape or the merge panicked; this is a bug");
                Refusal::Internal
            }
        })?;
        let (conflicts, repeated) = page.left_out();
        self.metrics.left_out.with_label_values(&["type_conflict"]).inc_by(conflicts);
        self.metrics.left_out.with_label_values(&["repeated"]).inc_by(repeated);
        self.board.answered(&key.job, &page, begun.elapsed(), self.clock.now());
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_time_is_what_prometheus_says() {
        let time = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-prometheus-scrape-timeout-seconds", HeaderValue::from_static(text));
            time_of(&headers)
        };
        assert_eq!(time("10.000000"), Some(Duration::from_secs(10)));
        assert_eq!(time("0.5"), Some(Duration::from_millis(500)));
        for nonsense in ["", "x", "-1", "0", "NaN", "-inf", "1e-300"] {
            assert_eq!(time(nonsense), None, "{nonsense}");
        }
        for long in ["3600", "3601", "9.3e18", "1e300", "inf"] {
            assert_eq!(time(long), Some(LONGEST), "{long}");
        }
        assert_eq!(time_of(&HeaderMap::new()), None);
    }

    #[test]
    fn there_is_time_to_send_what_was_sent_the_last_time() {
        let (second, margin) = (Duration::from_secs(1), Duration::from_millis(500));
        assert_eq!(time_to_merge(10 * second, margin, 0), Duration::from_millis(9_500));
        assert_eq!(time_to_merge(10 * second, margin, 500_000_000), Duration::from_millis(7_500));
        assert_eq!(time_to_merge(10 * second, margin, usize::MAX), 5 * second);
        assert_eq!(time_to_merge(10 * second, Duration::MAX, 1 << 30), 5 * second);
        assert_eq!(time_to_merge(second / 2, margin, 0), second / 4);
    }
}
