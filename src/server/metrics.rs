//! `GET /metrics` without a job: the registry's text followed by the panels' fragments, plain or gzip.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::fragment::{Fragment, body};
use super::{Shared, jobs};
use crate::exposition::CONTENT_TYPE;

/// The metrics that Go programs have of their own scrapes, under the same names.
#[derive(Debug, Clone)]
pub(super) struct ScrapeMetrics {
    requests: IntCounterVec,
    in_flight: IntGauge,
}

impl ScrapeMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("promhttp_metric_handler_requests_total", "Total number of scrapes by HTTP status code."),
            &["code"],
        )?;
        let in_flight = IntGauge::new("promhttp_metric_handler_requests_in_flight", "Current number of scrapes being served.")?;
        for code in ["200", "500", "503"] {
            requests.with_label_values(&[code]);
        }
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self { requests, in_flight })
    }
}

pub(super) async fn scrape(State(shared): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if let Some(job) = jobs::named(query.as_deref()) {
        return jobs::answer(&shared, job, headers).await;
    }
    let metrics = &shared.scrapes;
    metrics.in_flight.inc();
    let response = respond(&shared, accepts_gzip(&headers));
    metrics.in_flight.dec();
    metrics.requests.with_label_values(&[response.status().as_str()]).inc();
    response
}

fn respond(shared: &Shared, gzip: bool) -> Response {
    let own = match TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => text,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode the metrics: {error}\n")).into_response();
        }
    };
    let mut fragments = vec![if gzip { Fragment::new(own.into_bytes()) } else { Fragment::plain(own.into_bytes()) }];
    fragments.extend(shared.panels.iter().flat_map(|panel| panel.fragments()));
    let (body, length) = body(&fragments, gzip);
    let mut response = ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::VARY, "accept-encoding")], body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    response
}

/// `gzip` in `Accept-Encoding`, unless its quality is zero (RFC 9110, 12.5.3).
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts.filter_map(|part| part.strip_prefix("q=")).any(|quality| quality.parse() == Ok(0.0_f32));
        gzip && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_ask_for_it() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("deflate, GZIP;q=0.5"));
        assert!(!accepts("") && !accepts("gzip;q=0") && !accepts("gzip; q=0.0, br") && !accepts("xgzip"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
