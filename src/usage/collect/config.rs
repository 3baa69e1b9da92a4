//! What the collector is told: by flags and by the variables of the script that it replaces.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::queue::Limits;
use crate::server::is_address;

/// Where Kubernetes puts what a pod needs to talk to it.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const KUBELET_PORT: u16 = 10_250;
const SUMMARY: &str = "/stats/summary";
const INTERVAL: Duration = Duration::from_secs(30);
/// More is a mistake in the unit.
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);
const JITTER_PERCENT: u8 = 20;
const FAILURES: u32 = 5;
/// An hour of the usual interval.
const QUEUE: usize = 120;
const QUEUE_BYTES: usize = 64 << 20;
const IMDS: &str = "http://169.254.169.254";
/// Six hours, which is what the metadata service allows.
const LONGEST_TTL: u32 = 21_600;

/// A setting that cannot be used: one clear line, exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum CollectConfigError {
    /// Nowhere to send to.
    #[error("there is nowhere to send reports to: set --push-endpoint (PUSH_ENDPOINT), or see one with --once")]
    NoPushEndpoint,
    /// Nobody to ask.
    #[error(
        "there is no kubelet to ask: set NODE_IP to the address of the node (`status.hostIP`), or --kubelet-endpoint (KUBELET_ENDPOINT)"
    )]
    NoKubelet,
    /// A URL.
    #[error("{0} `{1}` cannot be used: {2}")]
    Url(&'static str, String, &'static str),
    /// `NODE_IP`.
    #[error("NODE_IP `{0}` is no IP address")]
    NodeIp(String),
    /// The jitter.
    #[error("the jitter of {0} percent is more than 100")]
    Jitter(u8),
    /// The interval.
    #[error("the interval is longer than a day")]
    Interval,
    /// A number that must be above zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Time to live of the metadata service's token.
    #[error("a token of the EC2 metadata service lives from 1 to 21600 seconds, not {0}")]
    TokenTtl(u32),
    /// The address of its own metrics.
    #[error("`{0}` is no address to listen on; write HOST:PORT, [IPV6]:PORT, or :PORT for all interfaces")]
    Address(String),
}

/// Everything that can be set, as far as one source sets it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the flags say it")]
pub struct CollectSection {
    pub push_endpoint: Option<String>,
    pub push_ca: Option<PathBuf>,
    pub push_token_file: Option<PathBuf>,
    pub interval: Option<Duration>,
    pub jitter_percent: Option<u8>,
    pub max_consecutive_failures: Option<u32>,
    pub queue: Option<usize>,
    pub queue_bytes: Option<usize>,
    pub kubelet_endpoint: Option<String>,
    pub kubelet_ca: Option<PathBuf>,
    pub kubelet_insecure_tls: Option<bool>,
    pub kubelet_token_file: Option<PathBuf>,
    pub node_ip: Option<String>,
    pub node_name: Option<String>,
    pub hostname: Option<String>,
    pub ec2_instance_id: Option<bool>,
    pub ec2_token_ttl: Option<u32>,
    pub force_imdsv1: Option<bool>,
    pub ec2_endpoint: Option<String>,
    pub address: Option<String>,
}

/// What the collector does.
#[derive(Debug)]
pub struct CollectConfig {
    pub(super) push: Option<PushConfig>,
    pub(super) interval: Duration,
    /// Part of the interval by which it may be longer or shorter, from 0 to 1.
    pub(super) jitter: f64,
    pub(super) max_consecutive_failures: u32,
    pub(super) queue: Limits,
    pub(super) kubelet: KubeletConfig,
    pub(super) node_name: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) imds: Option<ImdsConfig>,
    /// Where its own metrics are served, if they are.
    pub address: Option<String>,
}

#[derive(Debug)]
pub(super) struct PushConfig {
    pub(super) endpoint: Url,
    pub(super) ca: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct KubeletConfig {
    pub(super) endpoint: Url,
    pub(super) ca: Option<PathBuf>,
    pub(super) insecure_tls: bool,
    pub(super) token_file: Option<PathBuf>,
    /// The node's name, which nobody has to look up, and its address.
    pub(super) resolve: Option<(String, IpAddr)>,
}

#[derive(Debug, Clone)]
pub(super) struct ImdsConfig {
    pub(super) endpoint: Url,
    /// Seconds.
    pub(super) token_ttl: u32,
    pub(super) force_v1: bool,
}

impl CollectSection {
    /// Completes itself from `below`.
    pub fn or(self, below: Self) -> Self {
        Self {
            push_endpoint: self.push_endpoint.or(below.push_endpoint),
            push_ca: self.push_ca.or(below.push_ca),
            push_token_file: self.push_token_file.or(below.push_token_file),
            interval: self.interval.or(below.interval),
            jitter_percent: self.jitter_percent.or(below.jitter_percent),
            max_consecutive_failures: self.max_consecutive_failures.or(below.max_consecutive_failures),
            queue: self.queue.or(below.queue),
            queue_bytes: self.queue_bytes.or(below.queue_bytes),
            kubelet_endpoint: self.kubelet_endpoint.or(below.kubelet_endpoint),
            kubelet_ca: self.kubelet_ca.or(below.kubelet_ca),
            kubelet_insecure_tls: self.kubelet_insecure_tls.or(below.kubelet_insecure_tls),
            kubelet_token_file: self.kubelet_token_file.or(below.kubelet_token_file),
            node_ip: self.node_ip.or(below.node_ip),
            node_name: self.node_name.or(below.node_name),
            hostname: self.hostname.or(below.hostname),
            ec2_instance_id: self.ec2_instance_id.or(below.ec2_instance_id),
            ec2_token_ttl: self.ec2_token_ttl.or(below.ec2_token_ttl),
            force_imdsv1: self.force_imdsv1.or(below.force_imdsv1),
            ec2_endpoint: self.ec2_endpoint.or(below.ec2_endpoint),
            address: self.address.or(below.address),
        }
    }

