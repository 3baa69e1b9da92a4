//! From a request to its answer: the log, the latency, the password, the faults.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::PrometheusRequest;
use super::auth::Auth;
use super::data::Data;
use super::delivery;
use super::fault::Rules;
use super::query::Params;
use super::route::{self, Reply, Version};
use crate::http_server::{Body, ResetOnClose};
use crate::lock;

/// What the server and its handle share.
pub(super) struct Shared {
    pub(super) data: Mutex<Data>,
    pub(super) version: Mutex<Version>,
    pub(super) rules: Mutex<Rules>,
    pub(super) auth: Mutex<Auth>,
    pub(super) latency: Mutex<Duration>,
    pub(super) requests: Mutex<Vec<PrometheusRequest>>,
}

impl Shared {
    /// The answer when nothing is wrong.
    pub(super) fn reply(&self, path: &str, params: &Params) -> Reply {
        let query = route::query(path, params, now());
        let version = lock(&self.version).clone();
        route::reply(&lock(&self.data), &version, path, params, query).unwrap_or_else(Reply::from)
    }
}

/// Answers one request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let reset = head.extensions.get::<ResetOnClose>().cloned().unwrap_or_default();
    let path = head.uri.path().to_owned();
    // A form comes before the query, as in Go.
    let mut params = Vec::new();
    if head.method == Method::POST {
        let form = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        params.extend(form_urlencoded::parse(&form).into_owned());
    }
    params.extend(form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned());
    lock(&shared.requests).push(PrometheusRequest {
        method: head.method.to_string(),
        path: path.clone(),
        query: params.clone(),
        headers: texts(&head.headers),
    });
    let latency = *lock(&shared.latency);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if !lock(&shared.auth).lets_in(&head.headers) {
        let refused = Reply::text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
        let mut response = delivery::deliver(refused, None, &reset).await;
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
        return response;
    }
    // Prometheus takes forms for queries, series and label names alone.
    if head.method == Method::POST && path.starts_with("/api/v1/label/") {
        return delivery::deliver(Reply::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n"), None, &reset).await;
    }
    let query = route::query(&path, &params, now());
    let faults = lock(&shared.rules).strike(&path, &params, query.as_ref());
    let steps = query.and_then(Result::ok).map_or(0, |query| query.steps());
    let mut reply = shared.reply(&path, &params);
    let fault = delivery::change(&mut reply, steps, faults);
    delivery::deliver(reply, fault, &reset).await
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
