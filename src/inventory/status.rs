//! The inventory for people: its section of the status page, and its part of `/health`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::config::TargetConfig;
use super::state::{Bucket, MANY_FAILURES, ScanResult, State};
use super::stats::ClusterStats;
use crate::server::Health;
use crate::size::humanize as bytes;
use crate::time::{ago, humanize};

/// Rows of a bucket's table; the most urgent come first.
const MOST_ROWS: usize = 500;

/// What a cluster's backups look like, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Never,
    Empty,
    Stale,
    Shrunk,
    Healthy,
}

impl Verdict {
    /// The same thresholds as the alert rules in `deploy/alerts`.
    fn of(cluster: &ClusterStats, target: &TargetConfig, now: Timestamp) -> Self {
        let (newest, previous) = (cluster.newest.bytes, cluster.previous.bytes);
        if cluster.objects == 0 {
            Self::Never
        } else if newest == 0 {
            Self::Empty
        } else if age(cluster.newest.modified, now) > target.backup_interval * 2 {
            Self::Stale
        } else if newest < previous / 2 {
            Self::Shrunk
        } else {
            Self::Healthy
        }
    }

    fn show(self) -> Markup {
        let (class, text) = match self {
            Self::Never => ("bad", "never backed up"),
            Self::Empty => ("bad", "newest is empty"),
            Self::Stale => ("bad", "stale"),
            Self::Shrunk => ("warn", "newest shrank"),
            Self::Healthy => ("good", "healthy"),
        };
        html! { span class=(class) { (text) } }
    }
}

/// `{"buckets": {NAME: {...}}}`
pub(super) fn health(buckets: &[Arc<Bucket>]) -> Health {
    let mut healthy = true;
    let mut details = Map::new();
    for bucket in buckets {
        let state = bucket.state();
        healthy &= state.consecutive_failures < MANY_FAILURES;
        details.insert(bucket.target().name.clone(), bucket_health(bucket, &state));
    }
    Health::new(healthy, json!({ "buckets": Value::Object(details) }))
}

fn bucket_health(bucket: &Bucket, state: &State) -> Value {
    let condition = match (&state.error, &state.result) {
        (Some(_), _) => "failing",
        (None, Some(_)) => "healthy",
        (None, None) => "waiting for the first scan",
    };
    json!({
        "state": condition,
        "location": bucket.location(),
        "last_attempt": state.last_start.map(|at| at.to_string()),
        "last_success": state.result.as_ref().map(|result| result.at.to_string()),
        "clusters": state.result.as_ref().map(|result| result.inventory.clusters.len()),
        "consecutive_failures": state.consecutive_failures,
        "reason": state.error.as_ref().map(|(_, error)| error.reason),
        "error": state.error.as_ref().map(|(_, error)| error.to_string()),
    })
}

pub(super) fn section(buckets: &[Arc<Bucket>], now: Timestamp) -> Markup {
    html! {
        h2 id="inventory" { "Backups" }
        @for bucket in buckets { (bucket_section(bucket, now)) }
    }
}

fn bucket_section(bucket: &Bucket, now: Timestamp) -> Markup {
    let state = bucket.state();
    html! {
        h3 { (bucket.target().name) }
        p.dim { code { (bucket.location()) } " · a backup is expected every " (humanize(bucket.target().backup_interval)) }
        p {
            @match &state.result {
                Some(result) => {
                    "Last complete scan " strong { (ago(result.at, now)) } " ago, in " (humanize(result.took)) ". "
                }
                None => { "No complete scan yet. " }
            }
            @if state.running { "Scanning now: " (count(bucket.objects_seen())) " objects seen so far." }
        }
        @if let Some((at, error)) = &state.error {
            p.bad { "The last scan failed " (ago(*at, now)) " ago, " (state.consecutive_failures) " in a row: " (error) }
        }
        @if let Some(result) = &state.result { (table(result, bucket.target(), now)) }
    }
}

