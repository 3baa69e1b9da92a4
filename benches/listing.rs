//! `make bench`: how fast a bucket is listed in ranges, at what cost, and what scrapes feel of it. One run, wall-clock time where it says so.
//!
//! The fake list server is a process of its own and has a latency of 80 ms a page, which is what S3 takes.

#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::program::{Exporter, Fake, PAUSE, headline, named_clusters, percentile};

mod program;

const SPACES: [&str; 7] = ["clusters", "uuids", "date-tree", "counters", "one-huge", "long-prefix", "non-ascii"];
const WAYS: usize = 64;

fn main() {
    headline("cargo bench --locked --bench listing (release)");
    key_spaces();
    costs();
    scrapes();
}

/// 1,000,000 objects in each key space: the first scan, which knows nothing, and the second, which knows the first.
fn key_spaces() {
    println!(
        "1,000,000 objects, 80 ms a page, {WAYS} ways; serial: 30,000 objects, one way. Targets: 400,000 and 600,000 objects/s.\n"
    );
    println!(
        "| keys | serial, objects/s | first scan, objects/s | second scan, objects/s | requests, first | second | at most |"
    );
    println!("|---|---|---|---|---|---|---|");
    for space in SPACES {
        let serial = {
            let server = Fake::list_server(&["--space", space, "--objects=30000", "--clusters=100", "--latency-ms=80"]);
            let mut exporter =
                Exporter::start(&server.endpoint, &["--cluster=none", "--list-concurrency=1", "--scan-interval=1h"]);
            let seconds = exporter.scanned();
            exporter.metric("s3exporter_scan_objects_seen") / seconds
        };
        // As many clusters as the issue has names for; one huge cluster is among a thousand.
        let clusters = if space == "one-huge" { "--clusters=1000" } else { "--clusters=10000" };
        let server = Fake::list_server(&["--space", space, "--objects=1000000", clusters, "--latency-ms=80"]);
        let interval = format!("--scan-interval={}s", 3 * PAUSE.as_secs());
        let ways = format!("--list-concurrency={WAYS}");
        let mut exporter = Exporter::start(&server.endpoint, &["--cluster=none", &ways, &interval]);
        let scan = |exporter: &mut Exporter| {
            let seconds = exporter.scanned();
            let objects = exporter.metric("s3exporter_scan_objects_seen");
            (objects / seconds, exporter.metric("s3exporter_scan_requests_total"), objects)
        };
        let (first, first_requests, objects) = scan(&mut exporter);
        let (second, requests, _) = scan(&mut exporter);
        let most = 1.05 * (objects / 1_000.0).ceil() + 2.0 * WAYS as f64;
        println!(
            "| {space} | {serial:.0} | {first:.0} | {second:.0} | {first_requests} | {} | {most:.0} |",
            requests - first_requests
        );
    }
}

/// CPU time and memory, with 10,000 names.
fn costs() {
    println!(
        "\n10,000 clusters by name, no latency. Targets: 0.7 µs; 64 MiB at 32 ways, 96 MiB at 64, whatever the number of objects.\n"
    );
    println!("| objects | ways | CPU time per object, user and system | peak of resident memory |");
    println!("|---|---|---|---|");
    let file = named_clusters(10_000);
    let config = format!("--config={}", file.path().display());
    for (objects, ways) in [(1_000_000, 32), (1_000_000, 64), (10_000_000, 32), (10_000_000, 64)] {
        let server = Fake::list_server(&["--objects", &objects.to_string(), "--clusters=10000"]);
        let ways_argument = format!("--list-concurrency={ways}");
        let mut exporter = Exporter::start(&server.endpoint, &[&config, &ways_argument, "--scan-interval=1h"]);
        let before = exporter.cpu();
        exporter.scanned();
        let cost = (exporter.cpu() - before) / f64::from(objects) * 1e6;
        println!("| {objects} | {ways} | {cost:.2} µs | {:.1} MiB |", exporter.memory("VmHWM"));
    }
}

/// Scrapes, ten a second, while a bucket of 10,000 clusters is scanned without a pause.
fn scrapes() {
    const SCRAPES: usize = 400;
    println!(
        "\n{SCRAPES} scrapes of 10,000 clusters during scans, 80 ms a page, 32 ways. Targets at the 99th percentile: 10 ms and 50 ms.\n"
    );
    println!("| body | first byte, median | 99th percentile | whole body, median | 99th percentile |");
    println!("|---|---|---|---|---|");
    let file = named_clusters(10_000);
    let config = format!("--config={}", file.path().display());
    let server = Fake::list_server(&["--objects=10000000", "--clusters=10000", "--latency-ms=80"]);
    let mut exporter = Exporter::start(&server.endpoint, &[&config, "--scan-interval=1s"]);
    exporter.scanned();
    for (encoding, name) in [("identity", "plain"), ("gzip", "gzip")] {
        let (mut first_byte, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..SCRAPES {
            let (first, all) = scrape(&exporter.address, encoding);
            first_byte.push(first);
            whole.push(all);
            std::thread::sleep(Duration::from_millis(20));
        }
        let at = |values: &mut [f64], share| percentile(values, share) * 1e3;
        let (first, first_99) = (at(&mut first_byte, 0.5), at(&mut first_byte, 0.99));
        let (body, body_99) = (at(&mut whole, 0.5), at(&mut whole, 0.99));
        println!("| {name} | {first:.1} ms | {first_99:.1} ms | {body:.1} ms | {body_99:.1} ms |");
    }
}

/// Seconds to the first byte of the answer and to its end.
fn scrape(address: &str, encoding: &str) -> (f64, f64) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let start = Instant::now();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept-encoding: {encoding}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut buffer = vec![0; 1 << 20];
    let mut read = stream.read(&mut buffer).expect("it answers");
    assert!(buffer.starts_with(b"HTTP/1.1 200"));
    let first = start.elapsed().as_secs_f64();
    while read > 0 {
        read = stream.read(&mut buffer).expect("it answers to the end");
    }
    (first, start.elapsed().as_secs_f64())
}
