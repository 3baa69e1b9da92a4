//! Groups of flags, which commands share, as [`Settings`].

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::environment::Environment;
use super::go_flags::parse_bool;
use crate::app::Failure;
use crate::aws::{Addressing, S3Options};
use crate::config::{LogSection, Settings};
use crate::inventory::{InventorySection, PrefixMatch};
use crate::telemetry::{LogFormat, LogLevel};
use crate::time::parse_duration;

/// How S3 is reached.
#[derive(Debug, Default, Args)]
pub(super) struct S3Args {
    /// S3 server: https://HOST:PORT, http://HOST:PORT, or file:///FOLDER with a folder per bucket [env: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL].
    /// AWS where absent; https where no scheme is given.
    #[arg(long, value_name = "URL", help_heading = "S3")]
    pub(super) endpoint: Option<String>,
    /// Key pair, first half [env: ACCESS_KEY_ID, AWS_ACCESS_KEY_ID]. Where absent, the file is asked, then web identity, ECS and EKS pod
    /// identity and instance metadata; not the profiles in ~/.aws.
    #[arg(long, value_name = "ID", help_heading = "S3")]
    pub(super) access_key_id: Option<SecretString>,
    /// Key pair, second half [env: SECRET_ACCESS_KEY, AWS_SECRET_ACCESS_KEY].
    #[arg(long, value_name = "KEY", help_heading = "S3")]
    pub(super) secret_access_key: Option<SecretString>,
    /// Session token of a temporary key pair [env: SESSION_TOKEN, AWS_SESSION_TOKEN].
    #[arg(long, value_name = "TOKEN", help_heading = "S3")]
    pub(super) session_token: Option<SecretString>,
    /// Send no signature, for public buckets.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool, help_heading = "S3")]
    pub(super) anonymous: Option<bool>,
    /// Region. Where absent, the endpoint's name tells it, or it is guessed [env: AWS_REGION, AWS_DEFAULT_REGION] and the bucket corrects it.
    #[arg(long, value_name = "REGION", help_heading = "S3")]
    pub(super) region: Option<String>,
    /// How the bucket is named in a request: auto is virtual-hosted on AWS and path-style elsewhere [env: S3EXPORTER_ADDRESSING].
    #[arg(long, value_name = "STYLE", help_heading = "S3")]
    pub(super) addressing: Option<Addressing>,
    /// File of PEM certificates to trust beside the system's [env: S3EXPORTER_CA_BUNDLE].
    #[arg(long, value_name = "FILE", help_heading = "S3")]
    pub(super) ca_bundle: Option<PathBuf>,
}

/// What is scanned, and whose it is. Flags that Kubermatic's `s3-exporter` has mean what they mean there.
#[derive(Debug, Default, Args)]
pub(super) struct InventoryArgs {
    /// Bucket to scan [default: kubermatic-etcd-backups, where the file names none].
    #[arg(long, value_name = "NAME", help_heading = "S3")]
    pub(super) bucket: Option<String>,
    /// Only objects whose key begins so; it is stripped before matching [env: S3EXPORTER_PREFIX].
    #[arg(long, value_name = "PREFIX", help_heading = "S3")]
    pub(super) prefix: Option<String>,

    /// Cluster to look for; repeat it for several. Without it and --cluster-pattern, Kubermatic's Cluster objects are watched.
    #[arg(long = "cluster", value_name = "NAME", conflicts_with = "cluster_pattern", help_heading = "Clusters")]
    pub(super) clusters: Vec<String>,
    /// Regular expression whose group `cluster` is the name of the cluster that a key belongs to [env: S3EXPORTER_CLUSTER_PATTERN].
    #[arg(long, value_name = "REGEX", help_heading = "Clusters")]
    pub(super) cluster_pattern: Option<String>,
    /// Which clusters get an object that begins with several names [env: S3EXPORTER_PREFIX_MATCH].
    #[arg(long, value_name = "RULE", help_heading = "Clusters")]
    pub(super) prefix_match: Option<PrefixMatch>,
    /// How many clusters a pattern may create [env: S3EXPORTER_MAX_CLUSTERS] [default: 100000].
    #[arg(long, value_name = "NUMBER", help_heading = "Clusters")]
    pub(super) max_clusters: Option<usize>,

