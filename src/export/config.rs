//! The `export` section: which Prometheus is asked for what, and where the answers go.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::endpoints::{EndpointSection, Endpoints};
use super::keys::{Keys, check_alias, clean_base};
use crate::aws::{S3Options, S3OptionsError, check_bucket_name};
use crate::promapi::{EndpointError, EndpointOptions, MetricName};
use crate::store::Compression;
use crate::time::{optional_duration, optional_duration_or_zero};

/// Bucket of the job that this replaces.
const DEFAULT_BUCKET: &str = "k8s-exported-metrics-opslyft";
const DEFAULT_BASE_PATH: &str = "k8s_data";
const DEFAULT_HOURS_TO_BACKFILL: u32 = 8;
const DEFAULT_STEP: Duration = Duration::from_secs(3_600);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_DEADLINE: Duration = Duration::from_secs(600);
const DEFAULT_RETRIES: u32 = 3;
const DEFAULT_BACKOFF: Duration = Duration::from_secs(2);
/// Scrapes and rules of the last seconds of an hour arrive a little later.
const DEFAULT_SETTLE: Duration = Duration::from_secs(120);
const DEFAULT_MAX_BACKFILL: Duration = Duration::from_secs(7 * 86_400);
const DEFAULT_RECHECK: u32 = 2;
const DEFAULT_CONCURRENCY: usize = 4;
/// Prometheus itself runs 20 queries at a time.
const MOST_CONCURRENCY: usize = 64;
/// A year of hours is listed in a minute.
const MOST_BACKFILL: Duration = Duration::from_secs(366 * 86_400);

/// What is exported where nothing else is asked for.
const DEFAULT_METRICS: [&str; 10] = [
    "kube_node_info",
    "kube_pod_info",
    "container_memory_working_set_bytes",
    "container_cpu_usage_seconds_total",
    "kube_pod_container_resource_requests",
    "kube_pod_container_resource_limits",
    "cluster:namespace:pod_cpu:active:kube_pod_container_resource_requests",
    "cluster:namespace:pod_cpu:active:kube_pod_container_resource_limits",
    "cluster:namespace:pod_memory:active:kube_pod_container_resource_requests",
    "cluster:namespace:pod_memory:active:kube_pod_container_resource_limits",
];

/// A setting of the export that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExportConfigError {
    /// Nothing to ask.
    #[error(
        "no endpoint to export from; give PROM_ENDPOINTS, such as {{\"prod\": \"http://prometheus:9090\"}}, or export.endpoints in the file"
    )]
    NoEndpoints,
    /// An alias that would break a key.
    #[error("the endpoint alias `{0}` cannot stand in an object key: {1}")]
    Alias(String, &'static str),
    /// A base path that would break a key.
    #[error("the base path `{0}` cannot stand in an object key: {1}")]
    BasePath(String, &'static str),
    /// How an endpoint is reached.
    #[error("the endpoint `{0}`: {1}")]
    Endpoint(String, EndpointError),
    /// What an endpoint is asked for.
    #[error("the endpoint `{0}`: {1}")]
    Metric(String, String),
    /// An endpoint that is asked for nothing.
    #[error("the endpoint `{0}`: its list of metrics is empty")]
    NoMetrics(String),
    /// A number that makes no sense.
    #[error("{0} is {1}; it must be {2}")]
    Number(&'static str, String, &'static str),
    /// The bucket.
    #[error("the bucket of the export: {0}")]
    S3(#[from] S3OptionsError),
}

/// One value per step, or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One value per step (`query_range`), as Prometheus answers it.
    #[default]
    Step,
    /// Every sample of the hour.
    Raw,
}

/// As it stands in the file; flags come in the same form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportSection {
    /// False switches the subsystem off.
    pub enabled: Option<bool>,
    /// What is asked, by alias.
    pub endpoints: Option<Endpoints>,
    /// Where objects go.
    pub bucket: Option<String>,
    /// First part of all keys.
    pub base_s3_path: Option<String>,
    /// Hours exported into an empty bucket.
    pub hours_to_backfill: Option<u32>,
    /// Between two values.
    #[serde(default, deserialize_with = "optional_duration")]
    pub step: Option<Duration>,
    /// To the first byte, and for any stall.
    #[serde(default, deserialize_with = "optional_duration")]
    pub timeout: Option<Duration>,
    /// For one metric of one window, retries included.
    #[serde(default, deserialize_with = "optional_duration")]
    pub deadline: Option<Duration>,
    /// After the first attempt.
    pub max_retries: Option<u32>,
    /// Before the first retry; doubled with each further one.
    #[serde(default, deserialize_with = "optional_duration_or_zero")]
    pub retry_backoff: Option<Duration>,
    /// From the end of an hour until it is due.
    #[serde(default, deserialize_with = "optional_duration_or_zero")]
    pub settle: Option<Duration>,
    /// How far back hours are due.
    #[serde(default, deserialize_with = "optional_duration")]
    pub max_backfill: Option<Duration>,
    /// Runs that fetch a suspect answer again.
    pub recheck: Option<u32>,
    /// One value per step, or everything.
    pub mode: Option<Mode>,
    /// Form of the objects.
    pub compress: Option<Compression>,
    /// Windows at once, per endpoint.
    pub concurrency: Option<usize>,
    /// What is asked for, of endpoints that say nothing else.
    pub metrics: Option<Vec<String>>,
    /// How the bucket is reached; the `s3` section of the whole where absent.
    #[serde(default)]
    pub s3: S3Options,
}

