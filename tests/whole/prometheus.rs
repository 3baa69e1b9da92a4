//! A real Prometheus scrapes the real binary; the dashboards and the alert rules ask it.

use std::collections::BTreeSet;

use fakes::kube_api::{KubeApi, PodSpec};
use fakes::pods::{Behaviour, Pod};
use fakes::s3_pages::{ClusterTimestamp, S3Pages};
use regex::Regex;
use serde_json::Value;

use crate::real_prometheus::RealPrometheus;
use crate::support::{ExportPeers, Exporter, JOB_NAME, collector, has, skip};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const DASHBOARDS: [&str; 4] =
    ["dashboards/backups.json", "dashboards/export.json", "dashboards/podmetrics.json", "dashboards/usage.json"];
const RULES: [&str; 4] =
    ["deploy/alerts/backups.yaml", "deploy/alerts/export.yaml", "deploy/alerts/podmetrics.yaml", "deploy/alerts/usage.yaml"];

/// A Prometheus that scrapes one exporter, the pods of the job `web` through it, as the README says, and a collector; every half second.
fn scraping(exporter: &Exporter, collector: &Exporter) -> RealPrometheus {
    let rules = RULES.map(|file| format!("{ROOT}/{file}"));
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}\nrule_files: {rules:?}\n\
         scrape_configs:\n\
         - {{job_name: exporter, static_configs: [{{targets: ['{0}']}}]}}\n\
         - {{job_name: web, honor_labels: true, params: {{job: [web]}}, static_configs: [{{targets: ['{0}']}}]}}\n\
         - {{job_name: collector, static_configs: [{{targets: ['{1}']}}]}}\n",
        exporter.address, collector.address
    );
    RealPrometheus::start(tempfile::tempdir().unwrap(), &config, &[])
}

fn dashboard(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{ROOT}/{file}")).unwrap()).unwrap()
}

/// The rules of a file, whatever group they are in.
fn rules(file: &str) -> Vec<Value> {
    let rules: Value = serde_saphyr::from_str(&std::fs::read_to_string(format!("{ROOT}/{file}")).unwrap()).unwrap();
    rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// Every `expr`, wherever it stands, and of variables what they take their values from.
fn expressions(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(expr)) = map.get("expr") {
                out.push(expr.clone());
            }
            if let Some(Value::String(definition)) = map.get("definition") {
                let of_values = definition.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(','));
                out.push(of_values.expect("values of a label").0.to_owned());
            }
            map.values().for_each(|value| expressions(value, out));
        }
        Value::Array(items) => items.iter().for_each(|value| expressions(value, out)),
        _ => {}
    }
}

/// What Grafana would put in place of its variables.
fn without_variables(expr: &str) -> String {
    let fixed = expr.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$__interval", "1m");
    Regex::new(r"\$\{?(bucket|cluster|alias|instance|job)(:\w+)?\}?").unwrap().replace_all(&fixed, ".*").into_owned()
}

