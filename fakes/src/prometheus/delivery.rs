//! How an answer gets to the client: as it should, or struck by faults.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::document::Document;
use super::fault::{ErrorBody, Fault};
use super::problem::Problem;
use super::route::Reply;
use crate::http_server::{Body, ResetOnClose, unanswered};

/// A page as a proxy shows it to those who are not logged in.
const LOGIN: &str = "<!DOCTYPE html><html><head><title>Log in</title></head><body><form action=/login></form></body></html>";

/// Changes `reply` as the faults want, and returns the fault of its delivery.
pub(super) fn change(reply: &mut Reply, steps: u64, faults: Vec<Fault>) -> Option<Fault> {
    let mut delivery = None;
    for fault in faults {
        match fault {
            Fault::Warnings(texts) => reply.document.note("warnings", &texts),
            Fault::Infos(texts) => reply.document.note("infos", &texts),
            Fault::Empty => reply.document.empty(),
            Fault::Partial(n) => reply.document.keep_every(n),
            limit @ (Fault::SampleLimit { .. } | Fault::ResolutionLimit { .. } | Fault::TimeoutAbove { .. }) => {
                if let Some(problem) = exceeded(&limit, reply, steps) {
                    *reply = problem.into();
                }
            }
            other => delivery = delivery.or(Some(other)),
        }
    }
    delivery
}

/// The error of a limit that the answer does not keep to.
fn exceeded(limit: &Fault, reply: &Reply, steps: u64) -> Option<Problem> {
    match limit {
        Fault::SampleLimit { max } if reply.document.samples() > *max => {
            let error = "query processing would load too many samples into memory in query execution";
            Some(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", error))
        }
        Fault::ResolutionLimit { max_steps } if steps > *max_steps => Some(Problem::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        )),
        Fault::TimeoutAbove { samples } if reply.document.samples() > *samples => {
            let error = "query timed out in expression evaluation";
            Some(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", error))
        }
        _ => None,
    }
}

/// Delivers `reply`, with a fault or as it is.
pub(super) async fn deliver(reply: Reply, fault: Option<Fault>, reset: &ResetOnClose) -> Response<Body> {
    let Some(fault) = fault else {
        return whole(reply);
    };
    match fault {
        Fault::Status { code, retry_after, body } => {
            let status = StatusCode::from_u16(code).expect("a fault names a valid HTTP status");
            let reply = match body {
                ErrorBody::Api { error_type, error } => Problem::new(status, error_type, error).into(),
                ErrorBody::Text(text) => Reply::text(status, text),
            };
            let mut response = whole(reply);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Fault::ErrorIn200 { error_type, error } => whole(Problem::new(StatusCode::OK, error_type, error).into()),
        Fault::Html => whole(Reply { content_type: "text/html; charset=utf-8", ..Reply::text(StatusCode::OK, LOGIN) }),
        Fault::Hang => pending().await,
        Fault::Reset => unanswered(reset),
        Fault::CutJson => {
            let half = half(&reply.document).map(Ok);
            streamed(&reply, stream::iter(half))
        }
        Fault::CutBody { content_length } => {
            let cut = then(half(&reply.document), Some(io::ErrorKind::UnexpectedEof));
            let mut response = streamed(&reply, cut);
            if content_length {
                let length = HeaderValue::from(reply.document.length());
                response.headers_mut().insert(header::CONTENT_LENGTH, length);
            }
            response
        }
        Fault::StallMidBody => {
            let cut = then(half(&reply.document), None);
            streamed(&reply, cut)
        }
        Fault::Slow { bytes, every } => {
            let slow = slowly(reply.document.clone(), bytes.max(1), every);
            streamed(&reply, slow)
        }
        // The others changed the reply.
        _ => whole(reply),
    }
}

fn whole(reply: Reply) -> Response<Body> {
    let chunks = reply.document.clone();
    streamed(&reply, stream::iter(chunks.map(Ok)))
}

/// A response with the head of `reply` and this body.
fn streamed(reply: &Reply, chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync());
    *response.status_mut() = reply.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    response
}

/// The first half of the bytes.
fn half(document: &Document) -> impl Iterator<Item = Bytes> + Send + use<> {
    let mut left = document.length() / 2;
    document.clone().map_while(move |mut chunk| {
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= chunk.len() as u64;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// `chunks`, then silence or, after they were written out, an end of the connection.
fn then(
    chunks: impl Iterator<Item = Bytes> + Send + 'static,
    end: Option<io::ErrorKind>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let end = async move {
        let Some(end) = end else {
            return pending().await;
        };
        // hyper writes out what it has when the body has nothing for the moment.
        tokio::task::yield_now().await;
        Err(end.into())
    };
    stream::iter(chunks.map(Ok)).chain(stream::once(end))
}

/// Pieces of `bytes` bytes, with a pause before each.
fn slowly(document: Document, bytes: usize, every: Duration) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold((document, Bytes::new()), move |(mut document, mut chunk)| async move {
        if chunk.is_empty() {
            chunk = document.next()?;
        }
        tokio::time::sleep(every).await;
        let piece = chunk.split_to(bytes.min(chunk.len()));
        Some((Ok(piece), (document, chunk)))
    })
}
