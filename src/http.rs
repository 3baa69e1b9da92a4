//! The outbound HTTP client: one way to build it, to give up, and to try again.
//!
//! Every request has a stall limit and a total limit. Only what can succeed is tried again, with jittered exponential back-off, never before
//! the time in `Retry-After`. Redirects are not followed: they would carry a signed request to a peer that nobody named.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use http::HeaderMap;
use tokio::time::{Instant, sleep, timeout};

/// A peer on the same continent connects within a tenth of this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the next bytes of an answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The usual first wait before another attempt; doubled with each further one.
pub const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);

/// A CA bundle that cannot be used, or a TLS setup that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file cannot be read.
    #[error("cannot read the CA bundle {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not PEM, or holds no certificate.
    #[error("the CA bundle {0} holds no PEM certificate, or one that is damaged")]
    NoCertificate(PathBuf),
    /// Certificate and key to show.
    #[error("the client certificate and its key cannot be used: {0}")]
    Identity(String),
    /// The client itself.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

/// What a client shows and trusts, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct ClientOptions<'a> {
    /// Whether servers must prove who they are. Only an operator may say that they need not.
    pub verify: bool,
    /// Asks peers themselves, whatever `HTTPS_PROXY` and the like say.
    pub direct: bool,
    /// A name that nobody has to look up, and its address.
    pub resolve: Option<(&'a str, IpAddr)>,
    /// PEM certificates trusted beside the system's.
    pub ca_bundle: Option<&'a Path>,
    /// Certificate and key, PEM, shown to servers.
    pub identity: Option<&'a [u8]>,
    /// Longest wait for the first byte and for the next bytes of an answer.
    pub stall_timeout: Duration,
}

impl Default for ClientOptions<'_> {
    fn default() -> Self {
        Self { verify: true, direct: false, resolve: None, ca_bundle: None, identity: None, stall_timeout: STALL_TIMEOUT }
    }
}

/// Builds a client.
///
/// # Errors
/// When the bundle is unreadable or holds no certificate, or the identity is none.
pub fn client(options: ClientOptions<'_>) -> Result<reqwest::Client, ClientError> {
    let ClientOptions { verify, direct, resolve, ca_bundle, identity, stall_timeout } = options;
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("kube-s3-exporter/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(stall_timeout)
        .tcp_keepalive(Duration::from_secs(30))
        .danger_accept_invalid_certs(!verify)
        .http1_only();
    if direct {
        builder = builder.no_proxy();
    }
    if let Some((name, address)) = resolve {
        // The port is that of the URL.
        builder = builder.resolve(name, (address, 0).into());
    }
    if let Some(path) = ca_bundle {
        let pem = read_ca_bundle(path)?;
        let invalid = || ClientError::NoCertificate(path.into());
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| invalid())?;
        if certificates.is_empty() {
            return Err(invalid());
        }
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    if let Some(pem) = identity {
        builder = builder.identity(reqwest::Identity::from_pem(pem).map_err(|error| ClientError::Identity(chain(&error)))?);
    }
    builder.build().map_err(|error| match ca_bundle {
        // Certificates are looked into only here.
        Some(path) => ClientError::NoCertificate(path.into()),
        None => ClientError::Setup(chain(&error)),
    })
}

/// Reads a file of PEM certificates.
pub fn read_ca_bundle(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|source| ClientError::Unreadable { path: path.into(), source })
}

/// Whether a failed attempt is worth another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request would fail again.
    Never,
    /// After a back-off.
    Backoff,
    /// Not before the peer's `Retry-After`.
    After(Duration),
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failed<E> {
    /// What went wrong.
    pub error: E,
    /// Whether to try again.
    pub retry: Retry,
}

/// Limits of one call with all its attempts.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How often it is tried, the first time included.
    pub attempts: u32,
    /// Longest single attempt.
    pub attempt_timeout: Duration,
    /// Longest call, waits included.
    pub total_timeout: Duration,
    /// The first wait before another attempt; doubled with each further one, up to some seconds unless it is longer itself.
    pub first_backoff: Duration,
}

