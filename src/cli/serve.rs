//! `serve`: flags and environment as [`Settings`], and the main job.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::go_flags::parse_bool;
use crate::app::{App, Failure};
use crate::aws::{Addressing, S3Options};
use crate::config::{Config, LogSection, Settings};
use crate::inventory::{FlagBucket, InventorySection, PrefixMatch};
use crate::telemetry::{self, LogFormat};
use crate::time::{Clock, parse_duration};

/// Flags of the main job. Those that Kubermatic's `s3-exporter` has mean what they mean there.
#[derive(Debug, Default, Args)]
pub(super) struct ServeArgs {
    /// S3 server: https://HOST[:PORT], http://HOST[:PORT], or file:///FOLDER with a folder per bucket. AWS where absent; also from AWS_ENDPOINT_URL_S3
    /// and AWS_ENDPOINT_URL.
    #[arg(long, value_name = "URL", help_heading = "S3")]
    endpoint: Option<String>,
    /// Bucket to scan [default: kubermatic-etcd-backups, where the file names none].
    #[arg(long, value_name = "NAME", help_heading = "S3")]
    bucket: Option<String>,
    /// Key pair, first half. Then AWS_ACCESS_KEY_ID, the file, and the rest of AWS' credential chain are asked.
    #[arg(long, value_name = "ID", env = "ACCESS_KEY_ID", hide_env_values = true, help_heading = "S3")]
    access_key_id: Option<SecretString>,
    /// Key pair, second half.
    #[arg(long, value_name = "KEY", env = "SECRET_ACCESS_KEY", hide_env_values = true, help_heading = "S3")]
    secret_access_key: Option<SecretString>,
    /// Session token of a temporary key pair.
    #[arg(long, value_name = "TOKEN", env = "SESSION_TOKEN", hide_env_values = true, help_heading = "S3")]
    session_token: Option<SecretString>,
    /// Send no signature, for public buckets.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, help_heading = "S3")]
    anonymous: Option<bool>,
    /// Region; also from AWS_REGION and AWS_DEFAULT_REGION. Where absent, the bucket is asked.
    #[arg(long, value_name = "REGION", help_heading = "S3")]
    region: Option<String>,
    /// How the bucket is named in a request: auto is virtual-hosted on AWS and path-style elsewhere.
    #[arg(long, value_name = "STYLE", env = "S3EXPORTER_ADDRESSING", help_heading = "S3")]
    addressing: Option<Addressing>,
    /// File of PEM certificates to trust beside the system's.
    #[arg(long, value_name = "FILE", env = "S3EXPORTER_CA_BUNDLE", help_heading = "S3")]
    ca_bundle: Option<PathBuf>,
    /// Only objects whose key begins so; it is stripped before matching.
    #[arg(long, value_name = "PREFIX", env = "S3EXPORTER_PREFIX", help_heading = "S3")]
    prefix: Option<String>,

    /// Cluster to look for; repeat it for several. Without it and --cluster-pattern, Kubermatic's Cluster objects are watched.
    #[arg(long = "cluster", value_name = "NAME", conflicts_with = "cluster_pattern", help_heading = "Clusters")]
    clusters: Vec<String>,
    /// Regular expression whose group `cluster` is the name of the cluster that a key belongs to.
    #[arg(long, value_name = "REGEX", env = "S3EXPORTER_CLUSTER_PATTERN", help_heading = "Clusters")]
    cluster_pattern: Option<String>,
    /// Which clusters get an object that begins with several names.
    #[arg(long, value_name = "RULE", env = "S3EXPORTER_PREFIX_MATCH", help_heading = "Clusters")]
    prefix_match: Option<PrefixMatch>,
    /// How many clusters a pattern may create [default: 100000].
    #[arg(long, value_name = "NUMBER", env = "S3EXPORTER_MAX_CLUSTERS", help_heading = "Clusters")]
    max_clusters: Option<usize>,
    /// File that says how to reach Kubernetes; the pod's service account where absent.
    #[arg(long, value_name = "FILE", env = "KUBECONFIG", help_heading = "Clusters")]
    kubeconfig: Option<PathBuf>,

    /// Switch the scanning of buckets off.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, help_heading = "Scans")]
    no_inventory: Option<bool>,
    /// Time from the start of a scan to the next [default: 60s].
    #[arg(long, value_name = "DURATION", env = "S3EXPORTER_SCAN_INTERVAL", value_parser = parse_duration, help_heading = "Scans")]
    scan_interval: Option<Duration>,
    /// A scan that takes longer fails [default: 1h].
    #[arg(long, value_name = "DURATION", env = "S3EXPORTER_SCAN_DEADLINE", value_parser = parse_duration, help_heading = "Scans")]
    scan_deadline: Option<Duration>,
    /// How often a backup is expected; two missed ones are an alert [default: 20m].
    #[arg(long, value_name = "DURATION", env = "S3EXPORTER_BACKUP_INTERVAL", value_parser = parse_duration, help_heading = "Scans")]
    backup_interval: Option<Duration>,

