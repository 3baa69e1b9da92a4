//! The `podmetrics` section of the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use ipnet::IpNet;
use serde::Deserialize;

use super::check::Limits;
use super::guard::{Guard, optional_ranges};
use super::target::{DEFAULT_PREFIX, IpFamily, Rules};
use crate::size::optional_bytes;
use crate::time::{optional_duration, optional_duration_or_zero};

/// Where Kubernetes puts the token that speaks for the pod to the API.
const API_TOKENS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The index of a body counts in 32 bits.
const LARGEST_BODY: usize = 1 << 30;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PodmetricsConfigError {
    /// What labels begin with.
    #[error("podmetrics.label_prefix: {0}")]
    Prefix(String),
    /// A namespace that cannot be.
    #[error("podmetrics.namespaces: `{0}` is no name of a namespace")]
    Namespace(String),
    /// A number that must be above zero.
    #[error("podmetrics.{0} must be above zero")]
    Zero(&'static str),
    /// The token could be used against the cluster.
    #[error(
        "podmetrics.token.file: {0} speaks for this exporter to the Kubernetes API; project a token with an audience of its own"
    )]
    ApiToken(PathBuf),
    /// The token could be sent to whoever has a certificate.
    #[error("podmetrics.token needs podmetrics.ca_bundle: it is sent to pods with a certificate of that bundle alone")]
    TokenAuthority,
    /// A larger body than can be indexed.
    #[error("podmetrics.limits.body must not be above 1 GiB")]
    Body,
    /// A token without its rules.
    #[error("podmetrics.token needs `file`, `audience` and at least one namespace in `namespaces`")]
    Token,
    /// The address to listen on.
    #[error("podmetrics.address: `{0}` is no address to listen on; write HOST:PORT, [IPV6]:PORT, or :PORT for all interfaces")]
    Address(String),
}

/// Names of the labels that tell a pod's namespace and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LabelStyle {
    /// `pod_namespace`, `pod_ip`.
    #[default]
    Underscore,
    /// `pod-namespace`, `pod-ip`, for readers of UTF-8 names; others get them with underscores.
    Hyphen,
}

/// The section, as far as one source sets it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodmetricsSection {
    /// Switches it on.
    pub enabled: Option<bool>,
    /// A listener of its own, beside the main one.
    pub address: Option<String>,
    /// Only pods in these namespaces; all where absent.
    pub namespaces: Option<Vec<String>>,
    /// What labels and annotations begin with.
    pub label_prefix: Option<String>,
    /// Which of a pod's addresses is scraped.
    pub ip_family: Option<IpFamily>,
    /// Names of added labels.
    pub label_style: Option<LabelStyle>,
    /// Whether labels of samples stand over those that are added.
    pub honor_labels: Option<bool>,
    /// Addresses that may be scraped although they are loopback, link-local or the like.
    #[serde(default, deserialize_with = "optional_ranges")]
    pub allow_cidr: Option<Vec<IpNet>>,
    /// Whether pods with the node's network are scraped.
    pub allow_host_network: Option<bool>,
    /// Scrapes at once.
    pub concurrency: Option<usize>,
    /// Scrapes at once of pods on one node.
    pub concurrency_per_node: Option<usize>,
    /// Requests that are worked on at once; others wait.
    pub requests: Option<usize>,
    /// For a request that does not say how much time it has.
    #[serde(default, deserialize_with = "optional_duration")]
    pub timeout: Option<Duration>,
    /// What is left of the time that a request says for sending the answer; and the time that it takes to send what the last answer for the job had, at
    /// 250 MB a second. At most half of it together.
    #[serde(default, deserialize_with = "optional_duration_or_zero")]
    pub timeout_margin: Option<Duration>,
    /// How old an answer may be that is given again.
    #[serde(default, deserialize_with = "optional_duration_or_zero")]
    pub max_age: Option<Duration>,
    /// The most of everything.
    #[serde(default)]
    pub limits: LimitsSection,
    /// PEM certificates trusted beside the system's, and alone where a token is sent.
    pub ca_bundle: Option<PathBuf>,
    /// A token that is sent to pods.
    #[serde(default)]
    pub token: TokenSection,
}

/// The `limits` of the section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// Bytes of an answer, packed and unpacked.
    #[serde(default, deserialize_with = "optional_bytes")]
    pub body: Option<usize>,
    /// Samples of an answer.
    pub samples: Option<usize>,
    /// Families of an answer.
    pub families: Option<usize>,
    /// Labels of a sample.
    pub labels: Option<usize>,
    /// Bytes in a name.
    pub name_length: Option<usize>,
    /// Bytes in the value of a label.
    pub value_length: Option<usize>,
    /// Targets of a job.
    pub targets: Option<usize>,
    /// Bytes held for all requests.
    #[serde(default, deserialize_with = "optional_bytes")]
    pub held: Option<usize>,
}

/// The `token` of the section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSection {
    /// Where it is; read for each request.
    pub file: Option<PathBuf>,
    /// Whom it is for; a token for anybody else is not sent.
    pub audience: Option<String>,
    /// Only pods in these namespaces get it.
    pub namespaces: Option<Vec<String>>,
}

