//! A fleet of nodes and what it reports: the batch that one file is made of.

use std::sync::Arc;

use fastrand::Rng;
use kube_s3_exporter::usage::facts::{Batch, Claims, KnownPod, NodeFacts, PodFacts, ReportFacts, Resources, Row};

/// How large it is.
#[derive(Clone, Copy)]
pub struct Fleet {
    pub nodes: u32,
    /// Of each node.
    pub pods: u32,
    /// Of each node, 30 seconds apart, a fifth more or less.
    pub reports: u32,
}

const NAMESPACES: usize = 250;
const TEAMS: usize = 40;
const PER_WORKLOAD: usize = 8;
const PAGE: i64 = 4_096;
/// 2026-03-02T09:00:00Z
const BEGIN: i64 = 1_772_442_000_000_000;

/// What pods of one controller share.
struct Workload {
    namespace: Arc<str>,
    name: Arc<str>,
    owner: Arc<str>,
    labels: Arc<[Arc<str>]>,
    annotations: Arc<[Arc<str>]>,
    requests: Resources,
    limits: Resources,
    claims: bool,
    /// Seconds since it was rolled out: a quarter of an hour to a month.
    age: f64,
    /// Nanoseconds of CPU in a second.
    cpu: f64,
    /// Bytes sent in a second; some send nothing.
    net: f64,
}

/// The same fleet gives the same batch.
pub fn batch(fleet: Fleet) -> Batch {
    let mut rng = Rng::with_seed(6);
    let total = (fleet.nodes * fleet.pods) as usize;
    let workloads: Vec<Workload> = (0..total.div_ceil(PER_WORKLOAD)).map(|at| workload(at, &mut rng)).collect();
    let (kind, spot): (Arc<str>, Arc<str>) = ("Deployment".into(), "spot".into());
    let (cluster_id, cluster_uid): (Arc<str>, Arc<str>) = ("prod-eu-1".into(), uid(&mut rng).into());
    let types: [Arc<str>; 3] = ["m6i.4xlarge".into(), "c6a.8xlarge".into(), "r6g.4xlarge".into()];
    let zones: [Arc<str>; 3] = ["eu-west-1a".into(), "eu-west-1b".into(), "eu-west-1c".into()];

    let mut places: Vec<usize> = (0..total).map(|at| at / PER_WORKLOAD).collect();
    rng.shuffle(&mut places);
    let mut batch = Batch::default();
    let mut first_reports = Vec::new();
    let mut used: Vec<Used> = Vec::new();
    for node in 0..fleet.nodes {
        let name: Arc<str> =
            format!("ip-10-{}-{}-{}.eu-west-1.compute.internal", node / 4_096, node / 16 % 256, rng.u8(..)).into();
        let instance: Arc<str> = format!("i-{:017x}", rng.u64(..) >> 4).into();
        let which = rng.usize(0..3);
        let facts = Arc::new(NodeFacts {
            cpu_capacity_cores: Some([16.0, 32.0, 16.0][which]),
            memory_capacity_bytes: Some([66_123_456_512, 65_012_344_832, 131_987_652_608][which] + rng.i64(0..64) * PAGE),
            instance_type: Some(Arc::clone(&types[which])),
            zone: Some(Arc::clone(&zones[rng.usize(0..3)])),
            capacity_type: Some(Arc::clone(&spot)),
        });
        first_reports.push(batch.reports.len() as u32);
        let mut at = BEGIN + rng.i64(0..30_000_000);
        for _ in 0..fleet.reports {
            let interval = 24_000_000 + rng.i64(0..12_000_000);
            at += interval;
            batch.reports.push(ReportFacts {
                timestamp: timestamp(at),
                collected_at: at,
                node_name: Arc::clone(&name),
                ec2_instance_id: Some(Arc::clone(&instance)),
                interval_seconds: Some(interval as f64 / 1e6),
                cluster_id: Arc::clone(&cluster_id),
                cluster_uid: Some(Arc::clone(&cluster_uid)),
                node: Arc::clone(&facts),
            });
        }
        for _ in 0..fleet.pods {
            let workload = &workloads[places[batch.pods.len()]];
            // Most came with the roll-out, within minutes; the others have been moved since.
            let age = workload.age * if rng.u8(0..10) < 7 { 1.0 - 600.0 * rng.f64() / workload.age.max(6e3) } else { rng.f64() };
            batch.pods.push(pod(workload, age, &name, &kind, &mut rng));
            used.push(Used::new(workload, age, &mut rng));
        }
    }
    // As they come in: report after report, each with all pods of its node.
    for report in 0..fleet.reports {
        for (node, first) in first_reports.iter().enumerate() {
            let report = first + report;
            for pod in node * fleet.pods as usize..(node + 1) * fleet.pods as usize {
                let interval = batch.reports[report as usize].interval_seconds.unwrap();
                let row = used[pod].row(&workloads[places[pod]], interval, &mut rng);
                batch.rows.push(Row { report, pod: pod as u32, ..row });
            }
        }
    }
    batch
}

