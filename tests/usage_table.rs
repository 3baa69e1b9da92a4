//! Tables of usage, read by DuckDB and pyarrow: every value of every column, the schema, the order, and what lets a reader skip.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[expect(dead_code, reason = "most of it is for `tests/whole`")]
#[path = "whole/support.rs"]
mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fastrand::Rng;
use kube_s3_exporter::usage::facts::{Batch, Claims, KnownPod, NodeFacts, PodFacts, ReportFacts, Resources, Row};
use kube_s3_exporter::usage::table;
use serde_json::{Value, json};

use support::{python, skip};

/// Awkward for escapes, for byte order and for those who take `NUL` as an end.
const ODD: [&str; 8] = ["", "ä", "\u{10ffff}", "\u{ffff}", "a\0b", "\"',\\\n\r\t", "NULL", "k=v=w"];

fn text(rng: &mut Rng) -> Arc<str> {
    match rng.u8(0..10) {
        0 => ODD[rng.usize(0..ODD.len())].into(),
        1 => "x".repeat(rng.usize(0..200)).into(),
        _ => format!("text-{}", rng.u16(0..500)).into(),
    }
}

fn some<T>(rng: &mut Rng, value: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    if rng.bool() { Some(value(rng)) } else { None }
}

fn list(rng: &mut Rng) -> Vec<Arc<str>> {
    (0..[0, 0, 1, 3, 12][rng.usize(0..5)]).map(|_| text(rng)).collect()
}

fn long(rng: &mut Rng) -> i64 {
    [0, 1, i64::MAX, rng.i64(0..i64::MAX), rng.i64(0..1_000)][rng.usize(0..5)]
}

fn double(rng: &mut Rng) -> f64 {
    [0.0, f64::MAX, 5e-324, f64::from(rng.u32(..)) / 1e9, rng.f64()][rng.usize(0..5)]
}

fn resources(rng: &mut Rng) -> Resources {
    Resources { cpu_millicores: long(rng), memory_bytes: long(rng), storage_bytes: long(rng), gpu: long(rng) }
}

fn known(rng: &mut Rng) -> KnownPod {
    KnownPod {
        node: some(rng, text),
        owner: some(rng, text),
        workload_kind: some(rng, text),
        workload_name: some(rng, text),
        requests: resources(rng),
        limits: resources(rng),
        labels: list(rng).into(),
        annotations: list(rng).into(),
        claims: Claims { names: list(rng), storage_bytes: long(rng), aws_volume_ids: list(rng), storage_classes: list(rng) },
    }
}

fn report(rng: &mut Rng) -> ReportFacts {
    // From the year 1 to the year 9999: what both readers can say.
    let edges = [-62_135_596_800_000_000, 253_402_300_799_999_999, 0, -1, rng.i64(0..5)];
    let collected_at = edges[rng.usize(0..5)];
    let node = NodeFacts {
        cpu_capacity_cores: some(rng, double),
        memory_capacity_bytes: some(rng, long),
        instance_type: some(rng, text),
        zone: some(rng, text),
        capacity_type: some(rng, text),
    };
    ReportFacts {
        timestamp: format!("at {collected_at}"),
        collected_at,
        node_name: text(rng),
        ec2_instance_id: some(rng, text),
        interval_seconds: some(rng, double),
        cluster_id: text(rng),
        cluster_uid: some(rng, text),
        node: Arc::new(node),
    }
}

/// Some of one name, some that Kubernetes does not know.
fn pod(uid: usize, rng: &mut Rng) -> PodFacts {
    PodFacts {
        pod_id: format!("uid-{uid}").into(),
        namespace: text(rng),
        pod_name: text(rng),
        pod_start_time: some(rng, text),
        known: (rng.u8(0..4) > 0).then(|| known(rng)),
    }
}

fn row(report: u32, pod: u32, rng: &mut Rng) -> Row {
    Row {
        report,
        pod,
        cpu_usage_cores: some(rng, double).into(),
        cpu_usage_cum: some(rng, double).into(),
        memory_usage_bytes: some(rng, long).into(),
        net_tx_bytes: some(rng, long).into(),
        net_rx_bytes: some(rng, long).into(),
    }
}

/// Every pod once in every report.
fn random(reports: u32, pods: u32, seed: u64) -> Batch {
    let rng = &mut Rng::with_seed(seed);
    let mut rows: Vec<Row> = (0..reports)
        .flat_map(|report| (0..pods).map(move |pod| (report, pod)))
        .map(|(report, pod)| row(report, pod, rng))
        .collect();
    rng.shuffle(&mut rows);
    Batch {
        reports: (0..reports).map(|_| report(rng)).collect(),
        pods: (0..pods as usize).map(|uid| pod(uid, rng)).collect(),
        rows,
    }
}

/// Nothing is known but what must be.
fn empty(pods: u32) -> Batch {
    let mut batch = random(2, pods, 1);
    for report in &mut batch.reports {
        let bare = ReportFacts {
            ec2_instance_id: None,
            interval_seconds: None,
            cluster_uid: None,
            node: Arc::default(),
            ..report.clone()
        };
        *report = bare;
    }
    batch.pods.iter_mut().for_each(|pod| *pod = PodFacts { pod_start_time: None, known: None, ..pod.clone() });
    for row in &mut batch.rows {
        (row.cpu_usage_cores, row.cpu_usage_cum) = (None.into(), None.into());
        (row.memory_usage_bytes, row.net_tx_bytes, row.net_rx_bytes) = (None.into(), None.into(), None.into());
    }
    batch
}