/// Calls `attempt` until it succeeds, fails for good, or the policy is exhausted; then the last error is returned. Each attempt waits for its
/// `turn` first, which costs it nothing, and holds what that gives. `timed_out` makes the error of an attempt that took too long, from the number
/// of attempts and the time since the first.
pub async fn with_retries<T, E, Turn: Future, Attempt: Future<Output = Result<T, Failed<E>>>>(
    policy: RetryPolicy,
    timed_out: impl Fn(u32, Duration) -> E,
    mut turn: impl FnMut() -> Turn,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<T, E> {
    let mut start = Instant::now();
    let mut backoff = policy.first_backoff;
    let mut tried = 0;
    loop {
        let asked = Instant::now();
        let held = turn().await;
        start += asked.elapsed();
        let left = |start: Instant| policy.total_timeout.saturating_sub(start.elapsed());
        tried += 1;
        let failed = match timeout(policy.attempt_timeout.min(left(start)), attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failed)) => failed,
            Err(_) => Failed { error: timed_out(tried, start.elapsed()), retry: Retry::Backoff },
        };
        drop(held);
        let wait = match failed.retry {
            Retry::Never => return Err(failed.error),
            Retry::Backoff => jitter(backoff),
            Retry::After(least) => least.max(jitter(backoff)),
        };
        if tried >= policy.attempts || wait >= left(start) {
            return Err(failed.error);
        }
        sleep(wait).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF.max(policy.first_backoff * 8));
    }
}

/// Between half and the whole of `duration`, so that many callers do not come back together.
pub fn jitter(duration: Duration) -> Duration {
    duration.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// `Retry-After` in seconds; the HTTP-date form is not used by S3, Prometheus or Kubernetes and counts as absent.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than the limit.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection failed.
    #[error("{}", chain(.0))]
    Transport(#[from] reqwest::Error),
}

/// Reads a whole body of at most `limit` bytes.
pub async fn read_body(response: reqwest::Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = Vec::with_capacity(expected.min(limit));
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error with its causes in one line, since the outer one alone ("error sending request") helps nobody. Causes that the text before them
/// already tells are left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// True when TLS itself failed: an unknown authority, a wrong name, a plain HTTP peer.
pub fn is_tls_failure(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut current = Some(error);
    while let Some(cause) = current {
        if cause.is::<rustls::Error>() {
            return true;
        }
        // `io::Error` hides the error it wraps from `source()`.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| is_tls_failure(inner)) {
            return true;
        }
        current = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 4,
        attempt_timeout: Duration::from_secs(20),
        total_timeout: Duration::from_secs(45),
        first_backoff: FIRST_BACKOFF,
    };

    async fn outcome(retry: Retry, hang: bool) -> (u32, Duration) {
        let start = Instant::now();
        let mut attempts = 0;
        let result: Result<(), ()> = with_retries(
            POLICY,
            |_, _| (),
            async || (),
            || {
                attempts += 1;
                async move {
                    if hang {
                        std::future::pending::<()>().await;
                    }
                    Err(Failed { error: (), retry })
                }
            },
        )
        .await;
        assert_eq!(result, Err(()));
        (attempts, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_can_succeed_is_tried_again() {
        assert_eq!(outcome(Retry::Never, false).await.0, 1);
        let (attempts, elapsed) = outcome(Retry::Backoff, false).await;
        assert_eq!(attempts, 4);
        assert!(elapsed >= Duration::from_millis(875) && elapsed <= Duration::from_millis(1760), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_peer_is_given_up_within_the_total_limit() {
        let (attempts, elapsed) = outcome(Retry::Backoff, true).await;
        assert_eq!(attempts, 3);
        assert!(elapsed <= POLICY.total_timeout, "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_turn_costs_no_attempt_its_time() {
        let start = Instant::now();
        let mut attempts = 0;
        let result: Result<u32, ()> = with_retries(
            POLICY,
            |_, _| (),
            async || sleep(Duration::from_secs(100)).await,
            || {
                attempts += 1;
                let outcome = if attempts < 3 { Err(Failed { error: (), retry: Retry::Backoff }) } else { Ok(attempts) };
                async move { outcome }
            },
        )
        .await;
        assert_eq!(result, Ok(3));
        assert!(start.elapsed() >= Duration::from_secs(300));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured_or_the_call_fails_at_once() {
        let (attempts, elapsed) = outcome(Retry::After(Duration::from_secs(10)), false).await;
        assert_eq!(attempts, 4);
        assert!(elapsed >= Duration::from_secs(30), "{elapsed:?}");
        let (attempts, elapsed) = outcome(Retry::After(Duration::from_secs(60)), false).await;
        assert_eq!((attempts, elapsed), (1, Duration::ZERO));
        assert_eq!(outcome(Retry::After(Duration::from_secs(u64::MAX)), false).await.0, 1);
    }

    #[test]
    fn the_causes_of_an_error_are_told() {
        let inner = std::io::Error::other("refused");
        assert_eq!(chain(&ClientError::Unreadable { path: "x".into(), source: inner }), "cannot read the CA bundle x: refused");
    }
}