fn workload(at: usize, rng: &mut Rng) -> Workload {
    let namespace = format!(
        "team-{:02}-{}",
        rng.usize(0..NAMESPACES) % TEAMS,
        ["web", "batch", "data", "infra", "edge", "ml"][rng.usize(0..6)]
    );
    let name = format!(
        "{}-{}-{at}",
        ["checkout", "search", "ledger", "notifier", "gateway"][rng.usize(0..5)],
        ["api", "worker", "cache"][rng.usize(0..3)]
    );
    let hash = suffix(rng, 10);
    let owner = format!("{name}-{hash}");
    let labels = [
        format!("app.kubernetes.io/component={}", ["api", "worker", "cache"][rng.usize(0..3)]),
        format!("app.kubernetes.io/instance={name}"),
        "app.kubernetes.io/managed-by=Helm".to_owned(),
        format!("app.kubernetes.io/name={name}"),
        format!("app.kubernetes.io/version=1.{}.{}", rng.u8(0..40), rng.u8(0..20)),
        format!("cost-center=cc-{:04}", rng.u16(0..300)),
        format!("pod-template-hash={hash}"),
        format!("team={}", &namespace[..7]),
    ];
    let annotations = [
        format!("checksum/config={:032x}{:032x}", rng.u128(..), rng.u128(..)),
        "cluster-autoscaler.kubernetes.io/safe-to-evict=true".to_owned(),
        format!("prometheus.io/port={}", 8_080 + rng.u16(0..10)),
        "prometheus.io/scrape=true".to_owned(),
    ];
    let all = |texts: &[String]| texts.iter().map(|text| Arc::from(text.as_str())).collect();
    let millicores = [50, 100, 250, 500, 1_000, 2_000][rng.usize(0..6)];
    let mebibytes = [64, 128, 256, 512, 1_024, 4_096][rng.usize(0..6)];
    let requests = Resources { cpu_millicores: millicores, memory_bytes: mebibytes << 20, ..Resources::default() };
    let limits = Resources { cpu_millicores: 0, memory_bytes: mebibytes << 21, ..Resources::default() };
    Workload {
        namespace: namespace.into(),
        name: name.into(),
        owner: owner.into(),
        labels: all(&labels),
        annotations: all(&annotations),
        requests,
        limits,
        claims: rng.u8(0..5) == 0,
        age: 10_f64.powf(3.0 + 3.4 * rng.f64()),
        // A hundredth to all of what it asks for.
        cpu: millicores as f64 * 1e6 * 10_f64.powf(-2.0 * rng.f64()),
        // Probes and scrapes alone are some hundred bytes.
        net: 10_f64.powf(2.5 + 3.5 * rng.f64()),
    }
}

fn pod(workload: &Workload, age: f64, node: &Arc<str>, kind: &Arc<str>, rng: &mut Rng) -> PodFacts {
    let name = format!("{}-{}", workload.owner, suffix(rng, 5));
    let claims = workload.claims.then(|| Claims {
        names: vec![format!("data-{name}").into()],
        storage_bytes: 20 << 30,
        aws_volume_ids: vec![format!("vol-{:017x}", rng.u64(..) >> 4).into()],
        storage_classes: vec!["gp3".into()],
    });
    PodFacts {
        pod_id: uid(rng).into(),
        namespace: Arc::clone(&workload.namespace),
        pod_name: name.into(),
        // To the second, as Kubernetes has it.
        pod_start_time: Some(started(age).into()),
        known: Some(KnownPod {
            node: Some(Arc::clone(node)),
            owner: Some(Arc::clone(&workload.owner)),
            workload_kind: Some(Arc::clone(kind)),
            workload_name: Some(Arc::clone(&workload.name)),
            requests: workload.requests,
            limits: workload.limits,
            labels: Arc::clone(&workload.labels),
            annotations: Arc::clone(&workload.annotations),
            claims: claims.unwrap_or_default(),
        }),
    }
}

/// Counters of a pod.
struct Used {
    cpu: i64,
    pages: i64,
    sent: i64,
    received: i64,
}

impl Used {
    fn new(workload: &Workload, age: f64, rng: &mut Rng) -> Self {
        Self {
            cpu: (workload.cpu * age) as i64,
            pages: (workload.requests.memory_bytes / PAGE) * rng.i64(30..110) / 100 + rng.i64(0..1_000),
            sent: (workload.net * age) as i64,
            received: (workload.net * age * 0.7) as i64,
        }
    }

    /// What is measured so many seconds later; a third more or less each time.
    fn row(&mut self, workload: &Workload, seconds: f64, rng: &mut Rng) -> Row {
        let nanocores = workload.cpu * (0.7 + 0.6 * rng.f64());
        self.cpu += (nanocores * seconds) as i64;
        self.pages = (self.pages + rng.i64(-60..64)).max(100);
        self.sent += (workload.net * seconds * (0.7 + 0.6 * rng.f64())) as i64;
        self.received += (workload.net * seconds * (0.5 + 0.4 * rng.f64())) as i64;
        Row {
            report: 0,
            pod: 0,
            cpu_usage_cores: Some(nanocores.floor() / 1e9).into(),
            // The kernel counts microseconds.
            cpu_usage_cum: Some((self.cpu / 1_000) as f64 / 1e6).into(),
            memory_usage_bytes: Some(self.pages * PAGE).into(),
            net_tx_bytes: Some(self.sent).into(),
            net_rx_bytes: Some(self.received).into(),
        }
    }
}

fn uid(rng: &mut Rng) -> String {
    let hex = format!("{:032x}", rng.u128(..));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// As Kubernetes makes them.
fn suffix(rng: &mut Rng, length: usize) -> String {
    (0..length).map(|_| char::from(b"bcdfghjklmnpqrstvwxz2456789"[rng.usize(0..27)])).collect()
}

/// To the second, as Kubernetes has it.
fn started(age: f64) -> String {
    format!("{}Z", &timestamp(BEGIN - age as i64 * 1_000_000)[..19])
}

/// On the day of [`BEGIN`] or in the month before.
fn timestamp(micros: i64) -> String {
    let of_day = micros.rem_euclid(86_400_000_000);
    let day = 2 + (micros.div_euclid(86_400_000_000) - BEGIN.div_euclid(86_400_000_000));
    let (month, day) = if day > 0 {
        (3, day)
    } else if day > -28 {
        (2, 28 + day)
    } else {
        (1, 59 + day)
    };
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    format!("2026-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
