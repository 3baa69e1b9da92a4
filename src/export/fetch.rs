//! One metric of one window: asked for, checked as it arrives, and stored, or found to be stored already.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use ring::digest::{Context, SHA256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Endpoint;
use super::config::Mode;
use super::manifest::{Asked, Document, Entry};
use super::metrics::Stage;
use crate::http::{Failed, Retry, RetryPolicy, with_retries};
use crate::promapi::scan::Scanner;
use crate::promapi::{Answer, MetricName, Query, QueryError, QueryFailure, Selector, Span};
use crate::store::{Compressor, Condition, Decompressor, Label, MADE_BY, Put, StoreError};
use crate::time::{UtcHour, humanize};

/// Between this clock and the source's. More would have hours exported that are not over, or not yet settled.
const MOST_SKEW_SECONDS: i64 = 300;

/// A metric that could not be stored.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

/// What a failure says of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// It answered 200, and that was no whole answer.
    Partial,
    /// Nothing about this metric: nobody answers or is let in, the clocks differ, the bucket takes nothing.
    Unanswered,
    /// It refuses this query.
    Other,
}

impl Failure {
    pub(super) fn unanswered(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unanswered, message: message.into() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unanswered(error.to_string())
    }
}

/// What is at a key.
pub(super) enum There {
    Nothing,
    /// No answer of a Prometheus, or one to another query; its `ETag`.
    Garbage(String),
    /// Stored by the same request.
    Same(Entry),
    /// A whole answer that another tool stored, or one that may be bettered.
    Foreign(Entry),
}

/// What an object may replace.
struct Replaces {
    condition: Condition,
    /// Stays unless the new one is better.
    entry: Option<Entry>,
}

impl From<There> for Replaces {
    fn from(there: There) -> Self {
        match there {
            There::Nothing => Self { condition: Condition::Absent, entry: None },
            There::Garbage(etag) => Self { condition: Condition::Unchanged(etag), entry: None },
            There::Same(entry) | There::Foreign(entry) => {
                Self { condition: Condition::Unchanged(entry.etag.clone()), entry: Some(entry) }
            }
        }
    }
}

impl Endpoint {
    pub(super) fn asked(&self, hour: UtcHour, metric: &MetricName) -> Asked {
        Asked::new(Selector::of(metric).promql(), self.config.mode, hour, self.config.step)
    }

    /// Fetches and stores a metric. What is there stays, unless the answer is better. Without `patient` nothing is tried again.
    pub(super) async fn fetch(&self, hour: UtcHour, metric: &MetricName, there: There, patient: bool) -> Result<Entry, Failure> {
        self.hold.check(&self.prometheus.location())?;
        let span = match self.config.mode {
            Mode::Step => Span::steps(hour, self.config.step),
            Mode::Raw => Span::raw(hour),
        };
        let state = Mutex::new((Query::new(metric, span), Replaces::from(there)));
        let policy = RetryPolicy {
            attempts: if patient { self.rules.max_retries + 1 } else { 1 },
            attempt_timeout: self.rules.deadline,
            total_timeout: self.rules.deadline,
            first_backoff: self.rules.retry_backoff,
        };
        let timed_out = |attempts, took: Duration| {
            Failure::unanswered(format!(
                "{}: {metric}: not stored within the deadline of {} s ({attempts} attempts, {} s)",
                self.prometheus.location(),
                self.rules.deadline.as_secs(),
                took.as_secs()
            ))
        };
        let start = Instant::now();
        let attempts = AtomicU32::new(0);
        let fetched = with_retries(
            policy,
            timed_out,
            async || (),
            || async {
                if attempts.fetch_add(1, Ordering::Relaxed) > 0 {
                    self.metrics.retries.inc();
                }
                let (query, replaces) = &mut *state.lock().await;
                let fetched = self.attempt(hour, metric, query, replaces).await;
                if let Err(Failed { error, retry }) = &fetched {
                    self.hold.note(*retry, self.rules.deadline);
                    tracing::debug!(alias = self.config.alias, %hour, error = error.message, ?retry, "an attempt failed");
                }
                fetched
            },
        );
        let fetched = fetched.await;
        self.metrics.stage(Stage::Fetch, start.elapsed());
        fetched
    }

