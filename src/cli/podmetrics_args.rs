//! Flags of the metrics of pods, as a section of the settings.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::go_flags::parse_bool;
use crate::podmetrics::guard::parse_range;
use crate::podmetrics::target::IpFamily;
use crate::podmetrics::{LabelStyle, LimitsSection, PodmetricsSection, TokenSection};
use crate::size::parse_bytes;
use crate::time::{parse_duration, parse_duration_or_zero};

/// Which pods are scraped on request, and how.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Metrics of pods")]
pub(super) struct PodmetricsArgs {
    /// Answer /metrics?job=NAME with the metrics of all pods of that job [env: S3EXPORTER_PODMETRICS].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool)]
    podmetrics: Option<bool>,
    /// A second address to listen on, for jobs alone [env: S3EXPORTER_PODMETRICS_ADDRESS].
    #[arg(long, value_name = "ADDRESS")]
    podmetrics_address: Option<String>,
    /// Only pods in this namespace; repeat it for several [env: S3EXPORTER_PODMETRICS_NAMESPACES] [default: all].
    #[arg(long = "podmetrics-namespace", value_name = "NAME", value_delimiter = ',')]
    podmetrics_namespaces: Vec<String>,
    /// What labels and annotations begin with [env: S3EXPORTER_PODMETRICS_LABEL_PREFIX] [default: metrics-aggregator.apawel.me/].
    #[arg(long, value_name = "PREFIX")]
    podmetrics_label_prefix: Option<String>,
    /// Which of a pod's addresses is scraped [default: any, the first].
    #[arg(long, value_name = "FAMILY")]
    ip_family: Option<IpFamily>,
    /// Names of the labels for namespace and address [default: underscore].
    #[arg(long, value_name = "STYLE")]
    label_style: Option<LabelStyle>,
    /// Leave labels of samples as they are where their names are those of added ones.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool)]
    honor_labels: Option<bool>,
    /// Addresses that may be scraped although they are loopback, link-local or the like; repeat it [env: S3EXPORTER_PODMETRICS_ALLOW_CIDR].
    #[arg(long, value_name = "RANGE", value_delimiter = ',', value_parser = parse_range)]
    podmetrics_allow_cidr: Vec<IpNet>,
    /// Scrape pods with their node's network too.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool)]
    allow_host_network: Option<bool>,
    /// Scrapes at once [env: CLIENT_WORKERS] [default: 64].
    #[arg(long, value_name = "NUMBER")]
    podmetrics_concurrency: Option<usize>,
    /// Scrapes at once of pods on one node [env: S3EXPORTER_PODMETRICS_CONCURRENCY_PER_NODE] [default: 16].
    #[arg(long, value_name = "NUMBER")]
    podmetrics_concurrency_per_node: Option<usize>,
    /// Requests that are worked on at once; others wait [env: SERVER_WORKERS] [default: 16].
    #[arg(long, value_name = "NUMBER")]
    podmetrics_requests: Option<usize>,
    /// For requests that do not say how much time there is [env: S3EXPORTER_PODMETRICS_TIMEOUT] [default: 30s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    podmetrics_timeout: Option<Duration>,
    /// How old an answer may be that is given again [env: S3EXPORTER_PODMETRICS_MAX_AGE] [default: 0s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_or_zero)]
    podmetrics_max_age: Option<Duration>,
    /// Largest answer of a pod, packed and unpacked [default: 16MiB].
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    podmetrics_body_limit: Option<usize>,
    /// Most samples in the answer of a pod [default: 500000].
    #[arg(long, value_name = "NUMBER")]
    podmetrics_sample_limit: Option<usize>,
    /// Most targets of a job [default: 10000].
    #[arg(long, value_name = "NUMBER")]
    podmetrics_target_limit: Option<usize>,
    /// Most bytes of answers that are held at once [default: 512MiB].
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    podmetrics_held_limit: Option<usize>,
    /// File of PEM certificates that those of pods are checked by, beside the system's.
    #[arg(long, value_name = "FILE")]
    podmetrics_ca_bundle: Option<PathBuf>,
    /// Token that is sent to pods in the namespaces below whose certificates the CA bundle vouches for.
    #[arg(long, value_name = "FILE")]
    podmetrics_token_file: Option<PathBuf>,
    /// The token's only audience; any other token is not sent.
    #[arg(long, value_name = "AUDIENCE")]
    podmetrics_token_audience: Option<String>,
    /// Namespace whose pods are sent the token; repeat it for several.
    #[arg(long = "podmetrics-token-namespace", value_name = "NAME", value_delimiter = ',')]
    podmetrics_token_namespaces: Vec<String>,
}

impl PodmetricsArgs {
    pub(super) fn section(self) -> PodmetricsSection {
        PodmetricsSection {
            enabled: self.podmetrics,
            address: self.podmetrics_address,
            namespaces: some(self.podmetrics_namespaces),
            label_prefix: self.podmetrics_label_prefix,
            ip_family: self.ip_family,
            label_style: self.label_style,
            honor_labels: self.honor_labels,
            allow_cidr: some(self.podmetrics_allow_cidr),
            allow_host_network: self.allow_host_network,
            concurrency: self.podmetrics_concurrency,
            concurrency_per_node: self.podmetrics_concurrency_per_node,
            requests: self.podmetrics_requests,
            timeout: self.podmetrics_timeout,
            timeout_margin: None,
            max_age: self.podmetrics_max_age,
            limits: LimitsSection {
                body: self.podmetrics_body_limit,
                samples: self.podmetrics_sample_limit,
                targets: self.podmetrics_target_limit,
                held: self.podmetrics_held_limit,
                ..Default::default()
            },
            ca_bundle: self.podmetrics_ca_bundle,
            token: TokenSection {
                file: self.podmetrics_token_file,
                audience: self.podmetrics_token_audience,
                namespaces: some(self.podmetrics_token_namespaces),
            },
        }
    }
}

/// A flag that was not given says nothing.
fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}