/// The names in a query that can only be metrics.
fn metric_names(expr: &str) -> BTreeSet<String> {
    let strip = |text: &str, pattern: &str| Regex::new(pattern).unwrap().replace_all(text, " ").into_owned();
    let text = strip(expr, r#""[^"]*"|'[^']*'"#);
    let text = strip(&text, r"\{[^}]*\}|\[[^\]]*\]");
    let text = strip(&text, r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)");
    let keywords = ["and", "or", "unless", "bool", "offset", "by", "group_left", "group_right", "inf", "nan"];
    let names = Regex::new(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\b(\s*\()?").unwrap();
    let found = names.captures_iter(&text).filter(|capture| capture.get(2).is_none()).map(|capture| capture[1].to_owned());
    found.filter(|name| !keywords.contains(&name.to_lowercase().as_str())).collect()
}

#[test]
fn names_of_metrics_are_told_from_the_rest_of_a_query() {
    let expr =
        "sum by (bucket) (rate(a_total{b=\"c\"}[5m])) / on(d) group_left(e) (time() - f > bool 2 * g offset 1h) or absent(h)";
    assert_eq!(metric_names(expr), ["a_total", "f", "g", "h"].map(String::from).into());
}

#[tokio::test]
async fn the_dashboards_and_the_rules_name_metrics_that_exist() {
    if !has("prometheus") {
        return skip("the_dashboards_and_the_rules_name_metrics_that_exist", "prometheus");
    }
    let space = ClusterTimestamp::new(3, 400);
    let kube = KubeApi::start().await;
    (0..3).for_each(|number| kube.apply_cluster(&space.cluster(number)));
    let series = format!("kubermatic_s3_object_count{{cluster=\"{}\"}}", space.cluster(1));
    let server = S3Pages::start(space).await;
    // One pod that answers, and one whose port is none.
    let pod = Pod::start(Behaviour::text("# TYPE page_hits_total counter\npage_hits_total 7\n")).await;
    for (name, port) in [("web-0", pod.port().to_string()), ("web-1", "x".to_owned())] {
        let spec = PodSpec::new("default", name).ip(pod.ip()).label(JOB_NAME, "web");
        kube.apply_pod(&spec.label("metrics-aggregator.apawel.me/port", &port));
    }
    let export = ExportPeers::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, kubeconfig, config) = (server.endpoint(), kube.kubeconfig(folder.path()), export.config(folder.path()));
    let (kubeconfig, config) = (kubeconfig.to_str().unwrap(), config.to_str().unwrap());
    let s3 = ["-endpoint", &endpoint, "-bucket=b", "--anonymous", "-kubeconfig", kubeconfig, "--config", config];
    let journal = folder.path().join("journal");
    let usage = ["--usage", "--usage-bucket=u", "--journal-dir", journal.to_str().unwrap()];
    let pods = ["--podmetrics", "--podmetrics-allow-cidr=127.0.0.0/8"];
    let exporter = Exporter::start(&[&s3[..], &pods, &usage].concat()).await;
    exporter.until_metric(&series, 400.0).await;
    exporter.until_metric("s3exporter_podmetrics_pods{state=\"scrapable\"}", 1.0).await;
    exporter.until_metric("s3exporter_export_runs_total{alias=\"prod\",outcome=\"success\"}", 1.0).await;

    let (collector, _kubelet) = collector(&exporter).await;
    let prometheus = scraping(&exporter, &collector);
    // The rules have been evaluated by then, too.
    for (query, wanted) in [
        (series.as_str(), "400"),
        ("s3exporter_export_windows{state=\"sealed\"}", "2"),
        ("s3exporter_export_stage_duration_seconds_count{stage=\"seal\"}", "2"),
        ("count(alias:export_sealed_until:timestamp_seconds{alias=\"prod\"})", "1"),
        ("page_hits_total{job=\"web\",instance=\"web-0\",pod_namespace=\"default\"}", "7"),
        ("s3exporter_podmetrics_scrape_failed{job=\"web\",instance=\"web-1\",reason=\"bad_label\"}", "1"),
        ("min(s3exporter_usage_journal_entries) > bool 0", "1"),
        ("count(s3exporter_collect_reports_dropped_total{reason=\"queue_full\"})", "1"),
    ] {
        let asked = exporter
            .until(query, async |_| {
                let data = prometheus.query(query).await?.unwrap();
                data["result"][0]["value"][1].as_str().map(str::to_owned)
            })
            .await;
        assert_eq!(asked, wanted, "{query}");
    }
    let names = prometheus.ask("label/__name__/values", &[]).await.unwrap().unwrap();
    let scraped = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let rules = RULES.map(rules).concat();
    let recorded = rules.iter().filter_map(|rule| rule["record"].as_str().map(str::to_owned));
    let known: BTreeSet<String> = scraped.chain(recorded).collect();

    let mut asked = Vec::new();
    for (file, least) in DASHBOARDS.into_iter().zip([15, 15, 15, 15]) {
        let before = asked.len();
        expressions(&dashboard(file), &mut asked);
        assert!(asked.len() >= before + least, "only {} queries in {file}", asked.len() - before);
    }
    let before = asked.len();
    expressions(&Value::Array(rules), &mut asked);
    assert!(asked.len() >= before + 12, "only {} queries in the rules", asked.len() - before);
    for expr in &asked {
        let expr = without_variables(expr);
        if let Err(error) = prometheus.query(&expr).await.unwrap() {
            panic!("Prometheus refuses {expr}: {error}");
        }
        let unknown: Vec<String> = metric_names(&expr).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?} in {expr}: no such metric");
    }
}

/// Each alert has a page that its annotation leads to, and each page an alert.
#[test]
fn every_alert_has_a_runbook() {
    let mut led_to = BTreeSet::new();
    for file in RULES {
        let rules = rules(file);
        let alerts: Vec<&Value> = rules.iter().filter(|rule| rule["alert"].is_string()).collect();
        assert!(alerts.len() >= 6, "{file}");
        for alert in alerts {
            let url = alert["annotations"]["runbook_url"].as_str().expect("a link to a runbook");
            let page = url.rsplit('/').next().unwrap();
            assert_eq!(page, format!("{}.md", alert["alert"].as_str().unwrap()), "{file}");
            led_to.insert(page.to_owned());
        }
    }
    let pages = std::fs::read_dir(format!("{ROOT}/deploy/runbooks")).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).filter(|page| page != "README.md");
    assert_eq!(pages.collect::<BTreeSet<String>>(), led_to);
}
