//! The command line of Kubermatic's exporter against a real S3 protocol server with signature checks, every gauge compared with boto3's counts.

use std::process::Command;

use fakes::s3_memory::S3Memory;
use serde_json::{Value, json};

use crate::support::{self, Exporter, Metrics, object, python, reach, skip};

const BUCKET: &str = "kubermatic-etcd-backups";
const CLUSTERS: [&str; 5] = ["prod", "prod-eu", "über", "a b", "never"];

/// Keys that are easy to get wrong, beside ordinary ones.
const ODD_KEYS: [&str; 22] = [
    "prod-a//b",
    "prod-a/",
    "prod-a",
    "/prod-a",
    "/",
    "a//b",
    "a b-1",
    "a+b-1",
    "a%20b-1",
    "prod-%",
    "prod-%41",
    "prod-A",
    "prod-😀",
    "über-1",
    "prod-\u{1}\u{1f}",
    "prod-<&>\"'",
    "prod-&amp;",
    "prod-\t\n\r",
    "prod-eu-",
    "prod-eu",
    "PROD-1",
    "prod-日本語/",
];

async fn filled_server() -> S3Memory {
    let server = S3Memory::start().await;
    server.create_bucket(BUCKET);
    for (number, key) in (0_u64..).zip(ODD_KEYS) {
        let size = if key.ends_with('/') && number % 2 == 1 { 0 } else { number * 1_000 };
        server.put(BUCKET, key, object(size, 1_000 + number * 60));
    }
    for number in 0..1_500 {
        let class = if number % 3 == 0 { "GLACIER" } else { "STANDARD" };
        server.put(BUCKET, &format!("prod-{number:05}"), object(number % 7, 5_000 + number).storage_class(class));
        server.put(BUCKET, &format!("prod-eu-{number:05}"), object(1 << 40, 300 + number));
    }
    server
}

