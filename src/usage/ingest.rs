//! `POST /metrics`: from a request to an entry of the journal, or to a refusal that says what is wrong.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use zstd::bulk::Compressor;

use super::auth::{Auth, Denied};
use super::board::Board;
use super::complaints::Complaints;
use super::journal::{AppendError, Appended, Journal, NewEntry, ReportId};
use super::metrics::IngestMetrics;
use super::packing::{Packing, UnpackError};
use super::payload::{self, Checked, RejectionKind};
use super::report::DeadLetter;
use crate::server::Peer;
use crate::time::Clock;

/// For a body, once there is room for it.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Bodies in memory, in KiB; whoever comes when there are more has to wait. Of those up to [`LARGE`], and of all others: whoever is slow with one
/// of these, or does not say how much is to come, holds up no report of the usual size.
const HELD_KIB: usize = 32 << 10;
/// How long somebody waits for the others.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// For the journal, which syncs in some hundredths of a second and now and then gives space back. Whoever waits has begun to think of leaving.
const JOURNAL_DEADLINE: Duration = Duration::from_secs(20);
/// Bodies that are larger, packed or unpacked, are read where they do not keep others waiting, and only as many at once as there are cores: what is
/// unpacked has not been asked for with its length.
const LARGE: usize = 256 << 10;
/// Level of what is packed for the journal: fast, and three quarters of what a high one saves.
const LEVEL: i32 = 1;
/// Of a body that is too large so many times the limit is read, since many clients hear no answer before they have sent everything.
const MOST_DISCARDED: usize = 4;
/// Dead letters that an answer tells.
const MOST_TOLD: usize = 100;
/// A report of a time that is so far ahead is counted.
const AHEAD_SECONDS: f64 = 60.0;

/// Takes reports.
pub struct Ingest {
    pub(super) journal: Journal,
    pub(super) auth: Auth,
    pub(super) body_limit: usize,
    pub(super) metrics: IngestMetrics,
    pub(super) board: Board,
    pub(super) clock: Clock,
    held: Held,
    /// For bodies that are [`LARGE`].
    readers: Semaphore,
    packers: Mutex<Vec<Compressor<'static>>>,
    complaints: Complaints,
}

/// Why a report is not taken.
struct Refusal {
    outcome: &'static str,
    status: StatusCode,
    /// Path of the field that is wrong.
    field: Option<String>,
    reason: String,
    /// Seconds after which it is worth trying again.
    retry_after: Option<u32>,
}

impl Refusal {
    fn new(outcome: &'static str, status: StatusCode, reason: impl Into<String>) -> Self {
        Self { outcome, status, field: None, reason: reason.into(), retry_after: None }
    }

    fn later(outcome: &'static str, seconds: u32, reason: impl Into<String>) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(outcome, StatusCode::SERVICE_UNAVAILABLE, reason) }
    }
}

/// A report that is on its way into the journal.
struct Prepared {
    node: String,
    pods: usize,
    rejected: Rejected,
    collected_at: i64,
    entry: Option<NewEntry>,
}

/// Entries of a report that are not usable.
struct Rejected {
    count: usize,
    /// As far as the answer tells them.
    told: Vec<Value>,
}

/// The memory that bodies may have, in KiB.
struct Held {
    usual: Arc<Semaphore>,
    large: Arc<Semaphore>,
    most_large: usize,
}

impl Held {
    fn new(body_limit: usize) -> Self {
        let most_large = HELD_KIB.max(kib(body_limit) as usize);
        Self { usual: Arc::new(Semaphore::new(HELD_KIB)), large: Arc::new(Semaphore::new(most_large)), most_large }
    }

    async fn acquire(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        let pool = if bytes > LARGE { &self.large } else { &self.usual };
        Arc::clone(pool).acquire_many_owned(kib(bytes)).await
    }

    /// Waits for whoever has any.
    async fn all(&self) -> Result<(), AcquireError> {
        let _usual = self.usual.acquire_many(u32::try_from(HELD_KIB).unwrap_or(u32::MAX)).await?;
        let _large = self.large.acquire_many(u32::try_from(self.most_large).unwrap_or(u32::MAX)).await?;
        Ok(())
    }
}

impl Rejected {
    /// Without the entries themselves, which are in the report.
    fn new(dead: &[DeadLetter]) -> Self {
        let told = |dead: &DeadLetter| json!({ "index": dead.index, "field": dead.field, "reason": dead.reason });
        Self { count: dead.len(), told: dead.iter().take(MOST_TOLD).map(told).collect() }
    }
}

impl Ingest {
    /// Takes reports into `journal`, of bodies up to `body_limit` bytes.
    pub fn new(journal: Journal, auth: Auth, body_limit: usize, metrics: IngestMetrics, clock: Clock) -> Self {
        Self {
            journal,
            auth,
            body_limit,
            metrics,
            board: Board::new(clock.now()),
            clock,
            held: Held::new(body_limit),
            readers: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
            packers: Mutex::default(),
            complaints: Complaints::default(),
        }
    }

