//! One scrape: one connection to one literal address, one request, one answer within one deadline and one limit.
//!
//! No names are resolved, no proxy is asked, no redirect is followed, and a connection is used once: whatever a pod does with it ends with it.

mod body;
mod tls;

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::body::read_body;
use super::budget::{Share, Spent};
use super::reason::{Failure, Reason};
use super::target::Tls;
use crate::exposition::{Answer, Format, input_format};
use crate::http::chain;

pub(super) use self::tls::TlsClients;

/// A head longer than this is no answer of an exporter.
const LONGEST_HEAD: usize = 64 << 10;

/// What is asked of whom.
pub(super) struct Errand<'a> {
    pub(super) address: SocketAddr,
    pub(super) path: &'a str,
    pub(super) tls: Option<&'a Tls>,
    /// For the answer that this becomes a part of.
    pub(super) answer: Answer,
    /// What the pod is told of its time.
    pub(super) timeout: Duration,
    /// Sent over TLS that the CA bundle vouches for alone.
    pub(super) token: Option<&'a HeaderValue>,
    /// Bytes, packed and unpacked.
    pub(super) body_limit: usize,
}

/// A whole body.
pub(super) struct Scraped {
    pub(super) text: Vec<u8>,
    pub(super) format: Format,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Unscraped {
    /// It is the pod's doing.
    Failed(Failure),
    /// There is no room for what came.
    Spent,
}

impl From<Failure> for Unscraped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Spent> for Unscraped {
    fn from(_: Spent) -> Self {
        Self::Spent
    }
}

/// How far a scrape has come, for who waits in vain.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Connecting,
    Greeting,
    Waiting,
    Reading(usize),
}

/// Scrapes until `deadline`. `share` grows with the body.
pub(super) async fn scrape(
    errand: &Errand<'_>,
    clients: &TlsClients,
    share: &mut Share,
    deadline: Instant,
) -> Result<Scraped, Unscraped> {
    let mut stage = Stage::Connecting;
    match timeout_at(deadline, connect_and_ask(errand, clients, share, &mut stage)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(
            Reason::Timeout,
            match stage {
                Stage::Connecting => "no connection in time".to_owned(),
                Stage::Greeting => "no TLS handshake in time".to_owned(),
                Stage::Waiting => "connected, but no answer in time".to_owned(),
                Stage::Reading(bytes) => format!("the answer was not complete in time; {bytes} bytes had come"),
            },
        )
        .into()),
    }
}

async fn connect_and_ask(
    errand: &Errand<'_>,
    clients: &TlsClients,
    share: &mut Share,
    stage: &mut Stage,
) -> Result<Scraped, Unscraped> {
    let stream = TcpStream::connect(errand.address)
        .await
        .map_err(|error| Failure::new(Reason::Connect, format!("cannot connect to {}: {error}", errand.address)))?;
    let _ = stream.set_nodelay(true);
    match errand.tls {
        None => {
            *stage = Stage::Waiting;
            ask(errand, stream, share, stage).await
        }
        Some(tls) => {
            *stage = Stage::Greeting;
            let stream = clients.connect(tls, errand.address.ip(), stream, errand.token.is_some()).await?;
            *stage = Stage::Waiting;
            ask(errand, stream, share, stage).await
        }
    }
}

async fn ask(
    errand: &Errand<'_>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    share: &mut Share,
    stage: &mut Stage,
) -> Result<Scraped, Unscraped> {
    let broken = |error: hyper::Error| Failure::new(Reason::Transport, chain(&error));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = request(errand)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        check_status(&response)?;
        let format = format_of(response.headers())?;
        let text = read_body(response, format, errand.body_limit, share, |bytes| *stage = Stage::Reading(bytes)).await?;
        Ok(Scraped { text, format })
    };
    // The connection does the reading and writing; it may end before all that it has read is taken.
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        biased;
        result = exchange.as_mut() => return result,
        _ = connection.as_mut() => {}
    }
    exchange.await
}

fn request(errand: &Errand<'_>) -> Result<Request<Empty<Bytes>>, Failure> {
    let malformed = |error: http::Error| Failure::new(Reason::BadLabel, format!("no request can be made: {error}"));
    let request = Request::get(errand.path)
        .header(HOST, errand.address.to_string())
        .header(ACCEPT, errand.answer.accept())
        .header(ACCEPT_ENCODING, "gzip")
        .header(CONNECTION, "close")
        .header(USER_AGENT, concat!("kube-s3-exporter/", env!("CARGO_PKG_VERSION")))
        .header("x-prometheus-scrape-timeout-seconds", format!("{}", errand.timeout.as_secs_f64()));
    let mut request = request.body(Empty::new()).map_err(malformed)?;
    if let Some(token) = errand.token {
        request.headers_mut().insert(AUTHORIZATION, token.clone());
    }
    Ok(request)
}

fn check_status(response: &Response<Incoming>) -> Result<(), Failure> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let reason = if status.is_redirection() { Reason::Redirect } else { Reason::Status };
    let hint = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    Err(Failure::new(reason, format!("it answered {status}{hint}")))
}

fn format_of(headers: &HeaderMap) -> Result<Format, Failure> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    input_format(content_type.as_deref()).ok_or_else(|| {
        Failure::new(
            Reason::Encoding,
            format!("it answered with the content type `{}`", content_type.unwrap_or_default().escape_debug()),
        )
    })
}
