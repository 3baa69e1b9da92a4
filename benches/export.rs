//! `make bench`: how fast hours are exported, at what cost in CPU and memory, and what is asked of Prometheus when nothing is missing.
//!
//! The fake Prometheus and, where it says so, the fake S3 server are processes of their own; the rest is written to a local folder.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::time::{Duration, Instant};

use crate::program::{Exporter, Fake, headline};

mod program;

const ALIAS: &str = "{alias=\"bench\"}";
/// Ten names, as by default.
const TEN: &str = "a,b,c,d,e,f,g,h,i,j";

fn main() {
    headline("cargo bench --locked --bench export (release)");
    backlog();
    throughput();
    steady_state();
}

/// Where an export goes.
struct Target {
    /// Where objects are, if that is a folder.
    folder: Option<tempfile::TempDir>,
    server: Option<Fake>,
}

impl Target {
    fn folder() -> Self {
        Self { folder: Some(tempfile::tempdir().expect("a folder")), server: None }
    }

    fn server() -> Self {
        Self { folder: None, server: Some(Fake::start("s3-memory", &["--bucket=bench"])) }
    }

    fn endpoint(&self) -> String {
        match (&self.folder, &self.server) {
            (Some(folder), _) => format!("file://{}", folder.path().display()),
            (None, Some(server)) => server.endpoint.clone(),
            (None, None) => unreachable!("one of them"),
        }
    }
}

/// How a run went.
struct Run {
    seconds: f64,
    cpu: f64,
    peak: f64,
    bytes: f64,
    requests: f64,
    exporter: Exporter,
}

fn run(source: &Fake, target: &Target, args: &[&str]) -> Run {
    let endpoints = format!("--prom-endpoints={{\"bench\":\"{}\"}}", source.endpoint);
    let endpoint = target.endpoint();
    // The key pair that the fake S3 server has.
    let keys = ["--access-key-id=AKIAFAKEFAKEFAKEFAKE", "--secret-access-key=fake/Secret+Access/Key+With/Odd+Characters"];
    let fixed = ["--no-inventory", "--export-bucket=bench", "-endpoint", &endpoint, &endpoints, "--timeout-seconds=120"];
    let start = Instant::now();
    let exporter = Exporter::serve(&[&fixed[..], &keys, args].concat());
    while exporter.series(&format!("s3exporter_export_last_completion_timestamp_seconds{ALIAS}")).is_none_or(|at| at == 0.0) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = start.elapsed().as_secs_f64();
    let value = |name: &str| exporter.series(&format!("s3exporter_export_{name}")).unwrap_or(0.0);
    assert_eq!(value("runs_total{alias=\"bench\",outcome=\"success\"}"), 1.0, "the export failed");
    let (bytes, requests) = (value(&format!("bytes_total{ALIAS}")), value("requests_total{alias=\"bench\",code=\"2xx\"}"));
    Run { seconds, cpu: exporter.cpu(), peak: exporter.memory("VmHWM"), bytes, requests, exporter }
}

/// A week of hours with ten metrics.
fn backlog() {
    println!("168 hours, 10 metrics of 100 series each, one value an hour; fake Prometheus and fake S3 server, no latency.\n");
    println!("| hours at once | seconds | hours/s | queries | CPU per object |");
    println!("|---|---|---|---|---|");
    let metrics: Vec<String> = TEN.split(',').map(|name| format!("{name}=100")).collect();
    let source = Fake::start("prometheus", &["--metrics", &metrics.join(",")]);
    for ways in [1, 4, 16] {
        let ways_argument = format!("--export-concurrency={ways}");
        let args = ["--hours-to-backfill=168", "--export-metrics", TEN, &ways_argument];
        let run = run(&source, &Target::server(), &args);
        let objects = run.requests;
        println!("| {ways} | {:.2} | {:.0} | {objects} | {:.2} ms |", run.seconds, 168.0 / run.seconds, run.cpu / objects * 1e3);
    }
}

/// One answer of a gibibyte.
fn throughput() {
    println!("\nOne answer of about 1 GiB (60 values an hour, 800,000 series). Target: 64 MiB resident.\n");
    println!("| how | to | seconds | MB/s of the answer | CPU per MB | peak of resident memory | stored |");
    println!("|---|---|---|---|---|---|---|");
    let source = Fake::start("prometheus", &["--metrics=large=800000", "--padding=100"]);
    let one = ["--hours-to-backfill=1", "--export-metrics=large", "--step-seconds=60"];
    let plain = run(&source, &Target::folder(), &one);
    let answer = plain.bytes / 1e6;
    let row = |how: &str, to: &str, run: &Run| {
        println!(
            "| {how} | {to} | {:.1} | {:.0} | {:.2} ms | {:.1} MiB | {:.0} MB |",
            run.seconds,
            answer / run.seconds,
            run.cpu / answer * 1e3,
            run.peak,
            run.bytes / 1e6
        );
    };
    row("as it is", "folder", &plain);
    drop(plain);
    row("as it is", "S3 server", &run(&source, &Target::server(), &one));
    for form in ["gzip", "zstd"] {
        let compress = format!("--compress={form}");
        row(form, "folder", &run(&source, &Target::folder(), &[&one[..], &[&compress]].concat()));
    }
    // Every sample, four a minute, of fewer series.
    let source = Fake::start("prometheus", &["--metrics=large=220000", "--padding=100"]);
    let raw = run(&source, &Target::folder(), &["--hours-to-backfill=1", "--export-metrics=large", "--mode=raw"]);
    let answer = raw.bytes / 1e6;
    println!(
        "| every sample | folder | {:.1} | {:.0} | {:.2} ms | {:.1} MiB | {answer:.0} MB |",
        raw.seconds,
        answer / raw.seconds,
        raw.cpu / answer * 1e3,
        raw.peak
    );
}

/// What an hour costs Prometheus: the hour itself, and nothing when it is there.
fn steady_state() {
    let metrics: Vec<String> = TEN.split(',').map(|name| format!("{name}=10")).collect();
    let source = Fake::start("prometheus", &["--metrics", &metrics.join(",")]);
    let target = Target::server();
    let args = ["--hours-to-backfill=1", "--export-metrics", TEN];
    let first = run(&source, &target, &args);
    drop(first.exporter);
    let again = run(&source, &target, &args);
    println!("\nQueries for an hour of ten metrics: {}; in a run with nothing due: {}.", first.requests, again.requests);
}
