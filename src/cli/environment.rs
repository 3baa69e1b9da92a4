//! The environment as [`Settings`]: a layer of its own, below the flags and above the file.
//!
//! A variable that is set to nothing counts as not set, since that is how a missing value in a manifest looks.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use secrecy::SecretString;

use super::go_flags::parse_bool;
use crate::aws::S3Options;
use crate::config::{LogSection, Settings};
use crate::export::{Endpoints, ExportSection};
use crate::inventory::InventorySection;
use crate::podmetrics::PodmetricsSection;
use crate::podmetrics::guard::parse_range;
use crate::size::parse_bytes;
use crate::time::{parse_duration, parse_duration_or_zero};
use crate::usage::{AnnotationsSection, AuthSection, UsageSection};

/// A variable that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the variable {name}: {reason}")]
pub(super) struct VariableError {
    name: &'static str,
    reason: String,
}

/// Looks variables up.
pub(super) struct Environment<'a>(Box<Lookup<'a>>);

type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

impl<'a> Environment<'a> {
    /// That of the process.
    pub(super) fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    pub(super) fn new(lookup: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self(Box::new(lookup))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|text| !text.is_empty())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// Everything that can be set so.
    ///
    /// # Errors
    /// Names the variable that cannot be read.
    pub(super) fn settings(&self) -> Result<Settings, VariableError> {
        let duration = |name| self.parsed(name, parse_duration);
        let s3 = S3Options {
            endpoint: self.first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
            region_hint: self.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            addressing: self.choice("S3EXPORTER_ADDRESSING")?,
            ca_bundle: self.path("S3EXPORTER_CA_BUNDLE"),
            ..self.key_pair("")
        };
        let inventory = InventorySection {
            scan_interval: duration("S3EXPORTER_SCAN_INTERVAL")?,
            scan_deadline: duration("S3EXPORTER_SCAN_DEADLINE")?,
            backup_interval: duration("S3EXPORTER_BACKUP_INTERVAL")?,
            cluster_pattern: self.text("S3EXPORTER_CLUSTER_PATTERN"),
            prefix_match: self.choice("S3EXPORTER_PREFIX_MATCH")?,
            max_clusters: self.parsed("S3EXPORTER_MAX_CLUSTERS", number)?,
            list_concurrency: self.parsed("S3EXPORTER_LIST_CONCURRENCY", number)?,
            list_price: self.parsed("S3EXPORTER_LIST_PRICE", number)?,
            ..Default::default()
        };
        let text = |name| self.text(name);
        let export = ExportSection {
            endpoints: self.parsed("PROM_ENDPOINTS", Endpoints::from_json)?,
            bucket: self.first(&["S3EXPORTER_EXPORT_BUCKET", "S3_BUCKET"]),
            base_s3_path: text("BASE_S3_PATH"),
            hours_to_backfill: self.parsed("HOURS_TO_BACKFILL", number)?,
            step: self.parsed("STEP_SECONDS", seconds)?,
            timeout: self.parsed("TIMEOUT_SECONDS", seconds)?,
            deadline: duration("S3EXPORTER_EXPORT_DEADLINE")?,
            max_retries: self.parsed("MAX_RETRIES", number)?,
            retry_backoff: self.parsed("RETRY_BACKOFF_SECONDS", seconds_or_zero)?,
            settle: self.parsed("S3EXPORTER_SETTLE", parse_duration_or_zero)?,
            max_backfill: duration("S3EXPORTER_MAX_BACKFILL")?,
            recheck: self.parsed("S3EXPORTER_RECHECK", number)?,
            mode: self.choice("S3EXPORTER_EXPORT_MODE")?,
            compress: self.choice("S3EXPORTER_COMPRESS")?,
            concurrency: self.parsed("S3EXPORTER_EXPORT_CONCURRENCY", number)?,
            metrics: text("S3EXPORTER_EXPORT_METRICS").map(|names| names.split(',').map(|name| name.trim().to_owned()).collect()),
            ..Default::default()
        };
        Ok(Settings {
            address: self.text("S3EXPORTER_ADDRESS"),
            kubeconfig: self.path("KUBECONFIG"),
            log: LogSection { format: self.choice("LOG_FORMAT")?, debug: None, level: self.choice("LOG_LEVEL")? },
            s3: s3.or(&self.key_pair("AWS_")),
            inventory,
            export,
            podmetrics: self.podmetrics()?,
            usage: self.usage()?,
        })
    }

