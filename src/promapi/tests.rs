//! Against a fake Prometheus over HTTP.

use fakes::prometheus::{ErrorBody, Fault, MetricShape, Prometheus as Fake, Rule, When};
use prometheus::IntCounter;
use serde_json::Value;

use super::*;
use crate::time::UtcHour;

const TIMEOUT: Duration = Duration::from_millis(500);

fn client(options: &EndpointOptions) -> Prometheus {
    let meter = RequestMeter { by_class: std::array::from_fn(|_| IntCounter::new("a", "b").unwrap()) };
    Prometheus::new(options, TIMEOUT, meter).unwrap()
}

fn of(fake: &Fake) -> Prometheus {
    client(&EndpointOptions { url: format!("{}/api/v1/query_range", fake.endpoint()), ..Default::default() })
}

fn hour() -> UtcHour {
    UtcHour::containing("2026-11-21T07:10:00Z".parse().unwrap())
}

async fn fake(series: usize) -> Fake {
    let fake = Fake::start().await;
    fake.set_metric("up", MetricShape { series, padding: 0 });
    fake
}

fn up() -> MetricName {
    MetricName::parse("up").unwrap()
}

async fn read(prometheus: &Prometheus, span: Span) -> Attempt<(Vec<u8>, Answer)> {
    let mut reading = Query::new(&up(), span).ask(prometheus).await?;
    let mut body = Vec::new();
    while let Some(chunk) = reading.next().await? {
        body.extend_from_slice(&chunk);
    }
    Ok((body, reading.finish()?))
}

fn direct(fake: &Fake, step: &str) -> Vec<u8> {
    let (start, end) = (hour().start().to_string(), (hour().end() - 1).to_string());
    fake.answer("/api/v1/query_range", &[("query", "up"), ("start", &start), ("end", &end), ("step", step)])
}

#[tokio::test]
async fn an_answer_is_handed_on_as_it_is() {
    let fake = fake(300).await;
    let (body, answer) = read(&of(&fake), Span::steps(hour(), 60)).await.unwrap();
    assert!(body == direct(&fake, "60"));
    assert_eq!((answer.series, answer.samples), (300, 300 * 60));
}

/// By time, and where one instant is still too much, by a label.
#[tokio::test]
async fn what_is_too_much_is_asked_for_in_parts() {
    let limits = [
        Fault::SampleLimit { max: 4_000 },
        Fault::TimeoutAbove { samples: 4_000 },
        Fault::SampleLimit { max: 150 },
        Fault::ResolutionLimit { max_steps: 7 },
    ];
    for limit in limits {
        let fake = fake(300).await;
        let (whole, single) = (direct(&fake, "60"), direct(&fake, "3600"));
        fake.set_faults(vec![Rule {
            when: When { path: Some("/api/v1/query_range".into()), ..When::always() },
            fault: limit.clone(),
        }]);
        for (step, expected) in [(60, whole), (3_600, single)] {
            // A label with three hundred values, two parts each: more than are asked for.
            if step == 60 && matches!(limit, Fault::SampleLimit { max: 150 }) {
                let error = read(&of(&fake), Span::steps(hour(), step)).await.unwrap_err().error;
                assert!(error.message.contains("too many samples") && error.message.contains("64 parts"), "{error}");
                continue;
            }
            let (body, answer) = read(&of(&fake), Span::steps(hour(), step)).await.unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), serde_json::from_slice::<Value>(&expected).unwrap());
            assert_eq!(scan::whole(&body).unwrap(), answer, "{limit:?}");
        }
    }
}

/// On both versions, which disagree on the left end of a range.
#[tokio::test]
async fn raw_samples_are_those_of_the_half_open_hour() {
    for version in [2, 3] {
        let fake = fake(3).await;
        fake.set_version(version);
        let (body, answer) = read(&of(&fake), Span::raw(hour())).await.unwrap();
        let document: Value = serde_json::from_slice(&body).unwrap();
        let series = document["data"]["result"].as_array().unwrap();
        assert_eq!((series.len(), answer.samples), (3, 3 * 240));
        for one in series {
            let times: Vec<i64> = one["values"].as_array().unwrap().iter().map(|sample| sample[0].as_i64().unwrap()).collect();
            assert_eq!(times, (hour().start()..hour().end()).step_by(15).collect::<Vec<_>>());
        }
        assert_eq!(scan::whole(&body).unwrap(), answer);
    }
}