    async fn attempt(
        &self,
        hour: UtcHour,
        metric: &MetricName,
        query: &mut Query,
        replaces: &mut Replaces,
    ) -> Result<Entry, Failed<Failure>> {
        let mut reading = query.ask(&self.prometheus).await.map_err(|failed| self.refused(failed))?;
        check_clocks(reading.date, self.clock.now(), hour)
            .map_err(|why| never(format!("{}: {why}", self.prometheus.location())))?;
        let key = self.config.keys.data(hour, metric);
        let asked = self.asked(hour, metric);
        let label = Label { content_type: "application/json", mark: (MADE_BY, asked.label()) };
        let mut upload = self.store.upload(&key, label);
        let mut digests = Digests::new(self.rules.compress.is_some());
        let mut compressor = Compressor::new(self.rules.compress).map_err(|error| never(error.to_string()))?;
        while let Some(chunk) = reading.next().await.map_err(|failed| self.refused(failed))? {
            digests.document(&chunk);
            let packed = compressor.write(&chunk).map_err(|error| never(error.to_string()))?;
            digests.stored(&packed);
            upload.write(&packed).await.map_err(|error| never(error.to_string()))?;
        }
        let answer = reading.finish().map_err(|failed| self.refused(failed))?;
        let rest = compressor.finish().map_err(|error| never(error.to_string()))?;
        digests.stored(&rest);
        upload.write(&rest).await.map_err(|error| never(error.to_string()))?;
        let mut entry = digests.entry(key.clone(), asked, answer);
        if !entry.warnings.is_empty() {
            self.metrics.partial("warnings");
        }
        if let Some(old) = &replaces.entry
            && !entry.is_better_than(old)
        {
            return Ok(old.clone());
        }
        match upload.finish(&replaces.condition).await.map_err(|error| never(error.to_string()))? {
            Put::Done(etag) => {
                entry.etag = etag;
                self.metrics.stored(&entry);
                Ok(entry)
            }
            Put::Refused => {
                let there =
                    self.read_back(hour, metric).await.map_err(|failure| Failed { error: failure, retry: Retry::Never })?;
                match there {
                    There::Same(theirs) | There::Foreign(theirs) if !entry.is_better_than(&theirs) => Ok(theirs),
                    there => {
                        *replaces = Replaces::from(there);
                        let message = format!("{key}: another writer was faster, and its answer is worse");
                        Err(Failed { error: Failure::unanswered(message), retry: Retry::Backoff })
                    }
                }
            }
        }
    }

    /// Reads an object that is stored already, and checks it as if it came from the source.
    pub(super) async fn read_back(&self, hour: UtcHour, metric: &MetricName) -> Result<There, Failure> {
        let key = self.config.keys.data(hour, metric);
        let Some(stored) = self.store.get(&key).await? else { return Ok(There::Nothing) };
        let asked = self.asked(hour, metric);
        let etag = stored.etag.clone();
        let same = match stored.mark(MADE_BY) {
            Some(made_by) if made_by != asked.label() => return Ok(There::Garbage(etag)),
            made_by => made_by.is_some(),
        };
        let (mut digests, mut scanner) = (Digests::new(self.rules.compress.is_some()), Scanner::default());
        let mut decompressor = Decompressor::new(self.rules.compress).map_err(|error| Failure::unanswered(error.to_string()))?;
        let mut garbage = false;
        let mut check = |chunk: &[u8]| {
            digests.stored(chunk);
            let plain = decompressor.write(chunk).map_err(|error| error.to_string());
            let checked = plain.and_then(|plain| {
                digests.document(&plain);
                scanner.feed(&plain).map_err(|error| error.to_string())
            });
            garbage |= checked.is_err();
            checked
        };
        if let Err(error) = stored.for_each(&mut check).await {
            return if garbage { Ok(There::Garbage(etag)) } else { Err(error.into()) };
        }
        let rest = decompressor.finish().map_err(|error| error.to_string()).and_then(|rest| {
            digests.document(&rest);
            scanner.feed(&rest).map_err(|error| error.to_string())
        });
        let answer = match rest.map(|()| scanner.finish()) {
            Ok(Ok(answer)) if answer.status == "success" => answer,
            _ => return Ok(There::Garbage(etag)),
        };
        let mut entry = digests.entry(key, asked, answer);
        entry.etag = etag;
        Ok(if same { There::Same(entry) } else { There::Foreign(entry) })
    }

    fn refused(&self, failed: Failed<QueryError>) -> Failed<Failure> {
        let reason = match failed.error.kind {
            QueryFailure::Status => Some("status"),
            QueryFailure::Malformed => Some("malformed"),
            QueryFailure::Truncated => Some("truncated"),
            QueryFailure::Unavailable | QueryFailure::NotLetIn | QueryFailure::TooMuch(_) | QueryFailure::Refused => None,
        };
        if let Some(reason) = reason {
            self.metrics.partial(reason);
        }
        let kind = match (reason, failed.error.kind) {
            (Some(_), _) => FailureKind::Partial,
            (None, QueryFailure::Unavailable | QueryFailure::NotLetIn) => FailureKind::Unanswered,
            (None, _) => FailureKind::Other,
        };
        Failed { error: Failure { kind, message: failed.error.message }, retry: failed.retry }
    }
}

