//! A fast ListObjectsV2 server over computed keys, with faults.
//!
//! It checks no signature and has one bucket under every name, so that a benchmark measures the client.
//! Path-style only: `GET /bucket?list-type=2`. `HEAD /bucket` is answered with 200.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! use fakes::s3_pages::{ClusterTimestamp, Fault, FaultRule, S3Pages, When};
//!
//! let server = S3Pages::start(ClusterTimestamp::new(10_000, 1_000)).await;
//! server.fault(FaultRule { when: When::OnRequest(3), fault: Fault::Status(503, "SlowDown") });
//! println!("{}", server.endpoint());
//! # }
//! ```

mod delivery;
mod fault;
mod key_space;
mod page;
mod spaces;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

pub use fault::{Fault, FaultRule, When};
pub use key_space::{Explicit, ExplicitObject, FIRST_BACKUP, KeySpace};
pub use spaces::{ClusterTimestamp, Counters, DateTree, LongPrefix, NonAscii, OneHuge, Uuids};

use crate::http_server::{ANY_PORT, Body, Handler, HttpServer, ResetOnClose};
use crate::lock;
use crate::s3_list::ListQuery;

/// How many query strings are kept.
const KEPT_QUERIES: usize = 1_000;

/// A running server; it stops when this is dropped.
pub struct S3Pages {
    server: HttpServer,
    shared: Arc<Shared>,
}

struct Shared {
    space: Mutex<Arc<dyn KeySpace>>,
    rules: Mutex<fault::Rules>,
    latency: Mutex<Duration>,
    requests: AtomicU64,
    concurrent: AtomicU64,
    concurrent_max: AtomicU64,
    queries: Mutex<VecDeque<String>>,
}

impl S3Pages {
    /// Serves `space` on a free port of 127.0.0.1.
    pub async fn start(space: impl KeySpace + 'static) -> Self {
        Self::start_on(ANY_PORT, space).await.expect("a free port on the loopback interface")
    }

    /// Serves `space` on `address`. Fails if the address is taken.
    pub async fn start_on(address: SocketAddr, space: impl KeySpace + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            space: Mutex::new(Arc::new(space)),
            rules: Mutex::default(),
            latency: Mutex::default(),
            requests: AtomicU64::new(0),
            concurrent: AtomicU64::new(0),
            concurrent_max: AtomicU64::new(0),
            queries: Mutex::default(),
        });
        let handler: Handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| answer(Arc::clone(&shared), request).boxed())
        };
        let server = HttpServer::start(address, None, handler).await?;
        Ok(Self { server, shared })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Replaces the objects; the next page comes from the new ones.
    pub fn set_key_space(&self, space: impl KeySpace + 'static) {
        *lock(&self.shared.space) = Arc::new(space);
    }

    /// Lets every response wait this long on the tokio timer.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.shared.latency) = latency;
    }

    /// Adds a rule; see [`FaultRule`] for how several rules work together.
    pub fn fault(&self, rule: FaultRule) {
        lock(&self.shared.rules).add(rule);
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Closes all connections; from now on connections are refused.
    pub async fn stop_listening(&self) {
        self.server.stop().await;
    }

    /// Listens again on the same port.
    pub async fn resume(&self) {
        self.server.resume().await.expect("the port was ours a moment ago");
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// The highest number of requests at the same time, from their arrival to the end of the body.
    pub fn concurrent_max(&self) -> u64 {
        self.shared.concurrent_max.load(Ordering::Relaxed)
    }

    /// The raw query strings of the last 1,000 requests, oldest first.
    pub fn queries(&self) -> Vec<String> {
        lock(&self.shared.queries).iter().cloned().collect()
    }
}

/// Counts a request as running for as long as it lives.
struct Running(Arc<Shared>);

impl Running {
    fn new(shared: Arc<Shared>) -> Self {
        let now = shared.concurrent.fetch_add(1, Ordering::Relaxed) + 1;
        shared.concurrent_max.fetch_max(now, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.concurrent.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let running = Running::new(Arc::clone(&shared));
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let query = request.uri().query().unwrap_or_default();
    {
        let mut queries = lock(&shared.queries);
        if queries.len() == KEPT_QUERIES {
            queries.pop_front();
        }
        queries.push_back(query.to_owned());
    }
    let latency = *lock(&shared.latency);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let bucket = request.uri().path().trim_matches('/');
    let reset = request.extensions().get::<ResetOnClose>().cloned();
    let (odd, fault) = lock(&shared.rules).strike();
    let page = if request.method() == Method::GET {
        let space = Arc::clone(&lock(&shared.space));
        ListQuery::parse(query).map(|list| page::build(space.as_ref(), bucket, &list, odd))
    } else {
        Some(Some(Vec::new()))
    };
    let response = match (fault, page) {
        (Some(fault), page) => {
            let document = page.flatten().unwrap_or_default();
            delivery::struck(fault, document, reset.unwrap_or_default()).await
        }
        (None, Some(Some(document))) => delivery::xml(StatusCode::OK, document),
        (None, Some(None)) => delivery::error(400, "InvalidArgument"),
        (None, None) => delivery::error(501, "NotImplemented"),
    };
    response.map(|body| counted(body, running))
}

/// Keeps `running` until the body was sent or given up.
fn counted(body: Body, running: Running) -> Body {
    body.map_frame(move |frame| {
        let _held = &running;
        frame
    })
    .boxed_unsync()
}
