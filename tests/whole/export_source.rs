//! The export of a real Prometheus with data of several days, compared with what it answers itself.

mod data;
mod target;

use std::io::Read as _;

use fakes::s3_memory::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::data::{HOUR, ODD, Series, copied, newest, prometheus, stored, value};
use self::target::{BUCKET, Samples, Target, bytes, counts, hours, key, samples_of, sha256};
use crate::real_prometheus::RealPrometheus;
use crate::support::{has, skip};

/// What the source answers, as the original job asked it.
async fn direct(source: &RealPrometheus, metric: &str, hour: i64, step: i64) -> (u16, Vec<u8>) {
    let (start, end, step) = (hour.to_string(), (hour + HOUR - 1).to_string(), step.to_string());
    let query = [("query", metric), ("start", &start), ("end", &end), ("step", &step)];
    source.get("api/v1/query_range", &query).await.expect("an answer")
}

/// Queries that the source has answered so far, by its own count.
async fn queries(source: &RealPrometheus) -> f64 {
    let (_, text) = source.get("metrics", &[]).await.unwrap();
    let text = String::from_utf8(text).unwrap();
    let counts = text.lines().filter(|line| line.starts_with("prometheus_http_requests_total{"));
    let counts = counts.filter(|line| line.contains("handler=\"/api/v1/query"));
    counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

fn lacks_tools(test: &str) -> bool {
    let missing = ["prometheus", "promtool", "sha256sum"].into_iter().find(|tool| !has(tool));
    if let Some(tool) = missing {
        skip(test, tool);
    }
    missing.is_some()
}

fn pod(name: impl Into<String>) -> Vec<(&'static str, String)> {
    vec![("pod", name.into())]
}

const RECORDED: &str = "cluster:namespace:pod_cpu:active:sum";

/// Three days and more: a recorded metric, one with gaps, one that is not always there, and in the last hours thousands of series.
fn three_days() -> Vec<Series> {
    let (first, end) = (newest() - 75 * HOUR, newest() + 2 * HOUR);
    let recorded = ODD.iter().map(|odd| Series::each_minute(RECORDED, pod(*odd), first, end));
    let gap = newest() - 30 * HOUR;
    let gaps = ODD.iter().map(|odd| Series::each_minute("gaps", pod(*odd), first, end).without(gap, gap + 4 * HOUR));
    let late = (0..3).map(|number| Series::each_minute("late_bytes", pod(format!("late-{number}")), newest() - 20 * HOUR, end));
    let big = (0..5_000).map(|number| {
        let labels = [pod(format!("pod-{number}")), vec![("namespace", format!("ns-{}", number % 17))]].concat();
        Series::each_minute("kube_pod_info", labels, newest() - HOUR, newest() + HOUR)
    });
    recorded.chain(gaps).chain(late).chain(big).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hour_of_three_days_is_stored_as_prometheus_answers_it() {
    if lacks_tools("every_hour_of_three_days_is_stored_as_prometheus_answers_it") {
        return;
    }
    let (source, target) = (prometheus(stored(&three_days()), &[]).await, Target::new().await);
    let metrics = ["kube_pod_info", RECORDED, "gaps", "late_bytes", "never"];
    let names = metrics.join(",");
    let args = ["--hours-to-backfill", "72", "--step-seconds", "60", "--export-metrics", &names];
    let ended = target.export(&source, &args).await;
    // One hour is suspect: the first in which `gaps` has nothing at all.
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let row = ended.said.lines().find(|line| line.starts_with("prod ")).expect("a table");
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["prod", "71", "1", "0"], "{}", ended.said);

    let objects = target.objects();
    assert_eq!(objects.len(), 72 * (metrics.len() + 1));
    let mut largest = 0;
    for hour in hours(72) {
        let stored: Vec<&Object> = metrics.iter().map(|metric| &objects[&key(hour, metric)]).collect();
        let manifest = target.manifest(hour);
        let vanished = hour == newest() - 29 * HOUR;
        assert_eq!(manifest["state"], if vanished { "suspect" } else { "sealed" }, "{manifest}");
        let time = |second: i64| json!(Timestamp::from_second(second).unwrap().to_string());
        assert_eq!(manifest["window"], json!({"start": time(hour), "end": time(hour + HOUR)}));
        assert_eq!(manifest["metrics"].as_object().unwrap().len(), metrics.len());
        let sums = sha256(&stored.iter().map(|object| bytes(object)).collect::<Vec<_>>());
        for ((metric, object), sum) in metrics.iter().zip(stored).zip(sums) {
            let (key, body) = (key(hour, metric), bytes(object));
            let asked = direct(&source, metric, hour, 60).await;
            assert!(asked == (200, body.to_vec()), "{key}: {} bytes, {} from the source", body.len(), asked.1.len());
            assert_eq!(object.content_type.as_deref(), Some("application/json"), "{key}");
            let ((series, samples), entry) = (counts(body), &manifest["metrics"][metric]);
            let told = json!({"series": series, "samples": samples, "bytes": body.len(), "sha256": sum, "key": key});
            told.as_object().unwrap().iter().for_each(|(name, value)| assert_eq!(entry[name], *value, "{key}: {name}"));
            let query =
                json!({"promql": metric, "mode": "step", "start": time(hour), "end": time(hour + HOUR - 1), "step_seconds": 60});
            assert_eq!(entry["query"], query);
            let marks = if vanished && *metric == "gaps" { json!(["vanished"]) } else { Value::Null };
            assert_eq!(entry["marks"], marks, "{key}");
            assert!(samples <= 60 * series && (*metric != RECORDED || samples == 60 * ODD.len()), "{key}: {samples}");
            largest = largest.max(body.len());
        }
    }
    // It was stored in several parts.
    assert!(largest > 8 << 20, "{largest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_missing_is_asked_for() {
    if lacks_tools("only_what_is_missing_is_asked_for") {
        return;
    }
    let (first, end, gap) = (newest() - 9 * HOUR, newest() + 2 * HOUR, newest() - 6 * HOUR);
    let steady = ["a", "c"].map(|metric| Series::each_minute(metric, pod("x"), first, end));
    let gaps = Series::each_minute("gaps", pod("x"), first, end).without(gap, gap + 3 * HOUR);
    let series: Vec<Series> = steady.into_iter().chain([gaps]).collect();
    let (source, target) = (prometheus(stored(&series), &[]).await, Target::new().await);
    let run = async |metrics: &str| {
        let before = queries(&source).await;
        let ended = target.export(&source, &["--hours-to-backfill", "8", "--export-metrics", metrics, "--step-seconds=60"]).await;
        (ended.code, queries(&source).await - before)
    };
    assert_eq!(run("a,gaps").await, (Some(1), 16.0));
    let written = target.objects();
    // The hour in which a metric vanished is looked at twice more, and then sealed with the mark.
    let vanished = gap + HOUR;
    assert_eq!(target.manifest(vanished)["state"], "suspect");
    assert_eq!(run("a,gaps").await, (Some(1), 1.0));
    assert_eq!(run("a,gaps").await, (Some(0), 1.0));
    let manifest = target.manifest(vanished);
    assert_eq!(
        (&manifest["state"], &manifest["marks"], &manifest["attempts"]),
        (&json!("sealed"), &json!(["vanished"]), &json!(3))
    );
    assert_eq!(run("a,gaps").await, (Some(0), 0.0));

    let lost = key(newest() - 2 * HOUR, "a");
    let manifest_lost = key(newest() - 2 * HOUR, "_manifest");
    let manifest = target.json(&manifest_lost);
    assert!(target.s3.delete(BUCKET, &lost) && target.s3.delete(BUCKET, &manifest_lost));
    assert_eq!(run("a,gaps").await, (Some(0), 1.0));
    assert_eq!(target.body(&lost), bytes(&written[&lost]));
    let again = target.json(&manifest_lost);
    assert_eq!((&again["metrics"], &again["state"]), (&manifest["metrics"], &manifest["state"]));

    assert_eq!(run("a,gaps,c").await, (Some(0), 8.0));
    assert_eq!(run("a,gaps,c").await, (Some(0), 0.0));
    for hour in hours(8) {
        assert_eq!(target.body(&key(hour, "c")), direct(&source, "c", hour, 60).await.1);
        let manifest = target.manifest(hour);
        assert_eq!((&manifest["state"], manifest["metrics"].as_object().unwrap().len()), (&json!("sealed"), 3));
    }
    // What was there was not written again.
    let now = target.objects();
    for (key, object) in written.iter().filter(|(key, _)| !key.ends_with("_manifest.json") && **key != lost) {
        assert!(now[key] == *object, "{key}");
    }
}

/// The samples of a metric in `[hour, hour + 1)`.
fn samples_in(series: &[Series], metric: &str, hour: i64) -> Samples {
    let within = hour * 1_000..(hour + HOUR) * 1_000;
    let series = series.iter().filter(|series| series.metric == metric).map(|series| {
        let own = series.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let labels = own.chain([("__name__".to_owned(), metric.to_owned())]).collect();
        let samples = series.samples.iter().filter(|(at, _)| within.contains(at));
        (labels, samples.map(|(at, value)| (*at, value.to_string())).collect::<Vec<_>>())
    });
    series.filter(|(_, samples)| !samples.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_raw_sample_is_in_one_hour() {
    if lacks_tools("every_raw_sample_is_in_one_hour") {
        return;
    }
    let first = newest() - 5 * HOUR;
    // The ends of each hour to the millisecond, and in between.
    let edges = [0, 1, 999, 1_800_000, 3_599_000, 3_599_998, 3_599_999];
    let of_hours = (0..6).flat_map(|hour| edges.map(|edge| (first + hour * HOUR) * 1_000 + edge));
    let edges: Vec<(i64, f64)> = of_hours.map(|at| (at, value(at))).collect();
    let mut series: Vec<Series> =
        ODD.iter().map(|odd| Series { metric: "edges", labels: pod(*odd), samples: edges.clone() }).collect();
    let scraped = (first * 1_000 + 123..(newest() + HOUR) * 1_000).step_by(15_000).map(|at| (at, value(at)));
    series.push(Series { metric: "job:scraped:sum", labels: pod("x"), samples: scraped.collect() });
    // Only at the end of one hour, and only at the beginning of the next: neither is in both.
    let (end, begin) = (newest() * 1_000 - 1, newest() * 1_000);
    series.push(Series { metric: "edges", labels: pod("end"), samples: vec![(end, 1.0)] });
    series.push(Series { metric: "edges", labels: pod("begin"), samples: vec![(begin, 2.0)] });
    let (source, target) = (prometheus(stored(&series), &[]).await, Target::new().await);
    target.export_well(&source, &["--mode=raw", "--hours-to-backfill=5", "--export-metrics=edges,job:scraped:sum"]).await;
    for hour in hours(5) {
        for metric in ["edges", "job:scraped:sum"] {
            let wanted = samples_in(&series, metric, hour);
            assert_eq!(samples_of(&target.json(&key(hour, metric))), wanted, "{}", key(hour, metric));
            let entry = &target.manifest(hour)["metrics"][metric];
            let count: usize = wanted.values().map(Vec::len).sum();
            assert_eq!((&entry["series"], &entry["samples"]), (&json!(wanted.len()), &json!(count)));
            assert_eq!(entry["query"]["mode"], "raw");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_objects_hold_the_same_document() {
    if lacks_tools("compressed_objects_hold_the_same_document") {
        return;
    }
    let series = (0..200).map(|number| Series::each_minute("up", pod(format!("{number}")), newest() - 2 * HOUR, newest() + HOUR));
    let source = prometheus(stored(&series.collect::<Vec<_>>()), &[]).await;
    for (form, suffix) in [("gzip", "gz"), ("zstd", "zst")] {
        let target = Target::new().await;
        let args = ["--compress", form, "--hours-to-backfill=2", "--export-metrics=up", "--step-seconds=60"];
        target.export_well(&source, &args).await;
        assert_eq!(target.objects().len(), 4);
        for hour in hours(2) {
            let packed = target.body(&format!("{}.{suffix}", key(hour, "up")));
            let mut document = Vec::new();
            match form {
                "gzip" => flate2::read::GzDecoder::new(&*packed).read_to_end(&mut document).unwrap(),
                _ => zstd::Decoder::new(&*packed).unwrap().read_to_end(&mut document).unwrap(),
            };
            assert!((200, document.clone()) == direct(&source, "up", hour, 60).await, "{form}");
            let entry = &target.manifest(hour)["metrics"]["up"];
            let sums = sha256(&[&packed, &document]);
            assert_eq!((&entry["bytes"], &entry["sha256"]), (&json!(packed.len()), &json!(sums[0])));
            assert_eq!(entry["document"], json!({"bytes": document.len(), "sha256": sums[1]}));
        }
        let before = queries(&source).await;
        target.export_well(&source, &args).await;
        assert_eq!(queries(&source).await - before, 0.0, "{form}: it is all there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_refuses_as_a_whole_is_laid_together() {
    if lacks_tools("what_prometheus_refuses_as_a_whole_is_laid_together") {
        return;
    }
    // Some series do not have the label that the others are told apart by.
    let labels = |number: usize| {
        let odd = format!("{} {}", ODD[number % ODD.len()], number / 300);
        let namespace = (!number.is_multiple_of(11)).then_some(("namespace", odd));
        pod(format!("pod-{number}")).into_iter().chain(namespace).collect::<Vec<_>>()
    };
    let tall = (0..700).map(|number| Series::each_minute("tall", labels(number), newest() - HOUR, newest() + HOUR));
    let wide = (0..9_000).map(|number| Series {
        metric: "wide",
        labels: labels(number),
        samples: vec![((newest() - HOUR) * 1_000, 1.0), (newest() * 1_000, 2.5)],
    });
    let folder = stored(&tall.chain(wide).collect::<Vec<_>>());
    let free = prometheus(copied(folder.path()), &[]).await;
    let limited = prometheus(folder, &["--query.max-samples=5000"]).await;
    // By time; by a label, where it is one instant; and both ways with every sample.
    for (metric, args) in [
        ("tall", ["--step-seconds=60", "--export-metrics=tall"]),
        ("wide", ["--step-seconds=3600", "--export-metrics=wide"]),
        ("tall", ["--mode=raw", "--export-metrics=tall"]),
        ("wide", ["--mode=raw", "--export-metrics=wide"]),
    ] {
        let args = [&args[..], &["--hours-to-backfill=2"]].concat();
        let (whole, parts) = (Target::new().await, Target::new().await);
        whole.export_well(&free, &args).await;
        parts.export_well(&limited, &args).await;
        for hour in hours(2) {
            let document = parts.json(&key(hour, metric));
            assert!(document == whole.json(&key(hour, metric)), "{args:?}");
            let entry = |target: &Target, name: &str| target.manifest(hour)["metrics"][metric][name].clone();
            for name in ["series", "samples"] {
                assert_eq!(entry(&parts, name), entry(&whole, name), "{args:?}");
            }
            if args[0] == "--mode=raw" {
                continue;
            }
            let step = if metric == "tall" { 60 } else { HOUR };
            assert_eq!(direct(&limited, metric, hour, step).await.0, 422);
            let (status, direct) = direct(&free, metric, hour, step).await;
            assert_eq!(status, 200);
            assert!(document == serde_json::from_slice::<Value>(&direct).unwrap(), "{args:?}");
        }
    }
}

/// A list of values so long that a request with it is no GET, which is the only method for values of labels.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_by_many_values_is_cut_again() {
    if lacks_tools("what_was_cut_by_many_values_is_cut_again") {
        return;
    }
    let at = newest() * 1_000;
    let wide = (0..4_000).map(|number| {
        let labels = vec![("pod", format!("pod-{:04}", number / 4)), ("number", number.to_string())];
        Series { metric: "wide", labels, samples: vec![(at, 1.0)] }
    });
    let folder = stored(&wide.collect::<Vec<_>>());
    let free = prometheus(copied(folder.path()), &[]).await;
    let limited = prometheus(folder, &["--query.max-samples=700"]).await;
    let target = Target::new().await;
    target.export_well(&limited, &["--hours-to-backfill=1", "--export-metrics=wide"]).await;
    let (status, document) = direct(&free, "wide", newest(), HOUR).await;
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert!(status == 200 && target.json(&key(newest(), "wide")) == document);
}
