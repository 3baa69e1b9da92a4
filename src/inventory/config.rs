//! The `inventory` section: which buckets are scanned, how often, and whose their objects are.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::bytes::Regex;
use serde::Deserialize;

use super::owners::{GROUP, PatternOwners, PrefixMatch};
use crate::aws::{S3Options, S3OptionsError};
use crate::time::optional_duration;

/// Bucket of Kubermatic's etcd backups.
const DEFAULT_BUCKET: &str = "kubermatic-etcd-backups";
const DEFAULT_SCAN_INTERVAL: Duration = Duration::from_secs(60);
/// Page after page, ten million objects take a quarter of an hour.
const DEFAULT_SCAN_DEADLINE: Duration = Duration::from_secs(3600);
const DEFAULT_LIST_CONCURRENCY: usize = 32;
/// More connections than that are no use to any server, and pages are held in memory.
const MOST_LIST_CONCURRENCY: usize = 1_024;
/// Of a thousand LIST requests to S3 Standard in most regions, in US dollars (<https://aws.amazon.com/s3/pricing/>).
const DEFAULT_LIST_PRICE: f64 = 0.005;
/// Kubermatic's own interval between etcd backups.
const DEFAULT_BACKUP_INTERVAL: Duration = Duration::from_secs(20 * 60);
const DEFAULT_MAX_CLUSTERS: usize = 100_000;

/// A setting of the inventory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InventoryConfigError {
    /// Two sources of names.
    #[error("{0}: cluster names are given and a cluster pattern too; choose one")]
    TwoSources(String),
    /// A list of names without a name.
    #[error("{0}: the list of clusters is empty; name some, or leave it out to ask Kubernetes")]
    NoNames(String),
    /// A pattern that may create no cluster.
    #[error("{0}: max_clusters is 0, so the cluster pattern could not create any")]
    NoRoom(String),
    /// A name that no key can begin with.
    #[error("{0}: an empty cluster name")]
    EmptyName(String),
    /// A pattern that is no regular expression.
    #[error("{0}: the cluster pattern is no regular expression: {1}")]
    Pattern(String, String),
    /// A pattern that names no cluster.
    #[error("{0}: the cluster pattern has no group `(?P<{GROUP}>...)`")]
    NoGroup(String),
    /// A number of requests side by side that makes no sense.
    #[error("{0}: list_concurrency is {1}; it must be between 1 and {MOST_LIST_CONCURRENCY}")]
    Concurrency(String, usize),
    /// A price that is none.
    #[error("{0}: list_price is {1}; it must be 0 or more, in dollars for a thousand requests")]
    Price(String, f64),
    /// Two buckets with one name.
    #[error("two buckets are named `{0}`; give one of them another `name`, which is its `bucket` label")]
    SameName(String),
    /// The original metric names have no label to tell buckets apart.
    #[error("several buckets have the kubermatic_s3_* metrics; they carry no `bucket` label, so only one can")]
    TwoOriginals,
    /// `--prefix` without the bucket that it belongs to.
    #[error(
        "a prefix is given by flag or environment, but the buckets are in the file; give the prefix there, or name a bucket with -bucket"
    )]
    PrefixWithoutBucket,
    /// How a bucket is reached.
    #[error("bucket `{0}`: {1}")]
    S3(String, S3OptionsError),
}

/// As it stands in the file; flags come in the same form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventorySection {
    /// False switches the subsystem off.
    pub enabled: Option<bool>,
    /// From the start of a scan to the start of the next.
    #[serde(default, deserialize_with = "optional_duration")]
    pub scan_interval: Option<Duration>,
    /// A scan that takes longer fails.
    #[serde(default, deserialize_with = "optional_duration")]
    pub scan_deadline: Option<Duration>,
    /// How many list requests may run side by side, for buckets that say nothing else.
    pub list_concurrency: Option<usize>,
    /// Dollars for a thousand list requests, for buckets that say nothing else.
    pub list_price: Option<f64>,
    /// How often a backup is expected, for buckets that say nothing else.
    #[serde(default, deserialize_with = "optional_duration")]
    pub backup_interval: Option<Duration>,
    /// Clusters by name.
    pub clusters: Option<Vec<String>>,
    /// Clusters by a group in the key.
    pub cluster_pattern: Option<String>,
    /// Which clusters get an object that begins with several names.
    pub prefix_match: Option<PrefixMatch>,
    /// How many clusters a pattern may create in a bucket.
    pub max_clusters: Option<usize>,
    /// What is scanned.
    #[serde(default)]
    pub buckets: Vec<BucketSection>,
}

