//! `check`: the doctor. Reads the configuration, tries every connection once, and says what works.

use anyhow::anyhow;

use super::environment::Environment;
use super::say;
use super::serve::ServeArgs;
use crate::app::Failure;
use crate::config::Config;
use crate::export;
use crate::inventory::{InventoryConfigError, TargetConfig};
use crate::k8s;
use crate::listing::Listing;
use crate::podmetrics;
use crate::time::Clock;
use crate::usage;

/// Prints a line per connection. Fails if any does.
pub(super) async fn check(args: ServeArgs) -> Result<(), Failure> {
    let config = args.load(&Environment::of_process())?;
    say("ok    the configuration");
    let mut failed = 0;
    if config.needs_cluster_names() {
        failed += u32::from(!check_cluster_names(&config).await);
    }
    for target in config.inventory.iter().flat_map(|inventory| &inventory.targets) {
        failed += u32::from(!check_bucket(target).await.map_err(Failure::usage)?);
    }
    if let Some(export) = config.export {
        failed += report(export::check(export, &Clock::system()).await.map_err(Failure::Usage)?);
    }
    if let Some(podmetrics) = &config.podmetrics {
        let kube = k8s::config(config.kubeconfig.as_deref()).await.map_err(Failure::usage)?;
        failed += report(podmetrics::probe(podmetrics, &kube).await.map_err(Failure::Usage)?);
    }
    if let Some(usage) = &config.usage {
        let kube = k8s::config(config.kubeconfig.as_deref()).await.map_err(Failure::usage)?;
        failed += report(usage::probe(usage, &kube).await);
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::Runtime(anyhow!("one check failed"))),
        several => Err(Failure::Runtime(anyhow!("{several} checks failed"))),
    }
}

/// Prints the lines, and gives how many tell of a failure.
fn report(lines: Vec<Result<String, String>>) -> u32 {
    let mut failed = 0;
    for line in lines {
        failed += u32::from(line.is_err());
        match line {
            Ok(line) => say(&format!("ok    {line}")),
            Err(line) => say(&format!("FAIL  {line}")),
        }
    }
    failed
}

async fn check_cluster_names(config: &Config) -> bool {
    let resource = k8s::kubermatic_clusters();
    let listed = async {
        let kube = k8s::config(config.kubeconfig.as_deref()).await?;
        k8s::list_names(kube, &resource).await
    };
    match listed.await {
        Ok(names) => say(&format!("ok    Kubernetes: {} Kubermatic clusters", names.len())),
        Err(error) => {
            say(&format!("FAIL  Kubernetes: cannot list {}.{}: {error:#}", resource.plural, resource.group));
            return false;
        }
    }
    true
}

async fn check_bucket(target: &TargetConfig) -> Result<bool, InventoryConfigError> {
    let failed = |error| InventoryConfigError::S3(target.name.clone(), error);
    let listing = Listing::open(&target.s3, &target.bucket, &target.prefix, 1).map_err(failed)?;
    match listing.probe().await {
        Ok((objects, more)) => {
            let more = if more { " and more" } else { "" };
            say(&format!("ok    bucket `{}`: {objects}{more} objects at {}", target.name, listing.location()));
            Ok(true)
        }
        Err(error) => {
            say(&format!("FAIL  bucket `{}`: {error} ({})", target.name, error.reason.as_str()));
            Ok(false)
        }
    }
}