/// What the store could not do after its own retries, and what no retry can mend.
fn never(message: String) -> Failed<Failure> {
    Failed { error: Failure::unanswered(message), retry: Retry::Never }
}

/// No hour is exported that is not over for the source, or while one of the clocks is wrong.
fn check_clocks(source: Option<Timestamp>, now: Timestamp, hour: UtcHour) -> Result<(), String> {
    check_skew(source, now)?;
    match source {
        Some(source) if source.as_second() < hour.end() => {
            Err(format!("at the source it is {source:.0}, and the hour {hour} is not over"))
        }
        _ => Ok(()),
    }
}

/// Whether both clocks agree well enough.
pub(super) fn check_skew(source: Option<Timestamp>, now: Timestamp) -> Result<(), String> {
    let Some(source) = source else { return Ok(()) };
    if (now.as_second() - source.as_second()).abs() <= MOST_SKEW_SECONDS {
        return Ok(());
    }
    let within = humanize(Duration::from_secs(MOST_SKEW_SECONDS.unsigned_abs()));
    Err(format!(
        "the clocks differ: it is {now:.0} here and {source:.0} at the source; nothing is exported until they agree within {within}"
    ))
}

/// A source that asks to be left alone for longer than a metric may take is left alone.
#[derive(Debug, Default)]
pub(super) struct Hold(std::sync::Mutex<Option<Instant>>);

impl Hold {
    fn note(&self, retry: Retry, deadline: Duration) {
        if let Retry::After(wait) = retry
            && wait >= deadline
        {
            // A day is enough for any server to come back.
            *self.lock() = Some(Instant::now() + wait.min(Duration::from_secs(86_400)));
        }
    }

    fn check(&self, location: &str) -> Result<(), Failure> {
        let left = self.lock().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(());
        }
        Err(Failure::unanswered(format!("{location}: it asked to be left alone for another {}", humanize(left))))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Counts and digests of a document and of the object that it is stored as.
struct Digests {
    document: (u64, Option<Context>),
    stored: (u64, Context),
}

impl Digests {
    /// Where nothing is compressed, both are the same, and one is enough.
    fn new(compressed: bool) -> Self {
        Self { document: (0, compressed.then(|| Context::new(&SHA256))), stored: (0, Context::new(&SHA256)) }
    }

    fn document(&mut self, bytes: &[u8]) {
        self.document.0 += bytes.len() as u64;
        if let Some(context) = &mut self.document.1 {
            context.update(bytes);
        }
    }

    fn stored(&mut self, bytes: &[u8]) {
        self.stored.0 += bytes.len() as u64;
        self.stored.1.update(bytes);
    }

    fn entry(self, key: String, query: Asked, answer: Answer) -> Entry {
        let mut entry = Entry {
            key,
            query,
            series: 0,
            samples: 0,
            bytes: self.stored.0,
            sha256: hex(self.stored.1),
            document: self.document.1.map(|context| Document { bytes: self.document.0, sha256: hex(context) }),
            warnings: Vec::new(),
            infos: Vec::new(),
            marks: Vec::new(),
            etag: String::new(),
            attempts: 1,
        };
        entry.note(answer);
        entry
    }
}

fn hex(context: Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hour_is_exported_by_a_wrong_clock() {
        let hour = UtcHour::containing("2026-11-21T07:10:00Z".parse().unwrap());
        let check = |source: &str, here: &str| check_clocks(Some(source.parse().unwrap()), here.parse().unwrap(), hour);
        assert_eq!(check("2026-11-21T08:02:00Z", "2026-11-21T08:03:00Z"), Ok(()));
        assert!(check("2026-11-21T08:02:00Z", "2030-01-01T00:00:00Z").unwrap_err().contains("clocks differ"));
        assert!(check("2026-11-21T08:02:00Z", "2020-01-01T00:00:00Z").unwrap_err().contains("clocks differ"));
        assert!(check("2026-11-21T07:59:59Z", "2026-11-21T08:02:00Z").unwrap_err().contains("not over"));
        assert_eq!(check_clocks(None, "2030-01-01T00:00:00Z".parse().unwrap(), hour), Ok(()));
    }

    #[test]
    fn digests_are_those_of_the_bytes() {
        let mut digests = Digests::new(true);
        digests.document(b"a");
        digests.document(b"bc");
        digests.stored(b"");
        let asked = Asked::new("up".into(), Mode::Step, UtcHour::containing(Timestamp::UNIX_EPOCH), 60);
        let entry = digests.entry("k".into(), asked, Answer::default());
        // FIPS 180-4, example B.1, and the digest of nothing.
        let document = entry.document.unwrap();
        assert_eq!(
            (document.bytes, document.sha256.as_str()),
            (3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        );
        assert_eq!((entry.bytes, entry.sha256.as_str()), (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    }
}
