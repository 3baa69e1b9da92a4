//! From a kubelet to DuckDB: `collect` asks, `serve --usage` takes and joins, S3 keeps, and somebody else's reader adds up what is there.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use fakes::kube_api::{ClaimSpec, Container, NodeSpec, OwnerSpec, PodSpec, VolumeSpec};
use fakes::kubelet::{Kind, Kubelet};
use serde_json::{Value, json};

use crate::oracle::oracle;
use crate::support;
use crate::table::text;
use crate::world::{World, drained, metric, until};

const PODS: usize = 20;
/// Nobody else listens below it, so that the port can stay the same.
const ADDRESS: &str = "127.83.16.1:18888";

/// Of whom a pod is, by its number: kind and name of the workload.
fn workload(number: usize) -> (&'static str, String) {
    match Kind::of(number) {
        Kind::Whole => ("Deployment", format!("web-{}", number % 2)),
        Kind::HostNetwork => ("DaemonSet", "agent".to_owned()),
        Kind::ContainersAlone => ("StatefulSet", "db".to_owned()),
        Kind::InterfacesAlone => ("CronJob", "report".to_owned()),
        Kind::Static => ("Node", "node-1".to_owned()),
    }
}

fn namespace(pod: &Value) -> &str {
    pod["podRef"]["namespace"].as_str().unwrap()
}

/// Makes the pods of the kubelet known to Kubernetes.
fn populate(world: &World, pods: &[Value]) {
    let api = &world.api;
    api.apply_node(&NodeSpec::new("node-1").cluster("prod").provider_id("aws:///eu-central-1a/i-0f1e2d3c4b5a69788"));
    for (number, pod) in pods.iter().enumerate() {
        let (namespace, name, uid) =
            (namespace(pod), pod["podRef"]["name"].as_str().unwrap(), pod["podRef"]["uid"].as_str().unwrap());
        let (kind, owner) = workload(number);
        let spec = PodSpec::new(namespace, name).container(Container::new("app").requests([("cpu", "100m")]));
        let spec = match Kind::of(number) {
            Kind::Whole => {
                let set = format!("{owner}-5d8f7c9b6d");
                api.apply_owner(&OwnerSpec::replica_set(namespace, &set).owner(kind, &owner));
                spec.owner("ReplicaSet", &set)
            }
            Kind::InterfacesAlone => {
                let job = format!("{owner}-29412345");
                api.apply_owner(&OwnerSpec::job(namespace, &job).owner(kind, &owner));
                spec.owner("Job", &job)
            }
            Kind::ContainersAlone => {
                let (claim, volume) = (format!("data-{number}"), format!("pv-{number}"));
                api.apply_volume(&VolumeSpec::csi(&volume, "ebs.csi.aws.com", &format!("vol-{number}")));
                api.apply_claim(&ClaimSpec::new(namespace, &claim).volume(&volume).class("gp3").requested("10Gi"));
                spec.owner(kind, &owner).claim("data", &claim)
            }
            Kind::HostNetwork => spec.owner(kind, &owner).host_network(true),
            Kind::Static => spec.owner(kind, &owner).annotation("kubernetes.io/config.hash", uid),
        };
        api.apply_pod(&if Kind::of(number) == Kind::Static { spec.uid(&format!("mirror-{number}")) } else { spec.uid(uid) });
    }
}

/// What DuckDB must find, from what the kubelet has said so many times.
fn expected(pods: &[Value], reports: u64) -> Value {
    let mut sums: BTreeMap<(String, String, String), [u64; 4]> = BTreeMap::new();
    for (number, pod) in pods.iter().enumerate() {
        let (kind, name) = workload(number);
        let sum = sums.entry((namespace(pod).to_owned(), kind.to_owned(), name)).or_default();
        let told = |one: &Value, field: &str, below: &str| one[field][below].as_u64();
        let of = |field: &str, below: &str| {
            let containers =
                pod["containers"].as_array().unwrap().iter().filter_map(|container| told(container, field, below)).sum();
            told(pod, field, below).unwrap_or(containers)
        };
        let storage = if Kind::of(number) == Kind::ContainersAlone { 10 << 30 } else { 0 };
        let more = [1, of("cpu", "usageNanoCores"), of("memory", "workingSetBytes"), storage];
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more * reports);
    }
    let row = |((namespace, kind, name), [rows, nanos, memory, storage]): ((String, String, String), [u64; 4])| json!({ "namespace": namespace, "kind": kind, "name": name, "rows": rows, "nanos": nanos, "memory": memory, "requested": rows * 100, "storage": storage });
    sums.into_iter().map(row).collect()
}

