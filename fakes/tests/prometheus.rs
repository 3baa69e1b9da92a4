//! The fake Prometheus over HTTP: parameters, passwords and faults do what they say.

#![expect(clippy::unwrap_used, reason = "a test that finds something else should panic")]

use std::time::{Duration, Instant};

use fakes::prometheus::{ErrorBody, Fault, MetricShape, Prometheus, Rule, When};
use futures::StreamExt;
use reqwest::{Client, RequestBuilder, Response};

const RANGE: &str = "/api/v1/query_range";

/// 10 instants.
const PARAMS: [(&str, &str); 4] = [("query", "up"), ("start", "1700000000"), ("end", "1700000540.0"), ("step", "60")];

async fn started() -> Prometheus {
    let server = Prometheus::start().await;
    server.set_metric("up", MetricShape { series: 20, padding: 100 });
    server
}

fn request(server: &Prometheus, timeout: Duration) -> RequestBuilder {
    let client = Client::builder().tls_built_in_root_certs(false).timeout(timeout).build().unwrap();
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(PARAMS).finish();
    client.get(format!("{}{RANGE}?{query}", server.endpoint()))
}

async fn get(server: &Prometheus) -> Response {
    request(server, Duration::from_secs(5)).send().await.unwrap()
}

fn set(server: &Prometheus, fault: Fault) {
    server.set_faults(vec![Rule { when: When::always(), fault }]);
}

