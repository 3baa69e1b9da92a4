//! What a server of usage takes: durable reports of 110 pods per second, with and without files that are made and sent meanwhile, and the memory of a
//! process that knows 150,000 pods. Senders, Kubernetes and S3 share the machine with it.
//!
//! `make bench`, or `cargo bench --bench usage`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by it, and prints")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "numbers for people")]

mod program;

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fakes::kube_api::Population;
use kube_s3_exporter::usage::payload;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout};

use self::program::{Exporter, Fake, headline, percentile};

const PODS: usize = 110;
const NODES: usize = 1_364;
const SENDERS: usize = 64;
const TOKEN: &str = "a-token-of-the-benchmark";
/// Reports that the service which is replaced takes per second, without writing them to disk.
const REPLACED: f64 = 23.0;

fn main() {
    headline("cargo bench --bench usage");
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let kubeconfig = folder.path().to_str().unwrap().to_owned();
    let (nodes, pods) = (NODES.to_string(), PODS.to_string());
    let _kube =
        Fake::start("kube", &["--nodes", &nodes, "--pods-per-node", &pods, "--kubeconfig-dir", &kubeconfig, "--clusters", "0"]);
    let s3 = Fake::start("s3-memory", &["--bucket", "usage"]);
    let bodies = bodies();
    println!("{NODES} nodes of {PODS} pods, {} bytes a report, {SENDERS} senders\n", bodies[0].len());

    println!(
        "reading a report: to see that it is one  {:>6.0} us",
        microseconds(|| payload::check(black_box(&bodies[0])).unwrap().pods)
    );
    println!(
        "  and to keep what it says               {:>6.0} us",
        microseconds(|| payload::read(black_box(&bodies[0])).unwrap().report.pods.len())
    );

    let start = |journal: &str, more: &[&str]| {
        let journal = folder.path().join(journal);
        let mut args = vec!["serve", "--usage", "--no-inventory", "--usage-bucket=usage", "--endpoint", &s3.endpoint];
        args.extend(["--access-key-id=AKIAFAKEFAKEFAKEFAKE", "--secret-access-key=fake/Secret+Access/Key+With/Odd+Characters"]);
        let kubeconfig = folder.path().join("kubeconfig");
        args.extend(["--kubeconfig", kubeconfig.to_str().unwrap(), "--journal-dir", journal.to_str().unwrap()]);
        args.extend(["--usage-token-file", token.to_str().unwrap()]);
        args.extend(more);
        let exporter = Exporter::serve(&args);
        let begun = Instant::now();
        while exporter.series("s3exporter_watch_synced{resource=\"usage/pods\"}") != Some(1.0) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the pods are not listed");
            std::thread::sleep(Duration::from_millis(200));
        }
        exporter
    };

    let exporter = start("taken", &["--usage-roll-age=1h", "--usage-roll-bytes=3GiB"]);
    let resident = exporter.memory("VmRSS");
    let per_pod = resident * 1_048_576.0 / (NODES * PODS) as f64;
    println!("resident with {} pods known       {resident:>8.0} MiB   (target below 250)", NODES * PODS);
    println!("  a pod, with all of the process       {per_pod:>8.0} bytes");
    let cpu = exporter.cpu();
    let (taken, seconds) = send(&exporter.address, &bodies, Duration::from_secs(20), None);
    let rate = taken as f64 / seconds;
    let entry = exporter.series("s3exporter_usage_journal_live_bytes").unwrap() / taken as f64;
    println!(
        "acknowledged in {seconds:.0} s                   {rate:>8.0} /s    (target 5,000; {:.0} x the replaced)",
        rate / REPLACED
    );
    println!("  CPU of the server                    {:>8.0} us per report", (exporter.cpu() - cpu) / taken as f64 * 1e6);
    let commits = exporter.series("s3exporter_usage_journal_commit_reports_count").unwrap();
    println!("  reports that share an fsync          {:>8.1}", taken as f64 / commits);
    println!("  journal                              {entry:>8.0} bytes a report");
    println!(
        "  the disk alone: so many reports      {:>8.0} /s    written and synced as these were",
        disk(folder.path(), entry, taken as f64 / commits)
    );
    drop(exporter);

    let exporter = start("sent", &[]);
    let cpu = exporter.cpu();
    let (taken, seconds) = send(&exporter.address, &bodies, Duration::from_secs(60), Some(2_000.0));
    let waiting = exporter.series("s3exporter_usage_journal_entries").unwrap();
    let rows = exporter.series("s3exporter_usage_rows_sealed_total").unwrap();
    println!(
        "sustained for {seconds:.0} s, files made and sent {:>6.0} /s    (target 2,000, which is all that is sent)",
        taken as f64 / seconds
    );
    println!("  CPU of the server                    {:>8.0} us per report", (exporter.cpu() - cpu) / taken as f64 * 1e6);
    println!(
        "  rows in files by then                {rows:>8.0}       in {:.0} files; {waiting:.0} reports wait",
        exporter.series("s3exporter_usage_files_sealed_total").unwrap()
    );
    println!("  rows without a pod                   {:>8.0}", exporter.series("s3exporter_usage_rows_unmatched_total").unwrap());
    println!(
        "resident at most                       {:>8.0} MiB   (of which the pods are those above)",
        exporter.memory("VmHWM")
    );
}

