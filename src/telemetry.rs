//! What the process says of itself: its log, and the metrics of its build and its resources.

mod process;

use std::io::IsTerminal as _;

use prometheus::{IntGaugeVec, Opts, Registry};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::process::ProcessCollector;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    #[value(name = "JSON", alias = "json")]
    #[serde(rename = "JSON", alias = "json")]
    Json,
    /// For people; coloured on a terminal.
    #[value(name = "Console", alias = "console")]
    #[serde(rename = "Console", alias = "console")]
    Console,
}

/// What is logged at all, by the names that Python's loggers have too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything that this program says of its work.
    Debug,
    /// What it does.
    #[default]
    Info,
    /// What deserves attention.
    #[value(alias = "warn")]
    #[serde(alias = "warn")]
    Warning,
    /// What failed.
    #[value(alias = "critical")]
    #[serde(alias = "critical")]
    Error,
}

impl LogLevel {
    /// What kube's client logs, the watch logs again with its reason.
    fn filter(self) -> &'static str {
        match self {
            Self::Debug => "info,object_store=warn,kube_client=off,kube_s3_exporter=debug",
            Self::Info => "info,object_store=warn,kube_client=off,kube_runtime=off",
            Self::Warning => "warn,kube_client=off,kube_runtime=off",
            Self::Error => "error,kube_client=off,kube_runtime=off",
        }
    }
}

/// Starts logging to standard error. `RUST_LOG`, in `filter`, decides over `level`.
///
/// # Errors
/// When `filter` is not of `RUST_LOG`'s grammar, or logging has been started before.
pub fn init_logging(format: LogFormat, level: LogLevel, filter: Option<&str>) -> anyhow::Result<()> {
    let filter = filter.filter(|filter| !filter.trim().is_empty()).unwrap_or(level.filter());
    let filter = EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("RUST_LOG `{filter}` cannot be read: {error}"))?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
        LogFormat::Console => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()?,
    }
    Ok(())
}

/// Registers `s3exporter_build_info` and `process_*`.
///
/// # Errors
/// When a name is taken already.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    let build = IntGaugeVec::new(
        Opts::new("s3exporter_build_info", "Version and source revision of the running program; always 1."),
        &["version", "revision"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION"), revision()]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(ProcessCollector::new()?))
}

/// The source revision that the build was told of, else `unknown`.
pub fn revision() -> &'static str {
    option_env!("BUILD_REVISION").unwrap_or("unknown")
}
