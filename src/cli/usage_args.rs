//! Flags of the usage of nodes, as a section of the settings.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::go_flags::parse_bool;
use crate::size::parse_bytes;
use crate::time::parse_duration;
use crate::usage::{AnnotationsSection, AuthSection, UsageSection};

/// Where usage reports go, and who may send them.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Usage of nodes")]
pub(super) struct UsageArgs {
    /// Take usage reports at POST /metrics, join them with Kubernetes, and write Parquet to S3 [env: S3EXPORTER_USAGE].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool)]
    usage: Option<bool>,
    /// A second address to listen on, for reports alone, such as :8888 [env: S3EXPORTER_USAGE_ADDRESS].
    #[arg(long, value_name = "ADDRESS")]
    usage_address: Option<String>,
    /// Bucket to write to; needed where the export is on too [env: S3EXPORTER_USAGE_BUCKET, S3_BUCKET] [default: k8s-usage-data].
    #[arg(long, value_name = "NAME")]
    usage_bucket: Option<String>,
    /// What keys begin with; {cluster_name} and {date} are filled in [env: S3_PREFIX] [default: k8s-metrics/].
    #[arg(long, value_name = "PREFIX")]
    usage_prefix: Option<String>,
    /// cluster_id of nodes without the annotation cluster.x-k8s.io/cluster-name [env: CLUSTER_NAME] [default: unknown].
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<String>,
    /// Folder of the journal, on a disk that outlives the process [env: S3EXPORTER_JOURNAL_DIR] [default: /var/lib/kube-s3-exporter/usage].
    #[arg(long, value_name = "FOLDER")]
    journal_dir: Option<PathBuf>,
    /// Bytes that wait for S3 from which on reports are refused [env: S3EXPORTER_USAGE_JOURNAL_BUDGET] [default: 4GiB].
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    usage_journal_budget: Option<usize>,
    /// Bytes of journal that become a file [env: S3EXPORTER_USAGE_ROLL_BYTES] [default: 128MiB].
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    usage_roll_bytes: Option<usize>,
    /// Age of the oldest report at which a file is made [env: S3EXPORTER_USAGE_ROLL_AGE] [default: 5m].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    usage_roll_age: Option<Duration>,
    /// Largest report, packed and unpacked [env: S3EXPORTER_USAGE_BODY_LIMIT] [default: 10MiB].
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    usage_body_limit: Option<usize>,
    /// Senders need the token that is in this file [env: S3EXPORTER_USAGE_TOKEN_FILE].
    #[arg(long, value_name = "FILE")]
    usage_token_file: Option<PathBuf>,
    /// Senders need a token that the Kubernetes API vouches for, and may report the node alone that it is bound to [env: S3EXPORTER_USAGE_TOKEN_REVIEW].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool)]
    usage_token_review: Option<bool>,
    /// Whom such a token is for [env: S3EXPORTER_USAGE_TOKEN_AUDIENCE] [default: kube-s3-exporter].
    #[arg(long, value_name = "AUDIENCE")]
    usage_token_audience: Option<String>,
    /// NAMESPACE/NAME of an account that may send; repeat it for several [env: S3EXPORTER_USAGE_SERVICE_ACCOUNTS] [default: any].
    #[arg(long = "usage-service-account", value_name = "ACCOUNT", value_delimiter = ',')]
    usage_service_accounts: Vec<String>,
    /// Tell in the log what the Kubernetes API is asked and answers for usage [env: DEBUG_K8S_API].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", value_parser = parse_bool)]
    debug_k8s_api: Option<bool>,
}

impl UsageArgs {
    pub(super) fn section(self) -> UsageSection {
        UsageSection {
            enabled: self.usage,
            address: self.usage_address,
            bucket: self.usage_bucket,
            shared_bucket: None,
            prefix: self.usage_prefix,
            cluster_name: self.cluster_name,
            journal_dir: self.journal_dir,
            journal_budget: self.usage_journal_budget,
            roll_bytes: self.usage_roll_bytes,
            roll_age: self.usage_roll_age,
            body_limit: self.usage_body_limit,
            debug_k8s_api: self.debug_k8s_api,
            annotations: AnnotationsSection::default(),
            auth: AuthSection {
                token_file: self.usage_token_file,
                token_review: self.usage_token_review,
                audience: self.usage_token_audience,
                service_accounts: (!self.usage_service_accounts.is_empty()).then_some(self.usage_service_accounts),
            },
        }
    }
}
