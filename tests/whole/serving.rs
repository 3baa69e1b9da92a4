//! The server's routes, readiness, compression, and the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use fakes::kube_api::{KubeApi, PodSpec};
use fakes::s3_pages::{ClusterTimestamp, Explicit, Fault, FaultRule, S3Pages, When};

use crate::support::{ExportPeers, Exporter, JOB_NAME, collector, command, has, skip};

async fn exporter(server: &S3Pages, more: &[&str]) -> Exporter {
    let endpoint = format!("-endpoint={}", server.endpoint());
    let args = [&[endpoint.as_str(), "-bucket=b", "--cluster=prod", "--anonymous"], more].concat();
    Exporter::start(&args).await
}

#[tokio::test]
async fn before_the_first_scan_there_is_state_but_no_result() {
    let server = S3Pages::start(Explicit::keys(["prod-1"])).await;
    server.fault(FaultRule { when: When::Always, fault: Fault::HangBeforeHeaders });
    let exporter = exporter(&server, &[]).await;
    let metrics = exporter.until_metric("s3exporter_scan_in_progress{bucket=\"b\"}", 1.0).await;
    for there in [
        "s3exporter_scan_last_success_timestamp_seconds{bucket=\"b\"}",
        "s3exporter_scan_pages_total{bucket=\"b\"}",
        "s3exporter_scan_objects_seen{bucket=\"b\"}",
        "s3exporter_scan_errors_total{bucket=\"b\",reason=\"access_denied\"}",
        "s3exporter_scan_runs_total{bucket=\"b\",outcome=\"success\"}",
    ] {
        assert_eq!(metrics.value(there), Some(0.0), "{there}");
    }
    assert!(metrics.value("s3exporter_scan_last_attempt_timestamp_seconds{bucket=\"b\"}").unwrap() > 1.7e9);
    assert_eq!(metrics.value("s3exporter_inventory_backup_interval_seconds{bucket=\"b\"}"), Some(1200.0));
    assert!(
        !metrics.0.contains("kubermatic_s3")
            && !metrics.0.contains("s3exporter_inventory_objects")
            && !metrics.0.contains("scan_duration")
    );
    assert_eq!(exporter.get("/readyz").await, (503, "inventory: waiting for the first scan of b\n".into()));
    assert_eq!(exporter.get("/livez").await.0, 200);
    let (status, health) = exporter.get("/health").await;
    assert_eq!(status, 200);
    assert!(health.contains("waiting for the first scan"));
    assert!(exporter.get("/").await.1.contains("No complete scan yet"));
}

#[tokio::test]
async fn routes_answer_as_documented() {
    let server = S3Pages::start(Explicit::keys(["prod-1", "prod-<script>"])).await;
    let exporter = exporter(&server, &["--cluster=<b>never</b>"]).await;
    exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
    assert_eq!(exporter.get("/readyz").await, (200, "ready\n".into()));
    let (status, page) = exporter.get("/").await;
    assert_eq!(status, 200);
    assert!(
        page.contains("prod")
            && page.contains("never backed up")
            && page.contains("prod-&lt;script&gt;")
            && !page.contains("<b>never"),
        "{page}"
    );
    assert!(!page.contains("<script"));
    let (status, text) = exporter.get("/metrics?job=x").await;
    assert_eq!((status, text.contains("does not scrape pods")), (404, true), "{text}");
    let posted = reqwest::Client::new().post(format!("http://{}/metrics", exporter.address)).body("{}").send().await.unwrap();
    assert_eq!(posted.status(), 404);
    assert_eq!(exporter.get("/nowhere").await.0, 404);
    let metrics = exporter.metrics().await;
    assert!(metrics.value("promhttp_metric_handler_requests_total{code=\"200\"}").unwrap() >= 1.0);
    assert_eq!(metrics.value("promhttp_metric_handler_requests_total{code=\"503\"}"), Some(0.0));
}

