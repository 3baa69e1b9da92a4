//! From a request for a job to its answer. The same request made twice at once is answered by the same scrapes.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use futures::stream;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::Service;
use super::gather::{gather, ports};
use super::page::Page;
use crate::exposition::{Answer, negotiate};
use crate::server::JobRequest;
use crate::size::humanize;

/// Jobs that are named to those who ask for one that does not exist.
const MOST_JOBS_TOLD: usize = 100;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownJob(String),
    NotListed,
    TooManyTargets(usize),
    Overloaded,
    Busy,
}

/// What makes two requests the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    job: String,
    answer: Answer,
    /// How much time there is, if the request says so.
    time: Option<Duration>,
}

/// What requests wait for, and how it is known without being kept alive.
type Work = BoxFuture<'static, Result<Page, Refusal>>;
type Flight = Shared<Work>;
type Known = WeakShared<Work>;

/// Requests that are being worked on, and answers that are young enough to be given again.
#[derive(Default)]
pub(super) struct Flights {
    running: Mutex<HashMap<Key, Known>>,
    kept: Mutex<HashMap<(String, Answer), (Instant, Page)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        Err(refusal) => service.refuse(&refusal),
    }
}

/// How much time a scraper says that there is.
fn time_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("x-prometheus-scrape-timeout-seconds")?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero())
}

impl Service {
    async fn page(self: &Arc<Self>, request: &JobRequest, begun: Instant) -> Result<Page, Refusal> {
        let accepted = request.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let key = Key { job: request.job.clone(), answer: negotiate(accepted), time: time_of(&request.headers) };
        if let Some(page) = self.kept(&key) {
            self.metrics.shared.inc();
            return Ok(page);
        }
        let deadline = begun + self.time(key.time);
        self.flight(key, deadline).await
    }

    /// From the request to the merged answer: what the scraper says less what sending takes, or as configured.
    fn time(&self, told: Option<Duration>) -> Duration {
        match told {
            Some(told) => told.saturating_sub(self.config.timeout_margin.min(told / 2)),
            None => self.config.timeout,
        }
    }

    fn kept(&self, key: &Key) -> Option<Page> {
        let kept = lock(&self.flights.kept);
        let (at, page) = kept.get(&(key.job.clone(), key.answer))?;
        (at.elapsed() < self.config.max_age).then(|| page.clone())
    }

