//! Samples that a real Prometheus is filled with.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::real_prometheus::RealPrometheus;
use crate::support::settle;

/// In seconds.
pub const HOUR: i64 = 3_600;

/// A series with its samples, in milliseconds and in order.
pub struct Series {
    pub metric: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub samples: Vec<(i64, f64)>,
}

impl Series {
    /// A sample each minute of `[from, until)`, in seconds, none in the future.
    pub fn each_minute(metric: &'static str, labels: Vec<(&'static str, String)>, from: i64, until: i64) -> Self {
        let until = until.min(now());
        let own: i64 = labels.iter().flat_map(|(_, value)| value.bytes()).map(i64::from).sum();
        let samples = (from..until).step_by(60).map(|at| (at * 1_000, value(at / 60 + own)));
        Self { metric, labels, samples: samples.collect() }
    }

    /// Removes the samples of `[from, until)`, in seconds.
    pub fn without(mut self, from: i64, until: i64) -> Self {
        self.samples.retain(|(at, _)| !(from * 1_000..until * 1_000).contains(at));
        self
    }
}

/// Label values as they should not be.
pub const ODD: [&str; 6] = ["plain", "a\"b", "back\\slash\\", "größe ✓ 日本", "line\nfeed\ttab", "<&>' {},=~"];

/// Mostly numbers with decimals, sometimes what is none.
pub fn value(seed: i64) -> f64 {
    match seed % 23 {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => -0.0,
        4 => 1e-300,
        5 => 1.5e300,
        6 => 0.1 + 0.2,
        other => (seed * 7_919 % 1_000_003 * other) as f64 / 7.0,
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// Start of the newest hour that has settled, in seconds; see [`settle`].
pub fn newest() -> i64 {
    let settle: i64 = settle().try_into().unwrap();
    (now() - settle) / HOUR * HOUR - HOUR
}

/// Rules: <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.
fn openmetrics(series: &[Series]) -> String {
    let mut text = String::new();
    for Series { metric, labels, samples } in series {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = labels.join(",");
        for (at, value) in samples {
            // Promtool cuts off what is behind the milliseconds; the 5 is against the last digit of a float.
            writeln!(text, "{metric}{{{labels}}} {value} {}.{:03}5", at / 1_000, at % 1_000).unwrap();
        }
    }
    text + "# EOF\n"
}

/// A folder with the samples as Prometheus stores them.
pub fn stored(series: &[Series]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, openmetrics(series)).unwrap();
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet", "--max-block-duration=24h"])
        .args([&text, &folder.path().join("data")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::remove_file(text).unwrap();
    folder
}

/// A second folder with the same.
pub fn copied(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    assert!(Command::new("cp").arg("-r").args([&folder.join("data"), copy.path()]).status().unwrap().success());
    copy
}

/// A Prometheus with these samples, and none of its own.
pub async fn prometheus(folder: TempDir, args: &[&str]) -> RealPrometheus {
    let args = [&["--storage.tsdb.retention.time=10y"], args].concat();
    RealPrometheus::start(folder, "scrape_configs: []\n", &args).ready().await
}
