//! From a pod to what is scraped: the meaning of its labels and annotations. A value that cannot be used concerns that pod alone.

mod values;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use self::values::Values;
use crate::k8s::PodObject;

/// What labels and annotations begin with, unless the operator says otherwise.
pub const DEFAULT_PREFIX: &str = "metrics-aggregator.apawel.me/";

/// How a pod is scraped. Most pods have the same settings, so they are shared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// The request target: begins with `/`, may have a query.
    pub path: Box<str>,
    /// Each is scraped; at least one, none twice, in the order in which they are given.
    pub ports: Box<[u16]>,
    /// For one scrape in total.
    pub timeout: Duration,
    /// Absent for plain HTTP.
    pub tls: Option<Tls>,
}

/// How TLS is spoken with a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Whether the certificate must be valid.
    pub verify: bool,
    /// What the certificate is to be for, where that is not the pod's address: a DNS name or an IP address.
    pub server_name: Option<Box<str>>,
}

/// A pod that runs and has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Where it runs.
    pub node: Option<Arc<str>>,
    /// Its address of the family that was asked for.
    pub address: IpAddr,
    /// It has the node's network, so the address is the node's.
    pub host_network: bool,
    /// How to scrape it, or why that cannot be known.
    pub settings: Result<Arc<Settings>, Malformed>,
}

impl Pod {
    /// The `instance` of what is scraped from `port`: the pod's name, with the port where the pod has several.
    pub fn instance(&self, port: u16) -> Cow<'_, str> {
        match &self.settings {
            Ok(settings) if settings.ports.len() > 1 => Cow::Owned(format!("{}:{port}", self.name)),
            _ => Cow::Borrowed(&self.name),
        }
    }
}

/// A label or annotation that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// Which one, as a closed set.
    pub reason: MalformedReason,
    /// Which one, what it says and what it should say, in one line, for people.
    pub message: Box<str>,
}

/// Which label or annotation cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MalformedReason {
    /// The prefix with nothing behind it.
    EmptySuffix,
    /// Empty, too long, or with control characters.
    JobName,
    /// No path that can be asked for.
    Endpoint,
    /// No list of ports.
    Port,
    /// No number of seconds that a scrape may take.
    ScrapeTimeoutSeconds,
    /// Neither true nor false.
    TlsEnabled,
    /// Neither true nor false.
    TlsVerify,
    /// Neither a DNS name nor an IP address.
    TlsServerName,
}

impl MalformedReason {
    /// All of them. Of several that apply to a pod, the first is told.
    pub const ALL: [Self; 8] = [
        Self::EmptySuffix,
        Self::JobName,
        Self::Endpoint,
        Self::Port,
        Self::ScrapeTimeoutSeconds,
        Self::TlsEnabled,
        Self::TlsVerify,
        Self::TlsServerName,
    ];

    /// As a label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptySuffix => "empty_suffix",
            Self::JobName => "job_name",
            Self::Endpoint => "endpoint",
            Self::Port => "port",
            Self::ScrapeTimeoutSeconds => "scrape_timeout_seconds",
            Self::TlsEnabled => "tls_enabled",
            Self::TlsVerify => "tls_verify",
            Self::TlsServerName => "tls_server_name",
        }
    }
}

/// Which of a pod's addresses is scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum IpFamily {
    /// The first one, which is of the cluster's primary family.
    #[default]
    Any,
    /// The IPv4 address.
    Ipv4,
    /// The IPv6 address.
    Ipv6,
}

/// How pods are read: what their labels begin with, and which of their addresses counts.
#[derive(Debug, Clone)]
pub struct Rules {
    prefix: Box<str>,
    family: IpFamily,
}

/// Something that no label can begin with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("labels cannot begin with {0:?}: a prefix is a DNS name and a slash, such as {DEFAULT_PREFIX}")]
pub struct PrefixError(pub String);

/// What the rules say about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Its job; empty where the only `job-name` is malformed.
    pub job: &'a str,
    /// Where it can be reached; absent while it is not to be scraped.
    pub address: Option<IpAddr>,
    /// How it is scraped.
    pub settings: Result<Settings, Malformed>,
}

impl Rules {
    /// Rules for labels that begin with `prefix`.
    ///
    /// # Errors
    /// When no label can begin so: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>.
    pub fn new(prefix: &str, family: IpFamily) -> Result<Self, PrefixError> {
        if is_label_prefix(prefix) { Ok(Self { prefix: prefix.into(), family }) } else { Err(PrefixError(prefix.to_owned())) }
    }

    /// The label selector of the pods that these rules are about.
    pub fn selector(&self) -> String {
        format!("{}job-name", self.prefix)
    }

    /// What labels, annotations and state of `pod` say. `None` for a pod without a job.
    pub fn read<'a>(&self, pod: &'a PodObject) -> Option<Reading<'a>> {
        let mut values = Values::default();
        for (key, value) in &pod.labels {
            if let Some(suffix) = key.strip_prefix(&*self.prefix) {
                values.set(suffix, value);
            }
        }
        let job_label = values.job;
        for (key, value) in &pod.annotations {
            if let Some(suffix) = key.strip_prefix(&*self.prefix) {
                values.set(suffix, value);
            }
        }
        let (job, settings) = match values::job(values.job?) {
            Ok(job) => (job, values.settings()),
            // Whose `up` is to be 0 is known all the same if only the annotation is wrong.
            Err(malformed) => (job_label.and_then(|job| values::job(job).ok()).unwrap_or_default(), Err(malformed)),
        };
        let scraped = pod.running && !pod.deleting;
        Some(Reading { job, address: if scraped { self.family.choose(&pod.addresses) } else { None }, settings })
    }
}

impl IpFamily {
    fn choose(self, addresses: &[String]) -> Option<IpAddr> {
        let mut addresses = addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical());
        addresses.find(|address| match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        })
    }
}

/// The part before the slash is a DNS subdomain; behind it a name may begin, and without it a name alone may.
fn is_label_prefix(prefix: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (domain, name) = prefix.split_once('/').map_or((None, prefix), |(domain, name)| (Some(domain), name));
    let domain_is_legal = domain.is_none_or(|domain| {
        let part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        domain.len() <= 253 && domain.split('.').all(part)
    });
    // The longest name that follows has 22 characters, and a name has at most 63.
    domain_is_legal
        && !prefix.is_empty()
        && name.len() <= 41
        && name.chars().all(word)
        && name.chars().next().is_none_or(|c| c.is_ascii_alphanumeric())
}
