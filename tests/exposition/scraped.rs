//! Merged answers, scraped by a real Prometheus.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fakes::pods::{Behaviour, Body, Pod};
use kube_s3_exporter::exposition::Format;
use serde_json::{Value, json};

use crate::fixtures::{OPEN, TEXT, merge, pods};
use crate::read::{Series, is_own, read};
use crate::real_prometheus::RealPrometheus;
use crate::support::{has, skip};

/// Of the targets here; answers have jobs of their own.
pub const JOB: &str = "scraped";

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a Prometheus made of one target.
#[derive(Debug, Default)]
pub struct Scraped {
    /// What it says against the answer.
    pub error: Option<String>,
    /// Its samples, those of the scrape left out; values as Prometheus writes them.
    pub samples: BTreeMap<Series, String>,
}

/// A Prometheus that has scraped each of the bodies at least once, by the names given to them.
pub async fn scrape(bodies: Vec<(String, Format, Vec<u8>)>) -> (RealPrometheus, BTreeMap<String, Scraped>) {
    let mut pods = Vec::new();
    let mut targets = Vec::new();
    for (name, format, text) in bodies {
        let body = if format == Format::Text { Body::text(text) } else { Body::openmetrics(text) };
        let pod = Pod::builder(Behaviour::Serve(body)).forgetful().start().await.unwrap();
        targets.push(json!({"targets": [pod.address().to_string()], "labels": {"scraped": name}}));
        pods.push(pod);
    }
    // Times are left aside, since those of a body are not those of today.
    let config = json!({
        "global": {"scrape_interval": "4s", "scrape_timeout": "4s"},
        "scrape_configs": [{"job_name": JOB, "honor_labels": true, "honor_timestamps": false, "static_configs": targets}],
    });
    let prometheus = RealPrometheus::start(tempfile::tempdir().unwrap(), &config.to_string(), &[]).ready().await;
    let start = Instant::now();
    loop {
        let data = prometheus.ask("targets", &[("state", "active")]).await.unwrap().unwrap();
        let active = data["activeTargets"].as_array().unwrap();
        if active.len() == pods.len() && active.iter().all(is_done) {
            let samples = samples(&prometheus).await;
            // Samples can come a moment after the verdict.
            if samples.len() == pods.len() {
                return (prometheus, verdicts(active, samples));
            }
        }
        assert!(start.elapsed() < PATIENCE, "Prometheus does not scrape");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether a target was scraped to the end; on a busy machine, one can come too late.
fn is_done(target: &Value) -> bool {
    target["health"] != "unknown" && !target["lastError"].as_str().unwrap().contains("deadline exceeded")
}

fn verdicts(active: &[Value], mut samples: BTreeMap<String, BTreeMap<Series, String>>) -> BTreeMap<String, Scraped> {
    let verdict = |target: &Value| {
        let name = target["labels"]["scraped"].as_str().unwrap().to_owned();
        let error = (target["health"] != "up").then(|| target["lastError"].as_str().unwrap().to_owned());
        (name.clone(), Scraped { error, samples: samples.remove(&name).unwrap_or_default() })
    };
    active.iter().map(verdict).collect()
}

/// All samples by target; of each there is at least its `up`, which is not given back.
async fn samples(prometheus: &RealPrometheus) -> BTreeMap<String, BTreeMap<Series, String>> {
    let data = prometheus.query("{scraped!=\"\"}").await.unwrap().unwrap();
    let mut out: BTreeMap<String, BTreeMap<Series, String>> = BTreeMap::new();
    for sample in data["result"].as_array().unwrap() {
        let mut labels: BTreeMap<String, String> = serde_json::from_value(sample["metric"].clone()).unwrap();
        let (name, scraped) = (labels.remove("__name__").unwrap(), labels.remove("scraped").unwrap());
        let of_target = out.entry(scraped).or_default();
        if !(is_own(&name) && labels["job"] == JOB) {
            let value = sample["value"][1].as_str().unwrap().to_owned();
            of_target.insert((name, labels.into_iter().collect()), value);
        }
    }
    out
}

// Pods must answer also while the test computes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_takes_every_sample_of_a_merged_answer() {
    if !has("prometheus") {
        return skip("prometheus_takes_every_sample_of_a_merged_answer", "prometheus");
    }
    let answers = [TEXT, OPEN].map(|accept| merge(&pods(2, |_| true), accept));
    let names = ["text", "openmetrics"];
    let bodies = names.iter().zip(&answers).map(|(name, merged)| ((*name).to_owned(), merged.format(), merged.text.clone()));
    let (prometheus, scraped) = scrape(bodies.collect()).await;
    for (name, merged) in names.iter().zip(&answers) {
        let Scraped { error, samples } = &scraped[*name];
        assert_eq!(*error, None, "{name}");
        let sent = read(&merged.text, merged.format()).unwrap();
        assert_eq!((samples.len(), sent.len() > 10_000), (sent.len(), true), "{name}");
        for (series, point) in &sent {
            let number = |text: &str| text.parse::<f64>().unwrap();
            let (sent, got) = (number(&point.value), number(&samples[series]));
            assert!(sent == got || (sent.is_nan() && got.is_nan()), "{series:?} was {point:?} and is {got}");
        }
        let counted = prometheus
            .query(&format!("max_over_time(scrape_samples_scraped{{scraped=\"{name}\",job=\"{JOB}\"}}[1m])"))
            .await
            .unwrap();
        assert_eq!(counted.unwrap()["result"][0]["value"][1], sent.len().to_string());
    }
    let (_, own) = prometheus.get("metrics", &[]).await.unwrap();
    let own = String::from_utf8(own).unwrap();
    let troubles = ["duplicate_timestamp", "out_of_order", "out_of_bounds"];
    let counted = |line: &&str| {
        troubles.iter().any(|trouble| line.starts_with(&format!("prometheus_target_scrapes_sample_{trouble}_total ")))
    };
    let lines: Vec<&str> = own.lines().filter(counted).collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.ends_with(" 0")), "{lines:?}");
}
