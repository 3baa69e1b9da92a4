//! Killed at any moment under load, while S3 fails: what was acknowledged is in the bucket once, whatever else was sent at most once, and nothing else.
//!
//! `USAGE_CRASH_KILLS` asks for more kills, `USAGE_CRASH_SEED` for a seed that was printed. Moments and order of what happens are the machine's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fakes::kube_api::{NodeSpec, PodSpec};
use fakes::s3_memory::{Probability, S3Effect, S3Fault};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::oracle::oracle;
use crate::report::{Sender, report_at, some};
use crate::table;
use crate::world::{World, drained};

const SENDERS: usize = 16;
/// Nobody else listens below it: a port that is free again must not become that of another test, where reports would be taken, too.
const ADDRESS: &str = "--address=127.83.15.1:0";

/// Reports of one sender. All senders begin at the same time, shortly before a midnight, so that files of several days are made.
struct Reports {
    sender: usize,
    begin: Timestamp,
}

/// How far a report has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Sent,
    Acknowledged,
}

impl Reports {
    fn node(&self) -> String {
        format!("node-{:02}", self.sender)
    }

    /// Hundreds of milliseconds apart.
    fn timestamp(&self, number: usize) -> String {
        format!("{:.6}", self.begin + SignedDuration::from_millis(100 * number as i64))
    }

    fn pod(&self, number: usize, pod: usize) -> String {
        format!("{:02}-{number:06}-{pod:02}", self.sender)
    }

    /// One to twelve pods.
    fn pods(&self, number: usize) -> usize {
        1 + (number * 7 + self.sender) % 12
    }

    /// Some have an entry that cannot be read besides.
    fn has_bad_entry(&self, number: usize) -> bool {
        (number + self.sender).is_multiple_of(23)
    }

    fn body(&self, number: usize) -> Value {
        let mut pods: Vec<Value> = (0..self.pods(number)).map(|pod| some(&self.pod(number, pod))).collect();
        if self.has_bad_entry(number) {
            pods.push(json!({ "pod_id": self.pod(number, 99), "namespace": "default", "name": "bad", "memory_usage_bytes": -1 }));
        }
        report_at(&self.node(), &self.timestamp(number), &pods)
    }
}

/// Sends until it is told to stop; what has become of each report.
async fn send(
    reports: Arc<Reports>,
    address: watch::Receiver<SocketAddr>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    seed: u64,
) -> Vec<Fate> {
    let mut random = fastrand::Rng::with_seed(seed);
    let sender = Sender::new();
    let mut fates = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = fates.len();
        let body = reports.body(number).to_string();
        fates.push(Fate::Sent);
        sent.fetch_add(1, Ordering::Relaxed);
        // A report that was not acknowledged is sent again or given up; one that was is sent again, too, sometimes.
        loop {
            let now = *address.borrow();
            let answer = tokio::time::timeout(Duration::from_secs(20), sender.try_post(now, body.clone())).await;
            match answer {
                Ok(Ok(answer)) if answer.status == 200 => {
                    assert_eq!(answer.json()["status"], "ok");
                    fates[number] = Fate::Acknowledged;
                    if random.f64() >= 0.05 {
                        break;
                    }
                }
                Ok(Ok(answer)) => assert!(answer.status == 503, "{}: {}", answer.status, answer.text),
                Ok(Err(_)) | Err(_) => {}
            }
            if fates[number] != Fate::Acknowledged {
                tokio::time::sleep(Duration::from_millis(random.u64(1..40))).await;
                if random.f64() < 0.3 {
                    break;
                }
            }
        }
    }
    fates
}

/// S3 as it is on a bad day.
fn make_unlucky(world: &World, seed: u64) {
    let unlucky = |p, effect, seed| S3Fault { probability: Some(Probability { p, seed }), ..S3Fault::always(effect) };
    world.s3.set_faults(vec![
        unlucky(0.2, S3Effect::ResetAfter, seed),
        unlucky(0.15, S3Effect::Status(500, "InternalError"), seed + 1),
        unlucky(0.15, S3Effect::Reset, seed + 2),
        unlucky(0.3, S3Effect::Latency(Duration::from_millis(150)), seed + 3),
    ]);
}

/// A row or a dead letter, and the object that it is in.
struct Found {
    id: String,
    node: String,
    timestamp: String,
    key: String,
}

impl Found {
    fn new(id: &Value, node: &Value, timestamp: &Value, key: &str) -> Self {
        let [id, node, timestamp] = [id, node, timestamp].map(|value| value.as_str().unwrap().to_owned());
        Self { id, node, timestamp, key: key.to_owned() }
    }
}

/// What the senders have sent, as it must be in the bucket.
struct Sent {
    reports: Vec<Arc<Reports>>,
    fates: Vec<Vec<Fate>>,
}

impl Sent {
    fn count(&self, fate: Fate) -> usize {
        self.fates.iter().flatten().filter(|one| **one == fate).count()
    }

    /// Which report and which pod of it an id stands for, if it was sent.
    fn known(&self, id: &str) -> Option<(usize, usize)> {
        let mut parts = id.split('-').map(|part| part.parse::<usize>());
        let (sender, number, pod) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        let was_sent = number < self.fates.get(sender)?.len();
        let has_pod = pod < self.reports[sender].pods(number) || (pod == 99 && self.reports[sender].has_bad_entry(number));
        (was_sent && has_pod).then_some((sender, number))
    }