    /// Checks it and adds the defaults. With `once` there need not be anywhere to send to.
    ///
    /// # Errors
    /// For the first setting that cannot be used.
    pub fn resolve(self, once: bool) -> Result<CollectConfig, CollectConfigError> {
        let push = match self.push_endpoint {
            None if once => None,
            None => return Err(CollectConfigError::NoPushEndpoint),
            Some(text) => {
                let endpoint = push_url(&text).map_err(|why| unusable("the push endpoint", &text, why))?;
                Some(PushConfig { endpoint, ca: self.push_ca, token_file: self.push_token_file })
            }
        };
        let jitter_percent = self.jitter_percent.unwrap_or(JITTER_PERCENT);
        if jitter_percent > 100 {
            return Err(CollectConfigError::Jitter(jitter_percent));
        }
        let interval = self.interval.unwrap_or(INTERVAL);
        if interval > LONGEST_INTERVAL {
            return Err(CollectConfigError::Interval);
        }
        let (failures, queue) = (self.max_consecutive_failures.unwrap_or(FAILURES), self.queue.unwrap_or(QUEUE));
        for (name, zero) in [("the number of failures in a row", failures == 0), ("the length of the queue", queue == 0)] {
            if zero {
                return Err(CollectConfigError::Zero(name));
            }
        }
        if let Some(address) = self.address.as_deref().filter(|address| !is_address(address)) {
            return Err(CollectConfigError::Address(address.to_owned()));
        }
        let imds = imds(self.ec2_endpoint, self.ec2_token_ttl, self.force_imdsv1)?;
        let (endpoint, resolve) = kubelet(self.kubelet_endpoint, self.node_ip, self.node_name.as_deref())?;
        let kubelet = KubeletConfig {
            endpoint,
            ca: self.kubelet_ca.or_else(|| service_account("ca.crt")),
            insecure_tls: self.kubelet_insecure_tls.unwrap_or(false),
            token_file: self.kubelet_token_file.or_else(|| service_account("token")),
            resolve,
        };
        Ok(CollectConfig {
            push,
            interval,
            jitter: f64::from(jitter_percent) / 100.0,
            max_consecutive_failures: failures,
            queue: Limits { reports: queue, bytes: self.queue_bytes.unwrap_or(QUEUE_BYTES) },
            kubelet,
            node_name: self.node_name,
            hostname: self.hostname,
            imds: self.ec2_instance_id.unwrap_or(false).then_some(imds),
            address: self.address,
        })
    }
}

fn imds(endpoint: Option<String>, ttl: Option<u32>, force_v1: Option<bool>) -> Result<ImdsConfig, CollectConfigError> {
    let token_ttl = ttl.unwrap_or(LONGEST_TTL);
    if !(1..=LONGEST_TTL).contains(&token_ttl) {
        return Err(CollectConfigError::TokenTtl(token_ttl));
    }
    let text = endpoint.unwrap_or_else(|| IMDS.to_owned());
    let endpoint = http_url(&text).map_err(|why| unusable("the EC2 metadata endpoint", &text, why))?;
    Ok(ImdsConfig { endpoint, token_ttl, force_v1: force_v1.unwrap_or(false) })
}

/// A file that Kubernetes has put into the pod, if it has.
fn service_account(name: &str) -> Option<PathBuf> {
    Some(PathBuf::from(SERVICE_ACCOUNT).join(name)).filter(|file| file.exists())
}

/// The URL to ask, and how the node's name is resolved: a kubelet that has made its certificate itself put the node's name into it, and no address,
/// while often no DNS knows the node's name.
fn kubelet(
    endpoint: Option<String>,
    node_ip: Option<String>,
    node_name: Option<&str>,
) -> Result<(Url, Option<(String, IpAddr)>), CollectConfigError> {
    let node_ip = node_ip.map(|text| text.trim().parse::<IpAddr>().map_err(|_| CollectConfigError::NodeIp(text))).transpose()?;
    let Some(text) = endpoint else {
        let host = match node_ip.ok_or(CollectConfigError::NoKubelet)? {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let text = format!("https://{host}:{KUBELET_PORT}{SUMMARY}");
        let url = http_url(&text).map_err(|why| unusable("the kubelet", &text, why))?;
        return Ok((url, None));
    };
    let mut url = http_url(&text).map_err(|why| unusable("the kubelet endpoint", &text, why))?;
    let path = url.path().trim_end_matches('/');
    let path = if path.ends_with(SUMMARY) { path.to_owned() } else { format!("{path}{SUMMARY}") };
    url.set_path(&path);
    let named = matches!((url.host(), node_name), (Some(Host::Domain(host)), Some(name)) if host.eq_ignore_ascii_case(name));
    let resolve = url.host_str().filter(|_| named).map(ToOwned::to_owned).zip(node_ip);
    Ok((url, resolve))
}

/// Without what stands before an `@`, which may be secret.
fn unusable(what: &'static str, text: &str, why: &'static str) -> CollectConfigError {
    CollectConfigError::Url(what, text.rsplit('@').next().unwrap_or_default().to_owned(), why)
}

fn push_url(text: &str) -> Result<Url, &'static str> {
    let mut url = http_url(text)?;
    if url.path() == "/" {
        url.set_path("/metrics");
    }
    Ok(url)
}

fn http_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "it is no URL; write http:// or https:// and a host")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it is neither http:// nor https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user or a password; give a token in a file");
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
