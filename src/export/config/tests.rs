use secrecy::ExposeSecret as _;

use super::*;

fn endpoints(json: &str) -> Option<Endpoints> {
    Some(Endpoints::from_json(json).unwrap())
}

fn resolve(section: ExportSection) -> Result<ExportConfig, String> {
    section.resolve(&S3Options::default()).map(Option::unwrap).map_err(|error| error.to_string())
}

fn yaml(text: &str) -> Result<ExportConfig, String> {
    let section: ExportSection = serde_saphyr::from_str(text).map_err(|error| error.without_snippet().to_string())?;
    resolve(section)
}

#[test]
fn the_defaults_are_those_of_the_job_that_is_replaced() {
    let config =
        resolve(ExportSection { endpoints: endpoints(r#"{"prod": "http://p/api/v1/query_range"}"#), ..Default::default() })
            .unwrap();
    assert_eq!(config.bucket, "k8s-exported-metrics-opslyft");
    let endpoint = &config.endpoints[0];
    assert_eq!((endpoint.alias.as_str(), endpoint.step, endpoint.concurrency, endpoint.metrics.len()), ("prod", 3_600, 4, 10));
    assert_eq!(endpoint.keys.folder(), "k8s_data/prod");
    let rules = config.rules;
    assert_eq!((rules.hours_to_backfill, rules.max_retries, rules.most_hours, rules.recheck), (8, 3, 168, 2));
    assert_eq!((rules.timeout.as_secs(), rules.retry_backoff.as_secs(), rules.deadline.as_secs()), (30, 2, 600));
}

#[test]
fn without_an_endpoint_there_is_nothing_to_do() {
    assert!(ExportSection::default().resolve(&S3Options::default()).unwrap().is_none());
    let off = ExportSection { enabled: Some(false), endpoints: endpoints(r#"{"a":"http://a"}"#), ..Default::default() };
    assert!(off.resolve(&S3Options::default()).unwrap().is_none());
}

#[test]
fn an_endpoint_says_in_the_file_what_differs() {
    let config = yaml(
        "step: 5m
metrics: [up]
endpoints:
  plain: http://plain:9090
  tenant:
    url: https://mimir/prometheus
    metrics: [a:b, a:b, c.d]
    step: 30s
    mode: raw
    concurrency: 1
    headers: {X-Scope-OrgID: one}
    basic_auth: {username: me, password: hunter2}
",
    )
    .unwrap();
    let [plain, tenant] = config.endpoints.as_slice() else { panic!("two") };
    assert_eq!((plain.step, plain.mode, plain.metrics[0].as_str()), (300, Mode::Step, "up"));
    assert_eq!((tenant.step, tenant.mode, tenant.concurrency, tenant.metrics.len()), (30, Mode::Raw, 1, 2));
    assert_eq!(tenant.options.headers["X-Scope-OrgID"].expose_secret(), "one");
    assert!(!format!("{config:?}").contains("hunter2"));
}

/// The variable names what runs; the file knows how to log in.
#[test]
fn endpoints_of_the_environment_keep_their_details_from_the_file() {
    let file: ExportSection =
        serde_saphyr::from_str("{endpoints: {a: {url: 'http://old', concurrency: 7}, b: 'http://b'}, recheck: 5}").unwrap();
    let given = ExportSection { endpoints: endpoints(r#"{"a":"http://new","c":"http://c"}"#), ..Default::default() };
    let config = resolve(given.or(file)).unwrap();
    let told: Vec<_> =
        config.endpoints.iter().map(|one| (one.alias.as_str(), one.options.url.as_str(), one.concurrency)).collect();
    assert_eq!(told, [("a", "http://new", 7), ("c", "http://c", 4)]);
    assert_eq!(config.rules.recheck, 5);
}

#[test]
fn what_is_wrong_is_told_in_one_line_that_names_it() {
    for (json, expected) in [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{\"a\": 1}", "something else than a URL"),
        ("{\"a\": \"http://x\"", "cannot be read as aliases"),
        ("{\"a\":\"http://user:hunter2@x\",\"a\":\"http://y\"}", "the alias `a` is given twice"),
        ("{\"a\":{\"hunter2\":\"x\"}}", "something else than a URL"),
    ] {
        let error = Endpoints::from_json(json).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n') && !error.contains("hunter2"), "{json}: {error}");
    }
    let cases: &[(&str, &str)] = &[
        ("endpoints: {'a/b': 'http://x'}", "alias `a/b`"),
        ("endpoints: {'..': 'http://x'}", "alias `..`"),
        ("endpoints: {a: 'http://x', a: 'http://y'}", "duplicate mapping key: a"),
        ("{endpoints: {a: 'http://x'}, metrics: ['rate(x[5m])']}", "`rate(x[5m])` is not a metric name"),
        ("{endpoints: {a: 'http://x'}, metrics: [_manifest]}", "_manifest"),
        ("{endpoints: {a: 'http://x'}, metrics: []}", "the endpoint `a`: its list of metrics is empty"),
        ("{endpoints: {a: 'http://x'}, base_s3_path: 'a//b'}", "base path `a//b`"),
        ("{endpoints: {a: 'http://x'}, concurrency: 0}", "concurrency is 0"),
        ("{endpoints: {a: 'http://x'}, max_backfill: 30m}", "max_backfill is 30m"),
        ("{endpoints: {a: 'http://x'}, hours_to_backfill: 0}", "HOURS_TO_BACKFILL is 0"),
        ("{endpoints: {a: 'http://x'}, step: 1500ms}", "STEP_SECONDS"),
        (
            &format!("{{endpoints: {{a: 'http://x'}}, base_s3_path: {0}/{0}, metrics: [{0}{0}{0}]}}", "a".repeat(200)),
            "the base path",
        ),
        (
            &format!("{{endpoints: {{{0}: 'http://x'}}, base_s3_path: {0}, metrics: [{0}{0}]}}", "a".repeat(255)),
            "would be longer than 1,024 bytes",
        ),
        ("{endpoints: {a: 'http://x'}, bucket: 'a b'}", "`a b` is not a bucket name"),
        ("{endpoints: {a: {url: 'http://x', metricks: []}}}", "metricks"),
        ("{endpoints: {a: [1]}}", "a URL, or a mapping"),
    ];
    for (text, expected) in cases {
        let error = yaml(text).map(|_| ()).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}
