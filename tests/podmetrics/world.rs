//! A Kubernetes API, pods, and the exporter between them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use fakes::kube_api::{KubeApi, PodSpec};
use fakes::pods::{Behaviour, Body, Pod};

use crate::answer::Answer;
use crate::support::{self, Exporter};

/// What labels begin with, unless somebody says otherwise.
pub const PREFIX: &str = "metrics-aggregator.apawel.me/";
/// The namespace of pods about which nothing else is said.
pub const NAMESPACE: &str = "default";
/// The job of pods about which nothing else is said.
pub const JOB: &str = "memcached";

/// A cluster without pods.
pub struct World {
    pub api: KubeApi,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self { api: KubeApi::start().await, folder: tempfile::tempdir().unwrap() }
    }

    /// A cluster with one pod, `a`.
    pub async fn with_pod(behaviour: Behaviour) -> (Self, Pod) {
        let world = Self::start().await;
        let pod = world.pod("a", behaviour).await;
        (world, pod)
    }

    /// Starts a pod and makes it known.
    pub async fn pod(&self, name: &str, behaviour: Behaviour) -> Pod {
        let pod = Pod::start(behaviour).await;
        self.api.apply_pod(&spec(name, &pod));
        pod
    }

    /// A pod that answers with `NAME 1`.
    pub async fn healthy(&self, name: &str) -> Pod {
        self.pod(name, Behaviour::text(format!("{name} 1\n"))).await
    }

    /// The exporter with what every test wants.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = support::command(&["--address=127.0.0.1:0", "--no-inventory", "--podmetrics"]);
        command.arg("--kubeconfig").arg(self.api.kubeconfig(self.folder.path())).args(more);
        command
    }

    /// Starts it, allowed to scrape loopback addresses, and waits until it knows the pods.
    pub async fn exporter(&self, more: &[&str]) -> Exporter {
        self.exporter_of(self.command(&[&["--podmetrics-allow-cidr=127.0.0.0/8"], more].concat())).await
    }

    /// Starts a command and waits until it knows the pods.
    pub async fn exporter_of(&self, command: Command) -> Exporter {
        let exporter = Exporter::start_command(command).await;
        exporter.until("it is ready", async |exporter: &Exporter| (exporter.get("/readyz").await.0 == 200).then_some(())).await;
        exporter
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        write(&path, text);
        path.to_str().unwrap().to_owned()
    }
}

/// Replaces a file as a whole.
pub fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A pod of [`JOB`] where `pod` listens.
pub fn spec(name: &str, pod: &Pod) -> PodSpec {
    spec_at(name, pod.address())
}

/// A pod of [`JOB`] at an address where anybody or nobody listens.
pub fn spec_at(name: &str, address: SocketAddr) -> PodSpec {
    PodSpec::new(NAMESPACE, name)
        .label(&key("job-name"), JOB)
        .label(&key("port"), &address.port().to_string())
        .ip(address.ip())
        .ballast(0)
}

/// The whole name of a label or annotation.
pub fn key(suffix: &str) -> String {
    format!("{PREFIX}{suffix}")
}

/// Where the metrics of a job are.
pub fn path_of(job: &str) -> String {
    format!("/metrics?job={job}")
}

/// GET of any path with any headers, at any address.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
    let mut request = client.get(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    Answer { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
}

/// The metrics of a job, which must be valid.
#[track_caller]
pub fn ask<'a>(exporter: &'a Exporter, job: &'a str) -> impl Future<Output = Answer> + use<'a> {
    let asked = std::panic::Location::caller();
    async move {
        let answer = get(exporter.address, &path_of(job), &[]).await;
        assert_eq!(answer.status, 200, "asked at {asked}: {}", answer.text);
        answer.well()
    }
}

/// Asks for [`JOB`] until the answer shows what is awaited.
pub async fn until(exporter: &Exporter, what: &str, condition: impl Fn(&Answer) -> bool) -> Answer {
    exporter
        .until(what, async |exporter: &Exporter| {
            let answer = get(exporter.address, &path_of(JOB), &[]).await;
            condition(&answer).then_some(answer)
        })
        .await
}

/// A scrape of the exporter's own metrics: the value of a series.
pub async fn metric(exporter: &Exporter, series: &str) -> f64 {
    let metrics = exporter.metrics().await;
    metrics.value(series).unwrap_or_else(|| panic!("no {series} in\n{}", metrics.0))
}

/// A counter or gauge of `s3exporter_podmetrics_*`, with labels as they are written.
pub fn ours(name: &str) -> String {
    format!("s3exporter_podmetrics_{name}")
}

/// How many scrapes have failed for a reason.
pub async fn failures(exporter: &Exporter, reason: &str) -> f64 {
    metric(exporter, &ours(&format!("scrape_errors_total{{reason=\"{reason}\"}}"))).await
}

/// How long something takes.
pub async fn timed<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let result = what.await;
    (result, start.elapsed())
}

/// Answers that pods give when the gate is open and not before.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Answers with `NAME N`, where `N` is the number of the request. It blocks a thread of the runtime, which must have several.
    pub fn behaviour(&self, name: &str) -> Behaviour {
        let (gate, name) = (self.clone(), name.to_owned());
        Behaviour::computed(move |number| {
            let (open, changed) = &*gate.0;
            tokio::task::block_in_place(|| drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap()));
            Body::text(format!("{name} {number}\n"))
        })
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// Whoever fails must not leave threads waiting.
pub struct Opened<'a>(pub &'a Gate);

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}