fn table(result: &ScanResult, target: &TargetConfig, now: Timestamp) -> Markup {
    let mut rows: Vec<_> = result
        .inventory
        .clusters
        .iter()
        .map(|(name, cluster)| (Verdict::of(cluster, target, now), cluster.newest.modified, name, cluster))
        .collect();
    rows.sort_unstable_by_key(|(verdict, newest, name, _)| (*verdict, *newest, Arc::clone(name)));
    let healthy = rows.iter().filter(|(verdict, ..)| *verdict == Verdict::Healthy).count();
    let orphans = result.inventory.orphans;
    html! {
        p {
            (healthy) " of " (rows.len()) " clusters are healthy. "
            @if orphans.objects > 0 {
                span.warn { (orphans.objects) " objects, " (bytes(orphans.bytes)) ", belong to no cluster. " }
            }
            @if result.inventory.directory_markers > 0 { "Directory markers: " (result.inventory.directory_markers) ". " }
            @if rows.len() > MOST_ROWS { "The " (MOST_ROWS) " most urgent are shown." }
        }
        @if !rows.is_empty() {
            table {
                tr { th { "Cluster" } th { "State" } th.n { "Newest backup" } th.n { "Size" } th.n { "Before" } th.n { "Objects" } th.n { "All bytes" } th { "Newest object" } }
                @for (verdict, newest, name, cluster) in rows.into_iter().take(MOST_ROWS) {
                    tr {
                        td { (name) }
                        td { (verdict.show()) }
                        td.n { @if cluster.objects > 0 { (humanize(age(newest, now))) " ago" } @else { "–" } }
                        td.n { @if cluster.objects > 0 { (bytes(cluster.newest.bytes)) } @else { "–" } }
                        td.n { @if cluster.objects > 1 { (bytes(cluster.previous.bytes)) } @else { "–" } }
                        td.n { (cluster.objects) }
                        td.n { (bytes(cluster.bytes)) }
                        td { code { (String::from_utf8_lossy(&cluster.newest.key)) } }
                    }
                }
            }
        }
    }
}

/// Zero for what lies ahead, which a clock that is behind the server's sees.
fn age(modified: i64, now: Timestamp) -> Duration {
    let age = now.as_millisecond().saturating_sub(modified);
    Duration::from_millis(u64::try_from(age).unwrap_or(0))
}

fn count(number: i64) -> String {
    let digits = number.to_string();
    let grouped = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    grouped.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::config::{FlagBucket, InventorySection};
    use super::super::stats::Dated;
    use super::*;
    use crate::aws::S3Options;

    #[test]
    fn the_verdict_has_the_thresholds_of_the_alerts() {
        let section = InventorySection { clusters: Some(vec!["a".into()]), ..Default::default() };
        let config = section.resolve(FlagBucket::default(), &S3Options::default()).unwrap().unwrap();
        let now = Timestamp::from_second(100_000).unwrap();
        let verdict = |objects, newest_age: i64, newest, previous| {
            let dated = |bytes| Dated { modified: (100_000 - newest_age) * 1_000, bytes, key: Vec::new() };
            let cluster = ClusterStats { objects, newest: dated(newest), previous: dated(previous), ..Default::default() };
            Verdict::of(&cluster, &config.targets[0], now)
        };
        assert_eq!(verdict(0, 0, 0, 0), Verdict::Never);
        assert_eq!(verdict(2, 10, 0, 100), Verdict::Empty);
        assert_eq!(verdict(2, 2_401, 100, 100), Verdict::Stale);
        assert_eq!(verdict(2, 2_400, 100, 100), Verdict::Healthy);
        assert_eq!(verdict(2, 10, 49, 100), Verdict::Shrunk);
        assert_eq!(verdict(2, 10, 50, 100), Verdict::Healthy);
        assert_eq!(verdict(2, -500, 50, 0), Verdict::Healthy);
    }

    #[test]
    fn numbers_are_told_for_people() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
    }
}
