//! Token reviews: the API vouches for whoever has a token. Asked for with `create` on `tokenreviews`.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Config};
use tokio::time::timeout;

use super::ConnectError;
use super::watch::client;
use crate::http::chain;

/// For a review; senders wait for it.
const DEADLINE: Duration = Duration::from_secs(10);
/// Where the API tells the node of the pod that a token is bound to, by default from Kubernetes 1.30 on.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// Whoever has a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Such as `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// The node of the pod that the token is bound to.
    pub node: Option<String>,
}

/// A review that could not be made.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the Kubernetes API could not review the token: {0}")]
pub struct ReviewError(String);

/// Asks for token reviews.
#[derive(Clone)]
pub struct TokenReviews(Api<TokenReview>);

impl TokenReviews {
    /// Prepares to ask.
    ///
    /// # Errors
    /// When `config` holds TLS or authentication settings that do not work.
    pub fn new(config: Config) -> Result<Self, ConnectError> {
        Ok(Self(Api::all(client(config, false, || {})?)))
    }

    /// Who has `token`, if it is valid and meant for `audience`.
    ///
    /// # Errors
    /// When the API does not say.
    pub async fn review(&self, token: &str, audience: &str) -> Result<Option<Identity>, ReviewError> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![audience.to_owned()]) };
        let review = TokenReview { spec, ..Default::default() };
        let asked = timeout(DEADLINE, self.0.create(&PostParams::default(), &review)).await;
        let reviewed = asked.map_err(|_| ReviewError(format!("no answer within {} s", DEADLINE.as_secs())))?;
        let status = reviewed.map_err(|error| ReviewError(chain(&error)))?.status.unwrap_or_default();
        // An API that does not know audiences tells none: the token is then for the API itself, and not for us.
        let meant = status.audiences.unwrap_or_default().iter().any(|one| one == audience);
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true) && meant) else { return Ok(None) };
        let node = user.extra.unwrap_or_default().remove(NODE_NAME).and_then(|values| values.into_iter().next());
        Ok(Some(Identity { user: user.username.unwrap_or_default(), node }))
    }
}
