//! From a request to its answer: the token, the faults, the counters.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};

use super::summary::Node;
use super::{KubeletFault, KubeletRequest};
use crate::http_server::{Body, ResetOnClose, full, unanswered};
use crate::lock;

/// What the server and its handle share.
pub(super) struct Shared {
    pub(super) node: Mutex<Node>,
    pub(super) token: Mutex<Option<String>>,
    pub(super) fault: Mutex<Option<KubeletFault>>,
    /// Whole answers so far.
    pub(super) answers: Mutex<u64>,
    pub(super) requests: Mutex<Vec<KubeletRequest>>,
}

/// Answers one request.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let reset = request.extensions().get::<ResetOnClose>().cloned().unwrap_or_default();
    let authorization = text(request.headers(), header::AUTHORIZATION);
    let path = request.uri().path().to_owned();
    lock(&shared.requests).push(KubeletRequest { path: path.clone(), authorization: authorization.clone() });
    if lock(&shared.token).as_ref().is_some_and(|token| authorization != format!("Bearer {token}")) {
        return plain(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    if path != "/stats/summary" {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let fault = lock(&shared.fault).clone();
    match fault {
        Some(KubeletFault::Status(code)) => {
            return plain(StatusCode::from_u16(code).expect("a status code"), "Internal Error: failed to list pod stats");
        }
        Some(KubeletFault::Hang) => std::future::pending().await,
        Some(KubeletFault::Reset) => return unanswered(&reset),
        Some(KubeletFault::Redirect(place)) => {
            let mut moved = plain(StatusCode::FOUND, "Found");
            moved.headers_mut().insert(header::LOCATION, place.parse().expect("a place"));
            return moved;
        }
        Some(KubeletFault::Garbage) => return json("<html>this is no summary</html>".into()),
        Some(KubeletFault::Body(body)) => return json(body.into()),
        Some(KubeletFault::Truncated) | None => {}
    }
    let number = {
        let mut answers = lock(&shared.answers);
        *answers += 1;
        *answers - 1
    };
    let summary = lock(&shared.node).summary(number).to_string().into_bytes();
    if fault.is_some() {
        return half(summary);
    }
    if !text(request.headers(), header::ACCEPT_ENCODING).contains("gzip") {
        return json(summary.into());
    }
    let mut response = json(pack(&summary));
    response.headers_mut().insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(text.to_owned()));
    *response.status_mut() = status;
    response
}

fn json(body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// The length of all of it, and half of it.
fn half(body: Vec<u8>) -> Response<Body> {
    let length = body.len();
    let first = Ok(Frame::data(Bytes::from(body).slice(..length / 2)));
    let broken = async {
        // hyper writes out what it has when the body has nothing for the moment.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    };
    let pieces = stream::iter([first]).chain(stream::once(broken));
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn pack(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything").into()
}

fn text(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}