#[tokio::test]
async fn gzip_and_plain_say_the_same() {
    let server = S3Pages::start(ClusterTimestamp::new(300, 10)).await;
    let exporter = exporter(&server, &[]).await;
    exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
    let url = format!("http://{}/metrics", exporter.address);
    let response = reqwest::Client::new().get(url).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let body = response.bytes().await.unwrap();
    let mut unpacked = String::new();
    flate2::bufread::GzDecoder::new(&*body).read_to_string(&mut unpacked).unwrap();
    let results = |text: &str| text[text.find("# HELP kubermatic_s3_object_count").unwrap()..].to_owned();
    assert_eq!(results(&unpacked), results(&exporter.metrics().await.0));
}

#[tokio::test]
async fn without_an_inventory_there_is_a_server_and_nothing_to_wait_for() {
    let exporter = Exporter::start(&["--no-inventory"]).await;
    assert_eq!(exporter.get("/readyz").await.0, 200);
    assert!(!exporter.metrics().await.0.contains("s3exporter_scan"));
    assert!(exporter.get("/").await.1.contains("No subsystem is switched on"));
}

/// A flag stands over the environment, also where they give names in different ways.
#[tokio::test]
async fn clusters_by_flag_stand_over_a_pattern_in_the_environment() {
    let server = S3Pages::start(Explicit::keys(["prod-1"])).await;
    let mut command =
        command(&["-address=127.0.0.1:0", "-endpoint", &server.endpoint(), "-bucket=b", "--anonymous", "--cluster=prod"]);
    command
        .env("S3EXPORTER_CLUSTER_PATTERN", "^(?P<cluster>x)")
        .env("S3EXPORTER_SCAN_INTERVAL", "200ms")
        .env("S3EXPORTER_MAX_CLUSTERS", "");
    let exporter = Exporter::start_command(command).await;
    exporter.until_metric("kubermatic_s3_object_count{cluster=\"prod\"}", 1.0).await;
}

