//! One scan: whose names, whose objects, one result or one error.

use std::time::Duration;

use tokio::time::timeout;

use super::config::ClusterSource;
use super::metrics::{CLUSTERS_UNKNOWN, DEADLINE};
use super::owners::{NameOwners, Owners, PatternOwners};
use super::stats::Count;
use crate::k8s::Names;
use crate::listing::{ListError, Listing, Meter};
use crate::time::humanize;

/// How long a scan waits for the first list of cluster names before it fails.
const NAMES_PATIENCE: Duration = Duration::from_secs(15);

/// A failed scan.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ScanError {
    /// A value of the `reason` label.
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl From<ListError> for ScanError {
    fn from(error: ListError) -> Self {
        Self { reason: error.reason.as_str(), message: error.message }
    }
}

/// Counts the whole bucket within `deadline`.
pub(super) async fn scan(
    listing: &Listing,
    prefix: &str,
    clusters: &ClusterSource,
    names: &Names,
    meter: &Meter,
    deadline: Duration,
) -> Result<Count, ScanError> {
    let scan = async {
        let owners = owners(clusters, names).await?;
        Ok(listing.list(|| Count::new(owners.clone(), prefix.len()), meter).await?)
    };
    let too_long =
        || ScanError { reason: DEADLINE, message: format!("the scan took longer than its deadline of {}", humanize(deadline)) };
    timeout(deadline, scan).await.unwrap_or_else(|_| Err(too_long()))
}

/// The rule for this scan. Names of a watch are those of its last complete list and what has changed since, however long ago that is.
async fn owners(clusters: &ClusterSource, names: &Names) -> Result<Owners, ScanError> {
    let unknown = || ScanError {
        reason: CLUSTERS_UNKNOWN,
        message: "the Kubernetes API has not told the names of the clusters yet; see the log and s3exporter_watch_errors_total"
            .to_owned(),
    };
    match clusters {
        ClusterSource::Names(names, rule) => Ok(Owners::Names(NameOwners::new(names, *rule))),
        ClusterSource::Pattern(pattern, most) => PatternOwners::new(pattern, *most).map(Owners::Pattern).ok_or_else(unknown),
        ClusterSource::Kubernetes(rule) => {
            let mut names = names.clone();
            let listed = timeout(NAMES_PATIENCE, names.wait_for(Option::is_some)).await;
            let listed = listed.ok().and_then(Result::ok).and_then(|names| names.clone()).ok_or_else(unknown)?;
            Ok(Owners::Names(NameOwners::new(listed.iter(), *rule)))
        }
    }
}
