//! Whether everything that `usage` needs can be had: for `check`.

use std::path::Path;

use super::auth::Auth;
use super::config::{AuthConfig, UsageConfig};
use super::index;
use crate::k8s::TokenReviews;

/// No object is below this name.
const NOTHING: &str = "_check";

/// Tries the Kubernetes API, the bucket, the journal's folder and what tells senders: a line for each that works or does not.
pub async fn probe(config: &UsageConfig, kube: &kube::Config) -> Vec<Result<String, String>> {
    let mut lines = index::check(kube).await;
    lines.push(match config.store.list(NOTHING).await {
        Ok(_) => Ok(format!(
            "the bucket for usage at {} can be read; whether it can be written was not tried",
            config.store.location()
        )),
        Err(error) => {
            let reason = error.to_string();
            Err(format!("the bucket for usage at {}: {}", config.store.location(), reason.trim_start_matches("_check: ")))
        }
    });
    lines.push(folder(&config.journal_dir));
    match &config.auth {
        AuthConfig::Open => {}
        AuthConfig::TokenFile(_) => lines.push(match Auth::new(&config.auth, kube) {
            Ok(_) => Ok("the token of senders".to_owned()),
            Err(error) => Err(format!("{error:#}")),
        }),
        AuthConfig::Review { audience, .. } => lines.push(review(kube, audience).await),
    }
    lines
}

/// Nothing is left behind: of a folder that is to be made, that above it is tried.
fn folder(folder: &Path) -> Result<String, String> {
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    match tempfile::tempfile_in(there) {
        Ok(_) if there == folder => Ok(format!("the journal can be written in {}", folder.display())),
        Ok(_) => Ok(format!("the folder of the journal, {}, can be made", folder.display())),
        Err(error) => Err(format!("the journal cannot be written in {}: {error}", folder.display())),
    }
}

/// A token that nobody has is enough to see whether reviews are allowed.
async fn review(kube: &kube::Config, audience: &str) -> Result<String, String> {
    let reviews = TokenReviews::new(kube.clone()).map_err(|error| error.to_string())?;
    match reviews.review("none", audience).await {
        Ok(_) => Ok("Kubernetes: tokens of senders can be reviewed".to_owned()),
        Err(error) => Err(format!("Kubernetes: {error}")),
    }
}
