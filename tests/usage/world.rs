//! A Kubernetes API, an S3 server, and the binary between them and its senders.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use fakes::kube_api::KubeApi;
use fakes::s3_memory::{Content, Object, S3Effect, S3Fault, S3Memory};
use serde_json::Value;

use crate::report::{Answer, answered};
use crate::support::{self, Exporter};
use crate::table::{self, Row};

/// The bucket of everybody who says nothing else.
pub const BUCKET: &str = "usage";
/// What keys begin with, unless somebody says otherwise.
pub const PREFIX: &str = "k8s-metrics/";
/// The UID of `kube-system`.
pub const CLUSTER_UID: &str = "7e1a3c52-0000-4000-8000-000000000001";

/// A cluster without nodes, an empty bucket and an empty journal.
pub struct World {
    pub api: KubeApi,
    pub s3: S3Memory,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let world = Self { api: KubeApi::start().await, s3: S3Memory::start().await, folder: tempfile::tempdir().unwrap() };
        world.s3.create_bucket(BUCKET);
        world.api.apply_namespace("kube-system", Some(CLUSTER_UID));
        world
    }

    /// Where the journal is.
    pub fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    /// The journal's store.
    pub fn store(&self) -> PathBuf {
        self.journal().join("journal.redb")
    }

    /// Files that are sealed and not uploaded yet.
    pub fn sealed(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.journal().join("sealed")) else {
            return Vec::new();
        };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// `serve` with what every test wants. What `more` says stands over it.
    pub fn command(&self, more: &[&str]) -> Command {
        let usual = [
            "--address=127.0.0.1:0".to_owned(),
            "--no-inventory".to_owned(),
            "--usage".to_owned(),
            format!("--usage-bucket={BUCKET}"),
            "--usage-roll-age=1s".to_owned(),
            format!("--journal-dir={}", self.journal().display()),
            format!("--kubeconfig={}", self.api.kubeconfig(self.folder.path()).display()),
            format!("--endpoint={}", self.s3.endpoint()),
            format!("--access-key-id={}", self.s3.access_key_id()),
            format!("--secret-access-key={}", self.s3.secret_access_key()),
        ];
        let mut command = support::command(&["serve"]);
        // The last of two flags of the same name counts.
        command.args(usual).args(more);
        command
    }

    /// Starts it, and gives it as soon as it listens.
    pub async fn serve(&self, more: &[&str]) -> Exporter {
        let mut exporter = Exporter::start_command(self.command(more)).await;
        // There may be two; that of reports is told first.
        exporter.address =
            exporter.until("the main address is told", async |exporter| logged_address(exporter, "listening")).await;
        exporter
    }

    /// Starts it, and waits until it knows all of Kubernetes.
    pub async fn ready(&self, more: &[&str]) -> Exporter {
        ready(self.serve(more).await).await
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What the bucket does with everything that is put into it.
    pub fn puts_are(&self, effect: S3Effect) {
        self.s3.set_faults(vec![S3Fault { method: Some("PUT"), ..S3Fault::always(effect) }]);
    }

    /// Nothing is stored until the faults are cleared.
    pub fn refuse_puts(&self) {
        self.puts_are(S3Effect::Status(503, "SlowDown"));
    }

    /// All objects of the bucket.
    pub fn objects(&self) -> BTreeMap<String, Object> {
        self.s3.objects(BUCKET).into_iter().collect()
    }

    /// The files of Parquet, by key. Each is what its metadata says.
    pub fn tables(&self) -> BTreeMap<String, Bytes> {
        let tables = self.objects().into_iter().filter(|(key, _)| key.ends_with(".parquet"));
        tables.map(|(key, object)| (key, checked(&object))).collect()
    }

    /// All rows of all files.
    pub fn rows(&self) -> Vec<Row> {
        self.tables().values().flat_map(table::rows).collect()
    }

    /// All rows, by the id of their pod; none may have two.
    pub fn rows_by_pod(&self) -> BTreeMap<String, Row> {
        let mut rows = BTreeMap::new();
        for row in self.rows() {
            let id = table::text(&row, "pod_id").to_owned();
            let before = rows.insert(id.clone(), row);
            assert!(before.is_none(), "pod {id} has two rows");
        }
        rows
    }

    /// Ids of the pods in all files but one, which is somebody else's.
    pub fn tables_without(&self, stranger: &str) -> Vec<String> {
        let tables = self.objects().into_iter().filter(|(key, _)| key.ends_with(".parquet") && key != stranger);
        tables.flat_map(|(_, object)| table::rows(&checked(&object))).map(|row| table::text(&row, "pod_id").to_owned()).collect()
    }

    /// All entries that could not be read.
    pub fn dead_letters(&self) -> Vec<Value> {
        let objects =
            self.objects().into_iter().filter(|(key, _)| key.starts_with("k8s-metrics/_dead-letter/") && key.ends_with(".jsonl"));
        let lines = objects.flat_map(|(_, object)| {
            let text = String::from_utf8(checked(&object).to_vec()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        });
        lines.collect()
    }

    /// Writes all objects into a folder, for readers from outside.
    pub fn written_to(&self, folder: &Path) {
        for (key, object) in self.objects() {
            let path = folder.join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes(&object)).unwrap();
        }
    }
}

