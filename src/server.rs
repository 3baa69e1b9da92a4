//! The HTTP server: `/metrics`, health and the status page. It knows no subsystem; each hands it a [`Panel`].

mod fragment;
mod ingest;
mod jobs;
mod listener;
mod metrics;
mod page;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use maud::Markup;
use prometheus::Registry;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

pub use self::fragment::Fragment;
pub use self::ingest::{Document, IngestHandler};
pub use self::jobs::{JobHandler, JobRequest};
pub use self::listener::{CONNECTIONS, MOST_CONNECTIONS, Peer, bind, is_address, serve};
use self::metrics::ScrapeMetrics;

/// What a subsystem shows of itself.
pub trait Panel: Send + Sync {
    /// Name in `/health` and in addresses on the status page.
    fn name(&self) -> &'static str;
    /// `Err` with the reason while the subsystem cannot do its work yet.
    fn readiness(&self) -> Result<(), String>;
    /// Whether its latest work succeeded, and details for `/health`.
    fn health(&self) -> Health;
    /// Exposition rendered beforehand; follows the registry's own text on `/metrics`.
    fn fragments(&self) -> Vec<Fragment>;
    /// Its section of the status page.
    fn section(&self) -> Markup;
}

/// A subsystem's part of `/health`.
#[derive(Debug)]
pub struct Health {
    /// Turns the whole answer to 503 when false.
    pub healthy: bool,
    /// An object with whatever helps.
    pub details: Value,
    /// Fields for the top of the answer, where the system that is replaced had them.
    pub top: Map<String, Value>,
}

impl Health {
    /// Health without fields of its own at the top.
    pub fn new(healthy: bool, details: Value) -> Self {
        Self { healthy, details, top: Map::new() }
    }
}

/// What subsystems answer. Of each handler there is one at most.
#[derive(Clone, Default)]
pub struct Handlers {
    /// `GET /metrics?job=NAME`
    pub jobs: Option<JobHandler>,
    /// `POST /metrics`
    pub ingest: Option<IngestHandler>,
    /// What never changes.
    pub documents: Vec<Document>,
}

impl Handlers {
    /// These, and those of another subsystem.
    pub fn join(mut self, other: Self) -> Self {
        self.documents.extend(other.documents);
        Self { jobs: self.jobs.or(other.jobs), ingest: self.ingest.or(other.ingest), documents: self.documents }
    }
}

/// A listener beside the main one, for one thing alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// For jobs, at this address.
    Jobs(String),
    /// For reports, at this address.
    Ingest(String),
}

/// What the routes answer from.
#[derive(Clone)]
struct Shared {
    registry: Registry,
    panels: Arc<[Arc<dyn Panel>]>,
    scrapes: ScrapeMetrics,
    handlers: Handlers,
    stop: CancellationToken,
}

/// The routes of all listeners.
pub struct Routes(Shared);

impl Routes {
    /// Routes that answer from `registry`, `panels` and `handlers`.
    ///
    /// # Errors
    /// When the scrape metrics are registered already.
    pub fn new(
        registry: &Registry,
        panels: Vec<Arc<dyn Panel>>,
        handlers: Handlers,
        stop: CancellationToken,
    ) -> prometheus::Result<Self> {
        let scrapes = ScrapeMetrics::register(registry)?;
        Ok(Self(Shared { scrapes, registry: registry.clone(), panels: panels.into(), handlers, stop }))
    }

    /// Those of the main listener.
    pub fn main(&self) -> Router {
        let routes = Router::new().route("/", get(status_page)).route("/metrics", get(metrics::scrape).post(ingest::take));
        self.with_health(self.with_documents(routes))
    }

    /// Those of a listener beside the main one.
    pub fn beside(&self, listen: &Listen) -> Router {
        match listen {
            Listen::Jobs(_) => self.with_health(Router::new().route("/metrics", get(jobs::only))),
            Listen::Ingest(_) => {
                let routes = Router::new().route("/metrics", get(ingest::only).post(ingest::take));
                self.with_health(self.with_documents(routes))
            }
        }
    }

    fn with_documents(&self, routes: Router<Shared>) -> Router<Shared> {
        let documents = self.0.handlers.documents.iter();
        documents.fold(routes, |routes, document| routes.route(document.path, get(document.answer())))
    }

    fn with_health(&self, routes: Router<Shared>) -> Router {
        routes
            .route("/health", get(health))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .fallback(jobs::by_path)
            .with_state(self.0.clone())
    }
}

/// A background task that dies ends the process, so whoever answers here is alive; readiness is the one that can be refused.
async fn ready(State(shared): State<Shared>) -> Response {
    if shared.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let waiting: Vec<String> = shared
        .panels
        .iter()
        .filter_map(|panel| panel.readiness().err().map(|reason| format!("{}: {reason}\n", panel.name())))
        .collect();
    if waiting.is_empty() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, waiting.concat()).into_response()
    }
}

async fn health(State(shared): State<Shared>) -> Response {
    let mut answer = Map::new();
    let mut healthy = true;
    for panel in shared.panels.iter() {
        let health = panel.health();
        healthy &= health.healthy;
        answer.insert(panel.name().to_owned(), health.details);
        answer.extend(health.top);
    }
    answer.insert("status".to_owned(), json!(if healthy { "healthy" } else { "unhealthy" }));
    answer.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Value::Object(answer))).into_response()
}

async fn status_page(State(shared): State<Shared>) -> Response {
    let html = page::render(&shared.panels).into_string();
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], html).into_response()
}

fn unknown() -> Response {
    (StatusCode::NOT_FOUND, "nothing here; see / for the status page, /metrics, /health, /livez and /readyz\n").into_response()
}