fn assert_equal_to_boto3(server: &S3Memory, prefix: &str, label: &str, metrics: &Metrics) {
    let wanted = json!({
        "endpoint": server.endpoint(), "access_key_id": server.access_key_id(), "secret_access_key": server.secret_access_key(),
        "bucket": BUCKET, "prefix": prefix, "clusters": CLUSTERS,
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracles/count.py");
    let output = Command::new(python().unwrap()).args([script, &wanted.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let check = |series: &str, expected: &Value| assert_eq!(metrics.value(series), Some(expected.as_f64().unwrap()), "{series}");
    for name in ["orphan_objects", "orphan_bytes", "directory_markers"] {
        check(&format!("s3exporter_inventory_{name}{{bucket=\"{label}\"}}"), &counted[name]);
    }
    for cluster in CLUSTERS {
        let expected = &counted["clusters"][cluster];
        for (name, value) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "classes") {
            check(&format!("s3exporter_inventory_{name}{{bucket=\"{label}\",cluster=\"{cluster}\"}}"), value);
        }
        for (class, count) in expected["classes"].as_object().unwrap() {
            for unit in ["objects", "bytes"] {
                let labels = format!("bucket=\"{label}\",cluster=\"{cluster}\",storage_class=\"{class}\"");
                check(&format!("s3exporter_inventory_storage_class_{unit}{{{labels}}}"), &count[unit]);
            }
        }
        let classes = format!("s3exporter_inventory_storage_class_objects{{bucket=\"{label}\",cluster=\"{cluster}\",");
        let told = metrics.0.lines().filter(|line| line.starts_with(&classes)).count();
        assert_eq!(told, expected["classes"].as_object().unwrap().len(), "{classes}");
        if label == BUCKET {
            check(&format!("kubermatic_s3_object_count{{cluster=\"{cluster}\"}}"), &expected["objects"]);
            check(&format!("kubermatic_s3_empty_object_count{{cluster=\"{cluster}\"}}"), &expected["empty_objects"]);
            let newest = &expected["newest_object_timestamp_seconds"];
            check(&format!("kubermatic_s3_object_last_modified_time_seconds{{cluster=\"{cluster}\"}}"), newest);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_gauge_equals_boto3s_count() {
    if python().is_none() {
        return skip("every_gauge_equals_boto3s_count", "boto3");
    }
    let server = filled_server().await;
    let mut args: Vec<String> = reach(&server).to_vec();
    args.extend(CLUSTERS.map(|name| format!("--cluster={name}")));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let exporter = Exporter::start(&args).await;
    let metrics = exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
    assert_equal_to_boto3(&server, "", BUCKET, &metrics);

    // What is written and deleted shows with the next scan.
    server.put(BUCKET, "never-1", object(77, 5));
    server.delete(BUCKET, "prod-eu-00000");
    let metrics = exporter.until_scanned_again(BUCKET).await;
    assert_equal_to_boto3(&server, "", BUCKET, &metrics);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_buckets_with_prefixes_come_from_a_file() {
    if python().is_none() {
        return skip("several_buckets_with_prefixes_come_from_a_file", "boto3");
    }
    let server = filled_server().await;
    for cluster in ["prod", "prod-eu"] {
        server.put(BUCKET, &format!("in/a b+%/{cluster}-1"), object(11, 60));
    }
    server.set_page_limit(7);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let yaml = format!(
        "s3: {{endpoint: '{}', access_key_id: {}, secret_access_key: {}}}
inventory:
  clusters: {}
  buckets:
    - {{bucket: {BUCKET}, name: whole, backup_interval: 1h}}
    - {{bucket: {BUCKET}, name: part, prefix: 'in/a b+%/'}}
    - {{bucket: missing}}
",
        server.endpoint(),
        server.access_key_id(),
        server.secret_access_key(),
        serde_json::to_string(&CLUSTERS).unwrap(),
    );
    std::fs::write(&file, yaml).unwrap();
    let exporter = Exporter::start(&["--config", file.to_str().unwrap()]).await;
    exporter.until_metric("s3exporter_scan_runs_total{bucket=\"missing\",outcome=\"failure\"}", 1.0).await;
    exporter.until_scanned_again("part").await;
    let metrics = exporter.until_scanned_again("whole").await;
    assert_equal_to_boto3(&server, "", "whole", &metrics);
    assert_equal_to_boto3(&server, "in/a b+%/", "part", &metrics);
    assert_eq!(metrics.value("s3exporter_inventory_objects{bucket=\"part\",cluster=\"prod\"}"), Some(1.0));
    assert_eq!(metrics.value("s3exporter_inventory_backup_interval_seconds{bucket=\"whole\"}"), Some(3600.0));
    assert_eq!(metrics.value("s3exporter_inventory_backup_interval_seconds{bucket=\"part\"}"), Some(1200.0));
    // Only a bucket that flags name has the original metrics, and each family has one header.
    assert!(!metrics.0.contains("kubermatic_s3_"));
    assert_eq!(metrics.0.matches("# TYPE s3exporter_inventory_objects gauge").count(), 1);
}

#[tokio::test]
async fn tls_needs_the_servers_authority() {
    let server = S3Memory::builder().tls(true).start().await.unwrap();
    server.create_bucket("bkt");
    server.put("bkt", "prod-1", object(1, 1));
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, server.ca_pem()).unwrap();
    let [endpoint, id, key] = reach(&server);
    let args = [endpoint.as_str(), &id, &key, "-bucket=bkt", "--cluster=prod"];
    let distrusting = Exporter::start(&args).await;
    let failed = async |exporter: &Exporter| {
        let errors = exporter.metrics().await.value("s3exporter_scan_errors_total{bucket=\"bkt\",reason=\"tls\"}")?;
        (errors > 0.0).then_some(())
    };
    distrusting.until("TLS fails", failed).await;
    let ca = format!("-ca-bundle={}", bundle.display());
    let trusting = Exporter::start(&[&args[..], &[&ca]].concat()).await;
    trusting.until_metric("kubermatic_s3_object_count{cluster=\"prod\"}", 1.0).await;
}

/// No name server knows `bkt.s3.test`; a proxy in between does, as it does behind many firewalls.
#[tokio::test]
async fn buckets_may_be_virtual_hosted_and_behind_a_proxy() {
    let server = S3Memory::builder().domain("s3.test").start().await.unwrap();
    server.create_bucket("bkt");
    server.put("bkt", "prod-1", object(1, 1));
    let (id, key) = (server.access_key_id(), server.secret_access_key());
    let mut command = support::command(&[
        "-address=127.0.0.1:0",
        "-endpoint=http://s3.test",
        "-bucket=bkt",
        "--cluster=prod",
        "--addressing=virtual",
    ]);
    command.env("HTTP_PROXY", server.endpoint()).env("ACCESS_KEY_ID", id).env("SECRET_ACCESS_KEY", key);
    let exporter = Exporter::start_command(command).await;
    exporter.until_metric("kubermatic_s3_object_count{cluster=\"prod\"}", 1.0).await;
    assert!(server.requests().iter().all(|request| request.virtual_hosted && request.host.starts_with("bkt.s3.test")));
}

#[tokio::test]
async fn the_literal_rule_and_patterns() {
    let server = filled_server().await;
    let reach = reach(&server);
    let reach: Vec<&str> = reach.iter().map(String::as_str).collect();
    let all = Exporter::start(&[&reach[..], &["--cluster=prod", "--cluster=prod-eu", "--prefix-match=all"]].concat()).await;
    let metrics = all.until_metric("kubermatic_s3_query_success", 1.0).await;
    let both = metrics.value("kubermatic_s3_object_count{cluster=\"prod\"}").unwrap();
    let inner = metrics.value("kubermatic_s3_object_count{cluster=\"prod-eu\"}").unwrap();
    assert!(inner > 1_500.0 && both >= inner + 1_500.0);

    let pattern = ["--cluster-pattern=^(?P<cluster>prod-eu|prod|a)", "--max-clusters=2"];
    let by_pattern = Exporter::start(&[&reach[..], &pattern].concat()).await;
    let metrics = by_pattern.until_metric("kubermatic_s3_query_success", 1.0).await;
    assert_eq!(metrics.value(&format!("s3exporter_inventory_clusters{{bucket=\"{BUCKET}\"}}")), Some(2.0));
    assert!(metrics.value("kubermatic_s3_object_count{cluster=\"a\"}").is_some());
    assert!(metrics.value("kubermatic_s3_object_count{cluster=\"prod-eu\"}").is_none());
}