/// How long something takes: the median of a thousand runs.
fn microseconds(work: impl Fn() -> usize) -> f64 {
    let mut times: Vec<f64> = (0..1_000)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(work(), PODS);
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    percentile(&mut times, 0.5)
}

/// What each node reports, with a timestamp of a fixed width to be replaced.
fn bodies() -> Vec<Vec<u8>> {
    let population = Population::new(NODES, PODS);
    (0..NODES).map(|node| population.report(node, STAMP, 1).to_string().into_bytes()).collect()
}

const STAMP: &str = "2026-01-01T00:00:00.000000Z";

/// Sends for so long, at so many reports per second if told, and gives how many were acknowledged in how many seconds.
fn send(address: &str, bodies: &[Vec<u8>], time: Duration, pace: Option<f64>) -> (u64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (next, taken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let places: Arc<Vec<(Vec<u8>, usize)>> = Arc::new(
        bodies
            .iter()
            .map(|body| {
                let head = format!(
                    "POST /metrics HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let request = [head.as_bytes(), body].concat();
                let at = request.windows(STAMP.len()).position(|window| window == STAMP.as_bytes()).unwrap();
                (request, at)
            })
            .collect(),
    );
    let begun = Instant::now();
    runtime.block_on(async {
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (next, taken, places, address) =
                    (Arc::clone(&next), Arc::clone(&taken), Arc::clone(&places), address.to_owned());
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(&address).await.unwrap();
                    let mut answer = vec![0; 4_096];
                    while begun.elapsed() < time {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if let Some(pace) = pace {
                            sleep_until((begun + Duration::from_secs_f64(number as f64 / pace)).into()).await;
                        }
                        let (request, at) = &places[number as usize % places.len()];
                        let mut request = request.clone();
                        // Nodes report in turn; each round is a second later.
                        let round = number / places.len() as u64;
                        let stamp =
                            format!("2026-01-01T{:02}:{:02}:{:02}.000000Z", round / 3_600 % 24, round / 60 % 60, round % 60);
                        request[*at..at + STAMP.len()].copy_from_slice(stamp.as_bytes());
                        loop {
                            let answered = async {
                                stream.write_all(&request).await.ok()?;
                                let length = stream.read(&mut answer).await.ok()?;
                                answer[..length].starts_with(b"HTTP/1.1 200").then_some(())
                            };
                            if timeout(Duration::from_secs(10), answered).await.ok().flatten().is_some() {
                                taken.fetch_add(1, Ordering::Relaxed);
                                break;
                            }
                            // The server ends connections after a minute.
                            sleep(Duration::from_millis(10)).await;
                            stream = TcpStream::connect(&address).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
    });
    (taken.load(Ordering::Relaxed), begun.elapsed().as_secs_f64())
}

/// Reports per second that a file on the same disk takes when as many of them are written and synced together.
fn disk(folder: &Path, entry: f64, batch: f64) -> f64 {
    let mut file = File::create(folder.join("disk")).unwrap();
    let bytes = vec![7; (entry * batch) as usize];
    let begun = Instant::now();
    let mut written = 0.0;
    while begun.elapsed() < Duration::from_secs(3) {
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        written += batch;
    }
    written / begun.elapsed().as_secs_f64()
}