/// Status and body with this fault.
async fn with(server: &Prometheus, fault: Fault) -> (u16, String) {
    set(server, fault);
    let response = get(server).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

/// What arrives of a body that does not end well.
async fn broken(server: &Prometheus, fault: Fault) -> Vec<u8> {
    set(server, fault);
    let response = request(server, Duration::from_millis(500)).send().await.unwrap();
    let mut chunks = response.bytes_stream();
    let mut arrived = Vec::new();
    loop {
        match chunks.next().await.expect("no proper end") {
            Ok(chunk) => arrived.extend_from_slice(&chunk),
            Err(_) => return arrived,
        }
    }
}

#[tokio::test]
async fn forms_and_queries_are_the_same() {
    let server = started().await;
    let whole = server.answer(RANGE, &PARAMS);
    let response = get(&server).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.bytes().await.unwrap(), whole);
    let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(PARAMS).finish();
    let post = Client::new().post(format!("{}{RANGE}?ignored=1", server.endpoint()));
    let post = post.header("content-type", "application/x-www-form-urlencoded").body(form).send().await.unwrap();
    assert_eq!(post.bytes().await.unwrap(), whole);

    let [first, second] = server.requests().try_into().unwrap();
    let params = PARAMS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!((first.method.as_str(), first.path.as_str(), first.query.as_slice()), ("GET", RANGE, params.as_slice()));
    assert_eq!((second.method.as_str(), &second.query[..4]), ("POST", params.as_slice()));
    assert!(second.headers.contains(&("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())));
}

#[tokio::test]
async fn gaps_and_versions() {
    let server = started().await;
    let count = |path, params: &[(&str, &str)]| {
        let answer: serde_json::Value = serde_json::from_slice(&server.answer(path, params)).unwrap();
        let series = answer["data"]["result"].as_array().unwrap();
        series.iter().map(|one| one["values"].as_array().unwrap().len()).sum::<usize>()
    };
    let range = [("query", "up[1m]"), ("time", "1700000100")];
    assert_eq!(count("/api/v1/query", &range), 20 * 5);
    server.set_version(3);
    assert_eq!(count("/api/v1/query", &range), 20 * 4);
    server.set_gap("up", 1_700_000_070, 1_700_000_085);
    assert_eq!(count("/api/v1/query", &range), 20 * 2);
    server.remove_metric("up");
    let empty = br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    assert_eq!(server.answer(RANGE, &PARAMS), empty);
}

#[tokio::test]
async fn passwords() {
    let server = started().await;
    server.require_bearer("token");
    server.require_basic("user", "pass:word");
    let ask = |change: fn(RequestBuilder) -> RequestBuilder| change(request(&server, Duration::from_secs(5))).send();
    assert_eq!(ask(|request| request).await.unwrap().status(), 401);
    assert_eq!(ask(|request| request.bearer_auth("other")).await.unwrap().status(), 401);
    assert_eq!(ask(|request| request.bearer_auth("token")).await.unwrap().status(), 200);
    assert_eq!(ask(|request| request.basic_auth("user", Some("pass:word"))).await.unwrap().status(), 200);
    assert_eq!(ask(|request| request.basic_auth("user", Some("pass"))).await.unwrap().status(), 401);
}

#[tokio::test]
async fn other_answers() {
    let server = started().await;
    let whole = String::from_utf8(server.answer(RANGE, &PARAMS)).unwrap();
    let body = ErrorBody::Api { error_type: "unavailable", error: "later" };
    set(&server, Fault::Status { code: 503, retry_after: Some(7), body });
    let response = get(&server).await;
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (503, b"7".as_slice()));
    let error = r#"{"status":"error","errorType":"unavailable","error":"later"}"#;
    assert_eq!(response.text().await.unwrap(), error);
    let body = ErrorBody::Text("bad gateway");
    assert_eq!(with(&server, Fault::Status { code: 502, retry_after: None, body }).await, (502, "bad gateway".to_owned()));
    assert_eq!(with(&server, Fault::ErrorIn200 { error_type: "unavailable", error: "later" }).await, (200, error.to_owned()));
    let (status, html) = with(&server, Fault::Html).await;
    assert!(status == 200 && html.starts_with("<!DOCTYPE html>"));

    let noted = |kind| format!(r#"{},"{kind}":["a","b"]}}"#, whole.strip_suffix('}').unwrap());
    let notes = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(with(&server, Fault::Warnings(notes.clone())).await, (200, noted("warnings")));
    assert_eq!(with(&server, Fault::Infos(notes)).await, (200, noted("infos")));
    let (_, empty) = with(&server, Fault::Empty).await;
    assert_eq!(empty, r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#);
    let (_, partial) = with(&server, Fault::Partial(7)).await;
    assert_eq!(partial.matches("\"metric\"").count(), 3);

    set(&server, Fault::Html);
    server.clear_faults();
    assert_eq!(get(&server).await.text().await.unwrap(), whole);
}

#[tokio::test]
async fn limits() {
    let server = started().await;
    let limits = [
        (Fault::SampleLimit { max: 199 }, Fault::SampleLimit { max: 200 }, 422, "execution"),
        (Fault::ResolutionLimit { max_steps: 8 }, Fault::ResolutionLimit { max_steps: 9 }, 400, "bad_data"),
        (Fault::TimeoutAbove { samples: 199 }, Fault::TimeoutAbove { samples: 200 }, 503, "timeout"),
    ];
    for (exceeded, kept, status, error_type) in limits {
        let (answered, text) = with(&server, exceeded).await;
        assert!(answered == status && text.contains(&format!(r#""errorType":"{error_type}","#)), "{text}");
        assert_eq!(with(&server, kept).await.0, 200);
    }
}

#[tokio::test]
async fn broken_bodies() {
    let server = started().await;
    let whole = server.answer(RANGE, &PARAMS);
    let half = &whole[..whole.len() / 2];
    for content_length in [false, true] {
        assert_eq!(broken(&server, Fault::CutBody { content_length }).await, half);
    }
    assert_eq!(broken(&server, Fault::StallMidBody).await, half);
    assert_eq!(with(&server, Fault::CutJson).await.1.as_bytes(), half);

    let slow = Fault::Slow { bytes: whole.len().div_ceil(10), every: Duration::from_millis(20) };
    let begin = Instant::now();
    assert_eq!(with(&server, slow).await.1.as_bytes(), whole);
    assert!(begin.elapsed() >= Duration::from_millis(200));

    set(&server, Fault::Hang);
    assert!(request(&server, Duration::from_millis(200)).send().await.unwrap_err().is_timeout());
    set(&server, Fault::Reset);
    let reset = request(&server, Duration::from_secs(5)).send().await.unwrap_err();
    assert!(!reset.is_timeout() && !reset.is_connect(), "{reset:?}");

    server.set_faults(vec![Rule { when: When::first(1), fault: Fault::Reset }]);
    assert!(request(&server, Duration::from_secs(5)).send().await.is_err());
    assert_eq!(get(&server).await.bytes().await.unwrap(), whole);
    server.stop_listening().await;
    assert!(request(&server, Duration::from_secs(5)).send().await.unwrap_err().is_connect());
    server.resume().await;
    assert_eq!(get(&server).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_streamed() {
    let server = started().await;
    server.set_metric("large", MetricShape { series: 500, padding: 0 });
    let query = form_urlencoded::byte_serialize(b"large[1d]").collect::<String>();
    let response = reqwest::get(format!("{}/api/v1/query?query={query}&time=1700000000", server.endpoint())).await.unwrap();
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    let mut chunks = response.bytes_stream();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        length += chunk.unwrap().len();
    }
    assert!((50 << 20..60 << 20).contains(&length), "{length}");
}
