//! The Kubernetes API: how to reach it, and watches that keep small indexes.

mod all;
mod contact;
mod metrics;
mod names;
mod object;
mod pods;
mod resources;
mod review;
mod shared;
pub mod slim;
mod uid;
mod watch;
mod whole;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

pub use self::all::{AllOf, check_all, watch_all};
pub use self::metrics::WatchMetrics;
pub use self::names::{NameIndex, Names, kubermatic_clusters, list_names, watch_names};
pub use self::object::{Controller, LONGEST_VALUE, Slim};
pub use self::pods::{PodObject, PodScope, check_pods, watch_pods};
pub use self::resources::{Container, ContainerResources, PodResources, ResourceList, is_gpu};
pub use self::review::{Identity, ReviewError, TokenReviews};
pub use self::shared::Shared;
pub use self::uid::Uid;
pub use self::watch::Feed;
pub use self::whole::LAST_APPLIED;

/// Longer than a watch lasts (see [`watch`]), so that only a peer that has gone silent meets it.
const READ_TIMEOUT: Duration = Duration::from_secs(75);

/// No way to a Kubernetes API is known.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A kubeconfig that is missing, unreadable or incomplete.
    #[error("cannot use the kubeconfig {path}: {reason}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No kubeconfig, and not in a pod.
    #[error("no kubeconfig is given and this is no pod of a Kubernetes cluster ({0})")]
    NotInCluster(String),
    /// TLS or authentication settings that do not work.
    #[error("cannot set up the Kubernetes client: {0}")]
    Client(String),
}

/// Reads how to reach the API: from `kubeconfig`, else from the pod's service account.
///
/// # Errors
/// When neither tells.
pub async fn config(kubeconfig: Option<&Path>) -> Result<Config, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => {
            let failed = |error: kube::config::KubeconfigError| ConnectError::Kubeconfig {
                path: path.into(),
                // Further lines are an excerpt, which may hold a token.
                reason: crate::http::chain(&error).lines().next().unwrap_or_default().to_owned(),
            };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            let proxies: Vec<String> =
                file.clusters.iter().filter_map(|named| named.cluster.as_ref()?.proxy_url.clone()).collect();
            let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)?;
            // `HTTPS_PROXY` is for what is far away. `kube` takes it for the API too, whatever `NO_PROXY` says, though in a pod it does not.
            config.proxy_url =
                config.proxy_url.filter(|proxy| proxies.iter().any(|told| told.parse().is_ok_and(|told: Uri| told == *proxy)));
            config
        }
        None => Config::incluster().map_err(|error| ConnectError::NotInCluster(crate::http::chain(&error)))?,
    };
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(Duration::from_secs(30));
    config.reset_reader_on_write = true;
    Ok(config)
}