    /// Address to listen on; :PORT is all interfaces [default: :9340].
    #[arg(long, value_name = "ADDRESS", env = "S3EXPORTER_ADDRESS", help_heading = "Program")]
    address: Option<String>,
    /// YAML file, for several buckets and everything else; flags and environment stand over it.
    #[arg(long, value_name = "FILE", env = "S3EXPORTER_CONFIG", help_heading = "Program")]
    config: Option<PathBuf>,
    /// More detail in the log. RUST_LOG stands over it.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = parse_bool, help_heading = "Program")]
    log_debug: Option<bool>,
    /// Form of the log [default: JSON].
    #[arg(long, value_name = "FORMAT", env = "LOG_FORMAT", ignore_case = true, help_heading = "Program")]
    log_format: Option<LogFormat>,
}

impl ServeArgs {
    /// Completes the flags by the file and the defaults, and starts logging.
    pub(super) fn load(self, env: impl Fn(&str) -> Option<String>) -> Result<Config, Failure> {
        let file = match self.config.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => Settings::from_file(path).map_err(Failure::usage)?,
            None => Settings::default(),
        };
        let rust_log = env("RUST_LOG");
        let (flags, bucket) = self.settings(env);
        let settings = flags.or(file);
        let log = settings.log.clone();
        let config = settings.resolve(bucket).map_err(Failure::usage)?;
        let (format, debug) = (log.format.unwrap_or_default(), log.debug.unwrap_or_default());
        telemetry::init_logging(format, debug, rust_log.as_deref()).map_err(Failure::Usage)?;
        Ok(config)
    }

    /// A variable that is set to nothing counts as not set, since that is how a missing value in a manifest looks.
    fn settings(self, env: impl Fn(&str) -> Option<String>) -> (Settings, FlagBucket) {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let path = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| some(env(name)));
        let s3 = S3Options {
            endpoint: some(self.endpoint).or_else(|| first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])),
            region: some(self.region).or_else(|| first(&["AWS_REGION", "AWS_DEFAULT_REGION"])),
            addressing: self.addressing,
            access_key_id: secret(self.access_key_id),
            secret_access_key: secret(self.secret_access_key),
            secret_access_key_file: None,
            session_token: secret(self.session_token),
            anonymous: self.anonymous,
            ca_bundle: path(self.ca_bundle),
        };
        let aws_variable = |name| first(&[name]).map(SecretString::from);
        let aws = S3Options {
            access_key_id: aws_variable("AWS_ACCESS_KEY_ID"),
            secret_access_key: aws_variable("AWS_SECRET_ACCESS_KEY"),
            session_token: aws_variable("AWS_SESSION_TOKEN"),
            ..Default::default()
        };
        let inventory = InventorySection {
            enabled: self.no_inventory.map(|off| !off),
            scan_interval: self.scan_interval,
            scan_deadline: self.scan_deadline,
            backup_interval: self.backup_interval,
            clusters: (!self.clusters.is_empty()).then_some(self.clusters),
            cluster_pattern: some(self.cluster_pattern),
            prefix_match: self.prefix_match,
            max_clusters: self.max_clusters,
            buckets: Vec::new(),
        };
        let settings = Settings {
            address: some(self.address),
            kubeconfig: path(self.kubeconfig),
            log: LogSection { format: self.log_format, debug: self.log_debug },
            s3: s3.or(&aws),
            inventory,
        };
        (settings, FlagBucket { bucket: some(self.bucket), prefix: some(self.prefix) })
    }
}

fn secret(secret: Option<SecretString>) -> Option<SecretString> {
    use secrecy::ExposeSecret as _;
    secret.filter(|secret| !secret.expose_secret().is_empty())
}

/// A variable of the process' environment.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The main job.
pub(super) async fn serve(args: ServeArgs) -> Result<(), Failure> {
    let config = args.load(environment)?;
    let app = App::build(config, Clock::system()).await?;
    app.run().await.map_err(Failure::Runtime)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn settings(args: ServeArgs, env: &[(&str, &str)]) -> Settings {
        let lookup = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        args.settings(lookup).0
    }

    #[test]
    fn the_environment_of_aws_tools_is_read_below_flags() {
        let env =
            [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key"), ("AWS_SESSION_TOKEN", "token"), ("AWS_REGION", "r")];
        let s3 = settings(ServeArgs::default(), &env).s3;
        assert_eq!(s3.session_token.unwrap().expose_secret(), "token");
        assert_eq!(s3.region.as_deref(), Some("r"));
        let flags = ServeArgs { access_key_id: Some("a".into()), secret_access_key: Some("b".into()), ..Default::default() };
        let s3 = settings(flags, &env).s3;
        assert_eq!(s3.access_key_id.unwrap().expose_secret(), "a");
        assert!(s3.session_token.is_none());
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let empty = ServeArgs {
            access_key_id: Some("".into()),
            secret_access_key: Some("".into()),
            kubeconfig: Some("".into()),
            ..Default::default()
        };
        let settings = settings(empty, &[("AWS_ENDPOINT_URL_S3", ""), ("AWS_ENDPOINT_URL", "http://x")]);
        assert!(settings.s3.access_key_id.is_none() && settings.kubeconfig.is_none());
        assert_eq!(settings.s3.endpoint.as_deref(), Some("http://x"));
    }
}
