//! A Prometheus, a bucket, and the exporter between them; and what the bucket must look like afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use fakes::prometheus::{Fault, MetricShape, Prometheus, PrometheusRequest, Rule, When};
use fakes::s3_memory::{Content, Object, S3Memory};
use jiff::Timestamp;
use serde_json::Value;

use crate::support;

pub const HOUR: i64 = 3_600;
pub const BUCKET: &str = "exported";
/// The endpoint that every world has.
pub const ALIAS: &str = "prod";

/// A Prometheus with metrics, and an empty bucket.
pub struct World {
    pub prometheus: Prometheus,
    pub s3: S3Memory,
    metrics: Vec<String>,
    /// Start of the newest hour that is due.
    newest: i64,
    settle: String,
    /// Seconds between two values of an answer, where it is not the default.
    pub step: i64,
}

/// A run of the exporter, after its end.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Hours of a bucket, by the state in their manifest, counted back from the newest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hours {
    pub sealed: BTreeSet<i64>,
    pub suspect: BTreeSet<i64>,
}

impl World {
    /// With these metrics and numbers of series, all of them configured.
    pub async fn start(metrics: &[(&str, usize)]) -> Self {
        let (prometheus, s3) = (Prometheus::start().await, S3Memory::start().await);
        for (name, series) in metrics {
            prometheus.set_metric(name, MetricShape { series: *series, padding: 0 });
        }
        s3.create_bucket(BUCKET);
        // With this time to settle it is half past an hour for as long as a test takes, and no hour becomes due while it runs.
        let now = Timestamp::now().as_second();
        let settle = now.rem_euclid(HOUR) + HOUR / 2;
        let newest = (now - settle).div_euclid(HOUR) * HOUR - HOUR;
        let metrics = metrics.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { prometheus, s3, metrics, newest, settle: format!("{settle}s"), step: HOUR }
    }

    /// Start of the hour that is so many hours before the newest.
    pub fn hour(&self, back: i64) -> i64 {
        self.newest - back * HOUR
    }

    /// As it is told in metrics.
    pub fn now(&self) -> f64 {
        Timestamp::now().as_duration().as_secs_f64()
    }

    /// The binary with everything set by the environment, so that flags go before it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = support::command(args);
        command
            .env("AWS_ENDPOINT_URL", self.s3.endpoint())
            .env("AWS_ACCESS_KEY_ID", self.s3.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", self.s3.secret_access_key())
            .env("S3_BUCKET", BUCKET)
            .env("PROM_ENDPOINTS", endpoints(&[(ALIAS, &self.prometheus)]))
            .env("S3EXPORTER_EXPORT_METRICS", self.metrics.join(","))
            .env("S3EXPORTER_SETTLE", &self.settle)
            .env("STEP_SECONDS", self.step.to_string())
            .env("HOURS_TO_BACKFILL", "3")
            .env("MAX_RETRIES", "2")
            .env("RETRY_BACKOFF_SECONDS", "0.02")
            .env("TIMEOUT_SECONDS", "20");
        command
    }

    /// Runs `export` to its end.
    pub async fn export(&self, args: &[&str]) -> Run {
        run(self.command(&[&["export"], args].concat())).await
    }

    /// Runs `export`, which must not leave anything out.
    pub async fn export_all(&self, args: &[&str]) -> Run {
        let run = self.export(args).await;
        assert_eq!(run.code, Some(0), "{run:?}");
        run
    }

    /// From now on `fault` strikes whatever is asked about `metric`, and nothing else.
    pub fn strike(&self, metric: &str, fault: Fault) {
        self.prometheus.set_faults(vec![Rule { when: When::metric(metric), fault }]);
    }

    /// What the bucket has, key and object.
    pub fn objects(&self) -> BTreeMap<String, Object> {
        self.s3.objects(BUCKET).into_iter().collect()
    }

    pub fn key(&self, alias: &str, back: i64, file: &str) -> String {
        let start = Timestamp::from_second(self.hour(back)).unwrap();
        format!("k8s_data/{alias}/{}/{file}.json", start.strftime("%Y_%m_%d/%H"))
    }

    /// The stored answer about a metric.
    pub fn body(&self, back: i64, metric: &str) -> Option<Vec<u8>> {
        self.objects().get(&self.key(ALIAS, back, metric)).map(bytes)
    }

