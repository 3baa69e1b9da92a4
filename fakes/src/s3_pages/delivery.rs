//! How a page gets to the client: as it should, or struck by a fault.

use std::future::pending;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::fault::Fault;
use crate::http_server::{Body, ResetOnClose, full};
use crate::s3_list::error_document;

/// Pause between two bytes of [`Fault::Trickle`].
const TRICKLE: Duration = Duration::from_millis(100);

/// The region that redirects and malformed-authorization errors point to.
const REGION: &str = "eu-central-1";

/// A response with an XML body. The length is a header of its own, since a body that is counted does
/// not know it.
pub(super) fn xml(status: StatusCode, document: impl Into<Bytes>) -> Response<Body> {
    let document = document.into();
    let length = HeaderValue::from(document.len());
    let mut response = Response::new(full(document));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// An S3 error, with the headers and elements that clients use to correct themselves.
pub(super) fn error(status: u16, code: &str) -> Response<Body> {
    let status = StatusCode::from_u16(status).expect("a fault names a valid HTTP status");
    let extra = match code {
        "AuthorizationHeaderMalformed" => format!("<Region>{REGION}</Region>"),
        "PermanentRedirect" => {
            format!("<Endpoint>s3.{REGION}.amazonaws.com</Endpoint><Bucket>fake</Bucket>")
        }
        _ => String::new(),
    };
    let message = format!("This is the fault {code}.");
    let mut response = xml(status, error_document(code, &message, &extra));
    if code == "PermanentRedirect" {
        let region = HeaderValue::from_static(REGION);
        response.headers_mut().insert("x-amz-bucket-region", region);
    }
    response
}

/// Delivers `document` with `fault`. Listing oddities are already in the document.
pub(super) async fn struck(fault: Fault, document: Vec<u8>, reset: ResetOnClose) -> Response<Body> {
    let document = Bytes::from(document);
    let half = document.slice(..document.len() / 2);
    match fault {
        Fault::Status(status, code) => error(status, code),
        Fault::RetryAfter(status, seconds) => {
            let mut response = error(status, "SlowDown");
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
        Fault::HangBeforeHeaders => pending().await,
        Fault::HangMidBody(fraction) => {
            let sent = fraction_of(&document, fraction);
            with_length(document.len(), then(sent, None))
        }
        Fault::Trickle => with_length(document.len(), trickle(document)),
        Fault::EndlessBody => streamed(endless(&document)),
        Fault::ResetMidBody => {
            let end = io::Error::from(io::ErrorKind::ConnectionReset);
            let body = then(half, Some((end, reset)));
            with_length(document.len(), body)
        }
        Fault::CutBody => xml(StatusCode::OK, half),
        Fault::InvalidXml => {
            let text = String::from_utf8_lossy(&document);
            let broken = text.replacen("</Name>", "</Nome>", 1);
            xml(StatusCode::OK, broken)
        }
        Fault::Html200 => {
            let page = "<!DOCTYPE html><html><head><title>Log in</title><body><form action=/login>";
            let mut response = xml(StatusCode::OK, page);
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, html);
            response
        }
        Fault::ErrorDocument200(code) => xml(StatusCode::OK, error_document(code, "This came with status 200.", "")),
        Fault::EmptyBody200 => xml(StatusCode::OK, Bytes::new()),
        Fault::Redirect(location) => {
            let mut response = xml(StatusCode::TEMPORARY_REDIRECT, Bytes::new());
            let location = HeaderValue::from_str(&location).expect("a location is a header value");
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        // The listing oddities never get here.
        _ => xml(StatusCode::OK, document),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a fraction of the length of a page, cut to its ends"
)]
fn fraction_of(document: &Bytes, fraction: f64) -> Bytes {
    let sent = (document.len() as f64 * fraction.clamp(0.0, 1.0)) as usize;
    document.slice(..sent.min(document.len()))
}

fn streamed(chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response<Body> {
    use futures::TryStreamExt;
    let mut response = xml(StatusCode::OK, Bytes::new());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync();
    response
}

/// A stream that claims to be `length` bytes long.
fn with_length(length: usize, chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response<Body> {
    let mut response = streamed(chunks);
    let length = HeaderValue::from(length);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

/// `sent`, then silence or, after it was written out, an end of the connection.
fn then(sent: Bytes, end: Option<(io::Error, ResetOnClose)>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold((Some(sent), end), |(sent, end)| async move {
        if let Some(sent) = sent {
            return Some((Ok(sent), (None, end)));
        }
        let Some((error, reset)) = end else {
            return pending().await;
        };
        // hyper writes out what it has when the body has nothing for the moment.
        tokio::task::yield_now().await;
        reset.set();
        Some((Err(error), (None, None)))
    })
}

fn trickle(document: Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(document, |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(TRICKLE).await;
        let byte = rest.split_to(1);
        Some((Ok(byte), rest))
    })
}

/// The document without its end, and then its objects over and over.
fn endless(document: &Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let find = |tag: &[u8]| document.windows(tag.len()).position(|window| window == tag);
    let end = find(b"</ListBucketResult>").unwrap_or(document.len());
    let objects = match find(b"<Contents>") {
        Some(start) => document.slice(start..end),
        None => Bytes::from_static(&[b' '; 4_096]),
    };
    let head = document.slice(..end);
    stream::unfold(Some(head), move |head| {
        let chunk = head.unwrap_or_else(|| objects.clone());
        async move {
            // The server has other requests too.
            tokio::task::yield_now().await;
            Some((Ok(chunk), None))
        }
    })
}
