//! The real binary and the fakes as processes of their own, for the benchmarks.

#![allow(dead_code, reason = "each benchmark uses its part of it")]

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A fake in a process of its own.
pub struct Fake {
    child: Child,
    /// It may say more.
    _stdout: BufReader<ChildStdout>,
    pub endpoint: String,
}

impl Fake {
    /// Computed keys.
    pub fn list_server(args: &[&str]) -> Self {
        Self::start("s3-pages", args)
    }

    /// Such as `prometheus`.
    pub fn start(which: &str, args: &[&str]) -> Self {
        let mut child = Command::new(fakes()).arg(which).args(args).stdout(Stdio::piped()).spawn().expect("the fakes start");
        let mut endpoint = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut endpoint).expect("they say where they are");
        Self { child, _stdout: stdout, endpoint: endpoint.trim().to_owned() }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The release build of the fakes, which `make bench` has made, two folders above this benchmark's own binary.
fn fakes() -> PathBuf {
    let own = std::env::current_exe().expect("it has a path");
    let path = own.ancestors().nth(2).expect("target/release/deps").join("fakes");
    assert!(path.exists(), "{} is missing: run `make bench`", path.display());
    path
}

/// The exporter.
pub struct Exporter {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    pub address: String,
}

impl Exporter {
    /// Scans the bucket `bench` at `endpoint`.
    pub fn start(endpoint: &str, args: &[&str]) -> Self {
        let inventory = ["-endpoint", endpoint, "-bucket=bench", "--anonymous", "-log-debug"];
        Self::serve(&[&inventory[..], args].concat())
    }

    /// Does what `args` say.
    pub fn serve(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kube-s3-exporter"))
            .env_clear()
            .args(args)
            .arg("-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut exporter = Self { child, log, address: String::new() };
        exporter.address = exporter.logged("listening")["address"].as_str().expect("a text").to_owned();
        exporter
    }

    /// Waits for the next complete scan. Gives its seconds.
    pub fn scanned(&mut self) -> f64 {
        self.logged("scanned")["seconds"].as_f64().expect("a number")
    }

    fn logged(&mut self, message: &str) -> Value {
        for line in self.log.by_ref() {
            let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
            assert_ne!(line["level"], "WARN", "{line}");
            if line["message"] == message {
                return line;
            }
        }
        panic!("it stopped before it was {message}");
    }

    /// The value of a bucket's series.
    pub fn metric(&self, name: &str) -> f64 {
        self.series(&format!("{name}{{bucket=\"bench\"}}")).expect("a number")
    }

    /// The value of a series.
    pub fn series(&self, name: &str) -> Option<f64> {
        let url = format!("http://{}/metrics", self.address);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let text = runtime.block_on(async { reqwest::get(url).await.expect("an answer").text().await.expect("a text") });
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// CPU seconds of all its threads so far.
    pub fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let nanoseconds = |task: fs::DirEntry| -> Option<u64> {
            fs::read_to_string(task.path().join("schedstat")).ok()?.split_ascii_whitespace().next()?.parse().ok()
        };
        tasks.flatten().filter_map(nanoseconds).sum::<u64>() as f64 / 1e9
    }

    /// MiB: now (`VmRSS`) or at most so far (`VmHWM`).
    pub fn memory(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        let kibibytes = line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB");
        kibibytes.parse::<f64>().expect("a number") / 1_024.0
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that names clusters as the fake list server does.
pub fn named_clusters(clusters: usize) -> tempfile::NamedTempFile {
    let names: Vec<String> = (0..clusters).map(|number| format!("cluster-{number:05}")).collect();
    let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("a temporary file");
    fs::write(&file, format!("inventory:\n  clusters: [{}]\n", names.join(", "))).expect("it can be written");
    file
}

/// Prints the machine and the command above a table.
pub fn headline(command: &str) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    println!("\nmachine: {cores} x {}", model.trim_start_matches([' ', '\t', ':']));
    println!("command: {command}\n");
}

/// What lies above this share of the values.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = (values.len() as f64 * share) as usize;
    values[index.min(values.len() - 1)]
}

/// Long enough for a scan to end and its numbers to be read before the next begins.
pub const PAUSE: Duration = Duration::from_secs(2);