    /// Answers a request.
    pub async fn respond(&self, request: Request) -> Response {
        let begun = Instant::now();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        let (outcome, response) = match self.take(request).await {
            Ok((appended, prepared)) => {
                let outcome = match appended {
                    Some(Appended::Added) => "added",
                    Some(Appended::Repeated) => "repeated",
                    None => "empty",
                };
                if prepared.rejected.count > 0 {
                    let reason = format!("{} entries of node {} cannot be used", prepared.rejected.count, prepared.node);
                    self.complaints.about("rejected_entries", peer, None, &reason);
                }
                self.count(outcome, &prepared);
                self.metrics.duration.observe(begun.elapsed().as_secs_f64());
                (outcome, Json(accepted(&prepared.rejected)).into_response())
            }
            Err(refusal) => {
                self.complaints.about(refusal.outcome, peer, refusal.field.as_deref(), &refusal.reason);
                (refusal.outcome, refused(&refusal))
            }
        };
        self.metrics.reports.with_label_values(&[outcome]).inc();
        response
    }

    /// Waits until reports that are on their way have been answered, for as long as a server waits for its answers.
    pub async fn drain(&self) {
        if timeout(LONGEST_WAIT, self.held.all()).await.is_err() {
            tracing::warn!("some reports were not there in time; their senders will send them again");
        }
    }

    async fn take(&self, request: Request) -> Result<(Option<Appended>, Prepared), Refusal> {
        let (head, body) = request.into_parts();
        let sender = self.auth.sender(&head.headers).await.map_err(denied)?;
        let packing = Packing::of(&head.headers).map_err(|encoding| {
            let reason = format!("the Content-Encoding `{encoding}` is not taken; gzip and zstd are");
            Refusal::new("unknown_encoding", StatusCode::UNSUPPORTED_MEDIA_TYPE, reason)
        })?;
        // Before the body is read: it would be thrown away.
        if self.journal.is_full() {
            return Err(not_appended(&AppendError::Full));
        }
        let told = content_length(&head.headers).unwrap_or(self.body_limit);
        if told > self.body_limit {
            discard(body, self.body_limit.saturating_mul(MOST_DISCARDED)).await;
            return Err(self.too_large());
        }
        let waited = timeout(LONGEST_WAIT, self.held.acquire(told)).await;
        let Ok(Ok(mut held)) = waited else { return Err(not_appended(&AppendError::Busy)) };
        let body = self.read(body).await?;
        self.metrics.received.inc_by(body.len() as u64);
        let mut prepared = self.prepared(&body, packing).await?;
        drop(body);
        sender.may_report(&prepared.node).map_err(denied)?;
        let Some(entry) = prepared.entry.take() else { return Ok((None, prepared)) };
        // It was for whatever might come.
        let spare = held.num_permits().saturating_sub(kib(entry.bytes.len()) as usize);
        drop(held.split(spare));
        match timeout(JOURNAL_DEADLINE, self.journal.append(entry, Some(held))).await {
            Ok(appended) => Ok((Some(appended.map_err(|error| not_appended(&error))?), prepared)),
            // It may be written nevertheless, and is then taken as repeated.
            Err(_) => Err(not_appended(&AppendError::Busy)),
        }
    }