/// Texts that are longer than a page of statistics, a dictionary, and a piece of an array.
fn long_texts() -> Batch {
    let mut batch = random(3, 4, 2);
    let known = batch.pods.iter_mut().find_map(|pod| pod.known.as_mut()).unwrap();
    known.labels = (0..3).map(|at| Arc::from(format!("{at}={}", "ü".repeat(3 << 20)))).collect();
    known.owner = Some("o".repeat(100_000).into());
    batch.pods[0].namespace = "\u{10ffff}".repeat(1_000).into();
    batch
}

/// What each report and each pod gives to a row, by column, written down a second time.
fn expected(batch: &Batch) -> Value {
    let reports = batch.reports.iter().map(|report| {
        json!({
            "timestamp": report.timestamp, "cluster_id": &*report.cluster_id, "node_name": &*report.node_name,
            "ec2_instance_id": report.ec2_instance_id.as_deref(), "cluster_uid": report.cluster_uid.as_deref(),
            "node_cpu_capacity_cores": report.node.cpu_capacity_cores,
            "node_memory_capacity_bytes": report.node.memory_capacity_bytes, "collected_at": report.collected_at,
            "node_instance_type": report.node.instance_type.as_deref(), "node_zone": report.node.zone.as_deref(),
            "node_capacity_type": report.node.capacity_type.as_deref(), "interval_seconds": report.interval_seconds,
        })
    });
    let pods = batch.pods.iter().map(|pod| {
        let mut value = json!({
            "pod_id": &*pod.pod_id, "namespace": &*pod.namespace, "pod_name": &*pod.pod_name,
            "pod_start_time": pod.pod_start_time.as_deref(),
        });
        let known = pod.known.as_ref().map(|known| {
            let texts = |list: &[Arc<str>]| -> Vec<String> { list.iter().map(|text| text.to_string()).collect() };
            json!({
                "owner": known.owner.as_deref(), "node": known.node.as_deref(),
                "workload_kind": known.workload_kind.as_deref(), "workload_name": known.workload_name.as_deref(),
                "requests_cpu_millicores": known.requests.cpu_millicores, "requests_memory_bytes": known.requests.memory_bytes,
                "requests_storage_bytes": known.requests.storage_bytes, "requests_gpu": known.requests.gpu,
                "limits_cpu_millicores": known.limits.cpu_millicores, "limits_memory_bytes": known.limits.memory_bytes,
                "limits_storage_bytes": known.limits.storage_bytes,
                "labels": texts(&known.labels), "annotations": texts(&known.annotations),
                "pvc_count": known.claims.names.len(), "total_pvc_storage_bytes": known.claims.storage_bytes,
                "pvc_names": texts(&known.claims.names), "aws_volume_ids": texts(&known.claims.aws_volume_ids),
                "storage_classes": texts(&known.claims.storage_classes),
            })
        });
        if let Some(Value::Object(known)) = known {
            value.as_object_mut().unwrap().extend(known);
        }
        value
    });
    let rows = batch.rows.iter().map(|row| {
        let usage = (
            row.cpu_usage_cores.get(),
            row.cpu_usage_cum.get(),
            row.memory_usage_bytes.get(),
            row.net_tx_bytes.get(),
            row.net_rx_bytes.get(),
        );
        json!([row.report, row.pod, usage])
    });
    json!({ "reports": reports.collect::<Vec<_>>(), "pods": pods.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>() })
}

fn store(folder: &Path, name: &str, batch: Batch) {
    fs::write(folder.join(name).with_extension("json"), serde_json::to_vec(&expected(&batch)).unwrap()).unwrap();
    table::write(batch, File::create(folder.join(name).with_extension("parquet")).unwrap()).unwrap();
}

#[test]
fn duckdb_and_pyarrow_read_what_was_written() {
    let test = "duckdb_and_pyarrow_read_what_was_written";
    let has = |python: &Path| {
        Command::new(python).args(["-c", "import duckdb, pyarrow"]).output().is_ok_and(|output| output.status.success())
    };
    let Some(python) = python().filter(|python| has(python)) else {
        return skip(test, "duckdb or pyarrow");
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    store(folder, "one", Batch { rows: vec![row(0, 0, &mut Rng::with_seed(3))], ..random(1, 1, 3) });
    store(folder, "unknown", empty(1));
    store(folder, "unknown-many", empty(500));
    store(folder, "odd", random(7, 300, 4));
    store(folder, "long", long_texts());
    store(folder, "many", random(40, 2_500, 5));
    // More than a row group.
    let wide = random(270, 1_000, 6);
    table::write(wide, File::create(folder.join("groups.parquet")).unwrap()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles/tables.py");
    let output = Command::new(python).arg(script).arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.ends_with("7 files, 373115 rows\n"), "{said}");
}
