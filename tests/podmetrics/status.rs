//! What people see: the status page, `/health`, `check`, and the metrics about it.

use std::process::Output;

use fakes::pods::{Behaviour, Pod};
use serde_json::{Value, json};

use crate::support::Exporter;
use crate::world::{JOB, World, ask, key, metric, ours, path_of, spec};

#[tokio::test]
async fn the_status_page_tells_of_jobs_and_of_pods_that_were_down() {
    let world = World::start().await;
    let _a = world.pod("a", Behaviour::text("a 1\nb 2\n")).await;
    let _b = world.pod("b", Behaviour::Status(503)).await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    world.api.apply_pod(&spec("c", &pod).phase("Pending"));
    world.api.apply_pod(&spec("d", &pod).label(&key("port"), "x"));
    world.api.apply_pod(&spec("e", &pod).annotation(&key("job-name"), "<b>bold & brave</b>"));
    let exporter = world.exporter(&[]).await;
    let (_, page) = exporter.get("/").await;
    assert!(page.contains("not since the start") && !page.contains("Pods that were down"), "{page}");
    assert!(page.contains("&lt;b&gt;bold &amp; brave&lt;/b&gt;") && !page.contains("<b>bold"), "{page}");
    assert!(page.contains("/metrics?job=%3Cb%3Ebold%20%26%20brave%3C%2Fb%3E"), "{page}");
    ask(&exporter, JOB).await;
    let (status, page) = exporter.get("/").await;
    assert_eq!(status, 200);
    for part in [
        "Metrics of pods",
        "The Kubernetes API answered",
        "1 of 3",
        "Pods that were down when they were last asked",
        "it answered 503 Service Unavailable",
        "port &quot;x&quot; must be a port from 1 to 65535",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
}

#[tokio::test]
async fn health_is_about_the_watch_and_not_about_pods() {
    let world = World::start().await;
    let _a = world.pod("a", Behaviour::Status(500)).await;
    let pod = Pod::start(Behaviour::text("a 1\n")).await;
    world.api.apply_pod(&spec("b", &pod).phase("Pending"));
    world.api.apply_pod(&spec("c", &pod).label(&key("port"), "x"));
    let exporter = world.exporter(&[]).await;
    ask(&exporter, JOB).await;
    let (status, text) = exporter.get("/health").await;
    let health: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &health["status"]), (200, &json!("healthy")), "{text}");
    let podmetrics = &health["podmetrics"];
    assert_eq!(podmetrics["state"], "healthy");
    assert_eq!(podmetrics["jobs"], 1);
    assert_eq!(podmetrics["pods"], json!({"scrapable": 1, "waiting": 1, "malformed": 1}));
    assert!(podmetrics["last_contact"].as_str().unwrap().starts_with("20"), "{text}");
}

#[tokio::test]
async fn a_job_whose_pods_all_wait_is_known_and_has_no_targets() {
    let (world, pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    world.api.apply_pod(&spec("a", &pod).phase("Pending"));
    let exporter = world.exporter(&[]).await;
    assert!(ask(&exporter, JOB).await.targets().is_empty());
}

#[tokio::test]
async fn requests_and_scrapes_are_counted() {
    let (world, _pod) = World::with_pod(Behaviour::text("a 1\nb 1\n")).await;
    let exporter = world.exporter(&[]).await;
    for _ in 0..3 {
        ask(&exporter, JOB).await;
    }
    exporter.get(&path_of("nobody")).await;
    let expected = [
        ("requests_total{outcome=\"success\"}", 3.0),
        ("requests_total{outcome=\"unknown_job\"}", 1.0),
        ("requests_total{outcome=\"busy\"}", 0.0),
        ("request_duration_seconds_count", 4.0),
        ("scrapes_total", 3.0),
        ("scrape_duration_seconds_count", 3.0),
        ("samples_total", 6.0),
        ("jobs", 1.0),
        ("pods{state=\"scrapable\"}", 1.0),
        ("scrape_errors_total{reason=\"timeout\"}", 0.0),
        ("malformed_pods{label=\"port\"}", 0.0),
    ];
    for (series, value) in expected {
        assert_eq!(metric(&exporter, &ours(series)).await, value, "{series}");
    }
}

/// Runs `check` to its end while the API answers.
async fn check(world: &World, more: &[&str]) -> Output {
    let mut command = crate::support::command(&["check", "--no-inventory", "--podmetrics"]);
    command.arg("--kubeconfig").arg(world.api.kubeconfig(world.folder.path())).args(more);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn check_says_what_works() {
    let (world, _pod) = World::with_pod(Behaviour::text("a 1\n")).await;
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let output = check(&world, &[]).await;
    let label = "metrics-aggregator.apawel.me/job-name";
    assert_eq!(output.status.code(), Some(0));
    let fine =
        format!("ok    the configuration\nok    Kubernetes: pods with the label {label} in all namespaces can be listed\n");
    assert_eq!(said(&output), fine);
    let output = check(&world, &["--podmetrics-namespace=shop,attic"]).await;
    for namespace in ["shop", "attic"] {
        assert!(said(&output).contains(&format!("in namespace {namespace} can be listed")), "{}", said(&output));
    }
    world.api.fail_with(403, None);
    let output = check(&world, &["--podmetrics-namespace=shop,attic"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("FAIL  Kubernetes: cannot list pods in namespace shop: "), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 checks failed"));
    let output = check(&world, &["--podmetrics-ca-bundle=/nowhere.pem"]).await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn promtool_is_silent_about_names_of_ours() {
    use std::io::Write as _;
    if !crate::support::has("promtool") {
        return crate::support::skip("promtool_is_silent_about_names_of_ours", "promtool");
    }
    let (world, _pod) = World::with_pod(Behaviour::text("# HELP a_bytes A.\n# TYPE a_bytes gauge\na_bytes 1\n")).await;
    let _down = world.pod("b", Behaviour::Status(500)).await;
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    for text in [answer.text, exporter_metrics(&exporter).await] {
        let mut promtool = std::process::Command::new("promtool");
        promtool.args(["check", "metrics"]).stdin(std::process::Stdio::piped());
        let mut promtool = promtool.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}

async fn exporter_metrics(exporter: &Exporter) -> String {
    exporter.metrics().await.0
}
