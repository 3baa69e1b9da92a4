//! The fakes by hand: starts one, prints where it is, and serves until Ctrl-C.
//!
//! ```text
//! fakes s3-memory --bucket backups --tls
//! fakes s3-pages --space clusters --objects 10000000 --latency-ms 20
//! fakes prometheus --metrics up=1000,node_cpu_seconds_total=50000 --latency-ms 20
//! fakes kube --clusters 1000 --kubeconfig-dir /tmp
//! fakes kube --nodes 100 --pods-per-node 110 --kubeconfig-dir /tmp
//! fakes pods --count 1000 --port 9150 --samples-per-pod 1857 --hang 5 --kubeconfig-dir /tmp
//! fakes kubelet --pods 110 --port 10250 --tls
//! ```

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand, ValueEnum};
use fakes::imds::{Imds, ImdsMode};
use fakes::kube_api::{KubeApi, Population};
use fakes::kubelet::Kubelet;
use fakes::pods::{Fleet, FleetOptions};
use fakes::prometheus::{MetricShape, Prometheus};
use fakes::s3_memory::S3Memory;
use fakes::s3_pages::{ClusterTimestamp, Counters, DateTree, KeySpace, LongPrefix, NonAscii, OneHuge, S3Pages, Uuids};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fake S3, Prometheus and Kubernetes servers and pods on loopback addresses, for tests and benchmarks.
#[derive(Parser)]
struct Cli {
    /// Port to listen on; 0 takes a free one
    #[arg(long, global = true, default_value_t = 0)]
    port: u16,
    #[command(subcommand)]
    fake: Fake,
}

#[derive(Subcommand)]
enum Fake {
    /// S3 in memory, with signature checks
    S3Memory {
        /// Buckets to create
        #[arg(long, default_value = "kubermatic-etcd-backups")]
        bucket: Vec<String>,
        /// HTTPS with an authority made at start; its certificate is printed
        #[arg(long)]
        tls: bool,
        /// Require this session token
        #[arg(long)]
        session_token: Option<String>,
    },
    /// A fast list server over computed keys, without signature checks
    S3Pages {
        /// What the keys look like
        #[arg(long, value_enum, default_value_t = Space::Clusters)]
        space: Space,
        /// How many objects, about
        #[arg(long, default_value_t = 1_000_000)]
        objects: u64,
        /// How many clusters (key spaces with clusters)
        #[arg(long, default_value_t = 1_000)]
        clusters: u64,
        /// Milliseconds before each answer
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
    },
    /// The API of Prometheus over computed series
    Prometheus {
        /// Metrics with the number of their series
        #[arg(long, value_name = "NAME=SERIES", value_delimiter = ',', value_parser = metric, default_value = "up=100")]
        metrics: Vec<(String, usize)>,
        /// Bytes of a label `padding` of each series
        #[arg(long, default_value_t = 0)]
        padding: usize,
        /// Milliseconds before each answer
        #[arg(long, default_value_t = 0)]
        latency_ms: u64,
    },
    /// A Kubernetes API server with Kubermatic clusters, and with nodes, pods, their owners and claims
    Kube {
        /// How many clusters: cluster-00000, cluster-00001, ...
        #[arg(long, default_value_t = 10)]
        clusters: u64,
        /// How many nodes: node-0000, node-0001, ...
        #[arg(long, default_value_t = 0)]
        nodes: usize,
        /// How many pods each of them has, with owners and, some of them, claims
        #[arg(long, default_value_t = 110)]
        pods_per_node: usize,
        /// Bytes of each pod that are of no use to anybody, as managed fields
        #[arg(long, default_value_t = 0)]
        pod_ballast: usize,
        /// Write a kubeconfig into this directory
        #[arg(long)]
        kubeconfig_dir: Option<PathBuf>,
        /// Require this bearer token
        #[arg(long)]
        token: Option<String>,
    },
    /// A kubelet's /stats/summary, of pods that use more with each answer
    Kubelet {
        /// How many pods
        #[arg(long, default_value_t = 110)]
        pods: usize,
        /// Name of its node
        #[arg(long, default_value = "node-1")]
        node: String,
        /// HTTPS with an authority made at start; its certificate is printed
        #[arg(long)]
        tls: bool,
        /// Require this bearer token
        #[arg(long)]
        token: Option<String>,
        /// Also the metadata service of an EC2 instance with this id
        #[arg(long, value_name = "ID")]
        instance_id: Option<String>,
    },
    /// Pods with metrics, each on its own loopback address, and a Kubernetes API server that lists them
    Pods {
        /// How many pods; all of them listen on --port
        #[arg(long, default_value_t = 10)]
        count: usize,
        /// How many samples the metrics of a pod have, about 102 bytes each
        #[arg(long, default_value_t = 1_857)]
        samples_per_pod: usize,
        /// So many pods of a hundred never answer
        #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
        hang: u8,
        /// Before the names job-name and port of the labels
        #[arg(long, default_value = "metrics-aggregator.apawel.me/")]
        label_prefix: String,
        /// Port of the API server; 0 takes a free one
        #[arg(long, default_value_t = 0)]
        api_port: u16,
        /// Write a kubeconfig into this directory
        #[arg(long)]
        kubeconfig_dir: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Space {
    /// cluster-00042-2026-11-21T05-20-00.db.gz, the newest from now
    Clusters,
    /// One cluster with nine tenths of the objects
    OneHuge,
    Uuids,
    /// 2026/11/21/05/00007.json.gz
    DateTree,
    /// 1, 10, 100, 11, 2
    Counters,
    /// 900 bytes in common
    LongPrefix,
    /// Greek, Japanese, emoji
    NonAscii,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let cli = Cli::parse();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, cli.port));
    match cli.fake {
        Fake::S3Memory { bucket, tls, session_token } => {
            let mut builder = S3Memory::builder().address(address).tls(tls);
            if let Some(token) = session_token {
                builder = builder.session_token(&token);
            }
            let server = builder.start().await?;
            for name in bucket {
                server.create_bucket(&name);
            }
            let ca = if tls { server.ca_pem() } else { String::new() };
            print(&format!(
                "{}\nACCESS_KEY_ID={}\nSECRET_ACCESS_KEY={}\n{ca}",
                server.endpoint(),
                server.access_key_id(),
                server.secret_access_key(),
            ))?;
            tokio::signal::ctrl_c().await
        }
        Fake::S3Pages { space, objects, clusters, latency_ms } => {
            let server = S3Pages::start_on(address, key_space(space, objects, clusters.max(1))).await?;
            server.set_latency(Duration::from_millis(latency_ms));
            print(&format!("{}\n", server.endpoint()))?;
            tokio::signal::ctrl_c().await
        }
        Fake::Prometheus { metrics, padding, latency_ms } => {
            let server = Prometheus::start_on(address).await?;
            for (name, series) in metrics {
                server.set_metric(&name, MetricShape { series, padding });
            }
            server.set_latency(Duration::from_millis(latency_ms));
            print(&format!("{}\n", server.endpoint()))?;
            tokio::signal::ctrl_c().await
        }
        Fake::Kube { clusters, nodes, pods_per_node, pod_ballast: ballast, kubeconfig_dir, token } => {
            let server = KubeApi::start_on(address).await?;
            if let Some(token) = token {
                server.require_token(&token);
            }
            for number in 0..clusters {
                server.apply_cluster(&format!("cluster-{number:05}"));
            }
            if nodes > 0 {
                server.populate(&Population { ballast, ..Population::new(nodes, pods_per_node) });
            }
            print_api(&server, kubeconfig_dir)?;
            tokio::signal::ctrl_c().await
        }
        Fake::Kubelet { pods, node, tls, token, instance_id } => {
            let mut builder = Kubelet::builder().address(address).node(&node).pods(pods);
            if tls {
                builder = builder.tls(&["127.0.0.1", "localhost", &node]);
            }
            if let Some(token) = token {
                builder = builder.token(&token);
            }
            let kubelet = builder.start().await?;
            let ca = if tls { kubelet.ca_pem() } else { "" };
            print(&format!("KUBELET_ENDPOINT={}\n{ca}", kubelet.endpoint()))?;
            let imds = match instance_id {
                Some(id) => Some(Imds::start(&id, ImdsMode::Both).await),
                None => None,
            };
            if let Some(imds) = &imds {
                print(&format!("AWS_EC2_METADATA_SERVICE_ENDPOINT={}\n", imds.endpoint()))?;
            }
            tokio::signal::ctrl_c().await
        }
        Fake::Pods { count, samples_per_pod: samples, hang, label_prefix, api_port, kubeconfig_dir } => {
            allow_many_sockets();
            let api = SocketAddr::from((Ipv4Addr::LOCALHOST, api_port));
            let options = FleetOptions { count, port: cli.port, samples, hang_percent: hang.into(), label_prefix, api };
            let fleet = Fleet::start(&options).await?;
            print_api(&fleet.api, kubeconfig_dir)?;
            tokio::signal::ctrl_c().await
        }
    }
}

