//! Starts the binary, waits for what it should come to, reads what it says.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime};

use fakes::kubelet::Kubelet;
use fakes::prometheus::{MetricShape, Prometheus};
use fakes::s3_memory::{Object, S3Memory};

/// Longer than anything here takes on a busy machine; nobody waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(120);

/// The label that says which job a pod belongs to.
pub const JOB_NAME: &str = "metrics-aggregator.apawel.me/job-name";

/// A running exporter; killed when dropped.
pub struct Exporter {
    child: Child,
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
}

/// The binary with an empty environment, so that nothing of this machine leaks in.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube-s3-exporter"));
    command.env_clear().args(args).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn run(args: &[&str]) -> Output {
    command(args).output().expect("the binary starts")
}

impl Exporter {
    /// Starts it with `args` on a free port, scanning five times a second.
    pub async fn start(args: &[&str]) -> Self {
        let mut all = vec!["-address=127.0.0.1:0", "--scan-interval=200ms"];
        all.extend(args);
        Self::start_command(command(&all)).await
    }

    /// Starts a command that will listen.
    pub async fn start_command(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line)));
        // A connection for each request: one that is kept may come to the end of its life just as it is used again.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        let mut exporter = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log, client };
        exporter.address = exporter.until("it listens", async |exporter: &Self| exporter.logged_address()).await;
        exporter
    }

    /// The address in the line that says so, JSON or not.
    fn logged_address(&self) -> Option<SocketAddr> {
        self.log_lines().iter().filter(|line| line.contains("listening")).find_map(|line| {
            let behind = line.split_once("\"address\":\"").or_else(|| line.split_once("address="))?.1;
            behind.split(['"', ' ']).next()?.parse().ok()
        })
    }

    /// Polls until `condition` gives something.
    pub async fn until<T>(&self, what: &str, condition: impl AsyncFn(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(value) = condition(self).await {
                return value;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}; log:\n{}", self.log_lines().join("\n"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(format!("http://{}{path}", self.address)).send().await.expect("it answers");
        (response.status().as_u16(), response.text().await.expect("a whole answer"))
    }

    /// The answer to a scrape.
    pub async fn metrics(&self) -> Metrics {
        let (status, text) = self.get("/metrics").await;
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }

    /// Waits until a scrape shows `series` with `value`.
    pub async fn until_metric(&self, series: &str, value: f64) -> Metrics {
        let what = format!("{series} is {value}");
        self.until(&what, async |exporter: &Self| {
            let metrics = exporter.metrics().await;
            (metrics.value(series) == Some(value)).then_some(metrics)
        })
        .await
    }

    /// Waits until two more scans have succeeded, so that at least one of them began after this call.
    pub async fn until_scanned_again(&self, bucket: &str) -> Metrics {
        let series = format!("s3exporter_scan_runs_total{{bucket=\"{bucket}\",outcome=\"success\"}}");
        let before = self.metrics().await.value(&series).unwrap_or(0.0);
        self.until("two more scans have succeeded", async |exporter: &Self| {
            let metrics = exporter.metrics().await;
            metrics.value(&series).is_some_and(|now| now >= before + 2.0).then_some(metrics)
        })
        .await
    }

    pub fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal by name and gives the exit code.
    pub fn stop(mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not stop on {signal}");
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of a scrape.
pub struct Metrics(pub String);

impl Metrics {
    /// The value of a series, written as the exporter writes it.
    pub fn value(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().expect("a number"))
    }
}

/// Where the outside tools are; see `make oracles`.
pub fn oracles() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/oracles");
    std::env::var_os("ORACLES").map_or_else(default, PathBuf::from)
}

/// Notes a test that cannot run, for the end of `make test`.
pub fn skip(test: &str, tool: &str) {
    use std::io::Write as _;
    eprintln!("SKIPPED {test}: {tool} is missing; run `make oracles`");
    let file = std::fs::OpenOptions::new().create(true).append(true).open(oracles().join("skipped"));
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{test}: {tool} is missing");
    }
}

/// The python with boto3 and PyYAML.
pub fn python() -> Option<PathBuf> {
    Some(oracles().join("python/bin/python")).filter(|python| python.exists())
}

/// True if a program is on the path.
pub fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A time in whole seconds, since that is what S3 keeps.
pub fn seconds_ago(seconds: u64) -> SystemTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    SystemTime::UNIX_EPOCH + Duration::from_secs(now - seconds)
}

/// An object of `size` bytes written `age` seconds ago.
pub fn object(size: u64, age: u64) -> Object {
    Object::sized(size).modified(seconds_ago(age))
}

/// Arguments for the exporter to reach `server`.
pub fn reach(server: &S3Memory) -> [String; 3] {
    [
        format!("-endpoint={}", server.endpoint()),
        format!("-access-key-id={}", server.access_key_id()),
        format!("-secret-access-key={}", server.secret_access_key()),
    ]
}

/// Seconds that hours are given to settle, such that none settles within a quarter of an hour from the first call.
pub fn settle() -> u64 {
    static SETTLE: LazyLock<u64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        if (1_800..2_700).contains(&(now % 3_600)) { 120 } else { 2_700 }
    });
    *SETTLE
}

/// Both ends of an export: a Prometheus with a few metrics, and an empty bucket.
pub struct ExportPeers {
    source: Prometheus,
    bucket: S3Memory,
}

impl ExportPeers {
    pub async fn start() -> Self {
        let peers = Self { source: Prometheus::start().await, bucket: S3Memory::start().await };
        peers.bucket.create_bucket("exported");
        for name in ["up", "job:up:sum"] {
            peers.source.set_metric(name, MetricShape { series: 3, padding: 0 });
        }
        peers
    }

    /// A file with the export of two hours, of the endpoint `prod`. Its S3 is not the one that is scanned.
    pub fn config(&self, folder: &Path) -> PathBuf {
        let (s3, source) = (&self.bucket, self.source.endpoint());
        let file = folder.join("config.yaml");
        let config = serde_json::json!({"export": {
            "endpoints": {"prod": source},
            "metrics": ["up", "job:up:sum"],
            "hours_to_backfill": 2,
            "settle": format!("{}s", settle()),
            "bucket": "exported",
            "s3": {
                "endpoint": s3.endpoint(),
                "access_key_id": s3.access_key_id(),
                "secret_access_key": s3.secret_access_key(),
            },
        }});
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }
}

/// A collector that has sent one report of a node to `receiver`; its kubelet lives as long as what comes with it.
pub async fn collector(receiver: &Exporter) -> (Exporter, Kubelet) {
    let kubelet = Kubelet::start().await;
    let mut command = command(&["collect", "--address=127.0.0.1:0", "--scrape-interval=10m", "--jitter-percent=0"]);
    command.arg(format!("--kubelet-endpoint={}", kubelet.endpoint()));
    command.arg(format!("--push-endpoint=http://{}", receiver.address));
    let collector = Exporter::start_command(command).await;
    collector.until_metric("s3exporter_collect_reports_sent_total", 1.0).await;
    (collector, kubelet)
}