    /// `CACHE_UPDATE_INTERVAL` is known and means nothing: a watch has taken the place of the polling that it was about.
    fn podmetrics(&self) -> Result<PodmetricsSection, VariableError> {
        let ranges = |text: &str| text.split(',').map(parse_range).collect();
        Ok(PodmetricsSection {
            enabled: self.parsed("S3EXPORTER_PODMETRICS", parse_bool)?,
            address: self.text("S3EXPORTER_PODMETRICS_ADDRESS"),
            namespaces: self.text("S3EXPORTER_PODMETRICS_NAMESPACES").map(|text| names(&text)),
            label_prefix: self.text("S3EXPORTER_PODMETRICS_LABEL_PREFIX"),
            allow_cidr: self.parsed("S3EXPORTER_PODMETRICS_ALLOW_CIDR", ranges)?,
            concurrency: self.parsed("CLIENT_WORKERS", number)?,
            concurrency_per_node: self.parsed("S3EXPORTER_PODMETRICS_CONCURRENCY_PER_NODE", number)?,
            requests: self.parsed("SERVER_WORKERS", number)?,
            timeout: self.parsed("S3EXPORTER_PODMETRICS_TIMEOUT", parse_duration)?,
            max_age: self.parsed("S3EXPORTER_PODMETRICS_MAX_AGE", parse_duration_or_zero)?,
            ..Default::default()
        })
    }

    fn usage(&self) -> Result<UsageSection, VariableError> {
        Ok(UsageSection {
            enabled: self.parsed("S3EXPORTER_USAGE", parse_bool)?,
            address: self.text("S3EXPORTER_USAGE_ADDRESS"),
            bucket: self.text("S3EXPORTER_USAGE_BUCKET"),
            shared_bucket: self.text("S3_BUCKET"),
            prefix: self.text("S3_PREFIX"),
            cluster_name: self.text("CLUSTER_NAME"),
            journal_dir: self.path("S3EXPORTER_JOURNAL_DIR"),
            journal_budget: self.parsed("S3EXPORTER_USAGE_JOURNAL_BUDGET", parse_bytes)?,
            roll_bytes: self.parsed("S3EXPORTER_USAGE_ROLL_BYTES", parse_bytes)?,
            roll_age: self.parsed("S3EXPORTER_USAGE_ROLL_AGE", parse_duration)?,
            body_limit: self.parsed("S3EXPORTER_USAGE_BODY_LIMIT", parse_bytes)?,
            debug_k8s_api: self.parsed("DEBUG_K8S_API", parse_bool)?,
            annotations: AnnotationsSection::default(),
            auth: AuthSection {
                token_file: self.path("S3EXPORTER_USAGE_TOKEN_FILE"),
                token_review: self.parsed("S3EXPORTER_USAGE_TOKEN_REVIEW", parse_bool)?,
                audience: self.text("S3EXPORTER_USAGE_TOKEN_AUDIENCE"),
                service_accounts: self.text("S3EXPORTER_USAGE_SERVICE_ACCOUNTS").map(|text| names(&text)),
            },
        })
    }

    fn key_pair(&self, prefix: &str) -> S3Options {
        let secret = |name: &str| self.text(&format!("{prefix}{name}")).map(SecretString::from);
        S3Options {
            access_key_id: secret("ACCESS_KEY_ID"),
            secret_access_key: secret("SECRET_ACCESS_KEY"),
            session_token: secret("SESSION_TOKEN"),
            ..Default::default()
        }
    }

    pub(super) fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    pub(super) fn parsed<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, VariableError> {
        self.text(name).map(|text| parse(text.trim())).transpose().map_err(|reason| VariableError { name, reason })
    }

    pub(super) fn choice<T: ValueEnum>(&self, name: &'static str) -> Result<Option<T>, VariableError> {
        self.parsed(name, |text| {
            T::from_str(text, true).map_err(|_| {
                let choices: Vec<String> = T::value_variants()
                    .iter()
                    .filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()))
                    .collect();
                format!("`{text}` is none of {}", choices.join(", "))
            })
        })
    }
}

