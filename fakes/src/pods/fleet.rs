//! Many pods at once, and the API that lists them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use super::{Behaviour, Body, Pod, exposition};
use crate::kube_api::{KubeApi, PodSpec};

/// What a [`Fleet`] consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetOptions {
    /// How many pods.
    pub count: usize,
    /// The port of all pods; 0 takes a free one.
    pub port: u16,
    /// Samples in the body of a pod; see [`exposition::body`].
    pub samples: usize,
    /// So many pods of a hundred never answer.
    pub hang_percent: usize,
    /// Before the names `job-name` and `port` of the labels.
    pub label_prefix: String,
    /// Where the API listens.
    pub api: SocketAddr,
}

impl Default for FleetOptions {
    fn default() -> Self {
        Self {
            count: 10,
            port: 0,
            samples: 100,
            hang_percent: 0,
            label_prefix: "metrics-aggregator.apawel.me/".to_owned(),
            api: (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }
}

/// Running pods `memcached-00000`, `memcached-00001`, ... in the namespace `default`, each with the labels
/// `job-name=memcached` and `port`, and an API that knows them.
pub struct Fleet {
    /// Lists the pods.
    pub api: KubeApi,
    /// The pods, in the order of their names.
    pub pods: Vec<Pod>,
}

impl Fleet {
    /// Starts all of it. The pods keep no requests, so that they can run for long.
    pub async fn start(options: &FleetOptions) -> io::Result<Self> {
        let api = KubeApi::start_on(options.api).await?;
        let mut pods: Vec<Pod> = Vec::with_capacity(options.count);
        for number in 0..options.count {
            let port = pods.first().map_or(options.port, Pod::port);
            let samples = options.samples;
            let behaviour = if hangs(number, options.hang_percent) {
                Behaviour::Hang
            } else {
                // Computed again and again: all bodies at once may be more than the memory.
                Behaviour::computed(move |_| Body::text(exposition::body(number, samples)))
            };
            let pod = Pod::builder(behaviour).port(port).forgetful().start().await?;
            let spec = PodSpec::new("default", &format!("memcached-{number:05}"))
                .label("app", "memcached")
                .label(&format!("{}job-name", options.label_prefix), "memcached")
                .label(&format!("{}port", options.label_prefix), &pod.port().to_string())
                .ip(pod.ip());
            api.apply_pod(&spec);
            pods.push(pod);
        }
        Ok(Self { api, pods })
    }
}

/// Whether a pod is one of those that never answer. They are spread evenly.
fn hangs(number: usize, percent: usize) -> bool {
    number * percent / 100 != (number + 1) * percent / 100
}

#[cfg(test)]
mod tests {
    use super::hangs;

    #[test]
    fn some_pods_hang() {
        let of = |count, percent| (0..count).filter(|number| hangs(*number, percent)).count();
        assert_eq!([of(1_000, 0), of(1_000, 5), of(20, 5), of(10, 100)], [0, 50, 1, 10]);
    }
}
