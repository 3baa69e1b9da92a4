//! The HTTP API of Prometheus over computed series, with faults.
//!
//! It knows `query_range`, `query`, `labels`, `label/{name}/values`, `status/runtimeinfo` and
//! `status/buildinfo` below `/api/v1/`, and `/-/ready`, with GET and POST. Of PromQL it knows selectors.
//! Answers are computed while they are sent, so that one of many gigabytes takes no memory. Every series
//! has a sample at each multiple of 15 s of unix time, except in gaps, also in the future.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use fakes::prometheus::{Fault, MetricShape, Prometheus, Rule, When};
//!
//! let server = Prometheus::start().await;
//! server.set_metric("up", MetricShape { series: 1_000, padding: 0 });
//! let when = When { first: Some(2), ..When::metric("up") };
//! server.set_faults(vec![Rule { when, fault: Fault::SampleLimit { max: 50_000 } }]);
//! println!("{}/api/v1/query?query=up", server.endpoint());
//! # }
//! ```

mod auth;
mod data;
mod delivery;
mod document;
mod fault;
mod pattern;
mod problem;
mod query;
mod route;
mod selector;
mod serve;
mod time;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;

pub use data::MetricShape;
pub use fault::{ErrorBody, Fault, Rule, When};

use crate::http_server::{ANY_PORT, Handler, HttpServer};
use crate::lock;
pub use crate::mix::Probability;
use fault::Rules;
use route::Version;
use serve::Shared;

/// A running server; it stops when this is dropped.
pub struct Prometheus {
    server: HttpServer,
    shared: Arc<Shared>,
}

/// One request as it came in, also if it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// `/api/v1/query_range`.
    pub path: String,
    /// Names and values of the parameters: of the form, then of the query.
    pub query: Vec<(String, String)>,
    /// Names, in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl Prometheus {
    /// A Prometheus 2 without metrics on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        Self::start_on(ANY_PORT).await.expect("a free port on the loopback interface")
    }

    /// A Prometheus 2 without metrics on `address`. Fails if the address is taken.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            data: Mutex::default(),
            version: Mutex::new(Version { major: 2, retention: "15d".to_owned() }),
            rules: Mutex::default(),
            auth: Mutex::default(),
            latency: Mutex::default(),
            requests: Mutex::default(),
        });
        let handler: Handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| serve::answer(Arc::clone(&shared), request).boxed())
        };
        let server = HttpServer::start(address, None, handler).await?;
        Ok(Self { server, shared })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Creates or replaces a metric. Its series have the labels `instance` (`instance-0000` and so on),
    /// `namespace` (`ns-0` to `ns-9`) and perhaps `padding`.
    pub fn set_metric(&self, name: &str, shape: MetricShape) {
        lock(&self.shared.data).set(name, shape);
    }

    /// Removes a metric with its gaps.
    pub fn remove_metric(&self, name: &str) {
        lock(&self.shared.data).remove(name);
    }

    /// Removes the samples of a metric between two unix times, both included. A metric may have several
    /// gaps.
    pub fn set_gap(&self, name: &str, start_unix: i64, end_unix: i64) {
        lock(&self.shared.data).add_gap(name, start_unix.saturating_mul(1_000), end_unix.saturating_mul(1_000));
    }

    /// Behaves as this major version: ranges are closed on both sides in 2, and open on the left in 3.
    pub fn set_version(&self, major: u32) {
        lock(&self.shared.version).major = major;
    }

    /// The `storageRetention` to tell, instead of `15d`.
    pub fn set_retention(&self, retention: &str) {
        retention.clone_into(&mut lock(&self.shared.version).retention);
    }

    /// Answers 401 to requests without this bearer token. With a password set too, either is enough.
    pub fn require_bearer(&self, token: &str) {
        lock(&self.shared.auth).require_bearer(token);
    }

    /// Answers 401 to requests without this user and password. With a token set too, either is enough.
    pub fn require_basic(&self, user: &str, password: &str) {
        lock(&self.shared.auth).require_basic(user, password);
    }

    /// Lets every response wait this long on the tokio timer.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.shared.latency) = latency;
    }

    /// Replaces all rules; requests are counted from now on. See [`Rule`] for how several work together.
    pub fn set_faults(&self, rules: Vec<Rule>) {
        *lock(&self.shared.rules) = Rules::new(rules);
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        self.set_faults(Vec::new());
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<PrometheusRequest> {
        lock(&self.shared.requests).clone()
    }

    /// The body that a request gets without faults. It is no request: it is not logged, and needs no
    /// password.
    pub fn answer(&self, path: &str, params: &[(&str, &str)]) -> Vec<u8> {
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.shared.reply(path, &params).document.flatten().collect()
    }

    /// Closes all connections; from now on connections are refused.
    pub async fn stop_listening(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port.
    pub async fn resume(&self) {
        self.server.resume().await.expect("the port was ours a moment ago");
    }
}
