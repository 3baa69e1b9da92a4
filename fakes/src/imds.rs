//! The metadata service of an EC2 instance, as far as the instance's id goes: version 2, version 1, and
//! what goes wrong with both.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::http_server::{ANY_PORT, Body, Handler, HttpServer, full};
use crate::lock;

const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aws-ec2-metadata-token";
/// The only token there is.
const THE_TOKEN: &str = "AQAEAFakeMetadataToken==";

/// Which versions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImdsMode {
    /// Both, as AWS sets it up unless told otherwise.
    Both,
    /// Version 1 alone: there are no tokens (404).
    V1,
    /// Version 2 alone: who has no token is refused (401).
    V2,
    /// Version 1, and no answer to who wants a token, as in a container one hop too far.
    SilentV2,
    /// Switched off: 403 for everything.
    Off,
    /// No answer to anything.
    Silent,
}

/// A running metadata service; it stops when this is dropped.
pub struct Imds {
    server: HttpServer,
    shared: Arc<Shared>,
}

struct Shared {
    mode: Mutex<ImdsMode>,
    id: Mutex<String>,
    requests: Mutex<Vec<ImdsRequest>>,
}

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImdsRequest {
    /// `PUT /latest/api/token`.
    pub line: String,
    /// The time to live that was asked for, empty without.
    pub ttl: String,
    /// Whether it had a token.
    pub token: bool,
}

impl Imds {
    /// The metadata service of the instance `id`, on a free port of 127.0.0.1.
    pub async fn start(id: &str, mode: ImdsMode) -> Self {
        Self::start_on(ANY_PORT, id, mode).await.expect("a free port on the loopback interface")
    }

    /// The same on `address`. Fails if the address is taken.
    pub async fn start_on(address: SocketAddr, id: &str, mode: ImdsMode) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { mode: Mutex::new(mode), id: Mutex::new(id.to_owned()), requests: Mutex::default() });
        let handler: Handler = {
            let shared = Arc::clone(&shared);
            Arc::new(move |request| answer(Arc::clone(&shared), request).boxed())
        };
        Ok(Self { server: HttpServer::start(address, None, handler).await?, shared })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// From now on it is so.
    pub fn set_mode(&self, mode: ImdsMode) {
        *lock(&self.shared.mode) = mode;
    }

    /// From now on it gives this as the id.
    pub fn set_id(&self, id: &str) {
        *lock(&self.shared.id) = id.to_owned();
    }

    /// All requests so far, oldest first.
    pub fn requests(&self) -> Vec<ImdsRequest> {
        lock(&self.shared.requests).clone()
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (line, ttl, token) = (format!("{} {}", request.method(), request.uri().path()), header(TTL), header(TOKEN));
    lock(&shared.requests).push(ImdsRequest { line, ttl: ttl.to_owned(), token: !token.is_empty() });
    let mode = *lock(&shared.mode);
    let wants_token = request.method() == Method::PUT && request.uri().path() == "/latest/api/token";
    match mode {
        ImdsMode::Silent => return std::future::pending().await,
        ImdsMode::SilentV2 if wants_token => return std::future::pending().await,
        ImdsMode::Off => return text(StatusCode::FORBIDDEN, ""),
        ImdsMode::V1 if wants_token => return text(StatusCode::NOT_FOUND, ""),
        _ => {}
    }
    if wants_token {
        return match ttl.parse() {
            Ok(1..=21_600_u32) => text(StatusCode::OK, THE_TOKEN),
            _ => text(StatusCode::BAD_REQUEST, ""),
        };
    }
    let refused = if token.is_empty() { mode == ImdsMode::V2 } else { token != THE_TOKEN };
    if refused {
        return text(StatusCode::UNAUTHORIZED, "");
    }
    match request.uri().path() {
        "/latest/meta-data/instance-id" if request.method() == Method::GET => text(StatusCode::OK, &lock(&shared.id).clone()),
        _ => text(StatusCode::NOT_FOUND, ""),
    }
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(text.to_owned()));
    *response.status_mut() = status;
    response
}
