//! From a request to its answer: the log, the faults, the session token, and then `s3s`.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3Service;
use s3s::{S3Error, S3Result, s3_error};

use super::fault::{Faults, S3Effect};
use super::objects::Objects;
use super::{S3Request, addressing};
use crate::http_server::{Body, ResetOnClose, full, unanswered};
use crate::lock;
use crate::s3_list::error_document;

/// What the server and its handle share.
pub(super) struct Shared {
    pub(super) objects: Mutex<Objects>,
    pub(super) page_limit: AtomicUsize,
    pub(super) requests: Mutex<Vec<S3Request>>,
    pub(super) faults: Mutex<Faults>,
    pub(super) session_token: Option<String>,
    /// Hosts below it name a bucket.
    pub(super) domain: String,
}

impl Shared {
    pub(super) fn page_limit(&self) -> usize {
        self.page_limit.load(Ordering::Relaxed)
    }

    fn log(&self, request: &Request<Incoming>) {
        let host = host(request);
        lock(&self.requests).push(S3Request {
            method: request.method().to_string(),
            host: host.to_owned(),
            path_and_query: request.uri().to_string(),
            virtual_hosted: addressing::bucket_in_host(host, &self.domain).is_some(),
        });
    }

    /// What is wrong with this request: how long it waits, and what happens then.
    fn strike(&self, request: &Request<Incoming>) -> (Duration, Option<S3Effect>) {
        let virtual_hosted = addressing::bucket_in_host(host(request), &self.domain).is_some();
        let path = request.uri().path().trim_start_matches('/');
        let key = if virtual_hosted { path } else { path.split_once('/').map_or("", |(_bucket, key)| key) };
        let query = request.uri().query().unwrap_or_default();
        lock(&self.faults).strike(request.method().as_str(), key, query)
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

fn host(request: &Request<Incoming>) -> &str {
    let host = request.headers().get(header::HOST);
    host.and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Answers one request.
pub(super) async fn answer(service: S3Service, shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    shared.log(&request);
    let reset = request.extensions().get::<ResetOnClose>().cloned().unwrap_or_default();
    let (latency, effect) = shared.strike(&request);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match effect {
        None | Some(S3Effect::Latency(_)) => done(service, &shared, request).await,
        Some(S3Effect::ResetAfter) => {
            let _lost = done(service, &shared, request).await;
            unanswered(&reset)
        }
        Some(S3Effect::Reset) => unanswered(&reset),
        Some(S3Effect::Hang) => pending().await,
        Some(S3Effect::Status(status, code)) => {
            // Clients may not read an answer before their body was taken.
            let _body = request.into_body().collect().await;
            let status = StatusCode::from_u16(status).expect("a fault names a valid HTTP status");
            let mut response = Response::new(full(error_document(code, &format!("This is the fault {code}."), "")));
            *response.status_mut() = status;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            response
        }
    }
}

/// The answer of a server without faults, when the operation was done.
async fn done(service: S3Service, shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let response = match shared.check_session_token(&request) {
        Ok(()) => service.call(request.map(s3s::Body::from)).await.map_err(|error| format!("{error:?}")),
        Err(error) => error.to_http_response().map_err(|error| error.to_string()),
    };
    match response {
        Ok(response) => response.map(|body| body.map_err(io::Error::other).boxed_unsync()),
        Err(text) => {
            let mut response = Response::new(full(text));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
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