/// A token that is sent to pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// Where it is.
    pub file: PathBuf,
    /// Its only audience.
    pub audience: String,
    /// Whose pods get it.
    pub namespaces: Vec<String>,
}

/// What `podmetrics` runs with.
#[derive(Debug, Clone)]
pub struct PodmetricsConfig {
    pub(super) address: Option<String>,
    pub(super) namespaces: Vec<String>,
    pub(super) rules: Rules,
    pub(super) label_style: LabelStyle,
    pub(super) honor_labels: bool,
    pub(super) guard: Guard,
    pub(super) concurrency: usize,
    pub(super) concurrency_per_node: usize,
    pub(super) requests: usize,
    pub(super) timeout: Duration,
    pub(super) timeout_margin: Duration,
    pub(super) max_age: Duration,
    pub(super) body_limit: usize,
    pub(super) targets_limit: usize,
    pub(super) held_limit: usize,
    pub(super) limits: Limits,
    pub(super) ca_bundle: Option<PathBuf>,
    pub(super) token: Option<TokenConfig>,
}

impl PodmetricsSection {
    /// This section, completed by `fallback`.
    pub fn or(self, fallback: Self) -> Self {
        Self {
            enabled: self.enabled.or(fallback.enabled),
            address: self.address.or(fallback.address),
            namespaces: self.namespaces.or(fallback.namespaces),
            label_prefix: self.label_prefix.or(fallback.label_prefix),
            ip_family: self.ip_family.or(fallback.ip_family),
            label_style: self.label_style.or(fallback.label_style),
            honor_labels: self.honor_labels.or(fallback.honor_labels),
            allow_cidr: self.allow_cidr.or(fallback.allow_cidr),
            allow_host_network: self.allow_host_network.or(fallback.allow_host_network),
            concurrency: self.concurrency.or(fallback.concurrency),
            concurrency_per_node: self.concurrency_per_node.or(fallback.concurrency_per_node),
            requests: self.requests.or(fallback.requests),
            timeout: self.timeout.or(fallback.timeout),
            timeout_margin: self.timeout_margin.or(fallback.timeout_margin),
            max_age: self.max_age.or(fallback.max_age),
            limits: self.limits.or(&fallback.limits),
            ca_bundle: self.ca_bundle.or(fallback.ca_bundle),
            token: TokenSection {
                file: self.token.file.or(fallback.token.file),
                audience: self.token.audience.or(fallback.token.audience),
                namespaces: self.token.namespaces.or(fallback.token.namespaces),
            },
        }
    }

    /// Checks the section and fills in the defaults; `None` while it is switched off.
    ///
    /// # Errors
    /// With the first setting that cannot be used.
    pub fn resolve(self) -> Result<Option<PodmetricsConfig>, PodmetricsConfigError> {
        if !self.enabled.unwrap_or(false) {
            return Ok(None);
        }
        if let Some(address) = &self.address
            && !crate::server::is_address(address)
        {
            return Err(PodmetricsConfigError::Address(address.clone()));
        }
        if let Some(name) = self.namespaces.iter().flatten().find(|name| !is_namespace(name)) {
            return Err(PodmetricsConfigError::Namespace(name.clone()));
        }
        let defaults = Limits::default();
        let limits = Limits {
            samples: above_zero("limits.samples", self.limits.samples, defaults.samples)?,
            families: above_zero("limits.families", self.limits.families, defaults.families)?,
            labels: above_zero("limits.labels", self.limits.labels, defaults.labels)?,
            name_bytes: above_zero("limits.name_length", self.limits.name_length, defaults.name_bytes)?,
            value_bytes: above_zero("limits.value_length", self.limits.value_length, defaults.value_bytes)?,
        };
        let body_limit = above_zero("limits.body", self.limits.body, 16 << 20)?;
        if body_limit > LARGEST_BODY {
            return Err(PodmetricsConfigError::Body);
        }
        let token = self.token.resolve()?;
        if token.is_some() && self.ca_bundle.is_none() {
            return Err(PodmetricsConfigError::TokenAuthority);
        }
        let prefix = self.label_prefix.as_deref().unwrap_or(DEFAULT_PREFIX);
        Ok(Some(PodmetricsConfig {
            address: self.address,
            namespaces: self.namespaces.unwrap_or_default(),
            rules: Rules::new(prefix, self.ip_family.unwrap_or_default())
                .map_err(|error| PodmetricsConfigError::Prefix(error.to_string()))?,
            label_style: self.label_style.unwrap_or_default(),
            honor_labels: self.honor_labels.unwrap_or(false),
            guard: Guard::new(self.allow_cidr.unwrap_or_default(), self.allow_host_network.unwrap_or(false)),
            concurrency: above_zero("concurrency", self.concurrency, 64)?,
            concurrency_per_node: above_zero("concurrency_per_node", self.concurrency_per_node, 16)?,
            requests: above_zero("requests", self.requests, 16)?,
            timeout: self.timeout.unwrap_or(Duration::from_secs(30)),
            timeout_margin: self.timeout_margin.unwrap_or(Duration::from_millis(500)),
            max_age: self.max_age.unwrap_or(Duration::ZERO),
            body_limit,
            targets_limit: above_zero("limits.targets", self.limits.targets, 10_000)?,
            held_limit: above_zero("limits.held", self.limits.held, 512 << 20)?,
            limits,
            ca_bundle: self.ca_bundle,
            token,
        }))
    }
}