#[tokio::test]
async fn signals_end_it_well_even_in_the_middle_of_a_scan() {
    for signal in ["TERM", "INT"] {
        let server = S3Pages::start(Explicit::keys(["prod-1"])).await;
        server.fault(FaultRule { when: When::Always, fault: Fault::HangBeforeHeaders });
        let exporter = exporter(&server, &[]).await;
        exporter.until_metric("s3exporter_scan_in_progress{bucket=\"b\"}", 1.0).await;
        assert_eq!(exporter.stop(signal), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn promtool_is_silent_about_every_name_of_ours() {
    if !has("promtool") {
        return skip("promtool_is_silent_about_every_name_of_ours", "promtool");
    }
    let server = S3Pages::start(Explicit::keys(["prod-1", "prod-2"])).await;
    let (export, folder) = (ExportPeers::start().await, tempfile::tempdir().unwrap());
    let kube = KubeApi::start().await;
    let (config, kubeconfig) = (export.config(folder.path()), kube.kubeconfig(folder.path()));
    let (config, kubeconfig) = (config.to_str().unwrap(), kubeconfig.to_str().unwrap());
    let exporter = exporter(&server, &["--config", config, "-kubeconfig", kubeconfig, "--podmetrics"]).await;
    exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
    let metrics = exporter.until_metric("s3exporter_export_runs_total{alias=\"prod\",outcome=\"success\"}", 1.0).await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.0.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let ours: Vec<&str> = said.lines().filter(|line| !line.starts_with("kubermatic_s3_")).collect();
    assert!(ours.is_empty(), "{said}");
}

#[tokio::test]
async fn the_catalogue_is_what_a_scrape_has() {
    let server = S3Pages::start(Explicit::keys(["prod-1"])).await;
    let kube = KubeApi::start().await;
    kube.apply_cluster("prod");
    // It is down, since nobody allows its address; so the answer for its job says everything that one can say of a pod.
    kube.apply_pod(&PodSpec::new("default", "web-0").ip([127, 0, 0, 1].into()).label(JOB_NAME, "web"));
    let export = ExportPeers::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, kubeconfig, config) = (server.endpoint(), kube.kubeconfig(folder.path()), export.config(folder.path()));
    let (kubeconfig, config) = (kubeconfig.to_str().unwrap(), config.to_str().unwrap());
    let journal = folder.path().join("journal");
    let s3 = ["-endpoint", &endpoint, "-bucket=b", "--anonymous", "-kubeconfig", kubeconfig, "--config", config];
    let usage = ["--usage", "--usage-bucket=u", "--journal-dir", journal.to_str().unwrap()];
    let exporter = Exporter::start(&[&s3[..], &["--podmetrics"], &usage].concat()).await;
    exporter.until_metric("s3exporter_export_runs_total{alias=\"prod\",outcome=\"success\"}", 1.0).await;
    exporter.until_metric("s3exporter_podmetrics_pods{state=\"scrapable\"}", 1.0).await;
    let (status, answer) = exporter.get("/metrics?job=web").await;
    assert_eq!(status, 200, "{answer}");
    let metrics = exporter.until_scanned_again("b").await;
    let (collector, _kubelet) = collector(&exporter).await;
    let collected = catalogue(&collector.get("/metrics").await.1);
    // Those of the process are the same.
    let is_own = |row: &&str| !row.starts_with("| `") || row.starts_with("| `s3exporter_collect_");
    let collected: Vec<&str> = collected.lines().filter(is_own).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/METRICS.md");
    let scraped = format!(
        "# Metrics\n\nEvery metric of a running exporter. A test compares this table with a real scrape.\n\n{}\n## In the answer for a \
         job\n\nWhat `/metrics?job=NAME` says of each target, beside the metrics of the target itself.\n\n{}\n## Of the node collector\n\n\
         What `collect` serves where `S3EXPORTER_COLLECT_ADDRESS` is set, beside its `process_*` and `s3exporter_build_info`.\n\n{}\n",
        catalogue(&metrics.0),
        catalogue(&answer),
        collected.join("\n")
    );
    if std::env::var_os("UPDATE_METRICS").is_some() {
        std::fs::write(file, &scraped).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), scraped, "run the tests once with UPDATE_METRICS=1");
}

/// A table of what a scrape has: name, type, labels, help.
fn catalogue(text: &str) -> String {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let label_names = rest.starts_with('{').then(|| rest.split("=\"").filter_map(|part| part.rsplit(['{', ',']).next()));
        labels.entry(name).or_default().extend(label_names.into_iter().flatten().filter(|name| !name.contains('"')));
    }
    let mut rows: Vec<String> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            // A histogram has no series of its own name.
            let labels = labels.get(name).or_else(|| labels.get(format!("{name}_count").as_str())).expect("a series");
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
            rows.push(format!("| `{name}` | {kind} | {} | {help} |\n", labels.join(", ")));
        }
    }
    rows.sort();
    format!("| name | type | labels | meaning |\n|---|---|---|---|\n{}", rows.concat())
}

#[tokio::test]
async fn a_demo_runs_without_any_account() {
    let mut demo = command(&["demo", "--address", "127.0.0.1:0"]);
    let folder = tempfile::tempdir().unwrap();
    demo.arg("--folder").arg(folder.path());
    let demo = Exporter::start_command(demo).await;
    let metrics = demo.until_metric("kubermatic_s3_query_success", 1.0).await;
    assert_eq!(metrics.value("kubermatic_s3_object_count{cluster=\"oslo\"}"), Some(0.0));
    assert_eq!(
        metrics.value("s3exporter_inventory_newest_object_bytes{bucket=\"kubermatic-etcd-backups\",cluster=\"paris\"}"),
        Some(0.0)
    );
    assert_eq!(demo.stop("INT"), Some(0));
}
