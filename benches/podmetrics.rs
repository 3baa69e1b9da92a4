//! What the answer for a job costs: 1,000 targets of 1,857 samples each, in memory, on one core. And what the index of 100,000 pods takes.
//!
//! `make bench`, or `cargo bench --bench podmetrics`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by it, and prints")]

mod pods;

use std::time::Instant;

use fakes::pods::exposition;
use kube_s3_exporter::exposition::{Format, negotiate};
use kube_s3_exporter::podmetrics::{Limits, Page, Target};

const TARGETS: usize = 1_000;
const SAMPLES: usize = 1_857;
const PODS: usize = 100_000;
const RUNS: usize = 7;

fn main() {
    // First, since it looks at how much the process has grown.
    let (index, memory) = pods::measure(PODS);
    let per_pod = memory.settled / PODS;
    println!(
        "discovery: {} pods, {per_pod} bytes each, at most {:.0} MB while they are listed again",
        index.counts().total(),
        megabytes(memory.peak)
    );
    drop(index);

    let bodies: Vec<Vec<u8>> = (0..TARGETS).map(|at| exposition::body(at, SAMPLES).into_bytes()).collect();
    let input: usize = bodies.iter().map(Vec::len).sum();
    println!(
        "merging: {TARGETS} targets of {SAMPLES} samples, {} MB, best and median of {RUNS} runs on one core",
        input / 1_000_000
    );
    for (name, accept) in
        [("text to text", "text/plain;version=0.0.4"), ("text to OpenMetrics", "application/openmetrics-text;version=1.0.0")]
    {
        let answer = negotiate(std::iter::once(accept));
        let mut seconds = Vec::new();
        let (mut held, mut written) = (0, 0);
        for _ in 0..RUNS {
            let targets: Vec<Target> = bodies.iter().enumerate().map(|(at, body)| target(at, body.clone())).collect();
            let start = Instant::now();
            let page = Page::of_bodies(targets, answer, Limits::default(), false);
            written = page.pieces().map(|piece| piece.len()).sum();
            seconds.push(start.elapsed().as_secs_f64());
            assert_eq!(page.failures().count(), 0, "{}", page.failures().next().unwrap().1);
            held = page.held_bytes();
        }
        seconds.sort_by(f64::total_cmp);
        let rate = |seconds: f64| megabytes(input) / seconds;
        println!(
            "  {name}: {:.0} MB/s, median {:.0}; held {:.3} x input, written {:.0} MB in pieces",
            rate(seconds[0]),
            rate(seconds[RUNS / 2]),
            megabytes(held) / megabytes(input),
            megabytes(written)
        );
    }
}

fn target(at: usize, body: Vec<u8>) -> Target {
    let added = [
        ("instance", format!("memcached-{at}")),
        ("job", "memcached".to_owned()),
        ("pod_namespace", "default".to_owned()),
        ("pod_ip", format!("10.0.{}.{}", at / 256, at % 256)),
    ];
    Target { added: added.map(|(name, value)| (name.to_owned(), value)).to_vec(), body, format: Format::Text }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