impl LimitsSection {
    fn or(&self, fallback: &Self) -> Self {
        Self {
            body: self.body.or(fallback.body),
            samples: self.samples.or(fallback.samples),
            families: self.families.or(fallback.families),
            labels: self.labels.or(fallback.labels),
            name_length: self.name_length.or(fallback.name_length),
            value_length: self.value_length.or(fallback.value_length),
            targets: self.targets.or(fallback.targets),
            held: self.held.or(fallback.held),
        }
    }
}

impl TokenSection {
    fn resolve(self) -> Result<Option<TokenConfig>, PodmetricsConfigError> {
        match (self.file, self.audience, self.namespaces.unwrap_or_default()) {
            (None, None, namespaces) if namespaces.is_empty() => Ok(None),
            (Some(file), Some(audience), namespaces) if !audience.is_empty() && !namespaces.is_empty() => {
                if is_api_token(&file) {
                    return Err(PodmetricsConfigError::ApiToken(file));
                }
                Ok(Some(TokenConfig { file, audience, namespaces }))
            }
            _ => Err(PodmetricsConfigError::Token),
        }
    }
}

/// True for the token that Kubernetes mounts into every pod, by whatever way.
fn is_api_token(file: &Path) -> bool {
    let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let run = API_TOKENS.strip_prefix("/var").unwrap_or(API_TOKENS);
    [file, &real].iter().any(|path| path.starts_with(API_TOKENS) || path.starts_with(run))
}

/// True for a DNS label (RFC 1123), which names of namespaces are.
fn is_namespace(name: &str) -> bool {
    let legal = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (1..=63).contains(&name.len()) && legal && !name.starts_with('-') && !name.ends_with('-')
}

fn above_zero(name: &'static str, value: Option<usize>, default: usize) -> Result<usize, PodmetricsConfigError> {
    match value.unwrap_or(default) {
        0 => Err(PodmetricsConfigError::Zero(name)),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(change: impl FnOnce(&mut PodmetricsSection)) -> Result<Option<PodmetricsConfig>, String> {
        let mut section = PodmetricsSection { enabled: Some(true), ..Default::default() };
        change(&mut section);
        section.resolve().map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_off_unless_it_is_switched_on() {
        assert!(PodmetricsSection::default().resolve().unwrap().is_none());
        let config = resolve(|_| ()).unwrap().unwrap();
        assert_eq!((config.concurrency, config.body_limit, config.max_age), (64, 16 << 20, Duration::ZERO));
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_path() {
        assert!(
            resolve(|section| section.label_prefix = Some("no slash".into())).unwrap_err().contains("podmetrics.label_prefix")
        );
        assert!(resolve(|section| section.namespaces = Some(vec!["Foo_Bar".into()])).unwrap_err().contains("Foo_Bar"));
        assert!(resolve(|section| section.concurrency = Some(0)).unwrap_err().contains("podmetrics.concurrency"));
        assert!(resolve(|section| section.limits.body = Some(0)).unwrap_err().contains("limits.body"));
        assert!(resolve(|section| section.limits.families = Some(0)).unwrap_err().contains("limits.families"));
        assert!(resolve(|section| section.limits.body = Some((1 << 30) + 1)).unwrap_err().contains("podmetrics.limits.body"));
        assert_eq!(resolve(|section| section.limits.body = Some(1 << 30)).unwrap().unwrap().body_limit, 1 << 30);
        assert!(resolve(|section| section.address = Some("80".into())).unwrap_err().contains("podmetrics.address"));
    }

    #[test]
    fn a_token_needs_its_rules_and_may_not_be_that_of_the_api() {
        let token = |file: &str, audience: Option<&str>, namespaces: &[&str]| {
            resolve(|section| {
                section.ca_bundle = Some("/etc/ca.pem".into());
                section.token = TokenSection {
                    file: Some(file.into()),
                    audience: audience.map(str::to_owned),
                    namespaces: Some(namespaces.iter().map(|name| (*name).to_owned()).collect()),
                };
            })
        };
        assert!(token("/run/token", Some("pods"), &["a"]).unwrap().unwrap().token.is_some());
        assert!(token("/run/token", None, &["a"]).unwrap_err().contains("audience"));
        assert!(token("/run/token", Some("pods"), &[]).unwrap_err().contains("namespaces"));
        let untrusted = resolve(|section| {
            let namespaces = Some(vec!["a".to_owned()]);
            section.token = TokenSection { file: Some("/run/token".into()), audience: Some("pods".into()), namespaces };
        });
        assert!(untrusted.unwrap_err().contains("needs podmetrics.ca_bundle"));
        for file in
            ["/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/kubernetes.io/serviceaccount/..data/token"]
        {
            assert!(token(file, Some("pods"), &["a"]).unwrap_err().contains("speaks for this exporter"));
        }
    }
}
