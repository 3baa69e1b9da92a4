//! `POST /metrics`: reports, for whoever has registered for them, and what such a subsystem has to say about them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;

use super::Shared;

/// Answers requests with reports.
pub type IngestHandler = Arc<dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync>;

/// A text that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document {
    /// Where it is served.
    pub path: &'static str,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The text.
    pub text: &'static str,
}

impl Document {
    pub(super) fn answer(self) -> impl Fn() -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
        move || std::future::ready(([(header::CONTENT_TYPE, self.content_type)], self.text).into_response())
    }
}

pub(super) async fn take(State(shared): State<Shared>, request: Request) -> Response {
    match &shared.handlers.ingest {
        Some(handler) => handler(request).await,
        None => {
            let text = "this exporter takes no usage reports; start it with --usage, or set usage.enabled in its file\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

/// For the listener that has nothing but reports.
pub(super) async fn only() -> Response {
    let text = "reports are sent with POST; the exporter's own metrics are at its main address\n";
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], text).into_response()
}
