//! One report, one POST, and what the answer means. A report whose answer is lost is sent again as the same bytes; the receiver knows it by node and
//! timestamp, and drops the repeat.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::config::PushConfig;
use super::kubelet::words;
use super::queue::Sealed;
use super::report::Report;
use super::token::{bearer, is_private};
use crate::http::{self as client, ClientError, ClientOptions, Failed, Retry, chain, read_body, retry_after};

/// A receiver answers when the report is on its disk.
const LONGEST: Duration = Duration::from_secs(30);
/// Of an answer.
const LARGEST: usize = 64 << 10;
/// What is smaller is not worth packing: it is a packet or three.
const PACKED_FROM: usize = 4 << 10;
/// No server is obeyed for longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(900);

/// The receiver, as it is reached.
pub(super) struct Receiver {
    http: reqwest::Client,
    endpoint: Url,
    token_file: Option<PathBuf>,
}

/// An attempt that failed.
#[derive(Debug)]
pub(super) struct Unsent {
    /// One of [`OUTCOMES`](super::metrics::OUTCOMES).
    pub(super) outcome: &'static str,
    /// What the receiver says, or what came between.
    pub(super) why: String,
}

/// What is looked at in the answer to a report that was taken.
#[derive(Deserialize, Default)]
struct Answer {
    /// Where a list is not of all.
    rejected_count: Option<u64>,
    #[serde(default)]
    rejected: Value,
}

/// Makes a report ready to be sent, as often as it takes.
pub(super) fn seal(report: &Report) -> Result<Sealed, serde_json::Error> {
    let json = serde_json::to_vec(report)?;
    let packed = if json.len() < PACKED_FROM { None } else { zstd::bulk::compress(&json, 0).ok() };
    let (body, encoding) = packed.map_or((json, None), |packed| (packed, Some("zstd")));
    Ok(Sealed { timestamp: report.timestamp.clone(), pods: report.pods.len(), body: body.into(), encoding })
}

impl Receiver {
    /// # Errors
    /// For a CA bundle that cannot be used.
    pub(super) fn new(config: &PushConfig) -> Result<Self, ClientError> {
        let http = client::client(ClientOptions { ca_bundle: config.ca.as_deref(), ..Default::default() })?;
        if config.token_file.is_some() && !is_private(&config.endpoint) {
            tracing::warn!(endpoint = %config.endpoint, "the token is sent over plain HTTP, where others can read it");
        }
        Ok(Self { http, endpoint: config.endpoint.clone(), token_file: config.token_file.clone() })
    }

    /// Sends a report once. Gives how many of its pods the receiver could not read, and what it says of them.
    ///
    /// # Errors
    /// When it was not accepted, as far as is known.
    pub(super) async fn send(&self, report: &Sealed) -> Result<(u64, String), Failed<Unsent>> {
        tokio::time::timeout(LONGEST, self.post(report)).await.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", LONGEST.as_secs());
            Err(Failed { error: Unsent { outcome: "unreachable", why }, retry: Retry::Backoff })
        })
    }

    async fn post(&self, report: &Sealed) -> Result<(u64, String), Failed<Unsent>> {
        let unreachable = |why| Failed { error: Unsent { outcome: "unreachable", why }, retry: Retry::Backoff };
        let mut request = self.http.post(self.endpoint.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(encoding) = report.encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        if let Some(file) = &self.token_file {
            request = request.header(AUTHORIZATION, bearer(file).await.map_err(unreachable)?);
        }
        let response = request.body(report.body.clone()).send().await.map_err(|error| unreachable(chain(&error)))?;
        let (status, after) = (response.status(), retry_after(response.headers()));
        let body = read_body(response, LARGEST).await.unwrap_or_default();
        if status.is_success() {
            return Ok(rejected(&body));
        }
        let retry = judge(status, after);
        let outcome = if retry == Retry::Never { "refused" } else { "unavailable" };
        Err(Failed { error: Unsent { outcome, why: format!("it answered {status}{}", words(&body)) }, retry })
    }
}

/// What is worth another attempt. Of what the receiver refuses, the report itself is at fault only with some codes: credentials are renewed, a path
/// comes to be when the receiver is rolled out or switched on, a redirect is of a proxy that comes or goes. What is at fault is never sent again.
fn judge(status: StatusCode, after: Option<Duration>) -> Retry {
    let heals = matches!(status.as_u16(), 401 | 403 | 404 | 407 | 408 | 425 | 429);
    match after {
        _ if status.is_client_error() && !heals => Retry::Never,
        Some(after) if matches!(status.as_u16(), 429 | 503) => Retry::After(after.min(LONGEST_RETRY_AFTER)),
        _ => Retry::Backoff,
    }
}

/// How many there are: told as a number, or a list with an entry for each.
fn rejected(body: &[u8]) -> (u64, String) {
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    let number = match &answer.rejected {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::Array(list) => u64::try_from(list.len()).unwrap_or(u64::MAX),
        Value::Object(object) => u64::try_from(object.len()).unwrap_or(u64::MAX),
        _ => 0,
    };
    (answer.rejected_count.unwrap_or(number), words(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_report_is_to_blame_for_is_final() {
        let retry = |code: u16| judge(StatusCode::from_u16(code).unwrap(), None);
        for code in [400, 405, 406, 409, 410, 411, 413, 414, 415, 418, 422, 431, 451] {
            assert_eq!(retry(code), Retry::Never, "{code}");
        }
        for code in [301, 302, 307, 308, 401, 403, 404, 407, 408, 425, 429, 500, 502, 503, 504, 507] {
            assert_eq!(retry(code), Retry::Backoff, "{code}");
        }
    }

    #[test]
    fn retry_after_counts_where_it_has_a_meaning() {
        let after = |code: u16, seconds| judge(StatusCode::from_u16(code).unwrap(), Some(Duration::from_secs(seconds)));
        assert_eq!((after(503, 7), after(429, 7)), (Retry::After(Duration::from_secs(7)), Retry::After(Duration::from_secs(7))));
        assert_eq!((after(422, 7), after(500, 7)), (Retry::Never, Retry::Backoff));
        assert_eq!(after(503, u64::MAX), Retry::After(LONGEST_RETRY_AFTER));
    }

    #[test]
    fn rejected_pods_are_counted() {
        for (body, number) in [
            (r#"{"status":"ok"}"#, 0),
            (r#"{"status":"ok","rejected":0}"#, 0),
            (r#"{"status":"ok","rejected":3}"#, 3),
            (r#"{"status":"ok","rejected":[{"index":1},{"index":4}]}"#, 2),
            (r#"{"status":"ok","rejected_count":40,"rejected":[{"index":1}]}"#, 40),
            ("OK", 0),
            ("", 0),
        ] {
            assert_eq!(rejected(body.as_bytes()).0, number, "{body}");
        }
    }

    #[test]
    fn large_reports_are_packed() {
        let report = |pods: usize| Report {
            timestamp: "t".into(),
            node_name: "n".into(),
            hostname: "h".into(),
            ec2_instance_id: None,
            interval_seconds: None,
            pods: (0..pods).map(|_| Default::default()).collect(),
        };
        let small = seal(&report(2)).unwrap();
        assert_eq!((small.encoding, small.pods, small.timestamp.as_str()), (None, 2, "t"));
        assert_eq!(small.body, serde_json::to_vec(&report(2)).unwrap());
        let large = seal(&report(200)).unwrap();
        assert_eq!(large.encoding, Some("zstd"));
        let unpacked = zstd::bulk::decompress(&large.body, 1 << 20).unwrap();
        assert_eq!(unpacked, serde_json::to_vec(&report(200)).unwrap());
    }
}
