//! Bodies like those of real pods, computed: as many samples as wanted, always the same for a pod.

use std::fmt::{Display, Write};

use crate::mix::mix;

const SUBSYSTEMS: [&str; 8] =
    ["memcached", "go_memstats", "process", "http_server", "slab", "connection_pool", "proxy", "replica"];
const SUBJECTS: [&str; 12] = [
    "commands",
    "requests",
    "items",
    "evictions",
    "expirations",
    "handshakes",
    "lookups",
    "transfers",
    "retries",
    "allocations",
    "messages",
    "segments",
];
const COMMANDS: [&str; 8] = ["get", "set", "delete", "touch", "incr", "cas", "append", "flush"];
const BUCKETS: [&str; 12] = ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

/// A histogram has the samples of its buckets, `_sum` and `_count`.
const HISTOGRAM: usize = BUCKETS.len() + 2;

/// The most series of a counter or a gauge.
const SERIES: usize = 20;

/// A body in the text format with exactly so many samples, about 102 bytes each: counters, histograms and
/// gauges with labels, `HELP` and `TYPE`. Other pods have the same series with other values.
pub fn body(pod: usize, samples: usize) -> String {
    let mut body = Exposition { text: String::with_capacity(samples * 104 + 1_024), pod: mix(pod as u64), left: samples };
    for family in 0.. {
        match family % 4 {
            _ if body.left == 0 => break,
            0 | 2 => body.counter(family),
            1 if body.left >= HISTOGRAM => body.histograms(family),
            _ => body.gauge(family),
        }
    }
    body.text
}

struct Exposition {
    text: String,
    pod: u64,
    /// Samples that are still to be written.
    left: usize,
}

impl Exposition {
    fn counter(&mut self, family: usize) {
        let name = format!("{}_total", name(family));
        self.head(&name, "Total number of operations since the start of the process.", "counter");
        for series in 0..self.left.min(SERIES) {
            let value = self.random(10_000_000_000);
            self.sample(&name, series, "", value);
        }
    }

    fn gauge(&mut self, family: usize) {
        let name = format!("{}_ratio", name(family));
        self.head(&name, "Share that is in use at the moment, between 0 and 1.", "gauge");
        for series in 0..self.left.min(SERIES) {
            let value = format!("0.{:06}", self.random(1_000_000));
            self.sample(&name, series, "", value);
        }
    }

    fn histograms(&mut self, family: usize) {
        let name = format!("{}_seconds", name(family));
        self.head(&name, "Time that operations took, in seconds.", "histogram");
        for series in 0..(self.left / HISTOGRAM).min(2) {
            let mut count = 0;
            let bucket = format!("{name}_bucket");
            for bound in BUCKETS {
                count += self.random(100_000);
                self.sample(&bucket, series, bound, count);
            }
            let sum = format!("{}.{:04}", count / 20, self.random(10_000));
            self.sample(&format!("{name}_sum"), series, "", sum);
            self.sample(&format!("{name}_count"), series, "", count);
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, series: usize, bound: &str, value: impl Display) {
        // As Go's client has it: labels by name, series by the values of their labels.
        let shards = SERIES.div_ceil(COMMANDS.len());
        let (command, shard) = (COMMANDS[series / shards % COMMANDS.len()], series % shards);
        let (before, after) = if bound.is_empty() { ("", "") } else { (",le=\"", "\"") };
        self.line(format_args!(
            "{name}{{command=\"{command}\",region=\"eu-north-1\",shard=\"{shard:02}\"{before}{bound}{after}}} {value}"
        ));
        self.left -= 1;
    }

    fn line(&mut self, line: impl Display) {
        writeln!(self.text, "{line}").expect("a string takes everything");
    }

    /// A number below `end` that belongs to this pod and the next sample.
    fn random(&self, end: u64) -> u64 {
        mix(self.pod ^ self.left as u64) % end
    }
}

/// The name of a metric, a different one for each number.
fn name(family: usize) -> String {
    let subsystem = SUBSYSTEMS[family % SUBSYSTEMS.len()];
    let subject = SUBJECTS[family / SUBSYSTEMS.len() % SUBJECTS.len()];
    match family / (SUBSYSTEMS.len() * SUBJECTS.len()) {
        0 => format!("{subsystem}_{subject}_handled"),
        more => format!("{subsystem}_{subject}_handled_{more}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn samples(text: &str) -> impl Iterator<Item = &str> {
        text.lines().filter(|line| !line.starts_with('#'))
    }

    #[test]
    fn size() {
        for count in [1_857, 10_000] {
            let text = body(1, count);
            assert_eq!(samples(&text).count(), count);
            let bytes = text.len() * 10 / count;
            assert!((1_010..1_035).contains(&bytes), "{bytes} bytes for ten samples");
        }
        for count in [0, 1, 13, 21, 34, 50] {
            assert_eq!(samples(&body(1, count)).count(), count);
        }
    }

    #[test]
    fn series() {
        let text = body(1, 10_000);
        let mut known = HashSet::new();
        let mut families = HashSet::new();
        for line in samples(&text) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(known.insert(series), "{series} twice");
            assert!(value.parse::<f64>().unwrap() >= 0.0);
        }
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = line.split(' ').next().unwrap();
            assert!(families.insert(name), "{name} twice");
        }
        assert_eq!(text, body(1, 10_000));
        let other = body(2, 10_000);
        assert_ne!(text, other);
        assert!(samples(&other).all(|line| known.contains(line.rsplit_once(' ').unwrap().0)));
    }
}
