//! The configuration: flags over environment over file over defaults.
//!
//! Flags and environment arrive as [`Settings`] (see [`crate::cli`]), the file is read as [`Settings`] too, and the first completes itself from
//! the second. Sections stand beside what they configure and check themselves.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::aws::S3Options;
use crate::export::{ExportConfig, ExportConfigError, ExportSection};
use crate::inventory::{ClusterSource, FlagBucket, InventoryConfig, InventoryConfigError, InventorySection};
use crate::podmetrics::{PodmetricsConfig, PodmetricsConfigError, PodmetricsSection};
use crate::server::is_address;
use crate::telemetry::{LogFormat, LogLevel};
use crate::usage::{UsageConfig, UsageConfigError, UsageSection};

/// Kubermatic's `s3-exporter` listens here.
const DEFAULT_ADDRESS: &str = ":9340";

/// A configuration that cannot be used: one clear line, exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// The file does not say what a configuration says.
    #[error("{file}: {path}: {reason}")]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Path of the key, such as `inventory.buckets[1].prefix`.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address to listen on.
    #[error("`{0}` is no address to listen on; write HOST:PORT, [IPV6]:PORT, or :PORT for all interfaces")]
    Address(String),
    /// A setting of the export.
    #[error(transparent)]
    Export(#[from] ExportConfigError),
    /// A setting of the inventory.
    #[error(transparent)]
    Inventory(#[from] InventoryConfigError),
    /// A setting of the metrics of pods.
    #[error(transparent)]
    Podmetrics(#[from] PodmetricsConfigError),
    /// A setting of the usage of nodes.
    #[error(transparent)]
    Usage(#[from] UsageConfigError),
}

/// Everything that can be set, as far as one source sets it. The form of the `--config` file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `HOST:PORT` or `:PORT` to listen on.
    pub address: Option<String>,
    /// Path of a kubeconfig; the pod's service account where absent.
    pub kubeconfig: Option<PathBuf>,
    /// The log.
    #[serde(default)]
    pub log: LogSection,
    /// How S3 is reached, for all buckets that say nothing else.
    #[serde(default)]
    pub s3: S3Options,
    /// What is in the buckets.
    #[serde(default)]
    pub inventory: InventorySection,
    /// What Prometheus knows, to S3.
    #[serde(default)]
    pub export: ExportSection,
    /// Metrics of pods, on request.
    #[serde(default)]
    pub podmetrics: PodmetricsSection,
    /// Usage of nodes, to S3.
    #[serde(default)]
    pub usage: UsageSection,
}

/// The `log` section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// `JSON` or `Console`.
    pub format: Option<LogFormat>,
    /// More detail.
    pub debug: Option<bool>,
    /// What is logged at all.
    pub level: Option<LogLevel>,
}

impl LogSection {
    /// What is logged: the level, else what `debug` says.
    pub fn level(&self) -> LogLevel {
        let by_debug = if self.debug.unwrap_or_default() { LogLevel::Debug } else { LogLevel::default() };
        self.level.unwrap_or(by_debug)
    }
}

impl Settings {
    /// Reads a YAML file.
    ///
    /// # Errors
    /// Names the path of the key that is wrong, or the place where the file is no YAML.
    pub fn from_file(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable(file.into(), error))?;
        Self::from_yaml(&text).map_err(|(path, reason)| ConfigError::Invalid { file: file.into(), path, reason })
    }

    /// Reads YAML; an error is a path and a reason.
    fn from_yaml(text: &str) -> Result<Self, (String, String)> {
        let only_comments = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---";
        if text.lines().all(only_comments) {
            return Ok(Self::default());
        }
        let mut path = None;
        let read = serde_saphyr::with_deserializer_from_str(text, |yaml| {
            serde_path_to_error::deserialize::<_, Self>(yaml).map_err(|error| {
                path = Some(error.path().to_string());
                error.into_inner()
            })
        });
        read.map_err(|error| {
            let path = path.filter(|path| !matches!(path.as_str(), "." | "?"));
            // Of an unknown key only the first word: see `plain`.
            let path = path.as_deref().and_then(|path| path.split_whitespace().next()).unwrap_or("the file");
            let path = path.trim_end_matches(".?").to_owned();
            (path, plain(&error.without_snippet().to_string()))
        })
    }

    /// These settings, completed by `fallback`.
    pub fn or(self, fallback: Self) -> Self {
        Self {
            address: self.address.or(fallback.address),
            kubeconfig: self.kubeconfig.or(fallback.kubeconfig),
            log: LogSection {
                format: self.log.format.or(fallback.log.format),
                debug: self.log.debug.or(fallback.log.debug),
                level: self.log.level.or(fallback.log.level),
            },
            s3: self.s3.or(&fallback.s3),
            inventory: self.inventory.or(fallback.inventory),
            export: self.export.or(fallback.export),
            podmetrics: self.podmetrics.or(fallback.podmetrics),
            usage: self.usage.or(fallback.usage),
        }
    }

    /// Checks the settings and fills in the defaults. `flags` names a bucket beside those in the file.
    ///
    /// # Errors
    /// With the first setting that cannot be used.
    pub fn resolve(self, flags: FlagBucket) -> Result<Config, ConfigError> {
        let address = self.address.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        if !is_address(&address) {
            return Err(ConfigError::Address(address));
        }
        let inventory = self.inventory.resolve(flags, &self.s3)?;
        let export = self.export.resolve(&self.s3)?;
        let podmetrics = self.podmetrics.resolve()?;
        let usage = self.usage.resolve(&self.s3, export.is_some())?;
        Ok(Config { address, kubeconfig: self.kubeconfig, inventory, export, podmetrics, usage })
    }
}

/// The reader's words in one line, without advice to programmers, and without the rest of an unknown key: where a colon was forgotten, that rest
/// is its value, perhaps a secret.
fn plain(text: &str) -> String {
    let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let text = [", set DuplicateKeyPolicy", "; use from_"]
        .iter()
        .fold(text.as_str(), |text, advice| text.split(advice).next().unwrap_or_default());
    match text.split_once("unknown field `").and_then(|(before, rest)| Some((before, rest.split_once('`')?))) {
        Some((before, (key, after))) => {
            let first_word = key.split_whitespace().next().unwrap_or_default();
            format!("{before}unknown field `{first_word}`{after}")
        }
        None => text.to_owned(),
    }
}

/// What the program runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT` or `:PORT` to listen on.
    pub address: String,
    /// Path of a kubeconfig; the pod's service account where absent.
    pub kubeconfig: Option<PathBuf>,
    /// `None` when switched off.
    pub inventory: Option<InventoryConfig>,
    /// `None` without an endpoint.
    pub export: Option<ExportConfig>,
    /// `None` unless switched on.
    pub podmetrics: Option<PodmetricsConfig>,
    /// `None` unless switched on.
    pub usage: Option<UsageConfig>,
}

impl Config {
    /// True when anything is to be asked of Kubernetes.
    pub fn needs_kubernetes(&self) -> bool {
        self.needs_cluster_names() || self.podmetrics.is_some() || self.usage.is_some()
    }

    /// True when names of clusters are to be asked of Kubernetes.
    pub fn needs_cluster_names(&self) -> bool {
        let targets = self.inventory.iter().flat_map(|inventory| &inventory.targets);
        targets.into_iter().any(|target| matches!(target.clusters, ClusterSource::Kubernetes(_)))
    }
}

#[cfg(test)]
mod tests;