    /// Rows and dead letters by the id of their pod, with node and time; each once, all of them sent, and of acknowledged reports all.
    fn verify(&self, found: impl Iterator<Item = Found>) {
        let mut times: HashMap<String, Vec<String>> = HashMap::new();
        for Found { id, node, timestamp, key } in found {
            let (sender, number) = self.known(&id).unwrap_or_else(|| panic!("nobody has sent {id}"));
            let reports = &self.reports[sender];
            assert_eq!((node, timestamp), (reports.node(), reports.timestamp(number)), "{id}");
            times.entry(id).or_default().push(key);
        }
        let twice = times.iter().find(|(_, keys)| keys.len() > 1);
        assert_eq!(twice, None, "more than once");
        for (reports, fates) in self.reports.iter().zip(&self.fates) {
            for (number, fate) in fates.iter().enumerate() {
                let bad = reports.has_bad_entry(number).then_some(99);
                let there =
                    (0..reports.pods(number)).chain(bad).filter(|pod| times.contains_key(&reports.pod(number, *pod))).count();
                let whole = reports.pods(number) + usize::from(bad.is_some());
                let right = if *fate == Fate::Acknowledged { there == whole } else { there == whole || there == 0 };
                assert!(right, "report {number} of {} is {fate:?}, and {there} of its {whole} entries are there", reports.node());
            }
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_once_whenever_the_process_was_killed() {
    let kills = setting("USAGE_CRASH_KILLS").unwrap_or(10);
    let seed = setting("USAGE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    eprintln!("USAGE_CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::start().await;
    let now = Timestamp::now();
    let begin = Timestamp::from_second(now.as_second() / 86_400 * 86_400 - 10).unwrap();
    let reports: Vec<Arc<Reports>> = (0..SENDERS).map(|sender| Arc::new(Reports { sender, begin })).collect();
    for reports in &reports {
        // Of two clusters, and with a pod that is known.
        world.api.apply_node(&NodeSpec::new(&reports.node()).cluster(["blue", "green"][reports.sender % 2]));
        world.api.apply_pod(&PodSpec::new("default", &reports.node()).uid(&reports.pod(0, 0)).node(Some(&reports.node())));
    }
    let args = [ADDRESS, "--usage-roll-age=300ms", "--usage-roll-bytes=64KiB"];

    make_unlucky(&world, seed);
    let mut exporter = world.serve(&args).await;
    let (address, watched) = watch::channel(exporter.address);
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = reports
        .iter()
        .map(|reports| {
            let seed = random.u64(..);
            tokio::spawn(send(Arc::clone(reports), watched.clone(), Arc::clone(&stop), Arc::clone(&sent), seed))
        })
        .collect();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.u64(50..1_500))).await;
        // SIGKILL.
        drop(exporter);
        if kill % 4 == 3 {
            // And once more, while it begins.
            let mut command = world.command(&args);
            let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(random.u64(1..150))).await;
            child.kill().unwrap();
            child.wait().unwrap();
        }
        make_unlucky(&world, random.u64(..1 << 32));
        exporter = world.serve(&args).await;
        address.send_replace(exporter.address);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let fates: Vec<Vec<Fate>> = futures::future::join_all(senders).await.into_iter().map(Result::unwrap).collect();
    world.s3.clear_faults();
    drained(&exporter).await;

    let sent = Sent { reports, fates };
    let (acknowledged, lost) = (sent.count(Fate::Acknowledged), sent.count(Fate::Sent));
    let tables = world.tables();
    eprintln!("{kills} kills, {acknowledged} reports acknowledged, {lost} not, {} files", tables.len());
    assert!(acknowledged > 200, "there was no load: {acknowledged}");
    let columns = ["pod_id", "node_name", "timestamp"];
    let of_file = |(key, file): (&String, &Bytes)| {
        let rows = table::read(file, &columns).into_iter();
        rows.map(|row| Found::new(&row["pod_id"], &row["node_name"], &row["timestamp"], key)).collect::<Vec<_>>()
    };
    let rows: Vec<Found> = tables.iter().flat_map(of_file).collect();
    let count = rows.len();
    let dead = world.dead_letters();
    let dead_found = dead.iter().map(|letter| {
        let entry: Value = serde_json::from_str(letter["entry"].as_str().unwrap()).unwrap();
        Found::new(&entry["pod_id"], &letter["node_name"], &letter["timestamp"], "dead letters")
    });
    sent.verify(rows.into_iter().chain(dead_found));
    assert!(dead.len() > 5, "{} dead letters", dead.len());
    assert_eq!(exporter.stop("TERM"), Some(0));
    same_for_the_oracle(&world, count);
    same_schema_in(tables.values());
}

/// All files have the same columns, whatever is in them.
fn same_schema_in<'a>(files: impl Iterator<Item = &'a Bytes>) {
    let schemas: Vec<_> = files.map(table::schema).collect();
    assert!(schemas.windows(2).all(|two| two[0] == two[1]));
}

/// Who else reads the files finds as many rows, and none twice.
fn same_for_the_oracle(world: &World, rows: usize) {
    let Some(answer) = oracle(world, "rows", "what_was_acknowledged_is_there_once_whenever_the_process_was_killed") else {
        return;
    };
    assert_eq!(answer["duckdb"], json!({ "rows": rows, "different": rows }));
    assert_eq!((&answer["pyarrow"]["rows"], &answer["pyarrow"]["schemas"]), (&json!(rows), &json!(1)));
}