/// A bucket in the file. What is absent is taken from the section around it, and from the `s3` section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSection {
    /// Its name on the server.
    pub bucket: String,
    /// The `bucket` label; the bucket's own name where absent.
    pub name: Option<String>,
    /// Only objects whose key begins so are listed; it is stripped before matching.
    pub prefix: Option<String>,
    /// How many list requests may run side by side.
    pub list_concurrency: Option<usize>,
    /// Dollars for a thousand list requests.
    pub list_price: Option<f64>,
    /// How often a backup is expected.
    #[serde(default, deserialize_with = "optional_duration")]
    pub backup_interval: Option<Duration>,
    /// Clusters by name.
    pub clusters: Option<Vec<String>>,
    /// Clusters by a group in the key.
    pub cluster_pattern: Option<String>,
    /// Which clusters get an object that begins with several names.
    pub prefix_match: Option<PrefixMatch>,
    /// Whether this bucket also has the `kubermatic_s3_*` metrics.
    #[serde(default)]
    pub kubermatic_metrics: bool,
    /// How it is reached.
    #[serde(default)]
    pub s3: S3Options,
}

/// The bucket named by flags.
#[derive(Debug, Clone, Default)]
pub struct FlagBucket {
    /// `-bucket`
    pub bucket: Option<String>,
    /// `--prefix`
    pub prefix: Option<String>,
}

/// What the inventory runs with.
#[derive(Debug, Clone)]
pub struct InventoryConfig {
    /// From the start of a scan to the start of the next.
    pub scan_interval: Duration,
    /// A scan that takes longer fails.
    pub scan_deadline: Duration,
    /// What is scanned; at least one.
    pub targets: Vec<TargetConfig>,
}

/// A bucket, with everything that it inherits.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    /// The `bucket` label.
    pub name: String,
    /// Its name on the server.
    pub bucket: String,
    /// Listed alone, stripped before matching.
    pub prefix: String,
    /// How many list requests may run side by side.
    pub list_concurrency: usize,
    /// Dollars for a thousand list requests.
    pub list_price: f64,
    /// How often a backup is expected.
    pub backup_interval: Duration,
    /// Where cluster names come from.
    pub clusters: ClusterSource,
    /// Whether it has the `kubermatic_s3_*` metrics.
    pub kubermatic_metrics: bool,
    /// How it is reached.
    pub s3: S3Options,
}

/// Where cluster names come from.
#[derive(Debug, Clone)]
pub enum ClusterSource {
    /// Kubermatic `Cluster` objects.
    Kubernetes(PrefixMatch),
    /// The configuration.
    Names(Vec<String>, PrefixMatch),
    /// The keys: the pattern, and how many clusters it may create.
    Pattern(Regex, usize),
}

impl InventorySection {
    /// This section, completed by `fallback`.
    pub fn or(self, fallback: Self) -> Self {
        // Names and pattern exclude each other, so whoever gives one of them decides over both.
        let (clusters, cluster_pattern) = if self.clusters.is_some() || self.cluster_pattern.is_some() {
            (self.clusters, self.cluster_pattern)
        } else {
            (fallback.clusters, fallback.cluster_pattern)
        };
        Self {
            enabled: self.enabled.or(fallback.enabled),
            scan_interval: self.scan_interval.or(fallback.scan_interval),
            scan_deadline: self.scan_deadline.or(fallback.scan_deadline),
            list_concurrency: self.list_concurrency.or(fallback.list_concurrency),
            list_price: self.list_price.or(fallback.list_price),
            backup_interval: self.backup_interval.or(fallback.backup_interval),
            clusters,
            cluster_pattern,
            prefix_match: self.prefix_match.or(fallback.prefix_match),
            max_clusters: self.max_clusters.or(fallback.max_clusters),
            buckets: if self.buckets.is_empty() { fallback.buckets } else { self.buckets },
        }
    }