/// What the export runs with.
#[derive(Debug, Clone)]
pub struct ExportConfig {
    /// What is asked; at least one.
    pub endpoints: Vec<EndpointConfig>,
    /// Where objects go.
    pub bucket: String,
    /// How it is reached.
    pub s3: S3Options,
    /// For all endpoints.
    pub rules: Rules,
}

/// What holds for all endpoints.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Hours exported into an empty bucket.
    pub hours_to_backfill: i64,
    /// To the first byte, and for any stall.
    pub timeout: Duration,
    /// For one metric of one window, retries included.
    pub deadline: Duration,
    /// After the first attempt.
    pub max_retries: u32,
    /// Before the first retry; doubled with each further one.
    pub retry_backoff: Duration,
    /// From the end of an hour until it is due.
    pub settle: Duration,
    /// How many hours back hours are due.
    pub most_hours: i64,
    /// Runs that fetch a suspect answer again.
    pub recheck: u32,
    /// Form of the objects.
    pub compress: Option<Compression>,
}

/// A Prometheus, and what it is asked for.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Label and part of keys.
    pub alias: String,
    /// How it is reached.
    pub options: EndpointOptions,
    /// What it is asked for.
    pub metrics: Vec<MetricName>,
    /// One value per step, or everything.
    pub mode: Mode,
    /// Seconds between two values.
    pub step: i64,
    /// Windows at once.
    pub concurrency: usize,
    /// Where its objects are.
    pub keys: Keys,
}

impl ExportSection {
    /// This section, completed by `fallback`. Where both name endpoints these are asked, with what the other says of the same aliases.
    pub fn or(self, fallback: Self) -> Self {
        Self {
            enabled: self.enabled.or(fallback.enabled),
            endpoints: match (self.endpoints, fallback.endpoints) {
                (Some(these), Some(others)) => Some(these.or(&others)),
                (these, others) => these.or(others),
            },
            bucket: self.bucket.or(fallback.bucket),
            base_s3_path: self.base_s3_path.or(fallback.base_s3_path),
            hours_to_backfill: self.hours_to_backfill.or(fallback.hours_to_backfill),
            step: self.step.or(fallback.step),
            timeout: self.timeout.or(fallback.timeout),
            deadline: self.deadline.or(fallback.deadline),
            max_retries: self.max_retries.or(fallback.max_retries),
            retry_backoff: self.retry_backoff.or(fallback.retry_backoff),
            settle: self.settle.or(fallback.settle),
            max_backfill: self.max_backfill.or(fallback.max_backfill),
            recheck: self.recheck.or(fallback.recheck),
            mode: self.mode.or(fallback.mode),
            compress: self.compress.or(fallback.compress),
            concurrency: self.concurrency.or(fallback.concurrency),
            metrics: self.metrics.or(fallback.metrics),
            s3: self.s3.or(&fallback.s3),
        }
    }

    /// Checks the section. `None` without an endpoint.
    ///
    /// # Errors
    /// With the first setting that cannot be used.
    pub fn resolve(self, s3: &S3Options) -> Result<Option<ExportConfig>, ExportConfigError> {
        let Some(named) = self.endpoints.clone().filter(|named| !named.0.is_empty() && self.enabled != Some(false)) else {
            return Ok(None);
        };
        let bucket = self.bucket.clone().unwrap_or_else(|| DEFAULT_BUCKET.to_owned());
        check_bucket_name(&bucket)?;
        let rules = self.rules()?;
        let base = clean_base(self.base_s3_path.as_deref().unwrap_or(DEFAULT_BASE_PATH))
            .map_err(|why| ExportConfigError::BasePath(self.base_s3_path.clone().unwrap_or_default(), why))?;
        let endpoints = named
            .0
            .into_iter()
            .map(|(alias, endpoint)| self.endpoint(alias, endpoint, &base, &rules))
            .collect::<Result<_, _>>()?;
        Ok(Some(ExportConfig { endpoints, bucket, s3: self.s3.or(s3), rules }))
    }

