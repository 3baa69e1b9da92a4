//! Reports, and the posting of them.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, RequestBuilder, header};
use serde_json::{Value, json};

/// The time so many seconds ago, as collectors write it.
pub fn ago(seconds: i64) -> String {
    format!("{:.6}", Timestamp::now() - SignedDuration::from_secs(seconds))
}

/// A report of a node about now.
pub fn report(node: &str, pods: &[Value]) -> Value {
    report_at(node, &ago(0), pods)
}

/// A report of a node about some time.
pub fn report_at(node: &str, timestamp: &str, pods: &[Value]) -> Value {
    json!({ "timestamp": timestamp, "node_name": node, "hostname": node, "pods": pods })
}

/// A pod that uses something of everything.
pub fn usage(id: &str, namespace: &str, name: &str) -> Value {
    json!({
        "pod_id": id,
        "namespace": namespace,
        "name": name,
        "cpu_usage_cores": 0.25,
        "cpu_usage_cum": 1_000.5,
        "memory_usage_bytes": 1_048_576,
        "net_tx_bytes": 1_000,
        "net_rx_bytes": 2_000,
        "pod_start_time": "2026-01-01T00:00:00Z",
    })
}

/// A pod about which nothing matters but its id.
pub fn some(id: &str) -> Value {
    usage(id, "default", &format!("pod-{id}"))
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{} is no JSON: {error}", self.text))
    }

    /// Whole seconds of `Retry-After`.
    pub fn retry_after(&self) -> Option<u64> {
        self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()
    }

    /// It was taken, and whole.
    #[track_caller]
    pub fn taken(self) {
        assert_eq!((self.status, self.json()), (200, json!({ "status": "ok" })));
    }

    /// It was refused so, and JSON says why, in `error`.
    #[track_caller]
    pub fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        let json = self.json();
        assert_eq!(json["status"], "error", "{json}");
        assert!(json["error"].as_str().is_some_and(|error| !error.is_empty()), "{json}");
        json
    }
}

/// Who sends reports, over connections that are kept, as collectors do.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    token: Option<String>,
}

impl Sender {
    pub fn new() -> Self {
        Self { client: Client::builder().no_proxy().build().unwrap(), token: None }
    }

    /// With this bearer token.
    pub fn with_token(token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::new() }
    }

    /// A request to `POST /metrics`, for those who add to it.
    pub fn request(&self, address: SocketAddr) -> RequestBuilder {
        let request = self.client.post(format!("http://{address}/metrics"));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Posts a report, and fails if there is no answer.
    pub async fn post(&self, address: SocketAddr, report: &Value) -> Answer {
        self.try_post(address, report.to_string()).await.unwrap()
    }

    /// Posts a body.
    pub async fn try_post(&self, address: SocketAddr, body: impl Into<reqwest::Body>) -> reqwest::Result<Answer> {
        answered(self.request(address).body(body)).await
    }
}

/// Sends a request and reads the whole answer.
pub async fn answered(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, text: response.text().await? })
}

/// Posts a report by nobody in particular.
pub async fn post(address: SocketAddr, report: &Value) -> Answer {
    Sender::new().post(address, report).await
}