/// Names between commas.
fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Seconds without a unit, as the job wrote them that the export replaces.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let duration = seconds_or_zero(text)?;
    if duration.is_zero() { Err(format!("`{text}` is not a number of seconds above zero")) } else { Ok(duration) }
}

/// As [`seconds`]; zero is taken too.
pub(super) fn seconds_or_zero(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.trim().parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| format!("`{text}` is not a number of seconds"))
}

pub(super) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Environment::new(lookup).settings().map_err(|error| error.to_string())
    }

    #[test]
    fn the_names_of_kubermatic_stand_over_those_of_aws() {
        let aws =
            [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key"), ("AWS_SESSION_TOKEN", "token"), ("AWS_REGION", "r")];
        let s3 = settings(&aws).unwrap().s3;
        assert_eq!(s3.session_token.unwrap().expose_secret(), "token");
        assert_eq!((s3.region, s3.region_hint.as_deref()), (None, Some("r")));
        let both = [&aws[..], &[("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")]].concat();
        let s3 = settings(&both).unwrap().s3;
        assert_eq!(s3.access_key_id.unwrap().expose_secret(), "a");
        assert!(s3.session_token.is_none());
    }

    #[test]
    fn a_variable_set_to_nothing_is_not_set() {
        let names = [
            "ACCESS_KEY_ID",
            "KUBECONFIG",
            "S3EXPORTER_SCAN_INTERVAL",
            "LOG_FORMAT",
            "S3EXPORTER_MAX_CLUSTERS",
            "AWS_ENDPOINT_URL_S3",
        ];
        let mut variables: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
        variables.push(("AWS_ENDPOINT_URL", "http://x"));
        let settings = settings(&variables).unwrap();
        assert!(settings.s3.access_key_id.is_none() && settings.kubeconfig.is_none());
        assert_eq!(settings.s3.endpoint.as_deref(), Some("http://x"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_variable() {
        let error = settings(&[("S3EXPORTER_SCAN_INTERVAL", "60")]).unwrap_err();
        assert!(error.contains("S3EXPORTER_SCAN_INTERVAL") && error.contains("30s"), "{error}");
        let error = settings(&[("LOG_FORMAT", "xml")]).unwrap_err();
        assert_eq!(error, "the variable LOG_FORMAT: `xml` is none of JSON, Console");
        for name in ["S3EXPORTER_MAX_CLUSTERS", "S3EXPORTER_LIST_CONCURRENCY", "S3EXPORTER_LIST_PRICE"] {
            assert!(settings(&[(name, "many")]).unwrap_err().contains("many"), "{name}");
        }
        let inventory = settings(&[("S3EXPORTER_LIST_CONCURRENCY", "7"), ("S3EXPORTER_LIST_PRICE", "0.5")]).unwrap().inventory;
        assert_eq!((inventory.list_concurrency, inventory.list_price), (Some(7), Some(0.5)));
    }

    #[test]
    fn senders_of_usage_are_told_by_variables_too() {
        let variables = [
            ("S3EXPORTER_USAGE_TOKEN_REVIEW", "true"),
            ("S3EXPORTER_USAGE_TOKEN_AUDIENCE", "us"),
            ("S3EXPORTER_USAGE_SERVICE_ACCOUNTS", "monitoring/collector, other/one,"),
        ];
        let auth = settings(&variables).unwrap().usage.auth;
        let accounts = vec!["monitoring/collector".to_owned(), "other/one".to_owned()];
        assert_eq!(
            (auth.token_review, auth.audience.as_deref(), auth.service_accounts),
            (Some(true), Some("us"), Some(accounts))
        );
        assert!(settings(&[("S3EXPORTER_USAGE_TOKEN_REVIEW", "perhaps")]).unwrap_err().contains("S3EXPORTER_USAGE_TOKEN_REVIEW"));
        let none = settings(&[("S3EXPORTER_USAGE_SERVICE_ACCOUNTS", "")]).unwrap().usage.auth;
        assert_eq!(none.service_accounts, None);
    }
}