    pub fn manifest(&self, back: i64) -> Option<Value> {
        self.body(back, "_manifest").map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    /// What the Prometheus answers when nothing is wrong.
    pub fn answer(&self, back: i64, metric: &str) -> Vec<u8> {
        answer(&self.prometheus, self.hour(back), self.step, metric)
    }

    /// The hours and metrics that were asked for since there were `before` requests.
    pub fn asked_since(&self, before: usize) -> Vec<(i64, String)> {
        let requests = self.prometheus.requests();
        let queries = requests[before..].iter().filter(|request| request.path == "/api/v1/query_range");
        queries
            .map(|query| ((self.newest - parameter(query, "start").parse::<i64>().unwrap()) / HOUR, parameter(query, "query")))
            .collect()
    }

    /// How many requests the Prometheus has had.
    pub fn requests(&self) -> usize {
        self.prometheus.requests().len()
    }

    /// Nothing in the bucket is wrong, sealed or not.
    pub fn verify(&self) -> Hours {
        self.verify_alias(ALIAS, &self.prometheus)
    }

    /// Nothing in the bucket is wrong, and so many hours are sealed, with all their metrics.
    pub fn verify_sealed(&self, hours: i64) {
        assert_eq!(self.verify(), Hours { sealed: (0..hours).collect(), suspect: BTreeSet::new() });
    }

    /// Every object below `alias` is what `source` answers, byte for byte, and every manifest says what is there.
    pub fn verify_alias(&self, alias: &str, source: &Prometheus) -> Hours {
        let objects = self.objects();
        let folder = format!("k8s_data/{alias}/");
        let mut hours = Hours::default();
        for (key, object) in objects.iter().filter(|(key, _)| key.starts_with(&folder)) {
            let (day_and_hour, file) = key[folder.len()..].rsplit_once('/').unwrap();
            let metric = file.strip_suffix(".json").unwrap();
            let start: Timestamp = format!("{}:00:00Z", day_and_hour.replace('_', "-").replace('/', "T")).parse().unwrap();
            let back = (self.newest - start.as_second()) / HOUR;
            assert_eq!(object.content_type.as_deref(), Some("application/json"), "{key}");
            if metric == "_manifest" {
                self.verify_manifest(key, &serde_json::from_slice(&bytes(object)).unwrap(), &objects, back, &mut hours);
            } else {
                let right = answer(source, start.as_second(), self.step, metric);
                assert!(bytes(object) == right, "{key}: {} and not {}", shown(&bytes(object)), shown(&right));
            }
        }
        hours
    }

    fn verify_manifest(&self, key: &str, manifest: &Value, objects: &BTreeMap<String, Object>, back: i64, hours: &mut Hours) {
        assert_eq!(at(&manifest["window"]["start"]), self.hour(back), "{key}");
        assert_eq!(at(&manifest["window"]["end"]), self.hour(back) + HOUR, "{key}");
        let entries = manifest["metrics"].as_object().unwrap();
        for (metric, entry) in entries {
            assert_eq!(at(&entry["query"]["start"]), self.hour(back), "{key}: {entry}");
            let stored = bytes(&objects[entry["key"].as_str().unwrap()]);
            assert_eq!(entry["bytes"], stored.len(), "{key}: {metric}");
            assert_eq!(entry["sha256"], sha256(&stored), "{key}: {metric}");
            let document: Value = serde_json::from_slice(&stored).unwrap();
            let series = document["data"]["result"].as_array().unwrap();
            let samples: usize = series.iter().map(|one| one["values"].as_array().unwrap().len()).sum();
            assert_eq!((&entry["series"], &entry["samples"]), (&series.len().into(), &samples.into()), "{key}: {metric}");
        }
        match manifest["state"].as_str().unwrap() {
            "sealed" => {
                let missing = self.metrics.iter().find(|metric| !entries.contains_key(*metric));
                assert_eq!(missing, None, "{key} is sealed without it");
                hours.sealed.insert(back);
            }
            "suspect" => {
                hours.suspect.insert(back);
            }
            other => panic!("{key}: {other}"),
        }
    }
}

/// Runs a command to its end; the fakes go on meanwhile.
pub async fn run(mut command: Command) -> Run {
    command.stdin(Stdio::null());
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The value of `PROM_ENDPOINTS`, in the form of the job that the export replaces.
pub fn endpoints(named: &[(&str, &Prometheus)]) -> String {
    let urls = named.iter().map(|(alias, prometheus)| {
        let url = format!("{}/api/v1/query_range", prometheus.endpoint());
        ((*alias).to_owned(), url.into())
    });
    Value::Object(urls.collect()).to_string()
}

pub fn parameter(request: &PrometheusRequest, name: &str) -> String {
    request.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// A document, for those that need not have the same bytes.
pub fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// As the issue says it: both ends of the hour, in whole seconds.
fn answer(source: &Prometheus, start: i64, step: i64, metric: &str) -> Vec<u8> {
    let (start, end, step) = (start.to_string(), (start + HOUR - 1).to_string(), step.to_string());
    source.answer("/api/v1/query_range", &[("query", metric), ("start", &start), ("end", &end), ("step", &step)])
}

fn bytes(object: &Object) -> Vec<u8> {
    match &object.content {
        Content::Bytes(bytes) => bytes.to_vec(),
        Content::Zeros(_) => panic!("the exporter writes bytes"),
    }
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn at(timestamp: &Value) -> i64 {
    timestamp.as_str().unwrap().parse::<Timestamp>().unwrap().as_second()
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}
