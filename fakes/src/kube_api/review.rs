//! Token reviews: whose token is it, and is it meant for who asks?
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer;
use super::state::State;
use crate::http_server::Body;

/// Where tokens are reviewed.
pub const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// What a token that the API server does not name an audience for is meant for.
const API_AUDIENCE: &str = "https://kubernetes.default.svc";

/// What the API server knows of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct KnownToken {
    username: String,
    audiences: Vec<String>,
    node: Option<String>,
}

impl KnownToken {
    /// A token of a service account, `system:serviceaccount:NAMESPACE:NAME`, for the API server.
    pub fn of(username: &str) -> Self {
        Self { username: username.to_owned(), audiences: vec![API_AUDIENCE.to_owned()], node: None }
    }

    /// It is meant for these instead.
    pub fn audiences(mut self, audiences: &[&str]) -> Self {
        self.audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        self
    }

    /// The node of the pod that it was made for; `authentication.kubernetes.io/node-name`, since Kubernetes 1.30.
    pub fn node(mut self, name: &str) -> Self {
        self.node = Some(name.to_owned());
        self
    }

    fn status(&self, asked: &[String]) -> Value {
        let for_api = [API_AUDIENCE.to_owned()];
        let asked = if asked.is_empty() { &for_api[..] } else { asked };
        let common: Vec<&String> = asked.iter().filter(|audience| self.audiences.contains(audience)).collect();
        if common.is_empty() {
            return refused(&format!("token audiences {:?} is invalid for the target audiences {asked:?}", self.audiences));
        }
        let mut user = json!({
            "username": self.username,
            "uid": "3d1f2c5e-0000-4000-8000-00000000000a",
            "groups": ["system:serviceaccounts", "system:authenticated"],
        });
        if let Some(node) = &self.node {
            user["extra"] = json!({
                "authentication.kubernetes.io/node-name": [node],
                "authentication.kubernetes.io/pod-name": ["collect-x2k4v"],
            });
        }
        json!({ "authenticated": true, "user": user, "audiences": common })
    }
}

fn refused(error: &str) -> Value {
    json!({ "user": {}, "error": error })
}

/// The answer to a review, which comes back with its status.
pub(super) fn review(state: &State, body: &Bytes) -> Response<Body> {
    let Ok(mut review) = serde_json::from_slice::<Value>(body) else {
        return answer::status(400, "the body is no JSON");
    };
    let Some(token) = review["spec"]["token"].as_str().filter(|token| !token.is_empty()) else {
        return answer::status(422, "spec.token: Required value");
    };
    let asked: Vec<String> = match review["spec"]["audiences"].as_array() {
        Some(audiences) => audiences.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let status = match state.switches.tokens.get(token) {
        Some(known) => known.status(&asked),
        None => refused("invalid bearer token"),
    };
    review["status"] = status;
    review["kind"] = json!("TokenReview");
    review["apiVersion"] = json!("authentication.k8s.io/v1");
    let mut response = answer::json_response(&review);
    *response.status_mut() = StatusCode::CREATED;
    response
}
