//! Runs of the program into a bucket, and what they left there.

use std::collections::BTreeMap;

use fakes::s3_memory::{Content, Object, S3Memory};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::data::{HOUR, newest};
use crate::real_prometheus::RealPrometheus;
use crate::support::{command, settle};

pub const BUCKET: &str = "exported";
const BASE: &str = "k8s/data";

/// What an export left in a new bucket.
pub struct Target {
    pub s3: S3Memory,
}

/// How a run of the program ended.
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
}

impl Target {
    pub async fn new() -> Self {
        let s3 = S3Memory::start().await;
        s3.create_bucket(BUCKET);
        Self { s3 }
    }

    /// Runs the program as a cron job would.
    pub async fn export(&self, source: &RealPrometheus, args: &[&str]) -> Ended {
        let mut command = command(&["export", "--settle", &format!("{}s", settle())]);
        command
            .args(args)
            .env("AWS_ENDPOINT_URL", self.s3.endpoint())
            .env("AWS_ACCESS_KEY_ID", self.s3.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", self.s3.secret_access_key())
            .env("PROM_ENDPOINTS", json!({"prod": format!("{}/api/v1/query_range", source.endpoint())}).to_string())
            .env("S3_BUCKET", BUCKET)
            .env("BASE_S3_PATH", BASE);
        let output = tokio::process::Command::from(command).output().await.unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ended { code: output.status.code(), said }
    }

    pub async fn export_well(&self, source: &RealPrometheus, args: &[&str]) {
        let ended = self.export(source, args).await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
    }

    pub fn objects(&self) -> BTreeMap<String, Object> {
        self.s3.objects(BUCKET).into_iter().collect()
    }

    pub fn object(&self, key: &str) -> Object {
        self.objects().remove(key).unwrap_or_else(|| panic!("{key} is missing"))
    }

    pub fn body(&self, key: &str) -> Vec<u8> {
        bytes(&self.object(key)).to_vec()
    }

    pub fn json(&self, key: &str) -> Value {
        serde_json::from_slice(&self.body(key)).unwrap()
    }

    pub fn manifest(&self, hour: i64) -> Value {
        self.json(&key(hour, "_manifest"))
    }
}

pub fn bytes(object: &Object) -> &[u8] {
    match &object.content {
        Content::Bytes(bytes) => bytes,
        Content::Zeros(_) => panic!("nobody wrote that"),
    }
}

pub fn key(hour: i64, name: &str) -> String {
    format!("{BASE}/prod/{}/{name}.json", Timestamp::from_second(hour).unwrap().strftime("%Y_%m_%d/%H"))
}

/// The last `count` hours that have settled, newest first.
pub fn hours(count: i64) -> Vec<i64> {
    (0..count).map(|back| newest() - back * HOUR).collect()
}

/// The number of series and of samples of a document.
pub fn counts(document: &[u8]) -> (usize, usize) {
    let document: Value = serde_json::from_slice(document).unwrap();
    let series = document["data"]["result"].as_array().unwrap();
    (series.len(), series.iter().map(|series| series["values"].as_array().unwrap().len()).sum())
}

/// By the program that everybody has.
pub fn sha256(bodies: &[&[u8]]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..bodies.len()).map(|number| format!("{number:06}")).collect();
    names.iter().zip(bodies).for_each(|(name, body)| std::fs::write(folder.path().join(name), body).unwrap());
    let output = std::process::Command::new("sha256sum").args(&names).current_dir(folder.path()).output().unwrap();
    let sums: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(|line| line[..64].to_owned()).collect();
    assert_eq!(sums.len(), bodies.len());
    sums
}

/// Samples by labels, of a document or of what was made.
pub type Samples = BTreeMap<BTreeMap<String, String>, Vec<(i64, String)>>;

pub fn samples_of(document: &Value) -> Samples {
    let milliseconds = |at: &Value| {
        let text = at.to_string();
        let (seconds, rest) = text.split_once('.').unwrap_or((&text, ""));
        seconds.parse::<i64>().unwrap() * 1_000 + format!("{rest:0<3}").parse::<i64>().unwrap()
    };
    let mut samples = Samples::new();
    for series in document["data"]["result"].as_array().unwrap() {
        let labels = serde_json::from_value(series["metric"].clone()).unwrap();
        let values = series["values"].as_array().unwrap().iter();
        let values = values.map(|one| (milliseconds(&one[0]), one[1].as_str().unwrap().parse::<f64>().unwrap().to_string()));
        assert!(samples.insert(labels, values.collect()).is_none(), "a series stands there twice");
    }
    samples
}