    async fn prepared(&self, body: &[u8], packing: Packing) -> Result<Prepared, Refusal> {
        if body.len() <= LARGE {
            match packing.unpack(body, LARGE.min(self.body_limit)) {
                // So much is unpacked twice for those who have more, since how much they have is not known before.
                Err(UnpackError::TooLarge(_)) if self.body_limit > LARGE => {}
                unpacked => return self.prepare(body, packing, unpacked),
            }
        }
        let waited = timeout(LONGEST_WAIT, self.readers.acquire()).await;
        let Ok(Ok(_reader)) = waited else { return Err(not_appended(&AppendError::Busy)) };
        tokio::task::block_in_place(|| self.prepare(body, packing, packing.unpack(body, self.body_limit)))
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refusal> {
        match timeout(BODY_DEADLINE, Limited::new(body, self.body_limit).collect()).await {
            Ok(Ok(read)) => Ok(read.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(self.too_large()),
            Ok(Err(error)) => {
                Err(Refusal::new("aborted", StatusCode::BAD_REQUEST, format!("the body could not be read: {error}")))
            }
            Err(_) => Err(Refusal::new(
                "aborted",
                StatusCode::REQUEST_TIMEOUT,
                format!("the body was not there within {} s", BODY_DEADLINE.as_secs()),
            )),
        }
    }

    /// Checks a body, which was `unpacked`, and packs it for the journal.
    fn prepare(&self, body: &[u8], packing: Packing, unpacked: Result<Cow<'_, [u8]>, UnpackError>) -> Result<Prepared, Refusal> {
        let plain = unpacked.map_err(|error| match error {
            UnpackError::TooLarge(_) => self.too_large(),
            UnpackError::Damaged(_) => Refusal::new("not_json", StatusCode::BAD_REQUEST, error.to_string()),
        })?;
        let Checked { node_name, timestamp, collected_at, pods, dead } = payload::check(&plain).map_err(|rejection| {
            let (outcome, status) = match rejection.kind {
                RejectionKind::NotJson => ("not_json", StatusCode::BAD_REQUEST),
                RejectionKind::Invalid => ("invalid", StatusCode::UNPROCESSABLE_ENTITY),
            };
            let field = (!rejection.field.is_empty()).then_some(rejection.field);
            Refusal { field, ..Refusal::new(outcome, status, rejection.reason) }
        })?;
        // A seal has memory for all that it writes, so all is counted.
        let rows = u32::try_from(pods + dead.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        let entry = (pods > 0).then(|| {
            let id = ReportId::new(&node_name, &timestamp, collected_at);
            let now = self.clock.now().as_millisecond();
            let (packing, packed) = match packing {
                Packing::Identity => self.pack(&plain),
                packed => (packed, Cow::Borrowed(body)),
            };
            NewEntry::new(id, now, rows, packing, length, &packed)
        });
        Ok(Prepared { node: node_name.into_owned(), pods, rejected: Rejected::new(&dead), collected_at, entry })
    }

    /// The body as it is where it cannot be packed.
    fn pack<'a>(&self, plain: &'a [u8]) -> (Packing, Cow<'a, [u8]>) {
        let idle = self.packers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(mut packer) = idle.or_else(|| Compressor::new(LEVEL).ok()) else { return (Packing::Identity, plain.into()) };
        let packed = packer.compress(plain);
        self.packers.lock().unwrap_or_else(PoisonError::into_inner).push(packer);
        packed.map_or((Packing::Identity, plain.into()), |packed| (Packing::Zstd, packed.into()))
    }

    fn too_large(&self) -> Refusal {
        let reason = format!("the body is larger than {} bytes (--usage-body-limit)", self.body_limit);
        Refusal::new("too_large", StatusCode::PAYLOAD_TOO_LARGE, reason)
    }

    fn count(&self, outcome: &str, prepared: &Prepared) {
        let now = self.clock.now();
        self.board.heard(&prepared.node, now);
        #[expect(clippy::cast_precision_loss, reason = "differences of days are exact")]
        let delay = (now.as_microsecond() - prepared.collected_at) as f64 / 1e6;
        if delay < -AHEAD_SECONDS {
            self.metrics.ahead.inc();
        }
        if outcome == "added" {
            self.metrics.delay.observe(delay.max(0.0));
            self.metrics.rows.inc_by(prepared.pods as u64);
            self.metrics.dead_letters.inc_by(prepared.rejected.count as u64);
        }
    }
}

/// Reads what nobody wants, up to so many bytes, and not for long.
async fn discard(body: Body, most: usize) {
    let mut body = Limited::new(body, most);
    let discarded = async { while matches!(body.frame().await, Some(Ok(_))) {} };
    // Whoever is slower than that does without an answer.
    let _ = timeout(LONGEST_WAIT, discarded).await;
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX)
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn denied(denied: Denied) -> Refusal {
    match denied {
        Denied::Unauthorized(reason) => Refusal::new("unauthorized", StatusCode::UNAUTHORIZED, reason),
        Denied::Forbidden(reason) => Refusal { field: None, ..Refusal::new("forbidden", StatusCode::FORBIDDEN, reason) },
        Denied::Unavailable(reason) => Refusal::later("unavailable", 5, reason),
    }
}

fn not_appended(error: &AppendError) -> Refusal {
    match error {
        AppendError::Full => Refusal::later("full", 30, error.to_string()),
        AppendError::Busy => Refusal::later("unavailable", 1, error.to_string()),
        // The reason is about the server, and in its log.
        AppendError::Failed(_) => Refusal::later("unavailable", 10, "the journal cannot be written"),
    }
}

/// `{"status":"ok"}`, and what was not usable, if anything.
fn accepted(rejected: &Rejected) -> Value {
    if rejected.count == 0 {
        return json!({ "status": "ok" });
    }
    json!({ "status": "ok", "rejected_count": rejected.count, "rejected": rejected.told })
}

fn refused(refusal: &Refusal) -> Response {
    let mut told = json!({ "status": "error", "error": refusal.reason });
    if let Some(field) = &refusal.field {
        told["field"] = json!(field);
    }
    let mut response = (refusal.status, Json(told)).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if refusal.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    if refusal.outcome == "unknown_encoding" {
        headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("gzip, zstd, identity"));
    }
    response
}

#[cfg(test)]
mod tests;