#[tokio::test]
async fn raw_samples_in_parts_are_the_same() {
    let fake = fake(40).await;
    let (whole, _) = read(&of(&fake), Span::raw(hour())).await.unwrap();
    fake.set_faults(vec![
        Rule { when: When { path: Some("/api/v1/query".into()), ..When::always() }, fault: Fault::SampleLimit { max: 1_500 } },
        Rule { when: When::always(), fault: Fault::Warnings(vec!["half".into()]) },
    ]);
    let (parts, answer) = read(&of(&fake), Span::raw(hour())).await.unwrap();
    let parse = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    assert_eq!(parse(&parts)["data"], parse(&whole)["data"]);
    assert_eq!(
        (answer.warnings.as_slice(), &parse(&parts)["warnings"]),
        (&["half".to_owned()][..], &serde_json::json!(["half"]))
    );
}

#[tokio::test]
async fn failures_are_told_apart() {
    let status =
        |code, error_type| Fault::Status { code, retry_after: Some(7), body: ErrorBody::Api { error_type, error: "oops" } };
    for (fault, kind, retry) in [
        (status(500, "internal"), QueryFailure::Unavailable, client::Retry::After(Duration::from_secs(7))),
        (status(429, "x"), QueryFailure::Unavailable, client::Retry::After(Duration::from_secs(7))),
        (status(400, "bad_data"), QueryFailure::Refused, client::Retry::Never),
        (Fault::ErrorIn200 { error_type: "internal", error: "oops" }, QueryFailure::Status, client::Retry::Backoff),
        (Fault::Html, QueryFailure::Malformed, client::Retry::Backoff),
        (Fault::CutBody { content_length: true }, QueryFailure::Truncated, client::Retry::Backoff),
        (Fault::CutBody { content_length: false }, QueryFailure::Truncated, client::Retry::Backoff),
        (Fault::CutJson, QueryFailure::Truncated, client::Retry::Backoff),
        (Fault::Hang, QueryFailure::Unavailable, client::Retry::Backoff),
        (Fault::StallMidBody, QueryFailure::Unavailable, client::Retry::Backoff),
        (Fault::Reset, QueryFailure::Unavailable, client::Retry::Backoff),
    ] {
        let fake = fake(3_000).await;
        fake.set_faults(vec![Rule { when: When::always(), fault: fault.clone() }]);
        let failed = read(&of(&fake), Span::steps(hour(), 60)).await.unwrap_err();
        assert_eq!((failed.error.kind, failed.retry), (kind, retry), "{fault:?}: {}", failed.error);
        assert!(failed.error.message.starts_with(&fake.endpoint()) && failed.error.message.contains(": up"), "{}", failed.error);
    }
}

#[tokio::test]
async fn who_asks_is_told_to_the_server_and_long_queries_are_sent_as_a_form() {
    let fake = fake(1).await;
    fake.require_bearer("sesame");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "sesame\n").unwrap();
    let options = EndpointOptions {
        url: format!("{}?dedup=true", fake.endpoint()),
        bearer_token_file: Some(file.path().into()),
        headers: [("X-Scope-OrgID".to_owned(), "tenant".into())].into(),
        ..Default::default()
    };
    let prometheus = client(&options);
    prometheus.probe().await.unwrap();
    let values: Vec<String> = (0..500).map(|number| format!("value-{number}")).collect();
    let (selector, _) = Selector::of(&up()).sliced("instance".into(), values).halves().unwrap();
    let (path, parameters) = Span::steps(hour(), 60).request(&selector);
    prometheus.open(path, &parameters).await.unwrap();
    let requests = fake.requests();
    assert_eq!((requests[0].method.as_str(), requests[1].method.as_str()), ("GET", "POST"));
    for request in &requests {
        assert!(request.headers.contains(&("x-scope-orgid".to_owned(), "tenant".to_owned())));
        assert!(request.query.contains(&("dedup".to_owned(), "true".to_owned())));
    }
    std::fs::write(file.path(), "wrong").unwrap();
    let refused = prometheus.probe().await.unwrap_err();
    assert!(refused.message.contains("401") && refused.message.contains("authentication"), "{refused}");
}

#[tokio::test]
async fn the_retention_is_read_in_all_its_forms() {
    let fake = fake(1).await;
    for (told, days) in [("15d", Some(15)), ("1w1d or 10GiB", Some(8)), ("10GiB", None), ("", None), ("48h", Some(2))] {
        fake.set_retention(told);
        assert_eq!(of(&fake).retention().await, days.map(|days| Duration::from_secs(days * 86_400)), "{told}");
    }
    fake.stop_listening().await;
    assert_eq!(of(&fake).retention().await, None);
}
