//! `serve`: the main job.

use std::path::PathBuf;

use clap::Args;

use super::args::{InventoryArgs, ProgramArgs, S3Args};
use super::environment::Environment;
use super::export_args::ExportArgs;
use super::podmetrics_args::PodmetricsArgs;
use super::usage_args::UsageArgs;
use crate::app::{App, Failure};
use crate::config::{Config, Settings};
use crate::inventory::FlagBucket;
use crate::telemetry;
use crate::time::Clock;

/// Flags of the main job.
#[derive(Debug, Default, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    s3: S3Args,
    #[command(flatten)]
    inventory: InventoryArgs,
    /// File that says how to reach Kubernetes [env: KUBECONFIG]; the pod's service account where absent.
    #[arg(long, value_name = "FILE", help_heading = "Program")]
    kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    export: ExportArgs,
    #[command(flatten)]
    podmetrics: PodmetricsArgs,
    #[command(flatten)]
    usage: UsageArgs,
    /// Address to listen on; :PORT is all interfaces [env: S3EXPORTER_ADDRESS] [default: :9340].
    #[arg(long, value_name = "ADDRESS", help_heading = "Program")]
    address: Option<String>,
    #[command(flatten)]
    program: ProgramArgs,
}

impl ServeArgs {
    /// Completes the flags by the environment, the file and the defaults, and starts logging.
    pub(super) fn load(self, env: &Environment<'_>) -> Result<Config, Failure> {
        let prefix = self.inventory.prefix.clone().or_else(|| env.text("S3EXPORTER_PREFIX"));
        let bucket = FlagBucket { bucket: self.inventory.bucket.clone(), prefix };
        let flags = Settings {
            address: self.address,
            kubeconfig: self.kubeconfig,
            s3: self.s3.options(),
            inventory: self.inventory.section(),
            export: self.export.section()?,
            podmetrics: self.podmetrics.section(),
            usage: self.usage.section(),
            ..Default::default()
        };
        let settings = self.program.complete(flags, env)?;
        let log = settings.log.clone();
        let config = settings.resolve(bucket).map_err(Failure::usage)?;
        telemetry::init_logging(log.format.unwrap_or_default(), log.level(), env.text("RUST_LOG").as_deref())
            .map_err(Failure::Usage)?;
        Ok(config)
    }
}

/// The main job.
pub(super) async fn serve(args: ServeArgs) -> Result<(), Failure> {
    let config = args.load(&Environment::of_process())?;
    let app = App::build(config, Clock::system()).await?;
    app.run().await.map_err(Failure::Runtime)
}
