//! Flags of the export, as a section of the settings.

use std::time::Duration;

use clap::Args;

use super::environment::{seconds, seconds_or_zero};
use crate::app::Failure;
use crate::export::{Endpoints, ExportSection, Mode};
use crate::store::Compression;
use crate::time::{parse_duration, parse_duration_or_zero};

/// What is exported, and where to. The names are those of the variables of the job that this replaces.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Export of Prometheus")]
pub(super) struct ExportArgs {
    /// JSON object of aliases and URLs (base URL or query_range) [env: PROM_ENDPOINTS].
    #[arg(long, value_name = "JSON")]
    prom_endpoints: Option<String>,
    /// Bucket to write to [env: S3EXPORTER_EXPORT_BUCKET, S3_BUCKET] [default: k8s-exported-metrics-opslyft].
    #[arg(long, value_name = "NAME")]
    export_bucket: Option<String>,
    /// First part of all keys [env: BASE_S3_PATH] [default: k8s_data].
    #[arg(long, value_name = "PATH")]
    base_s3_path: Option<String>,
    /// Metrics to export, separated by commas [env: S3EXPORTER_EXPORT_METRICS] [default: ten of kube-state-metrics and cAdvisor].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    export_metrics: Vec<String>,
    /// One value per step, or every sample of the hour [env: S3EXPORTER_EXPORT_MODE] [default: step].
    #[arg(long = "mode", value_name = "MODE")]
    mode: Option<Mode>,
    /// Seconds between two values [env: STEP_SECONDS] [default: 3600].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    step_seconds: Option<Duration>,
    /// Hours to export into an empty bucket [env: HOURS_TO_BACKFILL] [default: 8].
    #[arg(long, value_name = "HOURS")]
    hours_to_backfill: Option<u32>,
    /// How far back hours that are missing are exported [env: S3EXPORTER_MAX_BACKFILL] [default: 7d].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    max_backfill: Option<Duration>,
    /// From the end of an hour until it is exported, for samples that come late [env: S3EXPORTER_SETTLE] [default: 2m].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration_or_zero)]
    settle: Option<Duration>,
    /// In how many further runs a suspect answer is fetched again [env: S3EXPORTER_RECHECK] [default: 2].
    #[arg(long, value_name = "RUNS")]
    recheck: Option<u32>,
    /// Compress objects; keys get .gz or .zst at their end [env: S3EXPORTER_COMPRESS].
    #[arg(long, value_name = "FORM")]
    compress: Option<Compression>,
    /// Hours that are fetched at once, per endpoint [env: S3EXPORTER_EXPORT_CONCURRENCY] [default: 4].
    #[arg(long, value_name = "NUMBER")]
    export_concurrency: Option<usize>,
    /// Seconds to the first byte of an answer, and for any stall in it [env: TIMEOUT_SECONDS] [default: 30].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout_seconds: Option<Duration>,
    /// For one metric of one hour, retries included [env: S3EXPORTER_EXPORT_DEADLINE] [default: 10m].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    export_deadline: Option<Duration>,
    /// Attempts after the first [env: MAX_RETRIES] [default: 3].
    #[arg(long, value_name = "NUMBER")]
    max_retries: Option<u32>,
    /// Seconds before the first retry, doubled with each further one [env: RETRY_BACKOFF_SECONDS] [default: 2].
    #[arg(long, value_name = "SECONDS", value_parser = seconds_or_zero)]
    retry_backoff_seconds: Option<Duration>,
}

impl ExportArgs {
    pub(super) fn section(self) -> Result<ExportSection, Failure> {
        let endpoints = self.prom_endpoints.as_deref().map(Endpoints::from_json).transpose();
        Ok(ExportSection {
            enabled: None,
            endpoints: endpoints.map_err(|why| Failure::usage(anyhow::anyhow!("--prom-endpoints: {why}")))?,
            bucket: self.export_bucket,
            base_s3_path: self.base_s3_path,
            hours_to_backfill: self.hours_to_backfill,
            step: self.step_seconds,
            timeout: self.timeout_seconds,
            deadline: self.export_deadline,
            max_retries: self.max_retries,
            retry_backoff: self.retry_backoff_seconds,
            settle: self.settle,
            max_backfill: self.max_backfill,
            recheck: self.recheck,
            mode: self.mode,
            compress: self.compress,
            concurrency: self.export_concurrency,
            metrics: (!self.export_metrics.is_empty()).then_some(self.export_metrics),
            s3: Default::default(),
        })
    }
}
