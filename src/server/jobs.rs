//! `GET /metrics?job=NAME`: the metrics of a job, from whoever has registered for them.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::metrics::accepts_gzip;
use super::{Shared, unknown};

/// A request for the metrics of a job.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// Its name, not empty.
    pub job: String,
    /// All headers: what is accepted, and how much time there is.
    pub headers: HeaderMap,
    /// Whether the answer may be packed.
    pub gzip: bool,
}

/// Answers such requests.
pub type JobHandler = Arc<dyn Fn(JobRequest) -> BoxFuture<'static, Response> + Send + Sync>;

/// The job that a query names; an empty name is none.
pub(super) fn named(query: Option<&str>) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs.find_map(|(key, value)| (key == "job" && !value.is_empty()).then(|| value.into_owned()))
}

pub(super) async fn answer(shared: &Shared, job: String, headers: HeaderMap) -> Response {
    let Some(handler) = &shared.handlers.jobs else {
        let text = "this exporter does not scrape pods, so it answers for no job; start it with --podmetrics. Its own metrics are at \
                    /metrics without a query\n";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let gzip = accepts_gzip(&headers);
    handler(JobRequest { job, headers, gzip }).await
}

/// For the listener that has nothing but jobs.
pub(super) async fn only(State(shared): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    match named(query.as_deref()) {
        Some(job) => answer(&shared, job, headers).await,
        None => nothing_but_jobs(),
    }
}

fn nothing_but_jobs() -> Response {
    let text =
        "name a job: /metrics?job=NAME; besides, there are /health, /livez and /readyz, and the rest is at the main address\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

/// `/metrics%3Fjob=NAME`, which Prometheus asks for where `metrics_path` has the query in it; anything else is unknown.
pub(super) async fn by_path(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    match path.strip_prefix("/metrics?").and_then(|query| named(Some(query))) {
        Some(job) if method == Method::GET || method == Method::HEAD => answer(&shared, job, headers).await,
        _ => unknown(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_have_names() {
        assert_eq!(named(Some("job=memcached")).as_deref(), Some("memcached"));
        assert_eq!(named(Some("x=y&job=a%20b&job=c")).as_deref(), Some("a b"));
        for nothing in [None, Some(""), Some("job"), Some("job="), Some("jobs=a")] {
            assert_eq!(named(nothing), None);
        }
    }
}
