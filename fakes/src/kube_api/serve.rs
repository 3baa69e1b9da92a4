//! From a request to its answer: the log, the switches of the test, and then the API.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Collected};
use hyper::body::Incoming;
use serde_json::json;

use super::answer::{self, View};
use super::path::{Options, Target, normal};
use super::review::TOKEN_REVIEWS;
use super::state::{Failure, State};
use super::{KubeRequest, review, watch};
use crate::http_server::Body;
use crate::lock;

/// What the server and its handle share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Wakes the watches after every change of the state.
    pub(super) changes: tokio::sync::watch::Sender<()>,
    /// How many watches run.
    pub(super) watches: tokio::sync::watch::Sender<usize>,
    pub(super) requests: Mutex<Vec<KubeRequest>>,
}

impl Shared {
    fn log(&self, request: &Request<Incoming>) -> KubeRequest {
        let header = |name| {
            let value = request.headers().get(name);
            value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let logged = KubeRequest {
            method: request.method().to_string(),
            path_and_query: request.uri().to_string(),
            accept: header(header::ACCEPT),
            authorization: header(header::AUTHORIZATION),
        };
        lock(&self.requests).push(logged.clone());
        logged
    }
}

/// Answers one request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let logged = shared.log(&request);
    if lock(&shared.state).switches.hang {
        return std::future::pending().await;
    }
    if let Some(refusal) = refusal(&mut lock(&shared.state), &logged) {
        return refusal;
    }
    if request.uri().path() == "/version" {
        let version = json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.4" });
        return answer::json_response(&version);
    }
    let Some(target) = Target::parse(request.uri().path()) else {
        return answer::absent();
    };
    if lock(&shared.state).switches.forbidden.contains(&target.resource) {
        return forbidden(&target);
    }
    if request.method() == Method::POST && target.resource == normal(TOKEN_REVIEWS) {
        // A body that breaks off is as one that is no JSON.
        let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
        return review::review(&lock(&shared.state), &body);
    }
    if request.method() != Method::GET {
        return answer::status(405, "the fake API server is read-only");
    }
    let options = Options::parse(request.uri());
    let view = View::asked_for(request.headers());
    {
        let mut state = lock(&shared.state);
        if state.switches.absent.contains(&target.resource) {
            return answer::absent();
        }
        if state.switches.garbage && !options.watch {
            return answer::html();
        }
        if let Some(name) = &target.name {
            return answer::get(&state, &target, name, view);
        }
        if !options.watch {
            return answer::list(&mut state, &target, &options, view);
        }
    }
    watch::start(&shared, target, options, view)
}

/// What the API server says where no role allows the request.
fn forbidden(target: &Target) -> Response<Body> {
    let plural = target.resource.rsplit('/').next().unwrap_or_default();
    answer::status(403, &format!("{plural} is forbidden: User \"fake\" cannot list resource \"{plural}\""))
}

/// The answer to requests that are not let in.
fn refusal(state: &mut State, request: &KubeRequest) -> Option<Response<Body>> {
    let switches = &mut state.switches;
    if let Some(token) = &switches.token
        && request.authorization != format!("Bearer {token}")
    {
        return Some(answer::status(401, "Unauthorized"));
    }
    let Failure { code, times } = switches.failure?;
    switches.failure = match times {
        Some(0 | 1) => None,
        Some(left) => Some(Failure { code, times: Some(left - 1) }),
        None => switches.failure,
    };
    (times != Some(0)).then(|| answer::status(code, "this failure was asked for"))
}