    /// Joins the flight of the same request, or begins it.
    fn flight(self: &Arc<Self>, key: Key, deadline: Instant) -> Flight {
        let mut running = lock(&self.flights.running);
        if let Some(flight) = running.get(&key).and_then(Known::upgrade) {
            self.metrics.shared.inc();
            return flight;
        }
        running.retain(|_, flight| flight.upgrade().is_some());
        let (service, of) = (Arc::clone(self), key.clone());
        let work = async move {
            let result = service.work(&of, deadline).await;
            lock(&service.flights.running).remove(&of);
            if let Ok(page) = &result {
                service.keep(&of, page);
            }
            result
        };
        let flight = work.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            running.insert(key, weak);
        }
        flight
    }

    /// Keeps an answer for as long as it may be given again.
    fn keep(self: &Arc<Self>, key: &Key, page: &Page) {
        let max_age = self.config.max_age;
        if max_age.is_zero() {
            return;
        }
        let (at, slot) = (Instant::now(), (key.job.clone(), key.answer));
        lock(&self.flights.kept).insert(slot.clone(), (at, page.clone()));
        let service = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(max_age).await;
            let mut kept = lock(&service.flights.kept);
            if kept.get(&slot).is_some_and(|(since, _)| *since == at) {
                kept.remove(&slot);
            }
        });
    }

    async fn work(self: &Arc<Self>, key: &Key, deadline: Instant) -> Result<Page, Refusal> {
        let Ok(Ok(_permit)) = timeout_at(deadline, self.requests.acquire()).await else { return Err(Refusal::Busy) };
        let begun = Instant::now();
        let Some(known) = self.discovery.job(&key.job).filter(|_| self.discovery.synced()) else {
            let synced = self.discovery.synced();
            return Err(if synced { Refusal::UnknownJob(key.job.clone()) } else { Refusal::NotListed });
        };
        let targets = known.pods.iter().map(|pod| ports(pod).len()).sum();
        if targets > self.config.targets_limit {
            return Err(Refusal::TooManyTargets(targets));
        }
        let page = gather(self, &key.job, known.pods, key.answer, deadline).await.map_err(|_| Refusal::Overloaded)?;
        let (conflicts, repeated) = page.left_out();
        self.metrics.left_out.with_label_values(&["type_conflict"]).inc_by(conflicts);
        self.metrics.left_out.with_label_values(&["repeated"]).inc_by(repeated);
        self.board.answered(&key.job, &page, begun.elapsed(), self.clock.now());
        Ok(page)
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let later = |text: String| (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], text).into_response();
        match refusal {
            Refusal::UnknownJob(job) => {
                let jobs = self.discovery.jobs();
                let mut told: Vec<&str> = jobs.iter().take(MOST_JOBS_TOLD).map(|(name, _)| &**name).collect();
                if jobs.len() > MOST_JOBS_TOLD {
                    told.push("...");
                }
                let known = if told.is_empty() {
                    format!("no pod has the label {}", self.config.rules.selector())
                } else {
                    format!("known jobs: {}", told.join(", "))
                };
                (StatusCode::NOT_FOUND, format!("no pod belongs to the job `{}`; {known}\n", job.escape_debug())).into_response()
            }
            Refusal::NotListed => later("the pods have not been listed yet; see /readyz\n".to_owned()),
            Refusal::TooManyTargets(targets) => {
                let limit = self.config.targets_limit;
                let text = format!("the job has {targets} targets, more than the limit of {limit} (podmetrics.limits.targets)\n");
                (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
            }
            Refusal::Overloaded => {
                let limit = humanize(self.config.held_limit as u64);
                later(format!("the answers of pods take more than {limit} at once (podmetrics.limits.held)\n"))
            }
            Refusal::Busy => {
                let limit = self.config.requests;
                later(format!("{limit} other requests are being worked on (podmetrics.requests), and none ended in time\n"))
            }
        }
    }
}

impl Refusal {
    fn outcome(&self) -> &'static str {
        match self {
            Self::UnknownJob(_) => "unknown_job",
            Self::NotListed => "not_listed",
            Self::TooManyTargets(_) => "too_many_targets",
            Self::Overloaded => "overloaded",
            Self::Busy => "busy",
        }
    }
}

/// Sends an answer piece by piece, packed or not.
fn send(page: &Page, gzip: bool) -> Response {
    let pieces = page.pieces();
    let body = if gzip {
        Body::from_stream(stream::iter(packed(pieces)))
    } else {
        Body::from_stream(stream::iter(pieces.map(Ok::<_, io::Error>)))
    };
    let mut response = ([(header::CONTENT_TYPE, page.answer().content_type())], body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::VARY, header::HeaderValue::from_static("accept, accept-encoding"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    response
}

/// The pieces as one gzip member.
fn packed(mut pieces: impl Iterator<Item = Vec<u8>>) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    std::iter::from_fn(move || {
        let open = encoder.as_mut()?;
        for piece in pieces.by_ref() {
            if let Err(error) = open.write_all(&piece) {
                return Some(Err(error));
            }
            if !open.get_ref().is_empty() {
                return Some(Ok(std::mem::take(open.get_mut())));
            }
        }
        encoder.take().map(GzEncoder::finish)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn pieces_are_packed_to_one_member() {
        let pieces: Vec<Vec<u8>> = (0..50_u8).map(|at| vec![at; 10_000]).collect();
        let whole: Vec<u8> = packed(pieces.clone().into_iter()).flat_map(Result::unwrap).collect();
        let mut unpacked = Vec::new();
        flate2::bufread::GzDecoder::new(whole.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, pieces.concat());
    }

    #[test]
    fn the_time_is_what_prometheus_says() {
        let time = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-prometheus-scrape-timeout-seconds", header::HeaderValue::from_static(text));
            time_of(&headers)
        };
        assert_eq!(time("10.000000"), Some(Duration::from_secs(10)));
        assert_eq!(time("0.5"), Some(Duration::from_millis(500)));
        for nonsense in ["", "x", "-1", "0", "NaN", "1e300"] {
            assert_eq!(time(nonsense), None, "{nonsense}");
        }
        assert_eq!(time_of(&HeaderMap::new()), None);
    }
}
