//! What the answer for a job costs: 1,000 targets of 1,857 samples each, in memory, on one core.
//!
//! `make bench`, or `cargo bench --bench podmetrics`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by it, and prints")]

use std::time::Instant;

use kube_s3_exporter::exposition::{Format, negotiate};
use kube_s3_exporter::podmetrics::{Limits, Page, Target};

const TARGETS: usize = 1_000;

fn main() {
    let body = fakes_body();
    println!("bodies of {} bytes", body.len());
    for (name, accept) in
        [("text to text", "text/plain;version=0.0.4"), ("text to OpenMetrics", "application/openmetrics-text;version=1.0.0")]
    {
        let answer = negotiate(std::iter::once(accept));
        for _ in 0..3 {
            let targets: Vec<Target> = (0..TARGETS)
                .map(|at| Target {
                    added: vec![
                        ("instance".to_owned(), format!("memcached-{at}")),
                        ("job".to_owned(), "memcached".to_owned()),
                        ("pod_namespace".to_owned(), "default".to_owned()),
                        ("pod_ip".to_owned(), format!("10.0.{}.{}", at / 256, at % 256)),
                    ],
                    body: body.clone().into_bytes(),
                    format: Format::Text,
                })
                .collect();
            let start = Instant::now();
            let page = Page::of_bodies(targets, answer, Limits::default(), false);
            let merged = start.elapsed();
            assert_eq!(page.failures().count(), 0, "{}", page.failures().next().unwrap().1);
            let written: usize = page.pieces().map(|piece| piece.len()).sum();
            let all = start.elapsed();
            let input = body.len() * TARGETS;
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = |seconds: f64| input as f64 / seconds / 1e6;
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let held = page.held_bytes() as f64 / input as f64;
            println!(
                "{name}: {:.0} MB/s (checked and planned {:.0} MB/s), held {held:.3} x, written {} MB",
                rate(all.as_secs_f64()),
                rate(merged.as_secs_f64()),
                written / 1_000_000
            );
        }
    }
}

/// A body like that of a Go service: counters, histograms and gauges.
fn fakes_body() -> String {
    let mut out = String::new();
    let mut samples = 0;
    let mut family = 0;
    while samples < 1_857 {
        let name = format!("memcached_request_duration_seconds_{family}");
        out.push_str(&format!("# HELP {name} Time that requests took, by method and status code.\n# TYPE {name} histogram\n"));
        for method in ["GET", "SET", "DELETE"] {
            for le in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"] {
                out.push_str(&format!(
                    "{name}_bucket{{method=\"{method}\",code=\"200\",server=\"s-{family}\",le=\"{le}\"}} {}\n",
                    samples * 7
                ));
                samples += 1;
            }
            out.push_str(&format!("{name}_sum{{method=\"{method}\",code=\"200\",server=\"s-{family}\"}} {}.125\n", samples * 3));
            out.push_str(&format!("{name}_count{{method=\"{method}\",code=\"200\",server=\"s-{family}\"}} {}\n", samples * 7));
            samples += 2;
        }
        let name = format!("memcached_commands_{family}_total");
        out.push_str(&format!(
            "# HELP {name} Total number of all requests broken down by command and status.\n# TYPE {name} counter\n"
        ));
        for command in ["get", "set", "touch", "delete", "incr", "decr"] {
            out.push_str(&format!("{name}{{command=\"{command}\",status=\"hit\",slab=\"{family}\"}} {}\n", samples * 13));
            samples += 1;
        }
        family += 1;
    }
    out
}