/// In billionths of a core, since sums of doubles depend on their order.
fn in_nanos(mut found: Value) -> Value {
    for row in found.as_array_mut().unwrap() {
        let cores = row.as_object_mut().unwrap().remove("cpu").unwrap().as_f64().unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some cores")]
        let nanos = (cores * 1e9).round() as u64;
        row["nanos"] = json!(nanos);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kubelet_says_is_what_duckdb_finds() {
    let world = World::start().await;
    let kubelet = Kubelet::builder().node("node-1").pods(PODS).tls(&["127.0.0.1"]).token("kubelet-token").start().await.unwrap();
    let pods = kubelet.summary(0)["pods"].as_array().unwrap().clone();
    populate(&world, &pods);
    let (token, kubelet_token) = (world.file("token", "sender-token"), world.file("kubelet-token", "kubelet-token"));
    let ca = world.file("kubelet-ca.pem", kubelet.ca_pem());
    let args = [format!("--usage-address={ADDRESS}"), format!("--usage-token-file={token}")];
    let args = args.each_ref().map(String::as_str);
    let exporter = world.ready(&args).await;

    let mut command = support::command(&["collect"]);
    command.envs([
        ("PUSH_ENDPOINT", &*format!("http://{ADDRESS}/metrics")),
        ("PUSH_TOKEN_FILE", &*token),
        ("SCRAPE_INTERVAL", "1"),
        ("JITTER_PERCENT", "0"),
        ("KUBELET_ENDPOINT", &*kubelet.endpoint()),
        ("KUBELET_CA", &*ca),
        ("KUBELET_TOKEN_FILE", &*kubelet_token),
        ("HOSTNAME", "host-1"),
    ]);
    let mut collect = Collect(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("two reports were sent", || kubelet.requests().len() >= 2).await;
    // The receiver is away for a while; the collector keeps what it has.
    assert_eq!(tokio::task::spawn_blocking(move || exporter.stop("TERM")).await.unwrap(), Some(0));
    let asked = kubelet.requests().len();
    until("two more were asked for", || kubelet.requests().len() >= asked + 2).await;
    let exporter = world.ready(&args).await;
    let behind = asked + 3;
    until("it goes on", || kubelet.requests().len() >= behind).await;
    let told =
        async |exporter: &support::Exporter| (metric(exporter, "reports_total{outcome=\"added\"}").await >= 3.0).then_some(());
    exporter.until("what was kept has come", told).await;
    assert_eq!(collect.stop(), Some(0));
    drained(&exporter).await;

    let rows = world.rows();
    let mut reports: BTreeMap<&str, usize> = BTreeMap::new();
    rows.iter().for_each(|row| *reports.entry(text(row, "timestamp")).or_default() += 1);
    assert!(reports.values().all(|rows| *rows == PODS), "{reports:?}");
    // What it has asked for, it has sent, but for one on its way when it was stopped.
    let answers = kubelet.requests().len();
    assert!(reports.len() >= 5 && (answers - 1..=answers).contains(&reports.len()), "{} of {answers}", reports.len());
    assert_eq!(metric(&exporter, "rows_unmatched_total").await, 0.0);
    let of_node = |column: &str, value: Value| rows.iter().all(|row| row[column] == value);
    assert!(
        of_node("node_name", json!("node-1"))
            && of_node("cluster_id", json!("prod"))
            && of_node("ec2_instance_id", json!("i-0f1e2d3c4b5a69788"))
    );
    assert!(rows.iter().filter(|row| row["interval_seconds"].is_null()).count() <= PODS, "only the first report has no interval");

    let Some(found) = oracle(&world, "sums", "what_the_kubelet_says_is_what_duckdb_finds") else {
        return;
    };
    assert_eq!(in_nanos(found), expected(&pods, reports.len() as u64));
}

/// A running collector; killed when dropped.
struct Collect(std::process::Child);

impl Collect {
    fn stop(&mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        for _ in 0..3_000 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not stop");
    }
}

impl Drop for Collect {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