/// Prints where an API server is and, if wanted, a kubeconfig for it.
fn print_api(api: &KubeApi, kubeconfig_dir: Option<PathBuf>) -> io::Result<()> {
    print(&format!("{}\n", api.endpoint()))?;
    kubeconfig_dir.map_or(Ok(()), |dir| print(&format!("{}\n", api.kubeconfig(dir).display())))
}

/// A socket for each pod and each connection is more than the usual limit of a shell.
fn allow_many_sockets() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Reads `up=100`.
fn metric(text: &str) -> Result<(String, usize), String> {
    let (name, series) = text.split_once('=').ok_or("expected NAME=SERIES")?;
    let series = series.parse().map_err(|error| format!("{series:?} is no number of series: {error}"))?;
    Ok((name.to_owned(), series))
}

fn key_space(space: Space, objects: u64, clusters: u64) -> Box<dyn KeySpace> {
    match space {
        Space::Clusters => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.map_or(0, |since| since.as_secs());
            let clusters = ClusterTimestamp::new(clusters, objects.div_ceil(clusters));
            Box::new(clusters.ending_at(now))
        }
        Space::OneHuge => {
            let small = objects / 10 / clusters;
            let huge = objects - small * clusters;
            Box::new(OneHuge::new(clusters, small, huge))
        }
        Space::Uuids => Box::new(Uuids { count: objects }),
        Space::DateTree => {
            let per_hour = 1_000;
            Box::new(DateTree { hours: objects.div_ceil(per_hour), per_hour })
        }
        Space::Counters => Box::new(Counters { count: objects }),
        Space::LongPrefix => Box::new(LongPrefix { count: objects }),
        Space::NonAscii => Box::new(NonAscii { per_name: objects.div_ceil(NonAscii::NAMES.len() as u64) }),
    }
}

/// Prints at once, also into a pipe: scripts wait for the address.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