    /// Switch the scanning of buckets off.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool, help_heading = "Scans")]
    pub(super) no_inventory: Option<bool>,
    /// Time from the start of a scan to the next [env: S3EXPORTER_SCAN_INTERVAL] [default: 60s].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Scans")]
    pub(super) scan_interval: Option<Duration>,
    /// A scan that takes longer fails [env: S3EXPORTER_SCAN_DEADLINE] [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Scans")]
    pub(super) scan_deadline: Option<Duration>,
    /// How many list requests may run side by side, per bucket [env: S3EXPORTER_LIST_CONCURRENCY] [default: 32].
    #[arg(long, value_name = "NUMBER", help_heading = "Scans")]
    pub(super) list_concurrency: Option<usize>,
    /// Dollars for a thousand list requests, for the estimated cost; 0 for a server of your own [env: S3EXPORTER_LIST_PRICE] [default: 0.005].
    #[arg(long, value_name = "DOLLARS", help_heading = "Scans")]
    pub(super) list_price: Option<f64>,
    /// How often a backup is expected; two missed ones are an alert [env: S3EXPORTER_BACKUP_INTERVAL] [default: 20m].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Scans")]
    pub(super) backup_interval: Option<Duration>,
}

/// For every command that reads a configuration.
#[derive(Debug, Default, Args)]
pub(super) struct ProgramArgs {
    /// YAML file, for several buckets and everything else [env: S3EXPORTER_CONFIG]; flags and environment stand over it.
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    pub(super) config: Option<PathBuf>,
    /// More detail in the log [env: LOG_LEVEL=debug; RUST_LOG stands over it].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool, help_heading = "Program")]
    pub(super) log_debug: Option<bool>,
    /// Form of the log [env: LOG_FORMAT] [default: JSON].
    #[arg(long, value_name = "FORMAT", ignore_case = true, help_heading = "Program")]
    pub(super) log_format: Option<LogFormat>,
}

impl S3Args {
    pub(super) fn options(self) -> S3Options {
        S3Options {
            endpoint: self.endpoint,
            region: self.region,
            region_hint: None,
            addressing: self.addressing,
            access_key_id: self.access_key_id,
            secret_access_key: self.secret_access_key,
            secret_access_key_file: None,
            session_token: self.session_token,
            anonymous: self.anonymous,
            ca_bundle: self.ca_bundle,
        }
    }
}

impl InventoryArgs {
    /// Without the bucket and its prefix, which belong to each other.
    pub(super) fn section(self) -> InventorySection {
        InventorySection {
            enabled: self.no_inventory.map(|off| !off),
            scan_interval: self.scan_interval,
            scan_deadline: self.scan_deadline,
            list_concurrency: self.list_concurrency,
            list_price: self.list_price,
            backup_interval: self.backup_interval,
            clusters: (!self.clusters.is_empty()).then_some(self.clusters),
            cluster_pattern: self.cluster_pattern,
            prefix_match: self.prefix_match,
            max_clusters: self.max_clusters,
            buckets: Vec::new(),
        }
    }
}

impl ProgramArgs {
    /// Completes `flags` by the environment and the file.
    pub(super) fn complete(self, flags: Settings, env: &Environment<'_>) -> Result<Settings, Failure> {
        let from_environment = env.settings().map_err(Failure::usage)?;
        let file = match self.config.or_else(|| env.path("S3EXPORTER_CONFIG")) {
            Some(path) => Settings::from_file(&path).map_err(Failure::usage)?,
            None => Settings::default(),
        };
        // The flag stands over whatever the environment says.
        let level = self.log_debug.map(|debug| if debug { LogLevel::Debug } else { LogLevel::Info });
        let flags = Settings { log: LogSection { format: self.log_format, debug: None, level }, ..flags };
        Ok(flags.or(from_environment).or(file))
    }
}
