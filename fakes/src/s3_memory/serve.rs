//! From a request to its answer: the log, the session token, and then `s3s`.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3Service;
use s3s::{S3Error, S3Result, s3_error};

use super::objects::Objects;
use super::{S3Request, addressing};
use crate::http_server::{Body, full};
use crate::lock;

/// What the server and its handle share.
pub(super) struct Shared {
    pub(super) objects: Mutex<Objects>,
    pub(super) page_limit: AtomicUsize,
    pub(super) requests: Mutex<Vec<S3Request>>,
    pub(super) session_token: Option<String>,
    /// Hosts below it name a bucket.
    pub(super) domain: String,
}

impl Shared {
    pub(super) fn page_limit(&self) -> usize {
        self.page_limit.load(Ordering::Relaxed)
    }

    fn log(&self, request: &Request<Incoming>) {
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        lock(&self.requests).push(S3Request {
            method: request.method().to_string(),
            host: host.to_owned(),
            path_and_query: request.uri().to_string(),
            virtual_hosted: addressing::bucket_in_host(host, &self.domain).is_some(),
        });
    }

    /// AWS takes a key without its token for one that it does not know, and calls a wrong token by its
    /// name. `s3s` knows no session tokens.
    fn check_session_token(&self, request: &Request<Incoming>) -> S3Result<()> {
        let Some(wanted) = &self.session_token else {
            return Ok(());
        };
        match request.headers().get("x-amz-security-token") {
            None => Err(unknown_key()),
            Some(token) if token.as_bytes() == wanted.as_bytes() => Ok(()),
            Some(_) => Err(s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid.")),
        }
    }
}

/// Answers one request.
pub(super) async fn answer(service: S3Service, shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    shared.log(&request);
    let response = match shared.check_session_token(&request) {
        Ok(()) => service.call(request.map(s3s::Body::from)).await.map_err(|error| format!("{error:?}")),
        Err(error) => error.to_http_response().map_err(|error| error.to_string()),
    };
    match response {
        Ok(response) => response.map(|body| body.map_err(io::Error::other).boxed_unsync()),
        Err(text) => {
            let mut response = Response::new(full(text));
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// The only account.
pub(super) struct OneUser {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: SecretKey,
}

#[async_trait::async_trait]
impl S3Auth for OneUser {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key_id { Ok(self.secret_access_key.clone()) } else { Err(unknown_key()) }
    }
}

fn unknown_key() -> S3Error {
    s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.")
}
