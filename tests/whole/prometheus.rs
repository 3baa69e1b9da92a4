//! A real Prometheus scrapes the real binary; the dashboard and the alert rules ask it.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use fakes::kube_api::KubeApi;
use fakes::s3_pages::{ClusterTimestamp, S3Pages};
use regex::Regex;
use serde_json::Value;

use crate::support::{Exporter, has, skip};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A Prometheus that scrapes one exporter every half second; killed when dropped.
struct Prometheus {
    child: Child,
    address: String,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(exporter: &Exporter) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}\nrule_files: ['{ROOT}/deploy/alerts/backups.yaml']\n\
             scrape_configs: [{{job_name: exporter, static_configs: [{{targets: ['{}']}}]}}]\n",
            exporter.address
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // Free now; nobody else takes it in the moment before Prometheus does, or Prometheus says so and the test fails.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus")
            .current_dir(folder.path())
            .arg(format!("--web.listen-address={address}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address, client: reqwest::Client::new(), _folder: folder }
    }

    /// The `data` of an answer; `None` while Prometheus is not there yet.
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Option<Result<Value, String>> {
        let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/{path}", self.address)).unwrap();
        url.query_pairs_mut().extend_pairs(query);
        let answer: Value = serde_json::from_str(&self.client.get(url).send().await.ok()?.text().await.ok()?).ok()?;
        Some(if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer["error"].to_string()) })
    }

    async fn query(&self, query: &str) -> Option<Result<Value, String>> {
        self.ask("query", &[("query", query)]).await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every `expr` of the dashboard, wherever it stands, and every query of a variable.
fn dashboard_expressions(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(expr)) = map.get("expr") {
                out.push(expr.clone());
            }
            map.values().for_each(|value| dashboard_expressions(value, out));
        }
        Value::Array(items) => items.iter().for_each(|value| dashboard_expressions(value, out)),
        _ => {}
    }
}

/// What Grafana would put in place of its variables.
fn without_variables(expr: &str) -> String {
    let fixed = expr.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$__interval", "1m");
    Regex::new(r"\$\{?(bucket|cluster)(:\w+)?\}?").unwrap().replace_all(&fixed, ".*").into_owned()
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
async fn the_dashboard_and_the_rules_name_metrics_that_exist() {
    if !has("prometheus") {
        return skip("the_dashboard_and_the_rules_name_metrics_that_exist", "prometheus");
    }
    let space = ClusterTimestamp::new(3, 400);
    let kube = KubeApi::start().await;
    (0..3).for_each(|number| kube.apply_cluster(&space.cluster(number)));
    let series = format!("kubermatic_s3_object_count{{cluster=\"{}\"}}", space.cluster(1));
    let server = S3Pages::start(space).await;
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, kubeconfig) = (server.endpoint(), kube.kubeconfig(folder.path()));
    let exporter =
        Exporter::start(&["-endpoint", &endpoint, "-bucket=b", "--anonymous", "-kubeconfig", kubeconfig.to_str().unwrap()]).await;
    exporter.until_metric(&series, 400.0).await;

    let prometheus = Prometheus::start(&exporter);
    let asked = exporter
        .until("Prometheus knows the count", async |_| {
            let data = prometheus.query(&series).await?.unwrap();
            data["result"][0]["value"][1].as_str().map(str::to_owned)
        })
        .await;
    assert_eq!(asked, "400");
    let names = prometheus.ask("label/__name__/values", &[]).await.unwrap().unwrap();
    let known: BTreeSet<String> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();

    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{ROOT}/dashboards/backups.json")).unwrap()).unwrap();
    let mut expressions = Vec::new();
    dashboard_expressions(&dashboard, &mut expressions);
    assert!(expressions.len() >= 15, "only {} queries in the dashboard", expressions.len());
    let rules: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(format!("{ROOT}/deploy/alerts/backups.yaml")).unwrap()).unwrap();
    let rule_list = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let known: BTreeSet<String> =
        known.into_iter().chain(rule_list.filter_map(|rule| rule["record"].as_str().map(str::to_owned))).collect();
    let before = expressions.len();
    dashboard_expressions(&rules, &mut expressions);
    assert!(expressions.len() >= before + 6, "only {} queries in the rules", expressions.len() - before);
    for expr in &expressions {
        let expr = without_variables(expr);
        if let Err(error) = prometheus.query(&expr).await.unwrap() {
            panic!("Prometheus refuses {expr}: {error}");
        }
        let unknown: Vec<String> = metric_names(&expr).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?} in {expr}: no such metric");
    }
}

/// Each alert has a page that its annotation leads to.
#[test]
fn every_alert_has_a_runbook() {
    let rules: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(format!("{ROOT}/deploy/alerts/backups.yaml")).unwrap()).unwrap();
    let rules: Vec<&Value> =
        rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    let alerts: Vec<&&Value> = rules.iter().filter(|rule| rule["alert"].is_string()).collect();
    assert!(alerts.len() >= 6);
    for alert in alerts {
        let url = alert["annotations"]["runbook_url"].as_str().expect("a link to a runbook");
        let page = format!("{ROOT}/deploy/runbooks/{}", url.rsplit('/').next().unwrap());
        assert!(std::path::Path::new(&page).exists(), "{page}");
        assert!(page.ends_with(&format!("{}.md", alert["alert"].as_str().unwrap())));
    }
}