    /// Checks the section. The bucket of the flags is scanned if it is named, or if no other is; it has the `kubermatic_s3_*` metrics.
    ///
    /// # Errors
    /// With the first setting that cannot be used.
    pub fn resolve(self, flags: FlagBucket, s3: &S3Options) -> Result<Option<InventoryConfig>, InventoryConfigError> {
        if self.enabled == Some(false) {
            return Ok(None);
        }
        let mut buckets = self.buckets.clone();
        if flags.bucket.is_some() || buckets.is_empty() {
            let bucket = flags.bucket.unwrap_or_else(|| DEFAULT_BUCKET.to_owned());
            buckets.insert(0, BucketSection { bucket, prefix: flags.prefix, kubermatic_metrics: true, ..Default::default() });
        } else if flags.prefix.is_some() {
            return Err(InventoryConfigError::PrefixWithoutBucket);
        }
        let targets: Vec<TargetConfig> = buckets.into_iter().map(|bucket| self.target(bucket, s3)).collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = targets.iter().find(|target| !names.insert(target.name.as_str())) {
            return Err(InventoryConfigError::SameName(twice.name.clone()));
        }
        if targets.iter().filter(|target| target.kubermatic_metrics).count() > 1 {
            return Err(InventoryConfigError::TwoOriginals);
        }
        Ok(Some(InventoryConfig {
            scan_interval: self.scan_interval.unwrap_or(DEFAULT_SCAN_INTERVAL),
            scan_deadline: self.scan_deadline.unwrap_or(DEFAULT_SCAN_DEADLINE),
            targets,
        }))
    }

    fn target(&self, bucket: BucketSection, s3: &S3Options) -> Result<TargetConfig, InventoryConfigError> {
        let name = bucket.name.unwrap_or_else(|| bucket.bucket.clone());
        let (names, pattern) = match (bucket.clusters, bucket.cluster_pattern) {
            (None, None) => (self.clusters.clone(), self.cluster_pattern.clone()),
            own => own,
        };
        let rule = bucket.prefix_match.or(self.prefix_match).unwrap_or_default();
        let place = || format!("bucket `{name}`");
        let clusters = match (names, pattern) {
            (Some(_), Some(_)) => return Err(InventoryConfigError::TwoSources(place())),
            (Some(names), None) if names.is_empty() => return Err(InventoryConfigError::NoNames(place())),
            (Some(names), None) if names.iter().any(String::is_empty) => return Err(InventoryConfigError::EmptyName(place())),
            (Some(names), None) => ClusterSource::Names(names, rule),
            (None, Some(pattern)) => self.pattern(&pattern, place)?,
            (None, None) => ClusterSource::Kubernetes(rule),
        };
        let list_concurrency = bucket.list_concurrency.or(self.list_concurrency).unwrap_or(DEFAULT_LIST_CONCURRENCY);
        if !(1..=MOST_LIST_CONCURRENCY).contains(&list_concurrency) {
            return Err(InventoryConfigError::Concurrency(place(), list_concurrency));
        }
        let list_price = bucket.list_price.or(self.list_price).unwrap_or(DEFAULT_LIST_PRICE);
        if !(list_price.is_finite() && list_price >= 0.0) {
            return Err(InventoryConfigError::Price(place(), list_price));
        }
        Ok(TargetConfig {
            list_concurrency,
            list_price,
            prefix: bucket.prefix.unwrap_or_default(),
            backup_interval: bucket.backup_interval.or(self.backup_interval).unwrap_or(DEFAULT_BACKUP_INTERVAL),
            clusters,
            kubermatic_metrics: bucket.kubermatic_metrics,
            s3: bucket.s3.or(s3),
            bucket: bucket.bucket,
            name,
        })
    }

    fn pattern(&self, pattern: &str, place: impl Fn() -> String) -> Result<ClusterSource, InventoryConfigError> {
        let most = self.max_clusters.unwrap_or(DEFAULT_MAX_CLUSTERS);
        if most == 0 {
            return Err(InventoryConfigError::NoRoom(place()));
        }
        let regex = Regex::new(pattern).map_err(|error| InventoryConfigError::Pattern(place(), one_line(&error.to_string())))?;
        PatternOwners::new(&regex, most).ok_or_else(|| InventoryConfigError::NoGroup(place()))?;
        Ok(ClusterSource::Pattern(regex, most))
    }
}

/// `regex` draws an arrow below the pattern; a log line has no place for it.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "^").collect::<Vec<_>>().join(" ")
}