    fn rules(&self) -> Result<Rules, ExportConfigError> {
        let max_backfill = self.max_backfill.unwrap_or(DEFAULT_MAX_BACKFILL);
        let hours = i64::try_from(max_backfill.as_secs() / 3_600).unwrap_or(i64::MAX);
        let most = i64::try_from(MOST_BACKFILL.as_secs() / 3_600).unwrap_or(i64::MAX);
        if !(1..=most).contains(&hours) {
            let told = crate::time::humanize(max_backfill);
            return Err(ExportConfigError::Number("max_backfill", told, "between an hour and 366 days"));
        }
        // Whoever wants less back than that does not want it at first either.
        let hours_to_backfill = self.hours_to_backfill.map_or(i64::from(DEFAULT_HOURS_TO_BACKFILL).min(hours), i64::from);
        if !(1..=most).contains(&hours_to_backfill) {
            return Err(ExportConfigError::Number("HOURS_TO_BACKFILL", hours_to_backfill.to_string(), "between 1 and 8784"));
        }
        let max_retries = self.max_retries.unwrap_or(DEFAULT_RETRIES);
        if max_retries > 100 {
            return Err(ExportConfigError::Number("MAX_RETRIES", max_retries.to_string(), "100 at most"));
        }
        Ok(Rules {
            hours_to_backfill,
            timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
            deadline: self.deadline.unwrap_or(DEFAULT_DEADLINE),
            max_retries,
            retry_backoff: self.retry_backoff.unwrap_or(DEFAULT_BACKOFF),
            settle: self.settle.unwrap_or(DEFAULT_SETTLE),
            most_hours: hours.max(hours_to_backfill),
            recheck: self.recheck.unwrap_or(DEFAULT_RECHECK),
            compress: self.compress,
        })
    }

    fn endpoint(
        &self,
        alias: String,
        section: EndpointSection,
        base: &str,
        rules: &Rules,
    ) -> Result<EndpointConfig, ExportConfigError> {
        check_alias(&alias).map_err(|why| ExportConfigError::Alias(alias.clone(), why))?;
        let (options, own) = section.split();
        let step = own.step.or(self.step).unwrap_or(DEFAULT_STEP);
        if step.subsec_nanos() != 0 || step > Duration::from_secs(86_400) {
            let told = crate::time::humanize(step);
            return Err(ExportConfigError::Number("STEP_SECONDS", told, "a number of whole seconds, a day at most"));
        }
        let concurrency = own.concurrency.or(self.concurrency).unwrap_or(DEFAULT_CONCURRENCY);
        if !(1..=MOST_CONCURRENCY).contains(&concurrency) {
            return Err(ExportConfigError::Number("concurrency", concurrency.to_string(), "between 1 and 64"));
        }
        let names: Vec<String> = match own.metrics.or_else(|| self.metrics.clone()) {
            Some(names) => names,
            None => DEFAULT_METRICS.map(str::to_owned).to_vec(),
        };
        // Named twice, it is fetched once.
        let mut metrics = BTreeMap::new();
        for (position, name) in names.iter().enumerate() {
            let name = MetricName::parse(name.trim()).map_err(|why| ExportConfigError::Metric(alias.clone(), why))?;
            if name.as_str() == "_manifest" {
                let why = "`_manifest` would have the key of the manifest".to_owned();
                return Err(ExportConfigError::Metric(alias, why));
            }
            metrics.entry(name).or_insert(position);
        }
        let mut metrics: Vec<(MetricName, usize)> = metrics.into_iter().collect();
        metrics.sort_by_key(|(_, position)| *position);
        if metrics.is_empty() {
            return Err(ExportConfigError::NoMetrics(alias));
        }
        let keys = Keys::new(base, &alias, rules.compress);
        if let Some((name, _)) = metrics.iter().find(|(name, _)| keys.is_too_long(name)) {
            let why = format!("the keys of the metric `{name}` would be longer than 1,024 bytes");
            return Err(ExportConfigError::Metric(alias, why));
        }
        Ok(EndpointConfig {
            keys,
            options,
            metrics: metrics.into_iter().map(|(name, _)| name).collect(),
            mode: own.mode.or(self.mode).unwrap_or_default(),
            step: i64::try_from(step.as_secs()).unwrap_or(i64::MAX),
            concurrency,
            alias,
        })
    }
}

#[cfg(test)]
mod tests;