/// Waits until it is healthy.
pub async fn ready(exporter: Exporter) -> Exporter {
    until_health(&exporter, 200).await;
    exporter
}

/// Waits until the health has this status; gives what it says.
pub async fn until_health(exporter: &Exporter, status: u16) -> Value {
    let what = format!("its health is {status}");
    exporter
        .until(&what, async |exporter: &Exporter| {
            let (now, text) = exporter.get("/health").await;
            (now == status).then(|| serde_json::from_str(&text).unwrap())
        })
        .await
}

/// Waits until everything that was taken is in the bucket.
pub async fn drained(exporter: &Exporter) {
    exporter.until_metric("s3exporter_usage_journal_entries", 0.0).await;
}

/// A series of `s3exporter_usage_*`, with labels as they are written.
pub async fn metric(exporter: &Exporter, name: &str) -> f64 {
    let metrics = exporter.metrics().await;
    metrics.value(&format!("s3exporter_usage_{name}")).unwrap_or_else(|| panic!("no {name} in\n{}", metrics.0))
}

/// Waits until a series of `s3exporter_usage_*` is at least so much.
pub async fn until_at_least(exporter: &Exporter, name: &str, least: f64) {
    let what = format!("{name} is {least}");
    exporter.until(&what, async |exporter: &Exporter| (metric(exporter, name).await >= least).then_some(())).await;
}

/// The answer to a GET at any address.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    answered(client.get(format!("http://{address}{path}"))).await.unwrap()
}

/// The address of the listener for reports alone.
pub fn usage_address(exporter: &Exporter) -> SocketAddr {
    logged_address(exporter, "listening for reports").expect("it is told before the main one")
}

/// The address in the line with this message.
fn logged_address(exporter: &Exporter, message: &str) -> Option<SocketAddr> {
    exporter.log_lines().iter().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let told = line["message"].as_str() == Some(message);
        told.then(|| line["address"].as_str()?.parse().ok())?
    })
}

/// Waits for what happens in any case, and soon.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), polled).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Runs a command to its end, which must come: its exit code, and what it said.
pub async fn ended(mut command: Command) -> (Option<i32>, String) {
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await.expect("it ends").unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The bytes of an object, which are those that its metadata promises.
fn checked(object: &Object) -> Bytes {
    let bytes = bytes(object);
    assert_eq!(object.metadata.get("sha256"), Some(&sha256(&bytes)), "{:?}", object.metadata);
    bytes
}

fn bytes(object: &Object) -> Bytes {
    match &object.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::Zeros(_) => panic!("the exporter writes bytes"),
    }
}

fn sha256(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
